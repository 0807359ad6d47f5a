/**
 * A laboratory: the one place of the machine in which hosts are booted, apart from everything else on it. It has its own
 * mounts, networks and process ids, an empty `/run` in memory, and a cgroup.
 *
 * Promised: whatever happens in it ends with it, and it ends with this process, however that ends. Its first process holds
 * our pipe, and the kernel kills all others after it; mounts and networks go with the last process, and a shell outside
 * of it removes the cgroup. Not promised: a cgroup is gone when that shell is killed too; the next laboratory removes it.
 */

import { capture, type Captured, linesOf } from "./command.ts";

/** How long a command in the laboratory may take. */
const COMMAND_MS = 120_000;
/** How long it may take to make a laboratory, and to take one down. */
const LIMIT_MS = 120_000;
const SCRIPT = new URL("./lab.sh", import.meta.url).pathname;

let labs = 0;

export class Lab implements AsyncDisposable {
  private constructor(
    /** Its cgroup below the root of cgroups, which no other laboratory has. */
    readonly name: string,
    /** Its first process, as the machine counts. */
    readonly pid: number,
    private readonly shell: Deno.ChildProcess,
  ) {}

  /** Makes one. Rejects with what the system said where that cannot be done. */
  static async start(): Promise<Lab> {
    const name = `locksmith-hosts-${Deno.pid}-${++labs}`;
    const shell = new Deno.Command("sh", {
      args: [SCRIPT, name],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      // Ctrl-C is for us, and ends the laboratory by us
      detached: true,
    }).spawn();
    const said = new Response(shell.stderr).text();
    for await (const line of linesOf(shell.stdout)) return new Lab(name, Number(line), shell);
    await shell.status;
    throw new Error(`cannot make namespaces for hosts: ${(await said).trim()}`);
  }

  /** A file of the laboratory, by a path that the machine understands. */
  path(inside: string): string {
    return `/proc/${this.pid}/root${inside}`;
  }

  /** The words that run a command in it. */
  words(command: readonly string[]): string[] {
    return ["nsenter", "--target", `${this.pid}`, "--mount", "--net", "--pid", "--", ...command];
  }

  /** The words that become a command which has its networks and the machine's files, and ends with this process. */
  get networkOnly(): string[] {
    return ["setpriv", "--pdeathsig", "KILL", "nsenter", `--net=/proc/${this.pid}/ns/net`, "--"];
  }

  /** Runs a command in it. Rejects when it fails or takes too long. */
  async run(...command: readonly string[]): Promise<string> {
    return (await this.capture(command, COMMAND_MS)).stdout;
  }

  /** Runs lines of shell in it, with words as `$1` and so on. The first that fails ends them, and rejects. */
  async shellLines(script: string, ...words: readonly string[]): Promise<string> {
    return await this.run("sh", "-euc", script, "sh", ...words);
  }

  private async capture(command: readonly string[], limitMs: number): Promise<Captured> {
    const captured = await capture(this.words(command), limitMs);
    if (captured.code !== 0) {
      throw new Error(`${command.join(" ")}: exit ${captured.code}: ${captured.stderr.trim()}`);
    }
    return captured;
  }

  /** Ends every process in it; when this resolves nothing of it is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shell.stdin.close().catch(() => {});
    const late = setTimeout(() => this.shell.kill("SIGKILL"), LIMIT_MS);
    const { code, signal } = await this.shell.status;
    clearTimeout(late);
    if (code !== 0) throw new Error(`the laboratory ${this.name} ended with ${signal ?? code}`);
  }
}
