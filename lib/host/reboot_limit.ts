/**
 * How often this machine has rebooted in a day. One that reboots too often does not do so again until a person has looked:
 * whatever asks for its reboots, they do not help.
 *
 * Each reboot is on the disk before it is called; where it cannot be written there is no reboot, for nobody would notice
 * one too many. Only reboots by the daemon count, and only those that led to another boot. Clocks may be wrong: what is said to lie in the future counts, and what was before this boot is over once the machine
 * has been up for a day, whatever the clock says. Where that ends: a clock that leaps ahead makes reboots look old.
 */

import { describeInstant } from "../description.ts";
import { kernelBoot } from "../machine.ts";
import type { Log, Surroundings } from "../surroundings.ts";
import { OwnedFileError } from "./owned_file.ts";
import { STATE_FOLDER, StateFile } from "./state_file.ts";

/** Where they are recorded, below the root directory. */
export const REBOOTS_FILE = `${STATE_FOLDER}/reboots`;
const DAY_MS = 24 * 3_600_000;

/** What is on the disk. */
export interface RebootRecord {
  /** The last one last: the identity of the boot that it ended, and when it was called, ISO 8601 in UTC. */
  readonly reboots: readonly { readonly boot: string; readonly at: string }[];
  /** Since when this machine does not reboot any more; absent: it may. */
  readonly stopped?: string;
}

export interface RebootLimitOptions {
  readonly root: string;
  /** The identity of this boot. */
  readonly boot: string;
  /** So many reboots a day; 0: any number. */
  readonly max: number;
  /** For how long the kernel has been running, in milliseconds. */
  uptimeMs(): Promise<number>;
  readonly surroundings: Pick<Surroundings, "now">;
  /** The time zone in which people are told of times. */
  readonly zone: string;
  readonly log: Log;
}

export class RebootLimit {
  readonly #file: StateFile<RebootRecord>;
  /** Why the last one could not be written. */
  #fault: string | null = null;

  constructor(private readonly options: RebootLimitOptions) {
    const loss = "the number of reboots begins anew";
    this.#file = new StateFile(options.root, { file: REBOOTS_FILE, parse, loss }, options.log);
  }

  /** Why this machine has stopped to reboot; `null`: it has not. Never throws. */
  async stopped(): Promise<string | null> {
    if (this.options.max === 0) return null;
    const record = await this.#read();
    return record.stopped === undefined ? null : this.#why(record);
  }

  /** Whether another reboot would be one too many; if so, this machine stops. Why it may not, or `null`. Never throws. */
  async weigh(): Promise<string | null> {
    const { max, surroundings } = this.options;
    if (max === 0) return null;
    const record = await this.#read();
    if (record.stopped === undefined && (await this.#lately(record)).length < max) {
      // another try is due where the last one could not be written
      return this.#fault === null ? null : await this.#write(record);
    }
    const stopped = record.stopped ?? new Date(surroundings.now()).toISOString();
    if (record.stopped === undefined) await this.#write({ ...record, stopped });
    return this.#why(record);
  }

  /** A reboot is about to be called. Why it must not be, or `null`. Never throws. */
  async rebooting(): Promise<string | null> {
    const { boot, max, surroundings } = this.options;
    if (max === 0) return null;
    const { reboots, ...rest } = await this.#read();
    const at = new Date(surroundings.now()).toISOString();
    const others = reboots.filter((reboot) => reboot.boot !== boot);
    return await this.#write({ ...rest, reboots: [...others, { boot, at }].slice(-Math.max(max, KEPT)) });
  }

  /** The call was refused: it is none. Never throws. */
  async refused(): Promise<void> {
    const { boot, max } = this.options;
    if (max === 0) return;
    const record = await this.#read();
    await this.#write({ ...record, reboots: record.reboots.filter((reboot) => reboot.boot !== boot) });
  }

  async #lately({ reboots }: RebootRecord): Promise<RebootRecord["reboots"]> {
    const { boot, surroundings } = this.options;
    return lately(reboots, { boot, now: surroundings.now(), uptimeMs: await this.options.uptimeMs() });
  }

  #why(record: RebootRecord): string {
    const { max, zone } = this.options;
    const last = record.reboots.filter(({ boot }) => boot !== this.options.boot).at(-1);
    const when = last === undefined
      ? ""
      : ` (the last one ${describeInstant(Date.parse(last.at), zone, "second")})`;
    const times = max === 1 ? "once" : `${max} times`;
    return `this machine has rebooted ${times} within 24 hours${when}, the most that --max-reboots ` +
      "allows: not rebooting again; look why it needs so many, then run 'locksmith reset'";
  }

  async #read(): Promise<RebootRecord> {
    try {
      return await this.#file.read() ?? { reboots: [] };
    } catch (error) {
      if (!(error instanceof OwnedFileError)) throw error;
      // what cannot be read is not written over, and is told when it is to be written
      return { reboots: [] };
    }
  }

  async #write(record: RebootRecord): Promise<string | null> {
    try {
      await this.#file.write(record);
      this.#fault = null;
    } catch (error) {
      if (!(error instanceof OwnedFileError)) throw error;
      this.#fault = `${error.message}, and without a record too many reboots would go unnoticed; ` +
        "make room, or set --max-reboots to 0";
    }
    return this.#fault;
  }
}

/** So many reboots are kept at least. */
const KEPT = 20;

/** Those within the last day that led to another boot than `boot`. Pure. */
export function lately(
  reboots: RebootRecord["reboots"],
  { boot, now, uptimeMs }: { readonly boot: string; readonly now: number; readonly uptimeMs: number },
): RebootRecord["reboots"] {
  return reboots.filter((reboot) => {
    if (reboot.boot === boot) return false;
    // a soft reboot does not begin the time anew for which the kernel has been running
    const sameKernel = kernelBoot(reboot.boot) === kernelBoot(boot);
    return now - Date.parse(reboot.at) < DAY_MS && (sameKernel || uptimeMs < DAY_MS);
  });
}

function parse(value: unknown): RebootRecord | null {
  const { reboots, stopped } = Object(value);
  if (!Array.isArray(reboots)) return null;
  const sound = reboots.every((reboot) => {
    const { boot, at } = Object(reboot);
    return typeof boot === "string" && typeof at === "string" && !Number.isNaN(Date.parse(at));
  });
  if (!sound || (stopped !== undefined && typeof stopped !== "string")) return null;
  return {
    reboots: reboots.map(({ boot, at }) => ({ boot, at })),
    ...(stopped === undefined ? {} : { stopped }),
  };
}
