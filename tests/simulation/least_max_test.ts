/** Roll-outs in which machines are lost, and the least max that is enough. */

import { assert, assertEquals } from "@std/assert";
import { leastMax } from "../../lib/simulation/least_max.ts";
import { ALWAYS } from "../../lib/schedule.ts";
import type { RolloutPlan } from "../../lib/simulation/plan.ts";
import { simulateRollout } from "../../lib/simulation/rollout.ts";
import { parseWindow } from "../../lib/window.ts";

const SECOND = 1000;
const THURSDAYS = {
  windows: [{ window: parseWindow("Thu 23:00", "1h30m"), zone: "Europe/Berlin" }],
  freezes: [],
};

function plan(changes: Partial<RolloutPlan> = {}): RolloutPlan {
  return {
    machines: 100,
    max: 3,
    rebootMs: { from: 60 * SECOND, to: 60 * SECOND },
    schedule: ALWAYS,
    graceMs: 0,
    startMs: Date.UTC(2026, 4, 20),
    seed: 1,
    ...changes,
  };
}

Deno.test("simulateRollout() with machines that never come back goes on with the slots that are left", async () => {
  const good = await simulateRollout(plan());
  const { lost, throughMs, machines, why } = await simulateRollout(plan({ failShare: 0.02 }));
  assertEquals([lost, why], [2, undefined]);
  // two of three slots are lost on the way
  assert(throughMs !== null && good.throughMs !== null && throughMs > good.throughMs, `${throughMs}`);
  const gone = machines.filter(({ spans }) => spans.at(-1)?.state === "rebooting");
  assertEquals(gone.length, 2);
  for (const { spans } of gone) assertEquals(spans.at(-1)?.toMs, throughMs);
  assertEquals(machines.filter(({ calledMs }) => calledMs === null), []);
});

Deno.test("simulateRollout() stops for good where the lost machines keep every slot, and says so", async () => {
  const { lost, throughMs, why, machines } = await simulateRollout(plan({ failShare: 0.1 }));
  assertEquals([lost, throughMs], [3, null]);
  assertEquals(why, "never: 3 machines do not come back and keep all 3 slots");
  assert(machines.some(({ calledMs }) => calledMs === null), "nobody was left over");
  const single = await simulateRollout(plan({ machines: 3, max: 1, failShare: 0.01 }));
  assertEquals(single.why, "never: 1 machine does not come back and keeps the only slot");
});

Deno.test("simulateRollout() finishes where the very last machines are those that do not come back", async () => {
  const { lost, throughMs } = await simulateRollout(plan({ machines: 2, max: 2, failShare: 1 }));
  assertEquals([lost, throughMs !== null], [2, true]);
});

Deno.test("simulateRollout() loses the same machines for the same seed, and plays the rest as without", async () => {
  const lostOf = async (seed: number) =>
    (await simulateRollout(plan({ seed, max: 10, failShare: 0.05 }))).machines
      .filter(({ spans }) => spans.at(-1)?.state === "rebooting").map(({ id }) => id);
  const first = await lostOf(1);
  assertEquals(first.length, 5);
  assertEquals(await lostOf(1), first);
  assert((await lostOf(2)).join() !== first.join());
});

Deno.test("leastMax() finds the max with which a roll-out finishes in so many windows, and with less does not", async () => {
  const rollout = {
    ...plan({ machines: 500, rebootMs: { from: 90 * SECOND, to: 90 * SECOND }, schedule: THURSDAYS }),
  };
  for (const windows of [1, 2, 5]) {
    const found = await leastMax(rollout, { windows });
    assertEquals(found?.windows.length, windows);
    const max = found?.plan.max ?? 0;
    const less = await simulateRollout({ ...rollout, max: max - 1 });
    assert(less.windows.length > windows, `max ${max - 1} is enough for ${windows} too`);
  }
});

Deno.test("leastMax() finds the max for a length of time, also where reboots differ and machines are lost", async () => {
  const rollout = plan({ machines: 60, rebootMs: { from: 30 * SECOND, to: 300 * SECOND }, failShare: 0.05 });
  const ms = 20 * 60 * SECOND;
  const found = await leastMax(rollout, { ms });
  assert(found !== null && found.throughMs !== null && found.throughMs <= ms);
  const less = await simulateRollout({ ...rollout, max: found.plan.max - 1 });
  assert(less.throughMs === null || less.throughMs > ms);
});

Deno.test("leastMax() says that there is none where even all machines at once are too slow", async () => {
  assertEquals(await leastMax(plan(), { ms: 59 * SECOND }), null);
  assertEquals((await leastMax(plan({ machines: 5 }), { ms: 62 * SECOND }))?.plan.max, 5);
});
