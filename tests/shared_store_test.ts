/** One lease and one watch for all who wait in a process: the contract of a store, and what it costs the store below. */

import { assert, assertEquals } from "@std/assert";
import { Lock } from "../lib/lock.ts";
import { StoreMirror } from "../lib/mirror.ts";
import { PLACE_TTL_MS } from "../lib/queue.ts";
import { shareStore } from "../lib/shared_store.ts";
import { Memory, openMemory } from "../lib/simulation/memory.ts";
import { type Change, exactly, type Lease, type Store } from "../lib/store.ts";
import { REAL } from "../lib/surroundings.ts";
import type { WaitNews } from "../lib/wait.ts";
import { Waiter } from "../lib/waiter.ts";
import { storeContract } from "./contract/contract.ts";
import { CALL, put, remove, revision } from "./contract/kit.ts";
import { daemonHold, GROUP, HOUR_MS, Line } from "./support/line.ts";
import { Connection, Virtual } from "./support/virtual.ts";

const ALL = { from: "", to: "\uffff" };

storeContract("shareStore()", () => {
  const memory = new Memory();
  return Promise.resolve({
    open: async () => {
      const store = openMemory(memory);
      const mirror = new StoreMirror(store, ALL, REAL);
      await mirror.ready();
      return shareStore(store, mirror, REAL);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});

/** A shared store in virtual time, and the connection below it. */
async function shared(time = new Virtual(), memory = new Memory()) {
  const below = new Connection(memory, time);
  const mirror = new StoreMirror(below, ALL, time);
  await time.ended(mirror.ready());
  const store = shareStore(below, mirror, time);
  below.calls.length = 0;
  const lease = (lost = () => {}): Promise<Lease> => time.ended(store.lease(PLACE_TTL_MS, lost, CALL));
  const place = async (key: string, lease: Lease) => revision(await time.ended(under(store, key, lease)));
  return { time, memory, below, mirror, store, lease, place };
}

function under(store: Store, key: string, lease: Lease, value = "1") {
  return store.commit({ expect: [{ key, revision: null }], put: [{ key, value, lease: lease.id }] }, CALL);
}

Deno.test("all leases of one time to live are one of the store, and those of another time another", async () => {
  const { time, below, store, lease } = await shared();
  for (let count = 0; count < 100; count++) await lease();
  assertEquals(below.takeCalls(), ["lease"]);
  for (let count = 0; count < 100; count++) await time.ended(store.lease(900_000, () => {}, CALL));
  assertEquals(below.takeCalls(), ["lease"]);
  await time.ended(Promise.all(Array.from({ length: 100 }, () => store.lease(5_000, () => {}, CALL))));
  assertEquals(below.takeCalls(), ["lease"]);
});

Deno.test("the end of a lease removes what still is as it was put under it, and leaves the rest", async () => {
  const { time, memory, below, store, lease, place } = await shared();
  const [one, other] = [await lease(), await lease()];
  await place("q/mine", one);
  await place("q/other", other);
  const taken = await place("q/taken", one);
  const rewritten = await place("q/rewritten", one);
  await place("q/removed", one);
  const takeOver = {
    expect: [{ key: "q/taken", revision: taken }],
    put: [{ key: "q/taken", value: "1", lease: other.id }],
  };
  assertEquals((await time.ended(store.commit(takeOver, CALL))).kind, "committed");
  memory.commit({
    expect: [{ key: "q/rewritten", revision: rewritten }],
    put: [{ key: "q/rewritten", value: "2" }],
  });
  await time.ended(remove(store, "q/removed"));
  await time.ended(one.end(CALL));
  assertEquals(memory.view([{ range: ALL }]).found[0]?.map(({ key }) => key), [
    "q/other",
    "q/rewritten",
    "q/taken",
  ]);
  below.calls.length = 0;
  await time.ended((await lease()).end(CALL));
  assertEquals(below.calls, [], "one that nothing stands under ends without a call");
  const granted = await lease();
  await place("q/granted", granted);
  await time.ended(remove(store, "q/granted"));
  below.calls.length = 0;
  await time.ended(granted.end(CALL));
  assertEquals(below.calls, [], "and so does one whose place went with the grant");
});

Deno.test("a lease that the store lost is lost for all, who share the next one", async () => {
  const { time, memory, below, lease, place } = await shared();
  const lost: number[] = [];
  for (let each = 0; each < 10; each++) await place(`q/${each}`, await lease(() => lost.push(each)));
  below.expireLeases();
  await time.advance(PLACE_TTL_MS / 2);
  assertEquals(lost.length, 10);
  assertEquals(memory.view([{ range: ALL }]).found, [[]]);
  below.calls.length = 0;
  for (let each = 0; each < 10; each++) await place(`q/${each}`, await lease());
  assertEquals(below.takeCalls().filter((call) => call === "lease"), ["lease"]);
});

Deno.test("a commit that a gone lease refuses is word enough: nobody gets a share of that lease again", async () => {
  const { time, below, store, lease, place } = await shared();
  let lost = 0;
  const [one, other] = [await lease(() => lost++), await lease(() => lost++)];
  await place("q/1", one);
  // nothing to do with the lease
  assertEquals((await time.ended(put(store, "q/1", "2", null))).kind, "refused");
  assertEquals((await time.ended(under(store, "q/1", other))).kind, "refused");
  assertEquals(lost, 0);
  below.expireLeases();
  assertEquals((await time.ended(under(store, "q/2", other))).kind, "refused");
  assertEquals(lost, 2);
  await place("q/2", await lease());
});

Deno.test("what was put in doubt is removed when its lease ends, and also when it comes later, or again", async () => {
  const { time, memory, below, store, lease } = await shared();
  below.fates.push({ kind: "reply-lost" });
  const happened = await lease();
  assertEquals((await time.ended(under(store, "q/happened", happened))).kind, "unknown");
  await time.ended(happened.end(CALL));
  assertEquals(memory.read("q/happened"), null);
  below.fates.push({ kind: "late", byMs: 60_000 });
  const late = await lease();
  assertEquals((await time.ended(under(store, "q/late", late))).kind, "unknown");
  await time.ended(late.end(CALL));
  await time.advance(61_000);
  assertEquals(memory.read("q/late"), null);
  assert(Number(memory.revision) >= 4, "it came");
});

Deno.test("what was put in doubt and belongs to a lease by then stays", async () => {
  const { time, memory, below, store, lease, place } = await shared();
  below.fates.push({ kind: "request-lost" });
  const gone = await lease();
  await time.ended(under(store, "q/1", gone));
  await time.ended(gone.end(CALL));
  // the same host again, with the very same value
  const made = await place("q/1", await lease());
  await time.advance(600_000);
  assertEquals(memory.read("q/1")?.revision, made);
});

Deno.test("what could not be removed while the store was away is removed when it is back", async () => {
  const { time, memory, below, lease, place } = await shared();
  const one = await lease();
  await place("q/1", one);
  below.down = true;
  await time.ended(one.end(CALL));
  await time.advance(10_000);
  assert(memory.read("q/1") !== null);
  below.down = false;
  await time.advance(20_000);
  assertEquals(memory.read("q/1"), null);
});

Deno.test("watches of a shared store cost no call, and hear of what their range has, in order", async () => {
  const { time, memory, below, mirror, store } = await shared();
  const told: [number, Change][] = [];
  for (let each = 0; each < 100; each++) {
    store.watch(exactly(`q/${each}`), (change) => told.push([each, change]), mirror.revision);
  }
  await time.advance(1);
  const made = memory.commit({ expect: [], put: [{ key: "q/7", value: "1" }] });
  memory.commit({ expect: [], put: [], remove: ["q/7"] });
  await time.advance(1);
  assertEquals(told.map(([each, change]) => [each, change.kind === "changed" && change.revision]), [
    [7, revision(made)],
    [7, memory.revision],
  ]);
  assertEquals(below.calls, []);
});

Deno.test("watches of a shared store hear that they missed something when the store was away, and not for a reading", async () => {
  const { time, memory, below, mirror, store } = await shared();
  const told: Change[] = [];
  store.watch(exactly("q/1"), (change) => told.push(change), mirror.revision);
  below.watchFate = "dropped";
  const made = memory.commit({ expect: [], put: [{ key: "q/1", value: "1" }] });
  await time.advance(600_000);
  assertEquals(told.map((change) => change.kind === "changed" && change.revision), [revision(made)]);
  below.down = true;
  await time.advance(10_000);
  const begun: Change[] = [];
  store.watch(exactly("q/1"), (change) => begun.push(change));
  assertEquals(begun, []);
  below.down = false;
  await time.advance(20_000);
  assertEquals([told.at(-1), begun], [{ kind: "missed" }, [{ kind: "missed" }]]);
});

Deno.test("a store that all ask at one moment is asked by some, and the rest in turn while there is time", async () => {
  const { time, below, store } = await shared();
  below.callMs = 100;
  const all = Promise.all(Array.from({ length: 100 }, () => store.read("q/1", CALL)));
  await time.advance(50);
  assertEquals(below.calls.length, 32);
  await time.ended(all);
  assertEquals(below.calls.length, 100);
  below.callMs = CALL.timeoutMs;
  below.calls.length = 0;
  const late = Promise.allSettled(Array.from({ length: 100 }, () => put(store, "q/1", "1", null)));
  const commits = () => below.calls.filter((call) => call.startsWith("commit")).length;
  await time.advance(CALL.timeoutMs / 2);
  assertEquals(commits(), 32);
  const refusals = (await time.ended(late)).filter(({ status }) => status === "rejected");
  assertEquals([refusals.length, commits()], [68, 32], "the rest never asked, and are told so");
});

/** Waiters of one process in a full group, in line in the order of their numbers. */
async function inLine(count: number) {
  const line = new Line();
  line.hold("somebody");
  const { below, store } = await shared(line.time, line.memory);
  const lock = new Lock(store, GROUP, line.time, "locksmith serve");
  const last = new Map<string, WaitNews["kind"]>();
  const ids = Array.from({ length: count }, (_, index) => `host ${String(index).padStart(4, "0")}`);
  for (const id of ids) {
    const request = {
      waits: { id, bootId: `boot of ${id}`, hostname: id },
      hold: daemonHold(id),
      priority: 0,
      overdueMs: HOUR_MS,
      lookMs: Infinity,
    };
    new Waiter(lock, request, ({ kind }) => last.set(id, kind)).start();
    await line.time.advance(1);
  }
  await line.time.advance(1_000);
  const waiting = () => ids.filter((id) => last.get(id) === "waiting");
  /** Lets the holder go, again and again. */
  const serve = async (turns: number) => {
    for (let turn = 0; turn < turns; turn++) {
      for (const holder of line.semaphore.holders) line.unlock(holder);
      await line.time.advance(100);
    }
  };
  return { line, below, ids, waiting, serve };
}

Deno.test("1,000 waiters share one lease and one watch, and cost nothing while nothing changes", async () => {
  const { line, below, ids, waiting, serve } = await inLine(1_000);
  assertEquals([waiting(), line.queue], [ids, ids]);
  const calls = below.takeCalls();
  assertEquals(calls.filter((call) => call === "lease").length, 1);
  assertEquals(calls.filter((call) => call === "watch").length, 0, "there is that of the copy");
  assert(calls.length < 3 * ids.length, `${calls.length} calls`);
  await line.time.advance(HOUR_MS);
  // the copy looks whether the store is there
  const idle = below.takeCalls();
  assert(idle.length <= HOUR_MS / 5_000 && idle.every((call) => call === "view"), `${idle.length} calls`);
  await serve(100);
  assertEquals(line.granted.slice(1), ids.slice(0, 100));
  const served = below.takeCalls().length;
  assert(served <= 8 * 100, `${served} calls for 100 grants`);
});

Deno.test("1,000 waiters whose lease is lost take their places again, in bounded calls, and the order stays", async () => {
  const { line, below, ids, waiting, serve } = await inLine(1_000);
  below.takeCalls();
  // it is believed lost, and lives on for its time: the places are taken over
  below.loseLeases();
  await line.time.advance(5_000);
  assertEquals([waiting(), line.queue], [ids, ids]);
  const calls = below.takeCalls();
  assertEquals(calls.filter((call) => call === "lease").length, 1);
  assert(calls.length <= 5 * ids.length, `${calls.length} calls`);
  await line.time.advance(2 * PLACE_TTL_MS);
  assertEquals(line.queue, ids);
  await serve(3);
  assertEquals(line.granted.slice(1), ids.slice(0, 3));
  below.takeCalls();
  // it is gone, and all places with it: who was first is not known any more, and everybody is in line again
  below.expireLeases();
  await line.time.advance(PLACE_TTL_MS);
  assertEquals(new Set(line.queue), new Set(ids.slice(3)));
  const again = below.takeCalls();
  assertEquals(again.filter((call) => call === "lease").length, 1);
  assert(again.length <= 6 * ids.length, `${again.length} calls`);
});
