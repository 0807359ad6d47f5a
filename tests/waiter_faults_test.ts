/**
 * Machines that wait in line over a store that loses requests and replies, tells late, twice or never, and goes away. The
 * last story has all of it at random.
 */

import { assert, assertEquals } from "@std/assert";
import { PLACE_TTL_MS, placeKey } from "../lib/queue.ts";

import { FULL, GROUP, Line, LOOK_MS, type Member, SOON_MS } from "./support/line.ts";
import { type Fate, Virtual } from "./support/virtual.ts";

import { Random } from "../lib/simulation/virtual_time.ts";

// -------------------------------------------------------------------------------------------------- replies that are lost

/** How a grant ended of which nobody heard, and how many commits to the document there are then. */
const LOST: readonly [string, Fate, number][] = [
  ["it happened, and the answer was lost", { kind: "reply-lost" }, 1],
  ["it never arrived", { kind: "request-lost" }, 1],
  ["it comes after the next try", { kind: "late", byMs: 5_000 }, 1],
  ["it comes before the next try", { kind: "late", byMs: 20 }, 1],
];

for (const [how, fate, changes] of LOST) {
  Deno.test(`Waiter takes a grant of which nobody heard neither for granted nor for refused: ${how}`, async () => {
    const line = new Line();
    const member = line.member("a");
    member.store.fates.push(fate);
    member.start();
    await line.time.advance(10);
    assertEquals(member.last, "cannot join the queue, trying again: memory: no answer in time");
    await line.time.advance(10_000);
    assertEquals(member.news.at(-1), { kind: "granted", grant: member.grant, called: false });
    assertEquals([line.semaphore.holders, line.changes], [["a"], changes]);
  });

  Deno.test(`Waiter in line takes a grant of which nobody heard neither for granted nor for refused: ${how}`, async () => {
    const line = new Line();
    line.hold("anna");
    const [first, second] = await line.lined("first", "second");
    first.store.fates.push(fate);
    line.unlock("anna");
    await line.time.advance(10_000);
    assertEquals([first.last, second.last], ["granted", FULL]);
    assertEquals([line.semaphore.holders, line.queue], [["first"], ["second"]]);
  });
}

Deno.test("Waiter does not wait for who was before it, went, and came again at once, though only the last is heard", async () => {
  const line = new Line();
  line.hold("anna");
  const key = placeKey(GROUP, 0, "restless");
  const come = () => line.memory.commit({ expect: [], put: [{ key, value: "{}" }] });
  come();
  const member = line.member("a", { lookMs: Infinity }).start();
  await line.time.advance(10);
  line.memory.commit({ expect: [], put: [], remove: [key] });
  come();
  await line.time.advance(10);
  assertEquals(line.queue, ["a", "restless"]);
  line.unlock("anna");
  await line.time.advance(SOON_MS);
  assertEquals(member.last, "granted");
});

Deno.test("Waiter takes a place of which nobody heard: it has one, and one alone", async () => {
  for (
    const fate of [{ kind: "reply-lost" }, { kind: "request-lost" }, { kind: "late", byMs: 5_000 }] as const
  ) {
    const line = new Line();
    line.hold("anna");
    const member = line.member("a");
    member.store.fates.push(fate);
    member.start();
    await line.time.advance(10_000);
    assertEquals([member.last, line.queue], [FULL, ["a"]], fate.kind);
    await line.time.advance(2 * PLACE_TTL_MS);
    assertEquals(line.queue, ["a"], "it is kept alive");
    line.unlock("anna");
    await line.time.advance(SOON_MS);
    assertEquals([member.last, line.queue], ["granted", []], fate.kind);
  }
});

Deno.test("Waiter whose swap another won gets in line: many come at once, and a line is what they need", async () => {
  const line = new Line();
  const member = line.member("a");
  member.store.fates.push({ kind: "refused" }, { kind: "refused" });
  member.start();
  await line.time.advance(SOON_MS);
  assertEquals(member.last, "granted");
  assertEquals(member.store.takeCalls(), [
    "view",
    "commit",
    "lease",
    "commit",
    "view",
    "lease",
    "commit",
    "commit",
  ]);
});

// ------------------------------------------------------------------------------------------------ a store that does not help

Deno.test("Waiter goes on by itself while the store is away, after pauses that grow and are bounded, and at once when it is back", async () => {
  const line = new Line();
  const member = line.member("a");
  member.store.down = true;
  member.start();
  const tries: number[] = [];
  let calls = 0;
  for (let second = 0; second < 300; second++) {
    await line.time.advance(1_000);
    if (member.store.calls.length > calls) tries.push(second);
    calls = member.store.calls.length;
  }
  // 3/4 of 250 ms, 500 ms and so on, up to 30 s
  assertEquals(tries.slice(0, 8), [0, 1, 2, 5, 11, 23, 46, 68]);
  assertEquals(tries.length, 18);
  const told = member.news.map((news) =>
    news.kind === "failing" ? [news.error.message, news.error.name] : news
  );
  assertEquals(told, [["memory: nobody answers", "StoreError"]]);
  member.store.down = false;
  await line.time.advance(10);
  assertEquals(member.last, "granted");
});

Deno.test("Waiter needs no watch: without any event it looks for itself now and then, and gets its slot", async () => {
  const line = new Line();
  line.hold("anna");
  const [first, second] = [line.member("first"), line.member("second")];
  first.store.watchFate = "dropped";
  second.store.watchFate = "dropped";
  first.start();
  await line.time.advance(10);
  second.start();
  await line.time.advance(10);
  first.store.takeCalls();
  await line.time.advance(10 * LOOK_MS);
  assertEquals(first.store.takeCalls(), Array(10).fill("view"));
  line.unlock("anna");
  await line.time.advance(LOOK_MS + SOON_MS);
  assertEquals([first.last, second.last], ["granted", FULL]);
  first.done();
  await line.time.advance(LOOK_MS + SOON_MS);
  assertEquals(second.last, "granted");
});

Deno.test("Waiter is not misled by events that come twice or late", async () => {
  for (const fate of ["twice", { lateByMs: 200 }, { lateByMs: 5_000 }] as const) {
    const line = new Line();
    line.hold("anna");
    const members = ["a", "b", "c"].map((id) => line.member(id));
    for (const member of members) {
      member.store.watchFate = fate;
      member.start();
      await line.time.advance(10);
    }
    line.setMax(2);
    line.setMax(1);
    line.unlock("anna");
    line.hold("bert");
    await line.time.advance(6_000);
    assertEquals(line.semaphore.holders, ["bert"]);
    line.unlock("bert");
    for (const member of members) {
      await line.time.advance(11_000);
      assertEquals(member.last, "granted");
      member.done();
    }
    assertEquals(line.granted, ["anna", "bert", "a", "b", "c"]);
  }
});

Deno.test("Waiter leaves a document that contradicts itself alone, says so, and goes on when it is mended", async () => {
  const line = new Line();
  line.write('{"semaphore": 5, "max": 1, "holders": []}');
  const member = line.member("a").start();
  await line.time.advance(60_000);
  assertEquals(
    member.last,
    `cannot join the queue, trying again: ${line.key} at memory is corrupt (left unchanged): ` +
      '"semaphore" is 5, but max 1 minus 0 holders is 1',
  );
  line.write('{"semaphore": 1, "max": 1, "holders": []}');
  await line.time.advance(30_000);
  assertEquals(member.last, "granted");
});

// ------------------------------------------------------------------------------------------------------- anything at random

/** Machines that come, wait, are granted, leave and die, over a store that fails in every way. */
async function anything(seed: number): Promise<void> {
  const random = new Random(seed);
  const line = new Line(new Virtual(() => random.next()));
  line.setMax(random.integer(1, 3));
  const live = new Set<Member>();
  const faults = (member: Member) => {
    const { store } = member;
    store.down = random.chance(0.1);
    store.watchFate = random.chance(0.2)
      ? "dropped"
      : random.chance(0.2)
      ? { lateByMs: random.between(0, 10_000) }
      : "told";
    if (random.chance(0.3)) store.fates.push({ kind: "reply-lost" });
    if (random.chance(0.3)) store.fates.push({ kind: "late", byMs: random.between(0, 20_000) });
    if (random.chance(0.2)) store.fates.push({ kind: "request-lost" }, { kind: "refused" });
    if (random.chance(0.1)) store.loseLeases();
    if (random.chance(0.05)) store.expireLeases();
  };
  let names = 0;
  const left: Member[] = [];
  for (let step = 0; step < 80; step++) {
    if (live.size < 12) live.add(line.member(`m${++names}`, { priority: random.integer(0, 1) }).start());
    for (const member of [...live]) {
      if (random.chance(0.3)) faults(member);
      if (random.chance(0.05)) member.waiter.leave();
      if (member.last === "left") left.push(member);
      if (random.chance(0.03)) member.die();
      if (member.last === "granted" && line.semaphore.holders.includes(member.id)) member.done();
      if (member.last === "granted" || member.last === "left" || member.store.dead) live.delete(member);
    }
    await line.time.advance(random.between(0, 8_000));
  }
  for (const member of live) Object.assign(member.store, { down: false, watchFate: "told" }).fates.length = 0;
  // those that died with a slot need a hand
  const hands = () => {
    for (const id of line.semaphore.holders) line.unlock(id);
  };
  for (let round = 0; round < 60; round++) {
    hands();
    await line.time.advance(LOOK_MS);
  }
  for (const member of live) {
    assert(["granted", "left"].includes(member.last), `${member.id}: ${member.last}`);
  }
  assertEquals(line.queue, [], "a place without a machine");
  assertEquals(line.semaphore.holders, []);
  for (const member of left) assertEquals(member.last, "left", "news after the last");
  await Promise.all([...live].map(({ ended }) => ended));
}

Deno.test("Waiter keeps its promises over a store that fails at random: never too many, everybody in the end, nothing left behind", async () => {
  for (let seed = 0; seed < 30; seed++) {
    try {
      await anything(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  }
});
