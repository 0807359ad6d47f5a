/**
 * What `locksmith window` says: whether the window is open at a given time, and when it opens next.
 *
 * The report is data, in the shape that `--json` prints; the text for people is made from the report alone, so both
 * say the same. Times are seconds apart from fractions that somebody asked for, and carry their offset from UTC.
 */

import { table } from "./output.ts";
import { formatDuration } from "../duration.ts";
import {
  describeWindow,
  type Occurrence,
  occurrences,
  toStartMs,
  type Window,
  WindowError,
} from "../window.ts";

/** The most windows that one report lists. */
export const MAX_REPORT_COUNT = 1000;

/** The shape of `locksmith window --json`. */
export interface WindowReport {
  readonly open: boolean;
  /** Seconds until the window opens; zero or negative: open, and since when. */
  readonly toStartSeconds: number;
  /** The open or next one first. ISO 8601 with offset, such as `2015-05-21T23:00:00-04:00`. */
  readonly windows: readonly { readonly start: string; readonly end: string }[];
}

/**
 * The state of `window` at `at`, in the zone of `at`, and its `count` next occurrences beginning with the open one.
 *
 * Throws a `RangeError` unless `count` is a whole number from 1 to {@linkcode MAX_REPORT_COUNT}.
 */
export function windowReport(window: Window, at: Temporal.ZonedDateTime, count: number): WindowReport {
  if (!Number.isInteger(count) || count < 1 || count > MAX_REPORT_COUNT) {
    throw new RangeError(`cannot list ${count} windows: give a number from 1 to ${MAX_REPORT_COUNT}`);
  }
  const windows = occurrences(window, at).take(count).map(({ start, end }: Occurrence) => ({
    start: start.toString({ timeZoneName: "never" }),
    end: end.toString({ timeZoneName: "never" }),
  })).toArray();
  const toStart = toStartMs(window, at);
  return { open: toStart <= 0, toStartSeconds: toStart / 1000, windows };
}

/**
 * A report of {@linkcode windowReport} for people: what the window is, whether it is open, and a table of `windows`.
 * `zone` is the zone in which the table shows its times. LENGTH is elapsed time. `describe` words how far away a
 * time is. Ends with a newline.
 */
export function renderWindowReport(
  report: WindowReport,
  window: Window,
  zone: string,
  describe: (ms: number) => string = secondsText,
): string {
  const windows = report.windows.map(({ start, end }) => ({
    start: Temporal.Instant.from(start).toZonedDateTimeISO(zone),
    end: Temporal.Instant.from(end).toZonedDateTimeISO(zone),
  }));
  const [first] = windows;
  if (first === undefined) throw new RangeError("cannot show a report without windows");
  const atMs = first.start.epochMilliseconds - report.toStartSeconds * 1000;
  const short = windows.every(({ start, end }) => start.second === 0 && end.second === 0);
  const rows = [
    ["START", "END", "LENGTH", "IN"],
    ...windows.map(({ start, end }, index) => [
      clockText(start, short),
      clockText(end, short),
      formatDuration(end.epochMilliseconds - start.epochMilliseconds),
      index === 0 && report.open ? "now" : describe(start.epochMilliseconds - atMs),
    ]),
  ];
  const untilEnd = describe(first.end.epochMilliseconds - atMs);
  const state = report.open
    ? `open for ${describe(-report.toStartSeconds * 1000)}, closes in ${untilEnd}`
    : `closed, opens in ${describe(report.toStartSeconds * 1000)}`;
  return `${describeWindow(window)}, ${zone}: ${state}\n\n${table(rows)}`;
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
