/**
 * How a semaphore is shown: the lines of the old locksmith, the details beside them, and the JSON that scripts may
 * rely on. Pure.
 */

import { formatDuration } from "./duration.ts";
import { groupLabel } from "./group.ts";
import { oneLine, table } from "./output.ts";
import { available, flat, type Hold, type Pause, type Semaphore } from "./semaphore.ts";

/** The lines of the old `status`, byte for byte. */
export function statusText(semaphore: Semaphore): string {
  const ids = semaphore.holders.map((id) => `${id}\n`).join("");
  return `Available: ${available(semaphore)}\nMax: ${semaphore.max}\n` +
    (ids === "" ? "" : `\nMACHINE ID\n${ids}`);
}

/** The same with what is known of each hold, and of a pause. `now` in milliseconds since the epoch. */
export function verboseStatusText(semaphore: Semaphore, now: number): string {
  const head = `Available: ${available(semaphore)}\nMax: ${semaphore.max}\n${
    pauseLine(semaphore.paused, now)
  }`;
  if (semaphore.holders.length === 0) return head;
  const rows = semaphore.holders.map((id) => {
    const hold = semaphore.holds.get(id);
    return [
      id,
      hold?.since ?? "-",
      age(hold?.since, now),
      phase(hold),
      hold?.host ?? "-",
      hold?.by ?? "-",
      hold?.reason ?? "-",
    ]
      .map((cell) => cell === "" ? "-" : oneLine(cell));
  });
  return `${head}\n${table([["MACHINE ID", "SINCE", "FOR", "PHASE", "HOST", "BY", "REASON"], ...rows])}`;
}

function pauseLine(pause: Pause | undefined, now: number): string {
  if (pause === undefined) return "";
  const parts = [
    ...(pause.since !== undefined ? [`since ${pause.since} (${age(pause.since, now)})`] : []),
    ...(pause.by !== undefined ? [`by ${pause.by}`] : []),
    ...(pause.reason !== undefined && pause.reason !== "" ? [`because: ${pause.reason}`] : []),
  ];
  return oneLine(`Paused: ${parts.length > 0 ? parts.join(", ") : "yes"}`) + "\n";
}

/** A hold that no boot ends was taken by hand. */
function phase(hold: Hold | undefined): string {
  return hold?.boot === undefined ? "by hand" : hold.phase ?? "-";
}

function age(since: string | undefined, now: number): string {
  if (since === undefined) return "-";
  const ms = now - Temporal.Instant.from(since).epochMilliseconds;
  return formatDuration(Math.round(Math.max(0, ms) / 1000) * 1000);
}

/** The JSON of `status` and, one in a list, of `groups`. */
export interface StatusJson {
  /** Empty: the default group. */
  readonly group: string;
  readonly available: number;
  readonly max: number;
  readonly holders: readonly string[];
  /** Details by machine id. What is not known of a hold is not there. */
  readonly holds: Readonly<Record<string, unknown>>;
  /** `null`: not paused. */
  readonly paused: Readonly<Record<string, unknown>> | null;
}

export function statusJson(group: string, semaphore: Semaphore): StatusJson {
  return {
    group,
    available: available(semaphore),
    max: semaphore.max,
    holders: semaphore.holders,
    holds: Object.fromEntries([...semaphore.holds].map(([id, hold]) => [id, flat(hold)])),
    paused: semaphore.paused ? flat(semaphore.paused) : null,
  };
}

/** The table of `groups`. */
export function groupsText(
  groups: readonly { readonly group: string; readonly semaphore: Semaphore }[],
): string {
  return table([
    ["GROUP", "AVAILABLE", "MAX", "HOLDERS", "PAUSED"],
    ...groups.map(({ group, semaphore }) => [
      groupLabel(group),
      String(available(semaphore)),
      String(semaphore.max),
      String(semaphore.holders.length),
      semaphore.paused ? "yes" : "no",
    ]),
  ]);
}

/**
 * A hold or a pause in a message: ` (since T, by WHOM, because: WHY)`, as far as it is known. With `now` (milliseconds
 * since the epoch) its age too; without, the message stays the same from one look to the next.
 */
export function describeHold(hold: Pick<Hold, "since" | "by" | "reason"> | undefined, now?: number): string {
  const parts = [];
  if (hold?.since !== undefined) {
    parts.push(
      now === undefined ? `since ${hold.since}` : `since ${hold.since}, ${age(hold.since, now)} ago`,
    );
  }
  if (hold?.by !== undefined) parts.push(`by ${hold.by}`);
  if (hold?.reason !== undefined && hold.reason !== "") parts.push(`because: ${hold.reason}`);
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}
