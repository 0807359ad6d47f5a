/**
 * Reboot windows: a start that comes back every day or every week, and a length.
 *
 * Promises: a text is taken whole or refused with all of its faults; arithmetic follows the clock of the zone that
 * `now` carries. A start that a clock change leaps over moves forward by the leap (02:30 becomes 03:30); of a start
 * that comes twice the first counts; a length is elapsed time. Both ends belong to the window.
 *
 * Where clock changes bring two openings so close together that they touch or overlap (a daily window of 23h59m on a
 * day of 23 hours), they are one {@linkcode Occurrence}: it begins with the first and ends with the last. So what is
 * said of an occurrence is always what an operator sees: from its start to its end the window is open without a break,
 * and around it, it is closed. A day that a zone leaves out altogether (Apia, 2011-12-30) is such a leap too.
 *
 * This module knows the old windows, `HH:MM` and `Day HH:MM`. Its rules have no clock: every question names its `now`.
 */

import { DurationError, formatDuration, parseDuration } from "./duration.ts";
import { didYouMean, suggest } from "./suggest.ts";

/** A start on the clock of whatever zone it is asked in, and a length. Made by {@linkcode parseWindow}. */
export interface Window {
  /** 1 is Monday and 7 is Sunday, as in ISO 8601; `null`: every day. */
  readonly weekday: number | null;
  readonly hour: number;
  readonly minute: number;
  /** Elapsed time, more than zero, less than the distance between two starts (24 or 168 hours). */
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
const START_ALLOWED = "allowed: HH:MM or Day HH:MM on the 24-hour clock, such as 14:00 or Thu 23:00";

/**
 * A window from its two texts, such as `Thu 23:00` and `1h30m`.
 *
 * The start is `HH:MM` (every day) or `Day HH:MM` (every week; `Sun` to `Sat` in any case, full names are not taken);
 * an hour may have one digit, a minute has two. The length is a duration of {@linkcode parseDuration}, shorter than
 * 24 hours for a daily window and than 168 hours for a weekly one. A length of zero is refused: the window is asked again at
 * the moment of the reboot, which a window without length would never let pass.
 *
 * Throws {@linkcode WindowError} with the faults of both texts.
 */
export function parseWindow(start: string, length: string): Window {
  const faults: string[] = [];
  const calendar = parseStart(start, faults);
  const lengthMs = parseLength(length, /^\s*[a-z]/i.test(start), faults);
  if (calendar === null || lengthMs === null) throw new WindowError(faults);
  return { ...calendar, lengthMs };
}

function parseStart(text: string, faults: string[]): Omit<Window, "lengthMs"> | null {
  const before = faults.length;
  const refuse = (why: string) => faults.push(`window start ${JSON.stringify(text)} ${why}`);
  const words = text.split(/[ \t]+/).filter((word) => word !== "");
  const [first = "", second] = words;
  if (words.length === 0) refuse(`is empty; ${START_ALLOWED}`);
  else if (words.length > 2) refuse(`has more than a day and a time; ${START_ALLOWED}`);
  let weekday: number | null = null;
  if (words.length === 2) {
    const index = WEEKDAYS.findIndex((name) => name.toLowerCase() === first.toLowerCase());
    if (index < 0) {
      const hint = /^[a-z]+$/i.test(first) ? didYouMean(first.slice(0, 3), WEEKDAYS) : "";
      refuse(
        `names an unknown day ${JSON.stringify(first)}; days are Sun, Mon, Tue, Wed, Thu, Fri, Sat${hint}`,
      );
    }
    weekday = index + 1;
  }
  const time = second ?? first;
  const [, hour = "", minute = ""] = /^([0-9]{1,2}):([0-9]{2})$/.exec(time) ?? [];
  if (words.length === 1 || words.length === 2) {
    if (hour === "") {
      refuse(`has no time of the form HH:MM; ${START_ALLOWED}`);
    } else if (Number(hour) > 23 || Number(minute) > 59) {
      refuse("is not a time of day; hours run from 00 to 23, minutes from 00 to 59");
    }
  }
  return faults.length > before ? null : { weekday, hour: Number(hour), minute: Number(minute) };
}

function parseLength(text: string, weekly: boolean, faults: string[]): number | null {
  const [limit, kind] = weekly ? ["168h", "weekly"] : ["24h", "daily"];
  let why: string;
  try {
    const lengthMs = parseDuration(text);
    if (lengthMs > 0 && lengthMs < parseDuration(limit)) return lengthMs;
    if (lengthMs < 0) why = "is negative";
    else if (lengthMs === 0) why = "is zero, so no reboot would ever be allowed";
    else why = "is too long";
    why += `; a ${kind} window is longer than 0s and shorter than ${limit}`;
  } catch (error) {
    if (!(error instanceof DurationError)) throw error;
    why = `cannot be read: ${error.reason}`;
  }
  faults.push(`window length ${JSON.stringify(text)} ${why}`);
  return null;
}

/** The window in words: `every day at 14:00 for 1h`, `every Thu at 23:00 for 1h30m`. */
export function describeWindow(window: Window): string {
  const day = window.weekday === null ? "day" : WEEKDAYS[window.weekday - 1];
  const [hour, minute] = [window.hour, window.minute].map((part) => String(part).padStart(2, "0"));
  return `every ${day} at ${hour}:${minute} for ${formatDuration(window.lengthMs)}`;
}

/** What the calendar says of the window on a date, before openings that touch are joined. */
function opening(window: Window, date: Temporal.PlainDate, zone: string): Occurrence {
  const start = date.toPlainDateTime({ hour: window.hour, minute: window.minute })
    .toZonedDateTime(zone, { disambiguation: "compatible" });
  return { start, end: start.add({ nanoseconds: Math.round(window.lengthMs * 1e6) }) };
}

function isAfter(a: Temporal.ZonedDateTime, b: Temporal.ZonedDateTime): boolean {
  return Temporal.ZonedDateTime.compare(a, b) > 0;
}

/**
 * The occurrence that is open at `now`, or else the next one, and all that follow, in the zone of `now`. Between two
 * of them the window is closed. It does not end; near the year 275760 it throws Temporal's `RangeError`,
 * and at once for a window whose length {@linkcode parseWindow} would refuse.
 */
export function* occurrences(window: Window, now: Temporal.ZonedDateTime): Generator<Occurrence, never> {
  const zone = now.timeZoneId;
  const step = { days: window.weekday === null ? 1 : 7 };
  if (!(window.lengthMs > 0 && window.lengthMs < step.days * 24 * 3_600_000)) {
    // Nothing would end the search for a break that is not there.
    throw new RangeError(
      `cannot compute a window of ${window.lengthMs} ms that comes every ${step.days} days`,
    );
  }
  let date = now.toPlainDate();
  if (window.weekday !== null) date = date.subtract({ days: (date.dayOfWeek - window.weekday + 7) % 7 });
  let current = opening(window, date, zone);
  // Starts come in order, for no clock leaps over more than a day. So go back to one that is not after now, at most two
  // steps, and from there to where the unbroken stretch begins: as many steps as clock changes joined openings.
  while (true) {
    const previous = opening(window, date.subtract(step), zone);
    if (!isAfter(current.start, now) && isAfter(current.start, previous.end)) break;
    date = date.subtract(step);
    current = previous;
  }
  while (true) {
    date = date.add(step);
    const next = opening(window, date, zone);
    if (isAfter(next.start, current.end)) {
      if (!isAfter(now, current.end)) yield current;
      current = next;
    } else {
      current = { start: current.start, end: next.end };
    }
  }
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
