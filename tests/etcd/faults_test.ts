import { assert, assertEquals, assertRejects } from "@std/assert";
import { openEtcd } from "../../lib/etcd/store.ts";
import { type CommitOutcome, exactly, type Store, StoreError } from "../../lib/store.ts";
import { makeCertificates } from "../support/certificates.ts";
import { type EtcdServer, leaderOf, startEtcd, startEtcdCluster } from "../support/etcd.ts";

const CALL = { timeoutMs: 10_000 };
const KEY = "coreos.com/key";
/** Begins with the endpoint that is given first. */
const FIRST = { random: () => 0 };

Deno.test("read() says that the connection was refused, at which endpoint, and does not wait", async () => {
  const server = await startEtcd();
  await server[Symbol.asyncDispose]();
  const error = await failedRead(openEtcd({ endpoints: [server.endpoint] }));
  assertEquals(told(error), [
    "unreachable",
    `cannot read "coreos.com/key": ${server.endpoint}: connection refused`,
    "is etcd running there? check --endpoint",
  ]);
});

Deno.test("read() says that a name cannot be resolved", async () => {
  const error = await failedRead(openEtcd({ endpoints: ["http://etcd.invalid:2379"] }));
  assertEquals(told(error), [
    "unreachable",
    'cannot read "coreos.com/key": http://etcd.invalid:2379: the name cannot be resolved',
    "check --endpoint and the DNS settings of this machine",
  ]);
});

Deno.test("read() ends by its deadline when etcd accepts and never answers", async () => {
  await using server = await startEtcd();
  server.freeze();
  const error = await failedRead(openEtcd({ endpoints: [server.endpoint] }), 500);
  assertEquals(told(error), [
    "timeout",
    `cannot read "coreos.com/key": ${server.endpoint}: no answer within 0.5 s`,
    "etcd there is overloaded, frozen or behind a firewall that drops packets",
  ]);
});

Deno.test("read() ends by its deadline when etcd falls silent after it had answered", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  await store.read(KEY, CALL);
  server.freeze();
  assertEquals((await assertRejects(() => store.read(KEY, { timeoutMs: 500 }), StoreError)).kind, "timeout");
  server.thaw();
  assertEquals(await store.read(KEY, CALL), null);
  await store.close();
});

Deno.test("read() names every endpoint that failed, and why", async () => {
  await using frozen = await startEtcd();
  const gone = await startEtcd();
  await gone[Symbol.asyncDispose]();
  frozen.freeze();
  const error = await failedRead(openEtcd({ endpoints: [gone.endpoint, frozen.endpoint], ...FIRST }), 2_000);
  assertEquals(error.kind, "timeout");
  assertEquals(
    rounded(error.message),
    `cannot read "coreos.com/key": ${gone.endpoint}: connection refused; ${frozen.endpoint}: no answer within 2 s`,
  );
});

Deno.test("read() goes on to the next endpoint when one is frozen or gone, and begins there from then on", async () => {
  await using cluster = await startEtcdCluster();
  const [frozen, unused, good] = cluster.members as [EtcdServer, EtcdServer, EtcdServer];
  // The cluster needs its other two members: the one that is gone was never part of it.
  await using alone = await startEtcd();
  await alone.kill();
  const store = openEtcd({ endpoints: [frozen.endpoint, alone.endpoint, good.endpoint], ...FIRST });
  frozen.freeze();
  await leaderOtherThan(frozen, cluster.members);
  assertEquals(await store.read(KEY, CALL), null);
  const before = (await good.requests())["KV/Range"];
  assertEquals(await store.read(KEY, CALL), null);
  assertEquals((await good.requests())["KV/Range"], (before ?? 0) + 1);
  assertEquals((await unused.requests())["KV/Range"], undefined);
  await store.close();
});

Deno.test("read() tells by its deadline that the cluster has no majority", async () => {
  await using cluster = await startEtcdCluster();
  const [first, second, third] = cluster.members as [EtcdServer, EtcdServer, EtcdServer];
  await second.kill();
  await third.kill();
  const error = await failedRead(openEtcd({ endpoints: [first.endpoint] }), 2000);
  assert(["timeout", "unreachable"].includes(error.kind), error.kind);
  assert(error.message.startsWith(`cannot read "coreos.com/key": ${first.endpoint}: `), error.message);
});

Deno.test("commit() without an answer is unknown, and is not sent again", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  await store.read(KEY, CALL);
  server.freeze();
  const outcome = await put(store, "1", null, 500);
  assert(outcome.kind === "unknown");
  assertEquals(told(outcome.cause), [
    "timeout",
    `cannot tell whether the change of "coreos.com/key" was made: ${server.endpoint}: no answer within 0.5 s`,
    "etcd there is overloaded, frozen or behind a firewall that drops packets",
  ]);
  server.thaw();
  await store.read(KEY, CALL);
  assert(((await server.requests())["KV/Txn"] ?? 0) <= 1);
  await store.close();
});

Deno.test("commit() goes to the next endpoint where the first cannot be reached, since nothing has happened there", async () => {
  const gone = await startEtcd();
  await gone[Symbol.asyncDispose]();
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [gone.endpoint, server.endpoint], ...FIRST });
  assertEquals((await put(store, "1", null)).kind, "committed");
  await store.close();
});

Deno.test("commit() that reached no endpoint says that nothing happened", async () => {
  const gone = await startEtcd();
  await gone[Symbol.asyncDispose]();
  const store = openEtcd({ endpoints: [gone.endpoint] });
  assertEquals(told(await assertRejects(() => put(store, "1", null), StoreError)), [
    "unreachable",
    `cannot change "coreos.com/key": ${gone.endpoint}: connection refused`,
    "is etcd running there? check --endpoint",
  ]);
  await store.close();
});

Deno.test("commit() loses and doubles no increment while the leader is killed", async () => {
  await using cluster = await startEtcdCluster();
  const store = openEtcd({ endpoints: cluster.members.map((member) => member.endpoint) });
  const values: number[] = [];
  let leader = await leaderOf(cluster.members);
  for (let turn = 0; turn < 30; turn++) {
    if (turn === 10) await leader.kill();
    // After an unknown outcome only a read tells whether the value is there, as for every user of a store.
    for (;;) {
      const entry = await store.read(KEY, CALL);
      if (Number(entry?.value ?? 0) > turn) break;
      await put(store, String(turn + 1), entry?.revision ?? null);
    }
    values.push(Number((await store.read(KEY, CALL))?.value));
  }
  assertEquals(values, Array.from({ length: 30 }, (_, turn) => turn + 1));
  await store.close();
  leader = await leaderOf(cluster.members.filter((member) => member !== leader));
  assertEquals(await leader.ctl("get", "--write-out=fields", KEY).then(versionOf), 30);
});

Deno.test("openEtcd() says that something else than etcd answers", async () => {
  const abort = new AbortController();
  const { promise, resolve } = Promise.withResolvers<number>();
  const options = {
    hostname: "127.0.0.1",
    port: 0,
    signal: abort.signal,
    onListen: ({ port }: { port: number }) => resolve(port),
  };
  const web = Deno.serve(options, () => new Response("hello", { status: 404 }));
  const endpoint = `http://127.0.0.1:${await promise}`;
  const error = await failedRead(openEtcd({ endpoints: [endpoint] }));
  assertEquals([error.kind, error.message], [
    "failed",
    `cannot read "coreos.com/key": ${endpoint}: not etcd: it answers HTTP status 404`,
  ]);
  abort.abort();
  await web.finished;
});

Deno.test("openEtcd() says that what answers does not speak HTTP/2", async () => {
  await using web = startHttp1();
  const error = await failedRead(openEtcd({ endpoints: [web.endpoint] }));
  assertEquals(told(error), [
    "unreachable",
    `cannot read "coreos.com/key": ${web.endpoint}: the connection broke`,
    "does it speak TLS? if so, use https://",
  ]);
});

Deno.test("list() of more than is taken says how much that is", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const value = "x".repeat(1_400_000);
  for (let index = 10; index < 60; index++) {
    await store.commit({ expect: [], put: [{ key: `large/${index}`, value }] }, CALL);
  }
  assertEquals(told(await assertRejects(() => store.list("large/", CALL), StoreError)), [
    "failed",
    `cannot list "large/": ${server.endpoint}: an answer of 67 MiB is longer than the limit of 64 MiB`,
    undefined,
  ]);
  assertEquals((await store.list("large/1", CALL)).length, 10);
  await store.close();
});

Deno.test("openEtcd() logs in again when etcd has forgotten the login", async () => {
  await using server = await startEtcd({ users: true });
  const store = openEtcd({ endpoints: [server.endpoint], username: "root", password: "root-secret" });
  await store.read(KEY, CALL);
  for (const value of ["1", "2"]) {
    await server.kill();
    await server.start();
    if (value === "1") assertEquals(await store.read(KEY, CALL), null);
    // The first commit after a restart may find the connection broken.
    else await put(store, value, null);
    assertEquals(
      (await put(store, value, (await store.read(KEY, CALL))?.revision ?? null)).kind,
      "committed",
    );
  }
  await store.close();
});

Deno.test("openEtcd() logs in again to an etcd that was restored from a backup", async () => {
  await using server = await startEtcd({ users: true });
  const store = openEtcd({ endpoints: [server.endpoint], username: "root", password: "root-secret" });
  const restore = await server.backUp();
  assertEquals((await put(store, "later", null)).kind, "committed");
  await server.kill();
  await restore();
  await server.start();
  // etcd does not answer to a login that was made at a later index than its own, for as long as anybody waits
  assertEquals(await store.read(KEY, CALL), null);
  assertEquals((await put(store, "again", null)).kind, "committed");
  await store.close();
});

Deno.test("openEtcd() goes straight to etcd, whatever proxy the environment names", async () => {
  await using certificates = await makeCertificates();
  await using plain = await startEtcd();
  await using secure = await startEtcd({ tls: certificates });
  const proxies = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"];
  const before = proxies.map((name) => Deno.env.get(name));
  for (const name of proxies) Deno.env.set(name, "http://127.0.0.1:9");
  try {
    for (const endpoint of [plain.endpoint, secure.endpoint]) {
      const store = openEtcd({ endpoints: [endpoint], ca: certificates.ca.bytes });
      assertEquals(await store.read(KEY, CALL), null);
      await store.close();
    }
  } finally {
    proxies.forEach((name, index) => {
      const value = before[index];
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    });
  }
});

Deno.test("watch() begins when etcd comes up, and lives through its restart", async () => {
  await using server = await startEtcd();
  await server.kill();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const watch = watched(store);
  await server.start();
  await watch.called();
  await server.ctl("put", KEY, "1");
  await watch.until(async () => (await store.read(KEY, CALL))?.value === "1");
  await server.kill();
  await server.start();
  await server.ctl("put", KEY, "2");
  await watch.until(async () => (await store.read(KEY, CALL))?.value === "2");
  await store.close();
});

Deno.test("watch() moves to another server when its own is killed", async () => {
  await using cluster = await startEtcdCluster();
  const store = openEtcd({ endpoints: cluster.members.map((member) => member.endpoint), ...FIRST });
  const watch = watched(store);
  await watch.called();
  const [first, second] = cluster.members as [EtcdServer, EtcdServer, EtcdServer];
  await first.kill();
  await leaderOtherThan(first, cluster.members);
  await second.ctl("put", KEY, "1");
  await watch.until(async () => (await store.read(KEY, CALL))?.value === "1");
  await store.close();
});

Deno.test("watch() moves to another server when its own falls silent", async () => {
  await using cluster = await startEtcdCluster();
  const store = openEtcd({ endpoints: cluster.members.map((member) => member.endpoint), ...FIRST });
  const watch = watched(store);
  await watch.called();
  const [first, second] = cluster.members as [EtcdServer, EtcdServer, EtcdServer];
  first.freeze();
  await leaderOtherThan(first, cluster.members);
  await second.ctl("put", KEY, "1");
  await watch.until(async () => (await store.read(KEY, CALL))?.value === "1");
  await store.close();
});

Deno.test("watch() asks a quiet server for a sign of life, and keeps its stream", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  let calls = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  store.watch(exactly(KEY), () => {
    calls++;
    resolve();
  });
  await promise;
  // Longer than a quiet server is left alone, and its answer waited for.
  await new Promise((resolve) => setTimeout(resolve, 14_000));
  assertEquals(calls, 1);
  assertEquals(await server.requests(), { "Watch/Watch": 1 });
  await store.close();
});

Deno.test("every call of a closed store says so", async () => {
  const store = openEtcd({ endpoints: ["http://127.0.0.1:1"] });
  await store.close();
  const read = await assertRejects(() => store.read("a", CALL), StoreError);
  assertEquals(read.message, 'cannot read "a": the store is closed');
  const list = await assertRejects(() => store.list("a", CALL), StoreError);
  assertEquals(list.message, 'cannot list "a": the store is closed');
  const range = { from: "a", to: "b" };
  const view = await assertRejects(() => store.view([{ range }], CALL), StoreError);
  assertEquals(view.message, 'cannot read "a": the store is closed');
  const history = await assertRejects(() => store.history("a", CALL), StoreError);
  assertEquals(history.message, 'cannot read the history of "a": the store is closed');
  const commit = await assertRejects(() => put(store, "1", null), StoreError);
  assertEquals(commit.message, 'cannot change "coreos.com/key": the store is closed');
});

function put(
  store: Store,
  value: string,
  revision: string | null,
  timeoutMs = CALL.timeoutMs,
): Promise<CommitOutcome> {
  return store.commit({ expect: [{ key: KEY, revision }], put: [{ key: KEY, value }] }, { timeoutMs });
}

async function failedRead(store: Store, timeoutMs = CALL.timeoutMs): Promise<StoreError> {
  try {
    return await assertRejects(() => store.read(KEY, { timeoutMs }), StoreError);
  } finally {
    await store.close();
  }
}

function told(error: StoreError): [string, string, string | undefined] {
  return [error.kind, rounded(error.message), error.hint];
}

/** How long an answer was waited for, in halves of a second: what came before took its part of the time. */
function rounded(message: string): string {
  return message.replace(
    /(?<=no answer within )[\d.]+/,
    (seconds) => String(Math.round(2 * Number(seconds)) / 2),
  );
}

/** A web server that speaks HTTP/1.1 only. */
function startHttp1(): { readonly endpoint: string } & AsyncDisposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serve = async () => {
    for await (const connection of listener) {
      await connection.read(new Uint8Array(1024));
      await connection.write(
        new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
      );
      connection.close();
    }
  };
  const serving = serve();
  return {
    endpoint: `http://127.0.0.1:${listener.addr.port}`,
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving;
    },
  };
}

/** A watch of the key, and the calls it makes. */
function watched(
  store: Store,
): { called(): Promise<void>; until(seen: () => Promise<boolean>): Promise<void> } {
  let unseen = 0;
  let wake = () => {};
  store.watch(exactly(KEY), () => {
    unseen++;
    wake();
  });
  const called = async () => {
    if (unseen === 0) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve, reject) => {
        wake = resolve;
        timer = setTimeout(() => reject(new Error("the watch told nothing for 30 s")), 30_000);
      }).finally(() => clearTimeout(timer));
    }
    unseen = 0;
  };
  return {
    called,
    async until(seen) {
      do {
        await called();
      } while (!await seen());
    },
  };
}

/** Resolves when the others have a leader among them, which they elect when this one is frozen or killed. */
async function leaderOtherThan(server: EtcdServer, members: readonly EtcdServer[]): Promise<void> {
  await leaderOf(members.filter((member) => member !== server));
}

/** How often the key was written, in what `etcdctl get --write-out=fields` prints. */
function versionOf(fields: string): number {
  return Number(/"Version" : (\d+)/.exec(fields)?.[1]);
}
