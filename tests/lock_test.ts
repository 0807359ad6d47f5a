/**
 * What the lock promises over a store that loses requests, replies and swaps. The store is the one in memory, with a
 * wrapper that does to each commit what the test says; time passes only when the lock sleeps or a call takes its time.
 */

import { assert, assertEquals, assertLess, assertLessOrEqual, assertRejects } from "@std/assert";
import { semaphoreKey } from "../lib/group.ts";
import { CALL_TIMEOUT_MS, CONTENTION_LIMIT_MS, Lock, LockError, TOTAL_TIMEOUT_MS } from "../lib/lock.ts";
import { FRESH, GRANTED, type Hold, REBOOTING, type Semaphore } from "../lib/semaphore.ts";
import { type CommitOutcome, type Store, StoreError } from "../lib/store.ts";
import type { Surroundings } from "../lib/surroundings.ts";
import { Memory, openMemory } from "../lib/simulation/memory.ts";
import { parseSemaphore } from "../lib/document.ts";
import { readGroups } from "../lib/groups.ts";

const KEY = semaphoreKey("");

/**
 * What happens to a commit. `reply-lost`: it happens, and nobody is told. `request-lost`: it does not, and nobody is
 * told. `swap-lost`: another machine commits first.
 */
type Fate = "passes" | "reply-lost" | "request-lost" | "swap-lost";

/** A group in memory, and a lock on it whose commits meet their fates, one after the other; then they pass. */
class Place {
  readonly memory = new Memory();
  readonly theirs = openMemory(this.memory);
  readonly lock: Lock;
  readonly timeoutsMs: number[] = [];
  now = Date.parse("2026-05-21T23:00:00Z");
  commits = 0;
  /** What comes before the next commit, between the read and the swap. */
  meanwhile: (() => Promise<unknown>) | undefined;
  /** What comes before the next read. */
  beforeRead: (() => Promise<unknown>) | undefined;
  /** How long each call takes, at most its timeout. */
  callMs = 0;

  constructor(readonly fates: Fate[] = [], group = "") {
    const store: Store = {
      ...this.theirs,
      read: async (key, options) => {
        await this.take(options.timeoutMs);
        const before = this.beforeRead;
        this.beforeRead = undefined;
        await before?.();
        return await this.theirs.read(key, options);
      },
      commit: async (transaction, options): Promise<CommitOutcome> => {
        await this.take(options.timeoutMs);
        this.commits++;
        const meanwhile = this.meanwhile;
        this.meanwhile = undefined;
        await meanwhile?.();
        const fate = this.fates.shift() ?? "passes";
        if (fate === "request-lost") return { kind: "unknown", cause: away() };
        if (fate === "swap-lost") await this.touch();
        const outcome = await this.theirs.commit(transaction, options);
        return fate === "reply-lost" ? { kind: "unknown", cause: away() } : outcome;
      },
    };
    this.lock = new Lock(store, group, this.surroundings((ms) => this.now += ms), "tester");
  }

  private take(timeoutMs: number): Promise<void> {
    this.timeoutsMs.push(timeoutMs);
    this.now += Math.min(this.callMs, timeoutMs);
    return Promise.resolve();
  }

  /** A lock of another machine, whose commits all pass. */
  other(): Lock {
    return new Lock(this.theirs, this.lock.group, this.surroundings(() => {}), "another");
  }

  /** A clock that moves when somebody rests, by `rest`. */
  private surroundings(rest: (ms: number) => void): Surroundings {
    return {
      now: () => this.now,
      elapsed: () => this.now,
      random: () => 0.5,
      after(ms, run) {
        rest(ms);
        queueMicrotask(run);
        return { cancel: () => {} };
      },
    };
  }

  /** Writes the document as it is: whoever read it before loses the swap. */
  async touch(): Promise<void> {
    const { key } = this.lock;
    const entry = await this.theirs.read(key, { timeoutMs: 1 });
    await this.put(entry?.value ?? '{"semaphore":1,"max":1,"holders":[]}', key);
  }

  async put(value: string, key = KEY): Promise<void> {
    const entry = await this.theirs.read(key, { timeoutMs: 1 });
    const outcome = await this.theirs.commit({
      expect: [{ key, revision: entry?.revision ?? null }],
      put: [{ key, value }],
    }, { timeoutMs: 1 });
    assertEquals(outcome.kind, "committed");
  }

  /** The document without the record of its last change. */
  plain(): string | undefined {
    return this.text()?.replace(/,"changed":\{[^}]*\}/, "");
  }

  text(): string | undefined {
    return this.memory.read(KEY)?.value;
  }

  document(): Semaphore {
    return parseSemaphore(this.text() ?? "");
  }
}

function away(): StoreError {
  return new StoreError("unreachable", "cannot write at memory: connection reset");
}

function hold(grant: string, boot = "b1"): Hold & { readonly grant: string } {
  return { boot, grant, phase: GRANTED, extra: {} };
}

async function lockError(promise: Promise<unknown>): Promise<LockError> {
  return await assertRejects(() => promise, LockError);
}

// ---------------------------------------------------------------------------------------------------------- acquire

Deno.test("Lock.acquire() takes a slot, and its document says who and under which grant", async () => {
  const place = new Place();
  assertEquals(await place.lock.read(), FRESH);
  assertEquals((await place.lock.acquire("A", hold("g1"))).kind, "granted");
  assertEquals(
    place.plain(),
    '{"semaphore":0,"max":1,"holders":["A"],"holds":{"A":{"boot":"b1","grant":"g1","phase":"granted"}}}',
  );
});

Deno.test("Lock.acquire() whose reply was lost has the slot at max 1 (fault 2 of the old locksmith: it found the group full, and waited for itself for ever)", async () => {
  const place = new Place(["reply-lost"]);
  assertEquals((await place.lock.acquire("A", hold("g1"))).kind, "granted");
  assertEquals([place.document().holders, place.commits], [["A"], 1]);

  // and the next request of the same machine is told that it has one, never that the group is full
  const again = await place.lock.acquire("A", hold("g2"));
  assert(again.kind === "held");
  assertEquals(again.hold?.grant, "g1");
});

Deno.test("Lock.acquire() whose request was lost asks again, and takes one slot", async () => {
  const place = new Place(["request-lost", "reply-lost"]);
  await place.other().setMax(2);
  assertEquals((await place.lock.acquire("A", hold("g1"))).kind, "granted");
  assertEquals([place.document().holders, place.document().holds.get("A")?.grant], [["A"], "g1"]);
});

Deno.test("Lock.acquire() does not take somebody else's grant of the same name for its own", async () => {
  const place = new Place(["request-lost"]);
  place.meanwhile = () => place.other().acquire("A", hold("theirs"));
  const decision = await place.lock.acquire("A", hold("g1"));
  assert(decision.kind === "held");
  assertEquals(decision.hold?.grant, "theirs");
});

Deno.test("Lock.acquire() that lost a swap decides anew on what is there now", async () => {
  const place = new Place();
  place.meanwhile = () => place.other().acquire("B", hold("theirs"));
  assertEquals(await place.lock.acquire("A", hold("g1")), { kind: "full", available: 0 });
  assertEquals(place.document().holders, ["B"]);

  const wide = new Place(["swap-lost", "swap-lost", "swap-lost"]);
  assertEquals((await wide.lock.acquire("A", hold("g1"))).kind, "granted");
  assertEquals(wide.commits, 4);
});

Deno.test("Lock.acquire() of twenty machines at once at max 5 grants five, and loses none", async () => {
  const place = new Place();
  await place.other().setMax(5);
  const ids = Array.from({ length: 20 }, (_, i) => `m${i}`);
  const kinds = await Promise.all(ids.map(async (id) => (await place.other().acquire(id, hold(id))).kind));
  const granted = ids.filter((_, i) => kinds[i] === "granted").sort();
  assertEquals([granted.length, kinds.filter((kind) => kind === "full").length], [5, 15]);
  assertEquals(place.document().holders, granted);
});

Deno.test("Lock.acquire() whose outcome stays unknown says so, neither yes nor no, with what to do", async () => {
  const place = new Place();
  place.fates.push(...Array<Fate>(1000).fill("request-lost"));
  const error = await lockError(place.lock.acquire("A", hold("g1")));
  assertEquals([error.kind, error.message, error.hint], [
    "unknown",
    "nobody can tell whether lock in group (default) happened: cannot write at memory: connection reset",
    "the request may have reached the store; look with 'locksmith status' before you go on",
  ]);
});

Deno.test("Lock.acquire() in doubt goes on looking while the store cannot be read", async () => {
  const place = new Place(["reply-lost"]);
  place.meanwhile = () => {
    place.beforeRead = () => Promise.reject(away());
    return Promise.resolve();
  };
  assertEquals((await place.lock.acquire("A", hold("g1"))).kind, "granted");
});

Deno.test("Lock.acquire() fails at once when the store cannot be read and nothing is in doubt", async () => {
  const place = new Place();
  place.beforeRead = () => Promise.reject(away());
  const error = await assertRejects(() => place.lock.acquire("A", hold("g1")), StoreError);
  assertEquals([error.message, place.commits], ["cannot write at memory: connection reset", 0]);
});

// ---------------------------------------------------------------------------------------------------------- bounds

Deno.test("Lock gives up when others win every swap, and says that nothing was changed", async () => {
  const calls: [string, (lock: Lock) => Promise<unknown>][] = [
    ["lock", (lock) => lock.acquire("A", hold("g1"))],
    ["unlock", (lock) => lock.unlock("B")],
    ["confirm", (lock) => lock.confirm({ holder: "B", boot: "b1", grant: "theirs" }, "mark")],
    // the old locksmith printed success here
    ["set-max", (lock) => lock.setMax(7)],
  ];
  for (const [verb, call] of calls) {
    const place = new Place(Array<Fate>(1000).fill("swap-lost"), "web");
    await place.other().setMax(3);
    await place.other().acquire("B", hold("theirs"));
    const started = place.now;
    const error = await lockError(call(place.lock));
    const key = "coreos.com/updateengine/rebootlock/groups/web/semaphore";
    assertEquals([error.kind, error.message, error.hint], [
      "contended",
      `cannot ${verb} in group web at memory: other machines changed ${key} at every try`,
      "nothing was changed; try again",
    ]);
    assertLessOrEqual(place.commits, 200);
    assertLess(place.now - started, CONTENTION_LIMIT_MS + 1_000);
    const { max, holders } = await place.other().read();
    assertEquals([max, holders], [3, ["B"]]);
  }
});

Deno.test("Lock gives every call a deadline, and all of them together one (fault 7 of the old locksmith: there was none)", async () => {
  // a store that answers is tried for longer: others are at work
  for (
    const [fate, limitMs] of [["swap-lost", CONTENTION_LIMIT_MS], ["request-lost", TOTAL_TIMEOUT_MS]] as const
  ) {
    const place = new Place(Array<Fate>(1000).fill(fate));
    place.callMs = 3_000;
    const started = place.now;
    await lockError(place.lock.acquire("A", hold("g1")));
    assertLess(place.now - started, limitMs + CALL_TIMEOUT_MS);
    for (const timeoutMs of place.timeoutsMs) {
      assert(timeoutMs >= 1 && timeoutMs <= CALL_TIMEOUT_MS, `${timeoutMs}`);
    }
  }
});

// ------------------------------------------------------------------------------------------------- confirm, release

Deno.test("Lock.confirm() marks the hold that its proof names, though the reply is lost", async () => {
  for (const fates of [["passes"], ["reply-lost"], ["request-lost"], ["swap-lost"]] as const) {
    const place = new Place([...fates]);
    await place.other().acquire("A", hold("g1"));
    const decision = await place.lock.confirm({ holder: "A", boot: "b1", grant: "g1" }, "mark");
    assertEquals([decision.kind, place.document().holds.get("A")?.phase], ["confirmed", REBOOTING]);
  }
});

Deno.test("Lock.confirm() proves nothing for a hold that an administrator ended a moment ago", async () => {
  const place = new Place();
  await place.other().acquire("A", hold("g1"));
  place.meanwhile = () => place.other().unlock("A");
  assertEquals(await place.lock.confirm({ holder: "A", boot: "b1", grant: "g1" }, "mark"), { kind: "lost" });
  assertEquals(place.document().holders, []);
});

Deno.test("Lock.confirm() whose reply was lost is lost when the hold has gone since", async () => {
  const place = new Place(["reply-lost"]);
  await place.other().acquire("A", hold("g1"));
  place.meanwhile = () => {
    place.beforeRead = async () => {
      await place.other().unlock("A");
      await place.other().acquire("A", hold("g2"));
    };
    return Promise.resolve();
  };
  assertEquals(await place.lock.confirm({ holder: "A", boot: "b1", grant: "g1" }, "mark"), { kind: "lost" });
  assertEquals(place.document().holds.get("A")?.phase, GRANTED);
});

Deno.test("Lock.release() gives the slot back once, though the reply is lost", async () => {
  for (const fates of [["passes"], ["reply-lost"], ["request-lost"], ["swap-lost"]] as const) {
    const place = new Place([...fates]);
    await place.other().acquire("A", hold("g1"));
    const decision = await place.lock.release({ id: "A", bootId: "b2", hostname: "host" });
    assert(decision.kind === "released", `${fates}: ${decision.kind}`);
    assertEquals([decision.hold?.grant, place.document().holders], ["g1", []]);
  }
});

Deno.test("Lock.release() whose reply was lost does not end the hold that came after it", async () => {
  const place = new Place(["reply-lost"]);
  await place.other().acquire("A", hold("g1"));
  place.meanwhile = () => {
    place.beforeRead = () => place.other().acquire("A", hold("g2", "b2"));
    return Promise.resolve();
  };
  const decision = await place.lock.unlock("A");
  assert(decision.kind === "released");
  assertEquals([decision.hold?.grant, place.document().holds.get("A")?.grant], ["g1", "g2"]);
});

Deno.test("Lock.release() leaves what its ground does not end, and writes nothing", async () => {
  const place = new Place();
  await place.other().acquire("A", hold("g1"));
  const before = place.text();
  const decision = await place.lock.release({ id: "A", bootId: "b1", hostname: "host" });
  assert(decision.kind === "kept");
  assertEquals(decision.why.kind, "ours");
  assertEquals(await place.lock.unlock("B"), { kind: "not-held" });
  assertEquals([place.text(), place.commits], [before, 0]);
});

// ---------------------------------------------------------------------------------------------------------- set-max

Deno.test("Lock.setMax() tells the max that it replaced, though the reply is lost", async () => {
  for (const fates of [["passes"], ["reply-lost"], ["request-lost"], ["swap-lost"]] as const) {
    const place = new Place([...fates]);
    await place.other().setMax(3);
    assertEquals([await place.lock.setMax(5), place.document().max], [{ oldMax: 3 }, 5], `${fates}`);
  }
});

Deno.test("Lock.setMax() that lost its swap replaces the max of who won it (fault 5 of the old locksmith: it printed success, and the max was another's)", async () => {
  const place = new Place();
  place.meanwhile = () => place.other().setMax(9);
  assertEquals([await place.lock.setMax(5), place.document().max], [{ oldMax: 9 }, 5]);
});

Deno.test("Lock.setMax() makes the document of a new group, and writes nothing where nothing changes", async () => {
  const place = new Place();
  assertEquals(await place.lock.setMax(1), { oldMax: 1 });
  assertEquals([place.plain(), place.commits], ['{"semaphore":1,"max":1,"holders":[]}', 1]);
  assertEquals(await place.lock.setMax(1), { oldMax: 1 });
  assertEquals(place.commits, 1);
});

Deno.test("Lock keeps the fields that it does not know (fault 12 of the old locksmith: they were dropped on write)", async () => {
  const place = new Place();
  await place.put('{"semaphore":1,"max":1,"holders":[],"rack":{"row":7},"serial":12345678901234567890}');
  await place.lock.setMax(2);
  await place.lock.acquire("A", hold("g1"));
  await place.lock.confirm({ holder: "A", boot: "b1", grant: "g1" }, "mark");
  await place.lock.unlock("A");
  assertEquals(
    place.plain(),
    '{"semaphore":2,"max":2,"holders":[],"rack":{"row":7},"serial":12345678901234567890}',
  );
});

// --------------------------------------------------------------------------------------------- documents and groups

Deno.test("Lock refuses a document that contradicts itself, names key and fault, and leaves it as it is", async () => {
  const calls: ((lock: Lock) => Promise<unknown>)[] = [
    (lock) => lock.read(),
    (lock) => lock.acquire("A", hold("g1")),
    (lock) => lock.confirm({ holder: "A", boot: "b1", grant: "g1" }, "mark"),
    (lock) => lock.unlock("A"),
    (lock) => lock.setMax(2),
  ];
  const text = '{"semaphore":1,"max":1,"holders":["A"]}';
  for (const call of calls) {
    const place = new Place();
    await place.put(text);
    const error = await lockError(call(place.lock));
    assertEquals([error.kind, error.message, error.hint], [
      "document",
      `${KEY} at memory is corrupt (left unchanged): ` +
      '"semaphore" is 1, but max 1 less 1 holders is 0',
      "see what a repair would do: locksmith repair --dry-run",
    ]);
    assertEquals([place.text(), place.commits], [text, 0]);
  }
});

Deno.test("Lock.replace() puts a document in the place of exactly the one that was seen", async () => {
  const place = new Place();
  await place.put("garbage");
  const entry = await place.lock.entry();
  assertEquals(entry?.value, "garbage");
  assertEquals(await place.lock.replace(entry, FRESH), true);
  assertEquals(place.plain(), '{"semaphore":1,"max":1,"holders":[]}');
  assertEquals(await place.lock.replace(entry, { ...FRESH, max: 7 }), false);
  assertEquals(place.document().max, 1);

  place.fates.push("reply-lost");
  const error = await lockError(place.lock.replace(await place.lock.entry(), { ...FRESH, max: 7 }));
  assertEquals(
    error.message,
    "nobody can tell whether repair in group (default) happened: cannot write at memory: connection reset",
  );
});

Deno.test("readGroups() gives every group by name, the broken ones as such, and nothing that is no semaphore", async () => {
  const place = new Place();
  await place.put('{"semaphore":2,"max":2,"holders":[]}', semaphoreKey("web"));
  await place.put("garbage", semaphoreKey("prod/db"));
  await place.put('{"semaphore":1,"max":1,"holders":[]}');
  await place.put("{}", `${semaphoreKey("web")}/else`);
  await place.put("{}", "coreos.com/updateengine/rebootlock/groups/%zz/semaphore");
  await place.put("{}", "coreos.com/updateengine/rebootlock/groups/../semaphore");
  const [first, second, third, ...more] = await readGroups(place.theirs);
  assertEquals([first?.group, first?.semaphore], ["", FRESH]);
  assertEquals(second?.group, "prod/db");
  const broken = second?.semaphore;
  assert(broken instanceof LockError);
  assertEquals(broken.hint, "see what a repair would do: locksmith repair --dry-run --group 'prod/db'");
  assertEquals([third?.group, third?.semaphore], ["web", { ...FRESH, max: 2 }]);
  assertEquals(more, []);
});
