import { assertEquals } from "@std/assert";
import { rolloutReport, rolloutText } from "../../lib/cli/rollout_report.ts";
import { ALWAYS } from "../../lib/schedule.ts";
import { parseInstant } from "../../lib/cli/window_report.ts";
import type { RolloutPlan } from "../../lib/simulation/plan.ts";
import { simulateRollout } from "../../lib/simulation/rollout.ts";
import { parseWindow } from "../../lib/window.ts";

const BERLIN = "Europe/Berlin";
const THURSDAYS = { windows: [{ window: parseWindow("Thu 23:00", "1h30m"), zone: BERLIN }], freezes: [] };
const SECOND = 1000;

function plan(changes: Partial<RolloutPlan> = {}): RolloutPlan {
  return {
    machines: 20,
    max: 3,
    rebootMs: { from: 90 * SECOND, to: 90 * SECOND },
    schedule: ALWAYS,
    graceMs: 0,
    startMs: parseInstant("2026-05-20", BERLIN).epochMilliseconds,
    seed: 1,
    ...changes,
  };
}

Deno.test("rolloutText() tells what a planner asks, and each window that it takes", async () => {
  const rollout = await simulateRollout(plan({ machines: 500, max: 5, schedule: THURSDAYS }));
  assertEquals(
    rolloutText(rollout, BERLIN),
    `500 machines, 5 at once; a reboot takes 1m30s; every Thu at 23:00 for 1h30m, Europe/Berlin

Start:         Wed 2026-05-20 00:00:00 +02:00
Done:          Fri 2026-05-29 00:00:02 +02:00
Takes:         216h2s, ideal: 215h58m30s
Windows:       2
Slots busy:    99.9 % of the time that the window is open
Longest wait:  215h58m32s

WINDOW                          UNTIL                           REBOOTS
Thu 2026-05-21 23:00:00 +02:00  Fri 2026-05-22 00:30:00 +02:00  300
Thu 2026-05-28 23:00:00 +02:00  Fri 2026-05-29 00:30:00 +02:00  200
`,
  );
});

Deno.test("rolloutReport() has the shape that docs/protocol.md promises", async () => {
  const rollout = await simulateRollout(plan({ machines: 2, max: 1, schedule: THURSDAYS }));
  const report = JSON.stringify(rolloutReport(rollout, BERLIN));
  // whole seconds: how many messages it takes is nobody's promise
  assertEquals(JSON.parse(report.replace(/(\d)\.\d{1,3}(?=[,}+])/g, "$1")), {
    max: 1,
    lost: 0,
    unhealthy: 0,
    heldOff: 0,
    start: "2026-05-20T00:00:00+02:00",
    through: "2026-05-21T23:03:00+02:00",
    why: null,
    takesSeconds: 169_380,
    idealSeconds: 169_380,
    windowsUsed: 1,
    busyShare: 0.9999,
    longestWaitSeconds: 169_290,
    windows: [{ start: "2026-05-21T23:00:00+02:00", end: "2026-05-22T00:30:00+02:00", reboots: 2 }],
    machines: [
      {
        machine: "m1",
        spans: [
          { state: "waiting", fromSeconds: 0, toSeconds: 169_200 },
          { state: "holding", fromSeconds: 169_200, toSeconds: 169_200 },
          { state: "rebooting", fromSeconds: 169_200, toSeconds: 169_290 },
          { state: "holding", fromSeconds: 169_290, toSeconds: 169_290 },
        ],
      },
      {
        machine: "m2",
        spans: [
          { state: "waiting", fromSeconds: 0, toSeconds: 169_290 },
          { state: "holding", fromSeconds: 169_290, toSeconds: 169_290 },
          { state: "rebooting", fromSeconds: 169_290, toSeconds: 169_380 },
          { state: "holding", fromSeconds: 169_380, toSeconds: 169_380 },
        ],
      },
    ],
  });
});

Deno.test("rolloutReport() of a roll-out that never ends says why, and has no figures for it", async () => {
  const never = rolloutReport(await simulateRollout(plan({ max: 0 })), BERLIN);
  assertEquals({ ...never, machines: never.machines.length }, {
    max: 0,
    lost: 0,
    unhealthy: 0,
    heldOff: 0,
    start: "2026-05-20T00:00:00+02:00",
    through: null,
    why: "never: max is 0, and no slot is ever granted",
    takesSeconds: null,
    idealSeconds: null,
    windowsUsed: null,
    busyShare: 0,
    longestWaitSeconds: 0,
    windows: [],
    machines: 20,
  });
});
