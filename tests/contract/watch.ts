/** The contract of a store: watches, and the past of a key. */

import { assert, assertEquals } from "@std/assert";
import { type Change, type Entry, exactly, isBefore, type Store } from "../../lib/store.ts";
import { below, CALL, type ContractTest, make, put, remove, revision, until, watching } from "./kit.ts";

type Told = Extract<Change, { kind: "changed" }>;

const PLACES = below("q/1/");

export function watchContract(test: ContractTest): void {
  test("watch() tells of a change made through the same handle", async (store) => {
    await using watch = watching(store, "a/key");
    await until(
      watch,
      async () => (await store.read("a/key", CALL)) !== null,
      () => put(store, "a/key", "1", null),
    );
  });

  test("watch() tells of a change made through another handle", async (first, second) => {
    const before = revision(await put(first, "a/key", "1", null));
    await using watch = watching(first, "a/key");
    await until(
      watch,
      async () => (await first.read("a/key", CALL))?.value === "2",
      () => put(second, "a/key", "2", before),
    );
  });

  test("watch() goes on telling, change after change", async (first, second) => {
    await using watch = watching(first, "a/key");
    let expected: string | null = null;
    for (let turn = 0; turn < 5; turn++) {
      await until(
        watch,
        async () => (await first.read("a/key", CALL))?.value === String(turn),
        async () => expected = revision(await put(second, "a/key", String(turn), expected)),
      );
    }
  });

  test(
    "watch() says that something may have been missed when it has begun, and then what changed",
    async (first, second) => {
      const before = await make(first, "a/key", "1");
      await using watch = watching(first, "a/key");
      assertEquals(await watch.next(), { kind: "missed" });
      const after = revision(await put(second, "a/key", "2", before));
      assertEquals(await watch.next(), told("2", after, before));
    },
  );

  test(
    "watch() behind a revision tells what has come since, in order, or that it missed it",
    async (first, second) => {
      const one = await make(first, "a/key", "1");
      const two = revision(await put(first, "a/key", "2", one));
      await make(first, "a/key/other", "other");
      const three = revision(await put(second, "a/key", "3", two));
      await using watch = watching(second, "a/key", one);
      const since = await watch.next();
      if (since.kind === "changed") {
        // it may tell at once what the key has become
        if (since.revision === two) assertEquals(since, told("2", two, one));
        assertEquals(since.revision === two ? await watch.next() : since, told("3", three, one));
      }
      const four = revision(await put(first, "a/key", "4", three));
      assertEquals(await watch.changed(), told("4", four, one));
    },
  );

  test("watch() behind the last revision tells only what comes then", async (first, second) => {
    const one = await make(first, "a/key", "1");
    const { revision: now } = await first.view([], CALL);
    await using watch = watching(first, "a/key", now);
    const two = revision(await put(second, "a/key", "2", one));
    const since = await watch.next();
    if (since.kind === "changed") assertEquals(since, told("2", two, one));
    const three = revision(await put(second, "a/key", "3", two));
    assertEquals(await watch.next(), told("3", three, one));
    assertEquals(watch.told.length, 2);
  });

  test("watch() tells of a key that was made and removed before it began, or that it missed it", async (store) => {
    const { revision: before } = await store.view([], CALL);
    const made = await make(store, "a/key", "1");
    const removed = await remove(store, "a/key");
    await using watch = watching(store, "a/key", before);
    const since = await watch.next();
    if (since.kind === "missed") return;
    assert(since.kind === "changed");
    if (since.revision === made) assertEquals(since, told("1", made, made));
    const last = since.revision === made ? await watch.next() : since;
    assertEquals(last, { kind: "changed", key: "a/key", entry: null, revision: removed });
  });

  test("watch() tells that its key was removed, and that it is there again", async (first, second) => {
    await make(first, "a/key", "1");
    await using watch = watching(first, "a/key");
    assertEquals(await watch.next(), { kind: "missed" });
    const removed = await remove(second, "a/key");
    assertEquals(await watch.changed(), { kind: "changed", key: "a/key", entry: null, revision: removed });
    const again = await make(second, "a/key", "2");
    assertEquals(await watch.changed(), told("2", again, again));
  });

  test("watch() tells of its key alone", async (first, second) => {
    const made = await make(first, "a/key", "1");
    await using watch = watching(first, "a/key");
    assertEquals(await watch.next(), { kind: "missed" });
    for (const key of ["a", "a/", "a/ke", "a/key/", "a/key0", "b"]) await make(second, key, "other");
    const two = revision(await put(second, "a/key", "2", made));
    assertEquals(await watch.changed(), told("2", two, made));
  });

  rangeContract(test);

  test(
    "watch() tells each of two watchers of one key, and one of them after the other was closed",
    async (first, second) => {
      await using kept = watching(first, "a/key");
      const closed = watching(first, "a/key");
      const one = async () => (await first.read("a/key", CALL))?.value === "1";
      let written = "";
      await until(kept, one, async () => written = revision(await put(second, "a/key", "1", null)));
      await until(closed, one, () => Promise.resolve());
      closed.watch.close();
      await until(
        kept,
        async () => (await first.read("a/key", CALL))?.value === "2",
        () => put(second, "a/key", "2", written),
      );
    },
  );

  test("watch() tells nothing after it was closed, and may be closed twice", async (first, second) => {
    const closed = watching(first, "a/key");
    await using witness = watching(first, "a/key");
    const settled = async (value: string, expected: string | null) => {
      let after = "";
      await until(
        witness,
        async () => (await first.read("a/key", CALL))?.value === value,
        async () => after = revision(await put(second, "a/key", value, expected)),
      );
      return after;
    };
    const before = await settled("1", null);
    closed.watch.close();
    closed.watch.close();
    const calls = closed.told.length;
    await settled("2", before);
    assertEquals(closed.told.length, calls);
  });

  test(
    "watch() may be closed by its own listener, which is the last call that it gets",
    async (first, second) => {
      const one = await make(first, "a/key", "1");
      const calls: Change[] = [];
      await using witness = watching(first, "a/key");
      assertEquals(await witness.next(), { kind: "missed" });
      const watch = first.watch(exactly("a/key"), (change) => {
        calls.push(change);
        watch.close();
      });
      const two = revision(await put(first, "a/key", "2", one));
      while ((await witness.changed()).revision !== two);
      const three = revision(await put(second, "a/key", "3", two));
      while ((await witness.changed()).revision !== three);
      assertEquals(calls.length, 1);
    },
  );

  test("watch() of a closed store tells nothing", async (first, second) => {
    const watch = watching(first, "a/key");
    await using witness = watching(second, "a/key");
    await first.close();
    const calls = watch.told.length;
    await until(
      witness,
      async () => (await second.read("a/key", CALL)) !== null,
      () => put(second, "a/key", "1", null),
    );
    assertEquals(watch.told.length, calls);
    watch.watch.close();
  });

  test("history() of a key that nobody wrote is empty, and complete", async (store) => {
    await make(store, "other", "1");
    assertEquals(await store.history("a/key", CALL), { changes: [], complete: true });
  });

  test(
    "history() has every change in order, with values, removals and new beginnings",
    async (first, second) => {
      const changes: { revision: string; entry: Entry | null }[] = [];
      let created = "";
      for (const value of ["1", "2", "2", null, "3", "4"]) {
        const last = changes.at(-1)?.entry ?? null;
        if (value === null) {
          changes.push({ revision: await remove(second, "a/key"), entry: null });
          continue;
        }
        const written = revision(await put(first, "a/key", value, last?.revision ?? null));
        if (last === null) created = written;
        changes.push({ revision: written, entry: { key: "a/key", value, revision: written, created } });
        await make(second, `a/key/${written}`, "other");
      }
      assertEquals(await second.history("a/key", CALL), { changes, complete: true });
    },
  );

  test("history() of a key that is gone ends with its removal", async (store) => {
    const made = await make(store, "a/key", "1");
    const removed = await remove(store, "a/key");
    await make(store, "other", "1");
    const history = await store.history("a/key", CALL);
    assertEquals(history.changes.map(({ revision }) => revision), [made, removed]);
    assertEquals(history.changes.map(({ entry }) => entry?.value ?? null), ["1", null]);
    assert(history.complete);
  });

  test("history() has the last of many changes", async (store) => {
    const count = await rewrite(store, "a/key", 150);
    const { changes, complete } = await store.history("a/key", CALL);
    assertEquals(
      changes.map(({ entry }) => entry?.value),
      Array.from({ length: count }, (_, i) => String(i)),
    );
    assert(changes.every(({ revision }, index) => isBefore(changes[index - 1]?.revision ?? "0", revision)));
    assert(complete);
    for (const last of [1, 2, 20, 149]) {
      const newest = await store.history("a/key", { ...CALL, last });
      assertEquals(newest.changes, changes.slice(-newest.changes.length));
      assert(newest.changes.length >= last && newest.changes.length <= last * 1.5);
      assertEquals([newest.complete, newest.leftOut], [false, true]);
    }
    for (const last of [150, 1_000]) {
      assertEquals(await store.history("a/key", { ...CALL, last }), { changes, complete });
    }
  });
}

function rangeContract(test: ContractTest): void {
  test(
    "watch() of a range tells of each of its keys, in order, and of nothing outside",
    async (first, second) => {
      const { revision: now } = await first.view([], CALL);
      await using watch = watching(first, PLACES, now);
      const a = await make(second, "q/1/a", "1");
      for (const key of ["q", "q/", "q/0", "q/1", "q/10", "q/2/a", "r"]) await make(second, key, "other");
      const b = await make(first, "q/1/b", "1");
      const again = revision(await put(second, "q/1/a", "2", a));
      const gone = await remove(second, "q/1/b");
      const written = [{ key: "q/1/c", value: "1" }, { key: "q/1/d", value: "1" }];
      const both = revision(await second.commit({ expect: [], put: written, remove: ["q/1/a"] }, CALL));
      await make(second, "q/2", "other");
      const end = await make(second, "q/1/end", "1");
      const told: Told[] = [];
      while (told.at(-1)?.revision !== end) told.push(await watch.changed());
      // a store that tells only what has become of a key may have missed that it came and went
      const all: Told[] = [
        changed("q/1/a", "1", a, a),
        changed("q/1/b", "1", b, b),
        changed("q/1/a", "2", again, a),
        { kind: "changed", key: "q/1/b", entry: null, revision: gone },
        changed("q/1/c", "1", both, both),
        changed("q/1/d", "1", both, both),
        changed("q/1/end", "1", end, end),
      ];
      for (const change of told) {
        assert(change.entry === null || all.map(inWords).includes(inWords(change)), inWords(change));
        assert(change.key.startsWith("q/1/"), change.key);
      }
      const revisions = told.map(({ revision }) => revision);
      assert(
        revisions.every((revision, at) => !isBefore(revision, revisions[at - 1] ?? "0")),
        `${revisions}`,
      );
      const last = new Map(told.map(({ key, entry }) => [key, entry?.value ?? null]));
      assertEquals(["a", "b", "c", "d"].map((name) => last.get(`q/1/${name}`) ?? null), [
        null,
        null,
        "1",
        "1",
      ]);
    },
  );

  test(
    "watch() of a range tells change after change what each key is, and when it is gone",
    async (first, second) => {
      const a = await make(first, "q/1/a", "1");
      const lease = await second.lease(60_000, () => {}, CALL);
      await using watch = watching(first, PLACES);
      assertEquals(await watch.next(), { kind: "missed" });
      const b = await make(second, "q/1/b", "1", lease.id);
      assertEquals(await watch.changed(), changed("q/1/b", "1", b, b));
      const again = revision(await put(second, "q/1/a", "2", a));
      assertEquals(await watch.changed(), changed("q/1/a", "2", again, a));
      const removed = await remove(second, "q/1/a");
      assertEquals(await watch.changed(), { kind: "changed", key: "q/1/a", entry: null, revision: removed });
      const anew = await make(second, "q/1/a", "3");
      assertEquals(await watch.changed(), changed("q/1/a", "3", anew, anew));
      await lease.end(CALL);
      const { key, entry } = await watch.changed();
      assertEquals([key, entry], ["q/1/b", null]);
    },
  );

  test(
    "watch() of a range tells of every key that goes with a lease that nobody keeps alive",
    async (first, second) => {
      const lease = await second.lease(1000, () => {}, CALL);
      for (const key of ["q/1/a", "q/1/b", "q/2/a"]) await make(second, key, "1", lease.id);
      await make(second, "q/1/stays", "1");
      const { revision: now } = await first.view([], CALL);
      await using watch = watching(first, PLACES, now);
      lease.abandon();
      const told = [await watch.changed(), await watch.changed()];
      assertEquals(told.map(({ key, entry }) => [key, entry]).sort(), [["q/1/a", null], ["q/1/b", null]]);
      assertEquals((await first.list("q/1/", CALL)).map(({ key }) => key), ["q/1/stays"]);
    },
  );

  test(
    "watch() of a range behind a revision tells what has come since, or that it missed it",
    async (first, second) => {
      const one = await make(first, "q/1/a", "1");
      const two = await make(second, "q/1/b", "1");
      const gone = await remove(second, "q/1/a");
      await using watch = watching(first, PLACES, one);
      const since = await watch.next();
      if (since.kind === "changed") {
        assertEquals(since, changed("q/1/b", "1", two, two));
        assertEquals(await watch.next(), { kind: "changed", key: "q/1/a", entry: null, revision: gone });
      }
      const three = await make(second, "q/1/c", "1");
      assertEquals(await watch.changed(), changed("q/1/c", "1", three, three));
    },
  );

  test("watch() of a range and of one of its keys tell both", async (first, second) => {
    const { revision: now } = await first.view([], CALL);
    await using range = watching(first, PLACES, now);
    await using key = watching(first, "q/1/a", now);
    const made = await make(second, "q/1/a", "1");
    assertEquals(await range.changed(), changed("q/1/a", "1", made, made));
    assertEquals(await key.changed(), changed("q/1/a", "1", made, made));
  });
}

function inWords({ key, entry, revision }: Told): string {
  return `${revision} ${key}: ${entry?.value} of ${entry?.revision}, made by ${entry?.created}`;
}

async function rewrite(store: Store, key: string, count: number): Promise<number> {
  let last: string | null = null;
  for (let turn = 0; turn < count; turn++) last = revision(await put(store, key, String(turn), last));
  return count;
}

function told(value: string, revision: string, created: string): Change {
  return changed("a/key", value, revision, created);
}

function changed(key: string, value: string, revision: string, created: string): Told {
  return { kind: "changed", key, entry: { key, value, revision, created }, revision };
}
