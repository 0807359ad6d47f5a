/**
 * The hooks: work that an administrator has done before a reboot, and taken back after it.
 *
 * Once a roll: what has begun is recorded on disk before the first hook runs, and stays until all of post-boot.d has done
 * its work, in this boot or in a later one. Without the record no hook runs, for nobody would know to take it back.
 *
 * Before a reboot the first failure ends the run. After it all run, since one that fails is no reason to leave the rest of
 * the machine drained; those that failed run again, the others do not.
 *
 * The record is this process's own from the first hook before a reboot until all is taken back, and while others run.
 */

import type { Request } from "../agent.ts";
import type { HookOutcome } from "../daemon.ts";
import type { Log } from "../surroundings.ts";
import { LockedFileError } from "./locked_file.ts";
import { OwnedFileError } from "./owned_file.ts";
import { ownEnvironment, type Owner, runOwn } from "./own_program.ts";
import type { PreparedRecord } from "./prepared_record.ts";
import { FOLDERS, type Part, partsOf } from "./run_parts.ts";

export interface HookOptions extends Owner {
  /** How long each may take, in milliseconds. */
  readonly timeoutMs: number;
  readonly record: PreparedRecord;
  /** Ends the hook that runs: what follows takes back what it did. */
  readonly signal?: AbortSignal;
  readonly log: Log;
}

/** Which are to run, and what they are told. */
export type HookRequest = Extract<Request, { kind: "hooks" }>;
type HookKind = HookRequest["when"];

export class Hooks {
  /** Those of post-boot.d that have done their work since they last began. */
  readonly #done = new Set<string>();

  constructor(private readonly options: HookOptions) {}

  /** How long those before a reboot may take at most, in milliseconds; 0: there are no hooks of either kind. Never throws. */
  async limitMs(): Promise<number> {
    const [before, after] = await Promise.all([this.#parts("pre-reboot"), this.#parts("post-boot")]);
    // those after it need the record of what was before it, even if that is nothing
    if (before.length === 0) return after.length === 0 ? 0 : 1;
    return before.length * this.options.timeoutMs;
  }

  /** Runs those of one kind to their end. Never throws. */
  async run(run: HookRequest): Promise<HookOutcome> {
    try {
      await this.options.record.claim();
      return run.when === "pre-reboot"
        ? await this.#prepare(run.reasons)
        : await this.#takeBack(run.rebooted);
    } catch (error) {
      if (error instanceof LockedFileError && error.kind === "held") {
        return { kind: "hook-failed", why: error.message };
      }
      if (!(error instanceof OwnedFileError || error instanceof LockedFileError)) throw error;
      return { kind: "hook-failed", why: `cannot record that hooks run: ${error.message}` };
    }
  }

  async #prepare(reasons: readonly string[]): Promise<HookOutcome> {
    const { record } = this.options;
    if (await record.state() === "prepared") return { kind: "hooked" };
    await record.begin(reasons);
    this.#done.clear();
    for (const part of await this.#parts("pre-reboot")) {
      const fault = await this.#runOne("pre-reboot", part, reasons, {});
      if (fault !== null) return { kind: "hook-failed", why: fault };
    }
    await record.complete(reasons);
    return { kind: "hooked" };
  }

  async #takeBack(rebooted: boolean): Promise<HookOutcome> {
    try {
      return await this.#takeBackAll(rebooted);
    } finally {
      // also where something is left: nobody goes by it, and it is tried again by whoever comes
      this.options.record.release();
    }
  }

  async #takeBackAll(rebooted: boolean): Promise<HookOutcome> {
    const { record } = this.options;
    const begun = await record.read();
    if (begun === null) return { kind: "hooked" };
    // half taken back is no longer prepared, for this process or another
    if (await record.state() === "prepared") await record.begin(begun.reasons);
    const faults: string[] = [];
    for (const part of await this.#parts("post-boot")) {
      if (this.#done.has(part.name)) continue;
      const env = { LOCKSMITH_REBOOTED: rebooted ? "yes" : "no" };
      const fault = await this.#runOne("post-boot", part, begun.reasons, env);
      if (fault === null) this.#done.add(part.name);
      else faults.push(fault);
    }
    if (faults.length > 0) return { kind: "hook-failed", why: faults.join("; ") };
    await record.end();
    this.#done.clear();
    return { kind: "hooked" };
  }

  async #parts(kind: HookKind): Promise<readonly Part[]> {
    return (await partsOf(this.options.root, kind)).parts;
  }

  /** Why it failed, `null` if it did not. */
  async #runOne(
    kind: HookKind,
    part: Part,
    reasons: readonly string[],
    more: Readonly<Record<string, string>>,
  ): Promise<string | null> {
    const { timeoutMs, signal, log } = this.options;
    const name = `${FOLDERS[kind].replace(/.*\//, "")}/${part.name}`;
    log("info", `hook ${name}: begins`);
    const end = await runOwn(part, {
      env: { ...ownEnvironment(this.options, kind, reasons), ...more },
      timeoutMs,
      signal,
      tell: (line) => log("info", `hook ${name}: ${line}`),
    });
    if (end.kind === "failed") return `hook ${name}: ${end.why}`;
    log("info", `hook ${name}: done`);
    return null;
  }
}
