/**
 * For which need this machine was rebooted last, as it remembers it across its boots: the same need right after that boot
 * would not be met by another reboot, and must not loop.
 *
 * It is on disk before the reboot is called. Where it cannot be written the reboot happens all the same: a machine
 * without a memory reboots as one that never had one.
 */

import type { Served } from "../agent.ts";
import { isCoveredBy } from "../need.ts";
import { type Log, sleep, type Surroundings } from "../surroundings.ts";
import { OwnedFileError, readOwned, removeOwned, writeOwned } from "./owned_file.ts";

/** Where it lies, below the root directory. */
export const MEMORY_FILE = "/var/lib/locksmith/rebooted-for";
const LOOK_MS = 5_000;

export class RebootMemory {
  readonly #path: string;

  /** `boot`: the identity of this boot. */
  constructor(root: string, private readonly boot: string, private readonly log: Log) {
    this.#path = root.replace(/\/+$/, "") + MEMORY_FILE;
  }

  /** A reboot for this is about to be called. Never throws. */
  async rebootingFor(fingerprint: string): Promise<void> {
    // what cannot be read cannot be written either, and is told then
    const last = await this.#read(() => {});
    const same = last !== null && isCoveredBy(fingerprint, last.fingerprint);
    // a call that was refused before in this boot is no reboot
    const repeated = same && (last.boot !== this.boot || last.repeated);
    const text = `${JSON.stringify({ boot: this.boot, fingerprint, repeated })}\n`;
    await writeOwned(this.#path, text, { mode: 0o600, durable: true }).catch((error) => {
      this.#tell(error, "a reboot that does not help would not be noticed");
    });
  }

  /** What the reboot before this boot was for; `null`: nothing is known. Never throws. */
  async served(): Promise<Served | null> {
    const last = await this.#read((error) => this.#tell(error, "the reason for the last reboot is unknown"));
    if (last === null || last.boot === this.boot) return null;
    const { fingerprint, repeated } = last;
    return { fingerprint, repeated };
  }

  /** The last reboot has helped, or a person wants another. Never throws. */
  async forget(): Promise<void> {
    await removeOwned(this.#path).catch((error) =>
      this.#tell(error, "the reason for the last reboot stays on record")
    );
  }

  /** Tells `listener` what was served: at once, and again when that changes, until `signal` aborts. */
  async watch(
    surroundings: Surroundings,
    signal: AbortSignal,
    listener: (served: Served | null) => void,
  ): Promise<void> {
    let last: string | undefined;
    while (!signal.aborted) {
      const served = await this.served();
      const text = JSON.stringify(served);
      if (text !== last && !signal.aborted) listener(served);
      last = text;
      await sleep(surroundings, LOOK_MS);
    }
  }

  async #read(failed: (error: unknown) => void): Promise<Record | null> {
    const text = await readOwned(this.#path).catch((error) => {
      failed(error);
      return null;
    });
    return text === null ? null : parse(text);
  }

  #tell(error: unknown, consequence: string): void {
    if (!(error instanceof OwnedFileError)) throw error;
    this.log("warning", `${error.message}; ${consequence}`);
  }
}

interface Record extends Served {
  readonly boot: string;
}

function parse(text: string): Record | null {
  try {
    const { boot, fingerprint, repeated } = Object(JSON.parse(text));
    if (typeof boot !== "string" || typeof fingerprint !== "string") return null;
    return { boot, fingerprint, repeated: repeated === true };
  } catch {
    return null;
  }
}
