/** The modules that the program is bundled into: what a command costs before it does anything. */

import { assertEquals } from "@std/assert";
import { leashedDeno } from "../support/child.ts";
import { locksmith } from "../support/executable.ts";

/** Evaluates files of the bundle, and prints which modules of node that loaded. */
const EVALUATE = `
const loaded = new Set();
const load = process.getBuiltinModule;
process.getBuiltinModule = (name) => (loaded.add(name), load(name));
for (const path of Deno.args) await import(path);
console.log(JSON.stringify([...loaded]));
`;

Deno.test("what commands and the daemon import loads no module of node before something of it is used", async () => {
  const folder = `${(await locksmith()).replace(/[^/]*$/, "")}build/bundle`;
  const files = ["run", "asking", "need", "daemon", "others"].map((name) => `${folder}/${name}.js`);
  const { stdout, stderr } = await leashedDeno(["eval", "--quiet", EVALUATE, ...files], { stdin: "null" })
    .output();
  const text = new TextDecoder();
  assertEquals([text.decode(stdout).trim(), text.decode(stderr)], ["[]", ""]);
});
