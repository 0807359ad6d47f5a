/**
 * The house: the rooms of the program, which room may import which, and what their modules really import.
 *
 * `deno info` reads the imports, so each kind counts: static, dynamic, of types, re-exported. It cannot see an import
 * whose target is made up at run time; that is a fault of its own. What a module does with what it imports is not judged
 * here.
 */

import { relative } from "node:path";

/** A room: the flat core, a wing of it, or what stands before them. */
interface Room {
  readonly name: string;
  /** Where it is, and in one line what it is. */
  readonly folder: string;
  readonly what: string;
  /** The rooms that it may import, beside itself. */
  readonly may: readonly string[];
}

/** From the door to the ground. A new wing is a new row here. */
const ROOMS: readonly Room[] = [
  { name: "main", folder: "main.ts", what: "which command, which exit code", may: ["cli"] },
  {
    name: "cli",
    folder: "lib/cli/",
    what: "options, configuration, commands, output",
    may: ["etcd", "sqlite", "http", "host", "need", "fleetlock", "serve", "simulation", "core"],
  },
  {
    name: "serve",
    folder: "lib/serve/",
    what: "the HTTP server",
    may: ["fleetlock", "simulation", "core"],
  },
  { name: "fleetlock", folder: "lib/fleetlock/", what: "the FleetLock protocol", may: ["core"] },
  {
    name: "need",
    folder: "lib/need/",
    what: "detectors: is a reboot needed?",
    may: ["host", "core"],
  },
  { name: "host", folder: "lib/host/", what: "this machine: bus, logind, sessions, identity", may: ["core"] },
  { name: "etcd", folder: "lib/etcd/", what: "a store: an etcd cluster", may: ["core"] },
  { name: "sqlite", folder: "lib/sqlite/", what: "a store: one file on one host", may: ["core"] },
  { name: "http", folder: "lib/http/", what: "a store: a server that keeps one", may: ["core"] },
  {
    name: "simulation",
    folder: "lib/simulation/",
    what: "a fleet in virtual time, and its judge",
    may: ["core"],
  },
  {
    name: "core",
    folder: "lib/",
    what:
      "the rules: document, queue, lock, windows, agent, daemon;<br/>no network, file, process or terminal",
    may: [],
  },
];

/** Packages that stand for the standard library: anybody may use them, and they use nothing of ours. */
const LINKED = "lib/std/";
/** What the core may import that is not ours. */
const CORE_PACKAGES = /^(?:@std\/|jsr:@std\/)/;
/** The longest module that needs no reason, in lines. */
const LINES_MAX = 450;

/** One module imports another, or a package. */
interface Import {
  /** Paths from the root of the project; `to` is as it was written where it is no file below the root. */
  readonly from: string;
  readonly to: string;
  readonly line: number;
  /** Whether who evaluates `from` evaluates `to`: an import of types does not, nor one that is made when it is called. */
  readonly evaluates: boolean;
}

/** What `deno info --json` says, as far as it is read. */
interface Graph {
  readonly modules: readonly {
    readonly specifier: string;
    readonly error?: string;
    readonly dependencies?: readonly {
      readonly specifier: string;
      readonly code?: Resolved;
      readonly type?: Resolved;
      readonly isDynamic?: boolean;
    }[];
  }[];
}
interface Resolved {
  readonly specifier?: string;
  readonly span: { readonly start: { readonly line: number } };
}

/** The modules that are shipped or build what is: paths from the root. */
async function modulesOf(root: string): Promise<string[]> {
  const found = (await Promise.all(["main.ts", "lib", "dist"].map((path) => modulesBelow(root, path))))
    .flat();
  return found.filter((path) => !path.startsWith(LINKED)).sort();
}

async function modulesBelow(root: string, path: string): Promise<string[]> {
  if (path.endsWith(".ts")) return path.endsWith(".d.ts") ? [] : [path];
  const found: string[] = [];
  const entries = await Array.fromAsync(Deno.readDir(`${root}/${path}`)).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  });
  for (const { name, isDirectory } of entries) {
    if (isDirectory || name.endsWith(".ts")) found.push(...await modulesBelow(root, `${path}/${name}`));
  }
  return found;
}

/** Every import of the modules of the house at `root`. Throws for a module that is imported and not there. */
export async function readImports(root: string): Promise<Import[]> {
  const modules = await modulesOf(root);
  const graph = await readGraph(root, modules);
  const known = new Set(modules);
  const path = (specifier: string) =>
    specifier.startsWith("file:") ? relative(root, new URL(specifier).pathname) : specifier;
  const imports = graph.modules.flatMap(({ specifier, error, dependencies = [] }) => {
    const from = path(specifier);
    if (error !== undefined && !/^(?:npm|jsr|node|https?):/.test(specifier)) throw new Error(error);
    if (!known.has(from)) return [];
    return dependencies.flatMap(({ specifier, code, type, isDynamic = false }) => {
      const resolved = code ?? type;
      if (resolved === undefined) return [];
      const target = path(resolved.specifier ?? specifier);
      const outside = target.startsWith("../") || target.startsWith(LINKED);
      const evaluates = code !== undefined && !isDynamic;
      return [{ from, to: outside ? specifier : target, line: resolved.span.start.line + 1, evaluates }];
    });
  });
  return imports.sort((a, b) => a.from === b.from ? a.line - b.line : a.from < b.from ? -1 : 1);
}

async function readGraph(root: string, modules: readonly string[]): Promise<Graph> {
  const folder = await Deno.makeTempDir({ prefix: "locksmith-house-" });
  try {
    const entry = `${folder}/entry.ts`;
    await Deno.writeTextFile(entry, modules.map((path) => `import "file://${root}/${path}";\n`).join(""));
    const config = await Deno.stat(`${root}/deno.json`).then(
      () => [`--config=${root}/deno.json`],
      () => ["--no-config"],
    );
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--no-lock", "--no-npm", "--no-remote", ...config, entry],
      stdin: "null",
    }).output();
    if (!success) throw new Error(`cannot read the imports: ${new TextDecoder().decode(stderr).trim()}`);
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What each start of the program evaluates, whatever it is asked for but the version: modules and packages, sorted. */
export function evaluatedAtStart(imports: readonly Import[]): string[] {
  const found = new Set(["main.ts", "lib/cli/run.ts"]);
  // what is added meanwhile is visited too
  for (const module of found) {
    for (const { from, to, evaluates } of imports) if (evaluates && from === module) found.add(to);
  }
  return [...found].sort();
}

/** The room of a module; `tests` and `dist` stand before the house. */
function roomOf(path: string): string {
  if (path === "main.ts") return "main";
  const [, folder = "", wing] = /^(tests|dist|lib)\/(?:([^/]+)\/)?/.exec(path) ?? [];
  return folder === "lib" ? wing ?? "core" : folder;
}

/** Each import that no arrow of the house allows, as `file:line: what is wrong`. */
function forbiddenImports(imports: readonly Import[]): string[] {
  return imports.flatMap(({ from, to, line }) => {
    const why = obstacle(from, to);
    return why === undefined ? [] : [`${from}:${line}: ${why}`];
  });
}

function obstacle(from: string, to: string): string | undefined {
  const [room, target] = [roomOf(from), roomOf(to)];
  if (target === "tests") return `what is shipped imports no test (${to})`;
  if (room === "dist") return undefined;
  if (target === "dist") return `the program imports nothing of dist (${to})`;
  const allowed = ROOMS.find(({ name }) => name === room);
  if (allowed === undefined) return undefined;
  if (target === "") {
    return room === "core" && !CORE_PACKAGES.test(to) ? `the core imports no package (${to})` : undefined;
  }
  if (target === room || allowed.may.includes(target)) return undefined;
  return `${room} may not import ${target} (${to})`;
}

/** Modules that import each other, in however many steps: a fault for each such knot, with one way round. */
function circles(imports: readonly Import[]): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to } of imports) next.set(from, [...next.get(from) ?? [], to]);
  const found: string[] = [];
  const told = new Set<string>();
  for (const start of next.keys()) {
    const way = wayBack(start, next);
    if (way === undefined || way.some((module) => told.has(module))) continue;
    way.forEach((module) => told.add(module));
    found.push(`a circle: ${[...way, start].join(" -> ")}`);
  }
  return found;
}

/** The shortest way from a module to itself. */
function wayBack(start: string, next: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const seen = new Set<string>();
  for (let ways = [[start]]; ways.length > 0;) {
    const further: string[][] = [];
    for (const way of ways) {
      for (const module of next.get(way.at(-1) ?? "") ?? []) {
        if (module === start) return way;
        if (seen.has(module)) continue;
        seen.add(module);
        further.push([...way, module]);
      }
    }
    ways = further;
  }
  return undefined;
}

/** Modules that are too long without a word why, and imports of what is named only at run time. */
async function oddModules(root: string): Promise<string[]> {
  const faults: string[] = [];
  for (const path of await modulesOf(root)) {
    const text = await Deno.readTextFile(`${root}/${path}`);
    if (path.startsWith("lib/") && !ROOMS.some(({ name }) => name === roomOf(path))) {
      faults.push(`${path}: there is no room for it in tests/docs/house.ts`);
    }
    const [opening = ""] = /^\s*\/\*\*.*?\*\//s.exec(text) ?? [];
    const lines = text.trimEnd().split("\n").length;
    if (
      path.startsWith("lib/") && lines > LINES_MAX && !/\b(?:One noun:|Generated by)/.test(opening) &&
      !text.startsWith("// Code generated by")
    ) {
      faults.push(
        `${path}: ${lines} lines, and no "One noun: ..." in its opening paragraph that says why it is not cut`,
      );
    }
    text.split("\n").forEach((line, index) => {
      if (!/^\s*(?:\*|\/\/)/.test(line) && /\bimport\(\s*[^"'`\s)]/.test(line)) {
        faults.push(`${path}:${index + 1}: imports what is named only at run time`);
      }
    });
  }
  return faults;
}

/** All that is wrong with the house at `root`. */
export async function houseFaults(root: string): Promise<string[]> {
  const imports = await readImports(root);
  return [...forbiddenImports(imports), ...circles(imports), ...await oddModules(root)];
}

/** The rooms as boxes and the imports that there are as arrows, in the language of mermaid. */
export function picture(imports: readonly Import[]): string {
  const arrows = new Set(
    imports.filter(({ from, to }) => obstacle(from, to) === undefined).map(({ from, to }) => {
      return `${roomOf(from)} --> ${roomOf(to)}`;
    }),
  );
  const rooms = ROOMS.filter(({ name }) => imports.some(({ from }) => roomOf(from) === name));
  return [
    "flowchart TD",
    ...rooms.map(({ name, folder, what }) => `  ${name}["<b>${folder}</b><br/>${what}"]`),
    ...rooms.flatMap(({ name }) =>
      rooms.map((other) => `${name} --> ${other.name}`).filter((arrow) =>
        arrows.has(arrow) && !arrow.endsWith(` ${name}`)
      )
    ).map((arrow) => `  ${arrow}`),
  ].join("\n");
}
