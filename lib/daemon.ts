/**
 * The daemon: runs the effects of the state machine in `transitions.ts` against the keeper of the slots and the host, and
 * brings their outcomes back to it. Nothing is decided here, and what the host is comes in: a simulation has its own.
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
  type Inquiry,
  type Request,
  START,
} from "./agent.ts";
import type { Keeper } from "./keeper.ts";
import { type Log, moment, type Surroundings, type Timer } from "./surroundings.ts";
import { step } from "./transitions.ts";

/** A good {@linkcode DaemonOptions.tickMs}. */
export const TICK_INTERVAL_MS = 30_000;

/** How an attempt to reboot ended. */
export type RebootOutcome =
  | { readonly kind: "accepted" }
  /** `blocked`: somebody inhibits a shutdown, so that asking again soon is of use. */
  | { readonly kind: "refused"; readonly why: string; readonly blocked?: true }
  | { readonly kind: "unknown"; readonly why: string };

/** Which hooks are to run, and what they are told. */
export type HookRun = Extract<Request, { kind: "hooks" }>;
/** Whether all of them did their work. */
export type HookOutcome = Extract<Event, { kind: "hooked" | "hook-failed" }>;

/** What the daemon asks of the machine that it runs on. None of these rejects. */
export interface Host {
  /** Whether it could reboot now and its checks let it, and who is logged in and has a right to some grace. */
  inquire(phase: "before" | "granted"): Promise<Inquiry>;
  /**
   * Runs the hooks of one kind to their end, one after the other, and remembers across boots that they are to be
   * undone. Those that have run for this roll do not run again.
   */
  runHooks(run: HookRun): Promise<HookOutcome>;
  /** Whether the boot is complete, and what the checks say after it. */
  prove(): Promise<Extract<Event, { kind: "proved" }>>;
  /** Tells those who are logged in that the machine reboots in `graceMs`. */
  warn(graceMs: number, reasons: readonly string[]): Promise<void>;
  /** Remembers what the reboot is for, and calls it; the answer comes within `timeoutMs`. */
  reboot(timeoutMs: number, fingerprint: string): Promise<RebootOutcome>;
  /** Forgets what the last reboot was for: it has helped. */
  forgetServed(): void;
  /** Publishes what the daemon is doing. */
  report(state: ReturnType<typeof coordinatorState>): void;
  readonly log: Log;
}

export interface DaemonOptions extends AgentConfig {
  readonly host: Host;
  readonly keeper: Keeper;
  readonly surroundings: Surroundings;
  /** Hears of each step, before its effects run. Must not throw. */
  observe?(before: Agent, event: Event, after: Agent): void;
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

  constructor(private readonly options: DaemonOptions, private readonly signal: AbortSignal) {
    this.failed = new Promise((_, reject) => this.#fail = reject);
  }

  /** What the machine is doing, for those who look on. */
  get state(): Agent {
    return this.#state;
  }

  /** Resolves when the signal aborts. */
  start(): Promise<void> {
    this.#report();
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

  /** Something happened. */
  dispatch(event: Event): void {
    if (this.signal.aborted) return;
    const { host, surroundings } = this.options;
    try {
      const before = this.#state;
      const { state, effects } = step(this.options, before, event, moment(surroundings));
      this.#state = state;
      if (state.phase.name !== before.phase.name) {
        host.log("debug", `${before.phase.name} -> ${state.phase.name} (${event.kind})`);
      }
      this.options.observe?.(before, event, state);
      this.#report();
      this.#arm();
      effects.forEach((effect) => this.#run(effect));
    } catch (error) {
      this.#fail(error);
    }
  }

  #report(): void {
    const state = coordinatorState(this.#state);
    if (state === this.#reported) return;
    this.#reported = state;
    this.options.host.report(state);
  }

  #arm(): void {
    this.#timer?.cancel();
    const { surroundings, tickMs } = this.options;
    const due = dueIn(this.#state, moment(surroundings));
    if (due === Infinity) return;
    // whole milliseconds, and never before it is due: a clock may count in halves
    this.#timer = surroundings.after(Math.min(Math.max(Math.ceil(due), 0), tickMs), () => {
      this.#arm();
      this.dispatch({ kind: "tick" });
    });
  }

  #run(effect: Effect): void {
    const { host, keeper } = this.options;
    switch (effect.kind) {
      case "log":
        return host.log(effect.level, effect.text);
      case "warn-sessions":
        host.warn(effect.graceMs, effect.reasons).catch(this.#fail);
        return;
      case "forget-served":
        return host.forgetServed();
      case "tell-health":
        keeper.tellHealth(effect.trouble).catch(this.#fail);
        return;
      case "wait":
        return keeper.wait(effect.reasons, (event) => this.dispatch(event));
      case "leave":
        return keeper.leave();
      default:
        this.#answer(effect).then((event) => this.dispatch(event)).catch(this.#fail);
    }
  }

  async #answer(request: Exclude<Request, { kind: "wait" | "leave" }>): Promise<Event> {
    const { host, keeper } = this.options;
    switch (request.kind) {
      case "recover":
        return await keeper.recover(request.keep ?? false);
      case "confirm":
        return await keeper.confirm(request.slot);
      case "cancel":
        return await keeper.cancel(request.slot);
      case "inquire":
        return { kind: "inquired", inquiry: await host.inquire(request.phase) };
      case "hooks":
        return await host.runHooks(request);
      case "prove":
        return await host.prove();
      case "reboot": {
        const outcome = await host.reboot(request.timeoutMs, request.fingerprint);
        if (outcome.kind === "accepted") return { kind: "reboot-accepted" };
        if (outcome.kind === "unknown") return { kind: "reboot-unknown", why: outcome.why };
        const blocked = outcome.blocked ? { blocked: true } as const : {};
        return { kind: "reboot-refused", why: outcome.why, ...blocked };
      }
    }
  }
}
