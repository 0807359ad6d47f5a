/**
 * How a semaphore and its queue are shown to people: the lines of the old locksmith, and the details beside them. What
 * programs get is in `status.ts`. Pure.
 */

import { type Clock, describeAge, describeHold, describeHolders, phaseOf } from "../description.ts";
import { groupFlag, groupLabel } from "../group.ts";
import { machineName } from "../machine.ts";
import { oneLine, table } from "./output.ts";
import type { Place } from "../queue.ts";
import { available, type Pause, pauseInForce } from "../semaphore.ts";
import { ageOn, paint, type Screen, timeOn } from "./screen.ts";
import type { Seen } from "../status.ts";

/**
 * The lines of the old `status`, byte for byte; of a paused group one more, above the table: what follows its head are
 * machine ids, as ever. `now` in milliseconds since the epoch.
 */
export function statusText(seen: Pick<Seen, "semaphore" | "all">, now: number, screen?: Screen): string {
  const ids = seen.semaphore.holders.map((id) => `${id}\n`).join("");
  return head(seen, now, screen) + (ids === "" ? "" : `\nMACHINE ID\n${ids}`);
}

/** The same with what is known of each hold, and the queue. `now` in milliseconds since the epoch. */
export function verboseStatusText(seen: Seen, now: number): string {
  const { semaphore, queue, overdue } = seen;
  const holders = semaphore.holders.map((id) => {
    const hold = semaphore.holds.get(id);
    const late = overdue.includes(id) ? ", overdue" : "";
    return row(
      id,
      hold?.since,
      describeAge(hold?.since, now),
      phaseOf(hold) + late,
      hold?.host,
      hold?.by,
      hold?.trouble ?? hold?.reason,
    );
  });
  const places = queue.map((place, index) => {
    const { machine, priority, since, host, reason } = place;
    return row(
      String(index + 1),
      machine,
      String(priority),
      since,
      describeAge(since, now),
      host,
      whoWaits(place),
      reason,
    );
  });
  return head(seen, now) +
    section(["MACHINE ID", "SINCE", "FOR", "PHASE", "HOST", "BY", "REASON"], holders) +
    section(["PLACE", "MACHINE ID", "PRIORITY", "SINCE", "FOR", "HOST", "BY", "REASON"], places);
}

/** The first lines. On a `screen` a pause is told by its clock, and catches the eye. */
export function head(
  { semaphore, all }: Pick<Seen, "semaphore" | "all">,
  now: number,
  screen?: Screen,
): string {
  const pauses = pauseLine(pauseInForce(semaphore, now), "", now, screen) +
    pauseLine(pauseInForce(all, now), "all groups", now, screen);
  return `Available: ${available(semaphore)}\nMax: ${semaphore.max}\n${pauses}`;
}

/** The cells of a row, what is not known as a dash. */
export function row(...cells: readonly (string | undefined)[]): string[] {
  return cells.map((cell) => cell === undefined || cell === "" ? "-" : oneLine(cell));
}

function section(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? "" : `\n${table([titles, ...rows])}`;
}

function pauseLine(
  pause: Pause | undefined,
  whose: string,
  now: number,
  screen: Screen | undefined,
): string {
  if (pause === undefined) return "";
  const told = (instant: string | undefined) => screen === undefined ? instant : timeOn(screen, instant);
  const [since, until] = [told(pause.since), told(pause.until)];
  const age = screen === undefined ? describeAge(pause.since, now) : ageOn(pause.since, now);
  const parts = [
    ...(whose === "" ? [] : [whose]),
    ...(since !== undefined ? [`since ${since} (${age})`] : []),
    ...(until !== undefined ? [`until ${until}`] : []),
    ...(pause.by !== undefined ? [`by ${pause.by}`] : []),
    ...(pause.reason !== undefined && pause.reason !== "" ? [`because: ${pause.reason}`] : []),
  ];
  const line = oneLine(
    `${pause.frozen ? "Frozen" : "Paused"}: ${parts.length > 0 ? parts.join(", ") : "yes"}`,
  );
  return `${paint(line, "yellow", screen)}\n`;
}

/** By whom a place was taken, and whether its host is there. */
export function whoWaits({ by, away, kept }: Place): string | undefined {
  const state = kept ? "away, slot kept" : away ? "away" : undefined;
  return by === undefined || state === undefined ? by ?? state : `${by}, ${state}`;
}

/** The table of `groups`. `now` in milliseconds since the epoch. */
export function groupsText(groups: readonly (Seen & { readonly group: string })[], now: number): string {
  return table([
    ["GROUP", "AVAILABLE", "MAX", "HOLDERS", "PAUSED", "WAITING", "OVERDUE"],
    ...groups.map(({ group, semaphore, all, queue, overdue }) => [
      groupLabel(group),
      String(available(semaphore)),
      String(semaphore.max),
      String(semaphore.holders.length),
      pauseInForce(all, now) ? "all" : pauseInForce(semaphore, now) ? "yes" : "no",
      String(queue.length),
      String(overdue.length),
    ]),
  ]);
}

/** Why there is no slot in a group, and what would change that. */
export function whyNoSlot(
  group: string,
  { semaphore, all, queue }: Pick<Seen, "semaphore" | "all" | "queue">,
  clock: Clock,
): string {
  const { now } = clock;
  const label = groupLabel(group);
  const holders = describeHolders(semaphore, semaphore.holders, now);
  const held = holders === "" ? "" : `; held by ${holders}`;
  const pauseOfAll = pauseInForce(all, now);
  if (pauseOfAll !== undefined) {
    return `no slots are granted in any group${describeHold(pauseOfAll, clock)}${held}`;
  }
  const pause = pauseInForce(semaphore, now);
  if (pause !== undefined) {
    return `no slots are granted in group ${label}${describeHold(pause, clock)}${held}`;
  }
  if (available(semaphore) <= 0) {
    return holders === ""
      ? `group ${label} has no slots at all; 'locksmith set-max 1${groupFlag(group)}' gives it one`
      : `group ${label} is full, held by ${holders}`;
  }
  const first = queue.find(({ away, kept }) => away === undefined || kept);
  return first === undefined
    ? `group ${label} now has a free slot; try again`
    : `group ${label} now has a free slot, but ${
      machineName(first.machine, first.host)
    } is first in line; 'locksmith status --verbose${groupFlag(group)}' shows the queue`;
}
