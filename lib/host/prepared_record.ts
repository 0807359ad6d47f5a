/**
 * That this machine was prepared for a reboot by hooks, as it remembers it across its boots, so that whoever comes next takes
 * it back: a daemon that was interrupted, or the one of the next boot.
 */

import { readOwned, removeOwned, writeOwned } from "./owned_file.ts";

/** Where it lies, below the root directory. */
export const PREPARED_FILE = "/var/lib/locksmith/prepared";

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

  /** `boot`: the identity of this boot. */
  constructor(root: string, private readonly boot: string) {
    this.#path = root.replace(/\/+$/, "") + PREPARED_FILE;
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
