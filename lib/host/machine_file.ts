/**
 * `/run/locksmith/agent.json`: what the daemon of this host is doing, for everybody to read. It is written anew when that
 * changes, and once a minute; it is gone once the daemon has ended as it should, and old soon after one that has not.
 */

import { type MachineReport, parseMachineReport } from "../machine_report.ts";
import type { Log } from "../surroundings.ts";
import { OwnedFileError, readOwned, removeOwned, writeOwned } from "./owned_file.ts";
import { parseJson } from "./state_file.ts";

/** Where it lies, below the root directory. */
export const MACHINE_FILE = "/run/locksmith/agent.json";
/** How often it is written though nothing is new, and how old it may be to be believed, in milliseconds. */
export const WRITE_MS = 60_000;
const BELIEVED_MS = 3 * WRITE_MS;

export class MachineFile {
  readonly #path: string;
  #written = "";
  #writtenMs = -Infinity;
  #turn: Promise<void> = Promise.resolve();
  #next: MachineReport | undefined;
  #removed = false;

  constructor(root: string, private readonly log: Log) {
    this.#path = pathBelow(root);
  }

  /** Writes a report that is news, or due. Resolves when all are written. Never rejects. */
  publish(report: MachineReport): Promise<void> {
    const { at, ...rest } = report;
    const text = JSON.stringify(rest);
    const atMs = Date.parse(at);
    // a clock that was set back makes it due too
    if (this.#removed || (text === this.#written && Math.abs(atMs - this.#writtenMs) < WRITE_MS)) {
      return this.#turn;
    }
    this.#written = text;
    this.#writtenMs = atMs;
    // of several that come while one is written the last is enough
    if (this.#next === undefined) this.#turn = this.#turn.then(() => this.#write());
    this.#next = report;
    return this.#turn;
  }

  /** There is nothing to tell any more, whatever is published after it. Never rejects. */
  async remove(): Promise<void> {
    this.#removed = true;
    await this.#turn;
    await removeOwned(this.#path).catch(() => {});
  }

  async #write(): Promise<void> {
    const report = this.#next;
    this.#next = undefined;
    try {
      await writeOwned(this.#path, `${JSON.stringify(report)}\n`, { mode: 0o644, durable: false });
    } catch (error) {
      if (!(error instanceof OwnedFileError)) throw error;
      this.log("warning", `${error.message}; 'locksmith status' does not show what this machine is doing`);
    }
  }
}

/**
 * What the daemon of this host is doing at `now`, milliseconds since the epoch; `null`: no daemon says so. Never throws.
 */
export async function readMachineFile(root: string, now: number): Promise<MachineReport | null> {
  try {
    const text = await readOwned(pathBelow(root));
    const report = text === null ? null : parseJson(text, parseMachineReport);
    return report !== null && Math.abs(now - Date.parse(report.at)) <= BELIEVED_MS ? report : null;
  } catch (error) {
    if (error instanceof OwnedFileError) return null;
    throw error;
  }
}

function pathBelow(root: string): string {
  return root.replace(/\/+$/, "") + MACHINE_FILE;
}
