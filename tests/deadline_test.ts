import { assertEquals } from "@std/assert";
import { DeadlineReminder, describeDeadline } from "../lib/deadline.ts";
import type { Deadline } from "../lib/need.ts";

const DAY_MS = 24 * 3_600_000;
const END: Deadline = { until: "2027-10-02", why: "end of Livepatch for kernel 6.8.0-142.142-generic" };
const END_MS = Date.parse("2027-10-02T00:00:00Z");

Deno.test("a deadline is told with how far away it is, and as overdue once its day begins", () => {
  const why = "end of Livepatch for kernel 6.8.0-142.142-generic";
  assertEquals(describeDeadline(END, END_MS - 9 * DAY_MS), `reboot before 2027-10-02, in 9 days: ${why}`);
  assertEquals(describeDeadline(END, END_MS), `reboot overdue since 2027-10-02, in 0 s: ${why}`);
  assertEquals(describeDeadline(END, END_MS + DAY_MS), `reboot overdue since 2027-10-02, 1 day ago: ${why}`);
});

Deno.test("a deadline is logged once when it is near and once when it has passed, however often it is heard, and a later one takes its place", () => {
  let now = END_MS - 100 * DAY_MS;
  let due: { atMs: number; run: () => void } | undefined;
  const lines: string[] = [];
  const surroundings = {
    now: () => now,
    after: (ms: number, run: () => void) => {
      const timer = due = { atMs: now + ms, run };
      return { cancel: () => void (due === timer && (due = undefined)) };
    },
  };
  const reminder = new DeadlineReminder(surroundings, (level, text) => {
    lines.push(`day ${(now - END_MS) / DAY_MS}: ${level}: ${text.replace(/,.*/, "")}`);
  });
  const live = (days: number) => {
    for (const endMs = now + days * DAY_MS; now < endMs;) {
      now = Math.min(due?.atMs ?? endMs, endMs);
      if (due !== undefined && due.atMs <= now) due.run();
      reminder.hear(END);
    }
  };
  reminder.hear(undefined);
  reminder.hear(END);
  live(120);
  assertEquals(lines, [
    "day -14: notice: reboot before 2027-10-02",
    "day 0: warning: reboot overdue since 2027-10-02",
  ]);
  reminder.hear({ ...END, until: "2027-10-30" });
  assertEquals(lines.at(-1), "day 20: notice: reboot before 2027-10-30");
  reminder[Symbol.dispose]();
  assertEquals(due, undefined);
});
