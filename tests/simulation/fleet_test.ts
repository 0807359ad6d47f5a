import { assert, assertEquals } from "@std/assert";
import { NO_FAULTS } from "../../lib/simulation/faults.ts";
import { ALWAYS } from "../../lib/schedule.ts";
import { Fleet } from "../../lib/simulation/fleet.ts";
import { Random } from "../../lib/simulation/virtual_time.ts";

Deno.test("Fleet without faults rolls out in the order of arrival, never more than max at once", async () => {
  const machines = Array.from({ length: 12 }, (_, index) => ({
    id: `m${String(index).padStart(2, "0")}`,
    group: "",
    priority: 0,
    schedule: ALWAYS,
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
