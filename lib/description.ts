/**
 * Holds, pauses and waits in words: for the lines of a log, and for whoever words more around them. Everything else that
 * people read is worded where it is shown.
 */

import { formatDuration } from "./duration.ts";
import type { Hold, Semaphore } from "./semaphore.ts";
import type { Obstacle, WaitNews } from "./wait.ts";

/**
 * A hold or a pause in a message: ` (since T, by WHOM, because: WHY)`, as far as it is known. With `now` (milliseconds
 * since the epoch) its age too; without, the message stays the same from one look to the next.
 */
export function describeHold(hold: Pick<Hold, "since" | "by" | "reason"> | undefined, now?: number): string {
  const parts = [];
  if (hold?.since !== undefined) {
    parts.push(
      now === undefined ? `since ${hold.since}` : `since ${hold.since}, ${describeAge(hold.since, now)} ago`,
    );
  }
  if (hold?.by !== undefined) parts.push(`by ${hold.by}`);
  if (hold?.reason !== undefined && hold.reason !== "") parts.push(`because: ${hold.reason}`);
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}

/** How long ago an instant was, or a dash where it is not known. `now` in milliseconds since the epoch. */
export function describeAge(since: string | undefined, now: number): string {
  return since === undefined ? "-" : formatDuration(ageSeconds(since, now) * 1000);
}

/** Whole seconds; none of what a clock that goes ahead of ours has put into the future. */
export function ageSeconds(since: string, now: number): number {
  return Math.round(Math.max(0, now - Temporal.Instant.from(since).epochMilliseconds) / 1000);
}

/** Some holders in a message, each with its details. `now` in milliseconds since the epoch; without it no ages. */
export function describeHolders(semaphore: Semaphore, ids: readonly string[], now?: number): string {
  return ids.map((id) => id + describeHold(semaphore.holds.get(id), now)).join(", ");
}

/** What a waiting machine waits for, the same from one look to the next. `holder`: the machine that waits. */
export function describeWait(
  news: Extract<WaitNews, { kind: "waiting" | "failing" }>,
  holder: string,
): string {
  if (news.kind === "failing") return `cannot get in line, trying again: ${news.error.message}`;
  const { obstacle, overdue, semaphore } = news;
  const late = overdue.length === 0 ? "" : `; overdue: ${describeHolders(semaphore, overdue)}`;
  return describeObstacle(obstacle, holder) + late;
}

function describeObstacle(obstacle: Obstacle, holder: string): string {
  switch (obstacle.kind) {
    case "behind":
      return "in line behind another machine";
    case "full":
      return `first in line, all slots are held (available: ${obstacle.available})`;
    case "paused":
      return `first in line, the group is paused${describeHold(obstacle.pause)}`;
    case "by-hand":
      return `this machine's slot was taken by hand${
        describeHold(obstacle.hold)
      }; 'locksmith unlock ${holder}' ends that`;
    case "other-host":
      return describeOtherHost(obstacle.hold, holder);
  }
}

/** Another machine holds a slot under the id of this one. */
export function describeOtherHost(hold: Hold, holder: string): string {
  return `machine id ${holder} holds a slot under another boot id and host ${hold.host}${
    describeHold(hold)
  }; do two machines share this id?`;
}
