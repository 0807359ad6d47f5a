/**
 * What `locksmith window` says: whether reboots are allowed at a given time, and when they are next.
 *
 * The report is data, in the shape that `--json` prints; the text for people is made from the report alone, so both
 * say the same. Times are seconds apart from fractions that somebody asked for, and carry their offset from UTC.
 */

import { table } from "./output.ts";
import { formatDuration } from "../duration.ts";
import { describeFreeze } from "../freeze.ts";
import {
  describeWindows,
  freezeAt,
  type Opening,
  openingsOf,
  openSince,
  type Schedule,
} from "../schedule.ts";
import { WindowError } from "../window.ts";

/** The most windows that one report lists. */
export const MAX_REPORT_COUNT = 1000;

/** The shape of `locksmith window --json`. */
export interface WindowReport {
  readonly open: boolean;
  /** Seconds until the window opens; zero or negative: open, and since when; `null`: no time is known at which it opens. */
  readonly toStartSeconds: number | null;
  /**
   * The open or next one first, without the time that freezes take. ISO 8601 with offset, such as
   * `2015-05-21T23:00:00-04:00`. `end` of `null`: it does not close as far as is known.
   */
  readonly windows: readonly { readonly start: string; readonly end: string | null }[];
  /** Those that are not over, in their order. `until`: the first moment at which reboots are allowed again. */
  readonly freezes: readonly {
    readonly from: string;
    readonly until: string;
    readonly name: string | null;
  }[];
  /** How long after its start each window opens for this machine. */
  readonly delaySeconds: number;
}

/**
 * The state of `schedule` at `at`, in the zone of `at`, its `count` next openings beginning with the one that is open, and as many
 * freezes.
 *
 * Throws a `RangeError` unless `count` is a whole number from 1 to {@linkcode MAX_REPORT_COUNT}.
 */
export function windowReport(schedule: Schedule, at: Temporal.ZonedDateTime, count: number): WindowReport {
  if (!Number.isInteger(count) || count < 1 || count > MAX_REPORT_COUNT) {
    throw new RangeError(`cannot list ${count} windows: give a number from 1 to ${MAX_REPORT_COUNT}`);
  }
  const { freezes, delayMs = 0 } = schedule;
  const now = at.epochMilliseconds;
  const text = (ms: number) =>
    Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO(at.timeZoneId)
      .toString({ timeZoneName: "never" });
  const since = openSince(schedule, now);
  const ahead = openingsOf(schedule, now);
  const found: Opening[] = ahead === undefined ? [] : Iterator.from(ahead).take(count).toArray();
  const [first] = found;
  if (first !== undefined && since !== undefined && since !== -Infinity) {
    found[0] = { ...first, startMs: since };
  }
  const fractionMs = Number(at.epochNanoseconds % 1_000_000n) / 1e6;
  const next = found[0]?.startMs;
  const toStartMs = since === -Infinity ? 0 : next === undefined ? null : next - now - fractionMs;
  return {
    open: since !== undefined,
    toStartSeconds: toStartMs === null ? null : toStartMs / 1000,
    windows: found.map(({ startMs, endMs }) => ({
      start: text(startMs),
      end: endMs === Infinity ? null : text(endMs),
    })),
    freezes: freezes.filter(({ until }) => until > now).sort((a, b) => a.from - b.from).slice(0, count)
      .map(({ from, until, name }) => ({ from: text(from), until: text(until), name: name ?? null })),
    delaySeconds: delayMs / 1000,
  };
}

/**
 * A report of {@linkcode windowReport} for people: what the windows of `schedule` are, whether one is open, and a table of them
 * and of the freezes. `at`: the moment of the report, in the zone in which times are shown. LENGTH is elapsed time.
 * `describe` words how far away a time is. Ends with a newline.
 */
export function renderWindowReport(
  report: WindowReport,
  schedule: Schedule,
  at: Temporal.ZonedDateTime,
  describe: (ms: number) => string = secondsText,
): string {
  const { timeZoneId: zone } = at;
  const shown = (text: string) => Temporal.Instant.from(text).toZonedDateTimeISO(zone);
  const untilMs = (time: Temporal.ZonedDateTime) => Number(time.epochNanoseconds - at.epochNanoseconds) / 1e6;
  const windows = report.windows.map(({ start, end }) => ({
    start: shown(start),
    end: end === null ? undefined : shown(end),
  }));
  const freezes = report.freezes.map(({ from, until, name }) => ({
    from: shown(from),
    until: shown(until),
    name,
  }));
  const times = [
    ...windows.flatMap(({ start, end }) => [start, end]),
    ...freezes.flatMap((f) => [f.from, f.until]),
  ];
  const short = times.every((time) => time === undefined || time.second === 0);
  const rows = windows.map(({ start, end }, index) => [
    clockText(start, short),
    end === undefined ? "-" : clockText(end, short),
    end === undefined ? "-" : formatDuration(end.epochMilliseconds - start.epochMilliseconds),
    index === 0 && report.open ? "now" : describe(untilMs(start)),
  ]);
  const [first] = windows;
  const closes = first?.end === undefined ? "" : `, closes in ${describe(untilMs(first.end))}`;
  const sinceMs = -(report.toStartSeconds ?? 0) * 1000;
  const frozen = freezeAt(schedule, at.epochMilliseconds);
  const state = report.open
    ? `open${schedule.windows.length === 0 ? " now" : ` for ${describe(sinceMs)}`}${closes}`
    : [
      frozen === undefined ? "closed" : describeFreeze(frozen, zone),
      report.toStartSeconds === null
        ? "no time is known at which it opens"
        : `opens in ${describe(report.toStartSeconds * 1000)}`,
    ].join(", ");
  const delay = report.delaySeconds === 0
    ? ""
    : `This machine begins ${formatDuration(report.delaySeconds * 1000)} after the start of a window.\n`;
  const tables = [
    ...(rows.length === 0 ? [] : [table([["START", "END", "LENGTH", "IN"], ...rows])]),
    ...(freezes.length === 0 ? [] : [table([
      ["FROZEN FROM", "UNTIL", "NAME"],
      ...freezes.map((
        { from, until, name },
      ) => [clockText(from, short), clockText(until, short), name ?? "-"]),
    ])]),
  ];
  return [`${describeWindows(schedule, zone)}: ${state}\n${delay}`, ...tables].join("\n");
}

/** `Thu 2015-05-21 23:00 -04:00`, with seconds unless `short`. */
export function clockText(time: Temporal.ZonedDateTime, short: boolean): string {
  const day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][time.dayOfWeek - 1];
  const clock = time.toPlainTime().toString({ smallestUnit: short ? "minute" : "second" });
  return `${day} ${time.toPlainDate()} ${clock} ${time.offset}`;
}

/** People read whole seconds; the clock that `--at` defaults to has microseconds. */
function secondsText(ms: number): string {
  return formatDuration(Math.round(ms / 1000) * 1000);
}

const INSTANT = new RegExp(
  "^([0-9]{4})-([0-9]{2})-([0-9]{2})" +
    "(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(\\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?$",
);

/**
 * The time that `text` names, in `zone`: `2015-05-21 12:33:01` (or with `T`, without seconds, with a fraction) on
 * the clock of `zone`; with `Z` or an offset such as `-04:00` behind it the very instant; a date alone is its 00:00.
 * A time that a clock change leaps over moves forward; of one that comes twice the first counts.
 *
 * Throws {@linkcode WindowError} for any other text and for dates and times that do not exist.
 */
export function parseInstant(text: string, zone: string): Temporal.ZonedDateTime {
  const refuse = (why: string) => new WindowError([`time ${JSON.stringify(text)} ${why}`]);
  const match = INSTANT.exec(text);
  if (match === null) {
    throw refuse(
      "cannot be read; give 2015-05-21, '2015-05-21 12:33:01', or with an offset 2015-05-21T12:33:01-04:00",
    );
  }
  const [, year, month, day, hour = "00", minute = "00", second = "00", fraction = "", offset = ""] = match;
  // Temporal reads a 60th second as the 59th.
  if (second === "60") throw refuse("is not a time of day; seconds run from 00 to 59");
  const plain = `${year}-${month}-${day}T${hour}:${minute}:${second}${fraction}`;
  try {
    return offset === ""
      ? Temporal.PlainDateTime.from(plain).toZonedDateTime(zone, { disambiguation: "compatible" })
      : Temporal.Instant.from(plain + offset).toZonedDateTimeISO(zone);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw refuse("names a date or time that does not exist");
  }
}
