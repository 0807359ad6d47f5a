import { assertEquals } from "@std/assert";
import { idealEnd, planFaults, type RolloutPlan } from "../../lib/simulation/plan.ts";
import { ALWAYS } from "../../lib/schedule.ts";

function plan(changes: Partial<RolloutPlan>): RolloutPlan {
  return {
    machines: 20,
    max: 3,
    rebootMs: { from: 90_000, to: 90_000 },
    schedule: ALWAYS,
    graceMs: 0,
    startMs: 0,
    seed: 1,
    ...changes,
  };
}

Deno.test("planFaults() refuses what is too much to play, and nothing that is not", () => {
  assertEquals(planFaults(plan({ machines: 10_000, max: 200 })), [
    "10000 machines with max 200 are too many to play: machines times max may be 500000",
  ]);
  assertEquals(planFaults(plan({ machines: 700, max: 2 ** 31 - 1 })), []);
});

Deno.test("planFaults() names every fault of a plan at once", () => {
  const nonsense = { machines: 0, max: -1, rebootMs: { from: 2, to: 1 }, graceMs: NaN };
  assertEquals(planFaults(plan(nonsense)), [
    "0 machines: allowed are 1 to 20000",
    "max -1: it is a whole number from 0",
    "reboots of 2 to 1 ms: more than 0, and at most 24 hours",
    "a grace of NaN ms: it is at most 24 hours",
  ]);
});

Deno.test("idealEnd() hands each slot on in no time, and calls no reboot that has no room in a window", () => {
  const always = [{ startMs: 0, endMs: Infinity }];
  const minute = 60_000;
  const reboots = [1, 2, 3].map((minutes) => minutes * minute);
  assertEquals(idealEnd(plan({ max: 1 }), reboots, always), 6 * minute);
  assertEquals(idealEnd(plan({ max: 2 }), reboots, always), 4 * minute);
  assertEquals(idealEnd(plan({ max: 9, graceMs: minute }), reboots, always), 4 * minute);
  assertEquals(idealEnd(plan({ max: 0 }), reboots, always), Infinity);
  const two = [{ startMs: 0, endMs: minute }, { startMs: 10 * minute, endMs: 11 * minute }];
  // the second is called at the very end of the first window, and the third waits for the next
  assertEquals(idealEnd(plan({ max: 1 }), reboots, two), 13 * minute);
  assertEquals(idealEnd(plan({ max: 1, graceMs: 2 * minute }), reboots, two), Infinity);
});
