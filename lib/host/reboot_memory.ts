/**
 * For which need this machine was rebooted last, as it remembers it across its boots: the same need right after that boot
 * would not be met by another reboot, and must not loop.
 *
 * It is on disk before the reboot is called. Where it cannot be written the reboot happens all the same: a machine
 * without a memory reboots as one that never had one.
 */

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
    const text = `${JSON.stringify({ boot: this.boot, fingerprint })}\n`;
    await writeOwned(this.#path, text, { mode: 0o600, durable: true }).catch((error) => {
      this.#tell(error, "a need that a reboot does not meet would not be recognized");
    });
  }

  /** What the reboot before this boot was for; `null`: nothing is known. Never throws. */
  async served(): Promise<string | null> {
    const text = await readOwned(this.#path).catch((error) => {
      this.#tell(error, "what the last reboot was for is not known");
      return null;
    });
    const { boot, fingerprint } = parse(text ?? "");
    return boot === this.boot || typeof fingerprint !== "string" ? null : fingerprint;
  }

  /** The last reboot has helped, or a person wants another. Never throws. */
  async forget(): Promise<void> {
    await removeOwned(this.#path).catch((error) =>
      this.#tell(error, "what the last reboot was for stays known")
    );
  }

  /** Tells `listener` what was served: at once, and again when that changes, until `signal` aborts. */
  async watch(
    surroundings: Surroundings,
    signal: AbortSignal,
    listener: (served: string | null) => void,
  ): Promise<void> {
    let last: string | null | undefined;
    while (!signal.aborted) {
      const served = await this.served();
      if (served !== last && !signal.aborted) listener(served);
      last = served;
      await sleep(surroundings, LOOK_MS);
    }
  }

  #tell(error: unknown, consequence: string): void {
    if (!(error instanceof OwnedFileError)) throw error;
    this.log("warning", `${error.message}; ${consequence}`);
  }
}

function parse(text: string): { readonly boot?: unknown; readonly fingerprint?: unknown } {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
