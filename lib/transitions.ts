/**
 * How one machine goes from state to state: `step(config, state, event)` gives the next state and the effects to run. No
 * clock, store or process is touched here.
 *
 * At most one request that reaches outside is under way at a time, and the phase says which. What happens meanwhile is
 * remembered and weighed when its outcome is known, so that no grant is ever lost from sight: a slot that arrives
 * after it was wanted is given back.
 *
 * Four functions call each other: `settle` decides, `enter` goes where that leads, and `giveBack` settles again where
 * there is no slot to give back. It ends because each of these drops something for good: `giveBack` settles only without
 * a slot, and without a slot nothing is decided that leads back to it.
 */

import type { Agent, AgentConfig, Effect, Event, Phase } from "./agent.ts";
import { dueIn } from "./agent.ts";
import { backoffMs } from "./backoff.ts";
import { type Action, decide, type WindowState } from "./strategy.ts";
import type { LogLevel, Moment } from "./surroundings.ts";

/** How long what the store failed to do waits before it is tried again, in milliseconds. */
export const RETRY_MS = { first: 1_000, last: 60_000 };
/** How long a slot is kept while nobody knows whether a reboot is needed, in milliseconds. */
export const NEED_PATIENCE_MS = 60_000;
/** How long a machine may take to go down after an accepted reboot call, in milliseconds. */
export const REBOOT_PATIENCE_MS = 10 * 60_000;
/** How long after a refused reboot the next try comes, in milliseconds. */
export const REFUSED_BACKOFF_MS = 5 * 60_000;
/** How long the reboot call may take, in milliseconds: in a window that closes sooner only until then. */
export const CALL_LIMIT_MS = { least: 1_000, most: 90_000 };

export interface Step {
  readonly state: Agent;
  readonly effects: readonly Effect[];
}

const LOST_TEXT = "the slot is not ours any more, somebody unlocked this machine; starting over";
const KEPT_TEXT =
  "keeping the slot, a reboot was called under it and may still come; if not, 'locksmith unlock' ends it";

/** An event that cannot come in the state it came in: a bug, never an operator's fault. */
export class AgentError extends Error {
  override readonly name = "AgentError";
}

/** The next state, and what to do. Throws {@linkcode AgentError}. */
export function step(config: AgentConfig, state: Agent, event: Event, now: Moment): Step {
  switch (event.kind) {
    case "started":
      expectPhase(state, event, "recovering");
      return config.strategy === "etcd-lock" ? recover(state, 0) : settle(config, state, now);
    case "need":
      return takeNeed(config, { ...state, need: event.need }, now);
    case "tick":
      return tick(config, state, now);
    case "recovered": {
      expectPhase(state, event, "recovering");
      const { slot, called, note } = event;
      const next = settle(config, { ...state, slot, called, recovered: true, noted: note }, now);
      if (note !== "") return note === state.noted ? next : say("info", note, next);
      return state.slot === null || slot !== null ? next : say("warning", LOST_TEXT, next);
    }
    case "granted": {
      expectPhase(state, event, "waiting", "leaving");
      const held = { ...state, slot: event.slot, called: event.called, said: "" };
      return say("info", "got a slot", settle(config, held, now));
    }
    case "in-line":
      // what came while it was leaving is of no interest any more
      if (state.phase.name === "leaving") return rest(state);
      expectPhase(state, event, "waiting");
      return sayOnce(
        "info",
        `a reboot is needed (${reasons(state).join("; ")}); waiting for a slot: ${event.why}`,
        rest(state),
      );
    case "left":
      expectPhase(state, event, "leaving");
      return settle(config, state, now);
    case "sessions":
      expectPhase(state, event, "checking");
      return prepare(config, state, event.users, now);
    case "confirmed":
      expectPhase(state, event, "confirming");
      return call(config, { ...state, called: state.called || event.called, setbacks: 0 }, now);
    case "lost":
      expectPhase(state, event, "confirming");
      return say(
        "warning",
        LOST_TEXT,
        settle(config, postponed({ ...state, slot: null, called: false }, now), now),
      );
    case "cancelled": {
      expectPhase(state, event, "cancelling");
      const next = settle(config, { ...state, slot: null, called: false }, now);
      return event.note === "" ? next : say("info", event.note, next);
    }
    case "kept":
      expectPhase(state, event, "cancelling");
      return say("warning", KEPT_TEXT, rebooting({ ...state, called: true }, now));
    case "reboot-accepted":
      expectPhase(state, event, "calling");
      return say("notice", "the reboot is accepted, this machine goes down", rebooting(state, now));
    case "reboot-unknown":
      expectPhase(state, event, "calling");
      return say(
        "warning",
        `nobody can tell whether the reboot was accepted (${event.why}); keeping the slot`,
        rebooting(state, now),
      );
    case "reboot-refused": {
      expectPhase(state, event, "calling");
      if (state.called) {
        return say("warning", `the reboot was not called again: ${event.why}`, rebooting(state, now));
      }
      return say(
        "error",
        `the reboot was refused: ${event.why}; the next try comes in ${REFUSED_BACKOFF_MS / 60_000} minutes`,
        giveBack(config, { ...state, notBefore: now.elapsed + REFUSED_BACKOFF_MS }, now),
      );
    }
    case "failed":
      return failed(config, state, event, now);
  }
}

/** A change of need is weighed at once in a waiting state, and later in a busy one. */
function takeNeed(config: AgentConfig, state: Agent, now: Moment): Step {
  switch (state.phase.name) {
    case "idle":
      return state.need.kind === "needed" ? settle(config, state, now) : rest(state);
    case "awaiting-need":
      // another reason not to know it does not begin the patience anew
      return state.need.kind === "unknown" ? rest(state) : settle(config, state, now);
    case "waiting":
      // who does not know for a while keeps the place
      return state.need.kind === "not-needed" ? leave(state) : rest(state);
    case "awaiting-window":
    case "grace":
    case "backing-off":
      return state.need.kind === "needed" ? rest(state) : settle(config, state, now);
    default:
      return rest(state);
  }
}

function tick(config: AgentConfig, state: Agent, now: Moment): Step {
  const { phase } = state;
  // a clock that was set, or the next of two windows that meet, makes another time of what was waited for
  if (phase.name === "awaiting-window") {
    return now.elapsed < phase.lookAt ? settle(config, state, now) : recover(state, 0);
  }
  if (phase.name === "waiting") return waitOrLeave(config, state, now);
  if (dueIn(state, now) > 0) return rest(state);
  switch (phase.name) {
    case "recovery-backoff":
      return recover(state, phase.failures);
    case "cancel-backoff":
      return cancel(config, state, phase.failures, now);
    case "idle":
      // a grant that came after its asker had gone would be held for ever
      return config.strategy === "etcd-lock" ? recover(state, 0) : settle(config, state, now);
    case "awaiting-need":
      if (state.called) return giveBack(config, state, now);
      return say(
        "warning",
        "nobody can tell whether a reboot is needed; giving the slot back",
        giveBack(config, state, now),
      );
    case "grace":
      return confirmOrGiveBack(config, state, now);
    case "rebooting":
      return say(
        "warning",
        "this machine is still up, although its reboot was called; looking again",
        again(config, state, now),
      );
    default:
      return settle(config, state, now);
  }
}

/** Leaves a state whose work is done: what now? */
function settle(config: AgentConfig, state: Agent, now: Moment): Step {
  const window = usable(config.windowAt(now.now), state, now);
  const action = decide({ strategy: config.strategy, need: state.need, holds: state.slot !== null, window });
  const isWork = action.kind === "acquire" || action.kind === "prepare" || action.kind === "await-window";
  if (isWork && now.elapsed < state.notBefore) {
    return rest(enterPhase(state, { name: "backing-off", until: state.notBefore }));
  }
  return enter(config, state, action, window, now);
}

/** A window without room for the grace counts as closed. */
function usable(window: WindowState, { windowSpent }: Agent, { now }: Moment): WindowState {
  // before `from` the clock was set back, and knows better
  const spent = windowSpent !== null && windowSpent.from <= now && now < windowSpent.until;
  return window.open && spent ? { open: false, nextOpensAt: windowSpent.until } : window;
}

function enter(config: AgentConfig, state: Agent, action: Action, window: WindowState, now: Moment): Step {
  switch (action.kind) {
    case "rest": {
      const idle = { name: "idle", until: now.elapsed + config.idleLookMs } as const;
      return rest(enterPhase({ ...state, setbacks: 0, said: "" }, idle));
    }
    case "await-need":
      return rest(enterPhase(state, { name: "awaiting-need", until: now.elapsed + NEED_PATIENCE_MS }));
    case "give-back":
      if (state.called) return giveBack(config, state, now);
      return say("info", `giving the slot back: ${action.why}`, giveBack(config, state, now));
    case "await-window": {
      const lookAt = lookAgainAt(config, state, now);
      return sayOnce(
        "info",
        `a reboot is needed (${reasons(state).join("; ")}); waiting for the window at ${
          instant(action.until)
        }`,
        rest(enterPhase(state, { name: "awaiting-window", opensAt: action.until, lookAt })),
      );
    }
    case "acquire": {
      const closesAt = window.open ? window.closesAt : now.now;
      return {
        state: enterPhase(state, { name: "waiting", closesAt }),
        effects: [{ kind: "wait", reasons: reasons(state) }],
      };
    }
    case "prepare":
      return { state: enterPhase(state, { name: "checking" }), effects: [{ kind: "ask-sessions" }] };
  }
}

/** Nobody is logged in: go on. Somebody is: tell them and wait, if the window has room for it. */
function prepare(config: AgentConfig, state: Agent, users: readonly string[], now: Moment): Step {
  // the question took time
  const window = config.windowAt(now.now);
  if (state.need.kind !== "needed" || !window.open) return settle(config, state, now);
  if (users.length === 0 || config.graceMs === 0) return confirmOrGiveBack(config, state, now);
  const { graceMs } = config;
  const seconds = graceMs / 1000;
  if (now.now + graceMs > window.closesAt) {
    const windowSpent = { from: now.now, until: window.nextOpensAt };
    return say(
      "warning",
      `${users.join(", ")} logged in, and the window closes at ${instant(window.closesAt)}, before their ` +
        `${seconds} s of grace are over; waiting for the window at ${instant(window.nextOpensAt)}`,
      giveBack(config, { ...state, windowSpent }, now),
    );
  }
  return say("notice", `${users.join(", ")} logged in; rebooting in ${seconds} s`, {
    state: enterPhase(state, { name: "grace", until: now.elapsed + graceMs }),
    effects: [{ kind: "warn-sessions", users, graceMs, reasons: reasons(state) }],
  });
}

/** The window and the need, once more; then the last proof that the slot is ours. */
function confirmOrGiveBack(config: AgentConfig, state: Agent, now: Moment): Step {
  const window = config.windowAt(now.now);
  const { need, slot } = state;
  const action = decide({ strategy: config.strategy, need, holds: slot !== null, window });
  if (action.kind !== "prepare") return enter(config, state, action, window, now);
  if (slot === null) return call(config, state, now);
  return { state: enterPhase(state, { name: "confirming" }), effects: [{ kind: "confirm", slot }] };
}

/** The moment of the call: the confirm took time, so need and window are asked again. */
function call(config: AgentConfig, state: Agent, now: Moment): Step {
  const window = config.windowAt(now.now);
  if (!window.open || state.need.kind !== "needed") return settle(config, state, now);
  const timeoutMs = Math.max(CALL_LIMIT_MS.least, Math.min(CALL_LIMIT_MS.most, window.closesAt - now.now));
  return say("notice", `rebooting: ${reasons(state).join("; ")}`, {
    state: enterPhase(state, { name: "calling" }),
    effects: [{ kind: "reboot", timeoutMs }],
  });
}

function rebooting(state: Agent, now: Moment, patienceMs: number = REBOOT_PATIENCE_MS): Step {
  return rest(enterPhase({ ...state, called: true }, { name: "rebooting", until: now.elapsed + patienceMs }));
}

/** When a machine whose window is closed looks for a slot that it knows nothing of: without a lock never. */
function lookAgainAt(config: AgentConfig, { phase }: Agent, now: Moment): number {
  if (phase.name === "awaiting-window") return phase.lookAt;
  return config.strategy === "etcd-lock" ? now.elapsed + config.idleLookMs : Infinity;
}

/** The machine did not go down. Without a slot nothing is to be kept; else the store knows whether it still is ours. */
function again(config: AgentConfig, state: Agent, now: Moment): Step {
  return state.slot === null ? settle(config, { ...state, called: false }, now) : recover(state, 0);
}

function recover(state: Agent, failures: number): Step {
  return {
    state: enterPhase(state, { name: "recovering", failures }),
    effects: [{ kind: "recover" }],
  };
}

/** An accepted reboot may still come: then the slot is not given back. */
function giveBack(config: AgentConfig, state: Agent, now: Moment): Step {
  if (!state.called) return cancel(config, state, 0, now);
  // a window may be shorter than our patience, and is not to pass unseen
  const window = config.windowAt(now.now);
  const patienceMs = window.open ? REBOOT_PATIENCE_MS : Math.max(1, window.nextOpensAt - now.now);
  return sayOnce("info", KEPT_TEXT, rebooting(state, now, Math.min(REBOOT_PATIENCE_MS, patienceMs)));
}

function cancel(config: AgentConfig, state: Agent, failures: number, now: Moment): Step {
  const { slot } = state;
  if (slot === null) return settle(config, state, now);
  return {
    state: enterPhase(state, { name: "cancelling", failures }),
    effects: [{ kind: "cancel", slot }],
  };
}

/** The next try comes later, and each time it fails later still: a store that fails at once is not asked in a loop. */
function postponed(state: Agent, now: Moment): Agent {
  const setbacks = state.setbacks + 1;
  return { ...state, setbacks, notBefore: Math.max(state.notBefore, retryAt(setbacks, now)) };
}

/** Stays in line as long as a window is open. */
function waitOrLeave(config: AgentConfig, state: Agent, now: Moment): Step {
  const window = usable(config.windowAt(now.now), state, now);
  return window.open ? rest(enterPhase(state, { name: "waiting", closesAt: window.closesAt })) : leave(state);
}

function leave(state: Agent): Step {
  return { state: enterPhase(state, { name: "leaving" }), effects: [{ kind: "leave" }] };
}

/** A request could not be carried out: it is tried again, later each time. */
function failed(
  config: AgentConfig,
  state: Agent,
  event: Extract<Event, { kind: "failed" }>,
  now: Moment,
): Step {
  expectPhase(state, event, "recovering", "confirming", "cancelling");
  const { phase } = state;
  if (phase.name === "confirming") {
    return say(
      "warning",
      `no reboot without a confirmed slot: ${event.why}`,
      giveBack(config, postponed(state, now), now),
    );
  }
  const failures = "failures" in phase ? phase.failures + 1 : 1;
  const until = retryAt(failures, now);
  return phase.name === "recovering"
    ? sayOnce(
      "warning",
      `cannot find out which slot this machine holds, trying again: ${event.why}`,
      rest(enterPhase(state, { name: "recovery-backoff", until, failures })),
    )
    : sayOnce(
      "warning",
      `cannot give the slot back, trying again: ${event.why}`,
      rest(enterPhase(state, { name: "cancel-backoff", until, failures })),
    );
}

function retryAt(failures: number, { elapsed, chance }: Moment): number {
  return elapsed + backoffMs(failures, RETRY_MS, chance);
}

function expectPhase({ phase }: Agent, event: Event, ...expected: Phase["name"][]): void {
  if (!expected.includes(phase.name)) {
    throw new AgentError(`'${event.kind}' cannot come in the state ${phase.name}`);
  }
}

/** The same machine in another phase. */
function enterPhase(state: Agent, phase: Phase): Agent {
  return { ...state, phase };
}

/** Nothing is to be done for now. */
function rest(state: Agent): Step {
  return { state, effects: [] };
}

/** Says something, and then does what comes next. */
function say(level: LogLevel, text: string, { state, effects }: Step): Step {
  return { state, effects: [{ kind: "log", level, text }, ...effects] };
}

/** Says something about a wait, unless the very same was said last. */
function sayOnce(level: LogLevel, text: string, next: Step): Step {
  if (next.state.said === text) return next;
  return say(level, text, { ...next, state: { ...next.state, said: text } });
}

function reasons({ need }: Agent): readonly string[] {
  return need.kind === "needed" ? need.reasons : [];
}

function instant(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}
