/**
 * Holds, pauses, waits and times in words: for the lines of a log, and for whoever words more around them. Everything else
 * that people read is worded where it is shown.
 */

import { formatDuration } from "./duration.ts";
import { enumerate } from "./enumeration.ts";
import { machineName } from "./machine.ts";
import {
  BY_DAEMON,
  FLEET_LOCK,
  type FrozenDecision,
  type Hold,
  isByHand,
  type Pause,
  REBOOTING,
  type Semaphore,
} from "./semaphore.ts";
import type { WaitNews } from "./wait.ts";
import { groupFlag, groupPhrase } from "./group.ts";
import { shellWord } from "./shell_word.ts";
import type { LogLevel } from "./surroundings.ts";

/** How instants are told: their age at `now`, milliseconds since the epoch; in `zone`, without one as they are stored. */
export interface Clock {
  readonly now: number;
  readonly zone: string | undefined;
}

/** A hold or a pause behind what names it: ` (since T, AGE ago, until T, by WHOM, because: WHY)`, as far as it is known. */
export function describeHold(
  hold: Pick<Hold & Pause, "since" | "until" | "by" | "reason"> | undefined,
  { now, zone }: Clock,
): string {
  const { since, until, by, reason } = hold ?? {};
  const parts = [
    ...(since === undefined ? [] : [`since ${describeStored(since, zone)}`, `${lasted(since, now)} ago`]),
    ...(until === undefined ? [] : [`until ${describeStored(until, zone)}`]),
    ...(by === undefined ? [] : [`by ${by}`]),
    ...(reason === undefined || reason === "" ? [] : [`because: ${reason}`]),
  ];
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}

/** How a slot was taken that this machine cannot end. */
export function describeTaking(hold: Hold | undefined): string {
  return hold?.via === FLEET_LOCK
    ? "was granted through the server, which was told no boot"
    : "was taken by hand";
}

/**
 * How far a holder is: `granted`, `rebooting`, `back` once it is up again and keeps its slot until it is known to be well, and
 * `unhealthy` where it is not; `by hand`; `-` where nothing is known.
 */
export function phaseOf(hold: Hold | undefined): string {
  if (isByHand(hold)) return "by hand";
  if (hold?.trouble !== undefined) return "unhealthy";
  return hold?.back !== undefined ? "back" : hold?.phase ?? "-";
}

/** A holder: `web1 (bcbd63b7...), rebooting for 14 s, because: new kernel`. `now` in milliseconds since the epoch. */
export function describeHolder(id: string, hold: Hold | undefined, now: number): string {
  const { since, by, reason } = hold ?? {};
  const age = since === undefined ? undefined : lasted(since, now);
  const ago = age === undefined ? "" : ` ${age} ago`;
  const whose = by === undefined || by === BY_DAEMON
    ? ""
    : by === FLEET_LOCK
    ? " through the server"
    : ` by ${by}`;
  return [
    machineName(id, hold?.host),
    ...(hold === undefined
      ? []
      : isByHand(hold)
      ? [`taken by hand${ago}${whose}`]
      : hold.trouble !== undefined
      ? [`unhealthy since its reboot${ago}: ${hold.trouble}`]
      : hold.back !== undefined
      ? [`up again and being checked, slot taken${ago}`]
      : hold.phase === REBOOTING
      ? [`rebooting${age === undefined ? "" : ` for ${age}`}${whose}`]
      : [`${hold.phase ?? "taken"}${ago}${whose}`]),
    ...(reason === undefined || reason === "" ? [] : [`because: ${reason}`]),
  ].join(", ");
}

/** Some holders in a message, those that are overdue first. `now` in milliseconds since the epoch. */
export function describeHolders(
  { holds }: Semaphore,
  ids: readonly string[],
  now: number,
  overdue: readonly string[] = [],
): string {
  const late = ids.filter((id) => overdue.includes(id));
  const ordered = [...late, ...ids.filter((id) => !overdue.includes(id))];
  const described = ordered.map((id, index) => {
    return (index < late.length ? "overdue " : "") + describeHolder(id, holds.get(id), now);
  });
  return enumerate(described, "; ");
}

/** How long ago an instant was, for a table; a dash where it is not known. `now` in milliseconds since the epoch. */
export function describeAge(since: string | undefined, now: number): string {
  return since === undefined ? "-" : formatDuration(ageSeconds(since, now) * 1000);
}

function lasted(since: string, now: number): string {
  return describeDuration(ageSeconds(since, now) * 1000);
}

/** Whole seconds; none of what a clock that goes ahead of ours has put into the future. */
export function ageSeconds(since: string, now: number): number {
  return Math.round(Math.max(0, now - Temporal.Instant.from(since).epochMilliseconds) / 1000);
}

/** An instant of a document: on the clock of `zone`, or as it is stored. */
export function describeStored(instant: string, zone: string | undefined): string {
  if (zone === undefined) return instant;
  const { epochMilliseconds: ms } = Temporal.Instant.from(instant);
  return describeInstant(Math.trunc(ms / 1000) * 1000, zone, "second");
}

/** What is told of a wait. What lasts until somebody does something about it is a warning. */
export interface WaitDescription {
  readonly level: LogLevel;
  /** The same as long as the reason is. */
  readonly why: string;
  /** What changes meanwhile, and what to do about it: to be put right behind it. */
  readonly details: string;
}

/** The machine that waits, and in which group. */
export interface Waiting {
  readonly id: string;
  readonly hostname?: string | undefined;
  readonly group: string;
}

/** What a waiting machine waits for. */
export function describeWait(
  news: Extract<WaitNews, { kind: "waiting" | "failing" }>,
  waits: Waiting,
  clock: Clock,
): WaitDescription {
  if (news.kind === "failing") {
    const { message, hint } = news.error;
    const details = hint === undefined ? "" : `; ${hint}`;
    return { level: "warning", why: `cannot join the queue, trying again: ${message}`, details };
  }
  const told = describeObstacle(news, waits, clock);
  const { overdue, semaphore } = news;
  const [first] = overdue;
  if (first === undefined || !told.inLine) return told;
  const unlock = `locksmith unlock ${shellWord(semaphore.holds.get(first)?.host ?? first)}${
    groupFlag(waits.group)
  }`;
  return {
    level: "warning",
    why: `${told.why}, ${overdue.length} overdue`,
    details: `${told.details}; check the overdue machine, or release its slot: ${unlock}`,
  };
}

function describeObstacle(
  { obstacle, semaphore, overdue }: Extract<WaitNews, { kind: "waiting" }>,
  waits: Waiting,
  clock: Clock,
): WaitDescription & { readonly inLine?: true } {
  const { holders } = semaphore;
  const flag = groupFlag(waits.group);
  const heldBy = (ids: readonly string[]) =>
    ids.length === 0 ? "" : `: ${describeHolders(semaphore, ids, clock.now, overdue)}`;
  switch (obstacle.kind) {
    case "behind":
      return { level: "info", why: "in line behind another machine", details: heldBy(holders), inLine: true };
    case "full":
      return holders.length > 0
        ? {
          level: "info",
          why: `first in line, all slots are held (available: ${obstacle.available})`,
          details: heldBy(holders),
          inLine: true,
        }
        : {
          level: "warning",
          why: "first in line, the group has no slots at all",
          details: `; 'locksmith set-max 1${flag}' gives it one`,
        };
    case "paused":
      return {
        level: "warning",
        why: `first in line, ${obstacle.all ? "all groups are" : "the group is"} ${
          obstacle.pause.frozen ? "frozen" : "paused"
        }`,
        details: `${describeHold(obstacle.pause, clock)}; ${
          endOfPause(obstacle.pause, obstacle.all ? " --all" : flag)
        }${overdue.length === 0 ? "" : `; ${describeHolders(semaphore, overdue, clock.now, overdue)}`}`,
      };
    case "by-hand":
      return {
        level: "warning",
        why: `this machine's slot ${describeTaking(obstacle.hold)}`,
        details: `${
          describeHold(obstacle.hold, clock)
        }; only 'locksmith unlock ${waits.id}${flag}' releases it`,
      };
    case "other-host":
      return describeOtherHost(obstacle.hold, waits, clock);
  }
}

/** What ends a pause before its time. `flag` says of which group. */
export function endOfPause({ frozen, reason = "" }: Pause, flag: string): string {
  return frozen
    ? `'locksmith freeze remove ${shellWord(reason)}${flag}' ends the freeze`
    : `'locksmith resume${flag}' ends the pause`;
}

/** Why nothing is confirmed: `group web is frozen until Sun 2027-01-03 00:00 +01:00: Christmas`. */
export function describeFrozen(
  { pause: { until, reason }, all }: Pick<FrozenDecision, "pause" | "all">,
  group: string,
  { zone }: Clock,
): string {
  const end = until === undefined ? "" : ` until ${describeStored(until, zone)}`;
  return `${all ? "all groups are" : `${groupPhrase(group)} is`} frozen${end}: ${reason}`;
}

/** Another machine holds a slot under the id of this one. */
export function describeOtherHost(
  hold: Hold,
  { id, hostname, group }: Waiting,
  clock: Clock,
): WaitDescription {
  const ours = hostname === undefined ? `machine id ${id}` : `the machine id of ${machineName(id, hostname)}`;
  const unlock = `'locksmith unlock ${id}${groupFlag(group)}' releases it`;
  const namesake = hold.host === undefined || hold.host === hostname;
  return {
    level: "warning",
    why: `${ours} holds a slot${namesake ? " that this machine did not request," : ""} ` +
      `under another boot id and host ${hold.host ?? "unknown"}`,
    details: `${describeHold(hold, clock)}; do two machines share this id? give one of them a new one; ` +
      `if ${namesake ? "not" : "this machine was renamed"}, ${unlock}`,
  };
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

/** How long something takes that nobody knows exactly, in steps that grow: `about 7 min`, `about 1 h 20 min`. */
export function describeEstimate(ms: number): string {
  const step = ms < 30 * MINUTE_MS ? MINUTE_MS : ms < 6 * HOUR_MS ? 5 * MINUTE_MS : 30 * MINUTE_MS;
  return `about ${ms < MINUTE_MS ? "a minute" : describeDuration(Math.ceil(ms / step) * step)}`;
}

/** How far away an instant is: `in 2 days 11 h`, `5 min ago`. */
export function describeDistance(ms: number): string {
  const length = describeDuration(Math.abs(ms)).replace(
    /^(\d+) d\b/,
    (_, days) => days === "1" ? "1 day" : `${days} days`,
  );
  return ms >= 0 ? `in ${length}` : `${length} ago`;
}

/** How long ago something was; what is a little ahead by another clock, or since it was rounded, is now: `0 s ago`. */
export function describePast(ms: number): string {
  return describeDistance(Math.min(-1, -ms));
}

/** An instant on the clock of a zone: `Sat 2026-11-28 02:00 +01:00`; with seconds where it has some, or they are asked for. */
export function describeInstant(ms: number, zone: string, unit?: "second"): string {
  const at = Temporal.Instant.fromEpochMilliseconds(Math.round(ms)).toZonedDateTimeISO(zone);
  const day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][at.dayOfWeek - 1];
  const smallestUnit = unit ?? (at.second === 0 ? "minute" : "second");
  const text = at.toString({ smallestUnit, timeZoneName: "never", offset: "never" });
  return `${day} ${text.replace("T", " ")} ${at.offset}`;
}
