/** Machines that leave the line: what they leave behind, and what they know when they are told that it is over. */

import { assert, assertEquals } from "@std/assert";
import { PLACE_TTL_MS } from "../lib/queue.ts";

import { FULL, Line, LOOK_MS, SOON_MS } from "./support/line.ts";
import type { Fate } from "./support/virtual.ts";

Deno.test("Waiter.leave() gives the place up at once: those behind move up", async () => {
  const line = new Line();
  line.hold("anna");
  const [a, b, c] = await line.lined("a", "b", "c");
  b.waiter.leave();
  await line.time.advance(SOON_MS);
  assertEquals([b.last, line.queue], ["left", ["a", "c"]]);
  a.waiter.leave();
  await line.time.advance(SOON_MS);
  assertEquals([a.last, c.last, line.queue], ["left", FULL, ["c"]]);
  line.unlock("anna");
  await line.time.advance(2 * LOOK_MS);
  assertEquals(line.granted, ["anna", "c"], "who left is granted nothing");
  assertEquals([a.news.at(-1), b.news.at(-1)], [{ kind: "left" }, { kind: "left" }]);
});

Deno.test("Waiter.leave() before anything was asked leaves nothing behind", async () => {
  const line = new Line();
  const member = line.member("a");
  member.waiter.leave();
  member.start();
  await line.time.advance(SOON_MS);
  assertEquals([member.last, line.queue, line.changes], ["left", [], 0]);
});

for (const free of [true, false]) {
  Deno.test(`Waiter.leave() is heard whatever is under way, with ${free ? "a free slot" : "all slots held"}`, async () => {
    for (let moment = 0; moment < 8; moment += 0.5) {
      const line = new Line();
      line.setMax(2);
      line.hold("anna");
      if (!free) {
        line.hold("bert");
        await line.lined("before");
      }
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
    }
  });
}

Deno.test("Waiter.leave() is heard while its machine is held by hand", async () => {
  for (let moment = 0; moment < 8; moment += 0.5) {
    const line = new Line();
    line.hold("anna");
    const [before, member] = await line.lined("b", "a");
    line.setMax(2);
    line.hold("a");
    before.waiter.leave();
    await line.time.advance(moment);
    member.waiter.leave();
    await line.time.advance(SOON_MS);
    assertEquals(member.last, "left", `after ${moment} ms`);
  }
});

Deno.test("Waiter.leave() is tried at once where a call was just failing, and later each time after that", async () => {
  const line = new Line();
  line.hold("anna");
  const [member] = await line.lined("a");
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
      "cannot join the queue, trying again: memory: no answer in time",
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
  member.store.down = true;
  member.waiter.leave();
  await line.time.advance(20_000);
  assertEquals(member.last, FULL, "nobody knows yet");
  assertEquals(line.queue, ["a"]);
  member.store.down = false;
  await line.time.advance(PLACE_TTL_MS);
  assertEquals([member.last, line.queue], ["left", []]);
});

Deno.test("Waiter.leave() gives the place of an earlier process up too", async () => {
  const line = new Line();
  line.hold("anna");
  const [crashed] = await line.lined("a");
  crashed.die();
  const again = line.member("a");
  again.waiter.leave();
  again.start();
  await line.time.advance(SOON_MS);
  assertEquals([again.last, line.queue], ["left", []]);
});
