/** What a machine says of itself after its boot, while it keeps its slot until it is well: in the document, and to people. */

import { assertEquals, assertMatch } from "@std/assert";
import { describeHolder } from "../lib/description.ts";
import { recordHealth, standing } from "../lib/health.ts";
import { readHistory } from "../lib/group_history.ts";
import { LockKeeper } from "../lib/keeper.ts";
import { Lock } from "../lib/lock.ts";
import { Memory } from "../lib/simulation/memory.ts";
import { Connection, Virtual } from "./support/virtual.ts";

const BEFORE = { id: "a", bootId: "b1", hostname: "web1" };
const AFTER = { ...BEFORE, bootId: "b2" };

class World {
  readonly time = new Virtual();
  readonly store = new Connection(new Memory(), this.time);
  readonly lock = new Lock(this.store, "web", this.time, "locksmithd");

  keeper(machine: typeof BEFORE): LockKeeper {
    return new LockKeeper({
      lock: this.lock,
      machine,
      priority: 0,
      overdueMs: 1e9,
      lookMs: 1e9,
      failed: (error) => {
        throw error;
      },
    });
  }

  /** The machine has a slot of the boot before, under which it rebooted. */
  async reboot(): Promise<LockKeeper> {
    const granted = Promise.withResolvers<{ grant: string }>();
    const keeper = this.keeper(BEFORE);
    keeper.wait(["update"], (event) => event.kind === "granted" && granted.resolve(event.slot));
    await this.time.ended(keeper.confirm(await this.time.ended(granted.promise)));
    return this.keeper(AFTER);
  }

  /** What people read of the hold. */
  async told(): Promise<string> {
    const { holds } = await this.time.ended(this.lock.read());
    return describeHolder("a", holds.get("a"), this.time.now());
  }
}

Deno.test("a slot from before the boot is looked for without giving it back, and then given back", async () => {
  const world = new World();
  const keeper = await world.reboot();
  const kept = { kind: "recovered", slot: null, called: false, kept: "known", note: "" } as const;
  assertEquals(await world.time.ended(keeper.recover(true)), kept);
  assertEquals((await world.time.ended(world.lock.read())).holders, ["a"]);
  const { kind, ...rest } = await world.time.ended(keeper.recover());
  assertEquals([kind, "kept" in rest], ["recovered", false]);
  assertEquals((await world.time.ended(world.lock.read())).holders, []);
});

Deno.test("a slot of this boot is found the same, whether one from before it is to be kept or not", async () => {
  const world = new World();
  await world.reboot();
  const same = world.keeper(BEFORE);
  assertEquals(await world.time.ended(same.recover(true)), await world.time.ended(same.recover()));
});

Deno.test("a machine that is not well says why beside its slot, once, and takes it back when it is well", async () => {
  const world = new World();
  const keeper = await world.reboot();
  await world.time.ended(keeper.tellHealth("ceph: HEALTH_WARN\nsecond line"));
  assertMatch(
    await world.told(),
    /^web1 \(a\), unhealthy since its reboot.*: ceph: HEALTH_WARN second line, because: update$/,
  );
  await world.time.ended(keeper.tellHealth("ceph: HEALTH_WARN\nsecond line"));
  await world.time.ended(keeper.tellHealth(null));
  assertMatch(
    await world.told(),
    /^web1 \(a\), up again and being checked, slot taken .* ago, because: update$/,
  );
  const { events } = await world.time.ended(readHistory(world.store, "web"));
  assertEquals(events.map(({ what, reason = "" }) => `${what} ${reason}`.trim()), [
    "grant update",
    "confirm",
    "unhealthy ceph: HEALTH_WARN second line",
    "back",
  ]);
});

Deno.test("only the machine itself says how it is, and only of a slot from before its boot", async () => {
  const world = new World();
  await world.reboot();
  const by = (machine: typeof BEFORE) => world.time.ended(recordHealth(world.lock, machine, "ill"));
  assertEquals((await by(BEFORE)).kind, "not-held");
  assertEquals((await by({ ...AFTER, id: "other" })).kind, "not-held");
  assertEquals((await by({ ...AFTER, hostname: "clone" })).kind, "not-held");
  assertEquals((await world.time.ended(standing(world.lock, AFTER))).kind, "earlier-boot");
});

Deno.test("what a machine says of itself does not hold up its daemon where the store is away", async () => {
  const world = new World();
  const keeper = await world.reboot();
  world.store.down = true;
  await world.time.ended(keeper.tellHealth("ill"));
  world.store.down = false;
  assertMatch(await world.told(), /^web1 \(a\), rebooting/);
});
