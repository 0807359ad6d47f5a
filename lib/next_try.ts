/** When a machine tries again after it could not go, and what is said of it. */

import type { Agent, Clearance } from "./agent.ts";
import { backoffMs } from "./backoff.ts";
import { reasons } from "./served.ts";
import { enterPhase, rest, sayOnce, type Step } from "./step.ts";
import type { Moment } from "./surroundings.ts";

/** How long what the store failed to do waits before it is tried again, in milliseconds. */
export const RETRY_MS = { first: 1_000, last: 60_000 };
/** How long a machine whose checks or hooks refused waits before the next try, in milliseconds. */
export const CHECK_RETRY_MS = { first: 60_000, last: 15 * 60_000 };
/** How long after a refused reboot the next try comes, in milliseconds. */
export const REFUSED_BACKOFF_MS = 5 * 60_000;
/** How soon a host that cannot reboot now is asked again, in milliseconds: with a slot, and without one. */
export const BLOCKED_RETRY_MS = { held: 15_000, free: 60_000 };

/** Whoever cannot reboot now takes no slot from others. */
export function holdOff(state: Agent, clearance: Exclude<Clearance, { kind: "clear" }>, now: Moment): Step {
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

/** Whoever's checks say no neither waits in line nor blocks others. */
export function illBefore(state: Agent, why: string, now: Moment): Step {
  const refused = refusedOnce(state, now);
  return sayOnce(
    "warning",
    `a reboot is needed (${reasons(state).join("; ")}) but this machine's checks say no: ${why}`,
    rest(enterPhase(refused, { name: "backing-off", until: refused.notBefore })),
    now,
  );
}

/** The next try comes later, and later still each time that the machine's own checks or hooks refuse. */
export function refusedOnce(state: Agent, now: Moment): Agent {
  // a reboot that was called may still come, and is waited for instead
  if (state.called) return state;
  const refusals = state.refusals + 1;
  const until = now.elapsed + backoffMs(refusals, CHECK_RETRY_MS, now.chance);
  return { ...state, refusals, notBefore: Math.max(state.notBefore, until) };
}

/** The next try comes later, and each time it fails later still: a store that fails at once is not asked in a loop. */
export function postponed(state: Agent, now: Moment): Agent {
  const setbacks = state.setbacks + 1;
  return { ...state, setbacks, notBefore: Math.max(state.notBefore, retryAt(setbacks, now)) };
}

export function retryAt(failures: number, { elapsed, chance }: Moment): number {
  return elapsed + backoffMs(failures, RETRY_MS, chance);
}
