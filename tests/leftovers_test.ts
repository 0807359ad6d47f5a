/** Slots that a machine still has where its daemon does not look: stories in virtual time, over stores in memory. */

import { assertEquals } from "@std/assert";
import { serializeSemaphore } from "../lib/document.ts";
import { semaphoreKey } from "../lib/group.ts";
import { LockKeeper } from "../lib/keeper.ts";
import { Account } from "../lib/ledger.ts";
import { type LeftoverOptions, Leftovers } from "../lib/leftovers.ts";
import { Lock } from "../lib/lock.ts";
import type { Machine } from "../lib/machine.ts";
import { FRESH } from "../lib/semaphore.ts";
import { VirtualLedger } from "../lib/simulation/computer.ts";
import { Memory } from "../lib/simulation/memory.ts";
import { Connection, Virtual } from "./support/virtual.ts";

const MACHINE: Machine = { id: "a", bootId: "b2", hostname: "web1" };
const BEFORE: Machine = { ...MACHINE, bootId: "b1" };
const STORE = "http://etcd1:2379";
const OTHER = "http://etcd2:2379";
const DAY_MS = 24 * 3_600_000;
const LOOK_MS = 15 * 60_000;

/** Two stores, and one machine. The first store has groups. */
class World {
  readonly time = new Virtual();
  readonly ledger = new VirtualLedger();
  readonly log: string[] = [];
  readonly stores = new Map([STORE, OTHER].map((name) => [name, new Connection(new Memory(), this.time)]));

  constructor(groups: readonly string[] = ["web"]) {
    const put = groups.map((group) => ({ key: semaphoreKey(group), value: serializeSemaphore(FRESH) }));
    this.store(STORE).memory.commit({ expect: [], put });
  }

  lock(group: string, store = STORE): Lock {
    return new Lock(this.store(store), group, this.time, "locksmithd");
  }

  store(name: string): Connection {
    const store = this.stores.get(name);
    if (store === undefined) throw new Error(`no store ${name}`);
    return store;
  }

  keeper(machine: Machine, group: string, store = STORE): LockKeeper {
    return new LockKeeper({
      lock: this.lock(group, store),
      machine,
      account: new Account(this.ledger, { store, group }, machine, this.time),
      priority: 0,
      overdueMs: DAY_MS,
      lookMs: DAY_MS,
      failed: (error) => {
        throw error;
      },
    });
  }

  /** A machine takes a slot as its daemon does, and reboots under it: until the call. */
  async rebootUnder(group: string, store = STORE, machine = BEFORE): Promise<void> {
    const keeper = this.keeper(machine, group, store);
    await this.time.ended(keeper.recover());
    const granted = Promise.withResolvers<{ grant: string }>();
    keeper.wait(["update"], (event) => event.kind === "granted" && granted.resolve(event.slot));
    const slot = await this.time.ended(granted.promise);
    await this.time.ended(keeper.confirm(slot));
  }

  leftovers(options: Partial<LeftoverOptions> = {}): Leftovers {
    return new Leftovers({
      machine: MACHINE,
      ledger: this.ledger,
      own: { store: STORE, group: "web" },
      configured: STORE,
      withStore: (name, work) => work(this.stores.get(name) ?? null),
      surroundings: this.time,
      log: (level, text) => void this.log.push(`${level}: ${text}`),
      by: "locksmithd",
      lookMs: LOOK_MS,
      ...options,
    });
  }

  /** Looks until nothing is left to be looked for. */
  run(options: Partial<LeftoverOptions> = {}): Promise<void> {
    return this.time.ended(this.leftovers(options).run(new AbortController().signal));
  }

  async holders(group: string, store = STORE): Promise<readonly string[]> {
    return (await this.time.ended(this.lock(group, store).read())).holders;
  }
}

const GAVE_BACK = /^info: this machine has rebooted; gave back the slot in group (\S+) at memory \(since /;

Deno.test("Leftovers gives back what was taken before the boot in another group of the same store, also without a memory", async () => {
  for (const remembers of [true, false]) {
    const world = new World();
    await world.rebootUnder("db");
    if (!remembers) world.ledger.entries = undefined;
    await world.run();
    assertEquals(await world.holders("db"), []);
    assertEquals(world.log.map((line) => GAVE_BACK.exec(line)?.[1]), ["db"]);
    assertEquals(world.ledger.entries, remembers ? [] : undefined);
  }
});

Deno.test("Leftovers gives back what was taken at another endpoint, and under the strategies reboot and off", async () => {
  for (
    const options of [
      { own: { store: STORE, group: "web" }, configured: STORE },
      { own: null, configured: STORE },
      { own: null, configured: null },
    ]
  ) {
    const world = new World();
    await world.rebootUnder("web", OTHER);
    await world.run(options);
    assertEquals(await world.holders("web", OTHER), []);
    assertEquals(world.ledger.entries, []);
  }
});

Deno.test("a daemon for whose group nothing is stored says so once, and which name may have been meant", async () => {
  const told = async (group: string, others: string[]) => {
    const world = new World(others);
    await world.run({ own: { store: STORE, group } });
    return world.log;
  };
  const isNew = "info: nothing is stored for group";
  assertEquals(await told("webb", ["web", "db"]), [
    "warning: nothing is stored for group webb yet, did you mean 'web'?",
  ]);
  assertEquals(await told("web2", ["web1"]), [
    `${isNew} web2 yet: the first slot makes it, with a maximum of 1`,
  ]);
  assertEquals(await told("", ["web"]), [
    `${isNew} (default) yet: the first slot makes it, with a maximum of 1`,
  ]);
  assertEquals(await told("", []), []);
  assertEquals(await told("web", ["web"]), []);
});

Deno.test("Leftovers leaves the slot of the daemon's own group to the daemon", async () => {
  const world = new World();
  await world.rebootUnder("web");
  await world.run();
  assertEquals([await world.holders("web"), world.log], [["a"], []]);
});

Deno.test("Leftovers says what it cannot reach and what to do, once, tries again ever later, and gives it back then", async () => {
  const world = new World();
  await world.rebootUnder("web", OTHER);
  const grant = world.ledger.entries?.[0]?.grant;
  world.store(OTHER).down = true;
  const running = world.leftovers().run(new AbortController().signal);
  await world.time.advance(DAY_MS / 24);
  assertEquals(world.log, [
    `warning: cannot look for a slot that this machine may still hold in group web at ${OTHER}, trying again: ` +
    "memory: nobody answers; from a host that can reach it, 'locksmith unlock a' releases such a slot; if that store is gone " +
    `permanently, remove its entries in the ledger (${grant})`,
  ]);
  const tries = world.store(OTHER).takeCalls().length;
  assertEquals(tries > 60 && tries < 150, true, `${tries} tries in an hour`);
  world.store(OTHER).down = false;
  await world.time.ended(running);
  assertEquals(await world.holders("web", OTHER), []);
});

Deno.test("Leftovers that finds a slot by its search and is cut off before it gives it back searches again", async () => {
  const world = new World();
  await world.rebootUnder("db");
  world.ledger.entries = undefined;
  const store = world.store(STORE);
  store.fates.push({ kind: "request-lost", then: () => store.down = true });
  const running = world.leftovers().run(new AbortController().signal);
  await world.time.advance(60_000);
  assertEquals(store.down, true);
  store.down = false;
  await world.time.ended(running);
  assertEquals(await world.holders("db"), []);
});

Deno.test("Leftovers says nothing of the slot by which its daemon goes, where the ledger names its store by another endpoint", async () => {
  const world = new World();
  world.stores.set(OTHER, world.store(STORE));
  const entry = { machine: "a", boot: "b2", since: new Date(world.time.now()).toISOString(), group: "web" };
  await world.ledger.remember({ ...entry, grant: "given up", store: OTHER });
  await world.ledger.remember({ ...entry, grant: "g", store: STORE });
  await world.time.ended(world.lock("web").acquire("a", { boot: "b2", grant: "g", extra: {} }));
  const stop = new AbortController();
  const running = world.leftovers().run(stop.signal);
  await world.time.advance(DAY_MS);
  assertEquals([await world.holders("web"), world.log], [["a"], []]);
  stop.abort();
  await world.time.ended(running);
});

Deno.test("Leftovers leaves alone what was taken by hand, and says so", async () => {
  const world = new World();
  const hold = { by: "anna@desk", grant: "g", extra: {} };
  await world.time.ended(world.lock("db").acquire("a", hold));
  await world.run();
  assertEquals(world.log, [
    "info: a slot of this machine in group db at memory was taken by hand (by anna@desk): left unchanged, only 'locksmith " +
    "unlock a --group db' releases it",
  ]);
});

Deno.test("Leftovers leaves alone what another machine of the same id took, of another name or the same, and says so", async () => {
  for (const hostname of ["web2", "web1"]) {
    const world = new World();
    await world.rebootUnder("db", STORE, { ...BEFORE, hostname });
    // this machine has been here before, and asked for nothing
    world.ledger.entries = [];
    await world.run();
    assertEquals(await world.holders("db"), ["a"]);
    assertEquals(world.log.length, 1);
    assertEquals(
      /^warning: in group db at memory: the machine id of web[12] \(a\) .*do two machines share this id\?/
        .test(
          world.log[0] ?? "",
        ),
      true,
    );
  }
});

Deno.test("Leftovers ends a slot of this boot that no daemon goes by any more, unless a reboot was called under it", async () => {
  const world = new World();
  await world.rebootUnder("db", STORE, MACHINE);
  await world.time.ended(world.lock("mail").acquire("a", { boot: "b2", grant: "m", extra: {} }));
  const stop = new AbortController();
  const running = world.leftovers().run(stop.signal);
  await world.time.advance(DAY_MS);
  assertEquals([await world.holders("db"), await world.holders("mail")], [["a"], []]);
  assertEquals(world.log.map((line) => line.replace(/ \(.*\)/, "")), [
    "warning: this machine holds a slot in group db at memory, and has not rebooted since: it is given back after the next " +
    "boot, or 'locksmith unlock a --group db' releases it",
    "info: gave back the slot in group mail at memory",
  ]);
  stop.abort();
  await world.time.ended(running);
});

Deno.test("Leftovers finds a grant that came after its asker had gone", async () => {
  const world = new World();
  await world.ledger.remember({
    grant: "late",
    machine: "a",
    boot: "b2",
    since: new Date(world.time.now()).toISOString(),
    store: STORE,
    group: "db",
  });
  const running = world.leftovers().run(new AbortController().signal);
  await world.time.advance(1_000);
  await world.time.ended(world.lock("db").acquire("a", { boot: "b2", grant: "late", extra: {} }));
  await world.time.ended(running);
  assertEquals([await world.holders("db"), world.ledger.entries], [[], []]);
});

Deno.test("Leftovers of a machine whose id has changed ends nothing that the other id took, for its disk may be a copy", async () => {
  const world = new World();
  await world.rebootUnder("web");
  await world.run({ machine: { ...MACHINE, id: "z" } });
  assertEquals(await world.holders("web"), ["a"]);
  assertEquals(world.log.map((line) => line.replace(/ \(.*\)/, "")), [
    "warning: machine id a holds a slot in group web at memory, taken by this machine according to its disk, but " +
    "its machine id is z now: left unchanged in case the disk is a copy; if not, 'locksmith unlock a --group web' releases it",
  ]);
  await world.time.ended(world.lock("web").unlock("a"));
  await world.run({ machine: { ...MACHINE, id: "z" } });
  assertEquals(world.ledger.entries, []);
});

Deno.test("LockKeeper forgets a slot when it is certain that no hold is left of it, and only then", async () => {
  const world = new World();
  const grants = () => (world.ledger.entries ?? []).map(({ grant }) => grant).length;
  await world.rebootUnder("web");
  assertEquals(grants(), 1);
  const after = world.keeper(MACHINE, "web");
  await world.time.ended(after.recover());
  assertEquals([grants(), await world.holders("web")], [0, []]);
  await world.time.ended(world.lock("web").acquire("other", { grant: "o", extra: {} }));
  const left = Promise.withResolvers<void>();
  after.wait(["update"], (event) => event.kind === "left" && left.resolve());
  await world.time.advance(1_000);
  assertEquals(grants(), 1);
  after.leave();
  await world.time.ended(left.promise);
  assertEquals(grants(), 0);
});

Deno.test("LockKeeper that is told to leave before it could ask is out of the line, and asks for nothing", async () => {
  const world = new World();
  const keeper = world.keeper(MACHINE, "web");
  const events: string[] = [];
  keeper.wait(["update"], ({ kind }) => void events.push(kind));
  keeper.leave();
  await world.time.ended(keeper.stop());
  assertEquals([events, await world.holders("web")], [["left"], []]);
});

Deno.test("LockKeeper of a twin with the same id and host name does not give back the other's slot", async () => {
  const world = new World();
  await world.rebootUnder("web");
  const { entries } = world.ledger;
  // the twin has been here before, and knows that it did not ask for it
  world.ledger.entries = [];
  const twin = await world.time.ended(world.keeper({ ...MACHINE, bootId: "c1" }, "web").recover());
  assertEquals(await world.holders("web"), ["a"]);
  assertEquals(
    twin.kind === "recovered" && twin.note.replace(/ \(.*\)/, ""),
    "the machine id of web1 holds a slot that this machine did not request, under another boot id and host web1",
  );
  world.ledger.entries = entries;
  await world.time.ended(world.keeper(MACHINE, "web").recover());
  assertEquals(await world.holders("web"), []);
});
