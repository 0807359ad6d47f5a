/**
 * What every store has promised (lib/store.ts), as tests that any store can be held to. Nothing here knows what keeps
 * the values.
 */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { Store } from "../../lib/store.ts";
import { CALL, type ContractTest, put, revision } from "./kit.ts";
import { leaseContract } from "./lease.ts";
import { viewContract } from "./view.ts";
import { watchContract } from "./watch.ts";

/** A place to keep values, empty, that can be opened more than once at the same time. */
export interface StoreUnderTest extends AsyncDisposable {
  open(): Promise<Store>;
}

/**
 * Registers the tests of the contract for one kind of store.
 *
 * @param name begins the name of each test
 * @param setUp makes an empty place; called once a test
 */
export function storeContract(name: string, setUp: () => Promise<StoreUnderTest>): void {
  const test: ContractTest = (promise, run) =>
    Deno.test(`${name} ${promise}`, async () => {
      await using place = await setUp();
      const first = await place.open();
      const second = await place.open();
      try {
        await run(first, second);
      } finally {
        await first.close();
        await second.close();
      }
    });

  test("read() of a key that nobody wrote is null", async (store) => {
    assertEquals(await store.read("a/key", CALL), null);
  });

  test("read() returns what was committed, with the revision of that commit", async (store) => {
    const outcome = await put(store, "a/key", "value", null);
    assertEquals(await store.read("a/key", CALL), {
      key: "a/key",
      value: "value",
      revision: revision(outcome),
      created: revision(outcome),
    });
  });

  test("read() returns every value as it was written", async (store) => {
    const values = [
      "",
      " ",
      "\u00e9 \u65e5\u672c \u{1f512}",
      'line\nline\ttab "quoted" \\',
      "x".repeat(200_000),
    ];
    for (const [index, value] of values.entries()) await put(store, `values/${index}`, value, null);
    const read = await Promise.all(values.map((_, index) => store.read(`values/${index}`, CALL)));
    assertEquals(read.map((entry) => entry?.value), values);
  });

  test("read() keeps keys apart that only look alike", async (store) => {
    const keys = ["k", "K", "k ", "k/", "k%2F", "\u00e9", "e\u0301", "k*", "k_", "k'"];
    for (const key of keys) await put(store, key, `of ${key}`, null);
    const read = await Promise.all(keys.map((key) => store.read(key, CALL)));
    assertEquals(read.map((entry) => entry?.value), keys.map((key) => `of ${key}`));
  });

  test("read() sees at once what another handle committed", async (first, second) => {
    let expected: string | null = null;
    let created: string | undefined;
    for (let turn = 0; turn < 20; turn++) {
      const [writer, reader] = turn % 2 === 0 ? [first, second] : [second, first];
      expected = revision(await put(writer, "a/key", `turn ${turn}`, expected));
      assertEquals(await reader.read("a/key", CALL), {
        key: "a/key",
        value: `turn ${turn}`,
        revision: expected,
        created: created ??= expected,
      });
    }
  });

  test("commit() that expects no key is refused when there is one", async (store) => {
    await put(store, "a/key", "first", null);
    assertEquals((await put(store, "a/key", "second", null)).kind, "refused");
    assertEquals((await store.read("a/key", CALL))?.value, "first");
  });

  test("commit() that expects the last revision swaps the value", async (store) => {
    const first = await put(store, "a/key", "first", null);
    const second = await put(store, "a/key", "second", revision(first));
    assertNotEquals(revision(second), revision(first));
    assertEquals((await store.read("a/key", CALL))?.value, "second");
  });

  test("commit() that expects an older revision is refused, although the value is the same again", async (store) => {
    const first = revision(await put(store, "a/key", "same", null));
    await put(store, "a/key", "same", first);
    assertEquals((await put(store, "a/key", "third", first)).kind, "refused");
    assertEquals((await store.read("a/key", CALL))?.value, "same");
  });

  test("commit() that expects a revision is refused when the key is gone or was never there", async (store) => {
    const other = revision(await put(store, "other", "value", null));
    assertEquals((await put(store, "a/key", "value", other)).kind, "refused");
    assertEquals(await store.read("a/key", CALL), null);
  });

  test("commit() is not disturbed by changes of keys that it does not name", async (store) => {
    const before = revision(await put(store, "a/key", "first", null));
    await put(store, "b/key", "other", null);
    assertEquals((await put(store, "a/key", "second", before)).kind, "committed");
  });

  test("commit() without expectations writes over what is there", async (store) => {
    await put(store, "a/key", "first", null);
    const outcome = await store.commit({ expect: [], put: [{ key: "a/key", value: "second" }] }, CALL);
    assertEquals(outcome.kind, "committed");
    assertEquals((await store.read("a/key", CALL))?.value, "second");
  });

  test("commit() of several keys writes all of them, under one revision", async (store) => {
    const outcome = await store.commit({
      expect: [{ key: "a", revision: null }, { key: "b", revision: null }],
      put: [{ key: "a", value: "1" }, { key: "b", value: "2" }],
    }, CALL);
    assertEquals(await store.list("", CALL), [
      { key: "a", value: "1", revision: revision(outcome), created: revision(outcome) },
      { key: "b", value: "2", revision: revision(outcome), created: revision(outcome) },
    ]);
  });

  test("commit() of several keys writes none of them when one expectation fails", async (store) => {
    const a = revision(await put(store, "a", "1", null));
    const outcome = await store.commit({
      expect: [{ key: "a", revision: a }, { key: "b", revision: a }],
      put: [{ key: "a", value: "changed" }, { key: "b", value: "new" }, { key: "c", value: "new" }],
    }, CALL);
    assertEquals(outcome.kind, "refused");
    assertEquals(await store.list("", CALL), [{ key: "a", value: "1", revision: a, created: a }]);
  });

  test("commit() may depend on a key that it does not write", async (store) => {
    const guard = revision(await put(store, "guard", "1", null));
    const guarded = (value: string) =>
      store.commit({ expect: [{ key: "guard", revision: guard }], put: [{ key: "a", value }] }, CALL);
    assertEquals((await guarded("first")).kind, "committed");
    await put(store, "guard", "2", guard);
    assertEquals((await guarded("second")).kind, "refused");
    assertEquals((await store.read("a", CALL))?.value, "first");
  });

  test("commit() loses none of 20 increments made at once on two handles", async (first, second) => {
    const increment = async (store: Store): Promise<void> => {
      for (;;) {
        const entry = await store.read("counter", CALL);
        const next = String(Number(entry?.value ?? "0") + 1);
        const outcome = await put(store, "counter", next, entry?.revision ?? null);
        if (outcome.kind === "committed") return;
        assertEquals(outcome.kind, "refused");
      }
    };
    await Promise.all(Array.from({ length: 20 }, (_, index) => increment(index % 2 === 0 ? first : second)));
    assertEquals((await first.read("counter", CALL))?.value, "20");
  });

  test("commit() lets exactly one of many create a key", async (first, second) => {
    const outcomes = await Promise.all(
      Array.from(
        { length: 10 },
        (_, index) => put(index % 2 === 0 ? first : second, "a/key", String(index), null),
      ),
    );
    const won = outcomes.flatMap((outcome, index) => outcome.kind === "committed" ? [String(index)] : []);
    assertEquals(outcomes.filter((outcome) => outcome.kind === "refused").length, 9);
    assertEquals([(await second.read("a/key", CALL))?.value], won);
  });

  test("list() returns the entries below a prefix, ordered by key, and no others", async (store) => {
    for (const key of ["p/b", "p/a", "p", "p/", "p0", "o/z", "q/a", "p/a/x", "P/a"]) {
      await put(store, key, key, null);
    }
    assertEquals((await store.list("p/", CALL)).map((entry) => entry.key), ["p/", "p/a", "p/a/x", "p/b"]);
    assertEquals((await store.list("p/a", CALL)).map((entry) => entry.key), ["p/a", "p/a/x"]);
    assertEquals(await store.list("nothing/", CALL), []);
  });

  test("list() takes a prefix as it is, without wildcards", async (store) => {
    for (const key of ["a%b", "a_b", "axb", "a*b", "a[b", "a?b"]) await put(store, key, key, null);
    for (const prefix of ["a%", "a_", "a*", "a[", "a?"]) {
      assertEquals((await store.list(prefix, CALL)).map((entry) => entry.key), [`${prefix}b`]);
    }
  });

  test("list() returns values and revisions as read() does", async (store) => {
    for (const key of ["p/a", "p/\u00e9", "p/\u{1f512}"]) await put(store, key, `of ${key}`, null);
    const listed = await store.list("p/", CALL);
    assertEquals(listed.length, 3);
    assertEquals(listed, await Promise.all(listed.map((entry) => store.read(entry.key, CALL))));
  });

  test("list() of the empty prefix returns everything", async (store) => {
    for (const key of ["b", "a", "c/d"]) await put(store, key, key, null);
    assertEquals((await store.list("", CALL)).map((entry) => entry.key), ["a", "b", "c/d"]);
  });

  viewContract(test);
  leaseContract(test);
  watchContract(test);

  test("close() may be called twice", async (store) => {
    await put(store, "a/key", "1", null);
    await store.close();
    await store.close();
  });

  test("name says where the values are kept", (store) => {
    assert(store.name.length > 0);
    return Promise.resolve();
  });
}
