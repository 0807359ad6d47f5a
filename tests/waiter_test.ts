/**
 * Machines that wait in line, in virtual time, over a store that answers: who gets the slot and when, slots by other hands,
 * and what is said meanwhile. `line.ts` holds every story to the count: no slot is granted that is not there.
 */

import { assert, assertEquals, assertLess } from "@std/assert";
import { PLACE_TTL_MS } from "../lib/queue.ts";
import { REBOOTING } from "../lib/semaphore.ts";
import { isOneKey, type Query } from "../lib/store.ts";

import {
  BEHIND,
  BY_HAND,
  daemonHold,
  FULL,
  HOUR_MS,
  Line,
  LOOK_MS,
  type Member,
  SOON_MS,
} from "./support/line.ts";
import { BEGIN_MS } from "./support/virtual.ts";

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
  assertEquals([first.last, line.semaphore.holders], [BEHIND, []]);
  await line.time.advance(SOON_MS);
  assertEquals([first.last, high.last], [FULL, "granted"]);
  high.done();
  await line.time.advance(SOON_MS);
  assertEquals(first.last, "granted");
});

Deno.test("Waiter does not overtake those in line when it comes while a slot is free", async () => {
  const line = new Line();
  line.hold("anna");
  const [first] = await line.lined("first");
  first.store.watchFate = "dropped";
  line.unlock("anna");
  const late = line.member("late").start();
  await line.time.advance(SOON_MS);
  assertEquals([late.last, line.queue, line.semaphore.holders], [BEHIND, ["first", "late"], []]);
  await line.time.advance(LOOK_MS);
  assertEquals(first.last, "granted");
});

Deno.test("Waiter of the next in line gets the slot of one that died once the lease of its place is over, not before", async () => {
  const line = new Line();
  line.hold("anna");
  const [dead, next] = await line.lined("dead", "next");
  dead.die();
  line.unlock("anna");
  await line.time.advance(PLACE_TTL_MS / 2);
  assertEquals([next.last, line.queue], [BEHIND, ["dead", "next"]]);
  await line.time.advance(PLACE_TTL_MS / 2 + SOON_MS);
  assertEquals([next.last, line.semaphore.holders, line.queue], ["granted", ["next"], []]);
});

Deno.test("Waiter is refused a grant on a place that expired, and gets in line again behind the others", async () => {
  const line = new Line();
  line.hold("anna");
  const [first, second] = await line.lined("first", "second");
  second.store.watchFate = { lateByMs: 20 };
  first.store.expireLeases();
  line.unlock("anna");
  await line.time.advance(15);
  assertEquals(line.semaphore.holders, [], "who has no place gets no slot");
  assertEquals(line.queue, ["second", "first"]);
  await line.time.advance(SOON_MS);
  assertEquals([first.last, second.last], [FULL, "granted"]);
  assertEquals(line.queue, ["first"]);
});

Deno.test("Waiter that is told that its lease may be gone keeps its turn under another, where the place is still there", async () => {
  const line = new Line();
  line.hold("anna");
  const [first, second] = await line.lined("first", "second");
  first.store.takeCalls();
  first.store.loseLeases();
  await line.time.advance(SOON_MS);
  assertEquals(first.store.takeCalls().slice(0, 3), ["view", "lease", "commit"], "it takes its place over");
  await line.time.advance(4 * PLACE_TTL_MS);
  assertEquals(line.queue, ["first", "second"]);
  line.unlock("anna");
  await takeTurns(line, [first, second]);
});

Deno.test("Waiter goes on through an outage longer than its lease", async () => {
  const line = new Line();
  line.hold("anna");
  const [only] = await line.lined("only");
  only.store.down = true;
  await line.time.advance(10 * PLACE_TTL_MS);
  assertEquals(line.queue, []);
  only.store.down = false;
  await line.time.advance(PLACE_TTL_MS);
  assertEquals([only.last, line.queue], [FULL, ["only"]]);
  line.unlock("anna");
  await line.time.advance(SOON_MS);
  assertEquals(only.last, "granted");
});

Deno.test("Waiter started again within the lease keeps the turn of the process that crashed", async () => {
  const line = new Line();
  line.hold("anna");
  const [crashed, second] = await line.lined("first", "second");
  crashed.die();
  await line.time.advance(PLACE_TTL_MS / 2);
  const again = line.member("first").start();
  await line.time.advance(4 * PLACE_TTL_MS);
  assertEquals([again.last, line.queue], [FULL, ["first", "second"]]);
  line.unlock("anna");
  await takeTurns(line, [again, second]);
});

Deno.test("Waiter started again in the middle of the line knows that somebody stands before it, and since when it waits", async () => {
  const line = new Line();
  line.hold("anna");
  const [, crashed] = await line.lined("first", "second", "third");
  const [before] = line.places.filter(({ machine }) => machine === "second");
  crashed.die();
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

Deno.test("Waiter reads the line only to get into it, and when the place before its own is gone: else it looks by exact keys", async () => {
  const line = new Line();
  line.hold("anna");
  const [, second, , fourth] = await line.lined("a", "b", "c", "d");
  const ranges = [second, fourth].map(({ store }) => {
    const found: Query[] = [];
    const view = store.view.bind(store);
    store.view = (queries, options) => {
      found.push(...queries.filter(({ range }) => !isOneKey(range)));
      return view(queries, options);
    };
    return found;
  });
  const looked = () =>
    ranges.map((found) => found.splice(0).filter(({ order }) => order !== undefined).length);
  for (const { store } of [second, fourth]) store.takeCalls();
  await line.time.advance(10 * LOOK_MS);
  assert(
    [second, fourth].every(({ store }) => store.takeCalls().filter((call) => call === "view").length > 5),
  );
  assertEquals(looked(), [0, 0]);
  line.members[2]?.waiter.leave();
  await line.time.advance(SOON_MS);
  assertEquals(looked(), [0, 1]);
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
  first.store.takeCalls();
  const said = first.news.length;
  for (let change = 0; change < 20; change++) line.setMax(1);
  await line.time.advance(SOON_MS);
  assertEquals([first.store.takeCalls(), first.news.length], [[], said]);
});

// -------------------------------------------------------------------------------------------------- slots by other hands

Deno.test("Waiter does not stand in line while its machine is held by hand, and gets in line when that ends", async () => {
  const line = new Line();
  line.setMax(2);
  line.hold("anna");
  const [a, b] = await line.lined("a", "b");
  a.done();
  line.hold("a");
  const again = line.member("a").start();
  await line.time.advance(SOON_MS);
  const text = "this machine's slot was taken by hand";
  assertEquals(
    again.told,
    `warning: ${text} (since Thu 2026-01-01 01:00:00 +01:00, 0 s ago, by anna@desk, ` +
      "because: a new disk); only 'locksmith unlock a --group web' releases it",
  );
  assertEquals([again.last, line.queue], [text, ["b"]]);
  line.unlock("anna");
  await line.time.advance(SOON_MS);
  assertEquals([b.last, again.last, line.semaphore.holders], ["granted", text, ["a", "b"]]);
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
  assertEquals([line.queue, b.last], [["b"], FULL]);
  line.unlock("anna");
  await line.time.advance(SOON_MS);
  assertEquals([b.last, line.semaphore.holders], ["granted", ["a", "b"]]);
  b.done();
  line.unlock("a");
  await line.time.advance(SOON_MS);
  assertEquals(a.last, "granted");
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
  assertEquals(a.last, "granted");
  assertEquals(line.semaphore.holds.get("a")?.boot, "boot of a");
  assertEquals(line.semaphore.holds.get("a")?.grant, a.grant);
});

Deno.test("Waiter never gives back what another machine of the same id holds, and says who", async () => {
  const line = new Line();
  const other = { ...daemonHold("a", "another boot"), host: "twin", since: new Date(BEGIN_MS).toISOString() };
  line.hold("a", other);
  const member = line.member("a").start();
  await line.time.advance(2 * LOOK_MS);
  assertEquals(
    member.told,
    "warning: machine id a holds a slot under another boot id and host twin (since Thu 2026-01-01 01:00:00 +01:00, " +
      "12 min 30 s ago, by locksmithd, because: a new kernel); do two machines share this id? give one of them a new one; " +
      "if this machine was renamed, 'locksmith unlock a --group web' releases it",
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
  assertEquals(member.last, "this machine's slot was taken by hand");
  assertLess(member.store.takeCalls().length, 10);
  line.unlock("a");
  await line.time.advance(SOON_MS);
  assertEquals(member.last, "granted");
});

Deno.test("Waiter by hand ends with what the holder has already", async () => {
  const { host: _, boot: __, ...hold } = daemonHold("a");
  const line = new Line();
  line.hold("a", BY_HAND);
  const member = line.member("a", { hold }).start();
  await line.time.advance(SOON_MS);
  assertEquals(member.news, [{ kind: "held", hold: BY_HAND }]);
});

Deno.test("Waiter by hand knows its own grant again, though the reply to it was lost", async () => {
  const { host: _, boot: __, ...hold } = daemonHold("a");
  const line = new Line();
  const member = line.member("a", { hold });
  member.store.fates.push({ kind: "reply-lost" });
  member.start();
  await line.time.advance(1_000);
  assertEquals(member.news.at(-1), { kind: "granted", grant: hold.grant, called: false });
});

// ------------------------------------------------------------------------------------------------------------ what it says

Deno.test("Waiter waits while the group is paused, says who paused it, and is granted when that ends", async () => {
  const line = new Line();
  line.change((semaphore) => ({
    ...semaphore,
    paused: { since: "2026-01-01T00:00:00Z", by: "anna@desk", reason: "a fair", extra: {} },
  }));
  const [a, b] = await line.lined("a", "b");
  assertEquals([a.last, b.last], ["first in line, the group is paused", BEHIND]);
  assertEquals(
    a.told,
    "warning: first in line, the group is paused (since Thu 2026-01-01 01:00:00 +01:00, 0 s ago, by anna@desk, " +
      "because: a fair); 'locksmith resume --group web' ends the pause",
  );
  line.change(({ paused: _, ...semaphore }) => semaphore);
  await line.time.advance(SOON_MS);
  assertEquals([a.last, b.last], ["granted", FULL]);
});

Deno.test("Waiter names the machines whose reboot takes too long", async () => {
  const line = new Line();
  line.setMax(2);
  line.hold("anna");
  line.hold("slow", { ...daemonHold("slow"), since: new Date(BEGIN_MS).toISOString() });
  const [first, second] = await line.lined("first", "second");
  assertEquals([first.last, second.last], [FULL, BEHIND]);
  await line.time.advance(HOUR_MS + LOOK_MS);
  const overdue = ", 1 overdue";
  assertEquals([first.last, second.last], [`${FULL}${overdue}`, `${BEHIND}${overdue}`]);
  assertEquals(
    first.told,
    `warning: ${FULL}${overdue}: overdue host slow (slow), granted 1 h 6 min ago, because: a new kernel; ` +
      "anna, taken by hand 1 h 6 min ago by anna@desk, because: a new disk; check the overdue machine, or release its slot: locksmith unlock 'host slow' --group web",
  );
  line.unlock("slow");
  await line.time.advance(SOON_MS);
  assertEquals([first.last, second.last], ["granted", FULL]);
});

Deno.test("Waiter says how many are missing where max was set below the number of holders", async () => {
  const line = new Line();
  line.setMax(2);
  line.hold("anna");
  line.hold("bert");
  line.setMax(1);
  const [only] = await line.lined("only");
  assertEquals(only.last, "first in line, all slots are held (available: -1)");
  line.unlock("anna");
  await line.time.advance(SOON_MS);
  assertEquals(only.last, FULL);
});
