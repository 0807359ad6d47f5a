/**
 * This process: what it was called by, its environment, its files and streams. Everything else of the command line gets
 * these handed in.
 */

import { readKernelFile } from "../host/identity.ts";
import { readRegularFile } from "../host/regular_file.ts";
import { localZone, ZoneError } from "../host/zone.ts";
import { ValueError } from "./option.ts";
import { type Output, OutputError } from "./output.ts";
import type { Screen } from "./screen.ts";
import { reasonOf } from "../system_error.ts";

/** The name that the program was called by, without its directory. */
export async function calledBy(): Promise<string> {
  // the self-extracting file says it; a compiled one knows by a module that costs as much as all of a short command
  const path = env("LOCKSMITH_ARGV0") ?? (await import("node:process")).default.argv0;
  const name = path.slice(path.lastIndexOf("/") + 1);
  return name === "" || name === "deno" ? "locksmith" : name;
}

/** A variable, or `undefined` where it is not set or not to be seen. */
export function env(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}

/** The time zone of this host. Throws {@linkcode ValueError} where it cannot be understood. */
export function hostZone(): string {
  try {
    return localZone({ tz: env("TZ"), nowMs: Date.now() });
  } catch (error) {
    if (error instanceof ZoneError) throw new ValueError(error.message, { cause: error });
    throw error;
  }
}

/** The bytes of a file, or `undefined` where there is none. */
export function readFile(path: string): Uint8Array | undefined {
  return unlessMissing(() => readRegularFile(path));
}

/** The names in a folder; none where there is no folder. */
export function readFolder(path: string): readonly string[] {
  return unlessMissing(() => [...Deno.readDirSync(path)].map(({ name }) => name)) ?? [];
}

function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}

/**
 * Whether a hang-up is ignored, as nohup(1) has it. To be asked before anything listens to a signal: from then on the
 * runtime takes SIGHUP too, and ends at it unless there is a listener.
 */
export async function ignoresHangup(): Promise<boolean> {
  const status = await readKernelFile("/proc/self/status").catch(() => "");
  const [, mask = "0"] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  // the signal of number 1 is the lowest bit
  return (BigInt(`0x${mask}`) & 1n) === 1n;
}

/** Whether stderr goes to the journal, which systemd says of those that it starts. */
export function isJournal(): boolean {
  return env("JOURNAL_STREAM") !== undefined && !Deno.stderr.isTerminal();
}

/** The terminal that stdout is, or `undefined` where it is none. */
export function screenOf(): Screen | undefined {
  if (!Deno.stdout.isTerminal()) return undefined;
  return { columns: columnsOf(), zone: displayZone(), colour: !Deno.noColor && env("TERM") !== "dumb" };
}

/** How wide the terminal is; `Infinity` where it does not say. */
export function columnsOf(): number {
  try {
    return Deno.consoleSize().columns || Infinity;
  } catch {
    return Infinity;
  }
}

/** How many lines the terminal has; `Infinity` where it does not say. */
export function rowsOf(): number {
  try {
    return Deno.consoleSize().rows || Infinity;
  } catch {
    return Infinity;
  }
}

/** This machine's zone, to tell times in; UTC where it cannot be understood. */
export function zoneOfHost(): string {
  return displayZone() ?? "UTC";
}

/** A zone that cannot be understood is no reason to show nothing: times are shown as they are stored. */
function displayZone(): string | undefined {
  try {
    return hostZone();
  } catch {
    return undefined;
  }
}

/** Whether the reader of stdout went away. */
let isUnread = false;

/** stdout, which fails loudly; and stderr, which has nobody to tell that it failed. */
export const OUTPUT: Output = {
  out(text) {
    // the self-extracting file knows what the runtime hides: that nobody opened stdout
    if (env("LOCKSMITH_STDOUT") === "closed") throw new OutputError("it is closed");
    try {
      if (!write(Deno.stdout, text)) isUnread = true;
    } catch (error) {
      throw new OutputError(reasonOf(error));
    }
  },
  unread: () => isUnread,
  err(text) {
    try {
      write(Deno.stderr, text);
    } catch {
      // nothing is left to write to
    }
  },
};

/** Writes all of it; `false` where the reader went away (`| head`), which is no error of ours. */
function write(stream: { writeSync(bytes: Uint8Array): number }, text: string): boolean {
  try {
    for (let rest = new TextEncoder().encode(text); rest.length > 0;) {
      rest = rest.subarray(stream.writeSync(rest));
    }
    return true;
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    return false;
  }
}
