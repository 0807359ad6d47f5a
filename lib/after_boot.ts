/**
 * What a machine does after a boot until its slot goes back: it runs its hooks, proves that it is well, and stays up for a
 * while. One that is not well keeps its slot, so that the roll-out stops there, and proves itself again and again.
 */

import type { Agent, AgentConfig, Event } from "./agent.ts";
import { backoffMs } from "./backoff.ts";
import { describeDuration } from "./description.ts";
import { enterPhase, rest, say, sayOnce, type Step, then } from "./step.ts";
import type { Moment } from "./surroundings.ts";

/** How long a machine that is not well waits before it proves itself again, in milliseconds. */
export const HEALTH_RETRY_MS = { first: 5_000, last: 60_000 };

/** Looks which slot this machine has. One from before the boot goes back only once the machine is proved to be well. */
export function recover(config: AgentConfig, state: Agent, failures: number): Step {
  const keep = config.afterBoot !== undefined && !state.proved;
  return {
    state: enterPhase(state, { name: "recovering", failures }),
    effects: [{ kind: "recover", ...(keep ? { keep } : {}) }],
  };
}

/** Runs the hooks for after a boot. */
export function welcome(state: Agent, failures: number): Step {
  return {
    state: enterPhase(state, { name: "welcoming", failures }),
    effects: [{ kind: "hooks", when: "post-boot", rebooted: true }],
  };
}

/** Asks whether the machine is well. */
export function prove(state: Agent, failures: number): Step {
  return { state: enterPhase(state, { name: "proving", failures }), effects: [{ kind: "prove" }] };
}

/** It is known how the machine is. */
export function proved(
  config: AgentConfig,
  state: Agent,
  { verdict, upMs }: Extract<Event, { kind: "proved" }>,
  now: Moment,
): Step {
  if (verdict.kind === "ill") return unwell(state, verdict.why, false, now);
  const restMs = (config.afterBoot?.soakMs ?? 0) - upMs;
  if (restMs <= 0) return recover(config, { ...state, proved: true }, 0);
  const soaking = rest(enterPhase(state, { name: "soaking", until: now.elapsed + restMs }));
  const [has, slot] = wordsOf(state);
  const text = `this machine${has} is well; ${slot} goes back in ${describeDuration(restMs)}`;
  return then({ kind: "tell-health", trouble: null }, say("info", text, soaking));
}

/** It is not well, or its hooks failed: it keeps its slot, and tries again, later each time. */
export function unwell(state: Agent, why: string, hooks: boolean, now: Moment): Step {
  const { phase } = state;
  const failures = ("failures" in phase ? phase.failures : 0) + 1;
  const until = now.elapsed + backoffMs(failures, HEALTH_RETRY_MS, now.chance);
  const next = rest(enterPhase(state, { name: "unhealthy", until, failures, hooks }));
  // hooks of an earlier boot tell of a reboot too
  const [has, slot] = wordsOf({ rebooted: state.rebooted || hooks });
  const text = `this machine${has} is not well, keeping ${slot}: ${why}`;
  return sayOnce("warning", text, then({ kind: "tell-health", trouble: why }, next), now);
}

/** What is said of its reboot and its slot, where a server may know of one that this machine does not. */
function wordsOf({ rebooted }: Pick<Agent, "rebooted">): [has: string, slot: string] {
  return rebooted ? [" has rebooted and", "its slot"] : ["", "any slot that it may still have"];
}
