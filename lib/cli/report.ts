/**
 * How a semaphore and its queue are shown: the lines of the old locksmith, the details beside them, and the JSON that scripts may
 * rely on. Pure.
 */

import { ageSeconds, type Clock, describeAge, describeHold, describeHolders } from "../description.ts";
import { groupFlag, groupLabel } from "../group.ts";
import { machineName } from "../machine.ts";
import { oneLine, table } from "./output.ts";
import type { Place } from "../queue.ts";
import { available, type Hold, isByHand, type Pause, pauseInForce, type Semaphore } from "../semaphore.ts";
import { ageOn, paint, type Screen, timeOn } from "./screen.ts";
import { flat } from "../document.ts";

/** What there is to show of a group at one moment. */
export interface Seen {
  readonly semaphore: Semaphore;
  /** What counts for all groups. */
  readonly all: Semaphore;
  /** Whether anything is stored for the group. */
  readonly stored: boolean;
  /** The first in line first. */
  readonly queue: readonly Place[];
  /** The machines whose reboot takes too long. */
  readonly overdue: readonly string[];
}

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
      phase(hold) + late,
      hold?.host,
      hold?.by,
      hold?.reason,
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
  const line = oneLine(`Paused: ${parts.length > 0 ? parts.join(", ") : "yes"}`);
  return `${paint(line, "yellow", screen)}\n`;
}

/** How far a holder is, or that its slot was taken by hand. */
export function phase(hold: Hold | undefined): string {
  return isByHand(hold) ? "by hand" : hold?.phase ?? "-";
}

/** By whom a place was taken, and whether its host is there. */
export function whoWaits({ by, away, kept }: Place): string | undefined {
  const state = kept ? "away, slot kept" : away ? "away" : undefined;
  return by === undefined || state === undefined ? by ?? state : `${by}, ${state}`;
}

/** The JSON of `status` and, one in a list, of `groups`. */
export interface StatusJson {
  /** Empty: the default group. */
  readonly group: string;
  readonly stored: boolean;
  readonly available: number;
  readonly max: number;
  readonly holders: readonly string[];
  /** Details by machine id. What is not known of a hold is not there. */
  readonly holds: Readonly<Record<string, unknown>>;
  /** `null`: not paused. */
  readonly paused: PauseJson;
  /** The same of all groups. */
  readonly pausedAll: PauseJson;
  readonly overdue: readonly string[];
  readonly queue: QueueJson;
}

/** A pause that is in force, or `null`. */
type PauseJson = Readonly<Record<string, unknown>> | null;

/** The first in line first. What is not known of a place is not there. */
type QueueJson = readonly {
  readonly machine: string;
  readonly priority: number;
  readonly since?: string;
  readonly waitedSeconds?: number;
  readonly host?: string;
  readonly by?: string;
  readonly reason?: string;
  /** Its host is not there now: it asks a server from time to time. */
  readonly away?: true;
  /** A slot is kept for it until it asks again. */
  readonly kept?: true;
}[];

/** The JSON of a group in `groups` whose document cannot be read. */
export interface FaultyGroupJson {
  readonly group: string;
  readonly fault: string;
  readonly queue: QueueJson;
}

/** `now` in milliseconds since the epoch. */
export function statusJson(
  group: string,
  { semaphore, all, stored, queue, overdue }: Seen,
  now: number,
): StatusJson {
  return {
    group,
    stored,
    available: available(semaphore),
    max: semaphore.max,
    holders: semaphore.holders,
    holds: Object.fromEntries([...semaphore.holds].map(([id, hold]) => [id, flat(hold)])),
    paused: pauseJson(semaphore, now),
    pausedAll: pauseJson(all, now),
    overdue,
    queue: queueJson(queue, now),
  };
}

/** `now` in milliseconds since the epoch. */
export function faultyGroupJson(
  group: string,
  fault: string,
  queue: readonly Place[],
  now: number,
): FaultyGroupJson {
  return { group, fault, queue: queueJson(queue, now) };
}

function pauseJson(semaphore: Semaphore, now: number): PauseJson {
  const pause = pauseInForce(semaphore, now);
  return pause === undefined ? null : flat(pause);
}

function queueJson(queue: readonly Place[], now: number): QueueJson {
  return queue.map(({ machine, priority, since, host, by, reason, away, kept }) => ({
    machine,
    priority,
    ...(since === undefined ? {} : { since, waitedSeconds: ageSeconds(since, now) }),
    ...(host === undefined ? {} : { host }),
    ...(by === undefined ? {} : { by }),
    ...(reason === undefined ? {} : { reason }),
    ...(away === undefined ? {} : { away }),
    ...(kept === undefined ? {} : { kept }),
  }));
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
