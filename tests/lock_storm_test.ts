/** What the lock promises when many machines want to change the document at one moment, on a store that serves one call at a time. */

import { assertEquals, assertLess } from "@std/assert";
import type { Lock } from "../lib/lock.ts";
import type { NewHold } from "../lib/semaphore.ts";
import { Random } from "../lib/simulation/virtual_time.ts";
import { daemonHold, Line } from "./support/line.ts";
import { type Connection, Virtual } from "./support/virtual.ts";

/** How long the store is busy with a call, in milliseconds. */
const SERVICE_MS = 1;

/** Lets the machines `m0`, `m1` and so on, which hold a slot each, do the same at one moment. */
async function storm(
  machines: number,
  act: (lock: Lock, id: string, hold: NewHold) => Promise<{ readonly kind: string }>,
) {
  const random = new Random(1);
  const line = new Line(new Virtual(() => random.next()));
  const ids = Array.from({ length: machines }, (_, index) => `m${index}`);
  line.setMax(machines);
  const holds = new Map(ids.map((id) => [id, daemonHold(id)] as const));
  for (const [id, hold] of holds) line.hold(id, hold);
  const before = line.changes;
  let freeMs = 0;
  const stores: Connection[] = [];
  const outcomes = [...holds].map(([id, hold]) => {
    const { lock, store } = line.client();
    stores.push(store);
    const queued = () => {
      freeMs = Math.max(freeMs, line.time.elapsed()) + SERVICE_MS;
      store.callMs = freeMs - line.time.elapsed();
      return store;
    };
    const { read, commit } = store;
    store.read = (...call) => read.apply(queued(), call);
    store.commit = (...call) => commit.apply(queued(), call);
    return act(lock, id, hold);
  });
  const kinds = (await line.time.ended(Promise.all(outcomes))).map(({ kind }) => kind);
  const calls = stores.flatMap((store) => store.takeCalls());
  const count = (name: string) => calls.filter((call) => call === name).length;
  // under each lease one commit takes a turn
  const refused = count("commit") - count("lease") - (line.changes - before);
  return { kinds: new Set(kinds), tookMs: line.time.elapsed(), refused };
}

Deno.test("Lock.release() of a hundred machines at one moment: all have given back their slots within three times what serving them one after the other takes, and hardly any is refused twice", async () => {
  const { kinds, tookMs, refused } = await storm(
    100,
    (lock, id) => lock.release({ id, bootId: "after the boot", hostname: `host ${id}` }),
  );
  assertEquals(kinds, new Set(["released"]));
  assertLess(tookMs, 3 * 2 * 100 * SERVICE_MS);
  assertLess(refused, 1.2 * 100);
});

Deno.test("Lock.confirm() of fifty machines at one moment: all are confirmed, and hardly any is refused twice", async () => {
  const { kinds, refused } = await storm(50, (lock, id, { boot, grant }) => {
    return lock.confirm({ holder: id, boot, grant }, `mark of ${id}`);
  });
  assertEquals(kinds, new Set(["confirmed"]));
  assertLess(refused, 1.2 * 50);
});
