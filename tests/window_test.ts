import { assert, assertEquals, assertThrows } from "@std/assert";
import { formatDuration } from "../lib/duration.ts";
import {
  describeWindow,
  type Occurrence,
  occurrenceAt,
  occurrences,
  parseWindow,
  parseZone,
  toStartMs,
  type Window,
  WindowError,
} from "../lib/window.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

function at(text: string, zone: string): Temporal.ZonedDateTime {
  return Temporal.PlainDateTime.from(text).toZonedDateTime(zone);
}

function instant(text: string, zone: string): Temporal.ZonedDateTime {
  return Temporal.Instant.from(text).toZonedDateTimeISO(zone);
}

/** `2015-03-08T03:30:00-04:00 1h`: where an occurrence starts, and how long it lasts. */
function shown({ start, end }: Occurrence): string {
  const ms = end.epochMilliseconds - start.epochMilliseconds;
  return `${start.toString({ timeZoneName: "never" })} ${formatDuration(ms)}`;
}

/** Milliseconds that a window stays open from `now` on, zero at its very end; `null` when it is closed. */
function remainingMs(window: Window, now: Temporal.ZonedDateTime): number | null {
  const { start, end } = occurrenceAt(window, now);
  const ms = (to: Temporal.ZonedDateTime) => Number(to.epochNanoseconds - now.epochNanoseconds) / 1e6;
  return ms(start) > 0 ? null : ms(end);
}

function isOpen(window: Window, now: Temporal.ZonedDateTime): boolean {
  return remainingMs(window, now) !== null;
}

function next(start: string, length: string, now: Temporal.ZonedDateTime, count: number): string[] {
  return occurrences(parseWindow(start, length), now).take(count).map(shown).toArray();
}

function faultsOf(run: () => unknown): readonly string[] {
  return assertThrows(run, WindowError).faults;
}

Deno.test("parseWindow() takes a time for every day, and a day with a time for every week, in any case", () => {
  const described = (start: string) => describeWindow(parseWindow(start, "90m"));
  assertEquals(described("14:00"), "every day at 14:00 for 1h30m");
  assertEquals(described("9:05"), "every day at 09:05 for 1h30m");
  assertEquals(described("  mon \t 9:00 "), "every Mon at 09:00 for 1h30m");
  for (const day of ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]) {
    for (const text of [day, day.toLowerCase(), day.toUpperCase()]) {
      assertEquals(described(`${text} 14:00`), `every ${day} at 14:00 for 1h30m`);
    }
  }
  assertEquals(described("Thursday 23:00"), "every Thu at 23:00 for 1h30m");
});

Deno.test("parseWindow() takes every calendar expression that comes back, and says it as it was written", () => {
  const opens = (start: string, length: string) =>
    next(start, length, at("2026-11-29T12:00", "Europe/Berlin"), 2).map((text) =>
      text.replace(":00+01:00", "")
    );
  assertEquals(describeWindow(parseWindow("Mon..Fri  02:00", "1h")), "at Mon..Fri 02:00 for 1h");
  assertEquals(opens("Mon..Fri 02:00", "1h"), ["2026-11-30T02:00 1h", "2026-12-01T02:00 1h"]);
  assertEquals(opens("Sat *-*-1..7 03:00", "4h"), ["2026-12-05T03:00 4h", "2027-01-02T03:00 4h"]);
  assertEquals(opens("*-*~1 22:00", "8h"), ["2026-11-30T22:00 8h", "2026-12-31T22:00 8h"]);
  assertEquals(opens("weekly", "2h"), ["2026-11-30T00:00 2h", "2026-12-07T00:00 2h"]);
  assertEquals(
    opens("Sat,Sun", "24h"),
    ["2026-11-29T00:00 48h", "2026-12-05T00:00 48h"].with(0, "2026-11-28T00:00 48h"),
  );
  // on the clock of its own zone, told on that of who asks
  assertEquals(opens("02:00 America/New_York", "1h"), ["2026-11-30T08:00 1h", "2026-12-01T08:00 1h"]);
});

Deno.test("parseWindow() refuses a calendar that never opens, never closes, or does not come back", () => {
  const fault = (start: string, length: string) => faultsOf(() => parseWindow(start, length)).join();
  const refused: readonly (readonly [string, string, string])[] = [
    ["*-02-30 02:00", "1h", "names a date that never comes"],
    ["2026-12-24 02:00", "1h", "names a year; a window comes back every year"],
    ["*:*", "1m", "opens more than 48 times a day; name one start and a length"],
    ["*:00", "1h", "with this length is open for more than 8 days without a break"],
    ["Mon..Sun", "24h", "with this length is open for more than 8 days without a break"],
  ];
  for (const [start, length, why] of refused) {
    assertEquals(fault(start, length), `window start ${JSON.stringify(start)} ${why}`);
  }
  assertEquals(
    fault("*-*-1 02:00", "168h"),
    'window length "168h" is too long; a window is longer than 0s and shorter than 168h',
  );
});

Deno.test("parseWindow() refuses starts that are no start, those too that the old parser took in part", () => {
  const form = "allowed: HH:MM or Day HH:MM on the 24-hour clock, such as 14:00 or Thu 23:00, " +
    "or a calendar expression of systemd.time(7), such as 'Mon..Fri 02:00' or 'Sat *-*-1..7 03:00'";
  const days = "days are Sun, Mon, Tue, Wed, Thu, Fri, Sat";
  const range = "is not a time of day; hours run from 00 to 23, minutes from 00 to 59";
  const refused: readonly (readonly [string, string])[] = [
    ["25:00", range],
    ["24:00", range],
    ["23:61", range],
    ["14", `has no time of the form HH:MM; ${form}`],
    ["foo 14:00", `names an unknown day "foo"; ${days}`],
    ["sat 14:00 1234", `has "1234" behind its time; ${form}`],
    ["10:00abc", `has no time of the form HH:MM; ${form}`],
    ["-0:30", `has no time of the form HH:MM; ${form}`],
    ["+1:30", `has no time of the form HH:MM; ${form}`],
    ["Sat -0:30", `has no time of the form HH:MM; ${form}`],
    ["14:00 Sat", `has "Sat" behind its time; ${form}`],
    ["9:5", `has no time of the form HH:MM; ${form}`],
    ["009:00", `has no time of the form HH:MM; ${form}`],
    ["\u0661\u0664:00", `has an hour that cannot be read: "\u0661\u0664"; ${form}`],
    ["", `is empty; ${form}`],
    [" ", `is empty; ${form}`],
    ["Thrusday 9:00", `names an unknown day "Thrusday"; ${days}, did you mean 'Thu'?`],
    ["Foo 25:00", `names an unknown day "Foo"; ${days}|${range}`],
  ];
  for (const [start, faults] of refused) {
    const expected = faults.split("|").map((fault) => `window start ${JSON.stringify(start)} ${fault}`);
    assertEquals(faultsOf(() => parseWindow(start, "1h")), expected);
  }
});

Deno.test("parseWindow() refuses lengths that are none, that never open or never close", () => {
  const units = "allowed: numbers with the units h, m, s, ms, us or ns, such as 1h30m";
  const daily = "a daily window is longer than 0s and shorter than 24h";
  const weekly = "a weekly window is longer than 0s and shorter than 168h";
  const zero = "is zero, so no reboot would ever be allowed";
  const refused: readonly (readonly [string, string, string])[] = [
    ["14:00", "1j", `cannot be read: unknown unit "j"; ${units}`],
    ["14:00", "-1h", `is negative; ${daily}`],
    ["14:00", "", `cannot be read: it is empty; ${units}`],
    ["14:00", "90", `cannot be read: "90" has no unit; ${units}`],
    ["14:00", "24h", `is too long; ${daily}`],
    ["14:00", "25h", `is too long; ${daily}`],
    ["Sat 14:00", "168h", `is too long; ${weekly}`],
    ["Sat 14:00", "-1h", `is negative; ${weekly}`],
    ["14:00", "0", `${zero}; ${daily}`],
    ["14:00", "0s", `${zero}; ${daily}`],
  ];
  for (const [start, length, fault] of refused) {
    assertEquals(faultsOf(() => parseWindow(start, length)), [
      `window length ${JSON.stringify(length)} ${fault}`,
    ]);
  }
  assertEquals(parseWindow("14:00", "23h59m59.999999999s").lengthMs, 86_399_999.999999);
  assertEquals(parseWindow("Sat 14:00", "167h59m").lengthMs, 168 * HOUR_MS - MINUTE_MS);
});

Deno.test("parseWindow() reports the faults of both texts at once (fault 11 of the old locksmith: found only when the update had come)", () => {
  const error = assertThrows(() => parseWindow("Sut 14:00", "168h"), WindowError);
  assertEquals(error.faults, [
    'window start "Sut 14:00" names an unknown day "Sut"; days are Sun, Mon, Tue, Wed, Thu, Fri, Sat, ' +
    "did you mean 'Sat'?",
    'window length "168h" is too long; a weekly window is longer than 0s and shorter than 168h',
  ]);
  assertEquals(error.message, error.faults.join("; "));
});

Deno.test("describeWindow() says when and for how long", () => {
  assertEquals(describeWindow(parseWindow("9:00", "90m")), "every day at 09:00 for 1h30m");
  assertEquals(describeWindow(parseWindow("THU 23:05", "4h")), "every Thu at 23:05 for 4h");
});

Deno.test("toStartMs() is the distance that the old program computed", () => {
  const rows: readonly (readonly [string, string, string, string])[] = [
    ["00:15", "10s", "2015-05-21T00:00:00", "15m"],
    ["00:00", "1h", "2015-05-21T00:00:01", "-1s"],
    ["02:33", "10h", "2015-05-21T12:33:00", "-10h"],
    ["02:33", "10h", "2015-05-21T12:33:01", "13h59m59s"],
    ["23:05", "11h", "2015-05-21T09:33:01", "-10h28m1s"],
    ["Sat 23:05", "11h", "2015-05-17T09:33:01", "-10h28m1s"],
    ["Mon 9:00", "1h", "2015-05-30T23:00:00", "34h"],
    ["Sun 23:00", "4h", "2015-06-01T01:00:00", "-2h"],
  ];
  for (const zone of ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]) {
    for (const [start, length, now, distance] of rows) {
      assertEquals(
        formatDuration(toStartMs(parseWindow(start, length), at(now, zone))),
        distance,
        `${start} ${zone}`,
      );
    }
  }
});

Deno.test("occurrenceAt() counts start and end as part of the window, to the nanosecond", () => {
  const window = parseWindow("14:00", "1h");
  const start = at("2015-05-21T14:00", "UTC");
  const end = at("2015-05-21T15:00", "UTC");
  assertEquals(isOpen(window, start.subtract({ nanoseconds: 1 })), false);
  assertEquals(isOpen(window, start), true);
  assertEquals(isOpen(window, end), true);
  assertEquals(isOpen(window, end.add({ nanoseconds: 1 })), false);
  assert(Object.is(toStartMs(window, start), 0));
});

Deno.test("occurrenceAt() says how much room is left", () => {
  const window = parseWindow("14:00", "1h");
  assertEquals(remainingMs(window, at("2015-05-21T13:59:59", "UTC")), null);
  assertEquals(remainingMs(window, at("2015-05-21T14:00", "UTC")), HOUR_MS);
  assertEquals(remainingMs(window, at("2015-05-21T14:59:59.5", "UTC")), 500);
  assertEquals(remainingMs(window, at("2015-05-21T15:00", "UTC")), 0);
  assertEquals(remainingMs(window, at("2015-05-21T15:00:00.001", "UTC")), null);
});

Deno.test("occurrences() begins with the open window, and ends a window of the last day of a year in the next", () => {
  assertEquals(next("23:00", "4h", at("2016-01-01T01:00", "Europe/Berlin"), 2), [
    "2015-12-31T23:00:00+01:00 4h",
    "2016-01-01T23:00:00+01:00 4h",
  ]);
  assertEquals(next("Mon 00:00", "1h", at("2016-02-28T12:00", "UTC"), 2), [
    "2016-02-29T00:00:00+00:00 1h",
    "2016-03-07T00:00:00+00:00 1h",
  ]);
});

Deno.test("occurrences() moves a start in a DST gap forward by the gap in every zone (fault 15 of the old locksmith: New York 01:30, Berlin 03:30)", () => {
  assertEquals(next("02:30", "1h", at("2015-03-07T12:00", "America/New_York"), 2), [
    "2015-03-08T03:30:00-04:00 1h",
    "2015-03-09T02:30:00-04:00 1h",
  ]);
  assertEquals(next("02:30", "1h", at("2015-03-28T12:00", "Europe/Berlin"), 2), [
    "2015-03-29T03:30:00+02:00 1h",
    "2015-03-30T02:30:00+02:00 1h",
  ]);
  assertEquals(next("Sun 02:10", "1h", at("2015-10-03T12:00", "Australia/Lord_Howe"), 2), [
    "2015-10-04T02:40:00+11:00 1h",
    "2015-10-11T02:10:00+11:00 1h",
  ]);
});

Deno.test("occurrences() takes the first of a start that comes twice, and opens once", () => {
  assertEquals(next("01:30", "30m", at("2015-10-31T12:00", "America/New_York"), 2), [
    "2015-11-01T01:30:00-04:00 30m",
    "2015-11-02T01:30:00-05:00 30m",
  ]);
  // Inside the second 01:30 the window of the first is over.
  assertEquals(
    isOpen(parseWindow("01:30", "30m"), instant("2015-11-01T05:30:00Z", "America/New_York")),
    true,
  );
  assertEquals(
    isOpen(parseWindow("01:30", "30m"), instant("2015-11-01T06:30:00Z", "America/New_York")),
    false,
  );
});

Deno.test("occurrences() finds a start that the clock, set back over midnight, puts before a now of the day before", () => {
  // Saint John's went from Sun 00:01 back to Sat 23:01: at this 23:10 it has been Sunday for a minute before.
  const now = instant("2006-10-29T02:40:00Z", "America/St_Johns");
  assertEquals(now.toString(), "2006-10-28T23:10:00-03:30[America/St_Johns]");
  assertEquals(next("00:00", "2h", now, 2), ["2006-10-29T00:00:00-02:30 2h", "2006-10-30T00:00:00-03:30 2h"]);
  assertEquals(isOpen(parseWindow("00:00", "2h"), now), true);
});

Deno.test("occurrences() counts a length as elapsed time over a clock change", () => {
  const [spring] = [
    ...occurrences(parseWindow("01:00", "4h"), at("2015-03-29T00:00", "Europe/Berlin")).take(1),
  ];
  assertEquals(spring?.end.toString(), "2015-03-29T06:00:00+02:00[Europe/Berlin]");
  const [autumn] = [
    ...occurrences(parseWindow("01:00", "4h"), at("2015-10-25T00:00", "Europe/Berlin")).take(1),
  ];
  assertEquals(autumn?.end.toString(), "2015-10-25T04:00:00+01:00[Europe/Berlin]");
});

Deno.test("occurrences() joins openings that a day of 23 hours brings together, and then goes on as before", () => {
  const now = at("2015-03-08T12:30", "America/New_York"); // the one of Saturday ends at 12:59, the one of Sunday began at 12:00
  assertEquals(next("12:00", "23h59m", now, 2), [
    "2015-03-07T12:00:00-05:00 46h59m",
    "2015-03-09T12:00:00-04:00 23h59m",
  ]);
  const window = parseWindow("12:00", "23h59m");
  assertEquals(formatDuration(toStartMs(window, now)), "-23h30m");
  assertEquals(formatDuration(remainingMs(window, now) ?? NaN), "23h29m");
  // An end that is the next start joins them too; a minute less does not.
  assertEquals(next("12:00", "23h", now, 1), ["2015-03-07T12:00:00-05:00 46h"]);
  assertEquals(next("12:00", "22h59m", now, 1), ["2015-03-08T12:00:00-04:00 22h59m"]);
  // A day of 25 hours only leaves a longer break.
  assertEquals(next("12:00", "23h59m", at("2015-11-01T11:30", "America/New_York"), 1), [
    "2015-11-01T12:00:00-05:00 23h59m",
  ]);
});

Deno.test("occurrences() passes a day that the zone left out (Apia, 2011-12-30) once, and without end or error", () => {
  assertEquals(next("09:00", "1h", at("2011-12-29T08:00", "Pacific/Apia"), 3), [
    "2011-12-29T09:00:00-10:00 1h",
    "2011-12-31T09:00:00+14:00 1h",
    "2012-01-01T09:00:00+14:00 1h",
  ]);
  // The Friday that never came moves forward by the gap, a whole day.
  assertEquals(next("Fri 09:00", "1h", at("2011-12-24T00:00", "Pacific/Apia"), 2), [
    "2011-12-31T09:00:00+14:00 1h",
    "2012-01-06T09:00:00+14:00 1h",
  ]);
  assertEquals(next("Fri 09:00", "167h", at("2011-12-31T12:00", "Pacific/Apia"), 2), [
    "2011-12-31T09:00:00+14:00 311h",
    "2012-01-13T09:00:00+14:00 167h",
  ]);
});

Deno.test("occurrences() refuses a window that would never open, instead of searching for ever", () => {
  for (const lengthMs of [0, -1, NaN]) {
    const window = { ...parseWindow("14:00", "1h"), lengthMs };
    assertThrows(
      () => occurrenceAt(window, at("2015-05-21T00:00", "UTC")),
      RangeError,
      "cannot compute a window",
    );
  }
});

Deno.test("occurrenceAt() answers in the zone of its now, whatever the machine's", () => {
  const window = parseWindow("14:00", "1h");
  for (const zone of ["UTC", "Asia/Kathmandu", "America/New_York"]) {
    const { start } = occurrenceAt(window, instant("2015-05-21T00:00:00Z", zone));
    assertEquals([start.timeZoneId, start.hour, start.minute], [zone, 14, 0]);
  }
});

/** Zones and the year of their clock changes that matter here. */
const ORACLE_YEARS: readonly (readonly [string, number])[] = [
  ["UTC", 2015],
  ["America/New_York", 2015],
  ["Europe/Berlin", 2015],
  ["Australia/Lord_Howe", 2015],
  ["Asia/Kathmandu", 2015],
  ["Pacific/Apia", 2011],
];

const ORACLE_WINDOWS: readonly (readonly [string, string])[] = [
  ["02:30", "1h"],
  ["02:10", "45m"],
  ["01:30", "2h"],
  ["00:00", "23h59m"],
  ["12:00", "23h"],
  ["Sun 02:30", "4h"],
  ["Sun 01:45", "15m"],
  ["Fri 09:00", "167h30m"],
  ["Mon 23:00", "4h"],
];

for (const [zone, year] of ORACLE_YEARS) {
  Deno.test(`toStartMs() and occurrenceAt() agree with a search by the minute through ${zone} in ${year}`, () => {
    const clock = new WallClock(zone, year);
    assertEquals(clock.changes.length > 0, zone !== "UTC" && zone !== "Asia/Kathmandu");
    let compared = 0;
    for (const [start, length] of ORACLE_WINDOWS) {
      const window = parseWindow(start, length);
      const stretches = clock.stretches(start, window.lengthMs / MINUTE_MS);
      const minutes = clock.minutesToAsk(stretches);
      for (const minute of minutes) {
        const stretch = stretches.find(([, end]) => minute <= end);
        if (stretch === undefined) throw new Error("the searched time is too short");
        const [from, to] = stretch;
        const now = Temporal.Instant.fromEpochMilliseconds(clock.epochMs(minute)).toZonedDateTimeISO(zone);
        const asked = `${start} for ${length} at ${now}`;
        assertEquals(toStartMs(window, now), (from - minute) * MINUTE_MS, asked);
        assertEquals(remainingMs(window, now), minute < from ? null : (to - minute) * MINUTE_MS, asked);
        compared++;
      }
    }
    assert(compared > 4_000, `${compared} compared`);
  });
}

/**
 * What the clock on the wall of a zone shows in each minute of a year and some weeks around it. It takes the time from
 * `Intl`, never from `Temporal`, and finds starts by looking, so that it can be wrong only in another way than the
 * code that it judges.
 */
class WallClock {
  /** Minutes since the epoch on the wall's own calendar, by minutes of elapsed time since `#originMs`. */
  readonly #wall: number[] = [];
  readonly #originMs: number;
  /** Where the wall clock jumps. */
  readonly changes: number[] = [];

  constructor(zone: string, year: number) {
    this.#originMs = Date.UTC(year - 1, 11, 1);
    const count = (Date.UTC(year + 1, 2, 1) - this.#originMs) / MINUTE_MS;
    const format = new Intl.DateTimeFormat("sv-SE", {
      timeZone: zone,
      dateStyle: "short",
      timeStyle: "medium",
    });
    // No zone has changed its clock off the quarter of an hour in these years.
    for (let minute = 0; minute < count; minute += 15) {
      const shownMs = Date.parse(`${format.format(this.epochMs(minute)).replace(" ", "T")}Z`);
      const wall = shownMs / MINUTE_MS;
      if (minute > 0 && wall !== (this.#wall[minute - 1] ?? NaN) + 1) this.changes.push(minute);
      for (let i = 0; i < 15; i++) this.#wall.push(wall + i);
    }
  }

  epochMs(minute: number): number {
    return this.#originMs + minute * MINUTE_MS;
  }

  /** First and last minute of each time that the window is open without a break, in order. */
  stretches(start: string, lengthMinutes: number): [number, number][] {
    const [time = "", day] = start.split(" ").reverse();
    const [hour = 0, minuteOfHour = 0] = time.split(":").map(Number);
    const first = this.#wall[0] ?? 0;
    const last = this.#wall.at(-1) ?? 0;
    const found: [number, number][] = [];
    for (let date = Math.ceil(first / 1440); date < Math.floor(last / 1440); date++) {
      const name = new Date(date * 86_400_000).toUTCString().slice(0, 3);
      if (day !== undefined && name !== day) continue;
      const from = this.#find(date * 1440 + hour * 60 + minuteOfHour);
      const previous = found.at(-1);
      if (previous !== undefined && from <= previous[1]) previous[1] = from + lengthMinutes;
      else found.push([from, from + lengthMinutes]);
    }
    return found;
  }

  /** The first minute at which the wall shows `wanted`, or if it never does, what comes after the leap instead. */
  #find(wanted: number): number {
    let minute = Math.max(0, wanted - (this.#wall[0] ?? 0) - 26 * 60);
    while ((this.#wall[minute] ?? Infinity) < wanted) minute++;
    const leap = (this.#wall[minute] ?? NaN) - (this.#wall[minute - 1] ?? NaN) - 1;
    return this.#wall[minute] === wanted ? minute : this.#wall.indexOf(wanted + leap, minute);
  }

  /** All minutes of the year near a clock change where an answer may change, and others strewn over the year. */
  minutesToAsk(stretches: readonly (readonly [number, number])[]): number[] {
    const asked = new Set<number>();
    const begin = 31 * 1440;
    const end = begin + 366 * 1440;
    for (let minute = begin; minute < end; minute += 1009) asked.add(minute);
    for (const change of this.changes) {
      for (let minute = change - 180; minute < change + 180; minute++) asked.add(minute);
      for (let minute = change - 2880; minute < change + 2880; minute += 41) asked.add(minute);
    }
    for (const edge of stretches.flat()) {
      const near = this.changes.some((change) => Math.abs(edge - change) < 15 * 1440);
      for (const minute of near ? [edge - 1, edge, edge + 1] : []) asked.add(minute);
    }
    return [...asked].filter((minute) => minute >= begin && minute < end).sort((a, b) => a - b);
  }
}

Deno.test("parseZone() takes names of zones in any case and gives them in their own", () => {
  const taken: readonly (readonly [string, string])[] = [
    ["Europe/Berlin", "Europe/Berlin"],
    ["europe/berlin", "Europe/Berlin"],
    ["AMERICA/NEW_YORK", "America/New_York"],
    ["utc", "UTC"],
    ["Etc/UTC", "Etc/UTC"],
    ["etc/gmt-2", "Etc/GMT-2"],
    ["US/Eastern", "US/Eastern"],
    ["Asia/Kathmandu", "Asia/Kathmandu"],
    ["Asia/Katmandu", "Asia/Katmandu"],
    ["America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"],
    ["America/Port-au-Prince", "America/Port-au-Prince"],
  ];
  for (const [name, zone] of taken) assertEquals(parseZone(name), zone);
});

Deno.test("parseZone() takes every zone that the runtime lists", () => {
  for (const zone of Intl.supportedValuesOf("timeZone")) assertEquals(parseZone(zone), zone);
});

Deno.test("parseZone() refuses what names no zone, and says which may have been meant", () => {
  const give = "give a name such as Europe/Berlin";
  const offset = `is an offset, without daylight-saving time; ${give}`;
  const refused: readonly (readonly [string, string])[] = [
    ["Europe/Berln", `is unknown; ${give} or UTC, did you mean 'Europe/Berlin'?`],
    ["Berlin", `is unknown; ${give} or UTC, did you mean 'Europe/Berlin'?`],
    ["new york", `is unknown; ${give} or UTC, did you mean 'America/New_York'?`],
    ["Asia/Kathmandoo", `is unknown; ${give} or UTC, did you mean 'Asia/Kathmandu'?`],
    ["UTZ", `is unknown; ${give} or UTC, did you mean 'UTC'?`],
    [" UTC", `is unknown; ${give} or UTC, did you mean 'UTC'?`],
    ["Mars/Olympus", `is unknown; ${give} or UTC`],
    ["2020-01-01T00:00Z", `is unknown; ${give} or UTC`],
    ["2020-01-01T00:00[Europe/Berlin]", `is unknown; ${give} or UTC`],
    ["", `is empty; ${give} or UTC`],
    ["+02:00", `${offset}, or Etc/GMT-2 for this offset all year`],
    ["-0500", `${offset}, or Etc/GMT+5 for this offset all year`],
    ["UTC+3", `${offset}, or Etc/GMT-3 for this offset all year`],
    ["+05:45", offset],
    ["-13", offset],
    ["+00:00", offset],
  ];
  for (const [name, fault] of refused) {
    assertEquals(faultsOf(() => parseZone(name)), [`time zone ${JSON.stringify(name)} ${fault}`]);
  }
  for (const hours of [1, 12]) parseZone(`Etc/GMT+${hours}`);
  for (const hours of [1, 14]) parseZone(`Etc/GMT-${hours}`);
});
