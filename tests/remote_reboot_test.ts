/** A person's reboot under a slot of a server: what its hooks prepare is taken back where no reboot comes. */

import { assertEquals, assertRejects } from "@std/assert";
import type { RebootOutcome } from "../lib/daemon.ts";
import { rebootUnderServer, type RemoteOutcome, type RemoteReboot } from "../lib/remote_reboot.ts";
import { RemoteSlot } from "../lib/remote_slot.ts";
import { VirtualLedger } from "../lib/simulation/computer.ts";
import { SlotServerError } from "../lib/slot_server.ts";
import { FakeSlotServer } from "./support/slot_server.ts";
import { Virtual } from "./support/virtual.ts";

/** One machine, its server, and what was done in which order. */
class World {
  readonly time = new Virtual();
  readonly server = new FakeSlotServer(this.time);
  readonly ledger = new VirtualLedger();
  readonly done: string[] = [];
  /** Why the hooks fail. */
  fault: string | null = null;
  outcome: RebootOutcome = { kind: "accepted" };

  reboot(options: Partial<RemoteReboot> = {}): Promise<RemoteOutcome> {
    const slot = new RemoteSlot({
      server: this.server,
      name: "http://lock",
      machine: { id: "a", bootId: "b1", hostname: "host-a" },
      group: "web",
      ledger: this.ledger,
      surroundings: this.time,
      newMark: () => "mark",
    });
    const did = (what: string) =>
      void this.done.push(`${what}, ${this.server.holders.has("a") ? "slot" : "none"}`);
    const hooks = {
      prepare: () => (did("prepare"), Promise.resolve(this.fault)),
      takeBack: () => (did("take back"), Promise.resolve()),
    };
    const call = () => (did("call"), Promise.resolve(this.outcome));
    return this.time.ended(rebootUnderServer({ slot, dryRun: false, hooks, call, ...options }));
  }

  get left() {
    return {
      slot: this.server.holders.has("a"),
      ledger: this.ledger.entries?.map(({ phase }) => phase) ?? [],
    };
  }
}

Deno.test("a reboot under a server prepares after the grant, and keeps what it prepared when the call is accepted", async () => {
  const world = new World();
  assertEquals(await world.reboot(), { kind: "accepted" });
  assertEquals(world.done, ["prepare, slot", "call, slot"]);
  assertEquals(world.server.asked, ["pre-reboot a", "pre-reboot a"]);
  assertEquals(world.left, { slot: true, ledger: ["confirmed"] });
});

Deno.test("a reboot under a server whose hook fails is neither confirmed nor called, and its slot goes back", async () => {
  const world = new World();
  world.fault = "drain exited with 1";
  assertEquals(await world.reboot(), { kind: "unprepared", why: "drain exited with 1", slotKept: false });
  assertEquals(world.done, ["prepare, slot", "take back, slot"]);
  assertEquals(world.server.asked, ["pre-reboot a", "steady-state a"]);
  assertEquals(world.left, { slot: false, ledger: [] });
});

Deno.test("a reboot under a server that is refused takes back what was prepared, before its slot goes", async () => {
  const world = new World();
  world.outcome = { kind: "refused", why: "backup inhibits it" };
  assertEquals(await world.reboot(), { kind: "refused", why: "backup inhibits it", slotKept: false });
  assertEquals(world.done, ["prepare, slot", "call, slot", "take back, slot"]);
  assertEquals(world.left, { slot: false, ledger: [] });
});

Deno.test("a reboot under a server of which nobody knows whether it comes keeps its slot and what was prepared", async () => {
  const world = new World();
  world.outcome = { kind: "unknown", why: "the bus went away" };
  assertEquals(await world.reboot(), { kind: "unknown", why: "the bus went away" });
  assertEquals(world.done, ["prepare, slot", "call, slot"]);
  assertEquals(world.left, { slot: true, ledger: ["confirmed"] });
});

Deno.test("a reboot under a server whose confirm is refused or unanswered takes back what was prepared", async () => {
  const lost = new World();
  lost.server.fates.push("reply lost", "reply lost");
  await assertRejects(() => lost.reboot(), SlotServerError);
  assertEquals(lost.done, [], "without a grant nothing is prepared");

  const world = new World();
  const hooks = {
    prepare: () => {
      world.done.push("prepare");
      world.server.fates.push("request lost");
      return Promise.resolve(null);
    },
    takeBack: () => Promise.resolve(void world.done.push("take back")),
  };
  await assertRejects(() => world.reboot({ hooks }), SlotServerError);
  assertEquals(world.done, ["prepare", "take back"]);
  assertEquals(world.left, { slot: false, ledger: [] });
});

Deno.test("a rehearsal under a server, or one that gets no slot, prepares nothing", async () => {
  const world = new World();
  assertEquals(await world.reboot({ dryRun: true }), { kind: "rehearsed", fresh: true });
  world.server.holders.add("other");
  assertEquals((await world.reboot()).kind, "no-slot");
  assertEquals([world.done, world.left], [[], { slot: false, ledger: [] }]);
});
