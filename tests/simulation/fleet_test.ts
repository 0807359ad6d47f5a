/** The simulation itself: that it repeats itself, that it tries what it says, and that all is well in the quick set. */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { Fleet, NO_FAULTS } from "../../lib/simulation/fleet.ts";
import { Random } from "../../lib/simulation/virtual_time.ts";
import { EXIT, simulate, unexercised } from "./simulate.ts";
import { FAULT_KINDS, playHistory } from "./simulated_history.ts";

/** So many histories a run of the tests plays; `deno task simulate --histories` plays more. */
const QUICK_HISTORIES = 1_500;

Deno.test("playHistory() is the same history for the same seed, to the last event", async () => {
  const tell = async (seed: number) => {
    const lines: string[] = [];
    const result = await playHistory(seed, (line) => lines.push(line));
    return { lines, result };
  };
  const [first, again, other] = [await tell(17), await tell(17), await tell(18)];
  assertGreater(first.lines.length, 50);
  assertEquals(again, first);
  assert(first.lines.join() !== other.lines.join(), "another seed is another history");
});

Deno.test("simulate() finds nothing wrong in the quick set, puts every check to the test and makes every fault", async () => {
  const figures = await simulate(1, QUICK_HISTORIES);
  assertEquals(figures.failure, null);
  assertEquals(figures.histories, QUICK_HISTORIES);
  assertEquals(unexercised(figures), []);
  assertEquals(FAULT_KINDS.filter((kind) => figures.faults[kind] === 0), []);
  assertGreater(figures.unknownOutcomes, 0);
});

Deno.test("unexercised() names the checks that no history put to the test", async () => {
  const figures = await simulate(1, 20);
  const exercised = { ...figures.exercised, I4: 0, L2: 0 };
  assertEquals(unexercised({ ...figures, exercised }), ["I4", "L2"]);
});

Deno.test("Fleet without faults rolls out in the order of arrival, never more than max at once", async () => {
  const machines = Array.from({ length: 12 }, (_, index) => ({
    id: `m${String(index).padStart(2, "0")}`,
    group: "",
    priority: 0,
    schedule: null,
    rebootMs: 60_000,
    graceMs: 0,
  }));
  const down = new Set<string>();
  const order: string[] = [];
  let most = 0;
  const config = {
    machines,
    max: new Map([["", 3]]),
    startMs: Date.UTC(2026, 0, 1),
    lookMs: 300_000,
    idleLookMs: 900_000,
    tickMs: 30_000,
  };
  const fleet = new Fleet(config, new Random(1), NO_FAULTS, (machine, what) => {
    if (what === "granted") order.push(machine.id);
    if (what === "down") down.add(machine.id);
    if (what === "released") down.delete(machine.id);
    most = Math.max(most, down.size);
  });
  fleet.start();
  await fleet.run(() => false, 1_000);
  // a second between each: who comes first is beyond doubt
  fleet.machines.forEach((machine, index) =>
    fleet.time.after(index * 1_000, () => fleet.need(machine, true))
  );
  const through = await fleet.run(() => fleet.reboots === 12 && down.size === 0, 3_600_000);
  assert(through, "the roll-out is through");
  assertEquals(order, machines.map(({ id }) => id));
  assertEquals(most, 3);
  assertEquals([fleet.judge.violations, fleet.crashes], [[], []]);
});

Deno.test("EXIT tells a broken promise from a stuck fleet and from a program that threw", () => {
  assertEquals([EXIT.safety, EXIT.liveness, EXIT.crash], [129, 128, 127]);
});
