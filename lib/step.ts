/** One step of the agent: the next state, and what is to be done; and what steps are put together from. */

import type { Agent, Effect, Event, Notice, Phase } from "./agent.ts";
import { REMIND_MS } from "./seldom.ts";
import type { LogLevel, Moment } from "./surroundings.ts";

export interface Step {
  readonly state: Agent;
  readonly effects: readonly Effect[];
}

/** An event that cannot come in the state it came in: a bug, never an operator's fault. */
export class AgentError extends Error {
  override readonly name = "AgentError";
}

export function expectPhase({ phase }: Agent, event: Event, ...expected: Phase["name"][]): void {
  if (!expected.includes(phase.name)) {
    throw new AgentError(`'${event.kind}' cannot come in the state ${phase.name}`);
  }
}

/** The same machine in another phase. */
export function enterPhase(state: Agent, phase: Phase): Agent {
  return { ...state, phase };
}

/** Nothing is to be done for now. */
export function rest(state: Agent): Step {
  return { state, effects: [] };
}

/** Says something, and then does what comes next. */
export function say(level: LogLevel, text: string, { state, effects }: Step): Step {
  return { state, effects: [{ kind: "log", level, text }, ...effects] };
}

/** Does something that nothing comes back from, and then what comes next. */
export function then(notice: Notice, { state, effects }: Step): Step {
  return { state, effects: [notice, ...effects] };
}

/**
 * Says something about a wait, unless the very same was said last; `details` may change meanwhile. A warning is said again
 * as long as it holds, every {@linkcode REMIND_MS}.
 */
export function sayOnce(level: LogLevel, text: string, next: Step, { elapsed }: Moment, details = ""): Step {
  const { said, saidAt } = next.state;
  if (said === text && !isDue(level, saidAt, elapsed)) return next;
  return say(level, text + details, { ...next, state: { ...next.state, said: text, saidAt: elapsed } });
}

/** The same of what a look found. */
export function noteOnce(level: LogLevel, note: string, next: Step, { elapsed }: Moment, details = ""): Step {
  const { noted, notedAt } = next.state;
  if (noted === note && !isDue(level, notedAt, elapsed)) return next;
  return say(level, note + details, { ...next, state: { ...next.state, noted: note, notedAt: elapsed } });
}

function isDue(level: LogLevel, lastAt: number, elapsed: number): boolean {
  return (level === "warning" || level === "error") && elapsed - lastAt >= REMIND_MS;
}
