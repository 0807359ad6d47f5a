/**
 * What an administrator has this host do beside the reboot itself: checks that let it go, hooks around the reboot, and what
 * is to be proved after the boot. What a host does not have is not loaded.
 *
 * A daemon that was interrupted amid its hooks leaves a host half prepared: the next one takes that back before anything
 * else. A command that prepares the host is waited for.
 */

import type { AfterBoot, Event, Inquiry } from "../agent.ts";
import { backoffMs } from "../backoff.ts";
import type { HookOutcome } from "../daemon.ts";
import type { Log, Surroundings } from "../surroundings.ts";
import type { BootSuccess } from "./boot_success.ts";
import type { CheckOptions, CheckPhase } from "./checks.ts";
import { pause } from "./child.ts";
import type { HookRequest, Hooks } from "./hooks.ts";
import { LockedFileError } from "./locked_file.ts";
import { OwnedFileError } from "./owned_file.ts";
import type { Owner } from "./own_program.ts";
import { type Preparation, PreparedRecord } from "./prepared_record.ts";
import { isThere } from "./regular_file.ts";
import { type Folder, hasParts, partsOf, passedOverIn } from "./run_parts.ts";

/** How long what could not be taken back waits for the next try, in milliseconds. */
const RETRY_MS = { first: 5_000, last: 60_000 };
/** How often it is looked whether another process is done with the hooks, in milliseconds. */
const LOOK_MS = 500;

export interface OwnWorkOptions extends Owner {
  readonly checks: Pick<CheckOptions, "timeoutMs" | "units" | "urls">;
  readonly hookTimeoutMs: number;
  /** How long the start of the machine may take, in milliseconds; 0: nobody waits for it. */
  readonly bootWaitMs: number;
  /** How long the machine has to be up before its slot goes back, in milliseconds. */
  readonly soakMs: number;
  /** Why a reboot is needed. */
  reasons(): readonly string[];
  readonly surroundings: Surroundings;
  /** Ends what runs. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

export class OwnWork {
  readonly #record: PreparedRecord;
  #running: Promise<unknown> = Promise.resolve();
  #hooks: Promise<Hooks> | undefined;
  #boot: Promise<BootSuccess> | undefined;

  constructor(private readonly options: OwnWorkOptions) {
    this.#record = new PreparedRecord(options.root, options.machine.bootId);
  }

  /** What the checks say, unless they need not be asked; and how long checks and hooks may take at most. Never throws. */
  async inquire(
    phase: "before" | "granted",
    ask: boolean,
  ): Promise<Pick<Inquiry, "verdict" | "hooksMs" | "checksMs">> {
    const hooksMs = await this.#hasHooks() ? await (await this.#loadHooks()).limitMs() : 0;
    if (!await this.#hasChecks()) return { verdict: { kind: "well" }, hooksMs, checksMs: 0 };
    const verdict = ask ? await this.#ask(phase) : { kind: "well" } as const;
    return { verdict, hooksMs, checksMs: this.options.checks.timeoutMs };
  }

  /** Runs hooks to their end. Never throws. */
  async runHooks(run: HookRequest): Promise<HookOutcome> {
    const running = this.#loadHooks().then((hooks) => hooks.run(run));
    this.#running = running;
    return await running;
  }

  /** Resolves when no hook runs any more: soon after the signal has aborted. */
  async settled(): Promise<void> {
    await this.#running;
  }

  /** Why the host cannot reboot while another process is about its hooks; `null`: none is. Never throws. */
  async inOtherHands(): Promise<string | null> {
    return await this.#hasHooks() ? await this.#record.inOtherHands() : null;
  }

  /**
   * Takes over what an earlier process of this boot has prepared, once no other is at it: what is half done is taken back.
   * Whether the host is prepared now. Never throws.
   */
  async takeOver(): Promise<boolean> {
    const { log, signal } = this.options;
    let said = false;
    const isHere = async () => ["prepared", "partly"].includes(await this.preparation());
    for (let failures = 0; !signal.aborted && await isHere();) {
      try {
        await this.#record.claim();
      } catch (error) {
        if (!(error instanceof LockedFileError)) throw error;
        if (error.kind === "held") {
          if (!said) log("info", `waiting: ${error.message}`);
          said = true;
          await pause(LOOK_MS, signal);
          continue;
        }
      }
      // it may be over by now
      if (await this.preparation() === "prepared") return true;
      if (await this.#tryToTakeBack(false, ++failures)) return false;
    }
    return false;
  }

  /** Leaves the hooks to other processes, once none runs any more. */
  async end(): Promise<void> {
    await this.settled();
    this.#record.release();
  }

  /** Whether the boot is complete and the checks say that the machine is well. Never throws. */
  async prove(): Promise<Extract<Event, { kind: "proved" }>> {
    const boot = await this.#loadBoot();
    const booted = await boot.verdict();
    const verdict = booted.kind === "well" && await this.#hasChecks() ? await this.#ask("after") : booted;
    return { kind: "proved", verdict, upMs: await boot.upMs() };
  }

  /** What is to be done and proved before a slot goes back, if anything. Never throws. */
  async afterBoot(takesSlots: boolean): Promise<AfterBoot | undefined> {
    const { root, bootWaitMs, soakMs } = this.options;
    const hooksDue = await this.preparation() === "earlier-boot";
    const waits = async () =>
      bootWaitMs > 0 && await isThere(`${root.replace(/\/+$/, "")}/run/systemd/system`);
    const toProve = takesSlots && (soakMs > 0 || await waits() || await this.#hasChecks());
    return hooksDue || toProve ? { hooksDue, soakMs } : undefined;
  }

  /** How far this machine was prepared for a reboot. Never throws. */
  async preparation(): Promise<Preparation> {
    try {
      return await this.#record.state();
    } catch (error) {
      if (!(error instanceof OwnedFileError)) throw error;
      this.options.log("warning", `${error.message}; nothing of an earlier preparation is taken back`);
      return "none";
    }
  }

  /** Takes back what was prepared, however often it fails, until it is done or the signal aborts. Never throws. */
  async takeBack(rebooted: boolean): Promise<void> {
    for (let tries = 1; !this.options.signal.aborted; tries++) {
      if (await this.#tryToTakeBack(rebooted, tries)) return;
    }
  }

  /** Whether it is done; if not, the time of the next try has come. */
  async #tryToTakeBack(rebooted: boolean, tries: number): Promise<boolean> {
    const { log, surroundings, signal } = this.options;
    const outcome = await this.runHooks({ kind: "hooks", when: "post-boot", rebooted });
    if (outcome.kind === "hooked") return true;
    log("warning", `cannot take back what was prepared for a reboot, trying again: ${outcome.why}`);
    await pause(backoffMs(tries, RETRY_MS, surroundings.random()), signal);
    return false;
  }

  /** Says what this host has of its own, and what does not run although it looks as if it was meant to. Never throws. */
  async describe(): Promise<void> {
    const { root, checks, log } = this.options;
    const names = async (kind: Folder) => (await partsOf(root, kind)).parts.map(({ name }) => name);
    const asked = [...await names("check"), ...checks.units, ...checks.urls];
    if (asked.length > 0) log("info", `checks: ${asked.join(", ")}`);
    for (const kind of ["pre-reboot", "post-boot"] as const) {
      const hooks = await names(kind);
      if (hooks.length > 0) log("info", `${kind} hooks: ${hooks.join(", ")}`);
    }
    for (const passedOver of await passedOverIn(root, "check", "pre-reboot", "post-boot", "notify")) {
      log("warning", passedOver);
    }
  }

  #hasHooks(): Promise<boolean> {
    return hasParts(this.options.root, "pre-reboot", "post-boot");
  }

  async #hasChecks(): Promise<boolean> {
    const { root, checks: { units, urls } } = this.options;
    return units.length + urls.length > 0 || await hasParts(root, "check");
  }

  async #ask(phase: CheckPhase) {
    const { checks, ...options } = this.options;
    return await (await import("./checks.ts")).askChecks({ ...options, ...checks }, phase);
  }

  #loadHooks(): Promise<Hooks> {
    const { hookTimeoutMs: timeoutMs, ...options } = this.options;
    return this.#hooks ??= import("./hooks.ts").then(({ Hooks }) =>
      new Hooks({ ...options, timeoutMs, record: this.#record })
    );
  }

  #loadBoot(): Promise<BootSuccess> {
    const { bootWaitMs: waitMs, ...options } = this.options;
    return this.#boot ??= import("./boot_success.ts").then(({ BootSuccess }) =>
      new BootSuccess({ ...options, waitMs })
    );
  }
}
