/**
 * Holds, pauses and waits in words: for the lines of a log, and for whoever words more around them. Everything else that
 * people read is worded where it is shown.
 */

import { formatDuration } from "./duration.ts";
import { enumerate } from "./enumeration.ts";
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

/** Some holders in a message, the first with their details. `now` in milliseconds since the epoch; without it no ages. */
export function describeHolders(semaphore: Semaphore, ids: readonly string[], now?: number): string {
  return enumerate(ids.map((id) => id + describeHold(semaphore.holds.get(id), now)));
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

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A duration in the two largest units that it has, rounded down: `2 d 11 h`, `5 min`, `14 s`. */
export function describeDuration(ms: number): string {
  const units: [number, string][] = [[DAY_MS, "d"], [HOUR_MS, "h"], [MINUTE_MS, "min"], [1_000, "s"]];
  const largest = units.findIndex(([unitMs]) => ms >= unitMs);
  if (largest === -1) return "0 s";
  let rest = ms;
  const parts = units.slice(largest, largest + 2).map(([unitMs, name]) => {
    const count = Math.floor(rest / unitMs);
    rest -= count * unitMs;
    return count === 0 ? "" : `${count} ${name}`;
  });
  return parts.filter((part) => part !== "").join(" ");
}

/** How far away an instant is: `in 2 d 11 h`, `5 min ago`. */
export function describeDistance(ms: number): string {
  return ms >= 0 ? `in ${describeDuration(ms)}` : `${describeDuration(-ms)} ago`;
}

/** An instant on the clock of a zone: `Sat 2026-11-28 02:00 +01:00`; with seconds where it has some. */
export function describeInstant(ms: number, zone: string): string {
  const at = Temporal.Instant.fromEpochMilliseconds(Math.round(ms)).toZonedDateTimeISO(zone);
  const day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][at.dayOfWeek - 1];
  const time = at.toPlainTime().toString({ smallestUnit: at.second === 0 ? "minute" : "second" });
  return `${day} ${at.toPlainDate()} ${time} ${at.offset}`;
}
