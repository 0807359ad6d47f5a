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

import { prove, proved, recover, unwell, welcome } from "./after_boot.ts";
import { type Agent, type AgentConfig, type Clearance, dueIn, type Event, type Inquiry } from "./agent.ts";
import { backoffMs } from "./backoff.ts";
import { describeDistance, describeDuration, describeInstant } from "./description.ts";
import { describeLoggedIn, needsGrace, tellScheduled } from "./inquiry.ts";
import { openNeed, reasons, rested, tellNeed, withNeed, withServed } from "./served.ts";
import { enterPhase, expectPhase, noteOnce, rest, say, sayOnce, type Step, then } from "./step.ts";
import { type Action, decide, takesSlots, type WindowState } from "./strategy.ts";
import type { Moment } from "./surroundings.ts";

/** How long what the store failed to do waits before it is tried again, in milliseconds. */
export const RETRY_MS = { first: 1_000, last: 60_000 };
/** How long a slot is kept while nobody knows whether a reboot is needed, in milliseconds. */
export const NEED_PATIENCE_MS = 60_000;
/** How long a machine may take to go down after an accepted reboot call, in milliseconds. */
export const REBOOT_PATIENCE_MS = 10 * 60_000;
/** How long after a refused reboot the next try comes, in milliseconds. */
export const REFUSED_BACKOFF_MS = 5 * 60_000;
/** How long a machine whose checks or hooks refused waits before the next try, in milliseconds. */
export const CHECK_RETRY_MS = { first: 60_000, last: 15 * 60_000 };
/** How soon a host that cannot reboot now is asked again, in milliseconds: with a slot, and without one. */
export const BLOCKED_RETRY_MS = { held: 15_000, free: 60_000 };
/** How long a slot is kept while the host cannot reboot, in milliseconds. */
export const BLOCKED_PATIENCE_MS = 5 * 60_000;
/** How long the reboot call may take, in milliseconds: in a window that closes sooner only until then. */
export const CALL_LIMIT_MS = { least: 1_000, most: 90_000 };

const LOST_TEXT = "this machine no longer holds its slot: somebody unlocked it; starting over";
const KEPT_TEXT =
  "keeping the slot: a reboot was requested under it and may still happen; if not, 'locksmith unlock' releases it";

/** The next state, and what to do. Throws {@linkcode AgentError}. */
export function step(config: AgentConfig, state: Agent, event: Event, now: Moment): Step {
  switch (event.kind) {
    case "started":
      expectPhase(state, event, "recovering");
      return config.afterBoot?.hooksDue ? welcome(state, 0) : begin(config, state, now);
    case "need":
      return tellNeed(state, takeNeed(config, withNeed(state, event.need), now));
    case "served":
      return tellNeed(state, takeNeed(config, withServed(state, event.served), now));
    case "tick":
      return tick(config, state, now);
    case "prepared":
      return rest({ ...state, prepared: true });
    case "held-off":
      return weighWindow(config, { ...state, heldOff: event.holdOff }, now);
    case "stopped": {
      const next = takeNeed(config, { ...state, stopped: event.why }, now);
      return event.why === null || event.why === state.stopped ? next : say("error", event.why, next);
    }
    case "recovered": {
      expectPhase(state, event, "recovering");
      if (event.kept) return prove({ ...state, slot: null, called: false, recovered: true }, 0);
      const { slot, called, note, details, level = "info" } = event;
      const noted = note === "" ? "" : state.noted;
      const next = settle(config, { ...state, slot, called, recovered: true, noted }, now);
      if (note !== "") return noteOnce(level, note, next, now, details);
      return state.slot === null || slot !== null ? next : say("warning", LOST_TEXT, next);
    }
    case "granted": {
      expectPhase(state, event, "waiting", "leaving");
      const held = { ...state, slot: event.slot, called: event.called, said: "" };
      return say(
        "info",
        `got a slot in group ${config.group} (${reasons(state).join("; ")})`,
        settle(config, held, now),
      );
    }
    case "in-line":
      // what came while it was leaving is of no interest any more
      if (state.phase.name === "leaving") return rest(state);
      expectPhase(state, event, "waiting");
      return sayOnce(
        event.level ?? "info",
        `a reboot is needed (${reasons(state).join("; ")}); waiting for a slot: ${event.why}`,
        rest(state),
        now,
        event.details,
      );
    case "left":
      expectPhase(state, event, "leaving");
      return settle(config, state, now);
    case "inquired": {
      expectPhase(state, event, "inquiring", "checking");
      const { inquiry } = event;
      const next = state.phase.name === "inquiring"
        ? approach(config, state, inquiry, now)
        : prepare(config, state, inquiry, now);
      return tellScheduled(config, inquiry.scheduled, next, now);
    }
    case "hooked":
      expectPhase(state, event, "welcoming", "preparing", "undoing");
      if (state.phase.name === "welcoming") return begin(config, state, now);
      if (state.phase.name === "preparing") {
        return confirmOrGiveBack(config, { ...state, prepared: true }, now);
      }
      return cancel(config, { ...state, prepared: false }, 0, now);
    case "hook-failed":
      expectPhase(state, event, "welcoming", "preparing", "undoing");
      return hookFailed(config, state, event.why, now);
    case "proved":
      expectPhase(state, event, "proving");
      return proved(config, state, event, now);
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
      return say("notice", "the reboot is accepted; this machine is going down", rebooting(state, now));
    case "reboot-unknown": {
      expectPhase(state, event, "calling");
      const text = `cannot tell whether the reboot was accepted (${event.why}); keeping the slot`;
      return say("warning", text, rebooting(state, now));
    }
    case "reboot-refused": {
      expectPhase(state, event, "calling");
      if (state.called) {
        return say("warning", `the reboot was not requested again: ${event.why}`, rebooting(state, now));
      }
      if (event.blocked) return blocked(config, state, event.why, now);
      return say(
        "error",
        `the reboot was refused: ${event.why}; retrying in ${describeDuration(REFUSED_BACKOFF_MS)}`,
        giveBack(config, { ...state, notBefore: now.elapsed + REFUSED_BACKOFF_MS }, now),
      );
    }
    case "failed":
      return failed(config, state, event, now);
  }
}

/** The first look of a daemon. */
function begin(config: AgentConfig, state: Agent, now: Moment): Step {
  return takesSlots(config.strategy) ? recover(config, state, 0) : settle(config, state, now);
}

/** Somebody holds reboots off, or does so no longer: that counts at once in a waiting state, and later in a busy one. */
function weighWindow(config: AgentConfig, state: Agent, now: Moment): Step {
  switch (state.phase.name) {
    case "waiting":
      return waitOrLeave(config, state, now);
    case "awaiting-window":
    case "backing-off":
      return settle(config, state, now);
    case "blocked":
    case "grace":
      return windowAt(config, state, now).open ? rest(state) : settle(config, state, now);
    default:
      return rest(state);
  }
}

/** A change of need is weighed at once in a waiting state, and later in a busy one. */
function takeNeed(config: AgentConfig, state: Agent, now: Moment): Step {
  const need = openNeed(state);
  switch (state.phase.name) {
    case "idle":
      return need.kind === "needed" ? settle(config, state, now) : rest(state);
    case "awaiting-need":
      // another reason not to know it does not begin the patience anew
      return need.kind === "unknown" ? rest(state) : settle(config, state, now);
    case "waiting":
      // who does not know for a while keeps the place
      return need.kind === "not-needed" ? leave(state) : rest(state);
    case "awaiting-window":
    case "blocked":
    case "grace":
    case "backing-off":
      return need.kind === "needed" ? rest(state) : settle(config, state, now);
    default:
      return rest(state);
  }
}

function tick(config: AgentConfig, state: Agent, now: Moment): Step {
  const { phase } = state;
  // a clock that was set, or the next of two windows that meet, makes another time of what was waited for
  if (phase.name === "awaiting-window") {
    return now.elapsed < phase.lookAt ? settle(config, state, now) : recover(config, state, 0);
  }
  if (phase.name === "waiting") return waitOrLeave(config, state, now);
  if (dueIn(state, now) > 0) return rest(state);
  switch (phase.name) {
    case "recovery-backoff":
      return recover(config, state, phase.failures);
    case "undo-backoff":
      return undo(state, phase.failures);
    case "unhealthy":
      return phase.hooks ? welcome(state, phase.failures) : prove(state, phase.failures);
    case "soaking":
      return prove(state, 0);
    case "cancel-backoff":
      return cancel(config, state, phase.failures, now);
    case "idle": {
      const known = rested(state);
      // a grant that came after its asker had gone would be held for ever
      const next = takesSlots(config.strategy) ? recover(config, known, 0) : settle(config, known, now);
      return state.served !== null && known.served === null ? then({ kind: "forget-served" }, next) : next;
    }
    case "awaiting-need":
      if (state.called) return giveBack(config, state, now);
      return say(
        "warning",
        "cannot tell whether a reboot is needed; giving the slot back",
        giveBack(config, state, now),
      );
    case "grace":
      return confirmOrGiveBack(config, state, now);
    case "rebooting":
      return say(
        "warning",
        "this machine is still up although its reboot was requested; checking again",
        again(config, state, now),
      );
    default:
      return settle(config, state, now);
  }
}

/** Leaves a state whose work is done: what now? */
function settle(config: AgentConfig, state: Agent, now: Moment): Step {
  const window = usable(config, state, now);
  const need = openNeed(state);
  const action = decide({ strategy: config.strategy, need, holds: state.slot !== null, window });
  const isWork = action.kind === "acquire" || action.kind === "prepare" || action.kind === "await-window";
  if (isWork && now.elapsed < state.notBefore) {
    if (isToUndo(state)) return undo(state, 0);
    return rest(enterPhase(state, { name: "backing-off", until: state.notBefore }));
  }
  return enter(config, state, action, now);
}

/** Whether a reboot is allowed, and whether nobody on this host holds it off. */
function windowAt(config: AgentConfig, { heldOff }: Agent, { now }: Moment): WindowState {
  if (heldOff === null || (heldOff.untilMs ?? Infinity) <= now) return config.windowAt(now);
  const { why, untilMs } = heldOff;
  if (untilMs === null) return { open: false, nextOpensAt: Infinity, why };
  const then = config.windowAt(untilMs);
  return { open: false, nextOpensAt: then.open ? untilMs : then.nextOpensAt, why };
}

/** The same, where a window without room for what comes before a reboot counts as closed. */
function usable(config: AgentConfig, state: Agent, moment: Moment): WindowState {
  const window = windowAt(config, state, moment);
  const { now } = moment;
  const { windowSpent } = state;
  // before `from` the clock was set back, and knows better
  const spent = windowSpent !== null && windowSpent.from <= now && now < windowSpent.until;
  return window.open && spent ? { open: false, nextOpensAt: windowSpent.until } : window;
}

function enter(config: AgentConfig, state: Agent, action: Action, now: Moment): Step {
  if (isToUndo(state) && ["rest", "await-window", "acquire"].includes(action.kind)) return undo(state, 0);
  switch (action.kind) {
    case "rest": {
      const idle = { name: "idle", until: now.elapsed + config.idleLookMs } as const;
      return rest(enterPhase({ ...state, setbacks: 0, blockedSince: null, said: "" }, idle));
    }
    case "await-need":
      return rest(enterPhase(state, { name: "awaiting-need", until: now.elapsed + NEED_PATIENCE_MS }));
    case "give-back":
      if (state.called) return giveBack(config, state, now);
      return say(
        "info",
        `giving the slot back: ${state.stopped ?? action.why}`,
        giveBack(config, state, now),
      );
    case "await-window": {
      const { until, why } = action;
      const lookAt = lookAgainAt(config, state, now);
      const known = Number.isFinite(until);
      const opens = known ? `; waiting for the window that opens ${describeInstant(until, config.zone)}` : "";
      return sayOnce(
        "info",
        `a reboot is needed (${reasons(state).join("; ")})${why === undefined ? "" : `, but ${why}`}${opens}`,
        rest(enterPhase(state, { name: "awaiting-window", opensAt: until, lookAt })),
        now,
        known ? `, ${describeDistance(until - now.now)}` : "",
      );
    }
    case "acquire":
      return {
        state: enterPhase(state, { name: "inquiring" }),
        effects: [{ kind: "inquire", phase: "before" }],
      };
    case "prepare":
      return {
        state: enterPhase(state, { name: "checking" }),
        effects: [{ kind: "inquire", phase: "granted" }],
      };
  }
}

/** Gets in line, if the host could reboot now, its checks let it go, and the window has room for what comes before. */
function approach(config: AgentConfig, state: Agent, inquiry: Inquiry, now: Moment): Step {
  // the question took time
  const window = usable(config, state, now);
  if (openNeed(state).kind !== "needed" || !window.open) return settle(config, state, now);
  const { clearance, verdict, checksMs } = inquiry;
  if (clearance.kind !== "clear") return holdOff(state, clearance, now);
  if (verdict.kind === "ill") return illBefore(state, verdict.why, now);
  const roomMs = config.marginMs ?? checksMs + workMs(config, inquiry);
  if (now.now + roomMs > window.closesAt) return withoutRoom(config, state, inquiry, roomMs, window, now);
  return {
    state: enterPhase(
      { ...state, roomMs, refusals: 0 },
      { name: "waiting", closesAt: window.closesAt - roomMs },
    ),
    effects: [{ kind: "wait", reasons: reasons(state) }],
  };
}

/** How long the grace and the hooks may take together. */
function workMs(config: AgentConfig, { loggedIn, hooksMs }: Inquiry): number {
  return (needsGrace(config, loggedIn) ? config.graceMs : 0) + hooksMs;
}

/** Whoever's checks say no neither waits in line nor blocks others. */
function illBefore(state: Agent, why: string, now: Moment): Step {
  const refused = refusedOnce(state, now);
  return sayOnce(
    "warning",
    `a reboot is needed (${reasons(state).join("; ")}) but this machine's checks say no: ${why}`,
    rest(enterPhase(refused, { name: "backing-off", until: refused.notBefore })),
    now,
  );
}

/** The next try comes later, and later still each time that the machine's own checks or hooks refuse. */
function refusedOnce(state: Agent, now: Moment): Agent {
  const refusals = state.refusals + 1;
  const until = now.elapsed + backoffMs(refusals, CHECK_RETRY_MS, now.chance);
  return { ...state, refusals, notBefore: Math.max(state.notBefore, until) };
}

/** Whoever cannot reboot now takes no slot from others. */
function holdOff(state: Agent, clearance: Exclude<Clearance, { kind: "clear" }>, now: Moment): Step {
  const hopeless = clearance.kind === "impossible";
  const until = now.elapsed + (hopeless ? REFUSED_BACKOFF_MS : BLOCKED_RETRY_MS.free);
  return sayOnce(
    hopeless ? "error" : "warning",
    `a reboot is needed (${reasons(state).join("; ")}) but is not possible now: ${clearance.why}`,
    rest(
      enterPhase({ ...state, notBefore: Math.max(state.notBefore, until) }, { name: "backing-off", until }),
    ),
    now,
  );
}

/** Has a slot, and cannot reboot now: asks again for a while, before it gives the slot back. */
function blocked(config: AgentConfig, state: Agent, why: string, now: Moment): Step {
  const since = state.blockedSince ?? now.elapsed;
  const until = now.elapsed + BLOCKED_RETRY_MS.held;
  if (now.elapsed - since >= BLOCKED_PATIENCE_MS) {
    const notBefore = Math.max(state.notBefore, now.elapsed + REFUSED_BACKOFF_MS);
    return say(
      "warning",
      `giving the slot back: still unable to reboot after ${describeDuration(BLOCKED_PATIENCE_MS)}: ${why}`,
      giveBack(config, { ...state, notBefore, blockedSince: null }, now),
    );
  }
  return sayOnce(
    "warning",
    `this machine holds a slot but cannot reboot now, retrying: ${why}`,
    rest(enterPhase({ ...state, blockedSince: since }, { name: "blocked", until })),
    now,
  );
}

/** The window closes before all that comes before a reboot could be done: the next one is waited for. */
function withoutRoom(
  config: AgentConfig,
  state: Agent,
  { loggedIn }: Inquiry,
  roomMs: number,
  window: Extract<WindowState, { open: true }>,
  now: Moment,
): Step {
  const [closes, opens] = [window.closesAt, window.nextOpensAt].map((ms) => describeInstant(ms, config.zone));
  const windowSpent = { from: now.now, until: window.nextOpensAt };
  const graceOnly = roomMs === config.graceMs && needsGrace(config, loggedIn);
  const [who, work] = graceOnly
    ? [`${describeLoggedIn(loggedIn)}; `, "of grace are over"]
    : ["", "for checks, hooks and grace are over"];
  return say(
    "warning",
    `${who}the window closes ${closes}, before ${describeDuration(roomMs)} ${work}; ` +
      `waiting for the window that opens ${opens}`,
    giveBack(config, { ...state, windowSpent }, now),
  );
}

/** Nobody is logged in: go on. Somebody is: tell them and wait, if the window has room for it. */
function prepare(config: AgentConfig, before: Agent, inquiry: Inquiry, now: Moment): Step {
  const { clearance, loggedIn, verdict, hooksMs } = inquiry;
  const state = { ...before, hasHooks: hooksMs > 0 };
  // the question took time
  const window = windowAt(config, state, now);
  if (openNeed(state).kind !== "needed" || !window.open) return settle(config, state, now);
  if (clearance.kind !== "clear") {
    if (state.slot === null) return holdOff(state, clearance, now);
    return blocked(config, state, clearance.why, now);
  }
  if (verdict.kind === "ill") {
    if (state.slot === null) return illBefore(state, verdict.why, now);
    const text = `giving the slot back: this machine's checks say no: ${verdict.why}`;
    return say("warning", text, giveBack(config, refusedOnce(state, now), now));
  }
  const graceMs = needsGrace(config, loggedIn) ? config.graceMs : 0;
  const leftMs = state.prepared ? graceMs : workMs(config, inquiry);
  const roomMs = Math.max(graceMs, Math.min(config.marginMs ?? Infinity, leftMs));
  if (now.now + roomMs > window.closesAt) return withoutRoom(config, state, inquiry, roomMs, window, now);
  if (graceMs === 0) return confirmOrGiveBack(config, state, now);
  return say("notice", `${describeLoggedIn(loggedIn)}; rebooting in ${describeDuration(graceMs)}`, {
    state: enterPhase(state, { name: "grace", until: now.elapsed + graceMs }),
    effects: [{ kind: "warn-sessions", graceMs, reasons: reasons(state) }],
  });
}

/** Whether what was prepared for a reboot is to be taken back where none comes. */
function isToUndo({ prepared, called }: Agent): boolean {
  return prepared && !called;
}

function undo(state: Agent, failures: number): Step {
  return {
    state: enterPhase(state, { name: "undoing", failures }),
    effects: [{ kind: "hooks", when: "post-boot", rebooted: false }],
  };
}

/** A hook did not do its work. Before a reboot that is a no; after one the machine is not well. */
function hookFailed(config: AgentConfig, state: Agent, why: string, now: Moment): Step {
  const { phase } = state;
  if (phase.name === "welcoming") return unwell(state, why, true, now);
  if (phase.name === "preparing") {
    const refused = refusedOnce({ ...state, prepared: true }, now);
    const text = state.slot === null ? `not rebooting now: ${why}` : `giving the slot back: ${why}`;
    return say("warning", text, giveBack(config, refused, now));
  }
  const failures = ("failures" in phase ? phase.failures : 0) + 1;
  const next = rest(enterPhase(state, { name: "undo-backoff", until: retryAt(failures, now), failures }));
  const text =
    `the reboot did not come, and what was prepared for it cannot be taken back, trying again: ${why}`;
  return sayOnce("warning", text, next, now);
}

/** The window and the need, once more, and the hooks; then the last proof that the slot is ours. */
function confirmOrGiveBack(config: AgentConfig, state: Agent, now: Moment): Step {
  const window = windowAt(config, state, now);
  const { slot } = state;
  const need = openNeed(state);
  const action = decide({ strategy: config.strategy, need, holds: slot !== null, window });
  if (action.kind !== "prepare") return enter(config, state, action, now);
  if (state.hasHooks && !state.prepared) {
    return {
      state: enterPhase(state, { name: "preparing" }),
      effects: [{ kind: "hooks", when: "pre-reboot", reasons: reasons(state) }],
    };
  }
  if (slot === null) return call(config, state, now);
  return { state: enterPhase(state, { name: "confirming" }), effects: [{ kind: "confirm", slot }] };
}

/** The moment of the call: the confirm took time, so need and window are asked again. */
function call(config: AgentConfig, state: Agent, now: Moment): Step {
  const window = windowAt(config, state, now);
  const need = openNeed(state);
  if (!window.open || need.kind !== "needed") return settle(config, state, now);
  const { fingerprint } = need;
  const timeoutMs = Math.max(CALL_LIMIT_MS.least, Math.min(CALL_LIMIT_MS.most, window.closesAt - now.now));
  return say("notice", `rebooting: ${reasons(state).join("; ")}`, {
    state: enterPhase(state, { name: "calling" }),
    effects: [{ kind: "reboot", timeoutMs, fingerprint }],
  });
}

function rebooting(state: Agent, now: Moment, patienceMs: number = REBOOT_PATIENCE_MS): Step {
  return rest(enterPhase({ ...state, called: true }, { name: "rebooting", until: now.elapsed + patienceMs }));
}

/** When a machine whose window is closed looks for a slot that it knows nothing of: without a lock never. */
function lookAgainAt(config: AgentConfig, { phase }: Agent, now: Moment): number {
  if (phase.name === "awaiting-window") return phase.lookAt;
  return takesSlots(config.strategy) ? now.elapsed + config.idleLookMs : Infinity;
}

/** The machine did not go down. Without a slot nothing is to be kept; else the store knows whether it still is ours. */
function again(config: AgentConfig, state: Agent, now: Moment): Step {
  return state.slot === null ? settle(config, { ...state, called: false }, now) : recover(config, state, 0);
}

/** An accepted reboot may still come: then the slot is not given back. */
function giveBack(config: AgentConfig, state: Agent, now: Moment): Step {
  if (!state.called) return cancel(config, state, 0, now);
  // a window may be shorter than our patience, and is not to pass unseen
  const window = config.windowAt(now.now);
  const patienceMs = window.open ? REBOOT_PATIENCE_MS : Math.max(1, window.nextOpensAt - now.now);
  return sayOnce("info", KEPT_TEXT, rebooting(state, now, Math.min(REBOOT_PATIENCE_MS, patienceMs)), now);
}

function cancel(config: AgentConfig, state: Agent, failures: number, now: Moment): Step {
  const { slot } = state;
  if (slot === null) return settle(config, state, now);
  if (isToUndo(state)) return undo(state, 0);
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
  const window = usable(config, state, now);
  if (!window.open || now.now + state.roomMs > window.closesAt) return leave(state);
  return rest(enterPhase(state, { name: "waiting", closesAt: window.closesAt - state.roomMs }));
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
      `no reboot without a confirmed slot: ${event.why}${event.details ?? ""}`,
      giveBack(config, postponed(state, now), now),
    );
  }
  const failures = "failures" in phase ? phase.failures + 1 : 1;
  const until = retryAt(failures, now);
  const [what, next] = phase.name === "recovering"
    ? ["find out which slot this machine holds", { name: "recovery-backoff", until, failures }] as const
    : ["give the slot back", { name: "cancel-backoff", until, failures }] as const;
  const text = `cannot ${what}, trying again: ${event.why}`;
  return sayOnce("warning", text, rest(enterPhase(state, next)), now, event.details);
}

function retryAt(failures: number, { elapsed, chance }: Moment): number {
  return elapsed + backoffMs(failures, RETRY_MS, chance);
}
