/**
 * The states of one machine: a pure state machine. `step(config, state, event)` gives the next state and the effects
 * to run; `daemon.ts` runs them and brings their outcomes back as events. No clock, store or process is touched here.
 *
 * At most one effect that reaches outside is under way at a time, and the state says which. What happens meanwhile is
 * remembered and weighed when its outcome is known, so that no grant is ever lost from sight: a slot that arrives
 * after it was wanted is given back.
 *
 * Windows are of the wall clock, which may leap; what lasts (a pause, the grace) is measured by one that does not.
 */

import type { Need } from "./need.ts";
import { type Action, decide, type Opening } from "./strategy.ts";
import type { Moment } from "./surroundings.ts";

export interface AgentConfig {
  readonly strategy: "etcd-lock" | "reboot";
  /** How long people who are logged in have, in milliseconds. */
  readonly graceMs: number;
  /** How often a machine that is idle, or waits for its window, looks for a slot that it knows nothing of; milliseconds. */
  readonly idleLookMs: number;
  /** Whether a reboot is allowed at `now`, milliseconds since the epoch. */
  openingAt(now: number): Opening;
}

/** How long what the store failed to do waits before it is tried again, in milliseconds: the first and the longest. */
export const RETRY_MS = { first: 1_000, last: 60_000 };
/** How long a slot is kept while nobody knows whether a reboot is needed, in milliseconds. */
export const NEED_PATIENCE_MS = 60_000;
/** How long a machine may take to go down after an accepted reboot call, in milliseconds. */
export const REBOOT_PATIENCE_MS = 10 * 60_000;
/** How long after a refused reboot the next try comes, in milliseconds. */
export const REFUSED_PAUSE_MS = 5 * 60_000;
/** How long the reboot call may take, in milliseconds: in a window that closes sooner only until then. */
export const CALL_LIMIT_MS = { least: 1_000, most: 90_000 };

/** The daemon's own hold: what it has to show when it confirms or cancels. */
export interface Slot {
  readonly grant: string;
}

/** What the machine is doing. `until` is by the clock that does not leap, `opensAt` and `closesAt` by the wall clock. */
export type Phase =
  /** Looks which slot this machine has: one from before the boot is to be given back, one may have been unlocked. */
  | { readonly name: "recovering"; readonly failures: number }
  | { readonly name: "recovery-pause"; readonly until: number; readonly failures: number }
  /** No reboot is needed. */
  | { readonly name: "idle"; readonly until: number }
  /** Holds a slot, and nobody knows whether a reboot is needed. */
  | { readonly name: "awaiting-need"; readonly until: number }
  /** `lookAt`: when to look for a slot that it knows nothing of, by the clock that does not leap. */
  | { readonly name: "awaiting-window"; readonly opensAt: number; readonly lookAt: number }
  /** Waits for a slot, in line, while the window is open. */
  | { readonly name: "waiting"; readonly closesAt: number }
  /** Gives its place in the line up; a slot may still come. */
  | { readonly name: "leaving" }
  /** Asks who is logged in. */
  | { readonly name: "checking" }
  /** Somebody is logged in and was told. */
  | { readonly name: "grace"; readonly until: number }
  | { readonly name: "confirming" }
  /** The reboot call is under way. */
  | { readonly name: "calling" }
  /** The reboot was accepted; the machine is to go down. */
  | { readonly name: "rebooting"; readonly until: number }
  | { readonly name: "releasing"; readonly failures: number }
  | { readonly name: "release-pause"; readonly until: number; readonly failures: number }
  /** The reboot was refused, or the store failed. */
  | { readonly name: "pausing"; readonly until: number };

export interface Agent {
  readonly phase: Phase;
  readonly need: Need;
  /** The slot that this daemon has, as far as it knows. */
  readonly slot: Slot | null;
  /** Whether a reboot call was accepted, or may have been: then the slot stays, whatever comes. */
  readonly called: boolean;
  /** Whether it is known since the start which slot this machine has. */
  readonly recovered: boolean;
  /** Not to be tried before this, by the clock that does not leap. */
  readonly notBefore: number;
  /** A window that is open between these instants is of no use: it has no room for the grace. */
  readonly windowSpent: { readonly from: number; readonly until: number } | null;
  /** How often in a row a slot was lost before it was confirmed: each time the next try comes later. */
  readonly setbacks: number;
  /** The last thing that was said about a wait, so that it is said once. */
  readonly said: string;
  /** What the last look found, for the same reason. */
  readonly noted: string;
}

export type Event =
  | { readonly kind: "started" }
  /** The time that the state waits for may have come. */
  | { readonly kind: "tick" }
  | { readonly kind: "need"; readonly need: Need }
  | {
    readonly kind: "recovered";
    readonly slot: Slot | null;
    readonly called: boolean;
    readonly note: string;
  }
  /** Still in line, and why. */
  | { readonly kind: "in-line"; readonly why: string }
  /** `called`: somebody called the reboot under this very slot already. */
  | { readonly kind: "granted"; readonly slot: Slot; readonly called: boolean }
  /** Out of the line, without a slot. */
  | { readonly kind: "left" }
  | { readonly kind: "failed"; readonly why: string }
  | { readonly kind: "sessions"; readonly users: readonly string[] }
  | { readonly kind: "confirmed" }
  | { readonly kind: "lost" }
  | { readonly kind: "released"; readonly note: string }
  | { readonly kind: "reboot-accepted" }
  | { readonly kind: "reboot-refused"; readonly why: string }
  | { readonly kind: "reboot-unknown"; readonly why: string };

/** What is to be done outside. The first seven answer with an event, `wait` and `leave` together; the rest do not. */
export type Effect =
  | { readonly kind: "recover" }
  /** Get in line. `granted` is the answer, whenever it comes, or `left` after a `leave`. */
  | { readonly kind: "wait"; readonly reasons: readonly string[] }
  | { readonly kind: "leave" }
  | { readonly kind: "release"; readonly slot: Slot }
  | { readonly kind: "ask-sessions" }
  | { readonly kind: "confirm"; readonly slot: Slot }
  /** `timeoutMs`: the call is to be made, and answered, within this time. */
  | { readonly kind: "reboot"; readonly timeoutMs: number }
  | {
    readonly kind: "warn-sessions";
    readonly users: readonly string[];
    readonly graceMs: number;
    readonly reasons: readonly string[];
  }
  | { readonly kind: "log"; readonly level: "info" | "notice" | "warning" | "error"; readonly text: string };

export interface Step {
  readonly state: Agent;
  readonly effects: readonly Effect[];
}

export const START: Agent = {
  phase: { name: "recovering", failures: 0 },
  need: { kind: "unknown", why: ["not asked yet"] },
  slot: null,
  called: false,
  recovered: false,
  notBefore: 0,
  windowSpent: null,
  setbacks: 0,
  said: "",
  noted: "",
};

const LOST_TEXT = "the slot is not ours any more, somebody unlocked this machine; starting over";

/** An event that cannot come in the state it came in: a bug, never an operator's fault. */
export class AgentError extends Error {
  override readonly name = "AgentError";
}

/** The next state, and what to do. Throws {@linkcode AgentError}. */
export function step(config: AgentConfig, state: Agent, event: Event, now: Moment): Step {
  const { phase } = state;
  switch (event.kind) {
    case "started":
      from(state, event, "recovering");
      return config.strategy === "etcd-lock"
        ? { state, effects: [{ kind: "recover" }] }
        : settle(config, state, now);
    case "need":
      return takeNeed(config, { ...state, need: event.need }, now);
    case "tick":
      return tick(config, state, now);
    case "recovered": {
      from(state, event, "recovering");
      const { slot, called, note } = event;
      const next = settle(config, { ...state, slot, called, recovered: true, noted: note }, now);
      if (note !== "") return note === state.noted ? next : saying(next, "info", note);
      return state.slot === null || event.slot !== null ? next : saying(next, "warning", LOST_TEXT);
    }
    case "granted": {
      from(state, event, "waiting", "leaving");
      const held = { ...state, slot: event.slot, called: event.called, said: "" };
      return saying(settle(config, held, now), "info", "got a slot");
    }
    case "in-line":
      // what came while it was leaving is of no interest any more
      if (phase.name === "leaving") return { state, effects: [] };
      from(state, event, "waiting");
      return once(
        { state, effects: [] },
        `a reboot is needed (${reasons(state).join("; ")}); waiting for a slot: ${event.why}`,
      );
    case "left":
      from(state, event, "leaving");
      return settle(config, state, now);
    case "sessions":
      from(state, event, "checking");
      return prepared(config, state, event.users, now);
    case "confirmed":
      from(state, event, "confirming");
      return call(config, { ...state, setbacks: 0 }, now);
    case "lost":
      from(state, event, "confirming");
      return saying(
        settle(config, postponed({ ...state, slot: null, called: false }, now), now),
        "warning",
        LOST_TEXT,
      );
    case "released": {
      from(state, event, "releasing");
      const next = settle(config, { ...state, slot: null, called: false }, now);
      return event.note === "" ? next : saying(next, "info", event.note);
    }
    case "reboot-accepted":
      from(state, event, "calling");
      return saying(rebooting(state, now), "notice", "the reboot is accepted, this machine goes down");
    case "reboot-unknown":
      from(state, event, "calling");
      return saying(
        rebooting(state, now),
        "warning",
        `nobody can tell whether the reboot was accepted (${event.why}); keeping the slot`,
      );
    case "reboot-refused": {
      from(state, event, "calling");
      if (state.called) {
        return saying(rebooting(state, now), "warning", `the reboot was not called again: ${event.why}`);
      }
      const text = `the reboot was refused: ${event.why}; the next try comes in ${
        REFUSED_PAUSE_MS / 60_000
      } minutes`;
      return saying(
        giveBack(config, { ...state, notBefore: now.elapsed + REFUSED_PAUSE_MS }, now),
        "error",
        text,
      );
    }
    case "failed":
      return failed(config, state, event, now);
  }
}

/** In how many milliseconds the state wants a `tick`; `Infinity` where it waits for something else. */
export function dueIn({ phase }: Agent, { now, elapsed }: Moment): number {
  switch (phase.name) {
    case "awaiting-window":
      return Math.min(phase.opensAt - now, phase.lookAt - elapsed);
    case "waiting":
      // the end belongs to the window
      return phase.closesAt + 1 - now;
    default:
      return "until" in phase ? phase.until - elapsed : Infinity;
  }
}

/** What `coordinator.conf` says of a state. */
export function coordinatorState(
  { phase, called, recovered }: Agent,
): "starting" | "running" | "reboot-planned" | "rebooting" {
  switch (phase.name) {
    case "recovering":
    case "recovery-pause":
      return called ? "rebooting" : recovered ? "running" : "starting";
    case "checking":
    case "grace":
    case "confirming":
      return "reboot-planned";
    case "calling":
    case "rebooting":
      return "rebooting";
    default:
      return "running";
  }
}

/** A change of need is weighed at once in a waiting state, and later in a busy one. */
function takeNeed(config: AgentConfig, state: Agent, now: Moment): Step {
  switch (state.phase.name) {
    case "idle":
      return state.need.kind === "needed" ? settle(config, state, now) : { state, effects: [] };
    case "awaiting-need":
      // another reason not to know it does not begin the patience anew
      return state.need.kind === "unknown" ? { state, effects: [] } : settle(config, state, now);
    case "waiting":
      // who does not know for a while keeps the place
      return state.need.kind === "not-needed" ? leave(state) : { state, effects: [] };
    case "awaiting-window":
    case "grace":
    case "pausing":
      return state.need.kind === "needed" ? { state, effects: [] } : settle(config, state, now);
    default:
      return { state, effects: [] };
  }
}

function tick(config: AgentConfig, state: Agent, now: Moment): Step {
  const { phase } = state;
  // a clock that was set, or the next of two windows that meet, makes another time of what was waited for
  if (phase.name === "awaiting-window") {
    return now.elapsed < phase.lookAt ? settle(config, state, now) : recover(state, 0);
  }
  if (phase.name === "waiting") return waitOrLeave(config, state, now);
  if (dueIn(state, now) > 0) return { state, effects: [] };
  switch (phase.name) {
    case "recovery-pause":
      return recover(state, phase.failures);
    case "release-pause":
      return release(config, state, phase.failures, now);
    case "idle":
      // a grant that came after its asker had gone would be held for ever
      return config.strategy === "etcd-lock" ? recover(state, 0) : settle(config, state, now);
    case "awaiting-need":
      if (state.called) return giveBack(config, state, now);
      return saying(
        giveBack(config, state, now),
        "warning",
        "nobody can tell whether a reboot is needed; giving the slot back",
      );
    case "grace":
      return confirmOrGiveBack(config, state, now);
    case "rebooting":
      return saying(
        again(config, state, now),
        "warning",
        "this machine is still up, although its reboot was called; looking again",
      );
    default:
      return settle(config, state, now);
  }
}

/** Leaves a state whose work is done: what now? */
function settle(config: AgentConfig, state: Agent, now: Moment): Step {
  const opening = usable(config.openingAt(now.now), state, now);
  const action = decide({ strategy: config.strategy, need: state.need, holds: state.slot !== null, opening });
  if (
    action.kind !== "rest" && action.kind !== "give-back" && action.kind !== "await-need" &&
    now.elapsed < state.notBefore
  ) {
    return { state: { ...state, phase: { name: "pausing", until: state.notBefore } }, effects: [] };
  }
  return enter(config, state, action, opening, now);
}

/** A window without room for the grace counts as closed. */
function usable(opening: Opening, { windowSpent }: Agent, { now }: Moment): Opening {
  // before `from` the clock was set back, and knows better
  const spent = windowSpent !== null && windowSpent.from <= now && now < windowSpent.until;
  return opening.open && spent ? { open: false, nextOpensAt: windowSpent.until } : opening;
}

function enter(config: AgentConfig, state: Agent, action: Action, opening: Opening, now: Moment): Step {
  switch (action.kind) {
    case "rest":
      return {
        state: {
          ...state,
          phase: { name: "idle", until: now.elapsed + config.idleLookMs },
          setbacks: 0,
          said: "",
        },
        effects: [],
      };
    case "await-need":
      return {
        state: { ...state, phase: { name: "awaiting-need", until: now.elapsed + NEED_PATIENCE_MS } },
        effects: [],
      };
    case "give-back":
      if (state.called) return giveBack(config, state, now);
      return saying(giveBack(config, state, now), "info", `giving the slot back: ${action.why}`);
    case "await-window": {
      const next: Step = {
        state: {
          ...state,
          phase: { name: "awaiting-window", opensAt: action.until, lookAt: lookAt(config, state, now) },
        },
        effects: [],
      };
      return once(
        next,
        `a reboot is needed (${reasons(state).join("; ")}); waiting for the window at ${
          instant(action.until)
        }`,
      );
    }
    case "acquire":
      return {
        state: { ...state, phase: { name: "waiting", closesAt: opening.open ? opening.closesAt : now.now } },
        effects: [{ kind: "wait", reasons: reasons(state) }],
      };
    case "prepare":
      return { state: { ...state, phase: { name: "checking" } }, effects: [{ kind: "ask-sessions" }] };
  }
}

/** Nobody is logged in: go on. Somebody is: tell them and wait, if the window has room for it. */
function prepared(config: AgentConfig, state: Agent, users: readonly string[], now: Moment): Step {
  // the question took time
  const opening = config.openingAt(now.now);
  if (state.need.kind !== "needed" || !opening.open) return settle(config, state, now);
  if (users.length === 0 || config.graceMs === 0) return confirmOrGiveBack(config, state, now);
  if (now.now + config.graceMs > opening.closesAt) {
    const text =
      `${users.join(", ")} logged in, and the window closes at ${instant(opening.closesAt)}, before their ` +
      `${config.graceMs / 1000} s of grace are over; waiting for the window at ${
        instant(opening.nextOpensAt)
      }`;
    return saying(
      giveBack(config, { ...state, windowSpent: { from: now.now, until: opening.nextOpensAt } }, now),
      "warning",
      text,
    );
  }
  return {
    state: { ...state, phase: { name: "grace", until: now.elapsed + config.graceMs } },
    effects: [
      {
        kind: "log",
        level: "notice",
        text: `${users.join(", ")} logged in; rebooting in ${config.graceMs / 1000} s`,
      },
      { kind: "warn-sessions", users, graceMs: config.graceMs, reasons: reasons(state) },
    ],
  };
}

/** The window and the need, once more; then the last proof that the slot is ours. */
function confirmOrGiveBack(config: AgentConfig, state: Agent, now: Moment): Step {
  const opening = config.openingAt(now.now);
  const action = decide({ strategy: config.strategy, need: state.need, holds: state.slot !== null, opening });
  if (action.kind !== "prepare") return enter(config, state, action, opening, now);
  if (state.slot === null) return call(config, state, now);
  return {
    state: { ...state, phase: { name: "confirming" } },
    effects: [{ kind: "confirm", slot: state.slot }],
  };
}

/** The moment of the call: the confirm took time, so the window is asked again. */
function call(config: AgentConfig, state: Agent, now: Moment): Step {
  const opening = config.openingAt(now.now);
  if (!opening.open || state.need.kind !== "needed") return settle(config, state, now);
  const timeoutMs = Math.max(CALL_LIMIT_MS.least, Math.min(CALL_LIMIT_MS.most, opening.closesAt - now.now));
  return saying(
    { state: { ...state, phase: { name: "calling" } }, effects: [{ kind: "reboot", timeoutMs }] },
    "notice",
    `rebooting: ${reasons(state).join("; ")}`,
  );
}

function rebooting(state: Agent, now: Moment, patienceMs: number = REBOOT_PATIENCE_MS): Step {
  return {
    state: { ...state, called: true, phase: { name: "rebooting", until: now.elapsed + patienceMs } },
    effects: [],
  };
}

/** When a machine whose window is closed looks for a slot that it knows nothing of: without a lock never. */
function lookAt(config: AgentConfig, { phase }: Agent, now: Moment): number {
  if (phase.name === "awaiting-window") return phase.lookAt;
  return config.strategy === "etcd-lock" ? now.elapsed + config.idleLookMs : Infinity;
}

/** The machine did not go down. Without a slot nothing is to be kept; else the store knows whether it still is ours. */
function again(config: AgentConfig, state: Agent, now: Moment): Step {
  return state.slot === null ? settle(config, { ...state, called: false }, now) : recover(state, 0);
}

function recover(state: Agent, failures: number): Step {
  return { state: { ...state, phase: { name: "recovering", failures } }, effects: [{ kind: "recover" }] };
}

/** An accepted reboot may still come: then the slot is not given back. */
function giveBack(config: AgentConfig, state: Agent, now: Moment): Step {
  if (state.called) {
    // a window may be shorter than our patience, and is not to pass unseen
    const opening = config.openingAt(now.now);
    const patienceMs = opening.open ? REBOOT_PATIENCE_MS : opening.nextOpensAt - now.now;
    return once(
      rebooting(state, now, Math.min(REBOOT_PATIENCE_MS, Math.max(1, patienceMs))),
      "keeping the slot, a reboot was called under it and may still come; if not, 'locksmith unlock' ends it",
    );
  }
  return state.slot === null ? settle(config, state, now) : release(config, state, 0, now);
}

/** The next try comes later, and each time it fails later still: a store that fails at once is not asked in a loop. */
function postponed(state: Agent, now: Moment): Agent {
  const setbacks = state.setbacks + 1;
  return { ...state, setbacks, notBefore: Math.max(state.notBefore, now.elapsed + retryMs(setbacks)) };
}

function release(config: AgentConfig, state: Agent, failures: number, now: Moment): Step {
  if (state.slot === null) return settle(config, state, now);
  return {
    state: { ...state, phase: { name: "releasing", failures } },
    effects: [{ kind: "release", slot: state.slot }],
  };
}

/** Stays in line as long as a window is open. */
function waitOrLeave(config: AgentConfig, state: Agent, now: Moment): Step {
  const opening = usable(config.openingAt(now.now), state, now);
  if (!opening.open) return leave(state);
  return { state: { ...state, phase: { name: "waiting", closesAt: opening.closesAt } }, effects: [] };
}

function leave(state: Agent): Step {
  return { state: { ...state, phase: { name: "leaving" } }, effects: [{ kind: "leave" }] };
}

/** An effect could not be carried out: it is tried again, later each time. */
function failed(
  config: AgentConfig,
  state: Agent,
  event: Extract<Event, { kind: "failed" }>,
  now: Moment,
): Step {
  const { phase } = state;
  switch (phase.name) {
    case "recovering": {
      const failures = phase.failures + 1;
      const until = now.elapsed + retryMs(failures);
      const next: Step = {
        state: { ...state, phase: { name: "recovery-pause", until, failures } },
        effects: [],
      };
      return once(next, `cannot look which slot this machine has, trying again: ${event.why}`, "warning");
    }
    case "confirming":
      return saying(
        giveBack(config, postponed(state, now), now),
        "warning",
        `no reboot without a confirmed slot: ${event.why}`,
      );
    case "releasing": {
      const failures = phase.failures + 1;
      const until = now.elapsed + retryMs(failures);
      const next: Step = {
        state: { ...state, phase: { name: "release-pause", until, failures } },
        effects: [],
      };
      return once(next, `cannot give the slot back, trying again: ${event.why}`, "warning");
    }
    default:
      throw new AgentError(`'failed' cannot come in the state ${phase.name}`);
  }
}

function retryMs(failures: number): number {
  return Math.min(RETRY_MS.last, RETRY_MS.first * 2 ** Math.min(failures - 1, 10));
}

function from({ phase }: Agent, event: Event, ...expected: Phase["name"][]): void {
  if (!expected.includes(phase.name)) {
    throw new AgentError(`'${event.kind}' cannot come in the state ${phase.name}`);
  }
}

function saying(
  { state, effects }: Step,
  level: "info" | "notice" | "warning" | "error",
  text: string,
): Step {
  return { state, effects: [{ kind: "log", level, text }, ...effects] };
}

/** Says something about a wait, unless the very same was said last. */
function once(next: Step, text: string, level: "info" | "warning" = "info"): Step {
  if (next.state.said === text) return next;
  return saying({ ...next, state: { ...next.state, said: text } }, level, text);
}

function reasons({ need }: Agent): readonly string[] {
  return need.kind === "needed" ? need.reasons : [];
}

function instant(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}
