/** Roll-outs whose machines have hooks, checks and a soak, against what one computes by hand. */

import { assert, assertEquals } from "@std/assert";
import { fateFaults, type RolloutPlan, type Upkeep } from "../../lib/simulation/plan.ts";
import { type Rollout, simulateRollout } from "../../lib/simulation/rollout.ts";
import { parseWindow } from "../../lib/window.ts";
import { ALWAYS } from "../../lib/schedule.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const NONE: Upkeep = {
  hooksMs: 0,
  checksMs: 0,
  soakMs: 0,
  heldOffShare: 0,
  unhealthyShare: 0,
  recoverMs: Infinity,
};

function plan(upkeep: Partial<Upkeep>, changes: Partial<RolloutPlan> = {}): RolloutPlan {
  return {
    machines: 10,
    max: 2,
    rebootMs: { from: MINUTE, to: MINUTE },
    schedule: ALWAYS,
    graceMs: 0,
    startMs: Date.UTC(2026, 4, 20),
    seed: 1,
    upkeep: { ...NONE, ...upkeep },
    ...changes,
  };
}

function statesOf({ machines }: Rollout): string[] {
  return machines.map(({ spans }) => spans.map(({ state }) => state).join(" "));
}

function isAbout(ms: number | null | undefined, idealMs: number): void {
  assert(ms !== null && ms !== undefined && ms >= idealMs && ms <= idealMs * 1.02, `${ms}, not ${idealMs}`);
}

Deno.test("simulateRollout() keeps each slot for hooks, checks and soak as long as one computes by hand", async () => {
  // 5 turns: checks 10 s and hooks 30 s before, 60 s of reboot, up for 5 min, and checks once more
  const soaked = await simulateRollout(
    plan({ hooksMs: 30 * SECOND, checksMs: 10 * SECOND, soakMs: 5 * MINUTE }),
  );
  assertEquals(soaked.idealMs, 5 * (40 + 60 + 300 + 10) * SECOND);
  isAbout(soaked.throughMs, soaked.idealMs);
  // a soak that is over when hooks and checks are costs nothing
  const brief = await simulateRollout(
    plan({ hooksMs: 30 * SECOND, checksMs: 10 * SECOND, soakMs: 40 * SECOND }),
  );
  assertEquals(brief.idealMs, 5 * (40 + 60 + 40) * SECOND);
  isAbout(brief.throughMs, brief.idealMs);
  assertEquals(new Set(statesOf(brief)), new Set(["waiting holding rebooting proving"]));
});

Deno.test("simulateRollout() lets machines pass one whose checks say no, and says that it stays behind", async () => {
  const rollout = await simulateRollout(plan({ heldOffShare: 0.2 }));
  assertEquals([rollout.heldOff, rollout.unhealthy, rollout.lost], [2, 0, 0]);
  isAbout(rollout.throughMs, 4 * MINUTE);
  assertEquals(statesOf(rollout).filter((states) => states === "waiting").length, 2);
});

Deno.test("simulateRollout() goes on with the slots that unhealthy machines leave, and stops where they leave none", async () => {
  const goesOn = await simulateRollout(plan({ unhealthyShare: 0.1 }));
  assertEquals([goesOn.unhealthy, goesOn.why], [1, undefined]);
  assertEquals(statesOf(goesOn).filter((states) => states.endsWith("rebooting proving unhealthy")).length, 1);
  const stops = await simulateRollout(plan({ unhealthyShare: 0.5 }, { machines: 20 }));
  assertEquals([stops.unhealthy, stops.throughMs], [2, null]);
  assertEquals(stops.why, "never: 2 machines are unhealthy after the boot and keep all 2 slots");
  assert(stops.machines.some(({ calledMs }) => calledMs === null), "nobody was left over");
});

Deno.test("simulateRollout() has every machine reboot where those that fail get well", async () => {
  const rollout = await simulateRollout(
    plan({ heldOffShare: 0.2, unhealthyShare: 0.2, recoverMs: 20 * MINUTE }),
  );
  assertEquals([rollout.heldOff, rollout.unhealthy, rollout.machines.length], [0, 0, 10]);
  assert(rollout.throughMs !== null && rollout.machines.every(({ calledMs }) => calledMs !== null));
  const ill = rollout.machines.flatMap(({ spans }) => spans.filter(({ state }) => state === "unhealthy"));
  assertEquals(ill.length, 2);
  for (const { fromMs, toMs } of ill) assert(toMs - fromMs >= 20 * MINUTE && toMs - fromMs < 22 * MINUTE);
});

Deno.test("simulateRollout() starts no reboot that the window has no room for, if its hooks took as long as they may", async () => {
  const schedule = { windows: [{ window: parseWindow("02:00", "20m"), zone: "UTC" }], freezes: [] };
  const slow = { hooksMs: MINUTE, hooksLimitMs: 15 * MINUTE };
  // turns of 3 minutes: the third of a window would begin after 6, when less than 15 are left
  const rollout = await simulateRollout(plan(slow, { machines: 6, max: 1, schedule }));
  assertEquals(rollout.windows.map(({ reboots }) => reboots), [2, 2, 2]);
  const never = await simulateRollout(plan({ ...slow, hooksLimitMs: 20 * MINUTE }, { schedule }));
  assertEquals(never.why, "never: the window is too short for the checks, hooks and grace");
});

Deno.test("fateFaults() refuses more machines that fail than there are, for each fails in one way", () => {
  const asked = plan({ heldOffShare: 0.6, unhealthyShare: 0.5 });
  assertEquals(fateFaults(asked), ["11 machines that fail, each in one way, are more than there are: 10"]);
});
