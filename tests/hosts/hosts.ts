/**
 * `deno task hosts`: the stories of real hosts, also those that take long, because leases, retries and clocks do. It needs
 * root and installs what it lacks; where there can be no hosts it fails. Each host's journal stays below `dist/build/hosts`.
 *
 *     deno task hosts                                  all stories
 *     deno task hosts tests/hosts/long/clock.ts --filter window
 *     deno task hosts --vm                             one virtual machine, whose kernel really restarts
 */

import { install, missing } from "../support/packages.ts";
import { HOST_PACKAGES, LONG_PACKAGES, whyNoHosts } from "./requirements.ts";

const HERE = new URL(".", import.meta.url).pathname;
const VM_STORIES = `${HERE}vm/`;
const VM = "--vm";

async function main(args: readonly string[]): Promise<number> {
  const vm = args.includes(VM);
  const others = args.filter((arg) => arg !== VM);
  await install(await missing([...HOST_PACKAGES, ...LONG_PACKAGES]));
  const why = await whyNoHosts();
  if (why !== undefined) {
    console.error(`there can be no hosts on this machine: ${why}`);
    return 1;
  }
  const named = others.some((arg) => arg.endsWith(".ts"));
  const files = named ? [] : vm ? await stories(VM_STORIES) : [HERE, ...await stories(`${HERE}long/`)];
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--quiet", ...files, ...others],
    stdin: "null",
  }).spawn().status;
  return code;
}

/** The files of a folder, which `deno test` does not take for tests by their names. */
async function stories(folder: string): Promise<string[]> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  return names.filter((name) => name.endsWith(".ts")).sort().map((name) => `${folder}${name}`);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
