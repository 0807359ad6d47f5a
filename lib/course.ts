/**
 * Where a machine goes next: what it does about a need, with a slot and without one, and how it gives a slot back.
 *
 * Four functions call each other: `settle` decides, `enter` goes where that leads, `giveBack` settles again where
 * there is no slot to give back, and `undo` comes before either where a reboot was prepared. It ends because each of these
 * drops something for good: `giveBack` settles only without a slot, without a slot nothing is decided that
 * leads back to it, and nothing is undone twice.
 */

import type { Agent, AgentConfig, Inquiry } from "./agent.ts";
import { lookAgainAt, usable, windowAt, workMs } from "./agent_window.ts";
import { describeDistance, describeDuration, describeInstant } from "./description.ts";
import { describeLoggedIn, needsGrace } from "./inquiry.ts";
import { BLOCKED_RETRY_MS, holdOff, illBefore, REFUSED_BACKOFF_MS, refusedOnce } from "./next_try.ts";
import { openNeed, reasons } from "./served.ts";
import { enterPhase, rest, say, sayOnce, type Step } from "./step.ts";
import { type Action, decide, type WindowState } from "./strategy.ts";
import type { Moment } from "./surroundings.ts";

/** How long a slot is kept while nobody knows whether a reboot is needed, in milliseconds. */
export const NEED_PATIENCE_MS = 60_000;
/** How long a machine may take to go down after an accepted reboot call, in milliseconds. */
export const REBOOT_PATIENCE_MS = 10 * 60_000;
/** How long a slot is kept while the host cannot reboot, in milliseconds. */
export const BLOCKED_PATIENCE_MS = 5 * 60_000;
/** How long the reboot call may take, in milliseconds: in a window that closes sooner only until then. */
export const CALL_LIMIT_MS = { least: 1_000, most: 90_000 };

export const KEPT_TEXT =
  "keeping the slot: a reboot was requested under it and may still happen; if not, 'locksmith unlock' releases it";

/** Leaves a state whose work is done: what now? */
export function settle(config: AgentConfig, state: Agent, now: Moment): Step {
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
      const wait = why === undefined ? "waiting for the window that opens" : "the next chance is";
      const opens = known ? `; ${wait} ${describeInstant(until, config.zone)}` : "";
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
export function approach(config: AgentConfig, state: Agent, inquiry: Inquiry, now: Moment): Step {
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

/** Has a slot, and cannot reboot now: asks again for a while, before it gives the slot back. */
export function blocked(config: AgentConfig, state: Agent, why: string, now: Moment): Step {
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
  const closes = describeInstant(window.closesAt, config.zone);
  const next = Number.isFinite(window.nextOpensAt)
    ? `waiting for the window that opens ${describeInstant(window.nextOpensAt, config.zone)}`
    : "no other opens";
  const windowSpent = { from: now.now, until: window.nextOpensAt };
  const graceOnly = roomMs === config.graceMs && needsGrace(config, loggedIn);
  const [who, work] = graceOnly
    ? [`${describeLoggedIn(loggedIn)}; `, "of grace are over"]
    : ["", "for checks, hooks and grace are over"];
  return say(
    "warning",
    `${who}the window closes ${closes}, before ${describeDuration(roomMs)} ${work}; ${next}`,
    giveBack(config, { ...state, windowSpent }, now),
  );
}

/** Nobody is logged in: go on. Somebody is: tell them and wait, if the window has room for it. */
export function prepare(config: AgentConfig, before: Agent, inquiry: Inquiry, now: Moment): Step {
  const { clearance, loggedIn, verdict, hooksMs } = inquiry;
  const state = { ...before, hasHooks: hooksMs > 0 };
  // the question took time
  const window = windowAt(config, state, now);
  if (openNeed(state).kind !== "needed" || !window.open) return settle(config, state, now);
  if (clearance.kind !== "clear") {
    if (state.slot === null) return undoFirst(holdOff(state, clearance, now));
    return blocked(config, state, clearance.why, now);
  }
  if (verdict.kind === "ill") {
    if (state.slot === null) return undoFirst(illBefore(state, verdict.why, now));
    const text = `${
      state.called ? "not rebooting" : "giving the slot back"
    }: this machine's checks say no: ${verdict.why}`;
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

/** The same, but for what is to be taken back before. */
function undoFirst({ state, effects }: Step): Step {
  if (!isToUndo(state)) return { state, effects };
  const undoing = undo(state, 0);
  return { state: undoing.state, effects: [...effects, ...undoing.effects] };
}

export function undo(state: Agent, failures: number): Step {
  return {
    state: enterPhase(state, { name: "undoing", failures }),
    effects: [{ kind: "hooks", when: "post-boot", rebooted: false }],
  };
}

/** The window and the need, once more, and the hooks; then the last proof that the slot is ours. */
export function confirmOrGiveBack(config: AgentConfig, state: Agent, now: Moment): Step {
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
export function call(config: AgentConfig, state: Agent, now: Moment): Step {
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

export function rebooting(state: Agent, now: Moment, patienceMs: number = REBOOT_PATIENCE_MS): Step {
  return rest(enterPhase({ ...state, called: true }, { name: "rebooting", until: now.elapsed + patienceMs }));
}

/** An accepted reboot may still come: then the slot is not given back. */
export function giveBack(config: AgentConfig, state: Agent, now: Moment): Step {
  if (!state.called) return cancel(config, state, 0, now);
  // a window may be shorter than our patience, and is not to pass unseen
  const window = config.windowAt(now.now);
  const patienceMs = window.open ? REBOOT_PATIENCE_MS : Math.max(1, window.nextOpensAt - now.now);
  return sayOnce("info", KEPT_TEXT, rebooting(state, now, Math.min(REBOOT_PATIENCE_MS, patienceMs)), now);
}

export function cancel(config: AgentConfig, state: Agent, failures: number, now: Moment): Step {
  const { slot } = state;
  if (slot === null) return settle(config, state, now);
  if (isToUndo(state)) return undo(state, 0);
  return {
    state: enterPhase(state, { name: "cancelling", failures }),
    effects: [{ kind: "cancel", slot }],
  };
}
