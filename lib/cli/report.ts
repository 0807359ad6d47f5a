/**
 * How a semaphore and its queue are shown: the lines of the old locksmith, the details beside them, and the JSON that scripts may
 * rely on. Pure.
 */

import { ageSeconds, describeAge, describeHold, describeHolders } from "../description.ts";
import { groupLabel } from "../group.ts";
import { oneLine, table } from "./output.ts";
import type { Place } from "../queue.ts";
import { available, type Hold, type Pause, type Semaphore } from "../semaphore.ts";
import { flat } from "../document.ts";

/** What there is to show of a group at one moment. */
export interface Seen {
  readonly semaphore: Semaphore;
  /** The first in line first. */
  readonly queue: readonly Place[];
  /** The machines whose reboot takes too long. */
  readonly overdue: readonly string[];
}

/**
 * The lines of the old `status`, byte for byte; of a paused group one more, above the table: what follows its head are
 * machine ids, as ever. `now` in milliseconds since the epoch.
 */
export function statusText(semaphore: Semaphore, now: number): string {
  const ids = semaphore.holders.map((id) => `${id}\n`).join("");
  return head(semaphore, now) + (ids === "" ? "" : `\nMACHINE ID\n${ids}`);
}

/** The same with what is known of each hold, and the queue. `now` in milliseconds since the epoch. */
export function verboseStatusText({ semaphore, queue, overdue }: Seen, now: number): string {
  const holders = semaphore.holders.map((id) => {
    const hold = semaphore.holds.get(id);
    const late = overdue.includes(id) ? ", overdue" : "";
    return row(
      id,
      hold?.since,
      describeAge(hold?.since, now),
      phase(hold) + late,
      hold?.host,
      hold?.by,
      hold?.reason,
    );
  });
  const places = queue.map(({ machine, priority, since, host, by, reason }, index) =>
    row(String(index + 1), machine, String(priority), since, describeAge(since, now), host, by, reason)
  );
  return head(semaphore, now) +
    section(["MACHINE ID", "SINCE", "FOR", "PHASE", "HOST", "BY", "REASON"], holders) +
    section(["PLACE", "MACHINE ID", "PRIORITY", "SINCE", "FOR", "HOST", "BY", "REASON"], places);
}

function head(semaphore: Semaphore, now: number): string {
  return `Available: ${available(semaphore)}\nMax: ${semaphore.max}\n${pauseLine(semaphore.paused, now)}`;
}

/** The cells of a row, what is not known as a dash. */
export function row(...cells: readonly (string | undefined)[]): string[] {
  return cells.map((cell) => cell === undefined || cell === "" ? "-" : oneLine(cell));
}

function section(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? "" : `\n${table([titles, ...rows])}`;
}

function pauseLine(pause: Pause | undefined, now: number): string {
  if (pause === undefined) return "";
  const parts = [
    ...(pause.since !== undefined ? [`since ${pause.since} (${describeAge(pause.since, now)})`] : []),
    ...(pause.by !== undefined ? [`by ${pause.by}`] : []),
    ...(pause.reason !== undefined && pause.reason !== "" ? [`because: ${pause.reason}`] : []),
  ];
  return oneLine(`Paused: ${parts.length > 0 ? parts.join(", ") : "yes"}`) + "\n";
}

/** A hold that no boot ends was taken by hand. */
function phase(hold: Hold | undefined): string {
  return hold?.boot === undefined ? "by hand" : hold.phase ?? "-";
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
  readonly overdue: readonly string[];
  /** The first in line first. What is not known of a place is not there. */
  readonly queue: readonly {
    readonly machine: string;
    readonly priority: number;
    readonly since?: string;
    readonly waitedSeconds?: number;
    readonly host?: string;
    readonly by?: string;
    readonly reason?: string;
  }[];
}

/** `now` in milliseconds since the epoch. */
export function statusJson(group: string, { semaphore, queue, overdue }: Seen, now: number): StatusJson {
  return {
    group,
    available: available(semaphore),
    max: semaphore.max,
    holders: semaphore.holders,
    holds: Object.fromEntries([...semaphore.holds].map(([id, hold]) => [id, flat(hold)])),
    paused: semaphore.paused ? flat(semaphore.paused) : null,
    overdue,
    queue: queue.map(({ machine, priority, since, host, by, reason }) => ({
      machine,
      priority,
      ...(since === undefined ? {} : { since, waitedSeconds: ageSeconds(since, now) }),
      ...(host === undefined ? {} : { host }),
      ...(by === undefined ? {} : { by }),
      ...(reason === undefined ? {} : { reason }),
    })),
  };
}

/** The table of `groups`. */
export function groupsText(groups: readonly (Seen & { readonly group: string })[]): string {
  return table([
    ["GROUP", "AVAILABLE", "MAX", "HOLDERS", "PAUSED", "WAITING", "OVERDUE"],
    ...groups.map(({ group, semaphore, queue, overdue }) => [
      groupLabel(group),
      String(available(semaphore)),
      String(semaphore.max),
      String(semaphore.holders.length),
      semaphore.paused ? "yes" : "no",
      String(queue.length),
      String(overdue.length),
    ]),
  ]);
}

/** Why there is no slot in a group, and what would change that. `now` in milliseconds since the epoch. */
export function whyNoSlot(
  group: string,
  semaphore: Semaphore,
  queue: readonly Place[],
  now: number,
): string {
  const label = groupLabel(group);
  const holders = describeHolders(semaphore, semaphore.holders, now);
  if (semaphore.paused) {
    const held = holders === "" ? "" : `; held by ${holders}`;
    return `no slots are granted in group ${label}${describeHold(semaphore.paused, now)}${held}`;
  }
  if (available(semaphore) <= 0) {
    return holders === ""
      ? `group ${label} has no slots at all; 'locksmith set-max' gives it some`
      : `group ${label} is full, held by ${holders}`;
  }
  const [first] = queue;
  return first === undefined
    ? `group ${label} has a free slot by now; try again`
    : `group ${label} has a free slot by now, and ${first.machine} is first in line; 'locksmith status --verbose' shows the queue`;
}
