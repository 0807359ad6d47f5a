/** The contract of a store: what was created when, views, ranges as expectations, removal, and reading in a commit. */

import { assert, assertEquals } from "@std/assert";
import { exactly, isBefore, type Query, type Store } from "../../lib/store.ts";
import { below, CALL, type ContractTest, make, put, remove, revision } from "./kit.ts";

export function viewContract(test: ContractTest): void {
  test("isBefore() orders the revisions of commits, also from 9 to 10 and from 99 to 100", async (store) => {
    let last = await make(store, "a/key", "0");
    for (let turn = 1; turn <= 105; turn++) {
      const next = revision(await put(store, "a/key", String(turn), last));
      assert(isBefore(last, next) && !isBefore(next, last) && !isBefore(next, next), `${last} and ${next}`);
      last = next;
    }
  });

  test("read() tells when a key was created: the same after it was written over", async (store) => {
    const created = await make(store, "a/key", "1");
    const written = revision(await put(store, "a/key", "2", created));
    const entry = { key: "a/key", value: "2", revision: written, created };
    assertEquals(await store.read("a/key", CALL), entry);
    assertEquals(await store.list("a/", CALL), [entry]);
  });

  test("read() tells a new creation after the key was removed", async (store) => {
    const first = await make(store, "a/key", "1");
    await remove(store, "a/key");
    const second = await make(store, "a/key", "2");
    assert(isBefore(first, second));
    assertEquals((await store.read("a/key", CALL))?.created, second);
  });

  test("view() answers several queries, in their order, with the last revision", async (store) => {
    const a = await make(store, "p/a", "1");
    const b = await make(store, "p/b", "2");
    const other = await make(store, "other", "3");
    const queries = [{ range: exactly("other") }, { range: below("nothing/") }, { range: below("p/") }];
    assertEquals(await store.view(queries, CALL), {
      revision: other,
      found: [
        [{ key: "other", value: "3", revision: other, created: other }],
        [],
        [
          { key: "p/a", value: "1", revision: a, created: a },
          { key: "p/b", value: "2", revision: b, created: b },
        ],
      ],
    });
  });

  test("view() of an empty store finds nothing, and a watch can begin at its revision", async (store) => {
    const { revision: before, found } = await store.view([{ range: below("") }], CALL);
    assertEquals(found, [[]]);
    assert(isBefore(before, await make(store, "a/key", "1")));
  });

  test("view() sees two keys that are always written together as of one moment", async (first, second) => {
    const both = (store: Store, value: string) =>
      store.commit({ expect: [], put: [{ key: "left", value }, { key: "right", value }] }, CALL);
    await both(first, "0");
    const writing = (async () => {
      for (let turn = 1; turn <= 50; turn++) await both(first, String(turn));
    })();
    let value: string | undefined = "";
    while (value !== "50") {
      const { found } = await second.view([{ range: exactly("left") }, { range: exactly("right") }], CALL);
      value = found[0]?.[0]?.value;
      assertEquals(found[1]?.[0]?.value, value);
    }
    await writing;
  });

  test("view() bounds a range by its ends, with the first and without the last", async (store) => {
    for (const key of ["a", "b", "b\u0001", "b/1", "c", "\u{1f512}"]) await make(store, key, key);
    const keys = async (from: string, to: string) => await found(store, { range: { from, to } });
    assertEquals(await keys("b", "c"), ["b", "b\u0001", "b/1"]);
    assertEquals(await keys("b", "b\0"), ["b"]);
    assertEquals(await keys("", "b"), ["a"]);
    assertEquals(await keys("c", "\u{1f513}"), ["c", "\u{1f512}"]);
    for (const to of ["b", "a", "", "\0"]) assertEquals(await keys("b", to), []);
  });

  test("view() orders by key or by creation, from both ends, and keeps to a limit", async (store) => {
    for (const key of ["q/b", "q/c", "q/a", "q/d"]) await make(store, key, "1");
    // a later write is no later creation
    await store.commit({ expect: [], put: [{ key: "q/b", value: "2" }] }, CALL);
    const range = below("q/");
    const descending = true;
    assertEquals(await found(store, { range }), ["q/a", "q/b", "q/c", "q/d"]);
    assertEquals(await found(store, { range, order: "key", descending }), ["q/d", "q/c", "q/b", "q/a"]);
    assertEquals(await found(store, { range, order: "created" }), ["q/b", "q/c", "q/a", "q/d"]);
    assertEquals(await found(store, { range, order: "created", descending, limit: 2 }), ["q/d", "q/a"]);
    assertEquals(await found(store, { range, limit: 1 }), ["q/a"]);
    assertEquals(await found(store, { range, limit: 9 }), ["q/a", "q/b", "q/c", "q/d"]);
    assertEquals(await found(store, { range, limit: 0 }), []);
  });

  test("view() finds who came before: the last that was created before a revision", async (store) => {
    const range = below("q/");
    const one = await make(store, "q/x", "1");
    const two = await make(store, "q/m", "1");
    await put(store, "q/x", "2", one);
    const three = await make(store, "q/a", "1");
    const before = (createdBefore: string) =>
      found(store, { range, createdBefore, order: "created", descending: true, limit: 1 });
    assertEquals(await before(three), ["q/m"]);
    assertEquals(await before(two), ["q/x"]);
    assertEquals(await before(one), []);
    assertEquals(await before("1"), []);
    assertEquals(await before("0"), []);
  });

  test("commit() that expects no earlier key holds for the first in line, and for nobody else", async (store) => {
    const first = await make(store, "q/z", "1");
    const second = await make(store, "q/a", "1");
    assertEquals(await stepUp(store, "q/a", second), "refused");
    assertEquals(await store.read("done", CALL), null);
    assertEquals(await stepUp(store, "q/z", first), "committed");
    await remove(store, "q/z");
    assertEquals(await stepUp(store, "q/a", second), "committed");
  });

  test("commit() that expects no earlier key is not disturbed by later ones, nor by other ranges", async (store) => {
    await make(store, "p/older", "1");
    const mine = await make(store, "q/m", "1");
    for (const key of ["q/a", "q/z", "r/newer"]) await make(store, key, "1");
    await store.commit({ expect: [], put: [{ key: "q/m", value: "written again" }] }, CALL);
    assertEquals(await stepUp(store, "q/m", mine), "committed");
  });

  test("commit() that expects no earlier key holds for a range without keys", async (store) => {
    const revision = await make(store, "a/key", "1");
    for (const noneCreatedBefore of [revision, "1", "0"]) {
      const outcome = await store.commit({
        expect: [{ range: below("q/"), noneCreatedBefore }],
        put: [{ key: "done", value: noneCreatedBefore }],
      }, CALL);
      assertEquals(outcome.kind, "committed");
    }
  });

  test("commit() compares each of several ranges, with and without keys", async (store) => {
    const mine = await make(store, "q/m", "1");
    const outcome = async (...names: string[]) =>
      (await store.commit({
        expect: names.map((name) => ({ range: below(name), noneCreatedBefore: mine })),
        put: [{ key: "done", value: "1" }],
      }, CALL)).kind;
    assertEquals(await outcome("none/", "q/", "nor/"), "committed");
    const later = await make(store, "r/later", "1");
    assertEquals(await outcome("none/", "r/", "q/"), "committed");
    const laterStill = { range: below("q/"), noneCreatedBefore: later };
    const refused = await store.commit({
      expect: [{ range: below("none/"), noneCreatedBefore: mine }, laterStill],
      put: [],
    }, CALL);
    assertEquals(refused.kind, "refused");
  });

  test("commit() that expects a range without keys is refused when there is one", async (store) => {
    const enter = () =>
      store.commit({
        expect: [{ range: below("q/"), noneCreatedBefore: null }],
        put: [{ key: "q/only", value: "1" }],
      }, CALL);
    assertEquals((await enter()).kind, "committed");
    assertEquals((await enter()).kind, "refused");
    await remove(store, "q/only");
    assertEquals((await enter()).kind, "committed");
  });

  test("commit() removes keys and writes others together, or does neither", async (store) => {
    const a = await make(store, "a", "1");
    await make(store, "b", "1");
    const swap = (expected: string) =>
      store.commit({
        expect: [{ key: "a", revision: expected }],
        put: [{ key: "c", value: "1" }],
        remove: ["a", "b", "never there"],
      }, CALL);
    assertEquals((await swap("0")).kind, "refused");
    assertEquals((await store.list("", CALL)).map(({ key }) => key), ["a", "b"]);
    assertEquals((await swap(a)).kind, "committed");
    assertEquals((await store.list("", CALL)).map(({ key }) => key), ["c"]);
    assertEquals(await store.read("a", CALL), null);
  });

  test("commit() answers what there is after its writes", async (store) => {
    const queue = { range: below("q/"), order: "created" } as const;
    const earlier = await make(store, "q/z", "1");
    await make(store, "gone", "1");
    const outcome = await store.commit({
      expect: [{ key: "q/a", revision: null }],
      put: [{ key: "q/a", value: "mine" }],
      remove: ["gone"],
      read: [queue, { range: exactly("gone") }],
    }, CALL);
    const mine = revision(outcome);
    assertEquals(outcome, {
      kind: "committed",
      revision: mine,
      found: [
        [
          { key: "q/z", value: "1", revision: earlier, created: earlier },
          { key: "q/a", value: "mine", revision: mine, created: mine },
        ],
        [],
      ],
    });
  });

  test("commit() that is refused answers what there is in place of its writes", async (store) => {
    const there = await make(store, "a/key", "theirs");
    const last = await make(store, "other", "1");
    for (
      const expect of [
        [{ key: "a/key", revision: null }],
        [{ range: below("a/"), noneCreatedBefore: null }],
        [{ range: below("a/"), noneCreatedBefore: last }],
      ]
    ) {
      const outcome = await store.commit({
        expect,
        put: [{ key: "a/key", value: "mine" }],
        read: [{ range: exactly("a/key") }, { range: below("nothing/") }],
      }, CALL);
      assertEquals(outcome, {
        kind: "refused",
        revision: last,
        found: [[{ key: "a/key", value: "theirs", revision: there, created: there }], []],
      });
    }
  });

  test("commit() answers `readRefused` where it is refused, and only there", async (store) => {
    const there = await make(store, "a/key", "theirs");
    const other = await make(store, "other", "1");
    const swap = (expected: string) =>
      store.commit({
        expect: [{ key: "a/key", revision: expected }],
        put: [{ key: "a/key", value: "mine" }],
        read: [{ range: exactly("other") }],
        readRefused: [{ range: below("nothing/") }, { range: exactly("a/key") }],
      }, CALL);
    assertEquals(await swap("0"), {
      kind: "refused",
      revision: other,
      found: [[], [{ key: "a/key", value: "theirs", revision: there, created: there }]],
    });
    const outcome = await swap(there);
    assertEquals(outcome, {
      kind: "committed",
      revision: revision(outcome),
      found: [[{ key: "other", value: "1", revision: other, created: other }]],
    });
    assertEquals((await store.read("a/key", CALL))?.revision, revision(outcome));
  });

  test("commit() of nothing proves its expectations", async (store) => {
    const there = await make(store, "a/key", "1");
    const proof = (expected: string) =>
      store.commit({ expect: [{ key: "a/key", revision: expected }], put: [] }, CALL);
    assertEquals(await proof(there), { kind: "committed", revision: there, found: [] });
    assertEquals(await proof("0"), { kind: "refused", revision: there, found: [] });
  });
}

async function found(store: Store, query: Query): Promise<string[]> {
  return (await store.view([query], CALL)).found[0]?.map(({ key }) => key) ?? [];
}

/** What the first in line does: a commit that holds while nobody in the queue came earlier. */
async function stepUp(store: Store, key: string, created: string): Promise<string> {
  const { kind } = await store.commit({
    expect: [{ range: below("q/"), noneCreatedBefore: created }],
    put: [{ key: "done", value: key }],
  }, CALL);
  return kind;
}
