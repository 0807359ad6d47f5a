import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { openSqlite } from "../../lib/sqlite/store.ts";
import type { AheadStore, Store, StoreError } from "../../lib/store.ts";
import { CALL, make, revision } from "../contract/kit.ts";
import { unableToKeep } from "../support/failing_disk.ts";

/** A store of its own, which is closed with its file. */
async function opened(): Promise<AsyncDisposable & { readonly store: Store; readonly file: string }> {
  const dir = await Deno.makeTempDir({ prefix: "locksmith-ahead-" });
  const file = `${dir}/store.db`;
  const store = openSqlite(file);
  return {
    store,
    file,
    async [Symbol.asyncDispose]() {
      await store.close();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

function aheadOf(store: Store, lost: (error: StoreError) => void = () => {}): AheadStore {
  const ahead = store.ahead?.(lost);
  assert(ahead !== undefined);
  return ahead;
}

/** How often the file is synced while `work` is done. */
async function syncs(work: () => Promise<unknown>): Promise<number> {
  const { exec } = DatabaseSync.prototype;
  let count = 0;
  DatabaseSync.prototype.exec = function (sql) {
    if (sql === "COMMIT") count++;
    return exec.call(this, sql);
  };
  try {
    await work();
  } finally {
    DatabaseSync.prototype.exec = exec;
  }
  return count;
}

Deno.test("commits that are asked for at once share one sync, and each keeps its outcome, its revision and its place in the history", async () => {
  await using place = await opened();
  const { store } = place;
  const made = await make(store, "a/key", "0");
  const swap = (value: string) =>
    store.commit({ expect: [{ key: "a/key", revision: made }], put: [{ key: "a/key", value }] }, CALL);
  const others = ["b", "c", "d"];
  let kinds: string[] = [];
  const count = await syncs(async () => {
    const outcomes = await Promise.all([swap("1"), swap("2"), ...others.map((key) => make(store, key, "1"))]);
    kinds = outcomes.map((outcome) => typeof outcome === "string" ? "made" : outcome.kind);
  });
  assertEquals([kinds, count], [["committed", "refused", "made", "made", "made"], 1]);
  const entries = await Promise.all(others.map((key) => store.read(key, CALL)));
  assertEquals(entries.map((entry) => Number(entry?.revision) - Number(made)), [2, 3, 4]);
  const { changes } = await store.history("a/key", CALL);
  assertEquals(changes.map(({ entry }) => entry?.value), ["0", "1"]);
});

Deno.test("a commit that fails by itself undoes none of those that it shares a sync with", async () => {
  await using place = await opened();
  const { store } = place;
  await make(store, "a/key", "0");
  const range = { from: "a", to: "b" };
  const wrong = store.commit({
    expect: [],
    put: [{ key: "b", value: "half" }],
    read: [{ range, createdBefore: "no number" }],
  }, CALL);
  const [first, outcome, last] = await Promise.all([make(store, "c", "1"), wrong, make(store, "d", "1")]);
  assertEquals([outcome.kind, Number(last) - Number(first)], ["unknown", 1]);
  assertEquals((await store.list("", CALL)).map(({ key }) => key), ["a/key", "c", "d"]);
});

Deno.test("ahead() answers a commit on which the next builds, and nobody else sees either before both last", async () => {
  await using place = await opened();
  const { store, file } = place;
  const first = await make(store, "a/key", "0");
  const ahead = aheadOf(store);
  const other = openSqlite(file);
  await other.read("a/key", CALL);
  const change = async (before: string, value: string) =>
    revision(
      await ahead.commit(
        { expect: [{ key: "a/key", revision: before }], put: [{ key: "a/key", value }] },
        CALL,
      ),
    );
  const second = await change(first, "1");
  await change(second, "2");
  assertEquals((await store.read("a/key", CALL))?.value, "0", "who looks beside it");
  assertEquals((await other.read("a/key", CALL))?.value, "0", "another process");
  await ahead.lasting();
  assertEquals((await other.read("a/key", CALL))?.value, "2");
  const { changes } = await other.history("a/key", CALL);
  assertEquals(changes.map(({ entry }) => entry?.value), ["0", "1", "2"], "each is told of");
  await other.close();
});

Deno.test("ahead() forgets whatever does not last, says so once before anything else happens, and is of no use from then on", async () => {
  await using place = await opened();
  const { store, file } = place;
  const first = await make(store, "a/key", "0");
  unableToKeep(file, "bad");
  const told: string[] = [];
  const ahead = aheadOf(store, ({ message }) => told.push(message));
  const put = (store: Store, value: string) =>
    store.commit({ expect: [], put: [{ key: "a/key", value }] }, CALL);
  assertEquals((await put(ahead, "good")).kind, "committed");
  const beside = put(store, "beside");
  assertEquals((await put(ahead, "bad")).kind, "committed");
  const why = `cannot commit in ${store.name}: FOREIGN KEY constraint failed`;
  assertEquals((await assertRejects(() => ahead.lasting())).message, why);
  assertEquals(told, [why]);
  const outcome = await beside;
  assertEquals(outcome.kind === "unknown" && outcome.cause.message, why, "it was in the same transaction");
  const entry = await store.read("a/key", CALL);
  assertEquals([entry?.value, entry?.revision], ["0", first]);
  for (const call of [() => put(ahead, "again"), () => ahead.read("a/key", CALL), () => ahead.lasting()]) {
    assertEquals((await assertRejects(call)).message, why);
  }
  const next = aheadOf(store);
  assertEquals((await put(next, "good")).kind, "committed");
  await next.lasting();
  assertEquals((await store.read("a/key", CALL))?.value, "good");
  assertEquals(told.length, 1);
});
