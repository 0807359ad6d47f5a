/** Change calendars as the programs of this world write them: what they mean, and that nothing in them is passed over. */

import { assertEquals, assertThrows } from "@std/assert";
import { ChangeCalendar, ChangeCalendarError } from "../../lib/cli/change_calendar.ts";

function calendar(...lines: readonly string[]): string {
  return ["BEGIN:VCALENDAR", "VERSION:2.0", ...lines, "END:VCALENDAR", ""].join("\r\n");
}

function event(...lines: readonly string[]): string[] {
  return ["BEGIN:VEVENT", `UID:${crypto.randomUUID()}`, ...lines, "END:VEVENT"];
}

function freezes(text: string): string[] {
  const read = ChangeCalendar.read(text, "Europe/Berlin");
  return read.freezes(Date.parse("2026-01-01"), Date.parse("2027-06-01")).map(({ from, until, name }) => {
    return `${new Date(from).toISOString().slice(0, 16)} ${new Date(until).toISOString().slice(0, 16)} ${
      name ?? "-"
    }`;
  });
}

Deno.test("an event of whole days ends with its last day, whatever zone the reader is in; folded and escaped text is whole", () => {
  const days = event(
    "DTSTART;VALUE=DATE:20261220",
    "DTEND;VALUE=DATE:20270103",
    "SUMMARY:Christmas\\, and",
    "  New Year",
  );
  const day = event("DTSTART;VALUE=DATE:20260501", "TRANSP:TRANSPARENT");
  assertEquals(freezes(calendar(...days, ...day)), [
    "2026-04-30T22:00 2026-05-01T22:00 -",
    "2026-12-19T23:00 2027-01-02T23:00 Christmas, and New Year",
  ]);
});

Deno.test("a time is in UTC, in the zone that it names, in one that the file describes, or in the reader's", () => {
  const zone = [
    "BEGIN:VTIMEZONE",
    "TZID:W. Europe Standard Time",
    "BEGIN:STANDARD",
    "DTSTART:16010101T030000",
    "TZOFFSETFROM:+0200",
    "TZOFFSETTO:+0100",
    "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10",
    "END:STANDARD",
    "BEGIN:DAYLIGHT",
    "DTSTART:16010101T020000",
    "TZOFFSETFROM:+0100",
    "TZOFFSETTO:+0200",
    "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3",
    "END:DAYLIGHT",
    "END:VTIMEZONE",
  ];
  const text = calendar(
    ...zone,
    ...event("DTSTART:20260701T100000Z", "DURATION:PT2H", "SUMMARY:utc"),
    ...event(
      "DTSTART;TZID=America/New_York:20260702T170000",
      "DTEND;TZID=America/New_York:20260702T180000",
      "SUMMARY:named",
    ),
    ...event(
      "DTSTART;TZID=W. Europe Standard Time:20260703T180000",
      "DTEND;TZID=W. Europe Standard Time:20260703T190000",
      "SUMMARY:described",
    ),
    ...event("DTSTART:20260704T180000", "DTEND:20260704T190000", "SUMMARY:floating"),
  );
  assertEquals(freezes(text), [
    "2026-07-01T10:00 2026-07-01T12:00 utc",
    "2026-07-02T21:00 2026-07-02T22:00 named",
    "2026-07-03T16:00 2026-07-03T17:00 described",
    "2026-07-04T16:00 2026-07-04T17:00 floating",
  ]);
});

Deno.test("an event that comes back counts each time, but for what is excepted, moved or cancelled", () => {
  const series = [
    "BEGIN:VEVENT",
    "UID:month-end",
    "DTSTART;TZID=Europe/Berlin:20260131T180000",
    "DTEND;TZID=Europe/Berlin:20260201T060000",
    "RRULE:FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=4",
    "EXDATE;TZID=Europe/Berlin:20260228T180000",
    "SUMMARY:month end",
    "END:VEVENT",
    "BEGIN:VEVENT",
    "UID:month-end",
    "RECURRENCE-ID;TZID=Europe/Berlin:20260331T180000",
    "DTSTART;TZID=Europe/Berlin:20260401T180000",
    "DTEND;TZID=Europe/Berlin:20260401T190000",
    "SUMMARY:moved",
    "END:VEVENT",
  ];
  const cancelled = event("DTSTART:20260201T000000Z", "DTEND:20260202T000000Z", "STATUS:CANCELLED");
  const yearly = event("DTSTART;VALUE=DATE:20000101", "RRULE:FREQ=YEARLY", "SUMMARY:New Year");
  assertEquals(freezes(calendar(...series, ...cancelled, ...yearly)), [
    "2025-12-31T23:00 2026-01-01T23:00 New Year",
    "2026-01-31T17:00 2026-02-01T05:00 month end",
    "2026-04-01T16:00 2026-04-01T17:00 moved",
    "2026-04-30T16:00 2026-05-01T04:00 month end",
    "2026-12-31T23:00 2027-01-01T23:00 New Year",
  ]);
});

Deno.test("what cannot be understood is a fault that names the event, and never left out", () => {
  const fault = (text: string) => assertThrows(() => freezes(text), ChangeCalendarError).message;
  assertEquals(fault(""), "it is no calendar: it does not begin with BEGIN:VCALENDAR");
  assertEquals(
    fault("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:2026"),
    "it is no calendar that can be read: invalid ical body. component began but did not end",
  );
  assertEquals(
    fault(calendar(...event("DTSTART;TZID=Mars:20260701T180000", "SUMMARY:sale"))),
    'event "sale" is in the time zone "Mars", which is unknown and not described in the file',
  );
  assertEquals(fault(calendar(...event("SUMMARY:sale"))), 'event "sale" has no start');
  assertEquals(
    fault(calendar(...event("DTSTART:20260102T000000Z", "DTEND:20260101T000000Z", "SUMMARY:sale"))),
    'event "sale" ends before it begins',
  );
  assertEquals(
    fault(calendar(...event("DTSTART:20260102T000000Z", "RRULE:FREQ=SECONDLY", "SUMMARY:sale"))),
    'event "sale" comes back more than 20000 times',
  );
});
