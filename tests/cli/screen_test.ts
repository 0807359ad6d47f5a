/** What a person sees on a terminal: its width is kept, its clock is used, and what is wrong catches the eye. */

import { assert, assertEquals } from "@std/assert";
import { groupsOn, statusOn } from "../../lib/cli/screen_report.ts";
import { statusText } from "../../lib/cli/report.ts";
import { historyOn } from "../../lib/cli/history_command.ts";
import { widthOf } from "../../lib/cli/output.ts";
import type { Screen } from "../../lib/cli/screen.ts";
import { parseSemaphore } from "../../lib/document.ts";
import { FRESH } from "../../lib/semaphore.ts";

const NOW = Date.parse("2026-11-29T18:00:00Z");
const SCREEN: Screen = { columns: Infinity, zone: "Europe/Berlin", colour: false };
const ID = "bcbd63b7d1f04e5ab2c81d9c8e1f0a2b";
const SEEN = {
  semaphore: parseSemaphore(JSON.stringify({
    semaphore: 0,
    max: 2,
    holders: ["A", ID],
    holds: {
      A: { since: "2026-11-29T17:59:46Z", by: "anna@desk", reason: "disk swap \u65e5\u672c" },
      [ID]: {
        host: "\u6771\u4eac1",
        boot: "b1",
        since: "2026-10-23T05:59:30Z",
        by: "locksmithd",
        reason: "new kernel, the fourth one this week",
        phase: "rebooting",
      },
    },
    paused: { since: "2026-11-29T17:30:00Z", by: "anna@desk" },
  })),
  all: FRESH,
  stored: true,
  queue: [{ machine: "B", priority: 0, since: "2026-11-29T16:00:00Z", host: "web2" }],
  overdue: [ID],
};

Deno.test("status --verbose on a terminal names hosts first, by the clock of the terminal, with days in what lasts long", () => {
  assertEquals(
    statusOn(SCREEN, SEEN, NOW),
    `Available: 0
Max: 2
Paused: since Sun 2026-11-29 18:30:00 +01:00 (30 min), by anna@desk

MACHINE            PHASE               FOR        SINCE                           BY          REASON
A                  by hand             14 s       Sun 2026-11-29 18:59:46 +01:00  anna@desk   disk swap \u65e5\u672c
\u6771\u4eac1 (bcbd63b7\u2026)  rebooting, overdue  37 d 12 h  Fri 2026-10-23 07:59:30 +02:00  locksmithd  new kernel, the fourth one this week

PLACE  MACHINE   PRIORITY  FOR  SINCE
1      web2 (B)  0         2 h  Sun 2026-11-29 17:00:00 +01:00
`,
  );
});

Deno.test("tables on a terminal have fewer columns before any line is too long, and cut the last one", () => {
  for (const columns of [120, 80, 60, 40]) {
    const text = statusOn({ ...SCREEN, columns }, SEEN, NOW);
    for (const line of text.split("\n").filter((line) => !line.startsWith("Paused"))) {
      assert(widthOf(line) <= columns, `${columns}: ${line}`);
    }
    assert(text.includes("\u6771\u4eac1 (bcbd63b7\u2026)"), "who holds is what matters");
  }
  assertEquals(
    statusOn({ ...SCREEN, columns: 80 }, SEEN, NOW).split("\n").slice(4, 7),
    [
      "MACHINE            PHASE               FOR        BY          REASON",
      "A                  by hand             14 s       anna@desk   disk swap \u65e5\u672c",
      "\u6771\u4eac1 (bcbd63b7\u2026)  rebooting, overdue  37 d 12 h  locksmithd  new kernel, the f\u2026",
    ],
  );
  assertEquals(
    groupsOn({ ...SCREEN, columns: 36 }, [{ group: "", ...SEEN }], NOW),
    "GROUP      AVAILABLE  PAUSED  OVERDUE\n(default)  0          yes     1\n",
  );
});

Deno.test("what is overdue or paused has a colour, where the terminal has some", () => {
  const colour = { ...SCREEN, colour: true };
  const lines = statusOn(colour, SEEN, NOW).split("\n");
  assertEquals(lines.filter((line) => line.startsWith("\u001b[33m")).map((line) => line.slice(5, 11)), [
    "Paused",
  ]);
  assertEquals(
    lines.filter((line) => line.startsWith("\u001b[31m\u6771\u4eac1 (") && line.endsWith("\u001b[0m")).length,
    1,
  );
  const groups = [
    { group: "late", ...SEEN },
    { group: "paused", ...SEEN, overdue: [] },
    { ...SEEN, group: "well", semaphore: FRESH, queue: [], overdue: [] },
  ];
  assertEquals(groupsOn(colour, groups, NOW).split("\n").map((line) => line.split(" ")[0]), [
    "GROUP",
    "\u001b[31mlate",
    "\u001b[33mpaused",
    "well",
    "",
  ]);
});

Deno.test("plain status on a terminal has the old lines, and of a pause its own clock", () => {
  assertEquals(
    statusText(SEEN, NOW, SCREEN),
    `Available: 0
Max: 2
Paused: since Sun 2026-11-29 18:30:00 +01:00 (30 min), by anna@desk

MACHINE ID
A
${ID}
`,
  );
});

Deno.test("history on a terminal names hosts first and has its clock; what is stored is shown where that has no zone", () => {
  const report = {
    group: "",
    complete: false,
    oldest: { revision: "7", at: "2026-11-29T16:00:00Z" },
    events: [{ revision: "8", what: "grant", at: "2026-11-29T17:00:00.250Z", machine: ID, host: "web1" }],
  };
  assertEquals(
    historyOn(SCREEN, report),
    `Known: from revision 7, Sun 2026-11-29 17:00:00 +01:00; the store has dropped what came before

TIME                            WHAT   MACHINE
Sun 2026-11-29 18:00:00 +01:00  grant  web1 (bcbd63b7\u2026)
`,
  );
  assert(historyOn({ ...SCREEN, zone: undefined }, report).includes("\n2026-11-29T17:00:00.250Z  grant"));
});
