import { assertEquals, assertThrows } from "@std/assert";
import { type Calendar, CalendarError, momentsAfter, parseCalendar } from "../lib/calendar.ts";

const ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"];
const isZone = (word: string) => ["UTC", ...ZONES].includes(word);
const parse = (text: string) => parseCalendar(text, isZone);

/** The next moments of an expression, on the clock of `zone`. */
function next(calendar: Calendar, after: Temporal.ZonedDateTime, count: number): string[] {
  return momentsAfter(calendar, after).take(count)
    .map((moment) => moment.toPlainDateTime().toString({ smallestUnit: "second" }).replace("T", " "))
    .toArray();
}

function after(text: string, expression: string, zone = "Europe/Berlin", count = 3): string[] {
  return next(parse(expression), Temporal.PlainDateTime.from(text).toZonedDateTime(zone), count);
}

Deno.test("a calendar has what people write: lists and ranges of days, days of the month, its end, steps, names", () => {
  const cases: readonly (readonly [string, string, ...string[]])[] = [
    ["14:00", "2026-11-29 14:00:00", "2026-11-30 14:00:00"],
    ["Mon..Fri 02:00", "2026-11-30 02:00:00", "2026-12-01 02:00:00"],
    ["Sat,Sun 03:00", "2026-12-05 03:00:00", "2026-12-06 03:00:00"],
    ["Sat *-*-1..7 03:00", "2026-12-05 03:00:00", "2027-01-02 03:00:00"],
    [
      "*-*~1 04:00",
      "2026-11-30 04:00:00",
      "2026-12-31 04:00:00",
      "2027-01-31 04:00:00",
      "2027-02-28 04:00:00",
    ],
    ["*-02-29", "2028-02-29 00:00:00", "2032-02-29 00:00:00"],
    ["weekly", "2026-11-30 00:00:00", "2026-12-07 00:00:00"],
    ["*:0/20", "2026-11-29 12:20:00", "2026-11-29 12:40:00", "2026-11-29 13:00:00"],
    ["12-24 18:30:15", "2026-12-24 18:30:15", "2027-12-24 18:30:15"],
    ["2026..2027-1/6-15 9:00", "2027-01-15 09:00:00", "2027-07-15 09:00:00"],
  ];
  for (const [expression, ...moments] of cases) {
    assertEquals(after("2026-11-29T12:00", expression, "Europe/Berlin", moments.length), moments, expression);
  }
});

Deno.test("a calendar that is over has no more moments, and neither has a date that never comes", () => {
  assertEquals(after("2026-11-29T12:00", "2026-11-29 11:00"), []);
  assertEquals(after("2026-11-29T12:00", "*-02-30"), []);
  assertEquals(after("2026-11-29T12:00", "2026-11-29 13:00"), ["2026-11-29 13:00:00"]);
});

Deno.test("a calendar with a zone follows the clock of that zone, whoever asks", () => {
  const at = Temporal.PlainDateTime.from("2026-11-29T12:00").toZonedDateTime("UTC");
  const [moment] = momentsAfter(parse("Mon 02:00 Asia/Kolkata"), at);
  assertEquals(moment?.toString(), "2026-11-30T02:00:00+05:30[Asia/Kolkata]");
});

Deno.test("a time that a clock change leaps over moves forward, in order; of one that comes twice the first counts", () => {
  // Europe/Berlin leaps from 02:00 to 03:00 on 2026-03-29, and goes from 03:00 back to 02:00 on 2026-10-25
  assertEquals(after("2026-03-28T12:00", "02:30"), [
    "2026-03-29 03:30:00",
    "2026-03-30 02:30:00",
    "2026-03-31 02:30:00",
  ]);
  assertEquals(after("2026-03-29T03:10", "02:30", "Europe/Berlin", 1), ["2026-03-29 03:30:00"]);
  assertEquals(after("2026-03-29T01:45", "*:0/30", "Europe/Berlin", 3), [
    "2026-03-29 03:00:00",
    "2026-03-29 03:30:00",
    "2026-03-29 04:00:00",
  ]);
  const twice = momentsAfter(parse("02:30"), Temporal.ZonedDateTime.from("2026-10-24T12:00[Europe/Berlin]"))
    .take(2).map((moment) => moment.toString()).toArray();
  assertEquals(twice, [
    "2026-10-25T02:30:00+02:00[Europe/Berlin]",
    "2026-10-26T02:30:00+01:00[Europe/Berlin]",
  ]);
  // Apia left out 2011-12-30
  assertEquals(
    next(parse("10:00"), Temporal.PlainDateTime.from("2011-12-29T12:00").toZonedDateTime("Pacific/Apia"), 2),
    ["2011-12-31 10:00:00", "2012-01-01 10:00:00"],
  );
});

Deno.test("what is no calendar expression is refused, with what is wrong with it", () => {
  const refused: readonly (readonly [string, string])[] = [
    ["", "is empty"],
    [
      "Funday 02:00",
      'names an unknown day "Funday"; days are Mon, Tue, Wed, Thu, Fri, Sat, Sun, or a name such as daily, weekly, monthly',
    ],
    ["Fri..Mon 02:00", 'has a range of days that ends before it begins: "Fri..Mon"'],
    ["25:00", "has an hour that is not between 0 and 23"],
    ["12:60", "has a minute that is not between 0 and 59"],
    ["*-13-01", "has a month that is not between 1 and 12"],
    ["*-*-32", "has a day that is not between 1 and 31"],
    ["*-*~29", "has a day before the end of the month that is not between 1 and 28"],
    ["*-*-7..1", "has a range or step of the day that leads nowhere"],
    ["*:0/0", 'repeats a minute every 0: "0/0"'],
    ["02:00 03:00", 'has "03:00" behind its time'],
    ["2am", "has a time that is neither HH:MM nor HH:MM:SS"],
    ["@1395716396", "has a time that is neither HH:MM nor HH:MM:SS"],
    ["1-2-3-4", "has a date that is none of MM-DD, YYYY-MM-DD, YYYY-MM~DD"],
  ];
  for (const [text, why] of refused) {
    const { message } = assertThrows(() => parse(text), CalendarError);
    assertEquals(message.slice(0, why.length), why, text);
  }
});

/** Draws expressions as people write them, and stranger ones. */
class Drawer {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }

  random(): number {
    this.#state = (this.#state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return this.#state / 2 ** 32;
  }

  from<T>(list: readonly T[]): T {
    return list[Math.floor(this.random() * list.length)] as T;
  }

  between(from: number, to: number): number {
    return from + Math.floor(this.random() * (to - from + 1));
  }

  /** Steps have a last value: of those that lead out of the hour, the day or the month systemd 252 leaves out some moments. */
  values(from: number, to: number): string {
    return Array.from({ length: this.random() < 0.75 ? 1 : this.between(2, 3) }, () => {
      const first = this.between(from, to - 1);
      const last = this.between(first + 1, to);
      const kind = this.random();
      if (kind < 0.5) return String(this.between(from, to)).padStart(2, "0");
      if (kind < 0.7) return `${first}..${last}`;
      return `${first}..${last}/${this.between(1, 5)}`;
    }).join(",");
  }

  maybe(share: number, make: () => string): string {
    return this.random() < share ? "*" : make();
  }

  weekdays(): string {
    const names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Monday", "sunday", "WED"];
    const between = this.from(["..", "-", ","]);
    return this.random() < 0.5 ? this.from(names) : `${this.from(names)}${between}${this.from(names)}`;
  }

  date(): string {
    const year = this.maybe(
      0.75,
      () => this.from([`${this.between(2024, 2030)}`, "2024..2029", "2020/3", "26"]),
    );
    const month = this.maybe(0.6, () => this.values(1, 12));
    // systemd 252 refuses some lists that count from the end of the month, which are right
    const day = this.random() < 0.25
      ? `~${this.between(1, 28)}`
      : `-${this.maybe(0.3, () => this.values(1, 31))}`;
    return this.random() < 0.75 ? `${year}-${month}${day}` : `${month}${day}`;
  }

  time(): string {
    const [hour, minute] = [
      this.maybe(0.2, () => this.values(0, 23)),
      this.maybe(0.1, () => this.values(0, 59)),
    ];
    return this.random() < 0.7
      ? `${hour}:${minute}`
      : `${hour}:${minute}:${this.maybe(0.1, () => this.values(0, 59))}`;
  }

  expression(): string {
    if (this.random() < 0.05) {
      return this.from(["daily", "weekly", "hourly", "monthly", "yearly", "quarterly", "semiannually"]);
    }
    const parts = [
      ...(this.random() < 0.4 ? [this.weekdays()] : []),
      ...(this.random() < 0.6 ? [this.date()] : []),
    ];
    return parts.length === 0 || this.random() < 0.85 ? [...parts, this.time()].join(" ") : parts.join(" ");
  }
}

const SAMPLE = { expressions: 5_000, each: 100, moments: 4 };
/** As far from a clock change as a base must be, in seconds, for the four moments not to be of a time that is not there. */
const FROM_S = Date.UTC(2024, 0, 1) / 1000;
const TO_S = Date.UTC(2027, 11, 31) / 1000;

/** What systemd says of many expressions, from one moment on: of each its next moments, or `null` where it refuses it. */
async function askSystemd(
  expressions: readonly string[],
  atS: number,
  zone: string,
): Promise<(string[] | null)[]> {
  // one that is known marks where the next begins
  const mark = "2031-05-06 07:08:09";
  const { stdout } = await new Deno.Command("systemd-analyze", {
    args: [
      "calendar",
      `--base-time=@${atS}`,
      `--iterations=${SAMPLE.moments}`,
      ...expressions.flatMap((text) => [text, mark]),
    ],
    env: { TZ: zone, SYSTEMD_COLORS: "0", LC_ALL: "C" },
    stderr: "null",
  }).output();
  const answers: (string[] | null)[] = [];
  let moments: string[] | null = null;
  for (const line of new TextDecoder().decode(stdout).split("\n")) {
    const [, form] = /^ *Normalized form: (.*)$/.exec(line) ?? [];
    if (form === mark) {
      answers.push(moments);
      moments = null;
    } else if (form !== undefined) moments = [];
    const [, time] =
      /^ *(?:Next elapse|Iter\. #\d+|Iteration #\d+): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)/.exec(line) ?? [];
    if (time !== undefined && moments !== null) moments.push(time);
  }
  return answers;
}

/** Whether a zone changes its clock in a time from which moments were taken. */
function changes(zone: string, moments: readonly string[], base: Temporal.ZonedDateTime): boolean {
  return [base.toPlainDateTime().toString(), ...moments.map((text) => text.replace(" ", "T"))].some(
    (text) => {
      const time = Temporal.PlainDateTime.from(text).toZonedDateTime(zone);
      return time.subtract({ hours: 2 }).offset !== time.add({ hours: 2 }).offset;
    },
  );
}

Deno.test(`systemd names the same moments of ${SAMPLE.expressions} expressions, apart from those at a clock change`, async () => {
  const draw = new Drawer(20_261_129);
  let compared = 0;
  const differences: unknown[] = [];
  while (compared < SAMPLE.expressions) {
    const zone = draw.from(ZONES);
    const atS = draw.between(FROM_S, TO_S);
    const base = Temporal.Instant.fromEpochMilliseconds(1000 * atS).toZonedDateTimeISO(zone);
    const calendars = new Map<string, Calendar>();
    while (calendars.size < SAMPLE.each) {
      const text = draw.expression();
      try {
        calendars.set(text, parse(text));
      } catch (error) {
        if (!(error instanceof CalendarError)) throw error;
      }
    }
    const theirs = await askSystemd([...calendars.keys()], atS, zone);
    for (const [i, [text, calendar]] of [...calendars].entries()) {
      const ours = next(calendar, base, SAMPLE.moments);
      compared++;
      if (JSON.stringify(ours) === JSON.stringify(theirs[i]) || changes(zone, ours, base)) continue;
      differences.push({ text, from: base.toString(), ours, systemd: theirs[i] });
    }
  }
  assertEquals(differences, []);
});

Deno.test("systemd refuses what is refused here", async () => {
  const refused = [
    "Funday 02:00",
    "Fri..Mon 02:00",
    "25:00",
    "12:60",
    "*-13-01",
    "*-*-32",
    "*-*~29",
    "*-*-7..1",
    "*:0/0",
    "02:00 03:00",
    "2am",
    "1-2-3-4",
  ];
  assertEquals(await askSystemd(refused, FROM_S, "UTC"), refused.map(() => null));
});
