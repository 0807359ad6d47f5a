/** The contract of a store: leases, and the keys that stand under them. */

import { assertEquals } from "@std/assert";
import { exactly, type Store } from "../../lib/store.ts";
import { below, CALL, type ContractTest, make, put, remove, watching } from "./kit.ts";

/** The shortest that every store can do. */
const SHORT_MS = 1000;
/** Short, and kept alive in time on a machine that is busy. */
const KEPT_MS = 2_500;
const LONG_MS = 60_000;

export function leaseContract(test: ContractTest): void {
  test("lease() holds keys like any other, until it ends and takes them along", async (first, second) => {
    const lease = await first.lease(LONG_MS, unexpected, CALL);
    const created = await make(first, "q/a", "1", lease.id);
    await make(first, "q/b", "1", lease.id);
    await make(first, "q/other", "1");
    assertEquals(await second.read("q/a", CALL), { key: "q/a", value: "1", revision: created, created });
    await lease.end(CALL);
    assertEquals(await keys(second), ["q/other"]);
    await lease.end(CALL);
  });

  test("lease() takes its keys along when nobody keeps it alive", async (first, second) => {
    const lease = await first.lease(SHORT_MS, unexpected, CALL);
    const created = await make(first, "q/a", "1", lease.id);
    await make(first, "q/other", "1");
    lease.abandon();
    await using watch = watching(second, "q/a", created);
    await watch.gone();
    assertEquals(await keys(second), ["q/other"]);
    // and its place can be taken as if it had never been
    assertEquals((await put(second, "q/a", "2", null)).kind, "committed");
  });

  test("lease() lives on beyond its time while it is kept alive", async (first, second) => {
    const lease = await first.lease(KEPT_MS, unexpected, CALL);
    const created = await make(first, "kept", "1", lease.id);
    // a lease that nobody keeps alive is the clock
    const clock = await first.lease(KEPT_MS + SHORT_MS, unexpected, CALL);
    const begun = await make(first, "clock", "1", clock.id);
    clock.abandon();
    await using watch = watching(second, "clock", begun);
    await watch.gone();
    assertEquals((await second.read("kept", CALL))?.revision, created);
    await lease.end(CALL);
  });

  test("lease() of a store that was closed is not kept alive", async (first, second) => {
    const lease = await first.lease(SHORT_MS, unexpected, CALL);
    const created = await make(first, "q/a", "1", lease.id);
    await using watch = watching(second, "q/a", created);
    await first.close();
    await watch.gone();
  });

  test("lease() ends alone: others of the same store go on", async (store) => {
    const [one, two] = [
      await store.lease(LONG_MS, unexpected, CALL),
      await store.lease(LONG_MS, unexpected, CALL),
    ];
    await make(store, "q/one", "1", one.id);
    await make(store, "q/two", "1", two.id);
    await one.end(CALL);
    assertEquals(await keys(store), ["q/two"]);
    await two.end(CALL);
    assertEquals(await keys(store), []);
  });

  test("commit() under a lease that has ended is refused, and writes nothing", async (store) => {
    const lease = await store.lease(LONG_MS, unexpected, CALL);
    const there = await make(store, "other", "1");
    await lease.end(CALL);
    const outcome = await store.commit({
      expect: [{ key: "q/a", revision: null }],
      put: [{ key: "plain", value: "1" }, { key: "q/a", value: "1", lease: lease.id }],
      read: [{ range: exactly("other") }, { range: below("q/") }],
    }, CALL);
    assertEquals(outcome.kind === "refused" && outcome.found, [
      [{ key: "other", value: "1", revision: there, created: there }],
      [],
    ]);
    assertEquals(await store.read("plain", CALL), null);
  });

  test("commit() under an ended lease stays refused after new leases were begun", async (store) => {
    const ended = await store.lease(LONG_MS, unexpected, CALL);
    await ended.end(CALL);
    const lease = await store.lease(LONG_MS, unexpected, CALL);
    const under = async (id: string) =>
      (await store.commit({ expect: [], put: [{ key: "q/a", value: "1", lease: id }] }, CALL)).kind;
    assertEquals(await under(ended.id), "refused");
    assertEquals(await under(lease.id), "committed");
    await lease.end(CALL);
  });

  test("commit() over a key without its lease takes the key out of the lease", async (store) => {
    const lease = await store.lease(LONG_MS, unexpected, CALL);
    const created = await make(store, "q/a", "1", lease.id);
    await make(store, "q/b", "1", lease.id);
    await put(store, "q/a", "2", created);
    await lease.end(CALL);
    assertEquals(await keys(store), ["q/a"]);
    assertEquals((await store.read("q/a", CALL))?.created, created);
  });

  test("commit() under a lease takes a key that stood by itself into it", async (store) => {
    const lease = await store.lease(LONG_MS, unexpected, CALL);
    await make(store, "q/a", "1");
    await store.commit({ expect: [], put: [{ key: "q/a", value: "2", lease: lease.id }] }, CALL);
    await lease.end(CALL);
    assertEquals(await keys(store), []);
  });

  test("commit() counts a key that vanished with its lease neither in ranges nor in views", async (store) => {
    const lease = await store.lease(LONG_MS, unexpected, CALL);
    await make(store, "q/a", "1", lease.id);
    const mine = await make(store, "q/b", "1");
    const first = { range: below("q/"), noneCreatedBefore: mine };
    assertEquals((await store.commit({ expect: [first], put: [] }, CALL)).kind, "refused");
    await lease.end(CALL);
    const outcome = await store.commit({ expect: [first], put: [], read: [{ range: below("q/") }] }, CALL);
    assertEquals(outcome.kind, "committed");
    assertEquals(outcome.kind === "committed" && outcome.found[0]?.map(({ key }) => key), ["q/b"]);
  });

  test("commit() removes a key from under its lease, which lives on", async (store) => {
    const lease = await store.lease(LONG_MS, unexpected, CALL);
    await make(store, "q/a", "1", lease.id);
    await remove(store, "q/a");
    assertEquals(await keys(store), []);
    await make(store, "q/a", "2", lease.id);
    await lease.end(CALL);
    assertEquals(await keys(store), []);
  });

  test(
    "watch() tells that a key is gone with its lease, also when that was before it began",
    async (first, second) => {
      const lease = await first.lease(LONG_MS, unexpected, CALL);
      const created = await make(first, "q/a", "1", lease.id);
      await using watch = watching(second, "q/a");
      assertEquals(await watch.next(), { kind: "missed" });
      await lease.end(CALL);
      assertEquals((await watch.changed()).entry, null);
      // a store that does not keep what came and went may say that it cannot tell
      await using late = watching(second, "q/a", created);
      const told = await late.next();
      assertEquals(told.kind === "changed" ? told.entry : null, null);
    },
  );
}

async function keys(store: Store): Promise<string[]> {
  return (await store.list("q/", CALL)).map(({ key }) => key);
}

function unexpected(): void {
  throw new Error("a lease was lost that nobody took");
}
