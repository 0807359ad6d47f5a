/** Freezes as people write them. */

import { assertEquals, assertThrows } from "@std/assert";
import { parseFreeze } from "../lib/freeze.ts";
import { WindowError } from "../lib/window.ts";

function told(text: string, zone = "Europe/Berlin"): string {
  const { from, until, name } = parseFreeze(text, zone);
  const [begin, end] = [from, until].map((ms) => new Date(ms).toISOString().slice(0, 16));
  return `${begin} ${end} ${name ?? "-"}`;
}

Deno.test("parseFreeze() reads whole days, the last one included, on the clock of the zone", () => {
  assertEquals(told("2026-12-20..2027-01-02 Christmas"), "2026-12-19T23:00 2027-01-02T23:00 Christmas");
  assertEquals(told(" 2026-12-20 .. 2027-01-02 "), "2026-12-19T23:00 2027-01-02T23:00 -");
  assertEquals(told("2026-12-20 2027-01-02 year's end"), "2026-12-19T23:00 2027-01-02T23:00 year's end");
  assertEquals(told("2026-05-01"), "2026-04-30T22:00 2026-05-01T22:00 -");
  assertEquals(told("2026-05-01 May Day", "UTC"), "2026-05-01T00:00 2026-05-02T00:00 May Day");
});

Deno.test("parseFreeze() reads moments, of which the last is no longer frozen, and days beside them", () => {
  assertEquals(told("2026-12-20T18:00..2027-01-02T06:00"), "2026-12-20T17:00 2027-01-02T05:00 -");
  assertEquals(told("2026-12-20T18:00Z..2027-01-02 sale"), "2026-12-20T18:00 2027-01-02T23:00 sale");
  // a time that is leapt over moves forward
  assertEquals(told("2026-03-29T02:30..2026-03-29T04:00"), "2026-03-29T01:30 2026-03-29T02:00 -");
});

Deno.test("parseFreeze() refuses everything else, and says what is allowed", () => {
  const refused = (text: string) => assertThrows(() => parseFreeze(text, "UTC"), WindowError).faults[0];
  const form =
    "cannot be read; give two days and a name such as '2026-12-20..2027-01-02 Christmas', or two moments such as " +
    "2026-12-20T18:00..2027-01-02T06:00";
  for (const text of ["", "soon", "20.12.2026", "2026-12-20...2027-01-02", "2026-12-20..", "2026-12-20=x"]) {
    assertEquals(refused(text), `freeze ${JSON.stringify(text)} ${form}`);
  }
  assertEquals(refused("2026-02-30"), 'freeze "2026-02-30" names a date or time that does not exist');
  assertEquals(
    refused("2026-12-20T24:01..2026-12-22"),
    'freeze "2026-12-20T24:01..2026-12-22" names a date or time that does not exist',
  );
  assertEquals(refused("2026-12-20..2026-12-19"), 'freeze "2026-12-20..2026-12-19" ends before it begins');
  assertEquals(
    refused("2026-12-20T18:00"),
    'freeze "2026-12-20T18:00" has no end; write 2026-12-20T18:00..END',
  );
  assertEquals(
    refused(`2026-12-20 ${"x".repeat(201)}`)?.replace(/"[^"]*"/, "X"),
    "freeze X has a name that cannot be used: it is one line of 1 to 200 characters",
  );
});
