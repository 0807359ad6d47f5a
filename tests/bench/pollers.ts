/** Hosts that ask a server, in a process of their own that is written in C: see `pollers.c`. Needs gcc and libssl-dev. */

import { leashed } from "../support/child.ts";

/** What came of it. */
export interface Polled {
  readonly answered: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly longestMs: number;
  /** Of the pollers themselves. */
  readonly processorSeconds: number;
  /** How many answers of each code. */
  readonly codes: Readonly<Record<string, number>>;
}

/** Options of `pollers.c`. */
export type PollOptions = Readonly<Record<string, string | number>>;

export class Pollers implements AsyncDisposable {
  private constructor(private readonly folder: string) {}

  /** Compiles it. Throws what the compiler says. */
  static async make(): Promise<Pollers> {
    const folder = await Deno.makeTempDir({ prefix: "locksmith-pollers-" });
    const source = new URL("./pollers.c", import.meta.url).pathname;
    const args = ["-O2", "-o", `${folder}/pollers`, source, "-lssl", "-lcrypto"];
    const { success, stderr } = await new Deno.Command("gcc", { args, stdin: "null" }).output();
    if (!success) {
      throw new Error(`gcc and libssl-dev are needed for pollers.c: ${new TextDecoder().decode(stderr)}`);
    }
    return new Pollers(folder);
  }

  /** Lets hosts ask, until their time is over or each has asked often enough. */
  async poll(url: string, options: PollOptions): Promise<Polled> {
    const { success, stdout, stderr } = await this.#command(url, options).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return JSON.parse(new TextDecoder().decode(stdout).replace(/^ready\n/, ""));
  }

  /** Hosts that ask and wait, until they are disposed of. */
  hold(url: string, options: PollOptions): AsyncDisposable {
    const child = this.#command(url, { ...options, requests: 1 }).spawn();
    return {
      async [Symbol.asyncDispose]() {
        child.kill("SIGKILL");
        await Promise.all([child.output(), child.status]);
      },
    };
  }

  #command(url: string, options: PollOptions): Deno.Command {
    const words = Object.entries(options).map(([name, value]) => `${name}=${value}`);
    return leashed(`${this.folder}/pollers`, {
      args: [`port=${new URL(url).port}`, ...words],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}
