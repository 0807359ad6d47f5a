import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseWindow, WindowError } from "../../lib/window.ts";
import {
  MAX_REPORT_COUNT,
  parseInstant,
  renderWindowReport,
  windowReport,
} from "../../lib/cli/window_report.ts";

/** The report as JSON and as text. */
function report(start: string, length: string, zone: string, at: string, count: number): [string, string] {
  const schedule = { windows: [{ window: parseWindow(start, length), zone }], freezes: [] };
  const moment = parseInstant(at, zone);
  const made = windowReport(schedule, moment, count);
  return [JSON.stringify(made), renderWindowReport(made, schedule, moment)];
}

Deno.test("windowReport() begins with the open window, and says since when it is open", () => {
  const [json, text] = report("Sun 23:00", "4h", "America/New_York", "2015-06-01 01:00:00", 2);
  assertEquals(
    json,
    '{"open":true,"toStartSeconds":-7200,"windows":[' +
      '{"start":"2015-05-31T23:00:00-04:00","end":"2015-06-01T03:00:00-04:00"},' +
      '{"start":"2015-06-07T23:00:00-04:00","end":"2015-06-08T03:00:00-04:00"}],' +
      '"freezes":[],"delaySeconds":0}',
  );
  assertEquals(
    text,
    `every Sun at 23:00 for 4h, America/New_York: open for 2h, closes in 2h

START                        END                          LENGTH  IN
Sun 2015-05-31 23:00 -04:00  Mon 2015-06-01 03:00 -04:00  4h      now
Sun 2015-06-07 23:00 -04:00  Mon 2015-06-08 03:00 -04:00  4h      166h
`,
  );
});

Deno.test("windowReport() begins with the next window when none is open", () => {
  const [json, text] = report("00:15", "10s", "UTC", "2015-05-21", 1);
  assertEquals(
    json,
    '{"open":false,"toStartSeconds":900,"windows":[' +
      '{"start":"2015-05-21T00:15:00+00:00","end":"2015-05-21T00:15:10+00:00"}],' +
      '"freezes":[],"delaySeconds":0}',
  );
  assertEquals(
    text,
    `every day at 00:15 for 10s, UTC: closed, opens in 15m

START                           END                             LENGTH  IN
Thu 2015-05-21 00:15:00 +00:00  Thu 2015-05-21 00:15:10 +00:00  10s     15m
`,
  );
});

Deno.test("windowReport() counts the first and the last moment of a window as open", () => {
  assertEquals(
    report("14:00", "1h", "UTC", "2015-05-21 14:00", 1)[0].slice(0, 32),
    '{"open":true,"toStartSeconds":0,',
  );
  assertEquals(
    report("14:00", "1h", "UTC", "2015-05-21 15:00", 1)[0].slice(0, 36),
    '{"open":true,"toStartSeconds":-3600,',
  );
  assertEquals(
    report("14:00", "1h", "UTC", "2015-05-21 15:00", 1)[1].split("\n")[0],
    "every day at 14:00 for 1h, UTC: open for 1h, closes in 0s",
  );
});

Deno.test("renderWindowReport() shows a clock change by the offsets", () => {
  const [, text] = report("01:30", "1h", "America/New_York", "2015-03-07 12:00", 2);
  assertEquals(
    text,
    `every day at 01:30 for 1h, America/New_York: closed, opens in 13h30m

START                        END                          LENGTH  IN
Sun 2015-03-08 01:30 -05:00  Sun 2015-03-08 03:30 -04:00  1h      13h30m
Mon 2015-03-09 01:30 -04:00  Mon 2015-03-09 02:30 -04:00  1h      36h30m
`,
  );
});

Deno.test("renderWindowReport() leaves no space at the end of a line", () => {
  for (
    const [start, length] of [["9:00", "10s"], ["12:00", "23h59m"], ["Fri 09:00", "100h30m15s"]] as const
  ) {
    const [, text] = report(start, length, "Europe/Berlin", "2015-03-28 12:34:56.789", 40);
    assertEquals(/[ \t]+$/m.test(text), false);
    assert(text.endsWith("\n"));
    assertEquals(text.split("\n").length, 44);
  }
});

Deno.test("windowReport() keeps fractions of a second, and the text for people rounds them", () => {
  const [json, text] = report("14:00", "1.5s", "UTC", "2015-05-21 13:59:59.25", 1);
  assertEquals(
    json,
    '{"open":false,"toStartSeconds":0.75,"windows":[' +
      '{"start":"2015-05-21T14:00:00+00:00","end":"2015-05-21T14:00:01.5+00:00"}],' +
      '"freezes":[],"delaySeconds":0}',
  );
  assertEquals(text.split("\n")[0], "every day at 14:00 for 1.5s, UTC: closed, opens in 1s");
});

Deno.test("windowReport() refuses a count that is no whole number from 1 to its limit", () => {
  const schedule = { windows: [{ window: parseWindow("14:00", "1h"), zone: "UTC" }], freezes: [] };
  const at = parseInstant("2015-05-21", "UTC");
  assertEquals(windowReport(schedule, at, MAX_REPORT_COUNT).windows.length, MAX_REPORT_COUNT);
  for (const count of [0, -1, 1.5, NaN, MAX_REPORT_COUNT + 1]) {
    const error = assertThrows(() => windowReport(schedule, at, count), RangeError);
    assertEquals(error.message, `cannot list ${count} windows: give a number from 1 to 1000`);
  }
});

Deno.test("parseInstant() reads a time on the clock of the zone, or at the offset behind it", () => {
  const read: readonly (readonly [string, string])[] = [
    ["2015-05-21 12:33:01", "2015-05-21T12:33:01-04:00"],
    ["2015-05-21T12:33:01", "2015-05-21T12:33:01-04:00"],
    ["2015-05-21 12:33", "2015-05-21T12:33:00-04:00"],
    ["2015-05-21", "2015-05-21T00:00:00-04:00"],
    ["2015-05-21T12:33:01Z", "2015-05-21T08:33:01-04:00"],
    ["2015-05-21t12:33z", "2015-05-21T08:33:00-04:00"],
    ["2015-05-21T12:33:01+02:00", "2015-05-21T06:33:01-04:00"],
    ["2015-05-21 12:33:01+0200", "2015-05-21T06:33:01-04:00"],
    ["2015-05-21T12:33:01.25-04:00", "2015-05-21T12:33:01.25-04:00"],
    ["2016-02-29", "2016-02-29T00:00:00-05:00"],
    ["2015-03-08 02:30", "2015-03-08T03:30:00-04:00"],
    ["2015-11-01 01:30", "2015-11-01T01:30:00-04:00"],
    ["2015-11-01 01:30-05:00", "2015-11-01T01:30:00-05:00"],
  ];
  for (const [text, time] of read) {
    assertEquals(parseInstant(text, "America/New_York").toString(), `${time}[America/New_York]`, text);
  }
});

Deno.test("parseInstant() reads every time that a report prints", () => {
  const { windows } = windowReport(
    { windows: [{ window: parseWindow("01:30", "1.5s"), zone: "Europe/London" }], freezes: [] },
    parseInstant("2015-10-30", "Europe/London"),
    5,
  );
  for (const { start, end } of windows) {
    for (const iso of [start, end ?? ""]) {
      assertEquals(parseInstant(iso, "Europe/London").toString({ timeZoneName: "never" }), iso);
    }
  }
});

Deno.test("parseInstant() refuses other texts, and dates and times that do not exist", () => {
  const form =
    "cannot be read; give 2015-05-21, '2015-05-21 12:33:01', or with an offset 2015-05-21T12:33:01-04:00";
  const missing = "names a date or time that does not exist";
  const refused: readonly (readonly [string, string])[] = [
    ["", form],
    ["now", form],
    ["12:33", form],
    ["21.05.2015", form],
    ["2015-5-21", form],
    ["2015-05-21Z", form],
    ["2015-05-21 12", form],
    ["2015-05-21  12:33", form],
    ["2015-05-21 12:33:01 ", form],
    ["2015-05-21T12:33:01[Europe/Berlin]", form],
    ["2015-05-21 12:33:01.1234567890", form],
    ["2015-05-21 12:33\n", form],
    ["2015-02-29", missing],
    ["2015-02-30T00:00Z", missing],
    ["2015-13-01", missing],
    ["2015-05-21 24:00", missing],
    ["2015-05-21 12:60", missing],
    ["2015-05-21 12:33+25:00", missing],
    ["2015-05-21 12:33:60", "is not a time of day; seconds run from 00 to 59"],
    ["2015-05-21 12:33:60Z", "is not a time of day; seconds run from 00 to 59"],
  ];
  for (const [text, why] of refused) {
    const error = assertThrows(() => parseInstant(text, "America/New_York"), WindowError);
    assertEquals(error.faults, [`time ${JSON.stringify(text)} ${why}`]);
  }
});
