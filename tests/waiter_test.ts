/**
 * Machines that wait in line, in virtual time, over a store that fails as a store may. `line.ts` holds every story to
 * the count: no slot is granted that is not there.
 */

import { assert, assertEquals, assertLess } from "@std/assert";
import { PLACE_TTL_MS } from "../lib/queue.ts";
import { REBOOTING } from "../lib/semaphore.ts";
import { LOOK_INTERVAL_MS } from "../lib/wait.ts";
import { BY_HAND, daemonHold, HOUR_MS, Line, type Member } from "./support/line.ts";
import { BEGIN_MS, type Fate, Virtual } from "./support/virtual.ts";

const FULL = "first in line, all slots are held (available: 0)";
const BEHIND = "in line behind another machine";
const SOON_MS = 50;
/** The longest that a waiter relies on a watch, with the chance of the tests. */
const LOOK_MS = LOOK_INTERVAL_MS * 1.25;

/** Each in turn gets the slot and gives it back. */
async function takeTurns(line: Line, members: readonly Member[]): Promise<void> {
  for (const [turn, member] of members.entries()) {
    await line.time.advance(SOON_MS);
    assertEquals(members.map(({ last }) => last === "granted").lastIndexOf(true), turn, member.id);
    member.done();
  }
}

// ------------------------------------------------------------------------------------------------------ who, and when

Deno.test("Waiter takes a free slot that nobody waits for by one view and one commit", async () => {
  const line = new Line();
  const member = line.member("a").start();
  await line.time.advance(SOON_MS);
  assertEquals(member.news, [{ kind: "granted", grant: member.grant, called: false }]);
  assertEquals(member.store.takeCalls(), ["view", "commit"]);
  assertEquals(line.queue, []);
  assertEquals(line.semaphore.holds.get("a"), {
    ...daemonHold("a"),
    grant: member.grant,
    since: new Date(BEGIN_MS + 1).toISOString(),
  });
  assertEquals(line.semaphore.changed, {
    at: new Date(BEGIN_MS + 1).toISOString(),
    by: "locksmithd",
    what: "grant",
    machine: "a",
    reason: "a new kernel",
    extra: {},
  });
  await member.ended;
});

Deno.test("Waiter gives two that come at the same time one slot, and the other a place", async () => {
  const line = new Line();
  const [a, b] = [line.member("a").start(), line.member("b").start()];
  await line.time.advance(SOON_MS);
  assertEquals([a.last, b.last], ["granted", FULL]);
  assertEquals(line.queue, ["b"]);
});

Deno.test("Waiter grants in the order of arrival", async () => {
  const line = new Line();
  line.hold("anna");
  const members = await line.lined("d", "a", "c", "b");
  assertEquals(members.map(({ last }) => last), [FULL, BEHIND, BEHIND, BEHIND]);
  assertEquals(line.queue, ["d", "a", "c", "b"]);
  line.unlock("anna");
  await takeTurns(line, members);
  assertEquals(line.granted, ["anna", "d", "a", "c", "b"]);
});

Deno.test("Waiter grants to a higher priority first, and within one in the order of arrival", async () => {
  const line = new Line();
  line.hold("anna");
  const members: Member[] = [];
  for (const [id, priority] of [["low", -1], ["a", 0], ["b", 0], ["high", 7], ["top", 100]] as const) {
    members.push(line.member(id, { priority }).start());
    await line.time.advance(10);
  }
  assertEquals(line.queue, ["top", "high", "a", "b", "low"]);
  line.unlock("anna");
  for (const id of ["top", "high", "a", "b", "low"]) {
    await line.time.advance(SOON_MS);
    assertEquals(line.granted.at(-1), id);
    line.unlock(id);
  }
});

Deno.test("Waiter lets a higher priority pass that came when it was first in line already", async () => {
  const line = new Line();
  line.hold("anna");
  const [first] = await line.lined("first");
  const high = line.member("high", { priority: 1 }).start();
  await line.time.advance(10);
  // the one who was first hears of the free slot before the other does
  high.store.watchFate = { lateByMs: 20 };
  line.unlock("anna");
  await line.time.advance(10);
  assertEquals([first?.last, line.semaphore.holders], [BEHIND, []]);
  await line.time.advance(SOON_MS);
  assertEquals([first?.last, high.last], [FULL, "granted"]);
  high.done();
  await line.time.advance(SOON_MS);
  assertEquals(first?.last, "granted");
});

Deno.test("Waiter does not overtake those in line when it comes while a slot is free", async () => {
  const line = new Line();
  line.hold("anna");
  const [first] = await line.lined("first");
  if (first) first.store.watchFate = "dropped";
  line.unlock("anna");
  const late = line.member("late").start();
  await line.time.advance(SOON_MS);
  assertEquals([late.last, line.queue, line.semaphore.holders], [BEHIND, ["first", "late"], []]);
  await line.time.advance(LOOK_MS);
  assertEquals(first?.last, "granted");
});

Deno.test("Waiter of the next in line gets the slot of one that died once the lease of its place is over, not before", async () => {
  const line = new Line();
  line.hold("anna");
  const [dead, next] = await line.lined("dead", "next");
  dead?.die();
  line.unlock("anna");
  await line.time.advance(PLACE_TTL_MS / 2);
  assertEquals([next?.last, line.queue], [BEHIND, ["dead", "next"]]);
  await line.time.advance(PLACE_TTL_MS / 2 + SOON_MS);
  assertEquals([next?.last, line.semaphore.holders, line.queue], ["granted", ["next"], []]);
});

Deno.test("Waiter is refused a grant on a place that expired, and gets in line again behind the others", async () => {
  const line = new Line();
  line.hold("anna");
  const [first, second] = await line.lined("first", "second");
  if (second) second.store.watchFate = { lateByMs: 20 };
  first?.store.expireLeases();
  line.unlock("anna");
  await line.time.advance(15);
  assertEquals(line.semaphore.holders, [], "who has no place gets no slot");
  assertEquals(line.queue, ["second", "first"]);
  await line.time.advance(SOON_MS);
  assertEquals([first?.last, second?.last], [FULL, "granted"]);
  assertEquals(line.queue, ["first"]);
});

Deno.test("Waiter that is told that its lease may be gone keeps its turn under another, where the place is still there", async () => {
  const line = new Line();
  line.hold("anna");
  const [first, second] = await line.lined("first", "second");
  first?.store.loseLeases();
  await line.time.advance(4 * PLACE_TTL_MS);
  assertEquals(line.queue, ["first", "second"]);
  line.unlock("anna");
  await takeTurns(line, [first, second].filter((member) => member !== undefined));
});

Deno.test("Waiter goes on through an outage longer than its lease", async () => {
  const line = new Line();
  line.hold("anna");
  const [only] = await line.lined("only");
  if (only) only.store.down = true;
  await line.time.advance(10 * PLACE_TTL_MS);
  assertEquals(line.queue, []);
  if (only) only.store.down = false;
  await line.time.advance(PLACE_TTL_MS);
  assertEquals([only?.last, line.queue], [FULL, ["only"]]);
  line.unlock("anna");
  await line.time.advance(SOON_MS);
  assertEquals(only?.last, "granted");
});

Deno.test("Waiter started again within the lease keeps the turn of the process that crashed", async () => {
  const line = new Line();
  line.hold("anna");
  const [crashed, second] = await line.lined("first", "second");
  crashed?.die();
  await line.time.advance(PLACE_TTL_MS / 2);
  const again = line.member("first").start();
  await line.time.advance(4 * PLACE_TTL_MS);
  assertEquals([again.last, line.queue], [FULL, ["first", "second"]]);
  assert(second !== undefined);
  line.unlock("anna");
  await takeTurns(line, [again, second]);
});

Deno.test("Waiter started again in the middle of the line knows that somebody stands before it, and since when it waits", async () => {
  const line = new Line();
  line.hold("anna");
  const [, crashed] = await line.lined("first", "second", "third");
  const [before] = line.places.filter(({ machine }) => machine === "second");
  crashed?.die();
  await line.time.advance(1_000);
  const again = line.member("second").start();
  await line.time.advance(SOON_MS);
  assertEquals(again.last, BEHIND);
  assertEquals(again.news.length, 1, "it never thought to be the first");
  assertEquals(line.places[1], before);
});

Deno.test("Waiter hands a slot over with the same work however long the line is: only the first commits a grant", async () => {
  const works: string[][] = [];
  for (const length of [3, 40]) {
    const line = new Line();
    line.hold("anna");
    const members = await line.lined(...Array.from({ length }, (_, i) => `m${i}`));
    for (const { store } of members) store.takeCalls();
    line.unlock("anna");
    await line.time.advance(SOON_MS);
    assertEquals(members.map(({ last }) => last).slice(0, 3), ["granted", FULL, BEHIND]);
    works.push(members.flatMap(({ store }) => store.takeCalls()));
  }
  // the grant; then the next in line sees that it is the first, and watches the document
  assertEquals(works, [["commit", "view", "watch"], ["commit", "view", "watch"]]);
});

Deno.test("Waiter costs each of a herd that comes at once the same few calls, however many they are", async () => {
  for (const size of [5, 60]) {
    const line = new Line();
    const members = Array.from({ length: size }, (_, i) => line.member(`m${i}`).start());
    await line.time.advance(SOON_MS);
    const [first, second, ...others] = members.map(({ store }) => store.takeCalls());
    assertEquals(first, ["view", "commit"]);
    assertEquals(second, ["view", "commit", "lease", "commit", "watch"]);
    for (const calls of others) assertEquals(calls, second);
    assertEquals([line.granted, line.queue.length], [["m0"], size - 1]);
  }
});

Deno.test("Waiter fills all slots that become free at once, and no more", async () => {
  const line = new Line();
  line.setMax(0);
  const members = await line.lined("a", "b", "c", "d", "e");
  line.setMax(3);
  await line.time.advance(SOON_MS);
  assertEquals(members.map(({ last }) => last), ["granted", "granted", "granted", FULL, BEHIND]);
  assertEquals(line.granted, ["a", "b", "c"]);
});

Deno.test("Waiter is not woken by what does not help: a document that changes costs no call and no word", async () => {
  const line = new Line();
  line.hold("anna");
  const [first] = await line.lined("first");
  first?.store.takeCalls();
  const said = first?.news.length;
  for (let change = 0; change < 20; change++) line.setMax(1);
  await line.time.advance(SOON_MS);
  assertEquals([first?.store.takeCalls(), first?.news.length], [[], said]);
});

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
    const free = new Line();
    const member = free.member("a");
    member.store.fates.push(fate);
    member.start();
    await free.time.advance(10);
    assertEquals(member.last, "cannot get in line, trying again: memory: no answer in time");
    await free.time.advance(10_000);
    assertEquals(member.news.at(-1), { kind: "granted", grant: member.grant, called: false });
    assertEquals([free.semaphore.holders, free.changes], [["a"], changes]);

    const full = new Line();
    full.hold("anna");
    const [first, second] = await full.lined("first", "second");
    first?.store.fates.push(fate);
    full.unlock("anna");
    await full.time.advance(10_000);
    assertEquals([first?.last, second?.last], ["granted", FULL]);
    assertEquals([full.semaphore.holders, full.queue], [["first"], ["second"]]);
  });
}

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

// ----------------------------------------------------------------------------------------------------------- who leaves

Deno.test("Waiter.leave() gives the place up at once: those behind move up", async () => {
  const line = new Line();
  line.hold("anna");
  const [a, b, c] = await line.lined("a", "b", "c");
  b?.waiter.leave();
  await line.time.advance(SOON_MS);
  assertEquals([b?.last, line.queue], ["left", ["a", "c"]]);
  a?.waiter.leave();
  await line.time.advance(SOON_MS);
  assertEquals([a?.last, c?.last, line.queue], ["left", FULL, ["c"]]);
  line.unlock("anna");
  await line.time.advance(2 * LOOK_MS);
  assertEquals(line.granted, ["anna", "c"], "who left is granted nothing");
  assertEquals([a?.news.at(-1), b?.news.at(-1)], [{ kind: "left" }, { kind: "left" }]);
});

Deno.test("Waiter.leave() before anything was asked leaves nothing behind", async () => {
  const line = new Line();
  const member = line.member("a");
  member.waiter.leave();
  member.start();
  await line.time.advance(SOON_MS);
  assertEquals([member.last, line.queue, line.changes], ["left", [], 0]);
});

Deno.test("Waiter.leave() is heard whatever is under way", async () => {
  for (const free of [true, false]) {
    for (let moment = 0; moment < 8; moment += 0.5) {
      const line = new Line();
      line.setMax(2);
      line.hold("anna");
      if (!free) line.hold("bert");
      const [before] = free ? [] : await line.lined("before");
      const member = line.member("a").start();
      await line.time.advance(moment);
      const ended = member.last;
      member.waiter.leave();
      await line.time.advance(SOON_MS);
      const where = `after ${moment} ms: ${member.last}`;
      if (ended === "granted") assertEquals(member.last, "granted");
      else assert(["granted", "left"].includes(member.last), where);
      assertEquals(line.semaphore.holders.includes("a"), member.last === "granted", where);
      assertEquals(line.queue, free ? [] : ["before"], where);
      before?.waiter.leave();
    }
  }
  for (let moment = 0; moment < 8; moment += 0.5) {
    const line = new Line();
    line.hold("anna");
    const [before, member] = await line.lined("b", "a");
    line.setMax(2);
    line.hold("a");
    before?.waiter.leave();
    await line.time.advance(moment);
    member?.waiter.leave();
    await line.time.advance(SOON_MS);
    assertEquals(member?.last, "left", `held by hand, after ${moment} ms`);
  }
});

Deno.test("Waiter.leave() is tried at once where a call was just failing, and later each time after that", async () => {
  const line = new Line();
  line.hold("anna");
  const [member] = await line.lined("a");
  assert(member !== undefined);
  member.store.down = true;
  await line.time.advance(300_000);
  // in the middle of a call, when pauses are at their longest
  member.store.takeCalls();
  while (member.store.calls.length === 0) await line.time.advance(0.5);
  member.waiter.leave();
  await line.time.advance(1);
  member.store.down = false;
  await line.time.advance(SOON_MS);
  assertEquals(member.last, "left");
});

Deno.test("Waiter.leave() with a grant in doubt makes sure that it never happens", async () => {
  for (const lined of [false, true]) {
    const line = new Line();
    if (lined) line.hold("anna");
    const member = line.member("a");
    const late: Fate = { kind: "late", byMs: 5_000 };
    member.store.fates.push(...lined ? [undefined, late] : [late]);
    member.start();
    await line.time.advance(10);
    if (lined) line.unlock("anna");
    await line.time.advance(10);
    assertEquals([member.last, line.semaphore.holders], [
      "cannot get in line, trying again: memory: no answer in time",
      [],
    ]);
    member.waiter.leave();
    await line.time.advance(SOON_MS);
    assertEquals(member.last, "left");
    await line.time.advance(10_000);
    assertEquals([line.semaphore.holders, line.queue], [[], []], "the commit that came late was refused");
    assert(!line.granted.includes("a"));
  }
});

Deno.test("Waiter.leave() with a place in doubt leaves none behind, be it that its commit comes late", async () => {
  const line = new Line();
  line.hold("anna");
  const member = line.member("a");
  member.store.fates.push({ kind: "late", byMs: 5_000 });
  member.start();
  await line.time.advance(10);
  member.waiter.leave();
  await line.time.advance(SOON_MS);
  assertEquals(member.last, "left");
  await line.time.advance(6_000);
  assertEquals(line.queue, [], "the lease that it was to stand under is over");
});

Deno.test("Waiter.leave() tells of a grant that happened, though nobody had heard of it", async () => {
  const line = new Line();
  const member = line.member("a");
  member.store.fates.push({ kind: "reply-lost" });
  member.start();
  await line.time.advance(10);
  member.waiter.leave();
  await line.time.advance(SOON_MS);
  assertEquals(member.news.at(-1), { kind: "granted", grant: member.grant, called: false });
});

Deno.test("Waiter.leave() takes a grant back that happens between its look and its fence", async () => {
  const line = new Line();
  const member = line.member("a");
  // the look comes after 2 ms, the fence after 4
  member.store.fates.push({ kind: "late", byMs: 12 });
  member.start();
  await line.time.advance(12);
  member.waiter.leave();
  await line.time.advance(SOON_MS);
  assertEquals([member.last, line.granted, line.semaphore.holders], ["left", ["a"], []]);
});

Deno.test("Waiter.leave() while the store is away goes on until it is known how it ended", async () => {
  const line = new Line();
  line.hold("anna");
  const [member] = await line.lined("a");
  if (member) member.store.down = true;
  member?.waiter.leave();
  await line.time.advance(20_000);
  assertEquals(member?.last, FULL, "nobody knows yet");
  assertEquals(line.queue, ["a"]);
  if (member) member.store.down = false;
  await line.time.advance(PLACE_TTL_MS);
  assertEquals([member?.last, line.queue], ["left", []]);
});

Deno.test("Waiter.leave() gives the place of an earlier process up too", async () => {
  const line = new Line();
  line.hold("anna");
  const [crashed] = await line.lined("a");
  crashed?.die();
  const again = line.member("a");
  again.waiter.leave();
  again.start();
  await line.time.advance(SOON_MS);
  assertEquals([again.last, line.queue], ["left", []]);
});

// -------------------------------------------------------------------------------------------------- slots by other hands

Deno.test("Waiter does not stand in line while its machine is held by hand, and gets in line when that ends", async () => {
  const line = new Line();
  line.setMax(2);
  line.hold("anna");
  const [a, b] = await line.lined("a", "b");
  a?.done();
  line.hold("a");
  const again = line.member("a").start();
  await line.time.advance(SOON_MS);
  const text = "this machine's slot was taken by hand (since 2026-01-01T00:00:00.000Z, by anna@desk, " +
    "because: a new disk); 'locksmith unlock a' ends that";
  assertEquals([again.last, line.queue], [text, ["b"]].slice(0, 1).concat([line.queue]));
  line.unlock("anna");
  await line.time.advance(SOON_MS);
  assertEquals([b?.last, again.last, line.semaphore.holders], ["granted", text, ["a", "b"]]);
  line.unlock("a");
  await line.time.advance(SOON_MS);
  assertEquals(again.last, "granted");
});

Deno.test("Waiter in line whose machine is taken by hand leaves the line to the others", async () => {
  const line = new Line();
  line.hold("anna");
  const [a, b] = await line.lined("a", "b");
  line.setMax(2);
  line.hold("a");
  await line.time.advance(SOON_MS);
  assertEquals([line.queue, b?.last], [["b"], FULL]);
  line.unlock("anna");
  await line.time.advance(SOON_MS);
  assertEquals([b?.last, line.semaphore.holders], ["granted", ["a", "b"]]);
  b?.done();
  line.unlock("a");
  await line.time.advance(SOON_MS);
  assertEquals(a?.last, "granted");
});

Deno.test("Waiter is granted what its machine has by another request of the same boot", async () => {
  for (const called of [false, true]) {
    const line = new Line();
    const hold = { ...daemonHold("a"), since: new Date(BEGIN_MS).toISOString() };
    line.hold("a", called ? { ...hold, phase: REBOOTING } : hold);
    const member = line.member("a").start();
    await line.time.advance(SOON_MS);
    assertEquals(member.news, [{ kind: "granted", grant: hold.grant, called }]);
    assertEquals(line.granted, ["a"]);
  }
});

Deno.test("Waiter gives a hold of an earlier boot back that came late, and goes on for its own", async () => {
  const line = new Line();
  line.hold("anna");
  const [a] = await line.lined("a");
  line.setMax(2);
  line.hold("a", { ...daemonHold("a", "the boot before"), since: new Date(BEGIN_MS).toISOString() });
  await line.time.advance(SOON_MS);
  assertEquals(a?.last, "granted");
  assertEquals(line.semaphore.holds.get("a")?.boot, "boot of a");
  assertEquals(line.semaphore.holds.get("a")?.grant, a?.grant);
});

Deno.test("Waiter never gives back what another machine of the same id holds, and says who", async () => {
  const line = new Line();
  const other = { ...daemonHold("a", "another boot"), host: "twin", since: new Date(BEGIN_MS).toISOString() };
  line.hold("a", other);
  const member = line.member("a").start();
  await line.time.advance(2 * LOOK_MS);
  assertEquals(
    member.last,
    "machine id a holds a slot under another boot id and host twin (since 2026-01-01T00:00:00.000Z, by locksmithd, " +
      "because: a new kernel); do two machines share this id?",
  );
  assertEquals(line.semaphore.holds.get("a"), other);
  line.unlock("a");
  await line.time.advance(SOON_MS);
  assertEquals([member.last, line.semaphore.holds.get("a")?.grant], ["granted", member.grant]);
});

Deno.test("Waiter waits for a hand where a hold of its own boot has no grant to show, and does not ask in a loop", async () => {
  const line = new Line();
  line.hold("a", { boot: "boot of a", extra: {} });
  const member = line.member("a").start();
  await line.time.advance(1_000);
  assertEquals(member.last, "this machine's slot was taken by hand; 'locksmith unlock a' ends that");
  assertLess(member.store.takeCalls().length, 10);
  line.unlock("a");
  await line.time.advance(SOON_MS);
  assertEquals(member.last, "granted");
});

Deno.test("Waiter by hand ends with what the holder has already, and knows its own grant again", async () => {
  const { host: _, boot: __, ...hold } = daemonHold("a");
  const line = new Line();
  line.hold("a", BY_HAND);
  const held = line.member("a", { hold }).start();
  await line.time.advance(SOON_MS);
  assertEquals(held.news, [{ kind: "held", hold: BY_HAND }]);

  const free = new Line();
  const lost = free.member("a", { hold });
  lost.store.fates.push({ kind: "reply-lost" });
  lost.start();
  await free.time.advance(1_000);
  assertEquals(lost.news.at(-1), { kind: "granted", grant: hold.grant, called: false });
});

// ------------------------------------------------------------------------------------------------------------ what it says

Deno.test("Waiter waits while the group is paused, says who paused it, and is granted when that ends", async () => {
  const line = new Line();
  line.change((semaphore) => ({
    ...semaphore,
    paused: { since: "2026-01-01T00:00:00Z", by: "anna@desk", reason: "a fair", extra: {} },
  }));
  const [a, b] = await line.lined("a", "b");
  const text =
    "first in line, the group is paused (since 2026-01-01T00:00:00Z, by anna@desk, because: a fair)";
  assertEquals([a?.last, b?.last], [text, BEHIND]);
  line.change(({ paused: _, ...semaphore }) => semaphore);
  await line.time.advance(SOON_MS);
  assertEquals([a?.last, b?.last], ["granted", FULL]);
});

Deno.test("Waiter names the machines whose reboot takes too long", async () => {
  const line = new Line();
  line.setMax(2);
  line.hold("anna");
  line.hold("slow", { ...daemonHold("slow"), since: new Date(BEGIN_MS).toISOString() });
  const [first, second] = await line.lined("first", "second");
  assertEquals([first?.last, second?.last], [FULL, BEHIND]);
  await line.time.advance(HOUR_MS + LOOK_MS);
  const overdue = "; overdue: slow (since 2026-01-01T00:00:00.000Z, by locksmithd, because: a new kernel)";
  assertEquals([first?.last, second?.last], [`${FULL}${overdue}`, `${BEHIND}${overdue}`]);
  line.unlock("slow");
  await line.time.advance(SOON_MS);
  assertEquals([first?.last, second?.last], ["granted", FULL]);
});

Deno.test("Waiter says how many are missing where max was set below the number of holders", async () => {
  const line = new Line();
  line.setMax(2);
  line.hold("anna");
  line.hold("bert");
  line.setMax(1);
  const [only] = await line.lined("only");
  assertEquals(only?.last, "first in line, all slots are held (available: -1)");
  line.unlock("anna");
  await line.time.advance(SOON_MS);
  assertEquals(only?.last, FULL);
});

// ------------------------------------------------------------------------------------------------ a store that does not help

Deno.test("Waiter goes on by itself while the store is away, after pauses that grow and are bounded", async () => {
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
  await line.time.advance(30_000);
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
    `cannot get in line, trying again: ${line.key} at memory is corrupt (left unchanged): ` +
      '"semaphore" is 5, but max 1 less 0 holders is 1',
  );
  line.write('{"semaphore": 1, "max": 1, "holders": []}');
  await line.time.advance(30_000);
  assertEquals(member.last, "granted");
});

// ------------------------------------------------------------------------------------------------------- anything at random

/** Numbers in [0, 1) that a seed decides: mulberry32. */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Machines that come, wait, are granted, leave and die, over a store that fails in every way. */
async function anything(seed: number): Promise<void> {
  const random = seeded(seed);
  const chance = (p: number) => random() < p;
  const line = new Line(new Virtual(random));
  line.setMax(1 + Math.floor(random() * 3));
  const live = new Set<Member>();
  const faults = (member: Member) => {
    const { store } = member;
    store.down = chance(0.1);
    store.watchFate = chance(0.2) ? "dropped" : chance(0.2) ? { lateByMs: random() * 10_000 } : "told";
    if (chance(0.3)) store.fates.push({ kind: "reply-lost" });
    if (chance(0.3)) store.fates.push({ kind: "late", byMs: random() * 20_000 });
    if (chance(0.2)) store.fates.push({ kind: "request-lost" }, { kind: "refused" });
    if (chance(0.1)) store.loseLeases();
    if (chance(0.05)) store.expireLeases();
  };
  let names = 0;
  const left: Member[] = [];
  for (let step = 0; step < 80; step++) {
    if (live.size < 12) live.add(line.member(`m${++names}`, { priority: Math.floor(random() * 2) }).start());
    for (const member of [...live]) {
      if (chance(0.3)) faults(member);
      if (chance(0.05)) member.waiter.leave();
      if (member.last === "left") left.push(member);
      if (chance(0.03)) member.die();
      if (member.last === "granted" && line.semaphore.holders.includes(member.id)) member.done();
      if (member.last === "granted" || member.last === "left" || member.store.dead) live.delete(member);
    }
    await line.time.advance(random() * 8_000);
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
