/**
 * Calendar expressions of systemd.time(7): `Mon..Fri 02:00`, `Sat *-*-1..7 03:00`, `*-*~1 04:00`, `weekly`,
 * `*:0/15`, with a time zone behind them if need be. Read as systemd reads them, and held to `systemd-analyze calendar` by
 * a test; no `@timestamp`, which names one moment and no calendar.
 *
 * Where a clock change leaps over a time, systemd waits for the next one; here the time moves forward by the leap (02:30
 * becomes 03:30), so that no day is left out. Of a time that comes twice the first counts, as with systemd. Pure.
 */

/** A value, a range of them, and steps between: `5`, `1..7`, `0/15`, `1..7/2`. */
interface Component {
  readonly start: number;
  /** The last value; `null`: as far as there are values. */
  readonly stop: number | null;
  /** How far apart they are; 0: there is only `start`. */
  readonly step: number;
}

/** What a part of a time may be; `null`: everything. */
type Part = readonly Component[] | null;

/** An expression that was read. Made by {@linkcode parseCalendar}. */
export interface Calendar {
  /** 1 is Monday and 7 is Sunday; `null`: every day. */
  readonly weekdays: ReadonlySet<number> | null;
  readonly years: Part;
  readonly months: Part;
  readonly days: Part;
  /** Days count from the end of the month: 1 is its last. */
  readonly fromMonthEnd: boolean;
  readonly hours: Part;
  readonly minutes: Part;
  /** In microseconds of the minute. */
  readonly micros: Part;
  /** The zone on whose clock it is meant; absent: that of whoever asks. */
  readonly zone?: string;
}

/** A text is no calendar expression; the message says why, without the text. */
export class CalendarError extends Error {
  override readonly name = "CalendarError";
}

const SECOND_US = 1_000_000;
const YEARS = { from: 1970, to: 2199 };
const DAY_NAMES = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] as const;

/** Names for expressions, and what they stand for: systemd.time(7). */
const SHORTHANDS: Readonly<Record<string, string>> = {
  minutely: "*-*-* *:*:00",
  hourly: "*-*-* *:00:00",
  daily: "*-*-* 00:00:00",
  weekly: "Mon *-*-* 00:00:00",
  monthly: "*-*-01 00:00:00",
  quarterly: "*-01,04,07,10-01 00:00:00",
  semiannually: "*-01,07-01 00:00:00",
  "semi-annually": "*-01,07-01 00:00:00",
  biannually: "*-01,07-01 00:00:00",
  "bi-annually": "*-01,07-01 00:00:00",
  yearly: "*-01-01 00:00:00",
  annually: "*-01-01 00:00:00",
};

/**
 * Reads an expression. `isZone` says whether a word is the name of a time zone. Throws {@linkcode CalendarError}.
 */
export function parseCalendar(text: string, isZone: (word: string) => boolean): Calendar {
  let rest = text.trim();
  if (rest === "") throw new CalendarError("is empty");
  const last = /\s+(\S+)$/.exec(rest);
  let zone: string | undefined;
  if (last?.[1] !== undefined && isZone(last[1])) {
    zone = last[1];
    rest = rest.slice(0, last.index).trim();
  }
  rest = SHORTHANDS[rest.toLowerCase()] ?? rest;
  const words = rest.split(/\s+/);
  const weekdays = /^[a-z]/i.test(words[0] ?? "") ? readWeekdays(words.shift() ?? "") : null;
  const dated = words[0] !== undefined && /[-~]/.test(words[0]);
  const date = dated ? readDate(words.shift() ?? "") : ANY_DATE;
  const time = words[0] === undefined ? MIDNIGHT : readTime(words.shift() ?? "");
  if (words.length > 0) throw new CalendarError(`has ${JSON.stringify(words[0])} behind its time`);
  return { weekdays, ...date, ...time, ...(zone === undefined ? {} : { zone }) };
}

const ANY_DATE = { years: null, months: null, days: null, fromMonthEnd: false } as const;
const ZERO: Part = [{ start: 0, stop: null, step: 0 }];
const MIDNIGHT = { hours: ZERO, minutes: ZERO, micros: ZERO } as const;

/** `Mon`, `Mon,Wed`, `Mon..Fri`, `Mon-Fri,Sun`; `null` where they are all. */
function readWeekdays(text: string): ReadonlySet<number> | null {
  const days = new Set<number>();
  // a comma at the end is allowed
  for (const item of text.replace(/,$/, "").split(",")) {
    const [first = "", second, ...more] = item.split(/\.\.|-/);
    if (more.length > 0) {
      throw new CalendarError(`has a range of days with more than two ends: ${JSON.stringify(item)}`);
    }
    const from = dayOf(first);
    const to = second === undefined ? from : dayOf(second);
    if (from > to) {
      throw new CalendarError(`has a range of days that ends before it begins: ${JSON.stringify(item)}`);
    }
    for (let day = from; day <= to; day++) days.add(day);
  }
  return days.size === 7 ? null : days;
}

function dayOf(word: string): number {
  const name = word.toLowerCase();
  const index = DAY_NAMES.findIndex((day) => day === name || day.slice(0, 3) === name);
  if (index >= 0) return index + 1;
  throw new CalendarError(
    `names an unknown day ${
      JSON.stringify(word)
    }; days are Mon, Tue, Wed, Thu, Fri, Sat, Sun, or a name such as daily, weekly, monthly`,
  );
}

/** `MM-DD`, `YYYY-MM-DD`, with `~` before days that count from the month's end. */
function readDate(text: string): Pick<Calendar, "years" | "months" | "days" | "fromMonthEnd"> {
  const parts = text.split(/([-~])/);
  const [first = "", one, second = "", two, third, ...more] = parts;
  const isFull = third !== undefined;
  const fromMonthEnd = (isFull ? two : one) === "~";
  if (more.length > 0 || (isFull && one !== "-") || parts.length < 3) {
    throw new CalendarError(
      `has a date that is none of MM-DD, YYYY-MM-DD, YYYY-MM~DD: ${JSON.stringify(text)}`,
    );
  }
  const years = isFull ? readPart(first, "year") : null;
  const months = readPart(isFull ? second : first, "month");
  const days = readPart(isFull ? third : second, "day");
  return {
    years: checked(years?.map(fullYear) ?? null, YEARS, "year"),
    months: checked(months, { from: 1, to: 12 }, "month"),
    days: fromMonthEnd ? checkedFromEnd(days) : checked(days, { from: 1, to: 31 }, "day"),
    fromMonthEnd,
  };
}

/** `HH:MM`, `HH:MM:SS` with parts of seconds. */
function readTime(text: string): Pick<Calendar, "hours" | "minutes" | "micros"> {
  const [hours = "", minutes, seconds, ...more] = text.split(":");
  if (minutes === undefined || more.length > 0) {
    throw new CalendarError(`has a time that is neither HH:MM nor HH:MM:SS: ${JSON.stringify(text)}`);
  }
  const micros = seconds === undefined
    ? ZERO
    : seconds === "*"
    ? [{ start: 0, stop: null, step: SECOND_US }]
    : readPart(seconds, "second");
  return {
    hours: checked(readPart(hours, "hour"), { from: 0, to: 23 }, "hour"),
    minutes: checked(readPart(minutes, "minute"), { from: 0, to: 59 }, "minute"),
    micros: checked(micros, { from: 0, to: 60 * SECOND_US - 1 }, "second"),
  };
}

/** A list of values, ranges and steps; `*` is everything. */
function readPart(text: string, what: string): Part {
  if (text === "*") return null;
  return text.split(",").map((item): Component => {
    const number = what === "second" ? "[0-9]{1,9}(?:\\.[0-9]{1,6})?" : "[0-9]{1,9}";
    const pattern = new RegExp(`^(${number})(?:\\.\\.(${number}))?(?:/(${number}))?$`);
    const [, from, to, every] = pattern.exec(item) ?? [];
    if (from === undefined) {
      throw new CalendarError(
        `has ${what === "hour" ? "an" : "a"} ${what} that cannot be read: ${JSON.stringify(item)}`,
      );
    }
    const value = (text: string) => what === "second" ? Math.round(Number(text) * SECOND_US) : Number(text);
    const step = every === undefined ? undefined : value(every);
    if (step === 0) throw new CalendarError(`repeats a ${what} every 0: ${JSON.stringify(item)}`);
    const stop = to === undefined ? null : value(to);
    return normal({
      start: value(from),
      stop,
      step: step ?? (stop === null ? 0 : what === "second" ? SECOND_US : 1),
    });
  });
}

/** Two digits are of the years from 1970 to 2069. */
function fullYear({ start, stop, step }: Component): Component {
  const full = (year: number) => year < 70 ? year + 2000 : year < 100 ? year + 1900 : year;
  return { start: full(start), stop: stop === null ? null : full(stop), step };
}

/** The last value of a range is one that its steps reach; a range of one value is that value. */
function normal({ start, stop, step }: Component): Component {
  const last = stop !== null && stop > start && step > 0 ? stop - (stop - start) % step : stop;
  return last === start ? { start, stop: null, step: 0 } : { start, stop: last, step };
}

/** Refuses values that there are not, and steps that lead to none. */
function checked(part: Part, { from, to }: { from: number; to: number }, what: string): Part {
  for (const { start, stop, step } of part ?? []) {
    const end = stop ?? to;
    if (start < from || start > to || end < from || end > to) {
      const [least, most] = what === "second" ? [0, 59] : [from, to];
      throw new CalendarError(
        `has ${what === "hour" ? "an" : "a"} ${what} that is not between ${least} and ${most}`,
      );
    }
    if (start + step > end) throw new CalendarError(`has a range or step of the ${what} that leads nowhere`);
  }
  return part;
}

/** Days from the end of a month: up to 28, which each month has. */
function checkedFromEnd(part: Part): Part {
  for (const { start, stop, step } of part ?? []) {
    if (start < 1 || start > 28 || (stop !== null && (stop < 1 || stop > 28))) {
      throw new CalendarError("has a day before the end of the month that is not between 1 and 28");
    }
    const end = stop === null ? start - step : stop - start - step;
    if (step > 27 || end < (stop === null ? 1 : 0)) {
      throw new CalendarError("has a range or step of days that leads nowhere");
    }
  }
  return part;
}

/** A time on some clock, without a zone. */
interface Wall {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  /** Microseconds of the minute. */
  readonly micro: number;
}

/** No leap of any clock is longer, in hours: Apia left out a day. */
const LEAP_LIMIT_H = 25;

/**
 * The moments that the calendar names after `after`, in order, in the zone of the calendar or else of `after`. It ends where
 * the calendar does, after the year 2199 at the latest.
 */
export function* momentsAfter(
  calendar: Calendar,
  after: Temporal.ZonedDateTime,
): Generator<Temporal.ZonedDateTime> {
  const zoned = calendar.zone === undefined ? after : after.withTimeZone(calendar.zone);
  const zone = zoned.timeZoneId;
  // a time that was leapt over comes later than its place on the clock
  const before = zoned.subtract({ hours: LEAP_LIMIT_H });
  const leapNs = zoned.offsetNanoseconds - before.offsetNanoseconds;
  let wall: Wall | null = wallOf(leapNs > 0 ? zoned.subtract({ nanoseconds: leapNs }) : zoned);
  let last = zoned.epochNanoseconds;
  let held: Temporal.ZonedDateTime | undefined;
  for (wall = matchFrom(calendar, wall); wall !== null; wall = matchFrom(calendar, following(wall))) {
    const { moment, leapt } = inZone(wall, zone);
    // what moved forward may come after what follows it on the clock
    if (held !== undefined && Temporal.ZonedDateTime.compare(held, moment) <= 0) {
      if (held.epochNanoseconds > last) {
        last = held.epochNanoseconds;
        yield held;
      }
      held = undefined;
    }
    if (leapt) held ??= moment;
    else if (moment.epochNanoseconds > last) {
      last = moment.epochNanoseconds;
      yield moment;
    }
  }
  if (held !== undefined && held.epochNanoseconds > last) yield held;
}

function inZone(
  { year, month, day, hour, minute, micro }: Wall,
  zone: string,
): { readonly moment: Temporal.ZonedDateTime; readonly leapt: boolean } {
  const time = new Temporal.PlainDateTime(
    year,
    month,
    day,
    hour,
    minute,
    Math.floor(micro / SECOND_US),
    Math.floor(micro / 1000) % 1000,
    micro % 1000,
  );
  const moment = time.toZonedDateTime(zone, { disambiguation: "compatible" });
  return { moment, leapt: moment.minute !== minute || moment.hour !== hour || moment.day !== day };
}

function wallOf(
  { year, month, day, hour, minute, second, millisecond, microsecond }: Temporal.ZonedDateTime,
): Wall {
  return { year, month, day, hour, minute, micro: second * SECOND_US + millisecond * 1000 + microsecond };
}

/** A microsecond later; the parts may be out of their bounds. */
function following(wall: Wall): Wall {
  return { ...wall, micro: wall.micro + 1 };
}

/** The first time of the calendar at or after a time on the clock; `null`: there is none. */
function matchFrom(calendar: Calendar, from: Wall): Wall | null {
  const { weekdays, years, months, days, fromMonthEnd, hours, minutes, micros } = calendar;
  let { year, month, day, hour, minute, micro } = from;
  // each turn goes forward by a microsecond, a minute, an hour, a day, a month or a year
  while (true) {
    if (micro >= 60 * SECOND_US) [minute, micro] = [minute + 1, 0];
    if (minute > 59) [hour, minute, micro] = [hour + 1, 0, 0];
    if (hour > 23) [day, hour, minute, micro] = [day + 1, 0, 0, 0];
    const length = daysIn(year, month);
    if (day > length) [month, day, hour, minute, micro] = [month + 1, 1, 0, 0, 0];
    if (month > 12) [year, month, day, hour, minute, micro] = [year + 1, 1, 1, 0, 0, 0];

    const matchedYear = match(years, year, YEARS.to);
    if (matchedYear === null || matchedYear > YEARS.to) return null;
    if (matchedYear !== year) [year, month, day, hour, minute, micro] = [matchedYear, 1, 1, 0, 0, 0];

    const matchedMonth = match(months, month, 12);
    if (matchedMonth === null) {
      [year, month, day, hour, minute, micro] = [year + 1, 1, 1, 0, 0, 0];
      continue;
    }
    if (matchedMonth !== month) [month, day, hour, minute, micro] = [matchedMonth, 1, 0, 0, 0];

    const last = daysIn(year, month);
    const matchedDay = match(fromMonthEnd ? countedFrom(days, last) : days, day, last);
    if (matchedDay === null) {
      [month, day, hour, minute, micro] = [month + 1, 1, 0, 0, 0];
      continue;
    }
    if (matchedDay !== day) [day, hour, minute, micro] = [matchedDay, 0, 0, 0];
    if (weekdays !== null && !weekdays.has(weekdayOf(year, month, day))) {
      [day, hour, minute, micro] = [day + 1, 0, 0, 0];
      continue;
    }

    const matchedHour = match(hours, hour, 23);
    if (matchedHour === null) {
      [day, hour, minute, micro] = [day + 1, 0, 0, 0];
      continue;
    }
    if (matchedHour !== hour) [hour, minute, micro] = [matchedHour, 0, 0];

    const matchedMinute = match(minutes, minute, 59);
    if (matchedMinute === null) {
      [hour, minute, micro] = [hour + 1, 0, 0];
      continue;
    }
    if (matchedMinute !== minute) [minute, micro] = [matchedMinute, 0];

    const matchedMicro = match(micros, micro, 60 * SECOND_US - 1);
    if (matchedMicro === null) {
      [minute, micro] = [minute + 1, 0];
      continue;
    }
    return { year, month, day, hour, minute, micro: matchedMicro };
  }
}

/** The least value of a part from `value` on, up to `most`; `null`: there is none. */
function match(part: Part, value: number, most: number): number | null {
  if (part === null) return value <= most ? value : null;
  let found: number | null = null;
  for (const { start, stop, step } of part) {
    const next = start >= value || step === 0 ? start : start + Math.ceil((value - start) / step) * step;
    if (next < value || next > (stop ?? most) && next !== start || next > most) continue;
    if (found === null || next < found) found = next;
  }
  return found;
}

/** Days that count from the end of a month, as they count from its beginning. */
function countedFrom(part: Part, last: number): Part {
  return part?.map(({ start, stop, step }) =>
    stop === null
      ? { start: last + 1 - start, stop: null, step }
      : { start: last + 1 - stop, stop: last + 1 - start, step }
  ) ?? null;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** 1 is Monday. By Sakamoto's rule. */
function weekdayOf(year: number, month: number, day: number): number {
  const y = month < 3 ? year - 1 : year;
  const offset = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4][month - 1] ?? 0;
  return (y + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + offset + day + 6) % 7 + 1;
}
