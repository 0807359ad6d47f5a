/**
 * What the daemon of a host and the system say of it, line by line, as the host's journal has it: read from outside, so
 * that it is there whether the host is up or not, and goes on from boot to boot.
 */

import { capture, linesOf } from "./command.ts";

/** How long a line may be waited for, and the journal take to be read as a whole. */
const LINE_MS = 120_000;

/** A line of the journal. */
export interface Line {
  readonly text: string;
  /** As syslog(3) counts: 3 error, 4 warning, 5 notice, 6 info. */
  readonly priority: number;
  /** The boot in which it was written, without dashes. */
  readonly boot: string;
  readonly atMs: number;
  /** Who wrote it: `locksmithd`, `systemd`. */
  readonly by: string;
}

export class Journal implements AsyncDisposable {
  readonly lines: Line[] = [];
  #next = 0;
  #wake = () => {};
  #ended = false;
  readonly #reading: Promise<void>;

  private constructor(private readonly reader: Deno.ChildProcess, private readonly words: readonly string[]) {
    this.#reading = this.#read();
  }

  /** Follows the journal of a unit. `words` make a command run where `folder` is. */
  static follow(words: (command: readonly string[]) => string[], folder: string, unit: string): Journal {
    const read = [
      "journalctl",
      "--merge",
      "--quiet",
      "--output=json",
      `--directory=${folder}`,
      `--unit=${unit}`,
    ];
    // where the reader outlives us, nothing ends with us
    const [program = "", ...args] = words([
      ...["setpriv", "--pdeathsig", "KILL"],
      ...[...read, "--follow", "--lines=all"],
    ]);
    return new Journal(
      new Deno.Command(program, { args, stdin: "null", stdout: "piped", stderr: "inherit" }).spawn(),
      words(read),
    );
  }

  /** Every line that is in it: who follows it may be behind. */
  async whole(): Promise<Line[]> {
    const { code, stdout } = await capture(this.words, LINE_MS);
    if (code !== 0) throw new Error(`the journal cannot be read: exit ${code}`);
    return stdout.split("\n").filter((json) => json !== "").map(lineOf);
  }

  /**
   * The next line that fits; those before it are passed over, once and for all. Rejects with all that was said when none
   * comes.
   */
  async line(pattern: RegExp, limitMs = LINE_MS): Promise<Line> {
    const deadline = Date.now() + limitMs;
    while (true) {
      while (this.#next < this.lines.length) {
        const line = this.lines[this.#next++];
        if (line !== undefined && pattern.test(line.text)) return line;
      }
      const leftMs = deadline - Date.now();
      if (leftMs <= 0 || this.#ended) throw new Error(`no line ${pattern} in time:\n${this.text}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, leftMs);
      await promise;
      clearTimeout(timer);
    }
  }

  /** All that was said until now is passed over. */
  skip(): void {
    this.#next = this.lines.length;
  }

  get text(): string {
    return this.lines.map(({ boot, by, text }) => `${boot.slice(0, 4)} ${by}: ${text}`).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.reader.kill("SIGKILL");
    } catch {
      // it has ended already
    }
    await Promise.all([this.reader.status, this.#reading]);
  }

  async #read(): Promise<void> {
    for await (const json of linesOf(this.reader.stdout)) {
      this.lines.push(lineOf(json));
      this.#wake();
    }
    this.#ended = true;
    this.#wake();
  }
}

/** An entry, as `--output=json` shows it. */
function lineOf(json: string): Line {
  const entry: Record<string, unknown> = JSON.parse(json);
  return {
    text: textOf(entry["MESSAGE"]),
    priority: Number(entry["PRIORITY"]),
    boot: `${entry["_BOOT_ID"]}`,
    atMs: Number(entry["__REALTIME_TIMESTAMP"]) / 1000,
    by: `${entry["SYSLOG_IDENTIFIER"]}`,
  };
}

/** A text, or the bytes of what is none. */
function textOf(message: unknown): string {
  return Array.isArray(message) ? new TextDecoder().decode(Uint8Array.from(message)) : `${message}`;
}
