/**
 * That this machine was prepared for a reboot by hooks, as it remembers it across its boots, so that whoever comes next takes
 * it back: a daemon that was interrupted, or the one of the next boot.
 *
 * One process at a time has it: who runs hooks, and who goes by what they did until the reboot comes or it is taken back.
 * So nobody reboots a machine whose drain another is taking back, and what a process that died left behind is free.
 */

import { LockedFileError, openLocked } from "./locked_file.ts";
import { readOwned, removeOwned, writeOwned } from "./owned_file.ts";

/** Where it lies, below the root directory. */
export const PREPARED_FILE = "/var/lib/locksmith/prepared";
/** What the process that has it keeps locked, below the root directory. */
export const HOOKS_LOCK = "/var/lib/locksmith/hooks.lock";

/** What was done. */
export interface Prepared {
  /** The identity of the boot in which it was. */
  readonly boot: string;
  /** Why the reboot was needed. */
  readonly reasons: readonly string[];
  /** Whether all hooks have run. */
  readonly complete: boolean;
}

/**
 * How a machine stands: `none` of it was prepared, it was begun in this boot (`partly`), all of it was (`prepared`), or it
 * was in an `earlier-boot`.
 */
export type Preparation = "none" | "partly" | "prepared" | "earlier-boot";

export class PreparedRecord {
  readonly #path: string;
  readonly #lock: string;
  #locked: Deno.FsFile | undefined;

  /** `boot`: the identity of this boot. */
  constructor(root: string, private readonly boot: string) {
    const below = root.replace(/\/+$/, "");
    this.#path = below + PREPARED_FILE;
    this.#lock = below + HOOKS_LOCK;
  }

  /**
   * This process has it from now on. Throws {@linkcode LockedFileError} where another has it, or where it cannot be had, as on
   * a file system that is read-only.
   */
  async claim(): Promise<void> {
    if (this.#locked !== undefined) return;
    const { file } = await openLocked(this.#lock, {
      mode: 0o600,
      busy: "another locksmith process is preparing this host for a reboot, or taking that back",
      hint: "'locksmith status' tells what the daemon is doing",
    });
    this.#locked = file;
  }

  /** Others may have it. */
  release(): void {
    this.#locked?.close();
    this.#locked = undefined;
  }

  /** Why another process has it; `null`: none has. Never throws. */
  async inOtherHands(): Promise<string | null> {
    if (this.#locked !== undefined) return null;
    try {
      await this.claim();
      this.release();
      return null;
    } catch (error) {
      if (!(error instanceof LockedFileError)) throw error;
      return error.kind === "held" ? error.message : null;
    }
  }

  /** How this machine stands. Throws {@linkcode OwnedFileError}. */
  async state(): Promise<Preparation> {
    const prepared = await this.read();
    if (prepared === null) return "none";
    if (prepared.boot !== this.boot) return "earlier-boot";
    return prepared.complete ? "prepared" : "partly";
  }

  /** What was done, `null`: nothing. What is there and cannot be understood was something. Throws {@linkcode OwnedFileError}. */
  async read(): Promise<Prepared | null> {
    const text = await readOwned(this.#path);
    return text === null ? null : parse(text);
  }

  /** Hooks are about to run; it is on the disk when this returns. Throws {@linkcode OwnedFileError}. */
  async begin(reasons: readonly string[]): Promise<void> {
    await this.#write({ boot: this.boot, reasons, complete: false }, true);
  }

  /** All have run. Throws {@linkcode OwnedFileError}. */
  async complete(reasons: readonly string[]): Promise<void> {
    // after a loss of power it counts alike, so that nobody waits for the disk
    await this.#write({ boot: this.boot, reasons, complete: true }, false);
  }

  /** All is taken back. Throws {@linkcode OwnedFileError}. */
  async end(): Promise<void> {
    await removeOwned(this.#path);
  }

  async #write(prepared: Prepared, durable: boolean): Promise<void> {
    await writeOwned(this.#path, `${JSON.stringify(prepared)}\n`, { mode: 0o600, durable });
  }
}

function parse(text: string): Prepared {
  try {
    const { boot, reasons, complete } = Object(JSON.parse(text));
    return {
      boot: `${boot}`,
      reasons: Array.isArray(reasons) ? reasons.map((reason) => `${reason}`) : [],
      complete: complete === true,
    };
  } catch {
    return { boot: "", reasons: [], complete: false };
  }
}
