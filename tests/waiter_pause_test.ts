/** Machines that wait while their group, or every group, is paused: who grants nothing, and who wakes. In virtual time. */

import { assertEquals } from "@std/assert";
import { ALL_GROUPS } from "../lib/group.ts";
import { Lock } from "../lib/lock.ts";
import type { Pause } from "../lib/semaphore.ts";
import { BEHIND, FULL, HOUR_MS, Line, LOOK_MS, SOON_MS } from "./support/line.ts";
import { BEGIN_MS } from "./support/virtual.ts";

const PAUSE: Pause = { by: "anna@desk", extra: {} };
const until = (ms: number): Pause => ({ ...PAUSE, until: new Date(BEGIN_MS + ms).toISOString() });

Deno.test("Waiter is granted nothing while all groups are paused, though a slot is free, and wakes when they are resumed", async () => {
  const line = new Line();
  line.hold("anna");
  const [first, second] = await line.lined("a", "b");
  line.pauseAll(PAUSE);
  line.unlock("anna");
  await line.time.advance(SOON_MS);
  assertEquals([first.last, second.last], ["first in line, all groups are paused", BEHIND]);
  await line.time.advance(HOUR_MS);
  assertEquals(line.granted, ["anna"]);
  line.pauseAll();
  await line.time.advance(SOON_MS);
  assertEquals([first.last, second.last], ["granted", FULL]);
});

Deno.test("Waiter that comes while all groups are paused lines up, and keeps its place through the pause", async () => {
  const line = new Line();
  line.pauseAll(PAUSE);
  const [first] = await line.lined("a", "b");
  assertEquals([first.last, line.queue], ["first in line, all groups are paused", ["a", "b"]]);
  line.pauseAll();
  await line.time.advance(SOON_MS);
  assertEquals(line.granted, ["a"]);
});

Deno.test("Waiter whose grant meets a pause of all that it has not heard of is refused: the grant proves that there is none", async () => {
  const line = new Line();
  const member = line.member("a");
  member.store.fates.push({ kind: "overtaken", by: () => line.pauseAll(PAUSE) });
  member.start();
  await line.time.advance(HOUR_MS);
  assertEquals([line.granted, line.queue], [[], ["a"]]);
  line.pauseAll();
  await line.time.advance(SOON_MS);
  assertEquals(member.last, "granted");
});

Deno.test("Waiter does not miss what changed in its group while it waited for all to be resumed", async () => {
  const line = new Line();
  line.hold("anna");
  line.pauseAll(PAUSE);
  const [first] = await line.lined("a");
  line.setMax(0);
  line.unlock("anna");
  line.setMax(1);
  line.hold("otto");
  line.pauseAll();
  await line.time.advance(SOON_MS);
  assertEquals(first.last, FULL);
  line.unlock("otto");
  await line.time.advance(SOON_MS);
  assertEquals(first.last, "granted");
});

Deno.test("Waiter wakes when a pause is over by its own clock, of its group or of all, without anybody writing", async () => {
  for (const all of [false, true]) {
    const line = new Line();
    if (all) line.pauseAll(until(HOUR_MS));
    else line.change((semaphore) => ({ ...semaphore, paused: until(HOUR_MS) }));
    const [first] = await line.lined("a");
    const paused = `${all ? "all groups are" : "the group is"} paused`;
    assertEquals(first.last, `first in line, ${paused}`);
    await line.time.advance(HOUR_MS - line.time.elapsed() - 1);
    assertEquals(line.granted, []);
    await line.time.advance(SOON_MS);
    assertEquals([all, first.last], [all, "granted"]);
  }
});

Deno.test("Waiter whose clock is set on goes by it: the pause is over earlier, at the next look", async () => {
  const line = new Line();
  line.pauseAll(until(24 * HOUR_MS));
  const [first] = await line.lined("a");
  line.time.leap(25 * HOUR_MS);
  await line.time.advance(LOOK_MS + SOON_MS);
  assertEquals(first.last, "granted");
});

Deno.test("Waiter looks at a pause of centuries as seldom as at one without an end", async () => {
  const line = new Line();
  line.pauseAll({ ...PAUSE, until: "2526-01-01T00:00:00Z" });
  const [first] = await line.lined("a");
  first.store.takeCalls();
  await line.time.advance(10 * (LOOK_MS + 1));
  assertEquals(first.store.takeCalls().length, 10);
});

Deno.test("Lock.acquire() takes no slot past a pause of all that came while it asked", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  store.fates.push({ kind: "overtaken", by: () => line.pauseAll(PAUSE) });
  const decision = await line.time.ended(lock.acquire("A", { grant: "g", extra: {} }));
  assertEquals(decision, { kind: "paused", pause: PAUSE, all: true });
  assertEquals(store.takeCalls(), ["view", "commit"], "the refusal brings what there is");
  const all = new Lock(store, ALL_GROUPS, line.time, "anna@desk");
  assertEquals(await line.time.ended(all.resume()), { before: PAUSE });
  assertEquals((await line.time.ended(lock.acquire("A", { grant: "g", extra: {} }))).kind, "granted");
});

Deno.test("Lock grants nothing while the document of all groups cannot be read, and ends a hold all the same", async () => {
  const line = new Line();
  line.hold("anna");
  line.setMax(2);
  const { lock, store } = line.client();
  line.memory.commit({
    expect: [],
    put: [{ key: new Lock(store, ALL_GROUPS, line.time, "").key, value: "?" }],
  });
  const refused = await line.time.ended(
    lock.acquire("A", { grant: "g", extra: {} }).catch((error) => error.hint),
  );
  assertEquals(refused, "see what a repair would do: locksmith repair --dry-run --all");
  assertEquals((await line.time.ended(lock.unlock("anna"))).kind, "released");
});
