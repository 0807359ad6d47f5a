/**
 * Reboot windows: a start that comes back, by a calendar expression, and a length.
 *
 * Promises: a text is taken whole or refused with all of its faults; arithmetic follows the clock of the zone that
 * the calendar names, or else `now` carries. A start that a clock change leaps over moves forward by the leap (02:30 becomes
 * 03:30); of a start that comes twice the first counts; a length is elapsed time. Both ends belong to the window.
 *
 * Where openings come so close together that they touch or overlap (a daily window of 23h59m on a day of 23 hours), they
 * are one {@linkcode Occurrence}: it begins with the first and ends with the last. So what is
 * said of an occurrence is always what an operator sees: from its start to its end the window is open without a break,
 * and around it, it is closed. A day that a zone leaves out altogether (Apia, 2011-12-30) is such a leap too.
 *
 * The rules have no clock: every question names its `now`.
 */

import { type Calendar, CalendarError, momentsAfter, parseCalendar } from "./calendar.ts";
import { DurationError, formatDuration, parseDuration } from "./duration.ts";
import { didYouMean, suggest } from "./suggest.ts";

/** When it opens, and for how long. Made by {@linkcode parseWindow}. */
export interface Window {
  readonly calendar: Calendar;
  /** When it opens, for people: `every Thu at 23:00`. */
  readonly start: string;
  /** Elapsed time, more than zero, and so long that the window closes at times. */
  readonly lengthMs: number;
}

/** A stretch of time in which the window is open without a break. Both ends belong to it. */
export interface Occurrence {
  readonly start: Temporal.ZonedDateTime;
  readonly end: Temporal.ZonedDateTime;
}

/** What was said about windows cannot be used. The message is all of `faults`, each a sentence of its own. */
export class WindowError extends Error {
  override readonly name = "WindowError";
  constructor(
    /** Each names what it speaks of (start, length, zone), the value, and what is allowed. */
    readonly faults: readonly string[],
  ) {
    super(faults.join("; "));
  }
}

const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] as const;
const DAY_NAMES = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"] as const;
const START_ALLOWED = "allowed: HH:MM or Day HH:MM on the 24-hour clock, such as 14:00 or Thu 23:00, " +
  "or a calendar expression of systemd.time(7), such as 'Mon..Fri 02:00' or 'Sat *-*-1..7 03:00'";

/** How often a window opens at most: more is one that is open all day. */
const STARTS_PER_DAY = 48;
const DAY_MS = 24 * 3_600_000;
/** No window is open longer without a break: it would be one that is always open, but for some days. */
const STRETCH_LIMIT_MS = 8 * DAY_MS;
/** Where the openings of a calendar are looked at: a year that was no leap year, and the two after it. */
const PROBED = { from: Temporal.ZonedDateTime.from("2026-01-01T00:00:00+00:00[UTC]"), openings: 1_500 };

/**
 * A window from its two texts, such as `Thu 23:00` and `1h30m`.
 *
 * The start is `HH:MM` (every day), `Day HH:MM` (every week; an hour may have one digit, a minute has two), or any calendar
 * expression of systemd.time(7) without a year, also with a time zone behind it. The length is a duration of
 * {@linkcode parseDuration}, shorter than 24 hours for a daily window and than 168 hours for a weekly one; others must
 * not be open for more than 8 days without a break. A length of zero is refused: the window is asked again at
 * the moment of the reboot, which a window without length would never let pass.
 *
 * Throws {@linkcode WindowError} with the faults of both texts.
 */
export function parseWindow(start: string, length: string): Window {
  const faults: string[] = [];
  const simple = SIMPLE.test(start);
  const opening = simple ? parseSimpleStart(start, faults) : parseCalendarStart(start, faults);
  const kind = simple || start.trim() === "" ? (/^\s*[a-z]/i.test(start) ? "weekly" : "daily") : "window";
  const lengthMs = parseLength(length, kind, faults);
  if (opening === null || lengthMs === null) throw new WindowError(faults);
  if (!simple) {
    const fault = openFault(opening.calendar, lengthMs);
    if (fault !== undefined) throw new WindowError([`window start ${JSON.stringify(start)} ${fault}`]);
  }
  return { ...opening, lengthMs };
}

type Opening = Omit<Window, "lengthMs">;

/** A day and a time, or what is meant for one. Every other text is read as a calendar expression. */
const SIMPLE = /^[ \t]*(?:[a-z]+[ \t]+)?[+-]?[0-9]+(?::[0-9]*)?[a-z]*[ \t]*$/i;

function parseSimpleStart(text: string, faults: string[]): Opening | null {
  const before = faults.length;
  const refuse = (why: string) => faults.push(`window start ${JSON.stringify(text)} ${why}`);
  const words = text.split(/[ \t]+/).filter((word) => word !== "");
  const [first = "", second] = words;
  let weekday: number | null = null;
  if (second !== undefined) {
    const day = first.toLowerCase();
    const index = WEEKDAYS.findIndex((name, i) =>
      [name, DAY_NAMES[i]].some((name) => name?.toLowerCase() === day)
    );
    if (index < 0) {
      const hint = didYouMean(first.slice(0, 3), WEEKDAYS);
      refuse(
        `names an unknown day ${JSON.stringify(first)}; days are Sun, Mon, Tue, Wed, Thu, Fri, Sat${hint}`,
      );
    }
    weekday = index + 1;
  }
  const [, hour = "", minute = ""] = /^([0-9]{1,2}):([0-9]{2})$/.exec(second ?? first) ?? [];
  if (hour === "") {
    refuse(
      words.length === 0 ? `is empty; ${START_ALLOWED}` : `has no time of the form HH:MM; ${START_ALLOWED}`,
    );
  } else if (Number(hour) > 23 || Number(minute) > 59) {
    refuse("is not a time of day; hours run from 00 to 23, minutes from 00 to 59");
  }
  if (faults.length > before) return null;
  const day = weekday === null ? "" : `${WEEKDAYS[weekday - 1]} `;
  return {
    calendar: parseCalendar(`${day}${hour}:${minute}`, () => false),
    start: `every ${day === "" ? "day " : day}at ${hour.padStart(2, "0")}:${minute}`,
  };
}

function parseCalendarStart(text: string, faults: string[]): Opening | null {
  const refuse = (why: string) => {
    faults.push(`window start ${JSON.stringify(text)} ${why}`);
    return null;
  };
  try {
    const calendar = parseCalendar(text, isZone);
    if (calendar.years !== null) return refuse("names a year; a window comes back every year");
    return { calendar, start: `at ${text.trim().replace(/\s+/g, " ")}` };
  } catch (error) {
    if (!(error instanceof CalendarError)) throw error;
    return refuse(`${error.message}; ${START_ALLOWED}`);
  }
}

/** Whether a word behind an expression is meant as a time zone, and is one. */
function isZone(word: string): boolean {
  if (!/^[a-z]/i.test(word) || /^(?:mon|tue|wed|thu|fri|sat|sun)/i.test(word)) return false;
  try {
    parseZone(word);
    return true;
  } catch (error) {
    if (error instanceof WindowError) return false;
    throw error;
  }
}

/** What is wrong with how often it opens. */
function openFault(calendar: Calendar, lengthMs: number): string | undefined {
  const starts: number[] = [];
  let stretchMs = 0;
  for (const { epochMilliseconds } of momentsAfter(calendar, PROBED.from).take(PROBED.openings)) {
    const last = starts.at(-1);
    stretchMs = last !== undefined && epochMilliseconds - last <= lengthMs
      ? stretchMs + epochMilliseconds - last
      : lengthMs;
    if (stretchMs > STRETCH_LIMIT_MS) return `with this length is open for more than 8 days without a break`;
    const dayBefore = starts.at(-STARTS_PER_DAY);
    if (dayBefore !== undefined && epochMilliseconds - dayBefore < DAY_MS) {
      return `opens more than ${STARTS_PER_DAY} times a day; name one start and a length`;
    }
    starts.push(epochMilliseconds);
  }
  return starts.length === 0 ? "names a date that never comes" : undefined;
}

/** What a length must be shorter than. */
const LIMITS = {
  daily: { limit: "24h", rule: "a daily window is longer than 0s and shorter than 24h" },
  weekly: { limit: "168h", rule: "a weekly window is longer than 0s and shorter than 168h" },
  window: { limit: "168h", rule: "a window is longer than 0s and shorter than 168h" },
} as const;

function parseLength(text: string, kind: keyof typeof LIMITS, faults: string[]): number | null {
  const { limit, rule } = LIMITS[kind];
  let why: string;
  try {
    const lengthMs = parseDuration(text);
    if (lengthMs > 0 && lengthMs < parseDuration(limit)) return lengthMs;
    if (lengthMs < 0) why = "is negative";
    else if (lengthMs === 0) why = "is zero, so no reboot would ever be allowed";
    else why = "is too long";
    why += `; ${rule}`;
  } catch (error) {
    if (!(error instanceof DurationError)) throw error;
    why = `cannot be read: ${error.reason}`;
  }
  faults.push(`window length ${JSON.stringify(text)} ${why}`);
  return null;
}

/** The window in words: `every day at 14:00 for 1h`, `at Mon..Fri 02:00 for 1h30m`. */
export function describeWindow({ start, lengthMs }: Window): string {
  return `${start} for ${formatDuration(lengthMs)}`;
}

/** An {@linkcode Occurrence} for who only computes with it, in nanoseconds since the epoch; 1970 is the first year. */
export interface Span {
  readonly startNs: bigint;
  readonly endNs: bigint;
}

/**
 * The occurrence that is open at `now`, or else the next one, and all that follow, in the zone of `now`. Between two
 * of them the window is closed. Throws a `RangeError` after the year 2199, where calendars end, and for a window that
 * {@linkcode parseWindow} would refuse because it would never open.
 */
export function* occurrences(window: Window, now: Temporal.ZonedDateTime): Generator<Occurrence, never> {
  const zoned = (ns: bigint) => new Temporal.ZonedDateTime(ns, now.timeZoneId);
  const all = spans(window, now);
  while (true) {
    const { startNs, endNs } = all.next().value;
    yield { start: zoned(startNs), end: zoned(endNs) };
  }
}

/** The same {@linkcode occurrences} as numbers, at half the price. */
export function* spans(window: Window, now: Temporal.ZonedDateTime): Generator<Span, never> {
  const { lengthMs } = window;
  if (!(lengthMs > 0)) throw new RangeError(`cannot compute a window of ${lengthMs} ms`);
  const [nowNs, lengthNs] = [now.epochNanoseconds, nanoseconds(lengthMs)];
  for (let backMs = lengthMs + DAY_MS;; backMs *= 2) {
    const from = now.subtract({ milliseconds: Math.ceil(backMs) });
    const stretches = joined(window, from);
    let current = stretches.next().value;
    // before what was found first there may have been another that touches it
    const unsure = current.startNs - from.epochNanoseconds <= lengthNs;
    if (unsure && nowNs <= current.endNs) continue;
    while (nowNs > current.endNs) current = stretches.next().value;
    while (true) {
      yield current;
      current = stretches.next().value;
    }
  }
}

/** The openings after `from`, those that touch each other as one. */
function* joined({ calendar, lengthMs }: Window, from: Temporal.ZonedDateTime): Generator<Span, never> {
  const lengthNs = nanoseconds(lengthMs);
  let current: Span | undefined;
  for (const { epochNanoseconds: startNs } of momentsAfter(calendar, from)) {
    if (current !== undefined && startNs > current.endNs) {
      yield current;
      current = undefined;
    }
    current = { startNs: current?.startNs ?? startNs, endNs: startNs + lengthNs };
  }
  throw new RangeError("cannot compute windows beyond the year 2199");
}

function nanoseconds(ms: number): bigint {
  return BigInt(Math.round(ms * 1e6));
}

/** The occurrence that is open at `now`, or else the next one, in the zone of `now`. */
export function occurrenceAt(window: Window, now: Temporal.ZonedDateTime): Occurrence {
  return occurrences(window, now).next().value;
}

/** Milliseconds from `from` to `to`, to the nanosecond; never a negative zero. */
function betweenMs(from: Temporal.ZonedDateTime, to: Temporal.ZonedDateTime): number {
  return Number(to.epochNanoseconds - from.epochNanoseconds) / 1e6;
}

/** Milliseconds until the window opens; zero or negative while it is open: since when it has been. */
export function toStartMs(window: Window, now: Temporal.ZonedDateTime): number {
  return betweenMs(now, occurrenceAt(window, now).start);
}

/** Zones by names that `Intl.supportedValuesOf` leaves out, though they are the ones that people know. */
const MORE_ZONES: readonly string[] = [
  "UTC",
  "Etc/UTC",
  "GMT",
  "America/Argentina/Buenos_Aires",
  "Asia/Ho_Chi_Minh",
  "Asia/Kathmandu",
  "Asia/Kolkata",
  "Asia/Yangon",
  "Europe/Kyiv",
];

/**
 * The name of a time zone in its usual case (`europe/berlin` gives `Europe/Berlin`, an alias stays itself).
 *
 * Names of the IANA database only. An offset is refused, for it knows no summer time, and who writes one seldom means
 * that; the fault names the zone of that fixed offset for those who do. Throws {@linkcode WindowError}.
 */
export function parseZone(name: string): string {
  const refuse = (why: string) => new WindowError([`time zone ${JSON.stringify(name)} ${why}`]);
  if (name === "") throw refuse("is empty; give a name such as Europe/Berlin or UTC");
  // Temporal would also take whole timestamps and offsets where a zone is asked for.
  if (/^[a-z][a-z0-9_+-]*(\/[a-z0-9_+-]+)*$/i.test(name)) {
    try {
      return new Temporal.ZonedDateTime(0n, name).timeZoneId;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  const offset = /^(?:utc|gmt)?([+-])([0-9]{1,2})(?::?([0-9]{2}))?$/i.exec(name);
  if (offset !== null) {
    const [, sign = "", hours = "", minutes = "00"] = offset;
    const etc = `Etc/GMT${sign === "+" ? "-" : "+"}${Number(hours)}`; // the signs of Etc/ run the other way
    const fixed = minutes === "00" && Number(hours) > 0 && Number(hours) <= (sign === "+" ? 14 : 12);
    throw refuse(
      "is an offset, without daylight-saving time; give a name such as Europe/Berlin" +
        (fixed ? `, or ${etc} for this offset all year` : ""),
    );
  }
  const meant = closestZone(name);
  const hint = meant === undefined ? "" : `, did you mean '${meant}'?`;
  throw refuse(`is unknown; give a name such as Europe/Berlin or UTC${hint}`);
}

/** A zone whose name, or whose city when only one is given, is near enough to `name` to be meant. */
function closestZone(name: string): string | undefined {
  const zones = [...MORE_ZONES, ...Intl.supportedValuesOf("timeZone")];
  const wanted = name.trim().slice(0, 64).replace(/ /g, "_"); // no zone is longer, and the work stays small
  if (wanted.includes("/")) return suggest(wanted, zones);
  const cityOf = (zone: string) => zone.slice(zone.lastIndexOf("/") + 1);
  const city = suggest(wanted, zones.map(cityOf));
  return zones.find((zone) => cityOf(zone) === city);
}
