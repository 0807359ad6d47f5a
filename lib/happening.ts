/**
 * What happens to a machine and is worth telling others: derived from the steps of its state machine, which knows nothing of
 * who is told.
 */

import type { Agent, Event, Phase } from "./agent.ts";
import { openNeed, reasons } from "./served.ts";

/** Every kind of it, in the order of a reboot. */
export const HAPPENINGS = [
  "need",
  "no-need",
  /** It cannot go now: its checks say no, or somebody inhibits it. */
  "blocked",
  /** A person or a file holds reboots off; without a cause: no longer. */
  "held-off",
  /** No reboot until a person allows it; without a cause: it may again. */
  "stopped",
  "queued",
  "granted",
  "preparing",
  "hook-failed",
  "rebooting",
  "refused",
  /** Somebody unlocked its slot. */
  "lost",
  /** It gave its slot back without a reboot. */
  "released",
  /** It has rebooted, and is not known to be well yet. */
  "back",
  "unhealthy",
  "well",
  /** It has rebooted and given its slot back. */
  "done",
] as const;
export type HappeningKind = typeof HAPPENINGS[number];

export interface Happening {
  readonly event: HappeningKind;
  /** What others are told of the cause, where there is one. */
  readonly why?: string;
  /** Why the reboot is needed. */
  readonly reasons: readonly string[];
}

/** What one step of a machine is worth telling. */
export function happeningsOf(before: Agent, event: Event, after: Agent): Happening[] {
  const entered = (name: Phase["name"]) => after.phase.name === name && before.phase.name !== name;
  const found: [kind: HappeningKind, why?: string | undefined][] = [];
  const [had, has] = [openNeed(before).kind, openNeed(after).kind];
  if (has === "needed" && had !== "needed") found.push(["need"]);
  if (has === "not-needed" && had === "needed") found.push(["no-need"]);
  switch (event.kind) {
    case "inquired": {
      const why = whyNot(event);
      if (why !== undefined) found.push(["blocked", why]);
      break;
    }
    case "held-off":
      if (after.heldOff?.why !== before.heldOff?.why) found.push(["held-off", after.heldOff?.why]);
      break;
    case "stopped":
      if (after.stopped !== before.stopped) found.push(["stopped", after.stopped ?? undefined]);
      break;
    case "hook-failed":
      found.push(["hook-failed", event.why]);
      break;
    case "reboot-refused":
      found.push([event.blocked ? "blocked" : "refused", event.why]);
      break;
    case "granted":
    case "lost":
      found.push([event.kind]);
      break;
    case "cancelled":
      found.push(["released"]);
      break;
    case "recovered":
      if (event.kept === "known") found.push(["back"]);
      if (event.returned) found.push(["done"]);
      break;
  }
  if (entered("waiting")) found.push(["queued"]);
  if (entered("preparing")) found.push(["preparing"]);
  if (entered("calling")) found.push(["rebooting"]);
  if (entered("unhealthy")) found.push(["unhealthy", whyUnwell(event)]);
  if (after.proved && !before.proved) found.push(["well"]);
  return found.map(([kind, why]) => ({
    event: kind,
    ...(why === undefined ? {} : { why }),
    reasons: reasons(after),
  }));
}

function whyNot(
  { inquiry: { clearance, verdict } }: Extract<Event, { kind: "inquired" }>,
): string | undefined {
  if (clearance.kind !== "clear") return clearance.why;
  return verdict.kind === "ill" ? verdict.why : undefined;
}

function whyUnwell(event: Event): string | undefined {
  if (event.kind === "hook-failed") return event.why;
  return event.kind === "proved" && event.verdict.kind === "ill" ? event.verdict.why : undefined;
}
