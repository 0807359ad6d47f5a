/**
 * `deno task model`: checks the model of the lock, tests/model/lock.pml, with spin.
 *
 * Sound configurations have to hold, each in a search that went to its end and took every step that the model has;
 * each mutant has to break a promise. Anything else makes the run exit 1. `--quick` takes the smallest configuration
 * and all mutants; `--json` prints what was found for a report.
 */

import { table } from "../../lib/cli/output.ts";

const MODEL = new URL("./lock.pml", import.meta.url);

interface Configuration {
  /** `safety`: promises that a single step can break, and that nobody is stuck. `settles`: fair liveness too. */
  readonly property: "safety" | "settles";
  readonly machines: number;
  readonly slots: number;
  readonly faults: number;
  readonly mutant?: string;
}

const SMALLEST: readonly Configuration[] = [
  { property: "safety", machines: 2, slots: 1, faults: 2 },
  { property: "settles", machines: 2, slots: 1, faults: 2 },
];

const LARGER: readonly Configuration[] = [
  { property: "safety", machines: 2, slots: 1, faults: 4 },
  { property: "safety", machines: 3, slots: 1, faults: 2 },
  { property: "safety", machines: 3, slots: 2, faults: 2 },
  { property: "settles", machines: 2, slots: 1, faults: 3 },
  { property: "settles", machines: 3, slots: 1, faults: 1 },
  { property: "settles", machines: 3, slots: 2, faults: 1 },
];

/** The longest run that a search follows; one that is longer makes it incomplete, which is a failure. */
const DEPTH_LIMIT = 100_000;
const MEMORY_LIMIT_MIB = 3_500;
/** Far above what any configuration takes: a search that grew without bound is to end all the same. */
const SEARCH_TIMEOUT_MS = 10 * 60_000;

const PROGRAMS = ["spin", "gcc"];
const PACKAGES = ["spin", "gcc", "libc6-dev"];

/** What a search found. */
interface Finding {
  readonly states: number;
  readonly transitions: number;
  readonly depth: number;
  readonly errors: number;
  /** The promise that was broken first. */
  readonly broken?: string;
  /** Why the search shows nothing, or less than it should. */
  readonly faults: readonly string[];
  readonly seconds: number;
}

interface Result {
  readonly configuration: Configuration;
  readonly finding: Finding;
  readonly failure?: string;
}

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.filter((arg) => arg !== "--quick" && arg !== "--json");
  if (unknown.length > 0) {
    console.error(`unknown: ${unknown.join(" ")}\nusage: deno task model [--quick] [--json]`);
    return 2;
  }
  if (!await haveAll(PROGRAMS) && !await install(PACKAGES)) {
    console.error(`the model needs these packages of Debian, and cannot install them: ${PACKAGES.join(" ")}`);
    console.error(`as root: apt-get install ${PACKAGES.join(" ")}`);
    return 1;
  }
  const model = await Deno.readTextFile(MODEL);
  const version = (await run("spin", ["-V"])).text.trim();
  const results: Result[] = [];
  for (const configuration of args.includes("--quick") ? SMALLEST : [...SMALLEST, ...LARGER]) {
    progress(name(configuration));
    const finding = await search(model, configuration);
    const failure = soundFailure(finding);
    results.push({ configuration, finding, ...(failure === undefined ? {} : { failure }) });
  }
  for (const mutant of mutantsOf(model)) {
    progress(mutant);
    results.push(await tryMutant(model, mutant));
  }
  progress("");
  console.log(
    args.includes("--json") ? JSON.stringify(report(version, results), null, 2) : page(version, results),
  );
  const untried = promisesOf(model).filter((name) => !results.some(({ finding }) => finding.broken === name));
  if (untried.length > 0) {
    console.error(`no mutant breaks ${untried.join(", ")}: nobody knows whether that can fail at all`);
    return 1;
  }
  return results.every(({ failure }) => failure === undefined) ? 0 : 1;
}

/** Every mutant that the model names, so that none is forgotten here. */
function mutantsOf(model: string): string[] {
  return [...new Set([...model.matchAll(/\bMUTANT_([A-Z_]+[A-Z])\b/g)].map(([, name = ""]) => name))].sort();
}

/** Every promise that the model makes, by name. */
function promisesOf(model: string): string[] {
  const list = /^mtype = \{(.*)\}/m.exec(model)?.[1];
  if (list === undefined) throw new Error("the model does not list its promises");
  return [...list.split(",").map((name) => name.trim()), "settles"];
}

/** Searches a mutant for a broken promise of one step first: that is found faster than a run that never ends well. */
async function tryMutant(model: string, mutant: string): Promise<Result> {
  let last: Result | undefined;
  for (const smallest of SMALLEST) {
    const configuration = { ...smallest, mutant };
    const finding = await search(model, configuration);
    // only a promise that is named was seen to break: a mutant that does not even compile has shown nothing
    if (finding.broken !== undefined) return { configuration, finding };
    last = { configuration, finding, failure: finding.faults.join("; ") || "no promise was broken" };
  }
  if (last === undefined) throw new Error("there is no configuration to try mutants with");
  return last;
}

function soundFailure({ errors, broken, faults }: Finding): string | undefined {
  if (errors > 0) return `${broken ?? "something"} is broken`;
  return faults.length > 0 ? faults.join("; ") : undefined;
}

// ------------------------------------------------------------------------------------------------------- searching

async function search(model: string, configuration: Configuration): Promise<Finding> {
  const { property, machines, slots, faults, mutant } = configuration;
  const started = performance.now();
  const dir = await Deno.makeTempDir({ prefix: "locksmith-model-" });
  try {
    // spin looks for a trail beside the model
    await Deno.writeTextFile(`${dir}/lock.pml`, model);
    const defines = [`-DN=${machines}`, `-DMAX=${slots}`, `-DFAULTS=${faults}`];
    if (mutant !== undefined) defines.push(`-DMUTANT_${mutant}`);
    const made = await run("spin", ["-a", ...defines, "lock.pml"], dir);
    if (made.code !== 0 || /\bError:/.test(made.text)) {
      throw new Error(`spin cannot read the model: ${made.text}`);
    }
    const compiled = await run("gcc", [
      // what a mutant does is found early, and most of its time is the compiler's
      mutant === undefined ? "-O2" : "-O1",
      "-DCOLLAPSE",
      `-DMEMLIM=${MEMORY_LIMIT_MIB}`,
      ...(property === "safety"
        ? ["-DSAFETY", "-DNOCLAIM"]
        : [`-DNFAIR=${Math.ceil((2 * machines + 4) / 4)}`]),
      "-o",
      "pan",
      "pan.c",
    ], dir);
    if (compiled.code !== 0) throw new Error(`gcc cannot compile the verifier: ${compiled.text}`);
    const limits = [`-m${DEPTH_LIMIT}`];
    const searched = await run(`${dir}/pan`, property === "safety" ? limits : ["-a", "-f", ...limits], dir);
    const finding = readFinding(searched.text, property, mutant === undefined);
    const broken = finding.errors > 0 ? await brokenPromise(dir, defines, searched.text) : undefined;
    const exitFaults = searched.code === 0 ? [] : [`the verifier exited with ${searched.code}`];
    return {
      ...finding,
      faults: [...finding.faults, ...exitFaults],
      ...(broken === undefined ? {} : { broken }),
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Reads what the verifier wrote. A figure that is missing is a fault, for then nobody knows what was searched. */
function readFinding(text: string, property: Configuration["property"], complete: boolean) {
  const faults: string[] = [];
  const figure = (what: string, pattern: RegExp) => {
    const digits = pattern.exec(text)?.[1];
    if (digits === undefined) faults.push(`the verifier did not say: ${what}`);
    return Number(digits ?? NaN);
  };
  const states = figure("states", /([\d.e+]+) states, stored/);
  const transitions = figure("transitions", /([\d.e+]+) transitions/);
  const depth = figure("depth", /depth reached (\d+)/);
  const errors = figure("errors", /errors: (\d+)/);
  if (errors === 0 || Number.isNaN(errors)) {
    for (const cut of ["max search depth too small", "out of memory", "MEMLIM", "not completed"]) {
      if (text.includes(cut)) faults.push(`the search was cut short: ${cut}`);
    }
    if (complete && property === "safety") faults.push(...neverTaken(text));
  }
  return { states, transitions, depth, errors, faults };
}

/** Steps of the model that no run took. What was never tried has not held. Ends and broken promises are not among them. */
function neverTaken(text: string): string[] {
  const sections = text.matchAll(/^unreached in (proctype \w+|init)\n((?:\t.*\n)*)/gm);
  return [...sections].flatMap(([, process = "", lines = ""]) =>
    lines.split("\n").filter((line) => line.includes("state ") && !/"-end-"|broken:|assert\(0\)/.test(line))
      .map((line) => `never taken in ${process}: ${line.trim()}`)
  );
}

/** Replays the trail up to the promise that it breaks. */
async function brokenPromise(
  dir: string,
  defines: readonly string[],
  text: string,
): Promise<string | undefined> {
  if (text.includes("acceptance cycle")) return "settles";
  const { text: trail } = await run("spin", ["-t", ...defines, "lock.pml"], dir);
  return /broken: (\w+)/.exec(trail)?.[1];
}

// ------------------------------------------------------------------------------------------------------- reporting

function name({ property, machines, slots, faults, mutant }: Configuration): string {
  if (mutant !== undefined) return mutant.toLowerCase().replaceAll("_", " ");
  return `${property}: ${machines} machines, ${slots} ${slots === 1 ? "slot" : "slots"}, ${faults} faults`
    .replace(/\b1 faults/, "1 fault");
}

function page(version: string, results: readonly Result[]): string {
  const rows = results.map(({ configuration, finding, failure }) => {
    const { property, mutant } = configuration;
    const good = mutant === undefined ? "holds" : `caught: ${finding.broken}`;
    return [
      mutant === undefined ? name(configuration).replace(/^\w+: /, "") : `mutant: ${name(configuration)}`,
      property,
      String(finding.states),
      String(finding.depth),
      finding.seconds.toFixed(1),
      failure === undefined ? good : `FAILS: ${failure}`,
    ];
  });
  const head = ["CONFIGURATION", "PROPERTY", "STATES", "DEPTH", "SECONDS", "RESULT"];
  const failures = results.filter(({ failure }) => failure !== undefined).length;
  return `${version}\n${table([head, ...rows])}${results.length - failures} as expected, ${failures} not`;
}

function report(version: string, results: readonly Result[]) {
  return {
    spin: version,
    configurations: results.filter(({ configuration }) => configuration.mutant === undefined).map(
      (result) => {
        const { configuration, finding: { states, transitions, depth, errors }, failure } = result;
        return {
          name: name(configuration),
          states,
          transitions,
          depth,
          errors,
          ...(failure ? { failure } : {}),
        };
      },
    ),
    mutants: results.filter(({ configuration }) => configuration.mutant !== undefined).map((result) => {
      const { configuration, finding, failure } = result;
      return { name: name(configuration), caught: failure === undefined, by: finding.broken ?? null };
    }),
  };
}

/** What is being tried, on a terminal only. */
function progress(what: string): void {
  if (!Deno.stderr.isTerminal()) return;
  Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${what}`));
}

// --------------------------------------------------------------------------------------------------------- programs

async function run(
  program: string,
  args: readonly string[],
  cwd?: string,
): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    ...(cwd === undefined ? {} : { cwd }),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(SEARCH_TIMEOUT_MS),
  }).output();
  return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

async function haveAll(programs: readonly string[]): Promise<boolean> {
  for (const program of programs) {
    if ((await run("sh", ["-c", 'command -v "$1"', "sh", program])).code !== 0) return false;
  }
  return true;
}

async function install(packages: readonly string[]): Promise<boolean> {
  if (Deno.uid() !== 0 || !await haveAll(["apt-get"])) return false;
  console.error(`installing ${packages.join(" ")}`);
  const get = 'DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends install "$@"';
  return (await run("apt-get", ["update", "-q"])).code === 0 &&
    (await run("sh", ["-c", get, "sh", ...packages])).code === 0 &&
    await haveAll(PROGRAMS);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
