/**
 * How one machine goes from state to state: `step(config, state, event)` gives the next state and the effects to run. No
 * clock, store or process is touched here.
 *
 * At most one request that reaches outside is under way at a time, and the phase says which. What happens meanwhile is
 * remembered and weighed when its outcome is known, so that no grant is ever lost from sight: a slot that arrives
 * after it was wanted is given back.
 * What it does next is decided in `course.ts`.
 */

import { prove, proved, recover, unwell, welcome } from "./after_boot.ts";
import { type Agent, type AgentConfig, dueIn, type Event } from "./agent.ts";
import { leave, waitOrLeave, windowAt } from "./agent_window.ts";
import {
  approach,
  blocked,
  call,
  cancel,
  confirmOrGiveBack,
  giveBack,
  KEPT_TEXT,
  prepare,
  rebooting,
  settle,
  undo,
} from "./course.ts";
import { describeDuration } from "./description.ts";
import { tellScheduled } from "./inquiry.ts";
import { postponed, REFUSED_BACKOFF_MS, refusedOnce, retryAt } from "./next_try.ts";
import { openNeed, reasons, rested, tellNeed, withNeed, withServed } from "./served.ts";
import { enterPhase, expectPhase, noteOnce, rest, say, sayOnce, type Step, then } from "./step.ts";
import { takesSlots } from "./strategy.ts";
import type { Moment } from "./surroundings.ts";

const LOST_TEXT = "this machine no longer holds its slot: somebody unlocked it; starting over";

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
      if (event.kept !== undefined) {
        const rebooted = event.kept === "known";
        return prove({ ...state, slot: null, called: false, recovered: true, rebooted }, 0);
      }
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

/** The machine did not go down. Without a slot nothing is to be kept; else the store knows whether it still is ours. */
function again(config: AgentConfig, state: Agent, now: Moment): Step {
  return state.slot === null ? settle(config, { ...state, called: false }, now) : recover(config, state, 0);
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
