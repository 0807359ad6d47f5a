/** What a test says shall go wrong with a connection does go wrong: a fault that does not strike shows nothing. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Memory } from "../../lib/simulation/memory.ts";
import { type Change, type CommitOutcome, exactly, StoreError } from "../../lib/store.ts";
import { BEGIN_MS, Connection, type Fate, Virtual } from "./virtual.ts";

const CALL = { timeoutMs: 1_000 };
const PUT = { expect: [{ key: "k", revision: null }], put: [{ key: "k", value: "ours" }] };

function connection(time = new Virtual()) {
  const memory = new Memory();
  return { time, memory, store: new Connection(memory, time), value: () => memory.read("k")?.value };
}

/** What a commit under this fate comes to, and what lies there then. */
async function fated(
  fate: (value: () => void) => Fate,
): Promise<[CommitOutcome["kind"], string | undefined]> {
  const { time, memory, store, value } = connection();
  const theirs = () => void memory.commit({ expect: [], put: [{ key: "k", value: "theirs" }] });
  store.fates.push(fate(theirs));
  const { kind } = await time.ended(store.commit(PUT, CALL));
  return [kind, value()];
}

Deno.test("Virtual lets time go on as far as it is told to, by its own clock and by the wall's", async () => {
  const time = new Virtual(() => 0.25);
  const seen: number[] = [];
  for (const ms of [10, 20]) time.after(ms, () => seen.push(time.elapsed()));
  await time.advance(15);
  assertEquals([seen, time.elapsed(), time.now() - BEGIN_MS, time.random()], [[10], 15, 15, 0.25]);
  time.leap(-1_000);
  await time.advance(5);
  assertEquals([seen, time.elapsed(), time.now() - BEGIN_MS], [[10, 20], 20, -980]);
});

Deno.test("Virtual.ended() waits for what takes its time, and not for what never ends", async () => {
  const time = new Virtual();
  const later = new Promise<string>((resolve) => time.after(60_000, () => resolve("done")));
  assertEquals([await time.ended(later), time.elapsed()], ["done", 60_000]);
  await assertRejects(() => time.ended(new Promise(() => {})), Error, "it never ends");
});

Deno.test("Connection has a commit meet its fate", async () => {
  assertEquals(await fated(() => ({ kind: "request-lost" })), ["unknown", undefined]);
  assertEquals(await fated(() => ({ kind: "reply-lost" })), ["unknown", "ours"]);
  assertEquals(await fated((theirs) => ({ kind: "request-lost", then: theirs })), ["unknown", "theirs"]);
  assertEquals(await fated((theirs) => ({ kind: "reply-lost", then: theirs })), ["unknown", "theirs"]);
  assertEquals(await fated((theirs) => ({ kind: "overtaken", by: theirs })), ["refused", "theirs"]);
  assertEquals(await fated(() => ({ kind: "refused" })), ["refused", undefined]);
  assertEquals(await fated(() => ({ kind: "late", byMs: 500 })), ["unknown", undefined]);
});

Deno.test("Connection has a late commit happen later, and only one commit late", async () => {
  const { time, store, value } = connection();
  store.fates.push({ kind: "late", byMs: 500 });
  await time.ended(store.commit(PUT, CALL));
  await time.advance(499);
  assertEquals(value(), undefined);
  await time.advance(1);
  assertEquals(value(), "ours");
  const { kind } = await time.ended(store.commit({ ...PUT, expect: [] }, CALL));
  assertEquals(kind, "committed");
});

Deno.test("Connection whose store is down, or takes too long, answers no call", async () => {
  const { time, store } = connection();
  store.down = true;
  const away = await assertRejects(() => time.ended(store.read("k", CALL)), StoreError);
  store.down = false;
  store.callMs = 2_000;
  const late = await assertRejects(() => time.ended(store.read("k", CALL)), StoreError);
  assertEquals([away.kind, late.kind, time.elapsed()], ["unreachable", "timeout", 1 + CALL.timeoutMs]);
  assertEquals(store.deadlines, [CALL.timeoutMs, CALL.timeoutMs]);
});

Deno.test("Connection of a machine that lost its power ends no call, and keeps no lease alive", async () => {
  const { time, memory, store } = connection();
  const { id } = await time.ended(store.lease(30_000, () => {}, CALL));
  // it was kept alive at 10 s, and lives for 30 s after that
  await time.advance(15_000);
  store.dead = true;
  let ended = false;
  store.read("k", CALL).finally(() => ended = true);
  await time.advance(24_000);
  assertEquals([ended, memory.lives(id)], [false, true]);
  await time.advance(2_000);
  assertEquals([ended, memory.lives(id)], [false, false]);
});

Deno.test("Connection keeps its leases alive, and tells of those that are lost or may be", async () => {
  const { time, memory, store } = connection();
  const lost: string[] = [];
  const lease = (name: string) => time.ended(store.lease(30_000, () => lost.push(name), CALL));
  const told = await lease("told");
  await time.advance(300_000);
  assertEquals([memory.lives(told.id), lost], [true, []]);
  store.loseLeases();
  assertEquals([memory.lives(told.id), lost], [true, ["told"]], "it lives on for its time");
  const expired = await lease("expired");
  store.expireLeases();
  assertEquals([memory.lives(expired.id), lost], [false, ["told"]]);
  await time.advance(10_000);
  assertEquals(lost, ["told", "expired"], "at the next sign of life");
});

Deno.test("Connection has its watches told, not told, told twice or late", async () => {
  const { time, memory, store } = connection();
  const heard: Change[] = [];
  store.watch(exactly("k"), (change) => heard.push(change), memory.revision);
  const write = async () => {
    heard.length = 0;
    memory.commit({ expect: [], put: [{ key: "k", value: "new" }] });
    await time.advance(1);
    return heard.length;
  };
  const told = await write();
  store.watchFate = "twice";
  const twice = await write();
  store.watchFate = "dropped";
  const dropped = await write();
  store.watchFate = { lateByMs: 500 };
  const late = await write();
  await time.advance(500);
  assertEquals([told, twice, dropped, late, heard.length], [1, 2, 0, 0, 1]);
  assert(heard[0]?.kind === "changed");
});
