/** `locksmith serve`, the built file, on the embedded store, with a token of each role that people have. */

import { CACHE_DIR, locksmith } from "./executable.ts";
import { caches, leashed } from "./child.ts";

export interface ServeProcess extends AsyncDisposable {
  readonly url: string;
  readonly tokens: { readonly operator: string; readonly viewer: string };
}

/** Starts it on a store in the file `path`, with its credentials in `dir`. Rejects when it ends instead of listening. */
export async function startServe(path: string, dir: string): Promise<ServeProcess> {
  const program = await locksmith();
  const options = {
    clearEnv: true,
    env: { ...caches(), PATH: "/usr/bin:/bin", LOCKSMITH_CACHE_DIR: CACHE_DIR },
    stdin: "null",
  } as const;
  const tokens = `${dir}/credentials.json`;
  const token = async (role: string): Promise<string> => {
    const args = ["token", "add", "--role", role, "--name", role, "--tokens", tokens];
    const { success, stdout, stderr } = await leashed(program, { ...options, args }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout).trim();
  };
  const made = { operator: await token("operator"), viewer: await token("viewer") };
  const args = ["serve", "--listen", "127.0.0.1:0", "--endpoint", `sqlite:${path}`, "--tokens", tokens];
  const child = leashed(program, { ...options, args, stdout: "null", stderr: "piped" }).spawn();
  let text = "";
  const listening = Promise.withResolvers<string>();
  const reading = (async () => {
    for await (const piece of child.stderr.pipeThrough(new TextDecoderStream())) {
      text += piece;
      const [, url] = /listening at (http:\S+)/.exec(text) ?? [];
      if (url !== undefined) listening.resolve(url);
    }
    listening.reject(new Error(`locksmith serve ended: ${text}`));
  })();
  return {
    url: await listening.promise,
    tokens: made,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await reading;
    },
  };
}
