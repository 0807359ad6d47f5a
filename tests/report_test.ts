/** How a semaphore is shown, where the scripts in tests/cli cannot show it: pauses, boots, ages, hostile texts. */

import { assertEquals } from "@std/assert";
import { groupsText, statusJson, statusText, verboseStatusText } from "../lib/report.ts";
import { FRESH, parseSemaphore } from "../lib/semaphore.ts";

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

Deno.test("statusText() is what the old program printed, pause or not", () => {
  assertEquals(statusText(FRESH), "Available: 1\nMax: 1\n");
  assertEquals(statusText(DOCUMENT), "Available: -1\nMax: 2\n\nMACHINE ID\na\nb\nc\n");
});

Deno.test("verboseStatusText() shows each hold in one line, and of a pause since when, by whom and why", () => {
  assertEquals(verboseStatusText(FRESH, NOW), "Available: 1\nMax: 1\n");
  assertEquals(
    verboseStatusText(DOCUMENT, NOW),
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
    verboseStatusText({ ...FRESH, paused: { extra: {} } }, NOW),
    "Available: 1\nMax: 1\nPaused: yes\n",
  );
});

Deno.test("statusJson() has the promised fields, with details and pause as they are stored", () => {
  assertEquals(JSON.parse(JSON.stringify(statusJson("web", DOCUMENT))), {
    group: "web",
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
  });
  assertEquals(
    JSON.stringify(statusJson("", FRESH)),
    '{"group":"","available":1,"max":1,"holders":[],"holds":{},"paused":null}',
  );
});

Deno.test("groupsText() is a line a group", () => {
  assertEquals(
    groupsText([{ group: "", semaphore: FRESH }, { group: "web", semaphore: DOCUMENT }]),
    `GROUP      AVAILABLE  MAX  HOLDERS  PAUSED
(default)  1          1    0        no
web        -1         2    3        yes
`,
  );
});
