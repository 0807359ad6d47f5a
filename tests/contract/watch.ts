/** The contract of a store: watches, and the past of a key. */

import { assert, assertEquals } from "@std/assert";
import { type Change, type Entry, isBefore, type Store } from "../../lib/store.ts";
import { CALL, type ContractTest, make, put, remove, revision, until, watching } from "./kit.ts";

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
        assertEquals(since, told("2", two, one));
        assertEquals(await watch.next(), told("3", three, one));
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
    assertEquals(since, told("1", made, made));
    assertEquals(await watch.next(), { kind: "changed", entry: null, revision: removed });
  });

  test("watch() tells that its key was removed, and that it is there again", async (first, second) => {
    await make(first, "a/key", "1");
    await using watch = watching(first, "a/key");
    assertEquals(await watch.next(), { kind: "missed" });
    const removed = await remove(second, "a/key");
    assertEquals(await watch.changed(), { kind: "changed", entry: null, revision: removed });
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
      const watch = first.watch("a/key", (change) => {
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
  });
}

async function rewrite(store: Store, key: string, count: number): Promise<number> {
  let last: string | null = null;
  for (let turn = 0; turn < count; turn++) last = revision(await put(store, key, String(turn), last));
  return count;
}

function told(value: string, revision: string, created: string): Change {
  return { kind: "changed", entry: { key: "a/key", value, revision, created }, revision };
}
