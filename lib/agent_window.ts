/** When a machine may go, as it sees that itself: its windows, who holds it off, and the room for what comes before. */

import type { Agent, AgentConfig, Inquiry } from "./agent.ts";
import { needsGrace } from "./inquiry.ts";
import { enterPhase, rest, type Step } from "./step.ts";
import { takesSlots, type WindowState } from "./strategy.ts";
import type { Moment } from "./surroundings.ts";

/** Whether a reboot is allowed, and whether nobody on this host holds it off. */
export function windowAt(config: AgentConfig, { heldOff }: Agent, { now }: Moment): WindowState {
  if (heldOff === null || (heldOff.untilMs ?? Infinity) <= now) return config.windowAt(now);
  const { why, untilMs } = heldOff;
  if (untilMs === null) return { open: false, nextOpensAt: Infinity, why };
  const then = config.windowAt(untilMs);
  return { open: false, nextOpensAt: then.open ? untilMs : then.nextOpensAt, why };
}

/** The same, where a window without room for what comes before a reboot counts as closed. */
export function usable(config: AgentConfig, state: Agent, moment: Moment): WindowState {
  const window = windowAt(config, state, moment);
  const { now } = moment;
  const { windowSpent } = state;
  // before `from` the clock was set back, and knows better
  const spent = windowSpent !== null && windowSpent.from <= now && now < windowSpent.until;
  return window.open && spent ? { open: false, nextOpensAt: windowSpent.until } : window;
}

/** How long the grace and the hooks may take together. */
export function workMs(config: AgentConfig, { loggedIn, hooksMs }: Inquiry): number {
  return (needsGrace(config, loggedIn) ? config.graceMs : 0) + hooksMs;
}

/** When a machine whose window is closed looks for a slot that it knows nothing of: without a lock never. */
export function lookAgainAt(config: AgentConfig, { phase }: Agent, now: Moment): number {
  if (phase.name === "awaiting-window") return phase.lookAt;
  return takesSlots(config.strategy) ? now.elapsed + config.idleLookMs : Infinity;
}

/** Stays in line as long as a window is open. */
export function waitOrLeave(config: AgentConfig, state: Agent, now: Moment): Step {
  const window = usable(config, state, now);
  if (!window.open || now.now + state.roomMs > window.closesAt) return leave(state);
  return rest(enterPhase(state, { name: "waiting", closesAt: window.closesAt - state.roomMs }));
}

export function leave(state: Agent): Step {
  return { state: enterPhase(state, { name: "leaving" }), effects: [{ kind: "leave" }] };
}
