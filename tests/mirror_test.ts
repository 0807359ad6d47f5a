/** The copy of a store: what it shows, what it tells, and what it asks of the store. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { caughtUp, type MirrorNews, StoreMirror } from "../lib/mirror.ts";
import { Memory } from "../lib/simulation/memory.ts";
import { type Change, type Entry, isBefore, type KeyRange, StoreError, type Watch } from "../lib/store.ts";
import { Connection, Virtual } from "./support/virtual.ts";

const RANGE = { from: "q/", to: "q0" };

/** A connection whose watch can be made to say anything. */
class Told extends Connection {
  /** Tells the watch of the copy. */
  say: (change: Change) => void = () => {};

  override watch(range: KeyRange, listener: (change: Change) => void, after?: string): Watch {
    this.say = listener;
    return super.watch(range, listener, after);
  }
}

/** A copy, over what is in the store at its beginning. */
async function mirrored(...keys: string[]) {
  const time = new Virtual();
  const memory = new Memory();
  const store = new Told(memory, time);
  for (const key of keys) put(memory, key, "1");
  const mirror = new StoreMirror(store, RANGE, time);
  const news: MirrorNews[] = [];
  mirror.subscribe((one) => news.push(one));
  await time.ended(mirror.ready());
  store.calls.length = 0;
  return { time, memory, store, mirror, take: () => news.splice(0) };
}

function put(memory: Memory, key: string, value: string): Entry {
  memory.commit({ expect: [], put: [{ key, value }] });
  const entry = memory.read(key);
  assert(entry !== null);
  return entry;
}

function remove(memory: Memory, ...keys: string[]): string {
  memory.commit({ expect: [], put: [], remove: keys });
  return memory.revision;
}

function inStore(memory: Memory): readonly Entry[] {
  return memory.view([{ range: RANGE }]).found[0] ?? [];
}

const changed = (key: string, entry: Entry | null, revision: string, before: Entry | null): MirrorNews => ({
  kind: "changed",
  key,
  entry,
  revision,
  before,
});

Deno.test("a copy is read in one view, is watched from there on, and shows its range alone", async () => {
  const time = new Virtual();
  const memory = new Memory();
  const store = new Connection(memory, time);
  for (const key of ["p", "q/b", "q/a/1", "q/a/2", "r"]) put(memory, key, "1");
  const mirror = new StoreMirror(store, RANGE, time);
  assertEquals([mirror.state, mirror.entries(RANGE), mirror.entry("q/b")], [{ kind: "empty" }, [], null]);
  await time.ended(mirror.ready());
  assertEquals(store.calls, ["view", "watch q/..q0"]);
  assertEquals(mirror.state, { kind: "current" });
  assertEquals(mirror.entries(RANGE), inStore(memory));
  assertEquals(mirror.entries({ from: "q/a/", to: "q/a0" }).map(({ key }) => key), ["q/a/1", "q/a/2"]);
  assertEquals([mirror.entry("q/b"), mirror.entry("p")], [memory.read("q/b"), null]);
  assertEquals(mirror.revision, memory.revision);
});

Deno.test("a copy follows each change and tells it, with what was before", async () => {
  const { time, memory, mirror, take } = await mirrored("q/b");
  take();
  const before = memory.read("q/b");
  const b = put(memory, "q/b", "2");
  const a = put(memory, "q/a", "1");
  put(memory, "other", "1");
  const gone = remove(memory, "q/b");
  await time.advance(1);
  assertEquals(take(), [
    changed("q/b", b, b.revision, before),
    changed("q/a", a, a.revision, null),
    changed("q/b", null, gone, b),
  ]);
  assertEquals(mirror.entries(RANGE), [a]);
  assertEquals(mirror.revision, gone);
});

Deno.test("a copy is not set back by what comes late, twice or out of order", async () => {
  const { time, memory, store, mirror, take } = await mirrored("q/a", "q/b");
  store.watchFate = { lateByMs: 200 };
  put(memory, "q/a", "late");
  put(memory, "q/b", "late");
  put(memory, "q/c", "late");
  store.watchFate = "twice";
  put(memory, "q/a", "2");
  remove(memory, "q/b", "q/c");
  await time.advance(1);
  const shown = mirror.entries(RANGE);
  assertEquals(shown, inStore(memory));
  take();
  await time.advance(300);
  assertEquals([mirror.entries(RANGE), take()], [shown, []]);
});

Deno.test("a copy believes that a key is gone with its lease, though no commit says so", async () => {
  const { time, memory, store, mirror, take } = await mirrored("q/a");
  const a = memory.read("q/a");
  take();
  store.say({ kind: "changed", key: "q/a", entry: null, revision: memory.revision });
  assertEquals([mirror.entry("q/a"), take()], [null, [changed("q/a", null, memory.revision, a)]]);
  store.say({ kind: "changed", key: "q/a", entry: a, revision: memory.revision });
  assertEquals(mirror.entry("q/a"), null);
  await time.advance(1);
});

Deno.test("a copy finds what its watch never told, and tells it, after minutes at the latest", async () => {
  const { time, memory, store, mirror, take } = await mirrored("q/a", "q/b");
  const before = inStore(memory);
  const [a = null, b = null] = before;
  take();
  store.watchFate = "dropped";
  const again = put(memory, "q/a", "2");
  remove(memory, "q/b");
  const c = put(memory, "q/c", "1");
  await time.advance(60_000);
  assertEquals(mirror.entries(RANGE), before);
  await time.advance(330_000);
  assertEquals(mirror.entries(RANGE), inStore(memory));
  assertEquals(take(), [
    changed("q/a", again, again.revision, a),
    changed("q/c", c, c.revision, null),
    changed("q/b", null, memory.revision, b),
    { kind: "reread" },
  ]);
});

Deno.test("a copy is read again when its watch may have missed something, once for many such words", async () => {
  const { time, memory, store, mirror } = await mirrored("q/a");
  store.watchFate = "dropped";
  for (let turn = 0; turn < 100; turn++) {
    put(memory, "q/a", `${turn}`);
    store.say({ kind: "missed" });
    await time.advance(5);
  }
  await time.advance(1_000);
  assertEquals(mirror.entries(RANGE), inStore(memory));
  assert(store.takeCalls().length <= 3, "one at once, and one behind the last word");
});

Deno.test("a copy keeps what it hears while it is read again", async () => {
  const { time, memory, store, mirror } = await mirrored("q/a", "q/b");
  store.callMs = 100;
  store.say({ kind: "missed" });
  while (store.calls.length === 0) await time.advance(10);
  // newer than what the answer that is under way will show
  const entry = { key: "q/new", value: "1", revision: "99", created: "99" };
  store.say({ kind: "changed", key: "q/new", entry, revision: "99" });
  store.say({ kind: "changed", key: "q/b", entry: null, revision: "99" });
  assertEquals(mirror.entry("q/new"), entry);
  await time.advance(200);
  assertEquals<unknown>(mirror.entries(RANGE), [memory.read("q/a"), entry]);
});

Deno.test("a copy is behind while the store is away, asks it seldom, and is current when it is back", async () => {
  const { time, memory, store, mirror, take } = await mirrored("q/a");
  const shown = mirror.entries(RANGE);
  take();
  store.down = true;
  await time.advance(8_000);
  const { state } = mirror;
  assert(state.kind === "behind" && state.error.kind === "unreachable" && state.since <= time.now());
  assertEquals([mirror.entries(RANGE), take()], [shown, [{ kind: "state" }]]);
  store.calls.length = 0;
  await time.advance(120_000);
  assertEquals(mirror.state, state);
  const calls = store.takeCalls().length;
  assert(calls > 10 && calls < 30, `${calls} calls in two minutes`);
  const a = put(memory, "q/a", "2");
  store.down = false;
  await time.advance(10_000);
  assertEquals([mirror.state, mirror.entries(RANGE)], [{ kind: "current" }, [a]]);
  assertEquals(take().map(({ kind }) => kind), ["changed", "reread", "state"]);
});

Deno.test("a copy costs the store a small call every few seconds, however often it is looked at", async () => {
  const { time, store, mirror } = await mirrored("q/a");
  for (let look = 0; look < 1_000; look++) mirror.entries(RANGE);
  await time.advance(60_000);
  const calls = store.takeCalls();
  assert(calls.length >= 8 && calls.length <= 12 && calls.every((call) => call === "view"), `${calls}`);
});

Deno.test("a copy that there is not yet says why, and is waited for until it is there or the wait is given up", async () => {
  const time = new Virtual();
  const store = new Connection(new Memory(), time);
  store.down = true;
  const mirror = new StoreMirror(store, RANGE, time);
  const given = new AbortController();
  const aborted = assertRejects(() => mirror.ready(given.signal), Error, "enough");
  await time.advance(1_000);
  const { state } = mirror;
  assert(state.kind === "empty" && state.error?.kind === "unreachable");
  given.abort(new Error("enough"));
  await aborted;
  store.down = false;
  await time.ended(mirror.ready());
  assertEquals(mirror.state, { kind: "current" });
  const never = new StoreMirror(store, RANGE, time);
  const closed = assertRejects(() => never.ready(), StoreError, "the copy was closed");
  never.close();
  await closed;
});

Deno.test("a copy whose watch is refused says so, and is read again and again", async () => {
  const { time, memory, store, mirror } = await mirrored("q/a");
  store.watchFate = "dropped";
  const error = new StoreError("permission", "no");
  store.say({ kind: "refused", error });
  const a = put(memory, "q/a", "2");
  await time.advance(8_000);
  assertEquals(mirror.entries(RANGE), [a]);
  const { state } = mirror;
  assert(state.kind === "behind" && state.error === error);
  store.watchFate = "told";
  put(memory, "q/a", "3");
  await time.advance(8_000);
  assertEquals(mirror.state, { kind: "current" });
});

Deno.test("a copy that is closed asks, watches and tells nothing any more", async () => {
  const { time, memory, store, mirror, take } = await mirrored("q/a");
  take();
  mirror.close();
  put(memory, "q/a", "2");
  await time.advance(600_000);
  assertEquals([store.calls, take()], [[], []]);
});

Deno.test("a copy is what the store has, whatever is lost, late or told twice, once it may have missed something", async () => {
  const key = fc.constantFrom("q/a", "q/b", "q/c", "q/d");
  const step = fc.oneof(
    fc.record({ put: fc.array(key, { minLength: 1, maxLength: 3 }) }),
    fc.record({ remove: fc.array(key, { minLength: 1, maxLength: 3 }) }),
    fc.record({ advance: fc.integer({ min: 1, max: 700 }) }),
    fc.constant({ missed: true as const }),
    fc.constant({ down: true as const }),
  );
  const fate = fc.oneof(
    fc.constantFrom("told" as const, "told" as const, "dropped" as const, "twice" as const),
    fc.record({ lateByMs: fc.integer({ min: 1, max: 3_000 }) }),
  );
  const history = fc.array(fc.tuple(step, fate), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      const { time, memory, store, mirror } = await mirrored("q/a", "q/c");
      const heard = new Map(mirror.entries(RANGE).map((entry) => [entry.key, entry]));
      mirror.subscribe((news) => {
        if (news.kind !== "changed") return;
        assertEquals(news.before, heard.get(news.key) ?? null);
        if (news.entry === null) heard.delete(news.key);
        else heard.set(news.key, news.entry);
      });
      for (const [turn, [step, fate]] of steps.entries()) {
        store.watchFate = fate;
        if ("put" in step) {
          const put = [...new Set(step.put)].map((key) => ({ key, value: `${turn}` }));
          memory.commit({ expect: [], put });
        } else if ("remove" in step) remove(memory, ...new Set(step.remove));
        else if ("advance" in step) await time.advance(step.advance);
        else if ("missed" in step) store.say({ kind: "missed" });
        else store.down = !store.down;
        const known = mirror.entries(RANGE);
        assert(known.every(({ revision }) => !isBefore(memory.revision, revision)));
      }
      store.down = false;
      store.say({ kind: "missed" });
      await time.advance(20_000);
      assertEquals(mirror.entries(RANGE), inStore(memory));
      assertEquals([...heard.values()].sort((a, b) => a.key < b.key ? -1 : 1), inStore(memory));
      mirror.close();
    }),
    { numRuns: 200 },
  );
});

Deno.test("caughtUp() resolves when the copy shows what was written, and after a while where it never does", async () => {
  const { time, memory, store, mirror } = await mirrored("q/a");
  const until = (key: string) => caughtUp(mirror, store, key, { surroundings: time, mostMs: 1_000 });
  await time.ended(until("q/a"));
  // the watch has not told of it yet
  const written = put(memory, "q/a", "2");
  let shown: string | undefined;
  const waiting = until("q/a").then(() => shown = mirror.entry("q/a")?.value);
  await time.ended(waiting);
  assertEquals([shown, mirror.entry("q/a")], ["2", written]);
  mirror.close();
  put(memory, "q/a", "3");
  const begun = time.elapsed();
  await time.ended(until("q/a"));
  assert(time.elapsed() - begun >= 1_000);
});
