/** A server as the keeper of the slots: stories in virtual time, over a server that keeps the protocol and no more. */

import { assert, assertEquals } from "@std/assert";
import type { Event } from "../lib/agent.ts";
import { LATE_MS, type Taken } from "../lib/ledger.ts";
import type { Machine } from "../lib/machine.ts";
import { POLL_MS, RemoteKeeper, WAIT_MS } from "../lib/remote_keeper.ts";
import { VirtualLedger } from "../lib/simulation/computer.ts";
import { FakeSlotServer } from "./support/slot_server.ts";
import { Virtual } from "./support/virtual.ts";

const NAME = "http://lock";
const HOUR_MS = 3_600_000;

/** One server, and the machines that ask it. */
class World {
  readonly time = new Virtual();
  readonly server = new FakeSlotServer(this.time);
  readonly ledgers = new Map<string, VirtualLedger>();
  #marks = 0;

  ledger(id: string): VirtualLedger {
    const ledger = this.ledgers.get(id) ?? new VirtualLedger();
    this.ledgers.set(id, ledger);
    return ledger;
  }

  /** A process of machine `id`. */
  keeper(id = "a", bootId = "b1", ledger = this.ledger(id)): RemoteKeeper {
    const machine: Machine = { id, bootId, hostname: `host-${id}` };
    return new RemoteKeeper({
      server: this.server,
      name: NAME,
      machine,
      group: "web",
      ledger,
      surroundings: this.time,
      newMark: () => `m${++this.#marks}`,
      failed: (error) => {
        throw error;
      },
    });
  }

  /** What a keeper answers, while time goes on. */
  ended<T>(call: Promise<T>): Promise<T> {
    return this.time.ended(call);
  }

  /** Waits until the slot is there. */
  async granted(keeper: RemoteKeeper): Promise<{ grant: string }> {
    const { promise, resolve } = Promise.withResolvers<{ grant: string }>();
    keeper.wait(["kernel"], (event) => event.kind === "granted" && resolve(event.slot));
    return await this.ended(promise);
  }

  /** What was asked since this was called last. */
  takeAsked(): string[] {
    return this.server.asked.splice(0);
  }

  phases(id = "a"): (Taken["phase"] | "asked")[] {
    return this.ledger(id).entries?.map(({ phase }) => phase ?? "asked") ?? [];
  }
}

Deno.test("RemoteKeeper takes a slot, proves it by a second pre-reboot, and gives it back after the boot", async () => {
  const world = new World();
  const keeper = world.keeper();
  const nothing = { kind: "recovered", slot: null, called: false, note: "" } as const;
  // a machine without a memory of one may still have a slot there, and is not known to have rebooted
  assertEquals(await world.ended(keeper.recover(true)), { ...nothing, kept: "possible" });
  assertEquals(await world.ended(keeper.recover()), nothing);
  const slot = await world.granted(keeper);
  assertEquals(world.phases(), ["granted"]);
  assertEquals(await world.ended(keeper.confirm(slot)), { kind: "confirmed", called: false });
  assertEquals(world.phases(), ["confirmed"]);
  assertEquals(world.takeAsked(), ["steady-state a", "pre-reboot a", "pre-reboot a"]);
  assertEquals(world.server.requests[1], {
    id: "a",
    group: "web",
    host: "host-a",
    boot: "b1",
    reason: "kernel",
  });
  const after = world.keeper("a", "b2");
  assertEquals(await world.ended(after.recover(true)), { ...nothing, kept: "known" });
  assertEquals(await world.ended(after.recover()), {
    ...nothing,
    returned: true,
    note: "this machine has rebooted; gave back the slot at http://lock",
  });
  assertEquals([world.takeAsked(), [...world.server.holders], world.phases()], [["steady-state a"], [], []]);
});

Deno.test("RemoteKeeper gives the slot back hours after the boot, where the server was away until then, and no sooner forgets it", async () => {
  const world = new World();
  const slot = await world.granted(world.keeper());
  await world.ended(world.keeper().confirm(slot));
  world.server.away = true;
  for (const boot of ["b2", "b3"]) {
    const keeper = world.keeper("a", boot);
    for (let hour = 0; hour < 5; hour++) {
      const { kind } = await world.ended(keeper.recover());
      assertEquals(kind, "failed");
      await world.time.advance(HOUR_MS);
    }
  }
  assert(world.server.holders.has("a"));
  world.server.away = false;
  const recovered = await world.ended(world.keeper("a", "b4").recover());
  assertEquals(recovered.kind, "recovered");
  assertEquals([[...world.server.holders], world.phases()], [[], []]);
});

Deno.test("RemoteKeeper knows the slot of this boot after its process died, and asks nobody for it", async () => {
  const world = new World();
  const slot = await world.granted(world.keeper());
  world.takeAsked();
  const note = "this machine holds a slot at http://lock and has not rebooted";
  assertEquals(await world.ended(world.keeper().recover()), { kind: "recovered", slot, called: false, note });
  assertEquals(world.takeAsked(), []);
  await world.ended(world.keeper().confirm(slot));
  const next = world.keeper();
  const recovered = await world.ended(next.recover());
  assert(recovered.kind === "recovered" && recovered.slot !== null);
  assertEquals([recovered.called, recovered.note], [true, note]);
  // another process went on with it: its reboot may come
  assertEquals(await world.ended(next.confirm(recovered.slot)), { kind: "confirmed", called: true });
  assertEquals(await world.ended(next.cancel(recovered.slot)), { kind: "kept" });
});

Deno.test("RemoteKeeper whose process died before its confirm was answered has called no reboot: the slot goes back, when another could be told from it", async () => {
  const world = new World();
  const died = world.keeper();
  const slot = await world.granted(died);
  world.server.fates.push("request lost");
  died.confirm(slot);
  await world.time.advance(1_000);
  assertEquals(world.phases(), ["confirming"]);
  const keeper = world.keeper();
  const recovered = await world.ended(keeper.recover());
  assert(recovered.kind === "recovered" && recovered.slot !== null && !recovered.called);
  assertEquals(await world.ended(keeper.cancel(recovered.slot)), { kind: "kept" });
  // nothing of the first process is to go on in this test
  await world.ledger("a").remember({ ...world.ledger("a").entries?.[0] as Taken, phase: "confirming" });
  await world.time.advance(LATE_MS);
  await world.ledger("a").remember({ ...world.ledger("a").entries?.[0] as Taken, phase: "confirming" });
  assertEquals((await world.ended(keeper.cancel(recovered.slot))).kind, "cancelled");
  assertEquals([world.server.holders.size, world.phases()], [0, []]);
});

Deno.test("RemoteKeeper finds a grant that came after its asker had gone, and then leaves the server in peace", async () => {
  const world = new World();
  const keeper = world.keeper();
  await world.ended(keeper.recover());
  world.server.fates.push({ lateMs: LATE_MS / 2 });
  const { promise: left, resolve } = Promise.withResolvers<Event>();
  keeper.wait(["kernel"], resolve);
  await world.time.advance(1_000);
  keeper.leave();
  assertEquals(await world.ended(left), { kind: "left" });
  await world.time.advance(LATE_MS);
  assert(world.server.holders.has("a"));
  for (let look = 0; look < 4; look++) {
    world.takeAsked();
    await world.ended(keeper.recover());
    assertEquals(world.takeAsked(), look === 0 ? ["steady-state a"] : []);
    assertEquals(world.server.holders.size, 0);
    await world.time.advance(15 * 60_000);
  }
});

Deno.test("RemoteKeeper gets a slot the moment it is free from a server that keeps requests, and by asking again from another", async () => {
  for (const waits of [true, false]) {
    const world = new World();
    world.server.waits = waits;
    world.server.holders.add("other");
    const keeper = world.keeper();
    const said: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    keeper.wait(["kernel"], (event) => {
      if (event.kind === "granted") resolve();
      else if (event.kind === "in-line") said.push(`${event.level}: ${event.why}${event.details}`);
    });
    await world.time.advance(2 * Math.max(WAIT_MS, 1.2 * POLL_MS) + 1_000);
    assertEquals(world.takeAsked().length, 3);
    assertEquals(said[0], "info: no slot is free yet at http://lock: held by other");
    world.server.unlock("other");
    const freedMs = world.time.elapsed();
    await world.ended(promise);
    const tookMs = world.time.elapsed() - freedMs;
    assert(waits ? tookMs < 10 : tookMs > 10 && tookMs <= 1.2 * POLL_MS, `${tookMs} ms`);
  }
});

Deno.test("RemoteKeeper asks a server that is away again soon, one that says when then, and says what each of them said", async () => {
  const world = new World();
  const keeper = world.keeper();
  const said: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  world.server.fates.push(
    "request lost",
    { kind: "unavailable", value: "etcd is away" },
    { kind: "paused", value: "by anna", retryMs: 10_000 },
    { kind: "refused", called: "failed_lock", value: "full", retryMs: 0 },
  );
  keeper.wait(["kernel"], (event) => {
    if (event.kind === "granted") resolve();
    else if (event.kind === "in-line") said.push(`${event.level}: ${event.why}${event.details}`);
  });
  await world.ended(promise);
  assert(world.time.elapsed() < 40_000, `${world.time.elapsed()} ms`);
  assertEquals(said, [
    "warning: cannot ask for a slot, trying again: http://lock: no answer within 15 s",
    "warning: no decision can be made now at http://lock: etcd is away",
    "warning: reboots are paused at http://lock: by anna",
    "info: refused (failed_lock) at http://lock: full",
  ]);
});

Deno.test("RemoteKeeper leaves a line with the request aborted and whatever it was granted given back, acknowledged", async () => {
  const world = new World();
  const keeper = world.keeper();
  world.server.fates.push("reply lost", "reply lost", "request lost");
  const events: Event[] = [];
  const { promise, resolve } = Promise.withResolvers<Event>();
  keeper.wait(["kernel"], (event) => event.kind === "left" ? resolve(event) : events.push(event));
  await world.time.advance(5_000);
  assert(world.server.holders.has("a"));
  world.server.away = true;
  keeper.leave();
  await world.time.advance(HOUR_MS);
  world.server.away = false;
  await world.ended(promise);
  assertEquals([[...world.server.holders], world.phases(), events], [[], [], []]);
  await world.ended(keeper.stop());
});

Deno.test("RemoteKeeper counts only an answered second pre-reboot as proof: refused it is lost, unanswered nothing is said", async () => {
  const world = new World();
  const keeper = world.keeper();
  const slot = await world.granted(keeper);
  world.server.fates.push("request lost", { kind: "unavailable", value: "etcd is away" });
  for (let attempt = 0; attempt < 2; attempt++) {
    const { kind } = await world.ended(keeper.confirm(slot));
    assertEquals([kind, world.phases()], ["failed", ["granted"]]);
  }
  world.server.unlock("a");
  world.server.holders.add("other");
  assertEquals(await world.ended(keeper.confirm(slot)), { kind: "lost" });
  // it is not held to be ours any more, and not forgotten before the server says that it has none
  assertEquals(world.phases(), ["asked"]);
  await world.ended(keeper.recover());
  assertEquals(world.phases(), []);
});

Deno.test("RemoteKeeper gives nothing back under a reboot that another process of the machine has confirmed, nor lets one be confirmed meanwhile", async () => {
  const world = new World();
  const [daemon, command] = [world.keeper(), world.keeper()];
  const slot = await world.granted(daemon);
  const theirs = await world.granted(command);
  await world.ended(command.confirm(theirs));
  assertEquals(await world.ended(daemon.cancel(slot)), { kind: "kept" });
  assertEquals([world.server.holders.has("a"), world.phases().sort()], [true, ["confirmed", "granted"]]);
  const other = new World();
  const [first, second] = [other.keeper(), other.keeper()];
  const mine = await other.granted(first);
  const yours = await other.granted(second);
  other.server.fates.push("request lost");
  const cancelled = first.cancel(mine);
  await other.time.advance(1_000);
  const { kind } = await other.ended(second.confirm(yours));
  assertEquals(kind, "failed");
  assertEquals((await other.ended(cancelled)).kind, "failed");
  assertEquals(await other.ended(first.cancel(mine)), { kind: "cancelled", note: "gave the slot back" });
});

Deno.test("RemoteKeeper has lost a slot that another process of the machine has given back, and takes no other by its confirm", async () => {
  const world = new World();
  const [daemon, command] = [world.keeper(), world.keeper()];
  const slot = await world.granted(daemon);
  await world.ended(command.cancel(await world.granted(command)));
  world.takeAsked();
  assertEquals(await world.ended(daemon.confirm(slot)), { kind: "lost" });
  assertEquals([world.takeAsked(), world.server.holders.size], [[], 0]);
});

Deno.test("RemoteKeeper leaves alone for a while what another process of this boot may just be asking for", async () => {
  const world = new World();
  const place = { machine: "a", boot: "b1", store: `fleet-lock:${NAME}`, group: "web" };
  await world.ledger("a").remember({ ...place, grant: "theirs", since: "2026-01-01T00:00:00Z" });
  world.server.holders.add("a");
  const keeper = world.keeper();
  await world.ended(keeper.recover());
  assertEquals([world.takeAsked(), world.phases()], [[], ["asked"]]);
  await world.time.advance(LATE_MS);
  await world.ended(keeper.recover());
  assertEquals([world.takeAsked(), world.phases()], [["steady-state a"], []]);
});

Deno.test("RemoteKeeper asks for no slot that it could not remember", async () => {
  class Forgetful extends VirtualLedger {
    override remember(): Promise<boolean> {
      return Promise.resolve(false);
    }
  }
  const world = new World();
  const keeper = world.keeper("a", "b1", new Forgetful());
  const said: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  keeper.wait(["kernel"], (event) => event.kind === "in-line" ? said.push(event.why) : resolve());
  await world.time.advance(HOUR_MS);
  keeper.leave();
  await world.ended(promise);
  assertEquals(world.takeAsked(), []);
  assertEquals(said[0], "cannot ask for a slot: it could not be recorded in the ledger");
});

Deno.test("RemoteKeeper is not stopped at its start by a server that releases only what is held", async () => {
  const world = new World();
  const refusal = { kind: "refused", called: "locked", value: "held by other" } as const;
  world.server.fates.push(refusal);
  assertEquals(await world.ended(world.keeper().recover()), {
    kind: "recovered",
    slot: null,
    called: false,
    note: "a slot cannot be given back, if there is one: refused (locked) at http://lock",
    details: ": held by other",
    level: "warning",
  });
  assertEquals(world.phases(), []);
  const slot = await world.granted(world.keeper());
  await world.ended(world.keeper().confirm(slot));
  world.server.fates.push(refusal);
  assertEquals((await world.ended(world.keeper("a", "b2").recover())).kind, "failed");
});
