/** What the host says before a reboot: what follows from it, and how it is told. */

import type { AgentConfig, LoggedIn, ScheduledShutdown } from "./agent.ts";
import { describeDistance, describeInstant } from "./description.ts";
import { say, type Step } from "./step.ts";
import type { Moment } from "./surroundings.ts";

/** Whether somebody has a right to the grace, or may have. */
export function needsGrace({ graceMs }: AgentConfig, loggedIn: LoggedIn): boolean {
  return graceMs > 0 && (loggedIn.kind === "unknown" || loggedIn.users.length > 0);
}

/** `anna, bert logged in`, or that nobody can tell. */
export function describeLoggedIn(loggedIn: LoggedIn): string {
  return loggedIn.kind === "known"
    ? `${loggedIn.users.join(", ")} logged in`
    : `cannot tell who is logged in (${loggedIn.why}), so grace is given as if somebody were`;
}

/** Says once that somebody else has scheduled a shutdown. */
export function tellScheduled(
  { zone }: AgentConfig,
  scheduled: ScheduledShutdown | null,
  next: Step,
  now: Moment,
): Step {
  const scheduledAt = scheduled?.atMs ?? 0;
  if (next.state.scheduledAt === scheduledAt) return next;
  const told: Step = { ...next, state: { ...next.state, scheduledAt } };
  if (scheduled === null) return told;
  const when = `${describeInstant(scheduled.atMs, zone)}, ${describeDistance(scheduled.atMs - now.now)}`;
  return say("notice", `somebody else has scheduled a ${scheduled.type} of this machine ${when}`, told);
}
