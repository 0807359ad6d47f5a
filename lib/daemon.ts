/**
 * The daemon: runs the effects of the state machine in `agent.ts` against the real lock, bus and machine, and brings
 * their outcomes back to it. Nothing is decided here.
 *
 * It ends only by its signal. A slot that is held then stays held: the next daemon finds it by boot id and goes on, or
 * gives it back.
 */

import {
  type Agent,
  type AgentConfig,
  coordinatorState,
  type Effect,
  type Event,
  type Slot,
  START,
  step,
  wakeAt,
  wantsHints,
} from "./agent.ts";
import { reasonOf } from "./child.ts";
import type { Bus } from "./dbus.ts";
import type { Coordinator } from "./coordinator.ts";
import { formatDuration } from "./duration.ts";
import { type Lock, LockError } from "./lock.ts";
import type { Machine } from "./machine.ts";
import { type Detector, watchNeed } from "./need.ts";
import type { Log } from "./output.ts";
import { rebootMachine, type RebootMethod } from "./reboot.ts";
import { GRANTED, type Hold, REBOOTING } from "./semaphore.ts";
import { listSessions, wall } from "./sessions.ts";
import { StoreError, type Watch } from "./store.ts";

/** The longest sleep between two looks at the clock, in milliseconds: clocks are set, and machines are suspended. */
const TICK_LIMIT_MS = 30_000;
/** Those who wait for a slot try within this time of a hint, in milliseconds, not all at the same instant. */
const HINT_SPREAD_MS = 150;
const SESSIONS_TIMEOUT_MS = 10_000;
const WALL_TIMEOUT_MS = 10_000;

export interface DaemonOptions extends AgentConfig {
  readonly machine: Machine;
  /** The lock; `null` with the strategy `reboot`. */
  readonly lock: Lock | null;
  readonly detectors: ReadonlyMap<string, Detector>;
  readonly bus: Bus;
  readonly rebootMethod: RebootMethod;
  readonly coordinator: Coordinator;
  readonly log: Log;
}

/** Runs until `signal` aborts. */
export async function runDaemon(options: DaemonOptions, signal: AbortSignal): Promise<void> {
  const daemon = new Daemon(options, signal);
  await Promise.race([
    daemon.failed,
    Promise.all([
      daemon.start(),
      watchNeed(told(options), signal, (need) => {
        options.log("debug", `need of a reboot: ${JSON.stringify(need)}`);
        daemon.dispatch({ kind: "need", need });
      }),
    ]),
  ]);
}

/** The detectors; each reason why one cannot know is told once, for another one's answer would cover it. */
function told({ detectors, log }: DaemonOptions): ReadonlyMap<string, Detector> {
  return new Map([...detectors].map(([name, detect]): [string, Detector] => {
    let said = "";
    return [name, (signal, listener) =>
      detect(signal, (need) => {
        const text = need.kind === "unknown" ? need.why.join("; ") : "";
        if (text !== "" && text !== said) {
          log("info", `${name} cannot tell whether a reboot is needed: ${text}`);
        }
        said = text;
        listener(need);
      })];
  }));
}

class Daemon {
  /** Rejects when an effect throws what it must not: a bug that is to end the daemon loudly. */
  readonly failed: Promise<never>;
  #fail: (error: unknown) => void = () => {};
  #state: Agent = START;
  #reported = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: Watch | undefined;

  constructor(private readonly options: DaemonOptions, private readonly signal: AbortSignal) {
    this.failed = new Promise((_, reject) => this.#fail = reject);
  }

  /** Resolves when the signal aborts. */
  start(): Promise<void> {
    this.report();
    this.dispatch({ kind: "started" });
    return new Promise((resolve) => {
      const stop = () => {
        clearTimeout(this.#timer);
        this.#watch?.close();
        resolve();
      };
      if (this.signal.aborted) stop();
      else this.signal.addEventListener("abort", stop, { once: true });
    });
  }

  dispatch(event: Event): void {
    if (this.signal.aborted) return;
    const { log } = this.options;
    try {
      const before = this.#state.phase.name;
      const { state, effects } = step(this.options, this.#state, event, Date.now());
      this.#state = state;
      if (state.phase.name !== before) log("debug", `${before} -> ${state.phase.name} (${event.kind})`);
      this.report();
      this.listen();
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
    const { coordinator, strategy, log } = this.options;
    // a file that only tells others is no reason to stop
    coordinator.set(strategy, state).catch((error) => log("warning", reasonOf(error)));
  }

  /** Watches the semaphore for as long as the state wants hints. */
  private listen(): void {
    const { lock } = this.options;
    if (wantsHints(this.#state) && lock !== null) {
      this.#watch ??= lock.store.watch(lock.key, () => {
        setTimeout(() => this.dispatch({ kind: "slot-hint" }), Math.random() * HINT_SPREAD_MS);
      });
    } else {
      this.#watch?.close();
      this.#watch = undefined;
    }
  }

  private arm(): void {
    clearTimeout(this.#timer);
    const at = wakeAt(this.#state);
    if (at === Infinity) return;
    const wait = Math.min(Math.max(at - Date.now(), 0), TICK_LIMIT_MS);
    this.#timer = setTimeout(() => {
      this.arm();
      this.dispatch({ kind: "tick" });
    }, wait);
  }

  private run(effect: Effect): void {
    this.outcome(effect).then((event) => event && this.dispatch(event)).catch(this.#fail);
  }

  private async outcome(effect: Effect): Promise<Event | undefined> {
    const { options } = this;
    switch (effect.kind) {
      case "log":
        options.log(effect.level, effect.text);
        return undefined;
      case "warn-sessions":
        await warn(options, effect);
        return undefined;
      case "ask-sessions":
        return { kind: "sessions", users: await loggedIn(options) };
      case "reboot": {
        const outcome = await rebootMachine(options.rebootMethod, { timeoutMs: effect.timeoutMs });
        if (outcome.kind === "accepted") return { kind: "reboot-accepted" };
        return outcome.kind === "refused"
          ? { kind: "reboot-refused", why: outcome.why }
          : { kind: "reboot-unknown", why: outcome.why };
      }
      default: {
        if (options.lock === null) throw new Error(`the effect ${effect.kind} needs a lock`);
        return await locked(options, options.lock, effect);
      }
    }
  }
}

type LockEffect = Extract<Effect, { kind: "recover" | "acquire" | "release" | "confirm" }>;

/** Effects on the lock: a store that fails is an outcome, everything else a bug. */
async function locked(options: DaemonOptions, lock: Lock, effect: LockEffect): Promise<Event> {
  const slot: Slot = { grant: newGrant() };
  try {
    switch (effect.kind) {
      case "recover":
        return await recover(options, lock);
      case "acquire":
        return await acquire(options, lock, slot, effect.reasons);
      case "release":
        return await release(options, lock, effect.slot);
      case "confirm": {
        const { id: holder, bootId: boot } = options.machine;
        const { kind } = await lock.confirm({ holder, boot, grant: effect.slot.grant });
        return kind === "confirmed" ? { kind: "confirmed" } : { kind: "lost" };
      }
    }
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof LockError)) throw error;
    const mayBeOurs = effect.kind === "acquire" && error instanceof LockError && error.kind === "unknown";
    return { kind: "failed", why: error.message, ...(mayBeOurs ? { slot } : {}) };
  }
}

async function recover({ machine }: DaemonOptions, lock: Lock): Promise<Event> {
  const decision = await lock.release(machine.id, { kind: "rebooted", boot: machine.bootId });
  if (decision.kind === "not-held") return { kind: "recovered", slot: null, called: false, note: "" };
  const details = describeHold(decision.hold, Date.now());
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
  const note =
    `this machine's slot was taken by hand${details}; only 'locksmith unlock ${machine.id}' ends it`;
  return { kind: "recovered", slot: null, called: false, note };
}

async function acquire(
  options: DaemonOptions,
  lock: Lock,
  slot: Slot,
  reasons: readonly string[],
): Promise<Event> {
  const { machine } = options;
  const decision = await lock.acquire(machine.id, {
    host: machine.host,
    boot: machine.bootId,
    since: new Date().toISOString(),
    by: "locksmithd",
    reason: reasons.join("; "),
    phase: GRANTED,
    grant: slot.grant,
    extra: {},
  });
  switch (decision.kind) {
    case "granted":
      return { kind: "granted", slot, called: false };
    case "full":
      return { kind: "not-granted", why: `all are held (available: ${decision.available})` };
    case "paused":
      return { kind: "not-granted", why: `the group is paused${describeHold(decision.pause)}` };
    case "held": {
      const { hold } = decision;
      if (hold?.boot === machine.bootId && hold.grant !== undefined) {
        return { kind: "granted", slot: { grant: hold.grant }, called: hold.phase === REBOOTING };
      }
      const details = describeHold(hold);
      return {
        kind: "not-granted",
        why: hold?.boot === undefined
          ? `this machine's slot was taken by hand${details}; 'locksmith unlock ${machine.id}' ends that`
          : `machine id ${machine.id} holds a slot under another boot id${details}; do two machines share this id?`,
      };
    }
  }
}

async function release({ machine }: DaemonOptions, lock: Lock, slot: Slot): Promise<Event> {
  const decision = await lock.release(machine.id, {
    kind: "cancelled",
    boot: machine.bootId,
    grant: slot.grant,
  });
  return { kind: "released", note: decision.kind === "released" ? "gave the slot back" : "" };
}

async function loggedIn({ bus, graceMs, log }: DaemonOptions): Promise<string[]> {
  if (graceMs === 0) return [];
  const answer = await listSessions(bus, { timeoutMs: SESSIONS_TIMEOUT_MS });
  if (answer.kind === "known") return [...new Set(answer.sessions.map(({ user }) => user))];
  log("warning", `cannot tell who is logged in, nobody is given grace: ${answer.why}`);
  return [];
}

async function warn(
  { log }: DaemonOptions,
  { graceMs, reasons }: Extract<Effect, { kind: "warn-sessions" }>,
) {
  const message = `locksmith reboots this machine in ${formatDuration(graceMs)}: ${reasons.join("; ")}`;
  const outcome = await wall(message, { timeoutMs: WALL_TIMEOUT_MS });
  if (outcome.kind === "failed") log("warning", `cannot tell those who are logged in: ${outcome.why}`);
}

/**
 * A hold or a pause in a message: ` (since T, by WHOM, because: WHY)`, as far as it is known. With `now` (milliseconds
 * since the epoch) its age too; without, the message stays the same from one look to the next.
 */
export function describeHold(hold: Pick<Hold, "since" | "by" | "reason"> | undefined, now?: number): string {
  const parts = [];
  if (hold?.since !== undefined) {
    parts.push(
      now === undefined ? `since ${hold.since}` : `since ${hold.since}, ${age(hold.since, now)} ago`,
    );
  }
  if (hold?.by !== undefined) parts.push(`by ${hold.by}`);
  if (hold?.reason !== undefined && hold.reason !== "") parts.push(`because: ${hold.reason}`);
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}

function age(since: string, now: number): string {
  const ageMs = Math.max(0, now - Temporal.Instant.from(since).epochMilliseconds);
  return formatDuration(Math.round(ageMs / 1000) * 1000);
}

/** A mark that no other request has. */
export function newGrant(): string {
  return crypto.randomUUID();
}
