/** A host for tests of what an administrator has it do: a folder that stands for `/`, with small scripts in it. */

import type { LogLevel } from "../../lib/surroundings.ts";
import { type Folder, FOLDERS } from "../../lib/host/run_parts.ts";

export class OwnHost implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly machine = { id: "b".repeat(32), bootId: "boot-1", hostname: "web1" };
  readonly group = "web";

  private constructor(readonly root: string) {}

  static async make(): Promise<OwnHost> {
    return new OwnHost(await Deno.makeTempDir({ prefix: "locksmith-own-" }));
  }

  readonly log = (level: LogLevel, text: string): void => {
    if (level !== "debug") this.lines.push(`${level}: ${text}`);
  };

  /** Puts a script into a folder. In it `$LOCKSMITH_ROOT/calls` is where it may leave what it saw. */
  async script(kind: Folder, name: string, text: string): Promise<void> {
    const folder = `${this.root}${FOLDERS[kind]}`;
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(`${folder}/${name}`, `#!/bin/sh\n${text}\n`);
    await Deno.chmod(`${folder}/${name}`, 0o755);
  }

  /** What the scripts left, a line each, and no more. */
  async calls(): Promise<string[]> {
    const text = await Deno.readTextFile(`${this.root}/calls`).catch(() => "");
    await Deno.remove(`${this.root}/calls`).catch(() => {});
    return text.split("\n").filter((line) => line !== "");
  }

  /** A folder with a program in it, to be put in front of PATH: what it prints, by its arguments, is up to `script`. */
  async program(name: string, script: string): Promise<void> {
    await Deno.mkdir(`${this.root}/bin`, { recursive: true });
    await Deno.writeTextFile(`${this.root}/bin/${name}`, `#!/bin/sh\n${script}\n`);
    await Deno.chmod(`${this.root}/bin/${name}`, 0o755);
  }

  /** Does `work` with the programs of this host in front of PATH. */
  async withPrograms<T>(work: () => Promise<T>): Promise<T> {
    const path = Deno.env.get("PATH") ?? "";
    Deno.env.set("PATH", `${this.root}/bin:${path}`);
    try {
      return await work();
    } finally {
      Deno.env.set("PATH", path);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
  }
}
