/** How a group with a queue, a pause and machines that are late is shown. */

import { assertEquals } from "@std/assert";

import type { Place } from "../../lib/queue.ts";
import { groupsText, statusText, verboseStatusText, whyNoSlot } from "../../lib/cli/report.ts";
import { type Seen, statusJson } from "../../lib/status.ts";
import { FRESH, type Semaphore } from "../../lib/semaphore.ts";

import { parseSemaphore } from "../../lib/document.ts";

const NOW = Date.parse("2026-05-21T23:05:00Z");

const CLOCK = { now: NOW, zone: undefined };

const HELD = parseSemaphore(JSON.stringify({
  semaphore: 0,
  max: 2,
  holders: ["A", "B"],
  holds: {
    A: {
      host: "web1",
      boot: "b1",
      since: "2026-05-21T21:00:00Z",
      by: "locksmithd",
      reason: "new kernel",
      phase: "rebooting",
    },
    B: { since: "2026-05-21T23:00:00Z", by: "anna@desk", reason: "disk swap" },
  },
}));
const PAUSE = { since: "2026-05-21T23:04:30Z", by: "anna@desk", reason: "storage", extra: {} };
const PAUSED: Semaphore = { ...HELD, paused: PAUSE };
const QUEUE: Place[] = [
  {
    machine: "D",
    priority: 5,
    since: "2026-05-21T23:04:59Z",
    host: "db1",
    by: "locksmithd",
    reason: "kernel",
  },
  { machine: "C", priority: 0 },
];
const SEEN: Seen = { semaphore: HELD, all: FRESH, stored: true, queue: QUEUE, overdue: ["A"] };

Deno.test("status of a group that is not paused has the old lines and no more", () => {
  assertEquals(statusText(SEEN, NOW), "Available: 0\nMax: 2\n\nMACHINE ID\nA\nB\n");
  assertEquals(statusText({ ...SEEN, semaphore: FRESH }, NOW), "Available: 1\nMax: 1\n");
});

Deno.test("status of a paused group says so below Max, and only machine ids follow their title", () => {
  assertEquals(
    statusText({ ...SEEN, semaphore: PAUSED }, NOW),
    `Available: 0
Max: 2
Paused: since 2026-05-21T23:04:30Z (30s), by anna@desk, because: storage

MACHINE ID
A
B
`,
  );
});

Deno.test("status --verbose shows who is overdue, and the queue in its order with how long each has waited", () => {
  assertEquals(
    verboseStatusText(SEEN, NOW),
    `Available: 0
Max: 2

MACHINE ID  SINCE                 FOR   PHASE               HOST  BY          REASON
A           2026-05-21T21:00:00Z  2h5m  rebooting, overdue  web1  locksmithd  new kernel
B           2026-05-21T23:00:00Z  5m    by hand             -     anna@desk   disk swap

PLACE  MACHINE ID  PRIORITY  SINCE                 FOR  HOST  BY          REASON
1      D           5         2026-05-21T23:04:59Z  1s   db1   locksmithd  kernel
2      C           0         -                     -    -     -           -
`,
  );
});

Deno.test("status --verbose shows a queue that nobody holds a slot before", () => {
  const text = verboseStatusText({ ...SEEN, semaphore: { ...FRESH, paused: PAUSE }, overdue: [] }, NOW);
  assertEquals(text.split("\n").slice(3, 6).map((line) => line.split(/ {2,}/)[1]), [
    undefined,
    "MACHINE ID",
    "D",
  ]);
});

Deno.test("status --json has the queue in its order; what is not known of a place is not there", () => {
  const { overdue, queue } = statusJson("", SEEN, NOW);
  assertEquals(overdue, ["A"]);
  assertEquals(queue, [
    {
      machine: "D",
      priority: 5,
      since: "2026-05-21T23:04:59Z",
      waitedSeconds: 1,
      host: "db1",
      by: "locksmithd",
      reason: "kernel",
    },
    { machine: "C", priority: 0 },
  ]);
});

Deno.test("nobody has waited for less than nothing, though a clock goes ahead of ours", () => {
  const queue = [{ machine: "C", priority: 0, since: "2026-05-21T23:09:00Z" }];
  assertEquals(statusJson("", { ...SEEN, queue }, NOW).queue[0]?.waitedSeconds, 0);
});

Deno.test("groups counts who waits and who is overdue", () => {
  assertEquals(
    groupsText([
      { ...SEEN, group: "", semaphore: FRESH, queue: [], overdue: [] },
      { group: "web", ...SEEN, semaphore: PAUSED },
    ], NOW),
    `GROUP      AVAILABLE  MAX  HOLDERS  PAUSED  WAITING  OVERDUE
(default)  1          1    0        no      0        0
web        0          2    2        yes     2        1
`,
  );
});

Deno.test("who got no slot is told what stands in the way", () => {
  const held = "web1 (A), rebooting for 2 h 5 min, because: new kernel; " +
    "B, taken by hand 5 min ago by anna@desk, because: disk swap";
  assertEquals(whyNoSlot("web", SEEN, CLOCK), `group web is full, held by ${held}`);
  assertEquals(
    whyNoSlot("", { ...SEEN, semaphore: PAUSED }, CLOCK),
    "no slots are granted in group (default) (since 2026-05-21T23:04:30Z, 30 s ago, by anna@desk, " +
      `because: storage); held by ${held}`,
  );
  assertEquals(
    whyNoSlot("", { ...SEEN, semaphore: { ...FRESH, max: 0 } }, CLOCK),
    "group (default) has no slots at all; 'locksmith set-max 1' gives it one",
  );
  assertEquals(
    whyNoSlot("", { ...SEEN, semaphore: FRESH }, CLOCK),
    "group (default) now has a free slot, but db1 (D) is first in line; 'locksmith status --verbose' shows the queue",
  );
  assertEquals(
    whyNoSlot("", { ...SEEN, semaphore: FRESH, queue: [] }, CLOCK),
    "group (default) now has a free slot; try again",
  );
  const holders = Array.from({ length: 5_000 }, (_, index) => `web${index + 1}`);
  assertEquals(
    whyNoSlot("", { ...SEEN, semaphore: { ...FRESH, max: 5_000, holders } }, CLOCK),
    "group (default) is full, held by web1; web2; web3; and 4,997 more",
  );
});

Deno.test("a pause is shown where it counts: of this group or of all, until its end", () => {
  const all = { ...FRESH, paused: { by: "anna@desk", until: "2026-05-21T23:06:00Z", extra: {} } };
  const both = { ...SEEN, semaphore: PAUSED, all };
  const [, , first, second] = statusText(both, NOW).split("\n");
  assertEquals(first, "Paused: since 2026-05-21T23:04:30Z (30s), by anna@desk, because: storage");
  assertEquals(second, "Paused: all groups, until 2026-05-21T23:06:00Z, by anna@desk");
  const pauses = (
    { paused, pausedAll }: ReturnType<typeof statusJson>,
  ) => [paused?.["by"], pausedAll?.["by"]];
  assertEquals(pauses(statusJson("", both, NOW)), ["anna@desk", "anna@desk"]);
  assertEquals(pauses(statusJson("", both, NOW + 60_000)), ["anna@desk", undefined]);
  const column = (seen: Seen, now: number) => groupsText([{ ...seen, group: "" }], now).split("\n")[1];
  assertEquals(column(both, NOW)?.includes(" all "), true);
  assertEquals(column(both, NOW + 60_000)?.includes(" yes "), true);
  assertEquals(
    whyNoSlot("web", { ...SEEN, semaphore: FRESH, all }, CLOCK),
    "no slots are granted in any group (until 2026-05-21T23:06:00Z, by anna@desk)",
  );
});

Deno.test("nothing that a place brings along steers the terminal of who looks at the queue", () => {
  const queue = [{ machine: "C\u001b[2J", priority: 0, reason: "a\nb" }];
  const text = verboseStatusText({ ...SEEN, semaphore: FRESH, queue, overdue: [] }, NOW);
  assertEquals(text.split("\n").at(-2), "1      C\\u001b[2J  0         -      -    -     -   a b");
});

Deno.test("hosts that poll a server are shown in line, away or with a slot kept for them", () => {
  const by = "fleet-lock";
  const queue: Place[] = [
    { machine: "p1", priority: 0, by, away: true },
    { machine: "p2", priority: 0, by, away: true, kept: true },
    { machine: "w1", priority: 0, by },
  ];
  const seen: Seen = { semaphore: FRESH, all: FRESH, stored: true, queue, overdue: [] };
  const rows = verboseStatusText(seen, NOW).split("\n").slice(-4, -1);
  assertEquals(rows.map((row) => row.split(/ {2,}/).slice(1).join("|")), [
    "p1|0|-|-|-|fleet-lock, away|-",
    "p2|0|-|-|-|fleet-lock, away, slot kept|-",
    "w1|0|-|-|-|fleet-lock|-",
  ]);
  assertEquals(statusJson("web", seen, NOW).queue, [
    { machine: "p1", priority: 0, by, away: true },
    { machine: "p2", priority: 0, by, away: true, kept: true },
    { machine: "w1", priority: 0, by },
  ]);
  // one who is away stops nobody, unless a slot is kept for it
  assertEquals(whyNoSlot("web", seen, CLOCK).includes("p2 is first in line"), true);
});
