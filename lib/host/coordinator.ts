/**
 * `/run/update-engine/coordinator.conf`: who coordinates the reboots of this machine, by which strategy, in which state;
 * and the lock on it that lets only one daemon run.
 *
 * The lock is an exclusive flock(2), held from {@linkcode Coordinator.open} until `close` or the end of the process,
 * whichever way it ends. Nothing is written before it is held. The file is rewritten in place, since the lock is
 * on its inode, with one write that covers all of the old text; a reader may see empty lines at its end, never half
 * a line.
 */
import { reasonOf } from "./child.ts";
import { readKernelFile } from "./identity.ts";

export type CoordinatorState = "starting" | "disabled" | "running" | "reboot-planned" | "rebooting";

/** The file cannot be had. `kind` tells whether another daemon holds it. */
export class CoordinatorError extends Error {
  override readonly name = "CoordinatorError";
  constructor(readonly kind: "held" | "failed", message: string, readonly hint: string) {
    super(message);
  }
}

/** The file may be removed between its opening and its locking; so often is that begun anew. */
const MAX_TRIES = 5;

export class Coordinator {
  readonly #file: Deno.FsFile;
  readonly #path: string;
  #length: number;
  #closed = false;

  private constructor(file: Deno.FsFile, path: string, length: number) {
    this.#file = file;
    this.#path = path;
    this.#length = length;
  }

  /** Opens the file, and makes it and its directory if need be, and locks it. Throws {@linkcode CoordinatorError}. */
  static async open(path: string): Promise<Coordinator> {
    const directory = path.slice(0, path.lastIndexOf("/") + 1) || ".";
    const fault = (error: unknown) =>
      new CoordinatorError(
        "failed",
        `cannot open ${path}: ${reasonOf(error)}`,
        "the daemon is meant to run as root",
      );
    try {
      await Deno.mkdir(directory, { recursive: true, mode: 0o755 });
    } catch (error) {
      throw fault(error);
    }
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      let file: Deno.FsFile | null = null;
      try {
        file = await Deno.open(path, { read: true, write: true, create: true, mode: 0o644 });
        const info = await file.stat();
        if (!await file.tryLock(true)) throw await held(path, info);
        const named = await Deno.stat(path).catch(() => null);
        if (named !== null && named.ino === info.ino && named.dev === info.dev) {
          const opened = new Coordinator(file, path, info.size);
          file = null;
          return opened;
        }
      } catch (error) {
        throw error instanceof CoordinatorError ? error : fault(error);
      } finally {
        file?.close();
      }
    }
    throw fault(new Error(`it is being replaced again and again (${MAX_TRIES} tries)`));
  }

  /** Writes strategy and state. Throws {@linkcode CoordinatorError} when the file cannot be written. */
  set(strategy: string, state: CoordinatorState): Promise<void> {
    try {
      if (this.#closed) throw new Error("it is closed");
      const text = new TextEncoder().encode(`NAME=locksmithd\nSTRATEGY=${strategy}\nSTATE=${state}\n`);
      // Line ends cover what the old text had more, so that no rest of it is ever seen after the new.
      const bytes = new Uint8Array(Math.max(text.length, this.#length)).fill(0x0a);
      bytes.set(text);
      this.#file.seekSync(0, Deno.SeekMode.Start);
      for (let done = 0; done < bytes.length;) done += this.#file.writeSync(bytes.subarray(done));
      this.#file.truncateSync(text.length);
      this.#length = text.length;
      return Promise.resolve();
    } catch (error) {
      const message = `cannot write ${this.#path}: ${reasonOf(error)}`;
      return Promise.reject(new CoordinatorError("failed", message, "check the file system below it"));
    }
  }

  /** Gives the lock back; the file stays as it is. Closing twice is fine. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

async function held(path: string, info: Deno.FileInfo): Promise<CoordinatorError> {
  const locks = await readKernelFile("/proc/locks").catch(() => "");
  const pid = lockHolder(locks, info.ino, info.dev);
  const by = pid === null ? "" : ` (process ${pid})`;
  return new CoordinatorError(
    "held",
    `another locksmithd runs${by}: it holds ${path}`,
    "stop it first, or give this one another --root",
  );
}

/**
 * Who holds an flock on this inode, from the text of `/proc/locks`; null when that cannot be told, as from inside a
 * container, or on file systems whose device number there is another than stat(2)'s and the inode is not unique.
 */
export function lockHolder(locks: string, inode: number | null, device: number): number | null {
  if (inode === null) return null;
  // makedev(3) as glibc packs it: major in bits 8..19, minor in 0..7 and 20..31.
  const place = `${hex((device >>> 8) & 0xfff)}:${
    hex((device & 0xff) | ((device >>> 12) & 0xfff00))
  }:${inode}`;
  const pids = new Set<number>();
  for (const line of locks.split("\n")) {
    const [, type, , , pid, where] = line.trim().split(/\s+/);
    if (type !== "FLOCK" || !/^[1-9]\d*$/.test(pid ?? "")) continue; // a waiter's line has `->` in second place
    if (where === place) return Number(pid);
    if (where?.endsWith(`:${inode}`)) pids.add(Number(pid));
  }
  const [only] = pids;
  return pids.size === 1 && only !== undefined ? only : null;
}

function hex(value: number): string {
  return value.toString(16).padStart(2, "0");
}
