/** `locksmith serve`, the built file. */

import { CACHE_DIR, locksmith } from "./executable.ts";
import { caches, leashed } from "./child.ts";

/** A server that listens. */
export interface ServeProcess extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
}

/** One with tokens for people. */
export interface GuardedProcess extends ServeProcess {
  readonly tokens: { readonly operator: string; readonly viewer: string };
}

/** Starts it on a free port of this host with these options. Rejects when it ends instead of listening. */
export async function startServing(args: readonly string[]): Promise<ServeProcess> {
  const child = leashed(await locksmith(), {
    ...bare(),
    args: ["serve", "--listen", "127.0.0.1:0", ...args],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let text = "";
  const listening = Promise.withResolvers<string>();
  const reading = (async () => {
    for await (const piece of child.stderr.pipeThrough(new TextDecoderStream())) {
      if (text.length < KEPT_TEXT) text += piece;
      const [, url] = /listening at (https?:\S+)/.exec(text) ?? [];
      if (url !== undefined) listening.resolve(url);
    }
    listening.reject(new Error(`locksmith serve ended: ${text}`));
  })();
  return {
    url: await listening.promise,
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await reading;
    },
  };
}

/** Starts it on a store in the file `path`, with its credentials in `dir`. Rejects when it ends instead of listening. */
export async function startServe(path: string, dir: string): Promise<GuardedProcess> {
  const program = await locksmith();
  const tokens = `${dir}/credentials.json`;
  const token = async (role: string): Promise<string> => {
    const args = ["token", "add", "--role", role, "--name", role, "--tokens", tokens];
    const { success, stdout, stderr } = await leashed(program, { ...bare(), args }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout).trim();
  };
  const made = { operator: await token("operator"), viewer: await token("viewer") };
  const server = await startServing(["--endpoint", `sqlite:${path}`, "--tokens", tokens]);
  return { ...server, tokens: made };
}

/** What it says until it listens, in characters. */
const KEPT_TEXT = 10_000;

/** Nothing of this process' environment. */
function bare() {
  return {
    clearEnv: true,
    env: { ...caches(), PATH: "/usr/bin:/bin", LOCKSMITH_CACHE_DIR: CACHE_DIR },
    stdin: "null",
  } as const;
}
