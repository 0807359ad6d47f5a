/** The house keeps its arrows, and what breaks them is found: planted in a house made for it. */

import { assert, assertEquals } from "@std/assert";
import { evaluatedAtStart, houseFaults, picture, readImports } from "./house.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** A small house that keeps every rule, with these files in it. */
async function houseWith(files: Readonly<Record<string, string>>): Promise<string[]> {
  const root = await Deno.makeTempDir({ prefix: "locksmith-planted-" });
  try {
    const house: Record<string, string> = {
      "main.ts": 'import "./lib/cli/run.ts";',
      "lib/queue.ts": "export interface Queue {}",
      "lib/store.ts": 'import "./queue.ts"; export interface Store {}',
      "lib/cli/run.ts":
        'import "../store.ts"; import "../need/sentinel.ts"; await import("../etcd/watch.ts");',
      "lib/etcd/watch.ts": 'import "../store.ts"; export interface Watch {}',
      "lib/host/child.ts": "export interface Child {}",
      "lib/need/sentinel.ts": 'import "../host/child.ts";',
      "tests/support/etcd.ts": "export interface Server {}",
      ...files,
    };
    for (const [path, text] of Object.entries(house)) {
      await Deno.mkdir(`${root}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${root}/${path}`, text);
    }
    return await houseFaults(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("the house keeps its arrows, has no circle, and no module too long without a reason", async () => {
  assertEquals(await houseFaults(ROOT), []);
  const read = (await readImports(ROOT)).map(({ from, to }) => `${from} -> ${to}`);
  assert(read.includes("main.ts -> lib/cli/run.ts"), "it read the imports");
  assert(read.includes("lib/cli/open_store.ts -> lib/etcd/store.ts"), "the dynamic ones too");
  assert(read.includes("lib/strategy.ts -> lib/need.ts"), "and those of types");
});

Deno.test("a start evaluates no store, no detector, no bus, no command, and nothing of node", async () => {
  const evaluated = evaluatedAtStart(await readImports(ROOT));
  assert(evaluated.includes("lib/cli/options.ts"), "it followed the imports");
  assertEquals(
    evaluated.filter((path) =>
      path.startsWith("node:") || /^lib\/(?!cli\/|std\/)[^/]+\//.test(path) || /_commands?\.ts$/.test(path)
    ),
    [
      "lib/fleetlock/group_name.ts",
      "lib/host/child.ts",
      "lib/host/identity.ts",
      "lib/host/owned_file.ts",
      "lib/host/regular_file.ts",
      "lib/host/soft_reboot.ts",
      "lib/host/zone.ts",
      "lib/serve/door.ts",
      "lib/serve/listen_address.ts",
      "lib/simulation/plan.ts",
    ],
    "each command waits for what is evaluated here: import the rest when it is called",
  );
});

Deno.test("the version is told without anything of what commands need", async () => {
  const imports = await readImports(ROOT);
  const found = new Set(["main.ts"]);
  for (const module of found) {
    for (const { from, to, evaluates } of imports) if (evaluates && from === module) found.add(to);
  }
  assertEquals([...found].sort(), ["deno.json", "lib/cli/compiled_code.ts", "lib/cli/version.ts", "main.ts"]);
});

Deno.test("houseFaults() of a house that keeps the rules is empty", async () => {
  assertEquals(await houseWith({}), []);
});

Deno.test("houseFaults() finds a wing in the core however it is imported", async () => {
  const ways = [
    'import "./etcd/watch.ts";',
    'import { Watch } from "./etcd/watch.ts";',
    'import type { Watch } from "./etcd/watch.ts";',
    'import { type Watch } from "./etcd/watch.ts";',
    'export * from "./etcd/watch.ts";',
    'export { Watch } from "./etcd/watch.ts";',
    'export type { Watch } from "./etcd/watch.ts";',
    'export type Own = import("./etcd/watch.ts").Watch;',
    'export const later = () => import("./etcd/watch.ts");',
    "export const later = () => import(`./etcd/watch.ts`);",
  ];
  for (const way of ways) {
    const faults = await houseWith({ "lib/lock.ts": `// a rule\n${way}` });
    assertEquals(faults, ["lib/lock.ts:2: core may not import etcd (lib/etcd/watch.ts)"], way);
  }
});

Deno.test("houseFaults() finds a wing in another wing, a command in a wing, and a way past the command line", async () => {
  const faults = await houseWith({
    "main.ts": 'import "./lib/cli/run.ts"; import "./lib/etcd/watch.ts";',
    "lib/host/bus.ts": 'import "../need/sentinel.ts";',
    "lib/etcd/store.ts": 'import "../host/child.ts";\nexport type { Run } from "../cli/run.ts";',
  });
  assertEquals(faults, [
    "lib/etcd/store.ts:1: etcd may not import host (lib/host/child.ts)",
    "lib/etcd/store.ts:2: etcd may not import cli (lib/cli/run.ts)",
    "lib/host/bus.ts:1: host may not import need (lib/need/sentinel.ts)",
    "main.ts:1: main may not import etcd (lib/etcd/watch.ts)",
  ]);
});

Deno.test("houseFaults() finds tests in what is shipped, packages in the core, and a room that nobody knows", async () => {
  const faults = await houseWith({
    "dist/build.ts": 'import "../tests/support/etcd.ts"; import "../lib/queue.ts"; import "node:path";',
    "lib/lock.ts": 'import "node:fs";',
    "lib/cellar/wine.ts": "",
    "lib/cli/run.ts": 'import "../cellar/wine.ts"; import "node:fs"; import "../../dist/build.ts";',
    "lib/etcd/watch.ts": 'import type { Server } from "../../tests/support/etcd.ts";',
  });
  assertEquals(faults, [
    "dist/build.ts:1: what is shipped imports no test (tests/support/etcd.ts)",
    "lib/cli/run.ts:1: cli may not import cellar (lib/cellar/wine.ts)",
    "lib/cli/run.ts:1: the program imports nothing of dist (dist/build.ts)",
    "lib/etcd/watch.ts:1: what is shipped imports no test (tests/support/etcd.ts)",
    "lib/lock.ts:1: the core imports no package (node:fs)",
    "lib/cellar/wine.ts: there is no room for it in tests/docs/house.ts",
  ]);
});

Deno.test("houseFaults() shows one way round each circle, of types and dynamic imports too", async () => {
  const faults = await houseWith({
    "lib/a.ts": 'import "./b.ts";',
    "lib/b.ts": 'import type { C } from "./c.ts"; import "./queue.ts";',
    "lib/c.ts": 'export const later = () => import("./a.ts"); export interface C {}',
    "lib/d.ts": 'import type { D } from "./d.ts"; export interface D {}',
  });
  assertEquals(faults, [
    "a circle: lib/a.ts -> lib/b.ts -> lib/c.ts -> lib/a.ts",
    "a circle: lib/d.ts -> lib/d.ts",
  ]);
});

Deno.test("houseFaults() finds an import that it could not read", async () => {
  const faults = await houseWith({
    "lib/cli/run.ts":
      'const name = "../etcd/watch.ts";\n// import(name) is what nobody can judge\nawait import(name);',
  });
  assertEquals(faults, ["lib/cli/run.ts:3: imports what is named only at run time"]);
});

Deno.test("houseFaults() wants a reason for a long module at its top, and none for a generated one", async () => {
  const lines = (count: number) => "\n".repeat(count - 1) + "export {};";
  const long = (path: string) =>
    `${path}: 451 lines, and no "One noun: ..." in its opening paragraph that says why it is not cut`;
  assertEquals(await houseWith({ "lib/lock.ts": lines(450) }), []);
  assertEquals(await houseWith({ "lib/lock.ts": lines(451) }), [long("lib/lock.ts")]);
  assertEquals(
    await houseWith({ "lib/lock.ts": `/** The lock. */\n// One noun: it is too late here${lines(450)}` }),
    [long("lib/lock.ts")],
  );
  const reason = "/**\n * The lock.\n *\n * One noun: its states are told from top to bottom.\n */";
  assertEquals(await houseWith({ "lib/lock.ts": `${reason}${lines(460)}` }), []);
  assertEquals(
    await houseWith({ "lib/lock.ts": `/** Generated by \`deno task schema\`. */${lines(460)}` }),
    [],
  );
});

Deno.test("picture() has a box for each room that there is, and an arrow for each import of another", () => {
  const imports = [
    { from: "main.ts", to: "lib/cli/run.ts", line: 1, evaluates: true },
    { from: "lib/cli/run.ts", to: "lib/cli/args.ts", line: 1, evaluates: true },
    { from: "lib/cli/run.ts", to: "lib/need/sentinel.ts", line: 2, evaluates: true },
    { from: "lib/cli/args.ts", to: "lib/need/sentinel.ts", line: 1, evaluates: true },
    { from: "lib/need/sentinel.ts", to: "lib/need.ts", line: 1, evaluates: true },
    { from: "lib/need.ts", to: "lib/surroundings.ts", line: 1, evaluates: true },
  ];
  const [head, ...lines] = picture(imports).split("\n");
  assertEquals(head, "flowchart TD");
  assertEquals(lines.map((line) => line.replace(/\[.*/, "").trim()), [
    "main",
    "cli",
    "need",
    "core",
    "main --> cli",
    "cli --> need",
    "need --> core",
  ]);
});
