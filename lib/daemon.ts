/**
 * The daemon: runs the effects of the state machine in `agent.ts` against the lock and the host, and brings their
 * outcomes back to it. Nothing is decided here, and what the host is comes in: a simulation has its own.
 *
 * It ends only by its signal. A slot that is held then stays held: the next daemon finds it by boot id and goes on, or
 * gives it back.
 */

import {
  type Agent,
  type AgentConfig,
  coordinatorState,
  dueIn,
  type Effect,
  type Event,
  type Slot,
  START,
  step,
} from "./agent.ts";
import { type Lock, LockError } from "./lock.ts";
import type { Machine } from "./machine.ts";
import { describeHold } from "./cli/report.ts";
import { GRANTED, REBOOTING } from "./semaphore.ts";
import { StoreError } from "./store.ts";
import { type Log, moment, type Surroundings, type Timer } from "./surroundings.ts";
import { Waiter, type WaitNews } from "./waiter.ts";

/** A good {@linkcode DaemonOptions.tickMs}. */
export const TICK_INTERVAL_MS = 30_000;

/** How an attempt to reboot ended. */
export type RebootOutcome =
  | { readonly kind: "accepted" }
  /** `blocked`: somebody inhibits a shutdown, so that asking again soon is of use. */
  | { readonly kind: "refused"; readonly why: string; readonly blocked?: true }
  | { readonly kind: "unknown"; readonly why: string };

/** Who is logged in and has a right to some grace. Not to know is a value of its own: never "nobody". */
export type LoggedIn =
  | { readonly kind: "known"; readonly users: readonly string[] }
  | { readonly kind: "unknown"; readonly why: string };

/** What the daemon asks of the machine that it runs on. None of these rejects. */
export interface Host {
  readonly machine: Machine;
  loggedIn(): Promise<LoggedIn>;
  /** Tells those who are logged in that the machine reboots in `graceMs`. */
  warn(graceMs: number, reasons: readonly string[]): Promise<void>;
  /** Calls the reboot; the answer comes within `timeoutMs`. */
  reboot(timeoutMs: number): Promise<RebootOutcome>;
  /** Publishes what the daemon is doing. */
  report(state: ReturnType<typeof coordinatorState>): void;
  /** A mark that no other request has. */
  newGrant(): string;
  readonly log: Log;
}

export interface DaemonOptions extends AgentConfig {
  readonly host: Host;
  readonly surroundings: Surroundings;
  /** The lock; `null` with the strategy `reboot`. */
  readonly lock: Lock | null;
  /** Who comes first in the queue: the higher. */
  readonly priority: number;
  /** From how long on a hold is said to be overdue, in milliseconds. */
  readonly overdueMs: number;
  /** How long a wait in line relies on watches, in milliseconds: see {@linkcode WaitRequest.lookMs}. */
  readonly lookMs: number;
  /** The longest time between two looks at the clock, in milliseconds: clocks are set, and machines are suspended. */
  readonly tickMs: number;
}

export class Daemon {
  /** Rejects when an effect throws what it must not: a bug that is to end the daemon loudly. */
  readonly failed: Promise<never>;
  #fail: (error: unknown) => void = () => {};
  #state: Agent = START;
  #reported = "";
  #timer: Timer | undefined;
  #waiter: Waiter | undefined;
  #waiting: Promise<void> | undefined;

  constructor(private readonly options: DaemonOptions, private readonly signal: AbortSignal) {
    this.failed = new Promise((_, reject) => this.#fail = reject);
  }

  /** What the machine is doing, for those who look on. */
  get state(): Agent {
    return this.#state;
  }

  /** Resolves when the signal aborts. */
  start(): Promise<void> {
    this.report();
    this.dispatch({ kind: "started" });
    return new Promise((resolve) => {
      const stop = () => {
        this.#timer?.cancel();
        resolve();
      };
      if (this.signal.aborted) stop();
      else this.signal.addEventListener("abort", stop, { once: true });
    });
  }

  /** Gives a place in the line up, for a daemon that ends; resolves when it has, or when there was none. */
  async stop(): Promise<void> {
    this.#waiter?.leave();
    await this.#waiting;
  }

  dispatch(event: Event): void {
    if (this.signal.aborted) return;
    const { host, surroundings } = this.options;
    try {
      const before = this.#state.phase.name;
      const { state, effects } = step(this.options, this.#state, event, moment(surroundings));
      this.#state = state;
      if (state.phase.name !== before) {
        host.log("debug", `${before} -> ${state.phase.name} (${event.kind})`);
      }
      this.report();
      this.arm();
      effects.forEach((effect) => this.run(effect));
    } catch (error) {
      this.#fail(error);
    }
  }

  private report(): void {
    const state = coordinatorState(this.#state);
    if (state === this.#reported) return;
    this.#reported = state;
    this.options.host.report(state);
  }

  private arm(): void {
    this.#timer?.cancel();
    const { surroundings, tickMs } = this.options;
    const due = dueIn(this.#state, moment(surroundings));
    if (due === Infinity) return;
    // whole milliseconds, and never before it is due: a clock may count in halves
    this.#timer = surroundings.after(Math.min(Math.max(Math.ceil(due), 0), tickMs), () => {
      this.arm();
      this.dispatch({ kind: "tick" });
    });
  }

  private run(effect: Effect): void {
    this.outcome(effect).then((event) => event && this.dispatch(event)).catch(this.#fail);
  }

  private async outcome(effect: Effect): Promise<Event | undefined> {
    const { host } = this.options;
    switch (effect.kind) {
      case "log":
        host.log(effect.level, effect.text);
        return undefined;
      case "warn-sessions":
        await host.warn(effect.graceMs, effect.reasons);
        return undefined;
      case "ask-sessions":
        return { kind: "sessions", users: this.users(await host.loggedIn()) };
      case "reboot": {
        const outcome = await host.reboot(effect.timeoutMs);
        if (outcome.kind === "accepted") return { kind: "reboot-accepted" };
        return outcome.kind === "refused"
          ? { kind: "reboot-refused", why: outcome.why }
          : { kind: "reboot-unknown", why: outcome.why };
      }
      case "wait":
        this.wait(this.lock(effect), effect.reasons);
        return undefined;
      case "leave":
        this.#waiter?.leave();
        return undefined;
      default:
        return await locked(host.machine, this.lock(effect), effect);
    }
  }

  /** Where nobody can tell who is logged in, there is grace as if somebody were. */
  private users(answer: LoggedIn): readonly string[] {
    if (answer.kind === "known") return answer.users;
    this.options.host.log("warning", `grace is given as if somebody were logged in: ${answer.why}`);
    return ["somebody, perhaps,"];
  }

  private lock(effect: Effect): Lock {
    const { lock } = this.options;
    if (lock === null) throw new Error(`the effect ${effect.kind} needs a lock`);
    return lock;
  }

  private wait(lock: Lock, reasons: readonly string[]): void {
    const { host: { machine, newGrant }, priority, overdueMs, lookMs } = this.options;
    const hold = {
      host: machine.hostname,
      boot: machine.bootId,
      by: lock.by,
      reason: reasons.join("; "),
      phase: GRANTED,
      grant: newGrant(),
      extra: {},
    };
    const waiter = new Waiter(lock, { holder: machine.id, hold, priority, overdueMs, lookMs }, (news) => {
      if (news.kind !== "waiting" && this.#waiter === waiter) this.#waiter = undefined;
      this.dispatch(eventOf(news));
    });
    this.#waiter = waiter;
    this.#waiting = waiter.start().catch(this.#fail);
  }
}

function eventOf(news: WaitNews): Event {
  switch (news.kind) {
    case "granted":
      return { kind: "granted", slot: { grant: news.grant }, called: news.called };
    case "left":
      return { kind: "left" };
    case "waiting":
      return { kind: "in-line", why: news.why };
    case "held":
      throw new Error("a daemon asks with its boot id, and is never told of another's hold");
  }
}

type LockEffect = Extract<Effect, { kind: "recover" | "release" | "confirm" }>;

/** Effects on the lock: a store that fails is an outcome, everything else a bug. */
async function locked(machine: Machine, lock: Lock, effect: LockEffect): Promise<Event> {
  try {
    switch (effect.kind) {
      case "recover":
        return await recover(machine, lock);
      case "release":
        return await release(machine, lock, effect.slot);
      case "confirm": {
        const { id: holder, bootId: boot } = machine;
        const { kind } = await lock.confirm({ holder, boot, grant: effect.slot.grant });
        return kind === "confirmed" ? { kind: "confirmed" } : { kind: "lost" };
      }
    }
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof LockError)) throw error;
    return { kind: "failed", why: error.message };
  }
}

async function recover(machine: Machine, lock: Lock): Promise<Event> {
  const decision = await lock.release(machine.id, { kind: "rebooted", boot: machine.bootId });
  if (decision.kind === "not-held") return { kind: "recovered", slot: null, called: false, note: "" };
  const details = describeHold(decision.hold, lock.surroundings.now());
  if (decision.kind === "released") {
    return {
      kind: "recovered",
      slot: null,
      called: false,
      note: `this machine has rebooted; gave back the slot${details}`,
    };
  }
  const grant = decision.hold?.grant;
  if (decision.why === "same-boot" && grant !== undefined) {
    const called = decision.hold?.phase === REBOOTING;
    return {
      kind: "recovered",
      slot: { grant },
      called,
      note: `this machine has a slot and has not rebooted${details}`,
    };
  }
  // without its age, so that it is the same at the next look
  const note = `this machine's slot was taken by hand${
    describeHold(decision.hold)
  }; only 'locksmith unlock ${machine.id}' ends it`;
  return { kind: "recovered", slot: null, called: false, note };
}

async function release(machine: Machine, lock: Lock, slot: Slot): Promise<Event> {
  const decision = await lock.release(machine.id, {
    kind: "cancelled",
    boot: machine.bootId,
    grant: slot.grant,
  });
  return { kind: "released", note: decision.kind === "released" ? "gave the slot back" : "" };
}
