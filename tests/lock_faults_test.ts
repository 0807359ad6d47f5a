/**
 * What the lock promises over a store that loses requests, replies and swaps: nothing is done twice, nothing is taken for
 * done that nobody knows of, and every call ends.
 */

import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { CALL_TIMEOUT_MS, CONTENTION_LIMIT_MS, type Lock, LockError, TOTAL_TIMEOUT_MS } from "../lib/lock.ts";
import { FRESH, GRANTED, REBOOTING } from "../lib/semaphore.ts";
import { StoreError } from "../lib/store.ts";
import { daemonHold, Line } from "./support/line.ts";
import { type Fate, Virtual } from "./support/virtual.ts";

const REQUEST_LOST: Fate = { kind: "request-lost" };
const REPLY_LOST: Fate = { kind: "reply-lost" };

/** What can become of one commit that another one makes good. */
const MISHAPS: Readonly<Record<string, (line: Line) => Fate | undefined>> = {
  "nothing": () => undefined,
  "the reply is lost": () => REPLY_LOST,
  "the request is lost": () => REQUEST_LOST,
  "it comes late": () => ({ kind: "late", byMs: 2_000 }),
  "the swap is lost": (line) => ({ kind: "overtaken", by: () => line.touch() }),
};

/** Tells a story once with each mishap, on a line of its own. */
async function eachMishap(
  story: (line: Line, fate: Fate | undefined, how: string) => Promise<void>,
): Promise<void> {
  for (const [how, fate] of Object.entries(MISHAPS)) {
    const line = new Line();
    await story(line, fate(line), how);
  }
}

// ---------------------------------------------------------------------------------------------------------- acquire

Deno.test("Lock.acquire() whose reply was lost has the slot at max 1 (fault 2 of the old locksmith: it found the group full, and waited for itself for ever)", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  store.fates.push(REPLY_LOST);
  const first = daemonHold("A");
  assertEquals((await line.time.ended(lock.acquire("A", first))).kind, "granted");
  assertEquals([line.semaphore.holders, line.changes], [["A"], 1]);

  // and the next request of the same machine is told that it has one, never that the group is full
  const again = await line.time.ended(lock.acquire("A", daemonHold("A")));
  assert(again.kind === "held");
  assertEquals(again.hold?.grant, first.grant);
});

Deno.test("Lock.acquire() whose request was lost asks again, and takes one slot", async () => {
  const line = new Line();
  line.setMax(2);
  const { lock, store } = line.client();
  store.fates.push(REQUEST_LOST, REPLY_LOST);
  const hold = daemonHold("A");
  assertEquals((await line.time.ended(lock.acquire("A", hold))).kind, "granted");
  assertEquals([line.semaphore.holders, line.semaphore.holds.get("A")?.grant], [["A"], hold.grant]);
});

Deno.test("Lock.acquire() does not take somebody else's grant of the same name for its own", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  const theirs = daemonHold("A");
  store.fates.push({ kind: "request-lost", then: () => line.hold("A", theirs) });
  const decision = await line.time.ended(lock.acquire("A", daemonHold("A")));
  assert(decision.kind === "held");
  assertEquals(decision.hold?.grant, theirs.grant);
});

Deno.test("Lock.acquire() that lost a swap decides anew on what is there now", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  store.fates.push({ kind: "overtaken", by: () => line.hold("B") });
  assertEquals(await line.time.ended(lock.acquire("A", daemonHold("A"))), { kind: "full", available: 0 });
  assertEquals(line.semaphore.holders, ["B"]);
});

Deno.test("Lock.acquire() that lost three swaps takes its slot by the fourth", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  store.fates.push(...Array<Fate>(3).fill({ kind: "overtaken", by: () => line.touch() }));
  assertEquals((await line.time.ended(lock.acquire("A", daemonHold("A")))).kind, "granted");
  assertEquals(store.takeCalls().filter((call) => call === "commit").length, 4);
});

Deno.test("Lock that lost a swap goes on with what the refusal brought, and reads again where the pause was longer than a try", async () => {
  for (
    const [holders, calls] of [[0, ["view", "commit", "commit"]], [9, [
      "view",
      "commit",
      "view",
      "commit",
    ]]] as const
  ) {
    const line = new Line();
    line.setMax(10);
    for (let id = 0; id < holders; id++) line.hold(`m${id}`);
    const { lock, store } = line.client();
    store.fates.push({ kind: "overtaken", by: () => line.touch() });
    assertEquals((await line.time.ended(lock.acquire("A", daemonHold("A")))).kind, "granted");
    assertEquals(store.takeCalls(), [...calls], `${holders} others may be writing too`);
  }
});

Deno.test("Lock.acquire() whose outcome stays unknown says so, neither yes nor no, with what to do", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  store.fates.push(...Array<Fate>(1000).fill(REQUEST_LOST));
  const error = await assertRejects(() => line.time.ended(lock.acquire("A", daemonHold("A"))), LockError);
  assertEquals([error.kind, error.message, error.hint], [
    "unknown",
    "cannot tell whether lock in group web took effect: memory: no answer in time",
    "the request may have reached the store; check with 'locksmith status' before you continue",
  ]);
});

Deno.test("Lock.acquire() in doubt goes on looking while the store cannot be read", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  const outage = () => {
    store.down = true;
    line.time.after(1_000, () => store.down = false);
  };
  store.fates.push({ kind: "reply-lost", then: outage });
  assertEquals((await line.time.ended(lock.acquire("A", daemonHold("A")))).kind, "granted");
  assertEquals(line.changes, 1);
});

Deno.test("Lock.acquire() fails at once when the store cannot be read and nothing is in doubt", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  store.down = true;
  const error = await assertRejects(() => line.time.ended(lock.acquire("A", daemonHold("A"))), StoreError);
  assertEquals([error.message, store.takeCalls()], ["memory: nobody answers", ["view"]]);
});

// ---------------------------------------------------------------------------------------------------------- bounds

Deno.test("Lock gives up when others win every swap, and says that nothing was changed", async () => {
  const calls: [string, (lock: Lock) => Promise<unknown>][] = [
    ["lock", (lock) => lock.acquire("A", daemonHold("A"))],
    ["unlock", (lock) => lock.unlock("B")],
    ["confirm", (lock) => lock.confirm({ holder: "B", boot: "b1", grant: "theirs" }, "mark")],
    // the old locksmith printed success here
    ["set-max", (lock) => lock.setMax(7)],
  ];
  // chance that gives no rest between two tries, so that only their number ends it, and the usual one
  const tries = calls.flatMap(([verb, call]) => [0, 0.5].map((chance) => ({ verb, call, chance })));
  for (const { verb, call, chance } of tries) {
    const line = new Line(new Virtual(() => chance));
    line.setMax(3);
    line.hold("B", { boot: "b1", grant: "theirs", extra: {} });
    const before = line.semaphore;
    const { lock, store } = line.client();
    store.fates.push(...Array<Fate>(1000).fill({ kind: "overtaken", by: () => line.touch() }));
    const error = await assertRejects(() => line.time.ended(call(lock)), LockError);
    assertEquals([error.kind, error.message, error.hint], [
      "contended",
      `cannot ${verb} in group web at memory: other machines changed ` +
      "coreos.com/updateengine/rebootlock/groups/web/semaphore on every attempt",
      "nothing was changed; try again",
    ]);
    const commits = store.takeCalls().filter((call) => call === "commit").length;
    if (chance === 0) assertEquals(commits, 200);
    else assertLess(commits, 200);
    assertLess(line.time.elapsed(), CONTENTION_LIMIT_MS + 1_000);
    assertEquals(line.semaphore, before);
  }
});

Deno.test("Lock gives every call a deadline, and all of them together one (fault 7 of the old locksmith: there was none)", async () => {
  // a store that answers is tried for longer: others are at work
  const limits = [[{ kind: "refused" }, CONTENTION_LIMIT_MS], [REQUEST_LOST, TOTAL_TIMEOUT_MS]] as const;
  for (const [fate, limitMs] of limits) {
    for (const callMs of [1, 3_000, 60_000]) {
      const line = new Line();
      const { lock, store } = line.client();
      store.callMs = callMs;
      store.fates.push(...Array<Fate>(1000).fill(fate));
      await assertRejects(() => line.time.ended(lock.acquire("A", daemonHold("A"))));
      assertLess(line.time.elapsed(), limitMs + CALL_TIMEOUT_MS);
      for (const timeoutMs of store.deadlines) {
        assert(timeoutMs >= 1 && timeoutMs <= CALL_TIMEOUT_MS, `${timeoutMs}`);
      }
    }
  }
});

// --------------------------------------------------------------------------------------------------------- confirm

Deno.test("Lock.confirm() marks the hold that its proof names, whatever becomes of its commit", async () => {
  await eachMishap(async (line, fate, how) => {
    const { lock, store, proof } = await line.grantTo("m");
    store.fates.push(fate);
    assertEquals((await line.time.ended(lock.confirm(proof, "mark"))).kind, "confirmed", how);
    assertEquals(line.semaphore.holds.get("m")?.phase, REBOOTING, how);
  });
});

Deno.test("Lock.confirm() whose reply was lost is lost when the hold has gone since", async () => {
  const line = new Line();
  const { lock, store, proof } = await line.grantTo("m");
  const another = () => {
    line.unlock("m");
    line.hold("m", daemonHold("m"));
  };
  store.fates.push({ kind: "reply-lost", then: another });
  assertEquals(await line.time.ended(lock.confirm(proof, "mark")), { kind: "lost" });
  assertEquals(line.semaphore.holds.get("m")?.phase, GRANTED);
});

Deno.test("Lock.confirm() that nobody answers says that nobody can tell", async () => {
  const line = new Line();
  const { lock, store, proof } = await line.grantTo("m");
  store.down = true;
  const error = await assertRejects(() => line.time.ended(lock.confirm(proof, "mark")), LockError);
  assertEquals(error.kind, "unknown");
  assertEquals(line.semaphore.holds.get("m")?.phase, GRANTED);
});

// --------------------------------------------------------------------------------------------------------- release

Deno.test("Lock.release() gives the slot back once, whatever becomes of its commit", async () => {
  await eachMishap(async (line, fate, how) => {
    const { lock, store, proof } = await line.grantTo("m");
    store.fates.push(fate);
    const decision = await line.time.ended(lock.release({ id: "m", bootId: "another", hostname: "host m" }));
    assert(decision.kind === "released", `${how}: ${decision.kind}`);
    assertEquals([decision.hold?.grant, line.semaphore.holders], [proof.grant, []], how);
  });
});

Deno.test("Lock.unlock() whose reply was lost does not end the hold that came after it", async () => {
  const line = new Line();
  const { lock, store, proof } = await line.grantTo("m");
  const next = daemonHold("m", "another boot");
  store.fates.push({ kind: "reply-lost", then: () => line.hold("m", next) });
  const decision = await line.time.ended(lock.unlock("m"));
  assert(decision.kind === "released");
  assertEquals([decision.hold?.grant, line.semaphore.holds.get("m")?.grant], [proof.grant, next.grant]);
});

// ----------------------------------------------------------------------------------------------- set-max, pause, repair

Deno.test("Lock.setMax() tells the max that it replaced, whatever becomes of its commit", async () => {
  await eachMishap(async (line, fate, how) => {
    line.setMax(3);
    const { lock, store } = line.client();
    store.fates.push(fate);
    assertEquals([await line.time.ended(lock.setMax(5)), line.semaphore.max], [{ oldMax: 3 }, 5], how);
  });
});

Deno.test("Lock.setMax() that lost its swap replaces the max of who won it (fault 5 of the old locksmith: it printed success, and the max was another's)", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  store.fates.push({ kind: "overtaken", by: () => line.setMax(9) });
  assertEquals([await line.time.ended(lock.setMax(5)), line.semaphore.max], [{ oldMax: 9 }, 5]);
});

Deno.test("Lock.resume() tells the pause that it ended, whatever becomes of its commit", async () => {
  await eachMishap(async (line, fate, how) => {
    const { lock, store } = line.client();
    const fair = { reason: "a fair", extra: {} };
    await line.time.ended(lock.pause(fair));
    store.fates.push(fate);
    assertEquals(await line.time.ended(lock.resume()), { before: fair }, how);
    assertEquals(line.semaphore.paused, undefined, how);
  });
});

Deno.test("Lock.pause() tells the pause that it replaced, and not its own, whatever becomes of its commit", async () => {
  await eachMishap(async (line, fate, how) => {
    const { lock, store } = line.client();
    const fair = { reason: "a fair", extra: {} };
    const night = { since: "2026-01-01T00:00:00Z", by: "anna@desk", reason: "quiet nights", extra: {} };
    await line.time.ended(lock.pause(fair));
    store.fates.push(fate);
    assertEquals((await line.time.ended(lock.pause(night))).before, fair, how);
    assertEquals(line.semaphore.paused, night, how);
  });
});

Deno.test("Lock.replace() without an answer says that nobody can tell", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  line.write("garbage");
  const entry = await line.time.ended(lock.entry());
  store.fates.push(REPLY_LOST);
  const error = await assertRejects(() => line.time.ended(lock.replace(entry, FRESH)), LockError);
  assertEquals([error.kind, error.message], [
    "unknown",
    "cannot tell whether repair in group web took effect: memory: no answer in time",
  ]);
});

// ------------------------------------------------------------------------------------------------------- taken back

Deno.test("Lock.cancel() with a fence makes sure that a grant in doubt never happens, in a group that was used and in one that was not", async () => {
  for (const used of [false, true]) {
    const line = new Line();
    if (used) line.setMax(1);
    const { lock, store } = line.client();
    store.fates.push({ kind: "late", byMs: 15_000 });
    store.fates.push(...Array<Fate>(500).fill(REQUEST_LOST));
    const hold = daemonHold("m");
    await assertRejects(() => line.time.ended(lock.acquire("m", hold)), LockError);
    store.fates.length = 0;
    const proof = { holder: "m", boot: hold.boot, grant: hold.grant };
    assertEquals((await line.time.ended(lock.cancel(proof, { fence: true }))).kind, "not-held");
    await line.time.advance(20_000);
    assertEquals(line.semaphore.holders, []);
  }
});

Deno.test("Lock.cancel() with a fence and without an answer gives nothing back", async () => {
  const line = new Line();
  const { lock, store } = line.client();
  line.hold("m");
  const before = line.memory.read(line.key);
  store.fates.push(...Array<Fate>(500).fill(REQUEST_LOST));
  const proof = { holder: "m", boot: "b", grant: "g" };
  const error = await assertRejects(() => line.time.ended(lock.cancel(proof, { fence: true })), LockError);
  assertEquals(error.kind, "unknown");
  assertEquals(line.memory.read(line.key), before);
});
