/** When reboots are allowed, by several windows and freezes. */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseFreeze } from "../lib/freeze.ts";
import {
  ALWAYS,
  delayOf,
  gateAt,
  openingsOf,
  openSince,
  type Schedule,
  windowStateAt,
  windowStates,
} from "../lib/schedule.ts";
import { parseWindow } from "../lib/window.ts";

function scheduleOf(
  zone: string,
  windows: readonly (readonly [start: string, length: string])[],
  freezes: readonly string[] = [],
): Schedule {
  return {
    windows: windows.map(([start, length]) => ({ window: parseWindow(start, length), zone })),
    freezes: freezes.map((text) => parseFreeze(text, zone)),
  };
}

function ms(text: string): number {
  return Temporal.Instant.from(text).epochMilliseconds;
}

Deno.test("windowStateAt() without a window is always open", () => {
  assertEquals(windowStateAt(ALWAYS, 1_000, "UTC"), { open: true, closesAt: Infinity, nextOpensAt: 1_000 });
});

Deno.test("windowStateAt() says until when the window is open, and from when the next one is", () => {
  const schedule = scheduleOf("Europe/Berlin", [["23:00", "2h"]]);
  const tonight = { closesAt: ms("2026-05-21T23:00:00Z"), nextOpensAt: ms("2026-05-22T21:00:00Z") };
  assertEquals(windowStateAt(schedule, ms("2026-05-21T20:59:59.999Z"), "UTC"), {
    open: false,
    nextOpensAt: ms("2026-05-21T21:00:00Z"),
  });
  assertEquals(windowStateAt(schedule, ms("2026-05-21T21:00:00Z"), "UTC"), { open: true, ...tonight });
  // the end belongs to the window, the millisecond after it does not
  assertEquals(windowStateAt(schedule, ms("2026-05-21T23:00:00Z"), "UTC"), { open: true, ...tonight });
  assertEquals(windowStateAt(schedule, ms("2026-05-21T23:00:00.001Z"), "UTC"), {
    open: false,
    nextOpensAt: ms("2026-05-22T21:00:00Z"),
  });
});

Deno.test("windowStateAt() never says that it is open now and closed before now, through a year of both clocks", () => {
  const schedule = scheduleOf("America/New_York", [["02:30", "90m"]]);
  const start = Temporal.Instant.from("2026-01-01T00:00:00Z").epochMilliseconds;
  const HOUR_MS = 3_600_000;
  let openHours = 0;
  for (let hour = 0; hour < 365 * 24; hour++) {
    const now = start + hour * HOUR_MS;
    const opening = windowStateAt(schedule, now, "UTC");
    assert(opening.nextOpensAt > now);
    if (!opening.open) continue;
    openHours++;
    assert(opening.closesAt >= now && opening.closesAt - now <= 1.5 * HOUR_MS);
    assert(opening.nextOpensAt > opening.closesAt);
  }
  // of each window 03:00 and 04:00 are full hours; on the day without a 02:30 it runs from 03:30 to 05:00
  assertEquals(openHours, 2 * 365);
});

Deno.test("gateAt() joins windows that touch or overlap, and a freeze cuts what they make", () => {
  const schedule = scheduleOf(
    "UTC",
    [["22:00", "2h"], ["00:00", "1h"], ["00:30", "2h"], ["Sun 14:00", "1h"]],
    [
      "2026-12-20T23:00..2026-12-20T23:30 deploy",
      "2026-12-24..2027-01-02 Christmas",
    ],
  );
  const told = (from: string) =>
    Iterator.from(openingsOf(schedule, ms(from)) ?? []).take(4)
      .map(({ startMs, endMs }) => `${new Date(startMs).toISOString()} ${new Date(endMs).toISOString()}`)
      .toArray();
  assertEquals(told("2026-12-20T12:00:00Z"), [
    "2026-12-20T14:00:00.000Z 2026-12-20T15:00:00.000Z",
    "2026-12-20T22:00:00.000Z 2026-12-20T23:00:00.000Z",
    "2026-12-20T23:30:00.000Z 2026-12-21T02:30:00.000Z",
    "2026-12-21T22:00:00.000Z 2026-12-22T02:30:00.000Z",
  ]);
  // the freeze begins in the middle of the night's window, and ends in another's
  assertEquals(told("2026-12-23T20:00:00Z").slice(0, 2), [
    "2026-12-23T22:00:00.000Z 2026-12-24T00:00:00.000Z",
    "2027-01-03T00:00:00.000Z 2027-01-03T02:30:00.000Z",
  ]);
  const frozen = gateAt(schedule, ms("2026-12-25T12:00:00Z"));
  assertEquals([frozen.open, frozen.until, frozen.open ? "" : frozen.freeze?.name], [
    false,
    ms("2027-01-03T00:00:00Z"),
    "Christmas",
  ]);
});

Deno.test("windowStateAt() says what freezes, and until when; of several freezes the one that ends last", () => {
  const schedule = scheduleOf("Europe/Berlin", [["Sat 02:00", "1h"]], [
    "2026-12-20..2027-01-02 Christmas",
    "2026-12-31..2026-12-31 year's end",
  ]);
  assertEquals(windowStateAt(schedule, ms("2026-12-31T12:00:00Z"), "Europe/Berlin"), {
    open: false,
    nextOpensAt: ms("2027-01-09T01:00:00Z"),
    why: "frozen until Sun 2027-01-03 00:00 +01:00: Christmas",
  });
  // over, and the window is closed as ever
  assertEquals(windowStateAt(schedule, ms("2027-01-03T12:00:00Z"), "Europe/Berlin"), {
    open: false,
    nextOpensAt: ms("2027-01-09T01:00:00Z"),
  });
  const without = scheduleOf("UTC", [], ["2026-12-20..2026-12-21"]);
  assertEquals(windowStateAt(without, ms("2026-12-19T12:00:00Z"), "UTC"), {
    open: true,
    closesAt: ms("2026-12-20T00:00:00Z"),
    nextOpensAt: ms("2026-12-22T00:00:00Z"),
  });
});

Deno.test("windows that leave no gap are open for good, and a freeze without end leaves no time to wait for", () => {
  const allDay = scheduleOf("UTC", [["00:00", "12h"], ["12:00", "12h"]]);
  assertEquals(gateAt(allDay, ms("2026-05-01T10:00:00Z")), { open: true, until: Infinity });
  assertEquals(openSince(allDay, ms("2026-05-01T10:00:00Z")), -Infinity);
  const never = scheduleOf("UTC", [["02:00", "1h"]], ["2026-05-01..9999-12-30 mothballed"]);
  const state = windowStateAt(never, ms("2026-05-02T02:30:00Z"), "UTC");
  assertEquals([state.open, state.nextOpensAt], [false, Infinity]);
});

/** Whether windows that open on each of these days (1 is Monday) allow reboots, minute by minute and without any cleverness. */
interface Naive {
  readonly zone: string;
  readonly windows: readonly { readonly day: number; readonly minute: number; readonly length: number }[];
  readonly freezes: readonly { readonly from: number; readonly length: number }[];
}

const MINUTE_MS = 60_000;
const BASE_MS = ms("2026-10-15T00:00:00Z");

function naiveSchedule({ zone, windows, freezes }: Naive): Schedule {
  const days = ["", "Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun "];
  const two = (value: number) => String(value).padStart(2, "0");
  return {
    windows: windows.map(({ day, minute, length }) => ({
      window: parseWindow(`${days[day]}${two(Math.floor(minute / 60))}:${two(minute % 60)}`, `${length}m`),
      zone,
    })),
    freezes: freezes.map(({ from, length }) => ({
      from: BASE_MS + from * MINUTE_MS,
      until: BASE_MS + (from + length) * MINUTE_MS,
    })),
  };
}

/** By minute from the base on. */
function naiveMinutes({ zone, windows, freezes }: Naive, count: number): boolean[] {
  const open = new Array(count).fill(windows.length === 0);
  const first = Temporal.Instant.fromEpochMilliseconds(BASE_MS).toZonedDateTimeISO(zone).toPlainDate();
  for (const { day, minute, length } of windows) {
    for (let offset = -9; offset < count / 1440 + 2; offset++) {
      const date = first.add({ days: offset });
      if (day !== 0 && date.dayOfWeek !== day) continue;
      const plainTime = { hour: Math.floor(minute / 60), minute: minute % 60 };
      const from = (date.toZonedDateTime({ timeZone: zone, plainTime }).epochMilliseconds - BASE_MS) /
        MINUTE_MS;
      for (let at = Math.max(0, from); at <= Math.min(count - 1, from + length); at++) open[at] = true;
    }
  }
  for (const { from, length } of freezes) {
    for (let at = Math.max(0, from); at < Math.min(count, from + length); at++) open[at] = false;
  }
  return open;
}

Deno.test("gateAt() agrees with a clock that looks every minute, for several windows and freezes", () => {
  const DAYS = 20;
  const naive: fc.Arbitrary<Naive> = fc.record({
    zone: fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"),
    windows: fc.array(
      fc.record({
        day: fc.integer({ min: 0, max: 7 }),
        minute: fc.integer({ min: 0, max: 1439 }),
        length: fc.integer({ min: 1, max: 1400 }),
      }),
      { maxLength: 3 },
    ),
    freezes: fc.array(
      fc.record({ from: fc.integer({ min: -2000, max: 25_000 }), length: fc.integer({ min: 1, max: 6000 }) }),
      { maxLength: 4 },
    ),
  });
  const property = fc.property(naive, fc.integer({ min: 0, max: 12 * 1440 }), (drawn, minute) => {
    const schedule = naiveSchedule(drawn);
    const minutes = naiveMinutes(drawn, DAYS * 1440);
    const now = BASE_MS + minute * MINUTE_MS;
    const isOpen = minutes[minute] ?? false;
    const gate = gateAt(schedule, now);
    assertEquals(gate.open, isOpen);
    // the first minute that is another
    const turn = minutes.findIndex((open, at) => at > minute && open !== isOpen);
    if (turn < 0) return assert(gate.until >= BASE_MS + (DAYS * 1440 - 1) * MINUTE_MS);
    const turnMs = BASE_MS + turn * MINUTE_MS;
    if (!isOpen) return assertEquals(gate.until, turnMs);
    // open up to and with the last moment of a window, or up to a freeze
    assert(gate.until >= turnMs - MINUTE_MS && gate.until <= turnMs);
  });
  fc.assert(property, { numRuns: 300, seed: 7 });
});

Deno.test("windowStates() says the same as a fresh look, whichever way the clock goes", () => {
  const schedule = scheduleOf("Europe/Berlin", [["23:00", "2h"], ["Sun 12:00", "3h"]], [
    "2026-05-23..2026-05-24 fair",
  ]);
  const states = windowStates(schedule, "UTC");
  const start = ms("2026-05-20T00:00:00Z");
  for (let step = 0; step < 400; step++) {
    const now = start + (step * 7919 % 400) * 30 * MINUTE_MS;
    assertEquals(states(now), windowStateAt(schedule, now, "UTC"));
  }
});

Deno.test("delayOf() is the same for the same machine and group, and even over the machines of a group", () => {
  const spreadMs = 3_600_000;
  const ids = Array.from({ length: 2_000 }, (_, index) => index.toString(16).padStart(32, "0"));
  const delays = ids.map((id) => delayOf(id, "web", spreadMs));
  assertEquals(delays, ids.map((id) => delayOf(id, "web", spreadMs)));
  assert(delays.every((delay) => delay >= 0 && delay < spreadMs));
  for (let tenth = 0; tenth < 10; tenth++) {
    const share = delays.filter((delay) => Math.floor(delay * 10 / spreadMs) === tenth).length / ids.length;
    assert(share > 0.07 && share < 0.13, `a tenth of the window has ${share} of the machines`);
  }
  assert(ids.some((id) => delayOf(id, "web", spreadMs) !== delayOf(id, "db", spreadMs)));
});

Deno.test("a delay lets each window open later and close as ever, also the one that is under way", () => {
  const schedule = { ...scheduleOf("UTC", [["22:00", "1h"]]), delayMs: 20 * MINUTE_MS };
  assertEquals(gateAt(schedule, ms("2026-05-21T22:10:00Z")), {
    open: false,
    until: ms("2026-05-21T22:20:00Z"),
    freeze: undefined,
  });
  assertEquals(gateAt(schedule, ms("2026-05-21T22:20:00Z")), {
    open: true,
    until: ms("2026-05-21T23:00:00Z"),
  });
});
