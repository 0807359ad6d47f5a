/** The deadlines of many calls by one timer: each is told once, at its time, and one that was met is not. */

import { assert, assertEquals } from "@std/assert";
import { Deadlines } from "../../lib/etcd/deadlines.ts";

Deno.test("Deadlines tells of each that is late, the earliest first, and of none that was met", async () => {
  const deadlines = new Deadlines();
  const told: string[] = [];
  const startMs = performance.now();
  const over = Promise.withResolvers<void>();
  const add = (name: string, ms: number) => {
    const atMs = startMs + ms;
    const late = () => {
      assert(performance.now() >= atMs, `${name} is not late yet`);
      told.push(name);
      if (told.length === 3) over.resolve();
    };
    const deadline = { atMs, late };
    deadlines.add(deadline);
    return deadline;
  };
  add("last", 40);
  const met = add("met", 20);
  add("first", 10);
  add("second", 30);
  deadlines.met(met);
  // one that is not told would hang here: the timer alone does not keep a process
  const alive = setInterval(() => {}, 1_000);
  await over.promise;
  clearInterval(alive);
  assertEquals(told, ["first", "second", "last"]);
});

Deno.test("Deadlines lets one that is late ask for another", async () => {
  const deadlines = new Deadlines();
  const { promise, resolve } = Promise.withResolvers<void>();
  const alive = setInterval(() => {}, 1_000);
  const late = () => deadlines.add({ atMs: performance.now() + 1, late: resolve });
  deadlines.add({ atMs: performance.now() + 1, late });
  await promise;
  clearInterval(alive);
});
