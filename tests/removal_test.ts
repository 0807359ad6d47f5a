/** The end of a group that nobody uses, over a store that answers, and over one that loses what it is asked. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { LockError } from "../lib/lock.ts";
import { type Removal, removeGroup } from "../lib/removal.ts";
import { FRESH } from "../lib/semaphore.ts";
import { StoreError } from "../lib/store.ts";
import { Line, SOON_MS } from "./support/line.ts";
import type { Fate } from "./support/virtual.ts";

/** Removes the group of the line, each of these happening to one of its commits. */
async function remove(line: Line, ...fates: (Fate | undefined)[]): Promise<Removal> {
  const { lock, store } = line.client();
  store.fates.push(...fates);
  return await line.time.ended(removeGroup(lock));
}

const stored = (line: Line) => line.memory.read(line.key) !== null;

Deno.test("removeGroup() removes a group in which nobody holds a slot and nobody waits, by one view and one commit", async () => {
  const line = new Line();
  line.setMax(3);
  const { lock, store } = line.client();
  assertEquals(await line.time.ended(removeGroup(lock)), {
    kind: "removed",
    semaphore: { ...FRESH, max: 3 },
  });
  assertEquals([stored(line), store.takeCalls()], [false, ["view", "commit"]]);
  assertEquals(await remove(line), { kind: "not-stored" });
});

Deno.test("removeGroup() leaves a group alone while somebody holds a slot, or waits for one", async () => {
  const line = new Line();
  line.hold("anna");
  const held = await remove(line);
  assert(held.kind === "held");
  assertEquals(held.semaphore.holders, ["anna"]);
  line.unlock("anna");
  line.change((semaphore) => ({ ...semaphore, paused: { extra: {} } }));
  await line.lined("m");
  const waited = await remove(line);
  assert(waited.kind === "waited-for");
  assertEquals(waited.queue.map(({ host }) => host), ["host m"]);
  assert(stored(line));
});

Deno.test("removeGroup() leaves a group alone whose slot somebody takes at the same moment, or who gets in line", async () => {
  const taken = new Line();
  taken.setMax(2);
  const { kind } = await remove(taken, { kind: "overtaken", by: () => taken.hold("anna") });
  assertEquals([kind, taken.semaphore.holders], ["held", ["anna"]]);

  const lined = new Line();
  lined.setMax(2);
  const queue = { key: lined.key.replace(/semaphore$/, "queue/100/m"), value: "{}" };
  const by = () => void lined.memory.commit({ expect: [], put: [queue] });
  assertEquals((await remove(lined, { kind: "overtaken", by })).kind, "waited-for");
  assert(stored(lined));
});

Deno.test("removeGroup() whose reply or request was lost finds out what became of it", async () => {
  const fates: Fate[] = [{ kind: "reply-lost" }, { kind: "request-lost" }, { kind: "late", byMs: 2_000 }];
  for (const fate of fates) {
    const line = new Line();
    line.setMax(3);
    assertEquals((await remove(line, fate)).kind, "removed", fate.kind);
    assert(!stored(line));
  }
  // and takes what somebody makes anew for another
  const line = new Line();
  line.setMax(3);
  const again = () => line.hold("anna");
  assertEquals((await remove(line, { kind: "reply-lost", then: again })).kind, "removed");
  assertEquals(line.semaphore.holders, ["anna"]);
});

Deno.test("removeGroup() says that nobody knows, where nobody answers any more", async () => {
  const line = new Line();
  line.setMax(3);
  const { lock, store } = line.client();
  store.fates.push({ kind: "reply-lost", then: () => store.down = true });
  const error = await assertRejects(() => line.time.ended(removeGroup(lock)), LockError);
  assertEquals(error.kind, "unknown");
  const [first] = error.message.split(":");
  assertEquals(first, "cannot tell whether groups --remove in group web took effect");
  await assertRejects(() => line.time.ended(removeGroup(lock)), StoreError, "nobody answers");
});

Deno.test("removeGroup() leaves a document alone that cannot be read: nobody can tell who holds a slot", async () => {
  const line = new Line();
  line.write("garbage");
  const error = await assertRejects(() => remove(line), LockError);
  assertEquals([error.kind, stored(line)], ["document", true]);
});

Deno.test("a machine that asks for a slot after its group was removed starts it afresh", async () => {
  const line = new Line();
  line.setMax(3);
  await remove(line);
  const member = line.member("m").start();
  await line.time.advance(SOON_MS);
  assertEquals([member.last, line.semaphore.max], ["granted", 1]);
});
