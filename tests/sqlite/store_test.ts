import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { openSqlite } from "../../lib/sqlite/store.ts";
import { Lock } from "../../lib/lock.ts";
import { placeKey } from "../../lib/queue.ts";
import { GRANTED } from "../../lib/semaphore.ts";
import { type Store, StoreError } from "../../lib/store.ts";
import { REAL } from "../../lib/surroundings.ts";
import { Waiter } from "../../lib/waiter.ts";
import { storeContract } from "../contract/contract.ts";
import { CALL, make, put, remove, revision, signal, watching } from "../contract/kit.ts";
import { leashed, leashedDeno } from "../support/child.ts";

storeContract("openSqlite()", async () => {
  const place = await folder();
  return {
    open: () => Promise.resolve(openSqlite(place.file)),
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  };
});

Deno.test("openSqlite() makes the file once when many processes open it at the same time", async () => {
  await using place = await folder();
  const script = `
    import { openSqlite } from ${JSON.stringify(new URL("../../lib/sqlite/store.ts", import.meta.url).href)};
    const call = { timeoutMs: 20_000 };
    await Deno.stdin.read(new Uint8Array(1));
    const store = openSqlite(${JSON.stringify(place.file)});
    for (let done = 0; done < 20;) {
      const entry = await store.read("a/key", call);
      const value = String(Number(entry?.value ?? 0) + 1);
      const expect = [{ key: "a/key", revision: entry?.revision ?? null }];
      const { kind } = await store.commit({ expect, put: [{ key: "a/key", value }] }, call);
      if (kind === "committed") done++;
      if (kind === "unknown") throw new Error("unknown");
    }
    await store.close();
  `;
  const children = Array.from({ length: 4 }, () => run(script));
  for (const child of children) await child.stdin.getWriter().close();
  for (const child of children) assertEquals((await child.status).code, 0);
  const store = openSqlite(place.file);
  const entry = await store.read("a/key", CALL);
  assertEquals([entry?.value, entry?.revision, entry?.created], ["80", "80", "1"]);
  assertEquals((await store.history("a/key", CALL)).changes.length, 80);
  await store.close();
});

Deno.test("openSqlite() leaves a file of another program or of a newer version as it is", async () => {
  await using place = await folder();
  for (
    const [file, schema, why] of [
      [
        "other",
        "CREATE TABLE theirs (x)",
        "it is not a locksmith database: it has a table of another program",
      ],
      [
        "newer",
        "CREATE TABLE entry (key); PRAGMA user_version = 1000",
        "it was made by a newer version of locksmith",
      ],
    ] as const
  ) {
    const path = `${place.dir}/${file}`;
    sql(path, schema);
    const before = sql(path, "", "SELECT name, sql FROM sqlite_schema");
    const store = openSqlite(path);
    const error = await assertRejects(() => store.read("a/key", CALL), StoreError);
    assertEquals(error.message, `cannot read a/key in sqlite:${path}: ${why}`);
    const refused = await assertRejects(() => put(store, "a/key", "1", null), StoreError);
    assertEquals(refused.message, `cannot commit in sqlite:${path}: ${why}`, "nothing can have happened");
    await store.close();
    assertEquals(sql(path, "", "SELECT name, sql FROM sqlite_schema"), before);
  }
});

Deno.test("openSqlite() makes no file for a look, and finds nothing where there is none", async () => {
  await using place = await folder();
  const store = openSqlite(place.file);
  const range = { from: "a", to: "b" };
  assertEquals(await store.read("a/key", CALL), null);
  assertEquals(await store.list("", CALL), []);
  assertEquals(await store.view([{ range }, { range }], CALL), { revision: "0", found: [[], []] });
  assertEquals(await store.history("a/key", CALL), { changes: [], complete: true });
  await using watch = watching(store, "a/key", "0");
  assertEquals(await watch.next(), { kind: "missed" });
  assertEquals([...Deno.readDirSync(place.dir)], []);
  const made = await make(store, "a/key", "1");
  assertEquals((await watch.changed()).revision, made);
  await store.close();
  const closed = await assertRejects(() => store.read("a/key", CALL), StoreError);
  assertEquals(closed.message, `cannot read a/key in sqlite:${place.file}: the store is closed`);
});

Deno.test("a key is gone for every reader when its lease has expired, before anybody writes", async () => {
  await using place = await folder();
  const store = openSqlite(place.file);
  const lease = await store.lease(60_000, () => {}, CALL);
  const made = await make(store, "q/a", "1", lease.id);
  await using watch = watching(store, "q/a", made);
  sql(place.file, "UPDATE lease SET expires_ms = 0");
  assertEquals(await store.read("q/a", CALL), null);
  assertEquals(await store.list("q/", CALL), []);
  const range = { from: "q/", to: "q0" };
  assertEquals(await store.view([{ range }], CALL), { revision: made, found: [[]] });
  assertEquals((await watch.next()).kind, "missed");
  assertEquals(sql(place.file, "", "SELECT key FROM entry").length, 1);
  const other = await make(store, "other", "1");
  // its removal was a change of its own
  assertEquals(Number(other), Number(made) + 2);
  assertEquals(sql(place.file, "", "SELECT key FROM entry"), [{ key: "other" }]);
  assertEquals(sql(place.file, "", "SELECT id FROM lease"), []);
  await store.close();
});

Deno.test("who waits behind a place whose lease expires goes on, though nobody commits", async () => {
  await using place = await folder();
  const store = openSqlite(place.file);
  const lease = await store.lease(60_000, () => {}, CALL);
  await make(store, placeKey("web", 0, "gone"), "{}", lease.id);
  const { give: wait, given: waiting } = signal("the wait");
  const { give: grant, given: granted } = signal("the grant");
  const request = {
    waits: { id: "b", bootId: "1", hostname: "b" },
    hold: { host: "b", boot: "1", by: "locksmithd", phase: GRANTED, grant: "g", extra: {} },
    priority: 0,
    overdueMs: 60_000,
    lookMs: Infinity,
  };
  const lock = new Lock(store, "web", REAL, "locksmithd");
  const ended = new Waiter(lock, request, ({ kind }) => kind === "granted" ? grant() : wait()).start();
  await waiting;
  sql(place.file, "UPDATE lease SET expires_ms = 0 WHERE id = (SELECT min(id) FROM lease)");
  await granted;
  await ended;
  await store.close();
});

Deno.test("lease() is lost, once, when it has expired by the clock of the host", async () => {
  await using place = await folder();
  const store = openSqlite(place.file);
  const { give, given } = signal("the loss of the lease");
  let losses = 0;
  const lease = await store.lease(600, () => {
    losses++;
    give();
  }, CALL);
  sql(place.file, "UPDATE lease SET expires_ms = 0");
  await given;
  await lease.end(CALL);
  await store.close();
  assertEquals(losses, 1);
});

Deno.test("lease() is lost when another process has kept the file locked for its time to live", async () => {
  await using place = await folder();
  const store = openSqlite(place.file);
  const { give, given } = signal("the loss of the lease");
  const begunMs = performance.now();
  await store.lease(900, give, CALL);
  const other = new DatabaseSync(place.file);
  other.exec("BEGIN IMMEDIATE");
  await given;
  assert(performance.now() - begunMs >= 890);
  other.close();
  await store.close();
});

Deno.test("commit() is unknown when another process keeps the file locked", async () => {
  await using place = await folder();
  const store = openSqlite(place.file);
  const made = await make(store, "a/key", "1");
  const other = new DatabaseSync(place.file);
  other.exec("BEGIN IMMEDIATE");
  const outcome = await store.commit({ expect: [], put: [{ key: "a/key", value: "2" }] }, { timeoutMs: 200 });
  assertEquals(outcome.kind === "unknown" && outcome.cause.kind, "timeout");
  // a look needs no lock
  assertEquals((await store.read("a/key", CALL))?.revision, made);
  other.close();
  await store.close();
});

Deno.test("history() keeps the last 1,000 changes of a key, and is not complete then", async () => {
  await using place = await folder();
  const store = openSqlite(place.file);
  await make(store, "a/key", "0");
  // as fast as it goes: what is synced is not asked here
  for (let turn = 1; turn < 1000; turn++) await write(store, "a/key", String(turn));
  assertEquals((await store.history("a/key", CALL)).complete, true);
  await write(store, "a/key", "1000");
  const { changes, complete } = await store.history("a/key", CALL);
  assertEquals(
    changes.map(({ entry }) => entry?.value),
    Array.from({ length: 1000 }, (_, i) => String(i + 1)),
  );
  assertEquals(complete, false);
  await store.close();
});

Deno.test("history() has nothing of a key that stands under a lease", async () => {
  await using place = await folder();
  const store = openSqlite(place.file);
  const lease = await store.lease(60_000, () => {}, CALL);
  await make(store, "a/key", "1");
  await store.commit({ expect: [], put: [{ key: "a/key", value: "2", lease: lease.id }] }, CALL);
  assertEquals(await store.history("a/key", CALL), { changes: [], complete: false });
  const three = await write(store, "a/key", "3");
  const { changes, complete } = await store.history("a/key", CALL);
  assertEquals([changes.map(({ revision }) => revision), complete], [[three], false]);
  await remove(store, "a/key");
  assertEquals((await store.history("a/key", CALL)).changes.length, 2);
  await make(store, "q/a", "1", lease.id);
  await lease.end(CALL);
  assertEquals(sql(place.file, "", "SELECT DISTINCT key FROM past"), [{ key: "a/key" }]);
  await store.close();
});

Deno.test("commit() is on the disk when it has answered: each waits for a sync of its own", async () => {
  await using place = await folder();
  const commits = 20;
  const script = `
    import { openSqlite } from ${JSON.stringify(new URL("../../lib/sqlite/store.ts", import.meta.url).href)};
    const store = openSqlite(${JSON.stringify(place.file)});
    for (let left = ${commits}; left > 0; left--) {
      await store.commit({ expect: [], put: [{ key: "a/key", value: "1" }] }, { timeoutMs: 20_000 });
    }
    await store.close();
  `;
  const traced = `${place.dir}/syncs`;
  const strace = ["-f", "-qq", "-o", traced, "-e", "trace=fsync,fdatasync", Deno.execPath()];
  const { code, stderr } = await leashed("strace", { args: [...strace, ...words(script)], stderr: "piped" })
    .output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  const syncs = (await Deno.readTextFile(traced)).match(/f(?:data)?sync\(/g)?.length ?? 0;
  // without them only the beginning and the end of the file are synced
  assert(syncs >= commits, `${syncs} syncs`);
});

Deno.test("close() lets the process end, with a watch and a lease", async () => {
  await using place = await folder();
  const child = run(`
    import { openSqlite } from ${JSON.stringify(new URL("../../lib/sqlite/store.ts", import.meta.url).href)};
    const store = openSqlite(${JSON.stringify(place.file)});
    await store.lease(60_000, () => {}, { timeoutMs: 5000 });
    await new Promise((resolve) => store.watch({ from: "a", to: "b" }, resolve));
    await store.close();
  `);
  await child.stdin.close();
  const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
  assertEquals((await child.status).code, 0);
  clearTimeout(timer);
});

interface Folder extends AsyncDisposable {
  readonly dir: string;
  readonly file: string;
}

async function folder(): Promise<Folder> {
  const dir = await Deno.makeTempDir({ prefix: "locksmith-sqlite-" });
  return {
    dir,
    file: `${dir}/store.db`,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

/** What another program does with the file. */
function sql(file: string, statements: string, query?: string): Record<string, unknown>[] {
  const database = new DatabaseSync(file);
  try {
    database.exec(statements);
    return query === undefined ? [] : database.prepare(query).all().map((row) => ({ ...row }));
  } finally {
    database.close();
  }
}

async function write(store: Store, key: string, value: string): Promise<string> {
  return revision(await store.commit({ expect: [], put: [{ key, value }] }, CALL));
}

/** A process of its own that runs this. */
function run(script: string): Deno.ChildProcess {
  return leashedDeno(words(script), { stdin: "piped" }).spawn();
}

function words(script: string): string[] {
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const flags = ["--quiet", "--no-lock", "--no-check", `--config=${config}`, "--allow-all"];
  return ["run", ...flags, `data:application/typescript,${encodeURIComponent(script)}`];
}

Deno.test("openSqlite() does not take a path that leads nowhere for a store that nobody has used yet", async () => {
  const store = openSqlite("/nowhere-at-all/locksmith.db");
  const error = await assertRejects(() => store.read("a/key", CALL), StoreError);
  assertEquals(
    error.message,
    "cannot read a/key in sqlite:/nowhere-at-all/locksmith.db: unable to open the file: there is no directory /nowhere-at-all/",
  );
  assertEquals(error.hint, "the file and its directory must exist and be writable by this user");
  await store.close();
});
