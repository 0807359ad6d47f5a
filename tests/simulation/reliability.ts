/**
 * `deno task reliability`: plays 100,000 histories, plants every bug, checks the model, and writes what was found to
 * docs/reliability.md. Every figure there comes from this run. Takes a quarter of an hour on two cores.
 *
 *     deno task reliability [--histories N] [--seed S]
 */

import { parseArgs } from "@std/cli/parse-args";
import { copySources, type Finding, HISTORIES_LIMIT, hunt, PLANTED_BUGS } from "./planted_bugs.ts";
import { type Figures, simulate, unexercised } from "./simulate.ts";
import { FAULT_KINDS } from "./mischief.ts";
import { type Check, CHECKS } from "./simulated_history.ts";

const PAGE = new URL("../../docs/reliability.md", import.meta.url);

/** What `deno task model --json` prints. */
interface ModelReport {
  readonly spin: string;
  readonly configurations: readonly {
    readonly name: string;
    readonly states: number;
    readonly transitions: number;
    readonly depth: number;
    readonly errors: number;
  }[];
  readonly mutants: readonly {
    readonly name: string;
    readonly caught: boolean;
    readonly by: string | null;
  }[];
}

/** What the checks hold to be true. */
const MEANING: Readonly<Record<Check, string>> = {
  I1:
    "never more machines between grant and return than max at the time of the grant, unless an administrator forces it",
  I2: "no reboot call without a committed confirm that names this machine, boot and hold",
  I3:
    "a hold ends in only three ways (its machine rebooted, its owner cancelled, an administrator unlocked), and each is recorded",
  I4: "crashes, partitions and restarts of the store never lose, duplicate or alter a hold",
  I5:
    "grants are first come, first served within a priority; dead machines are skipped, and never granted a slot",
  I6: "the window is open at the reboot call, by the machine's clock",
  I7: "reading a document and writing it back changes nothing, not even unknown fields and large numbers",
  I8:
    "no reboot that the checks refuse or the hooks have not prepared, and no slot back before its machine is known to be well",
  L1: "once faults stop, every waiting machine whose window recurs reboots and gives its slot back",
  L2: "lost and late watch events only cause delay",
  S1: "machines that arrive at the same moment do not keep refusing each other's swaps",
  S2: "a daemon calls an unreachable store at most every other second",
  S3: "once the store is back, a free slot is taken as soon as the watches are back",
};

function page(figures: Figures, commit: string, findings: readonly Finding[], model: ModelReport): string {
  const count = (value: number) => Math.round(value).toLocaleString("en-US");
  const row = (...cells: (string | number)[]) => `| ${cells.join(" | ")} |`;
  const hours = figures.longestConvergenceMs / 3_600_000;
  return [
    "# Reliability",
    "",
    "Made by `deno task reliability`. The real lock, queue, waiter, agent and windows run on a simulated store, clock,",
    "network and fleet, from a seed; a judge watches from outside and trusts nothing that a machine believes. First, faults",
    "strike at every step; then they stop and everything must converge. Seed and commit reproduce a run:",
    "`deno task simulate --seed S --trace`.",
    "",
    "## Histories",
    "",
    row("figure", "measured"),
    row("---", "---"),
    row("commit", commit),
    row("seeds", `${figures.firstSeed} to ${figures.firstSeed + figures.histories - 1}`),
    row("histories", count(figures.histories)),
    row("histories a minute", count(figures.histories * 60 / figures.seconds)),
    row("simulated hours", count(figures.simulatedHours)),
    row("reboots", count(figures.reboots)),
    row("transactions with unknown outcome", count(figures.unknownOutcomes)),
    row("violations", figures.failure === null ? 0 : `seed ${figures.failure.seed}: ${figures.failure.text}`),
    row("longest time to converge", `${hours.toFixed(1)} h`),
    row("longest share of its bound", `${(100 * figures.longestShareOfBound).toFixed(0)} %`),
    "",
    "## What must never break, and how often it was tested",
    "",
    row("check", "promise", "times"),
    row("---", "---", "---"),
    ...CHECKS.map((check) => row(check, MEANING[check], count(figures.exercised[check]))),
    "",
    "## Faults",
    "",
    row("fault", "times"),
    row("---", "---"),
    ...FAULT_KINDS.map((kind) => row(kind, count(figures.faults[kind]))),
    "",
    "## Planted bugs",
    "",
    `Each is planted in a copy of the sources and must be caught within ${
      count(HISTORIES_LIMIT)
    } histories: ` +
    `${findings.filter(({ caught }) => caught).length} of ${findings.length} were.`,
    "",
    row("bug", "caught at seed", "by"),
    row("---", "---", "---"),
    ...findings.map(({ name, caught, seed, text }) =>
      row(name, seed ?? "-", caught ? text.slice(0, 2) : "**not caught**")
    ),
    "",
    "## Model",
    "",
    `Lock, confirm, reboot and release, with lost and late replies and crashes, in Promela ` +
    `(tests/model/lock.pml), checked exhaustively by ${model.spin}.`,
    "",
    row("configuration", "states", "transitions", "depth", "errors"),
    row("---", "---", "---", "---", "---"),
    ...model.configurations.map(({ name, states, transitions, depth, errors }) =>
      row(name, count(states), count(transitions), count(depth), errors)
    ),
    "",
    `${
      model.mutants.filter(({ caught }) => caught).length
    } of ${model.mutants.length} mutants failed, as all of them must.`,
    "",
    row("mutant", "breaks"),
    row("---", "---"),
    ...model.mutants.map(({ name, caught, by }) => row(name, caught ? by ?? "-" : "**nothing**")),
    "",
  ].join("\n");
}

async function output(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await new Deno.Command(program, { args: [...args], stdin: "null", stderr: "inherit" })
    .output();
  return new TextDecoder().decode(stdout).trim();
}

async function commitOf(): Promise<string> {
  const cwd = new URL("../..", import.meta.url).pathname;
  const commit = await output("git", ["-C", cwd, "rev-parse", "--short=12", "HEAD"]);
  const changed = await output("git", ["-C", cwd, "status", "--porcelain", "--", "lib", "tests"]);
  return changed === "" ? commit : `${commit} with uncommitted changes`;
}

async function huntAll(): Promise<Finding[]> {
  const folder = await copySources();
  try {
    const findings: Finding[] = [];
    for (const bug of PLANTED_BUGS) {
      console.error(`planted: ${bug.name}`);
      findings.push(await hunt(folder, bug));
    }
    return findings;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function main(): Promise<number> {
  const options = parseArgs(Deno.args, { string: ["histories", "seed"] });
  const [histories, seed] = [Number(options.histories ?? "100000"), Number(options.seed ?? "1")];
  if (!Number.isSafeInteger(histories) || histories < 1 || !Number.isSafeInteger(seed) || seed < 0) {
    console.error("usage: deno task reliability [--histories N] [--seed S]");
    return 2;
  }
  const commit = await commitOf();
  let shown = 0;
  const figures = await simulate(seed, histories, (done) => {
    if (done - shown < histories / 20) return;
    shown = done;
    console.error(`${done} of ${histories} histories`);
  });
  const findings = await huntAll();
  console.error("model: tests/model/lock.pml");
  const model: ModelReport = JSON.parse(
    await output(Deno.execPath(), [
      "run",
      "-A",
      new URL("../model/model.ts", import.meta.url).pathname,
      "--json",
    ]),
  );
  await Deno.writeTextFile(PAGE, page(figures, commit, findings, model));
  const sound = figures.failure === null && unexercised(figures).length === 0 &&
    findings.every(({ caught }) => caught) && model.mutants.every(({ caught }) => caught) &&
    model.configurations.every(({ errors }) => errors === 0);
  console.log(`docs/reliability.md: ${sound ? "all promises hold" : "something is broken, see the page"}`);
  return sound ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
