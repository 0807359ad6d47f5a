/**
 * Time zones by their rules and not by a name: a POSIX TZ text (`CET-1CEST,M3.5.0,M10.5.0/3`, as in tzset(3)) and the
 * contents of a zone file (TZif, RFC 9636), and which zone of Temporal has the very same offsets.
 *
 * Temporal knows zones of the IANA database and fixed offsets, and no rules. So rules count as understood where one of
 * those agrees with them on every change of the clock from a year before a moment to ten years after it. Beyond that, and
 * in what a zone is called, the two may differ. Everything here is a function of its arguments.
 */

/** Seconds east of UTC from a moment on; moments are in seconds since the epoch. */
export interface OffsetChange {
  readonly at: number;
  readonly offset: number;
}

/** What a zone's clock does over time. */
export interface ZoneRules {
  /** The offset at `from`, and every change after it, up to and with `to`. */
  between(from: number, to: number): { readonly first: number; readonly changes: readonly OffsetChange[] };
}

const DAY_S = 86_400;
const YEAR_S = 31_556_952;
const YEARS_BACK = 1;
const YEARS_AHEAD = 10;
/** What the C library takes where a text names summer time and no rules for it. */
const DEFAULT_RULES = ",M3.2.0,M11.1.0";
/** Zones that are named first where several agree. */
const FAMILIAR: readonly string[] = [
  "Europe/London",
  "Europe/Berlin",
  "Europe/Athens",
  "America/New_York",
  "America/Chicago",
  "America/Denver",
  "America/Los_Angeles",
  "America/Halifax",
  "Australia/Sydney",
  "Pacific/Auckland",
];

/**
 * The zone of Temporal that has these offsets around `nowMs` (milliseconds since the epoch): a fixed offset such as
 * `+09:00` where nothing changes, else a name, and `preferred` before any other. `undefined`: there is none.
 */
export function equivalentZone(rules: ZoneRules, nowMs: number, preferred?: string): string | undefined {
  const [from, to] = spanAround(nowMs);
  const { first, changes } = rules.between(from, to);
  if (preferred !== undefined && agrees(rules, preferred, nowMs)) return preferred;
  if (changes.length === 0) return fixedOffset(first);
  return [...FAMILIAR, ...Intl.supportedValuesOf("timeZone")].find((zone) => agrees(rules, zone, nowMs));
}

/** Whether Temporal's zone `zone` has the offsets of `rules` from a year before `nowMs` to ten years after it. */
export function agrees(rules: ZoneRules, zone: string, nowMs: number): boolean {
  const [from, to] = spanAround(nowMs);
  const { first, changes } = rules.between(from, to);
  let time: Temporal.ZonedDateTime | null = Temporal.Instant.fromEpochMilliseconds(from * 1000)
    .toZonedDateTimeISO(zone);
  if (time.offsetNanoseconds !== first * 1e9) return false;
  let seen = 0;
  let offset = time.offsetNanoseconds;
  while (true) {
    time = time.getTimeZoneTransition("next");
    if (time === null || time.epochMilliseconds > to * 1000) return seen === changes.length;
    if (time.offsetNanoseconds === offset) continue;
    offset = time.offsetNanoseconds;
    const change = changes[seen++];
    if (change?.at !== time.epochMilliseconds / 1000 || change.offset * 1e9 !== offset) return false;
  }
}

/** `+09:00`, `UTC`; `undefined` where Temporal cannot name it: it counts in minutes, and less than a day. */
function fixedOffset(offset: number): string | undefined {
  if (offset === 0) return "UTC";
  if (offset % 60 !== 0 || Math.abs(offset) >= DAY_S) return undefined;
  const minutes = Math.abs(offset) / 60;
  const two = (value: number) => String(value).padStart(2, "0");
  return `${offset < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

function spanAround(nowMs: number): [number, number] {
  const now = Math.floor(nowMs / 1000);
  return [now - YEARS_BACK * YEAR_S, now + YEARS_AHEAD * YEAR_S];
}

/** What a text in the manner of POSIX says; `undefined` for one that is none, or none as a whole. */
export function parsePosixZone(text: string): ZoneRules | undefined {
  const NAME = "(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)";
  const OFFSET = "[+-]?[0-9]{1,2}(?::[0-9]{1,2}(?::[0-9]{1,2})?)?";
  const form = new RegExp(`^${NAME}(${OFFSET})(?:(${NAME})(${OFFSET})?(?:,([^,]+),([^,]+))?)?$`);
  const [whole, standardText = "", summer, summerText, ...rules] = form.exec(text) ?? [];
  if (whole === undefined) return undefined;
  // the signs of POSIX run the other way: what is to be added to local time to get UTC
  const standard = negated(parseClock(standardText, 24));
  if (standard === undefined) return undefined;
  if (summer === undefined) return constant(standard);
  const daylight = summerText === undefined ? standard + 3600 : negated(parseClock(summerText, 24));
  const [start, end] = rules[0] === undefined
    ? DEFAULT_RULES.slice(1).split(",").map(parseRule)
    : rules.map((rule) => parseRule(rule ?? ""));
  if (daylight === undefined || start === undefined || end === undefined) return undefined;
  return {
    between(from, to) {
      const years = [yearOf(from) - 2, yearOf(to) + 2] as const;
      const changes: OffsetChange[] = [];
      for (let year = years[0]; year <= years[1]; year++) {
        changes.push({ at: start(year) - standard, offset: daylight });
        changes.push({ at: end(year) - daylight, offset: standard });
      }
      // of two at one moment, as in summer time all year, that of the later year counts
      changes.sort((a, b) => a.at - b.at);
      return within(standard, changes, from, to);
    },
  };
}

function constant(offset: number): ZoneRules {
  return { between: () => ({ first: offset, changes: [] }) };
}

/** `[+-]h[:m[:s]]` in seconds. */
function parseClock(text: string, limitHours: number): number | undefined {
  const [, sign, hours, minutes = "0", seconds = "0"] =
    /^([+-]?)([0-9]{1,3})(?::([0-9]{1,2}))?(?::([0-9]{1,2}))?$/.exec(text) ?? [];
  if (hours === undefined || Number(hours) > limitHours || Number(minutes) > 59 || Number(seconds) > 59) {
    return undefined;
  }
  const value = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  return sign === "-" ? -value : value;
}

function negated(value: number | undefined): number | undefined {
  return value === undefined ? undefined : 0 - value;
}

/** `M3.5.0/2`, `J60`, `59/-1`: a moment of each year on the zone's own clock, as seconds since the epoch on that clock. */
function parseRule(text: string): ((year: number) => number) | undefined {
  const [dateText = "", timeText = "2", ...more] = text.split("/");
  const time = parseClock(timeText, 167);
  if (time === undefined || more.length > 0) return undefined;
  const [, month, week, weekday] = /^M([0-9]{1,2})\.([1-5])\.([0-6])$/.exec(dateText) ?? [];
  if (month !== undefined) {
    if (Number(month) < 1 || Number(month) > 12) return undefined;
    return (year) => weekdayOf(year, Number(month), Number(week), Number(weekday)) + time;
  }
  const [, julian, days] = /^(J?)([0-9]{1,3})$/.exec(dateText) ?? [];
  const day = Number(days);
  if (days === undefined || day > 365) return undefined;
  if (julian === "") return (year) => dayStart(year, 1, 1) + day * DAY_S + time;
  // J60 is the first of March in every year
  if (day < 1) return undefined;
  return (year) => dayStart(year, 1, 1) + (day - 1 + (isLeap(year) && day >= 60 ? 1 : 0)) * DAY_S + time;
}

/** The start of the n-th such weekday (0: Sunday) of a month; the fifth is the last. */
function weekdayOf(year: number, month: number, n: number, weekday: number): number {
  const first = new Date(dayStart(year, month, 1) * 1000).getUTCDay();
  const days = new Date(Date.UTC(year, month, 0)).getUTCDate();
  const day = 1 + (weekday - first + 7) % 7 + (n - 1) * 7;
  return dayStart(year, month, day > days ? day - 7 : day);
}

function dayStart(year: number, month: number, day: number): number {
  return Date.UTC(year, month - 1, day) / 1000;
}

function isLeap(year: number): boolean {
  return new Date(Date.UTC(year, 1, 29)).getUTCMonth() === 1;
}

function yearOf(seconds: number): number {
  return new Date(seconds * 1000).getUTCFullYear();
}

/** Of changes in their order: the offset at `from`, and what changes until `to`. */
function within(before: number, changes: readonly OffsetChange[], from: number, to: number) {
  let first = before;
  const kept: OffsetChange[] = [];
  for (const change of changes) {
    if (change.at <= from) first = change.offset;
    else if (change.at <= to) {
      if (kept.at(-1)?.at === change.at) kept.pop();
      if (change.offset !== (kept.at(-1)?.offset ?? first)) kept.push(change);
    }
  }
  return { first, changes: kept };
}

/**
 * What the contents of a zone file say; `undefined` for bytes that are none. Times in a file of `right/` count leap seconds;
 * they are taken back to the clock that does not, which is the one that machines have.
 */
export function parseTzif(bytes: Uint8Array): ZoneRules | undefined {
  try {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const first = readBlock(view, 0, 4);
    if (first.version === 0) return withRules(first.block, undefined);
    const { block, end } = readBlock(view, first.end, 8);
    const footer = new TextDecoder().decode(bytes.subarray(end));
    const [, posix] = /^\n([^\n]*)\n/.exec(footer) ?? [];
    if (posix === undefined) return undefined;
    const after = posix === "" ? undefined : parsePosixZone(posix);
    return posix !== "" && after === undefined ? undefined : withRules(block, after);
  } catch (error) {
    if (error instanceof RangeError) return undefined; // it ends before its end
    throw error;
  }
}

interface Block {
  readonly before: number;
  readonly changes: readonly OffsetChange[];
}

/** One block of the file, with times of so many bytes. Throws `RangeError` where the bytes are no such block. */
function readBlock(
  view: DataView,
  start: number,
  timeBytes: 4 | 8,
): { version: number; block: Block; end: number } {
  if (view.getUint32(start) !== 0x545a6966) throw new RangeError("no TZif");
  const count = (index: number) => view.getUint32(start + 20 + 4 * index);
  const [utcMarks, standardMarks, leaps, times, types, letters] = [0, 1, 2, 3, 4, 5].map(count) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const time = (at: number) => timeBytes === 4 ? view.getInt32(at) : Number(view.getBigInt64(at));
  const timesAt = start + 44;
  const kindsAt = timesAt + times * timeBytes;
  const typesAt = kindsAt + times;
  const leapsAt = typesAt + types * 6 + letters;
  const end = leapsAt + leaps * (timeBytes + 4) + standardMarks + utcMarks;
  if (types === 0 || end > view.byteLength) throw new RangeError("its parts are longer than it is");
  const offset = (type: number) => view.getInt32(typesAt + (type < types ? type : 0) * 6);
  const leapAt = (index: number) => leapsAt + index * (timeBytes + 4);
  let [leap, correction] = [0, 0];
  const changes: OffsetChange[] = [];
  for (let i = 0; i < times; i++) {
    const at = time(timesAt + i * timeBytes);
    for (; leap < leaps && time(leapAt(leap)) <= at; leap++) {
      correction = view.getInt32(leapAt(leap) + timeBytes);
    }
    changes.push({ at: at - correction, offset: offset(view.getUint8(kindsAt + i)) });
  }
  const version = view.getUint8(start + 4);
  return { version: version === 0 ? 0 : version - 0x30, block: { before: offset(0), changes }, end };
}

/** Changes that are listed, and rules for what comes behind the last of them; without rules nothing changes there. */
function withRules({ before, changes }: Block, after: ZoneRules | undefined): ZoneRules {
  const last = changes.at(-1)?.at ?? -Infinity;
  return {
    between(from, to) {
      if (after === undefined || to <= last) return within(before, changes, from, to);
      const start = Math.max(from, last);
      const behind = after.between(start, to);
      return within(before, [...changes, { at: start, offset: behind.first }, ...behind.changes], from, to);
    },
  };
}
