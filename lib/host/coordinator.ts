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
import { LockedFileError, openLocked } from "./locked_file.ts";

export type CoordinatorState = "starting" | "disabled" | "running" | "reboot-planned" | "rebooting";

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

  /** Opens the file, and makes it and its directory if need be, and locks it. Throws {@linkcode LockedFileError}. */
  static async open(path: string): Promise<Coordinator> {
    const { file, length } = await openLocked(path, { mode: 0o644 });
    return new Coordinator(file, path, length);
  }

  /** Writes strategy and state. Throws {@linkcode LockedFileError} when the file cannot be written. */
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
      return Promise.reject(new LockedFileError("failed", message, "check its file system"));
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
