/**
 * The built program for tests: made when it is missing or older than what it is made of, by one test process while the
 * others wait. Nothing here runs it; who does gives it `LOCKSMITH_CACHE_DIR: CACHE_DIR`, so that the machine's own cache
 * folder stays as it is.
 */

import { leashedDeno } from "./child.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const SOURCES = ["main.ts", "deno.json", "lib", "dist/build.ts", "dist/bundle.ts", "dist/header.sh"];

/** Where the built program unpacks itself in tests. Emptied with every build. */
export const CACHE_DIR = `${ROOT}dist/build/cache`;

/**
 * The absolute path of `dist/locksmith`; `locksmithctl` and `locksmithd` are beside it.
 *
 * @throws {Error} with the text of the build, when that fails
 */
export async function locksmith(): Promise<string> {
  const path = `${ROOT}dist/locksmith`;
  await Deno.mkdir(`${ROOT}dist/build`, { recursive: true });
  using lock = await Deno.open(`${ROOT}dist/build/lock`, { create: true, write: true });
  await lock.lock(true);
  const builtMs = await Deno.stat(path).then(({ mtime }) => mtime?.getTime() ?? 0, () => 0);
  if (builtMs > await newestMs(SOURCES.map((source) => `${ROOT}${source}`))) return path;
  const { success, stderr } = await leashedDeno(["run", "-A", "dist/build.ts"], { cwd: ROOT, stdin: "null" })
    .output();
  if (!success) throw new Error(`cannot build the program: ${new TextDecoder().decode(stderr).trim()}`);
  await Deno.remove(CACHE_DIR, { recursive: true }).catch(() => {});
  return path;
}

/** When the youngest of these files, and of those below these folders, was last changed. */
async function newestMs(paths: readonly string[]): Promise<number> {
  const times = await Promise.all(paths.map(async (path) => {
    const { isDirectory, mtime } = await Deno.stat(path);
    if (!isDirectory) return mtime?.getTime() ?? Infinity;
    return await newestMs((await Array.fromAsync(Deno.readDir(path))).map(({ name }) => `${path}/${name}`));
  }));
  return Math.max(0, ...times);
}
