/** The clock, the chance and the processes that simulations and tests go by. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Process, Random, VirtualTime } from "../../lib/simulation/virtual_time.ts";

/** What happened, and when. */
function journal(time: VirtualTime) {
  const entries: string[] = [];
  return { entries, note: (what: string) => () => void entries.push(`${time.elapsed} ${what}`) };
}

Deno.test("VirtualTime.run() has everything happen in its time, and what is due together in the order of asking", async () => {
  const time = new VirtualTime();
  const { entries, note } = journal(time);
  for (const ms of [30, 10, 20, 10, 0, -5, 10.5]) time.after(ms, note(`asked for ${ms}`));
  assertEquals(await time.run(() => false, 100), false);
  assertEquals(entries, [
    "0 asked for 0",
    "0 asked for -5",
    "10 asked for 10",
    "10 asked for 10",
    "10.5 asked for 10.5",
    "20 asked for 20",
    "30 asked for 30",
  ]);
  assertEquals(time.elapsed, 100);
});

Deno.test("VirtualTime.run() keeps a thousand events in order", async () => {
  const time = new VirtualTime();
  const random = new Random(1);
  const due = Array.from({ length: 1000 }, () => random.integer(0, 500));
  const seen: number[] = [];
  for (const ms of due) time.after(ms, () => seen.push(time.elapsed));
  await time.run(() => false, 500);
  assertEquals(seen, due.toSorted((a, b) => a - b));
});

Deno.test("VirtualTime.run() stops at its limit, and goes on from there", async () => {
  const time = new VirtualTime();
  const { entries, note } = journal(time);
  time.after(10, note("first"));
  time.after(20, note("second"));
  await time.run(() => false, 10);
  assertEquals([entries, time.elapsed], [["10 first"], 10]);
  await time.run(() => false, 19.5);
  assertEquals([entries.length, time.elapsed], [1, 19.5]);
  time.after(0.5, note("asked for later, due at the same time"));
  await time.run(() => false, 20);
  assertEquals(entries.slice(1), ["20 second", "20 asked for later, due at the same time"]);
});

Deno.test("VirtualTime.run() ends when it is done, at the time of what did it", async () => {
  const time = new VirtualTime();
  const { entries, note } = journal(time);
  time.after(10, note("first"));
  time.after(20, note("second"));
  assertEquals(await time.run(() => entries.length > 0, 100), true);
  assertEquals([entries, time.elapsed], [["10 first"], 10]);
});

Deno.test("VirtualTime.run() has all that follows from an event happen before the next one", async () => {
  const time = new VirtualTime();
  const { entries, note } = journal(time);
  time.after(10, async () => {
    for (let step = 0; step < 20; step++) await Promise.resolve();
    note("what followed")();
    time.after(0, note("and what it asked for"));
  });
  time.after(10.1, note("the next"));
  await time.run(() => false, 20);
  assertEquals(entries, ["10 what followed", "10 and what it asked for", "10.1 the next"]);
});

Deno.test("VirtualTime.after() is not called once it was cancelled, and never at the end of time", async () => {
  const time = new VirtualTime();
  const { entries, note } = journal(time);
  const cancelled = time.after(10, note("cancelled"));
  time.after(Infinity, note("at the end of time")).cancel();
  time.after(Infinity, note("at the end of time"));
  cancelled.cancel();
  cancelled.cancel();
  await time.run(() => false, 1e12);
  assertEquals(entries, []);
});

Deno.test("Random gives the same numbers for the same seed, and others for another", () => {
  const numbers = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 100 }, () => random.next());
  };
  assertEquals(numbers(7), numbers(7));
  assert(numbers(7).every((number, index) => number !== numbers(8)[index]));
  assert(numbers(7).every((number) => number >= 0 && number < 1));
});

Deno.test("Random.integer() and Random.pick() give each of what there is, and nothing else", () => {
  const random = new Random(1);
  const drawn = Array.from({ length: 1000 }, () => random.integer(-1, 2));
  assertEquals([...new Set(drawn)].sort((a, b) => a - b), [-1, 0, 1, 2]);
  const picked = Array.from({ length: 1000 }, () => random.pick(["a", "b", "c"]));
  assertEquals([...new Set(picked)].sort(), ["a", "b", "c"]);
  assertThrows(() => random.pick([]), RangeError, "nothing to pick from");
});

Deno.test("Random.chance() happens as often as it says", () => {
  const random = new Random(1);
  const share = (probability: number) =>
    Array.from({ length: 10_000 }, () => random.chance(probability)).filter(Boolean).length / 10_000;
  assertEquals([share(0), share(1)], [0, 1]);
  assert(Math.abs(share(0.3) - 0.3) < 0.02);
});

Deno.test("Process that dies does nothing any more, not even what it asked for before", async () => {
  const time = new VirtualTime();
  const { entries, note } = journal(time);
  const process = new Process(time, new Random(1), () => 0);
  process.surroundings.after(10, note("before its death"));
  process.surroundings.after(20, note("after its death"));
  time.after(15, () => process.kill());
  await time.run(() => false, 100);
  process.run(note("asked for by others"));
  assertEquals([entries, process.alive], [["10 before its death"], false]);
});

Deno.test("Process that stands still does what was due when it goes on", async () => {
  const time = new VirtualTime();
  const { entries, note } = journal(time);
  const process = new Process(time, new Random(1), () => 1_000 + time.elapsed);
  process.surroundings.after(10, note("due while it stands still"));
  process.freeze(50);
  process.freeze(20);
  assertEquals(process.frozenMs, 50);
  await time.run(() => false, 100);
  assertEquals([entries, process.frozenMs], [["50 due while it stands still"], 0]);
  assertEquals([process.surroundings.now(), process.surroundings.elapsed()], [1_100, 100]);
});
