/**
 * For which need this machine was rebooted last, as it remembers it across its boots: the same need right after that boot
 * would not be met by another reboot, and must not loop.
 *
 * It is on disk before the reboot is called. Where it cannot be written the reboot happens all the same: a machine
 * without a memory reboots as one that never had one.
 */

import type { Served } from "../agent.ts";
import { isCoveredBy } from "../need.ts";
import type { Log } from "../surroundings.ts";
import { OwnedFileError } from "./owned_file.ts";
import { STATE_FOLDER, StateFile } from "./state_file.ts";

/** Where it lies, below the root directory. */
export const MEMORY_FILE = `${STATE_FOLDER}/rebooted-for`;

export class RebootMemory {
  readonly #file: StateFile<Record>;

  /** `boot`: the identity of this boot. */
  constructor(root: string, private readonly boot: string, private readonly log: Log) {
    const loss = "the reason for the last reboot is unknown";
    this.#file = new StateFile(root, { file: MEMORY_FILE, parse, loss }, log);
  }

  /** A reboot for this is about to be called. Never throws. */
  async rebootingFor(fingerprint: string): Promise<void> {
    // what cannot be read cannot be written either, and is told then
    const last = await this.#read(() => {});
    const same = last !== null && isCoveredBy(fingerprint, last.fingerprint);
    // a call that was refused before in this boot is no reboot
    const repeated = same && (last.boot !== this.boot || last.repeated);
    await this.#file.write({ boot: this.boot, fingerprint, repeated }).catch((error) => {
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
    await this.#file.remove().catch((error) =>
      this.#tell(error, "the reason for the last reboot stays on record")
    );
  }

  async #read(failed: (error: unknown) => void): Promise<Record | null> {
    return await this.#file.read().catch((error) => {
      failed(error);
      return null;
    });
  }

  #tell(error: unknown, consequence: string): void {
    if (!(error instanceof OwnedFileError)) throw error;
    this.log("warning", `${error.message}; ${consequence}`);
  }
}

interface Record extends Served {
  readonly boot: string;
}

function parse(value: unknown): Record | null {
  const { boot, fingerprint, repeated } = Object(value);
  if (typeof boot !== "string" || typeof fingerprint !== "string") return null;
  return { boot, fingerprint, repeated: repeated === true };
}
