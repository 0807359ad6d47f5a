import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Rollout, simulateRollout } from "../../lib/simulation/rollout.ts";
import { ALWAYS } from "../../lib/schedule.ts";
import type { RolloutPlan } from "../../lib/simulation/plan.ts";
import { rolloutReport } from "../../lib/cli/rollout_report.ts";
import { parseWindow } from "../../lib/window.ts";
import { parseInstant } from "../../lib/cli/window_report.ts";

const BERLIN = "Europe/Berlin";
const THURSDAYS = { windows: [{ window: parseWindow("Thu 23:00", "1h30m"), zone: BERLIN }], freezes: [] };
const SECOND = 1000;
const MINUTE = 60 * SECOND;

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

/** The most machines that are in one of these states at the same time. */
function mostAtOnce({ machines }: Rollout, ...states: string[]): number {
  const steps = machines.flatMap(({ spans }) =>
    spans.filter(({ state }) => states.includes(state)).flatMap(({ fromMs, toMs }) => [
      { at: fromMs, step: 1 },
      { at: toMs, step: -1 },
    ])
  ).sort((a, b) => a.at - b.at || a.step - b.step);
  let [now, most] = [0, 0];
  for (const { step } of steps) most = Math.max(most, now += step);
  return most;
}

Deno.test("simulateRollout() is within a hundredth of the ideal when the window never closes", async () => {
  for (const max of [1, 5, 20]) {
    const { throughMs, idealMs, busyShare } = await simulateRollout(plan({ machines: 100, max }));
    assertEquals(idealMs, 100 / max * 90 * SECOND);
    assert(throughMs !== null && throughMs >= idealMs && throughMs <= idealMs * 1.01, `${max}: ${throughMs}`);
    assert(busyShare > 0.99 && busyShare <= 1, `${busyShare}`);
  }
});

Deno.test("simulateRollout() has no more than max machines hold a slot, and so none more down", async () => {
  for (const schedule of [ALWAYS, THURSDAYS]) {
    const rollout = await simulateRollout(
      plan({ machines: 150, max: 4, schedule, rebootMs: { from: 60 * SECOND, to: 400 * SECOND } }),
    );
    assertEquals(mostAtOnce(rollout, "holding", "rebooting"), 4);
    assertEquals(mostAtOnce(rollout, "rebooting"), 4);
  }
});

Deno.test("simulateRollout() has every machine reboot once, from need to return without a gap", async () => {
  const { machines, throughMs } = await simulateRollout(plan({ schedule: THURSDAYS }));
  for (const { id, spans } of machines) {
    assertEquals(spans.map(({ state }) => state), ["waiting", "holding", "rebooting", "holding"], id);
    assertEquals(spans[0]?.fromMs, 0);
    spans.slice(1).forEach(({ fromMs }, index) => assertEquals(fromMs, spans[index]?.toMs));
    assertEquals((spans[2]?.toMs ?? 0) - (spans[2]?.fromMs ?? 0), 90 * SECOND);
  }
  assertEquals(Math.max(...machines.map(({ spans }) => spans.at(-1)?.toMs ?? 0)), throughMs);
});

Deno.test("simulateRollout() calls no reboot outside of the window, though one may end after it", async () => {
  const rollout = await simulateRollout(
    plan({
      machines: 100,
      schedule: { windows: [{ window: parseWindow("02:00", "20m"), zone: "UTC" }], freezes: [] },
    }),
  );
  const { machines, windows } = rollout;
  for (const { id, calledMs } of machines) {
    const inside = windows.some(({ startMs, endMs }) =>
      calledMs !== null && calledMs >= startMs && calledMs <= endMs
    );
    assert(inside, `${id} called at ${calledMs}`);
  }
  assertEquals(windows.reduce((sum, { reboots }) => sum + reboots, 0), 100);
  const [first] = windows;
  assert(
    machines.some(({ spans }) =>
      spans.some(({ fromMs, toMs, state }) =>
        state === "rebooting" && fromMs < (first?.endMs ?? 0) && toMs > (first?.endMs ?? 0)
      )
    ),
  );
});

Deno.test("simulateRollout() takes the windows that one counts by hand", async () => {
  // 5 slots, 1h30m of 90 s each: 60 turns of 5 fit, and a 61st would begin at the very end, where a turn in no time would
  const rollout = await simulateRollout(plan({ machines: 500, max: 5, schedule: THURSDAYS }));
  assertEquals(rollout.windows.map(({ reboots }) => reboots), [300, 200]);
});

Deno.test("simulateRollout() follows the clock of the zone where it is changed", async () => {
  // on 2026-03-29 the clock of Berlin leaps from 02:00 to 03:00: the window of 02:30 begins at 03:30
  const rollout = await simulateRollout(plan({
    machines: 30,
    max: 1,
    rebootMs: { from: MINUTE, to: MINUTE },
    schedule: { windows: [{ window: parseWindow("02:30", "10m"), zone: BERLIN }], freezes: [] },
    startMs: parseInstant("2026-03-28 02:30", BERLIN).epochMilliseconds,
  }));
  assertEquals(rolloutReport(rollout, BERLIN).windows.map(({ start }) => start), [
    "2026-03-28T02:30:00+01:00",
    "2026-03-29T03:30:00+02:00",
    "2026-03-30T02:30:00+02:00",
  ]);
});

Deno.test("simulateRollout() counts a window that is open already from the start on", async () => {
  const rollout = await simulateRollout(plan({
    machines: 10,
    max: 1,
    schedule: THURSDAYS,
    startMs: parseInstant("2026-05-22 00:25", BERLIN).epochMilliseconds,
  }));
  // 5 minutes are left: calls at 0, 90, 180 and 270 s
  assertEquals(rollout.windows.map(({ reboots }) => reboots), [4, 6]);
  assert(rollout.busyShare > 0.99 && rollout.busyShare <= 1, `${rollout.busyShare}`);
});

Deno.test("simulateRollout() plays the same for the same seed, and other reboot times for another", async () => {
  const drawn = { rebootMs: { from: 60 * SECOND, to: 180 * SECOND } };
  const first = JSON.stringify(await simulateRollout(plan(drawn)));
  assertEquals(JSON.stringify(await simulateRollout(plan(drawn))), first);
  const other = await simulateRollout(plan({ ...drawn, seed: 2 }));
  assert(JSON.stringify({ ...other, plan: plan(drawn) }) !== first);
  for (const { spans } of other.machines) {
    const down = spans.find(({ state }) => state === "rebooting");
    const tookMs = (down?.toMs ?? 0) - (down?.fromMs ?? 0);
    assert(tookMs >= 60 * SECOND && tookMs <= 180 * SECOND, `${tookMs}`);
  }
});

Deno.test("simulateRollout() gives people their grace, and the slot is held meanwhile", async () => {
  const graced = await simulateRollout(plan({ machines: 6, max: 2, graceMs: 5 * MINUTE }));
  assertEquals(graced.idealMs, 3 * (5 * MINUTE + 90 * SECOND));
  assert(graced.throughMs !== null && graced.throughMs - graced.idealMs < SECOND);
});

Deno.test("simulateRollout() says never, and why", async () => {
  const short = { windows: [{ window: parseWindow("02:00", "10m"), zone: "UTC" }], freezes: [] };
  const whyNot = async (changes: Partial<RolloutPlan>) => {
    const { throughMs, why } = await simulateRollout(plan(changes));
    assertEquals(throughMs, null);
    return why;
  };
  assertEquals(await whyNot({ max: 0 }), "never: max is 0, and no slot is ever granted");
  const noRoom = "never: the window is too short for the grace";
  assertEquals(await whyNot({ schedule: short, graceMs: 11 * MINUTE }), noRoom);
  // as long as the window: that would do if a slot were granted in no time
  assertEquals(await whyNot({ schedule: short, graceMs: 10 * MINUTE }), noRoom);
  assertEquals(
    await whyNot({ machines: 20_000, max: 1, schedule: THURSDAYS }),
    "not within 366 days; stopped looking there",
  );
});

Deno.test("simulateRollout() takes a reboot that is longer than the window for what it is: no reason to wait", async () => {
  const schedule = { windows: [{ window: parseWindow("02:00", "10m"), zone: "UTC" }], freezes: [] };
  const rebootMs = { from: 30 * MINUTE, to: 30 * MINUTE };
  const { windows } = await simulateRollout(plan({ machines: 6, max: 3, schedule, rebootMs }));
  assertEquals(windows.map(({ reboots }) => reboots), [3, 3]);
});

Deno.test("simulateRollout() refuses what is too much to play", async () => {
  await assertRejects(
    () => simulateRollout(plan({ machines: 20_001 })),
    RangeError,
    "20001 machines: allowed are 1 to 20000",
  );
});
