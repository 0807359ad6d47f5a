/**
 * What the last reboot was for. The same need right after it would not be met by another reboot (a pinned kernel, a file
 * that survives the boot), so it counts as none until a person says otherwise or something new has joined it.
 *
 * One that was gone after the boot and came again may be new: the same package was updated once more. Or something writes
 * it at each boot. So it counts after a rest, once: when the reboot for it is followed by the same again, it is none.
 */

import type { Agent, Served } from "./agent.ts";
import { isCoveredBy, type Need } from "./need.ts";
import { say, type Step } from "./step.ts";

/** The need that a reboot could meet: none that the last reboot was for already, and none once there were too many. */
export function openNeed(state: Agent): Need {
  return isServed(state) || state.stopped !== null ? { kind: "not-needed" } : state.need;
}

export function isServed({ need, served }: Agent): boolean {
  return need.kind === "needed" && served !== null && !served.over &&
    isCoveredBy(need.fingerprint, served.fingerprint);
}

/** The state after a rest: a need that the last reboot has met is over, and so is one that came again after it. */
export function rested(state: Agent): Agent {
  const { served, need } = state;
  if (served === null) return state;
  if (need.kind === "not-needed") return { ...state, served: null };
  return { ...state, served: { ...served, over: served.absent && !served.repeated } };
}

/** The state once it hears of a need, or of none. */
export function withNeed(state: Agent, need: Need): Agent {
  const absent = need.kind === "not-needed";
  return {
    ...state,
    need,
    served: state.served && { ...state.served, absent: state.served.absent || absent },
  };
}

/** The state once it hears what the last reboot was for. */
export function withServed(state: Agent, served: Served | null): Agent {
  return { ...state, served: served && { ...served, absent: state.need.kind === "not-needed", over: false } };
}

export function reasons({ need }: Agent): readonly string[] {
  return need.kind === "needed" ? need.reasons : [];
}

/** Says what became of the need. */
export function tellNeed(before: Agent, next: Step): Step {
  const { need, served } = next.state;
  if (need.kind === "needed") {
    const repeated = isServed(next.state) && !(isServed(before) && sameNeed(before.need, need));
    if (!repeated) return next;
    const why = need.reasons.join("; ");
    return say(
      "warning",
      served?.absent && !served.repeated
        ? `a reboot is needed again (${why}) right after a reboot for it: rebooting for it once more after a while, or at once ` +
          "after 'locksmith reset'"
        : `a reboot is still needed (${why}) right after a reboot for it: not rebooting again; ` +
          "fix the cause, or allow another reboot with 'locksmith reset'",
      next,
    );
  }
  if (need.kind === "unknown" || before.need.kind === "not-needed") return next;
  if (before.need.kind === "needed") return say("info", "a reboot is no longer needed", next);
  return served === null ? say("info", "no reboot is needed now", next) : next;
}

export function sameNeed(a: Need, b: Need): boolean {
  return a.kind === "needed" && b.kind === "needed" && a.fingerprint === b.fingerprint;
}
