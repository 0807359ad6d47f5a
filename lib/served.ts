/**
 * What the last reboot was for. The same need right after it would not be met by another reboot (a pinned kernel, a file
 * that survives the boot), so it counts as none until a person says otherwise or something new has joined it.
 */

import type { Agent } from "./agent.ts";
import { isCoveredBy, type Need } from "./need.ts";
import { say, type Step } from "./step.ts";

/** The need that a reboot could meet: none that the last reboot was for already. */
export function openNeed(state: Agent): Need {
  return isServed(state) ? { kind: "not-needed" } : state.need;
}

export function isServed({ need, served }: Agent): boolean {
  return need.kind === "needed" && served !== null && isCoveredBy(need.fingerprint, served);
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
    return say(
      "warning",
      `a reboot is still needed (${
        need.reasons.join("; ")
      }) right after a reboot for it: not rebooting again; ` +
        "mend the cause, or 'locksmith reset' allows another reboot",
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
