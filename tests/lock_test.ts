/**
 * What the lock promises over a store that answers: what each change does, what is recorded of it, what it costs in calls,
 * and grants that are taken back before they happen. `lock_faults_test.ts` has the store that does not.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { LockError } from "../lib/lock.ts";
import { FRESH, GRANTED, REBOOTING } from "../lib/semaphore.ts";
import { BY_HAND, daemonHold, Line } from "./support/line.ts";
import { BEGIN_MS } from "./support/virtual.ts";

const FAIR = { since: "2026-01-01T00:00:00Z", by: "anna@desk", reason: "a fair", extra: {} };

/** The document without the record of its last change. */
function plain(line: Line): string | undefined {
  return line.memory.read(line.key)?.value.replace(/,"changed":\{[^}]*\}/, "");
}

// --------------------------------------------------------------------------------------------------------- acquire

Deno.test("Lock.acquire() takes a slot of a group that nobody used yet, and its document says who and under which grant", async () => {
  const line = new Line();
  const { lock } = line.client();
  assertEquals(await line.time.ended(lock.read()), FRESH);
  const hold = { boot: "b1", grant: "g1", phase: GRANTED, extra: {} };
  assertEquals((await line.time.ended(lock.acquire("A", hold))).kind, "granted");
  assertEquals(
    plain(line),
    '{"semaphore":0,"max":1,"holders":["A"],"holds":{"A":{"boot":"b1","grant":"g1","phase":"granted"}}}',
  );
});

Deno.test("Lock.acquire() of twenty machines at once at max 5 grants five, and loses none", async () => {
  const line = new Line();
  line.setMax(5);
  const ids = Array.from({ length: 20 }, (_, i) => `m${i}`);
  const decisions = await line.time.ended(
    Promise.all(ids.map((id) => line.client().lock.acquire(id, daemonHold(id)))),
  );
  const kinds = decisions.map(({ kind }) => kind);
  const granted = ids.filter((_, i) => kinds[i] === "granted").sort();
  assertEquals([granted.length, kinds.filter((kind) => kind === "full").length], [5, 15]);
  assertEquals(line.semaphore.holders, granted);
});

// -------------------------------------------------------------------------------------------- what is recorded of changes

Deno.test("Lock records of every change who made it, when, what it was, and of which machine", async () => {
  const line = new Line();
  const { lock } = line.client();
  const hold = { ...daemonHold("m"), since: new Date(BEGIN_MS).toISOString() };
  const proof = { holder: "m", boot: hold.boot ?? "", grant: hold.grant };
  const take = () => lock.acquire("m", hold);
  const changes: [Record<string, string>, () => Promise<unknown>][] = [
    [{ what: "set-max" }, () => lock.setMax(2)],
    [{ what: "lock", machine: "m", reason: "a new kernel" }, take],
    [{ what: "confirm", machine: "m" }, () => lock.confirm(proof, "mark")],
    [
      { what: "release", machine: "m" },
      () => lock.release({ id: "m", bootId: "another", hostname: "host m" }),
    ],
    [{ what: "lock", machine: "m", reason: "a new kernel" }, take],
    [{ what: "cancel", machine: "m" }, () => lock.cancel(proof)],
    [{ what: "lock", machine: "m", reason: "a new kernel" }, take],
    [{ what: "unlock", machine: "m" }, () => lock.unlock("m")],
    [{ what: "cancel", machine: "m" }, () => lock.cancel(proof, { fence: true })],
    [{ what: "pause", reason: "a fair" }, () => lock.pause({ reason: "a fair", extra: {} })],
    [{ what: "resume" }, () => lock.resume()],
  ];
  for (const [expected, change] of changes) {
    await line.time.advance(60_000);
    await line.time.ended(change());
    const { at = "", ...changed } = line.semaphore.changed ?? { extra: {} };
    assertEquals(changed, { by: "anna@desk", ...expected, extra: {} });
    const ago = line.time.now() - Date.parse(at);
    assert(ago >= 0 && ago < 1_000, at);
  }
});

Deno.test("Lock changes nothing, and records nothing, where there is nothing to change", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  line.hold("anna");
  line.change((semaphore) => ({ ...semaphore, max: 2 }));
  line.hold("m", { boot: "b1", grant: "g1", extra: {} });
  const before = line.memory.read(line.key);
  assertEquals(await line.time.ended(lock.acquire("other", daemonHold("other"))), {
    kind: "full",
    available: 0,
  });
  assertEquals(await line.time.ended(lock.unlock("other")), { kind: "not-held" });
  const kept = await line.time.ended(lock.release({ id: "m", bootId: "b1", hostname: "host m" }));
  assertEquals([kept.kind, kept.kind === "kept" && kept.why.kind], ["kept", "ours"]);
  assertEquals(await line.time.ended(lock.setMax(2)), { oldMax: 2 });
  assertEquals(await line.time.ended(lock.resume()), { before: undefined });
  assertEquals(await line.time.ended(lock.confirm({ holder: "m", boot: "b1", grant: "g2" }, "mark")), {
    kind: "lost",
  });
  assertEquals(line.memory.read(line.key), before);
  assertEquals(store.takeCalls().filter((call) => call === "commit"), [], "it did not try either");
});

Deno.test("Lock.setMax() makes the document of a new group, and writes nothing the second time", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  assertEquals(await line.time.ended(lock.setMax(1)), { oldMax: 1 });
  assertEquals([plain(line), store.takeCalls()], ['{"semaphore":1,"max":1,"holders":[]}', [
    "read",
    "commit",
  ]]);
  assertEquals(await line.time.ended(lock.setMax(1)), { oldMax: 1 });
  assertEquals(store.takeCalls(), ["read"]);
});

Deno.test("Lock keeps the fields that it does not know (fault 12 of the old locksmith: they were dropped on write)", async () => {
  const line = new Line();
  const { lock } = line.client();
  line.write('{"semaphore":1,"max":1,"holders":[],"rack":{"row":7},"serial":12345678901234567890}');
  const hold = { boot: "b1", grant: "g1", phase: GRANTED, extra: {} };
  await line.time.ended(lock.setMax(2));
  await line.time.ended(lock.acquire("A", hold));
  await line.time.ended(lock.confirm({ holder: "A", boot: "b1", grant: "g1" }, "mark"));
  await line.time.ended(lock.unlock("A"));
  assertEquals(
    plain(line),
    '{"semaphore":2,"max":2,"holders":[],"rack":{"row":7},"serial":12345678901234567890}',
  );
});

Deno.test("Lock.pause() stops grants, tells the pause that it replaces, and Lock.resume() the one that it ends", async () => {
  const line = new Line();
  const { lock } = line.client();
  const night = { reason: "quiet nights", extra: {} };
  assertEquals((await line.time.ended(lock.pause(FAIR))).before, undefined);
  assertEquals(await line.time.ended(lock.acquire("m", daemonHold("m"))), {
    kind: "paused",
    pause: FAIR,
    all: false,
  });
  assertEquals((await line.time.ended(lock.pause(night))).before, FAIR);
  assertEquals(line.semaphore.paused, night);
  assertEquals(await line.time.ended(lock.resume()), { before: night });
  assertEquals(line.semaphore.paused, undefined);
  assertEquals((await line.time.ended(lock.acquire("m", daemonHold("m")))).kind, "granted");
});

// --------------------------------------------------------------------------------------------------------------- looks

Deno.test("Lock.readWithQueue() sees the document and the line at one moment, by one call", async () => {
  const line = new Line();
  line.hold("anna");
  await line.lined("b", "a");
  const { lock, store } = line.client();
  const { semaphore, queue } = await line.time.ended(lock.readWithQueue());
  assertEquals(store.takeCalls(), ["view"]);
  assertEquals(semaphore.holds.get("anna"), BY_HAND);
  assertEquals(queue.map(({ machine, priority, host }) => [machine, priority, host]), [
    ["b", 0, "host b"],
    ["a", 0, "host a"],
  ]);
});

Deno.test("Lock.readWithQueue() of a group that nobody used yet sees a fresh one, and nobody in line", async () => {
  const line = new Line();
  const { lock } = line.client();
  assertEquals(await line.time.ended(lock.readWithQueue()), {
    semaphore: FRESH,
    all: FRESH,
    queue: [],
    stored: false,
  });
});

Deno.test("Lock refuses a document that contradicts itself, names key and fault, and leaves it as it is", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  const calls: (() => Promise<unknown>)[] = [
    () => lock.read(),
    () => lock.acquire("A", daemonHold("A")),
    () => lock.confirm({ holder: "A", boot: "b1", grant: "g1" }, "mark"),
    () => lock.unlock("A"),
    () => lock.setMax(2),
  ];
  const text = '{"semaphore":1,"max":1,"holders":["A"]}';
  line.write(text);
  for (const call of calls) {
    const error = await assertRejects(() => line.time.ended(call()), LockError);
    assertEquals([error.kind, error.message, error.hint], [
      "document",
      `${line.key} at memory is corrupt (left unchanged): ` +
      '"semaphore" is 1, but max 1 minus 1 holders is 0',
      "see what a repair would do: locksmith repair --dry-run --group web",
    ]);
    assertEquals(line.memory.read(line.key)?.value, text);
    assertEquals(store.takeCalls().filter((call) => call === "commit"), []);
  }
});

Deno.test("Lock.replace() puts a document in the place of exactly the one that was seen", async () => {
  const line = new Line();
  const { lock } = line.client();
  line.write("garbage");
  const entry = await line.time.ended(lock.entry());
  assertEquals(entry?.value, "garbage");
  assertEquals(await line.time.ended(lock.replace(entry, FRESH)), true);
  assertEquals(plain(line), '{"semaphore":1,"max":1,"holders":[]}');
  assertEquals(await line.time.ended(lock.replace(entry, { ...FRESH, max: 7 })), false);
  assertEquals(line.semaphore.max, 1);
});

// -------------------------------------------------------------------------------------------------- the last proof, cheaply

Deno.test("Lock.confirm() right after a grant costs one commit and no read", async () => {
  const line = new Line();
  const { lock, store, proof } = await line.grantTo("m");
  assertEquals((await line.time.ended(lock.confirm(proof, "mark"))).kind, "confirmed");
  assertEquals(store.takeCalls(), ["commit"]);
  assertEquals(line.semaphore.holds.get("m")?.phase, REBOOTING);
});

Deno.test("Lock.confirm() right after an acquire() of its own costs one commit and no read", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  const { boot = "", grant, ...hold } = daemonHold("m");
  await line.time.ended(lock.acquire("m", { ...hold, boot, grant }));
  store.takeCalls();
  const proof = { holder: "m", boot, grant };
  assertEquals((await line.time.ended(lock.confirm(proof, "mark"))).kind, "confirmed");
  assertEquals(store.takeCalls(), ["commit"]);
});

Deno.test("Lock.confirm() on a guess that is wrong costs one commit more and no read", async () => {
  const line = new Line();
  const { lock, store, proof } = await line.grantTo("m");
  line.setMax(5);
  assertEquals((await line.time.ended(lock.confirm(proof, "mark"))).kind, "confirmed");
  assertEquals(store.takeCalls(), ["commit", "commit"]);
  assertEquals([line.semaphore.max, line.semaphore.holds.get("m")?.phase], [5, REBOOTING]);
});

Deno.test("Lock.confirm() of a hold that an administrator ended is lost, whatever it was guessed to be", async () => {
  const line = new Line();
  const { lock, proof } = await line.grantTo("m");
  line.unlock("m");
  assertEquals(await line.time.ended(lock.confirm(proof, "mark")), { kind: "lost" });
  assertEquals(line.semaphore.holders, []);
});

Deno.test("Lock.confirm() of a hold that another took the place of is lost, and leaves that as it is", async () => {
  const line = new Line();
  const { lock, proof } = await line.grantTo("m");
  line.unlock("m");
  line.hold("m");
  assertEquals(await line.time.ended(lock.confirm(proof, "mark")), { kind: "lost" });
  assertEquals(line.semaphore.holds.get("m"), BY_HAND);
});

Deno.test("Lock.confirm() proves nothing for a hold that an administrator ends while it is on its way", async () => {
  const line = new Line();
  const { lock, store, proof } = await line.grantTo("m");
  store.fates.push({ kind: "overtaken", by: () => line.unlock("m") });
  assertEquals(await line.time.ended(lock.confirm(proof, "mark")), { kind: "lost" });
  assertEquals(line.semaphore.holders, []);
});

Deno.test("Lock.confirm() never says lost by a guess alone: it reads first", async () => {
  const line = new Line();
  const { lock, store, proof } = await line.grantTo("m");
  // what it saw last is a document without the hold; what is there has it
  lock.saw({ entry: null, all: null });
  assertEquals((await line.time.ended(lock.confirm(proof, "mark"))).kind, "confirmed");
  assertEquals(store.takeCalls(), ["view", "commit"]);
});

// ----------------------------------------------------------------------------------------------------------- taken back

Deno.test("Lock.cancel() with a fence ends the grant that happened, and no other", async () => {
  const line = new Line();
  const { lock } = line.client();
  const hold = { ...daemonHold("m"), since: new Date(BEGIN_MS).toISOString() };
  line.hold("m", hold);
  const proof = { holder: "m", boot: hold.boot, grant: hold.grant };
  for (const other of [{ ...proof, grant: "another" }, { ...proof, boot: "another" }]) {
    assertEquals((await line.time.ended(lock.cancel(other, { fence: true }))).kind, "kept");
  }
  assertEquals(line.semaphore.holds.get("m"), hold);
  const decision = await line.time.ended(lock.cancel(proof, { fence: true }));
  assertEquals(decision.kind, "released");
  assertEquals(line.semaphore.holders, []);
});
