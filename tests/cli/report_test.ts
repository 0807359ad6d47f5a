/** How a semaphore is shown, where the scripts in tests/cli cannot show it: pauses, boots, ages, hostile texts. */

import { assertEquals, assertMatch } from "@std/assert";
import { groupsText, statusText, verboseStatusText } from "../../lib/cli/report.ts";
import { type Seen, statusJson } from "../../lib/status.ts";
import { FRESH, type Semaphore } from "../../lib/semaphore.ts";
import { parseSemaphore } from "../../lib/document.ts";

const NOW = Date.parse("2026-05-21T23:01:05.500Z");
const DOCUMENT = parseSemaphore(JSON.stringify({
  semaphore: -1,
  max: 2,
  holders: ["a", "b", "c"],
  holds: {
    a: { host: "web1", boot: "b1", since: "2026-05-21T23:00:04.120Z", by: "locksmithd", phase: "rebooting" },
    b: { since: "2026-05-22T00:00:00Z", reason: "disk\n\u001b[2Jswap", host: "", rack: 7 },
  },
  paused: { since: "2026-05-20T23:01:05Z", by: "admin@ops", reason: "freeze", ticket: 12 },
}));

const { paused: _, ...SOUND } = DOCUMENT;
const seen = (semaphore: Semaphore): Seen => ({
  semaphore,
  all: FRESH,
  stored: true,
  queue: [],
  overdue: [],
});

Deno.test("statusText() is what the old program printed, and tells of a pause above the ids", () => {
  assertEquals(statusText(seen(FRESH), NOW), "Available: 1\nMax: 1\n");
  assertEquals(statusText(seen(SOUND), NOW), "Available: -1\nMax: 2\n\nMACHINE ID\na\nb\nc\n");
  assertEquals(
    statusText(seen(DOCUMENT), NOW),
    "Available: -1\nMax: 2\nPaused: since 2026-05-20T23:01:05Z (24h1s), by admin@ops, because: freeze\n" +
      "\nMACHINE ID\na\nb\nc\n",
  );
});

Deno.test("verboseStatusText() shows each hold in one line, and of a pause since when, by whom and why", () => {
  assertEquals(verboseStatusText(seen(FRESH), NOW), "Available: 1\nMax: 1\n");
  assertEquals(
    verboseStatusText(seen(DOCUMENT), NOW),
    `Available: -1
Max: 2
Paused: since 2026-05-20T23:01:05Z (24h1s), by admin@ops, because: freeze

MACHINE ID  SINCE                     FOR   PHASE      HOST  BY          REASON
a           2026-05-21T23:00:04.120Z  1m1s  rebooting  web1  locksmithd  -
b           2026-05-22T00:00:00Z      0s    by hand    -     -           disk \\u001b[2Jswap
c           -                         -     by hand    -     -           -
`,
  );
  assertEquals(
    verboseStatusText(seen({ ...FRESH, paused: { extra: {} } }), NOW),
    "Available: 1\nMax: 1\nPaused: yes\n",
  );
});

Deno.test("verboseStatusText() says of a machine that has rebooted whether it is well, and what is wrong", () => {
  const hold = {
    host: "web1",
    boot: "b1",
    since: "2026-05-21T23:00:04Z",
    phase: "rebooting",
    reason: "kernel",
  };
  const held = { ...hold, back: "2026-05-21T23:02:00Z" };
  const semaphore = parseSemaphore(JSON.stringify({
    semaphore: 0,
    max: 2,
    holders: ["a", "b"],
    holds: { a: { ...held, trouble: "raid: degraded" }, b: held },
  }));
  const rows = verboseStatusText(seen(semaphore), NOW).split("\n");
  assertMatch(rows.find((row) => row.startsWith("a ")) ?? "", / unhealthy +web1 +- +raid: degraded/);
  assertMatch(rows.find((row) => row.startsWith("b ")) ?? "", / back +web1 +- +kernel/);
});

Deno.test("statusJson() has the promised fields, with details and pause as they are stored", () => {
  assertEquals(JSON.parse(JSON.stringify(statusJson("web", seen(DOCUMENT), NOW))), {
    group: "web",
    stored: true,
    available: -1,
    max: 2,
    holders: ["a", "b", "c"],
    holds: {
      a: {
        host: "web1",
        boot: "b1",
        since: "2026-05-21T23:00:04.120Z",
        by: "locksmithd",
        phase: "rebooting",
      },
      b: { since: "2026-05-22T00:00:00Z", reason: "disk\n\u001b[2Jswap", host: "", rack: 7 },
    },
    paused: { since: "2026-05-20T23:01:05Z", by: "admin@ops", reason: "freeze", ticket: 12 },
    pausedAll: null,
    freezes: [],
    freezesAll: [],
    overdue: [],
    queue: [],
  });
  assertEquals(
    JSON.stringify(statusJson("", seen(FRESH), NOW)),
    '{"group":"","stored":true,"available":1,"max":1,"holders":[],"holds":{},"paused":null,"pausedAll":null,"freezes":[],"freezesAll":[],"overdue":[],"queue":[]}',
  );
});

Deno.test("groupsText() is a line a group", () => {
  assertEquals(
    groupsText([{ group: "", ...seen(FRESH) }, { group: "web", ...seen(DOCUMENT), overdue: ["a"] }], NOW),
    `GROUP      AVAILABLE  MAX  HOLDERS  PAUSED  WAITING  OVERDUE
(default)  1          1    0        no      0        0
web        -1         2    3        yes     0        1
`,
  );
});
