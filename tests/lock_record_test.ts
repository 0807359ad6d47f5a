/**
 * The lock, in virtual time: what each commit records, what a reboot costs in calls, and grants that are taken back
 * before they happen.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Lock, LockError } from "../lib/lock.ts";
import { FRESH, GRANTED, type HoldProof, REBOOTING } from "../lib/semaphore.ts";
import { BY_HAND, daemonHold, GROUP, Line } from "./support/line.ts";
import { BEGIN_MS, type Fate, Machine } from "./support/virtual.ts";

/** A lock over a line's store, for whoever makes changes, and what it asks of the store. */
function client(line: Line, by = "anna@desk"): { lock: Lock; store: Machine } {
  const store = new Machine(line.memory, line.time);
  return { lock: new Lock(store, GROUP, line.time, by), store };
}

/** What a call comes to, while time goes on. */
async function ended<T>(line: Line, call: Promise<T>): Promise<T> {
  let over = false;
  const settle = () => over = true;
  call.then(settle, settle);
  for (let waited = 0; !over; waited++) {
    assert(waited < 1_000, "it never ends");
    await line.time.advance(10);
  }
  return await call;
}

/** A machine that has just been granted a slot, with its proof. */
async function granted(line: Line): Promise<{ lock: Lock; store: Machine; proof: HoldProof }> {
  const member = line.member("m").start();
  await line.time.advance(10);
  assertEquals(member.last, "granted");
  member.store.takeCalls();
  const proof = { holder: "m", boot: "boot of m", grant: member.grant };
  return { lock: member.lock, store: member.store, proof };
}

// ------------------------------------------------------------------------------------------------- who changed it, and when

Deno.test("Lock records of every change who made it, when, what it was, and of which machine", async () => {
  const line = new Line();
  const { lock } = client(line);
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
    await ended(line, change());
    const { at = "", ...changed } = line.semaphore.changed ?? { extra: {} };
    assertEquals(changed, { by: "anna@desk", ...expected, extra: {} });
    const ago = line.time.now() - Date.parse(at);
    assert(ago >= 0 && ago < 1_000, at);
  }
});

Deno.test("Lock changes nothing, and records nothing, where there is nothing to change", async () => {
  const line = new Line();
  const { lock } = client(line);
  line.hold("anna");
  const before = line.memory.read(line.key);
  assertEquals((await ended(line, lock.acquire("m", daemonHold("m")))).kind, "full");
  assertEquals((await ended(line, lock.unlock("m"))).kind, "not-held");
  assertEquals(await ended(line, lock.setMax(1)), { oldMax: 1 });
  assertEquals(await ended(line, lock.resume()), { before: undefined });
  assertEquals(
    (await ended(line, lock.confirm({ holder: "m", boot: "b", grant: "g" }, "mark"))).kind,
    "lost",
  );
  assertEquals(line.memory.read(line.key), before);
});

Deno.test("Lock.pause() stops grants, tells the pause that it replaces, and Lock.resume() the one that it ends", async () => {
  const line = new Line();
  const { lock } = client(line);
  const fair = { since: "2026-01-01T00:00:00Z", by: "anna@desk", reason: "a fair", extra: {} };
  const night = { reason: "quiet nights", extra: {} };
  assertEquals((await ended(line, lock.pause(fair))).before, undefined);
  assertEquals(await ended(line, lock.acquire("m", daemonHold("m"))), { kind: "paused", pause: fair });
  assertEquals((await ended(line, lock.pause(night))).before, fair);
  assertEquals(line.semaphore.paused, night);
  assertEquals(await ended(line, lock.resume()), { before: night });
  assertEquals(line.semaphore.paused, undefined);
  assertEquals((await ended(line, lock.acquire("m", daemonHold("m")))).kind, "granted");
});

Deno.test("Lock.resume() whose answer was lost tells the pause that it ended", async () => {
  const line = new Line();
  const { lock, store } = client(line);
  const fair = { reason: "a fair", extra: {} };
  await ended(line, lock.pause(fair));
  store.fates.push({ kind: "reply-lost" });
  assertEquals(await ended(line, lock.resume()), { before: fair });
});

Deno.test("Lock.setMax() whose answer was lost tells the max that it replaced", async () => {
  const line = new Line();
  const { lock, store } = client(line);
  await ended(line, lock.setMax(4));
  store.fates.push({ kind: "reply-lost" });
  assertEquals(await ended(line, lock.setMax(7)), { oldMax: 4 });
});

Deno.test("Lock.readWithQueue() sees the document and the line at one moment, by one call", async () => {
  const line = new Line();
  line.hold("anna");
  await line.lined("b", "a");
  const { lock, store } = client(line);
  const { semaphore, queue } = await ended(line, lock.readWithQueue());
  assertEquals(store.takeCalls(), ["view"]);
  assertEquals(semaphore.holds.get("anna"), BY_HAND);
  assertEquals(queue.map(({ machine, priority, host }) => [machine, priority, host]), [
    ["b", 0, "host b"],
    ["a", 0, "host a"],
  ]);
  const unused = new Line();
  assertEquals(await ended(unused, client(unused).lock.readWithQueue()), { semaphore: FRESH, queue: [] });
});

// -------------------------------------------------------------------------------------------------- the last proof, cheaply

Deno.test("Lock.confirm() right after a grant costs one commit and no read", async () => {
  const line = new Line();
  const { lock, store, proof } = await granted(line);
  assertEquals((await ended(line, lock.confirm(proof, "mark"))).kind, "confirmed");
  assertEquals(store.takeCalls(), ["commit"]);
  assertEquals(line.semaphore.holds.get("m")?.phase, REBOOTING);
});

Deno.test("Lock.confirm() on a guess that is wrong costs one commit more and no read", async () => {
  const line = new Line();
  const { lock, store, proof } = await granted(line);
  line.setMax(5);
  assertEquals((await ended(line, lock.confirm(proof, "mark"))).kind, "confirmed");
  assertEquals(store.takeCalls(), ["commit", "commit"]);
  assertEquals([line.semaphore.max, line.semaphore.holds.get("m")?.phase], [5, REBOOTING]);
});

Deno.test("Lock.confirm() of a hold that is gone is lost, whatever it was guessed to be", async () => {
  const line = new Line();
  const { lock, proof } = await granted(line);
  line.unlock("m");
  assertEquals((await ended(line, lock.confirm(proof, "mark"))).kind, "lost");

  const taken = new Line();
  const again = await granted(taken);
  taken.unlock("m");
  taken.hold("m");
  assertEquals((await ended(taken, again.lock.confirm(again.proof, "mark"))).kind, "lost");
  assertEquals(taken.semaphore.holds.get("m"), BY_HAND);
});

Deno.test("Lock.confirm() never says lost by a guess alone: it reads first", async () => {
  const line = new Line();
  const { lock, store, proof } = await granted(line);
  // what it saw last is a document without the hold; what is there has it
  lock.saw(null);
  assertEquals((await ended(line, lock.confirm(proof, "mark"))).kind, "confirmed");
  assertEquals(store.takeCalls(), ["read", "commit"]);
});

Deno.test("Lock.confirm() whose answer was lost is confirmed by another commit", async () => {
  for (
    const fate of [{ kind: "reply-lost" }, { kind: "request-lost" }, { kind: "late", byMs: 2_000 }] as const
  ) {
    const line = new Line();
    const { lock, store, proof } = await granted(line);
    store.fates.push(fate);
    assertEquals((await ended(line, lock.confirm(proof, "mark"))).kind, "confirmed", fate.kind);
    assertEquals(line.semaphore.holds.get("m")?.phase, REBOOTING);
  }
});

Deno.test("Lock.confirm() that nobody answers says that nobody can tell", async () => {
  const line = new Line();
  const { lock, store, proof } = await granted(line);
  store.down = true;
  const error = await assertRejects(() => ended(line, lock.confirm(proof, "mark")), LockError);
  assertEquals(error.kind, "unknown");
  assertEquals(line.semaphore.holds.get("m")?.phase, GRANTED);
});

// ----------------------------------------------------------------------------------------------------------- taken back

Deno.test("Lock.cancel() with a fence makes sure that a grant in doubt never happens", async () => {
  for (const used of [false, true]) {
    const line = new Line();
    if (used) line.setMax(1);
    const { lock, store } = client(line);
    store.fates.push({ kind: "late", byMs: 15_000 });
    store.fates.push(...Array<Fate>(500).fill({ kind: "request-lost" }));
    const hold = daemonHold("m");
    await assertRejects(() => ended(line, lock.acquire("m", hold)), LockError);
    store.fates.length = 0;
    assertEquals(
      (await ended(line, lock.cancel({ holder: "m", boot: hold.boot, grant: hold.grant }, { fence: true })))
        .kind,
      "not-held",
    );
    await line.time.advance(20_000);
    assertEquals(line.semaphore.holders, []);
  }
});

Deno.test("Lock.cancel() with a fence ends the grant that happened, and no other", async () => {
  const line = new Line();
  const { lock } = client(line);
  const hold = { ...daemonHold("m"), since: new Date(BEGIN_MS).toISOString() };
  line.hold("m", hold);
  assertEquals(
    (await ended(line, lock.cancel({ holder: "m", boot: hold.boot, grant: "another" }, { fence: true })))
      .kind,
    "kept",
  );
  assertEquals(
    (await ended(line, lock.cancel({ holder: "m", boot: "another", grant: hold.grant }, { fence: true })))
      .kind,
    "kept",
  );
  assertEquals(line.semaphore.holds.get("m"), hold);
  const decision = await ended(
    line,
    lock.cancel({ holder: "m", boot: hold.boot, grant: hold.grant }, { fence: true }),
  );
  assertEquals(decision.kind, "released");
  assertEquals(line.semaphore.holders, []);
});

Deno.test("Lock.cancel() with a fence without an answer gives nothing back", async () => {
  const line = new Line();
  const { lock, store } = client(line);
  line.hold("m");
  const before = line.memory.read(line.key);
  store.fates.push(...Array<Fate>(500).fill({ kind: "request-lost" }));
  const error = await assertRejects(
    () => ended(line, lock.cancel({ holder: "m", boot: "b", grant: "g" }, { fence: true })),
    LockError,
  );
  assertEquals(error.kind, "unknown");
  assertEquals(line.memory.read(line.key), before);
});
