import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { DurationError, formatDuration, parseDuration } from "../lib/duration.ts";
import { Random } from "../lib/simulation/virtual_time.ts";

const HOUR_MS = 3_600_000;

Deno.test("parseDuration() takes what Go's time.ParseDuration takes", () => {
  const accepted: readonly (readonly [string, number])[] = [
    ["0", 0],
    ["-0", 0],
    ["+0", 0],
    ["0s", 0],
    ["1h30m", 1.5 * HOUR_MS],
    ["90m", 1.5 * HOUR_MS],
    ["1.5h", 1.5 * HOUR_MS],
    [".5h", HOUR_MS / 2],
    ["5.h", 5 * HOUR_MS],
    ["+5s", 5_000],
    ["-5s", -5_000],
    ["-1h30m", -1.5 * HOUR_MS],
    ["10s", 10_000],
    ["12us", 0.012],
    ["12\u00b5s", 0.012],
    ["12\u03bcs", 0.012],
    ["15ns", 0.000015],
    ["11ms", 11],
    ["3h5m6s7ms8us9ns", 3 * HOUR_MS + 306_007.008009],
    ["10.5s4m", 250_500],
    ["1m1m", 120_000],
    ["-2m3.4s", -123_400],
    ["39h9m14.425s", 140_954_425],
    ["007m", 7 * 60_000],
    ["0.9ns", 0],
    ["0.3333333333333333333h", 20 * 60_000],
    ["0.100000000000000000000h", 360_000],
    ["52763797000ns", 52_763.797],
    ["9007199254.740993ms", 9_007_199_254.740993],
  ];
  for (const [text, ms] of accepted) assertEquals(parseDuration(text), ms, text);
});

Deno.test("parseDuration() reaches to the ends of Go's 64 bits and refuses what lies behind them", () => {
  assertEquals(parseDuration("2562047h47m16.854775807s"), 9_223_372_036_854.775807);
  assertEquals(parseDuration("9223372036854775807ns"), 9_223_372_036_854.775807);
  assertEquals(parseDuration("-9223372036854775808ns"), -9_223_372_036_854.775808);
  const beyond = [
    "9223372036854775808ns",
    "-9223372036854775809ns",
    "9223372036854775.808us",
    "2562048h",
    "2562047h47m16.854775808s",
    "3000000h",
    `${"9".repeat(100_000)}h`,
    "9223372036854775807ns1ns",
  ];
  for (const text of beyond) {
    const error = assertThrows(() => parseDuration(text), DurationError);
    assertEquals(
      error.reason,
      "it is out of range; the longest duration is 2562047h47m16.854775807s (292 years)",
      text.slice(0, 40),
    );
  }
});

Deno.test("parseDuration() says of a refused text what is wrong with it and what is allowed", () => {
  const allowed = "allowed: numbers with the units h, m, s, ms, us or ns, such as 1h30m";
  const refused: readonly (readonly [string, string])[] = [
    ["", "it is empty"],
    ["-", "it is empty"],
    ["+", "it is empty"],
    ["1j", 'unknown unit "j"'],
    ["3", '"3" has no unit'],
    ["1h90", '"90" has no unit'],
    ["00", '"00" has no unit'],
    [".", 'there is no number at "."'],
    [".s", 'there is no number at ".s"'],
    ["s", 'there is no number at "s"'],
    ["--1h", 'there is no number at "-1h"'],
    ["1h-30m", 'unknown unit "h-"'],
    ["1h 30m", 'unknown unit "h "'],
    [" 1h", 'there is no number at " 1h"'],
    ["1h ", 'unknown unit "h "'],
    ["1.2.3s", '"1.2" has no unit'],
    ["1,5h", 'unknown unit ","'],
    ["1d", 'unknown unit "d", a day is 24h'],
    ["2weeks", 'unknown unit "weeks", a week is 168h'],
    ["1H", 'unknown unit "H", an hour is h'],
    ["5min", 'unknown unit "min", a minute is m'],
    ["1e3s", 'unknown unit "e"'],
    ["0x1h", 'unknown unit "x"'],
    ["\u0661h", 'there is no number at "\u0661h"'],
  ];
  for (const [text, why] of refused) {
    const error = assertThrows(() => parseDuration(text), DurationError);
    assertEquals(error.message, `cannot read duration ${JSON.stringify(text)}: ${why}; ${allowed}`);
  }
});

Deno.test("formatDuration() writes as Go does, without the parts that are zero", () => {
  const written: readonly (readonly [number, string])[] = [
    [0, "0s"],
    [-0, "0s"],
    [1.5 * HOUR_MS, "1h30m"],
    [HOUR_MS, "1h"],
    [HOUR_MS + 5_000, "1h5s"],
    [-(10 * HOUR_MS + 28 * 60_000 + 1_000), "-10h28m1s"],
    [15 * 60_000, "15m"],
    [10_000, "10s"],
    [1_500, "1.5s"],
    [34 * HOUR_MS, "34h"],
    [500, "500ms"],
    [1.5, "1.5ms"],
    [-0.0015, "-1.5us"],
    [0.000003, "3ns"],
    [0.0000001, "0s"],
    [999.9999999, "1s"],
  ];
  for (const [ms, text] of written) assertEquals(formatDuration(ms), text);
});

Deno.test("formatDuration() refuses what is not finite", () => {
  for (const ms of [NaN, Infinity, -Infinity]) assertThrows(() => formatDuration(ms), RangeError);
});

Deno.test("parseDuration() reads every text of formatDuration() back to the same value", () => {
  const random = new Random(20150521);
  for (let i = 0; i < 20_000; i++) {
    // Any size, from nanoseconds to the 104 days in which each nanosecond is a number of its own, and whole
    // milliseconds to the end of the range.
    const ns = Math.floor(random.next() * 2 ** random.integer(0, 53)) * (random.chance(0.5) ? -1 : 1);
    for (const ms of [ns / 1e6, Math.trunc(ns / 1000)]) {
      const text = formatDuration(ms);
      assert(Object.is(parseDuration(text), ms === 0 ? 0 : ms), `${ms} became ${text}`);
    }
  }
});

Deno.test("parseDuration() ends every text with a number or a DurationError", () => {
  const random = new Random(7);
  const letters = ["0", "1", "9", ".", "h", "m", "s", "u", "n", "\u00b5", "-", "+", " "];
  for (let i = 0; i < 20_000; i++) {
    const text = Array.from({ length: random.integer(0, 7) }, () => random.pick(letters)).join("");
    try {
      const ms = parseDuration(text);
      assert(Number.isFinite(ms), text);
      assertEquals(parseDuration(formatDuration(ms)), ms, text);
    } catch (error) {
      assertInstanceOf(error, DurationError, text);
    }
  }
});
