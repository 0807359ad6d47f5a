import { assert, assertEquals } from "@std/assert";
import { TimeAxis } from "../../lib/simulation/time_axis.ts";
import { parseInstant } from "../../lib/cli/window_report.ts";

const BERLIN = "Europe/Berlin";
const HOUR = 3_600_000;

Deno.test("TimeAxis cuts a long closed stretch, and is true outside of cuts", () => {
  const openings = [{ startMs: 47 * HOUR, endMs: 48 * HOUR }, { startMs: 215 * HOUR, endMs: 216 * HOUR }];
  const axis = new TimeAxis(216 * HOUR, openings, 0, 1000);
  assertEquals(axis.stretches.map(({ open, cut, width }) => [open, cut, Math.round(width)]), [
    [false, true, 40],
    [true, false, 460],
    [false, true, 40],
    [true, false, 460],
  ]);
  assertEquals(axis.x(0), 0);
  assertEquals(axis.x(47.5 * HOUR), 270);
  assertEquals(axis.x(216 * HOUR), 1000);
  assertEquals(axis.x(217 * HOUR), 1000);
});

Deno.test("TimeAxis cuts nothing where the window is closed for short only", () => {
  const axis = new TimeAxis(
    100 * HOUR,
    [{ startMs: 0, endMs: 50 * HOUR }, {
      startMs: 51 * HOUR,
      endMs: 100 * HOUR,
    }],
    0,
    1000,
  );
  assert(axis.stretches.every(({ cut }) => !cut));
  assertEquals(axis.x(50 * HOUR), 500);
});

Deno.test("TimeAxis.ticks() names full steps of the clock of the zone, over its changes too", () => {
  const at = (text: string) => parseInstant(text, BERLIN).epochMilliseconds;
  const ticks = (from: string, to: string, width: number) => {
    const axis = new TimeAxis(at(to) - at(from), [{ startMs: 0, endMs: at(to) - at(from) }], 0, width);
    return axis.ticks(at(from), BERLIN).map(({ text }) => text);
  };
  assertEquals(ticks("2026-05-20 22:50", "2026-05-21 00:20", 600), [
    "22:50",
    "23:00",
    "23:10",
    "23:20",
    "23:30",
    "23:40",
    "23:50",
    "00:00",
    "00:10",
    "00:20",
  ]);
  // the night that has no 02:00, and the one that has it twice
  assertEquals(ticks("2026-03-29 00:00", "2026-03-29 06:00", 400), [
    "00:00",
    "01:00",
    "03:00",
    "04:00",
    "05:00",
    "06:00",
  ]);
  assertEquals(ticks("2026-10-25 00:00", "2026-10-25 05:00", 400), [
    "00:00",
    "01:00",
    "02:00",
    "03:00",
    "04:00",
    "05:00",
  ]);
  assertEquals(ticks("2026-05-20", "2026-05-24", 300), ["05-20", "05-21", "05-22", "05-23", "05-24"]);
});
