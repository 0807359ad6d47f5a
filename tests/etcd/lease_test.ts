/** What only etcd can do to a lease: be silent, lose members, or let somebody else end it. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { openEtcd } from "../../lib/etcd/store.ts";
import { StoreError } from "../../lib/store.ts";
import { type EtcdServer, startEtcd, startEtcdCluster } from "../support/etcd.ts";
import { CALL, make, signal, watching } from "../contract/kit.ts";

const FIRST = { random: () => 0 };

Deno.test("lease() lives at least as long as asked, in the whole seconds of etcd", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  for (const [ttlMs, seconds] of [[60_000, 60], [60_001, 61], [59_500, 60]] as const) {
    const lease = await store.lease(ttlMs, () => {}, CALL);
    const told = await server.ctl("lease", "timetolive", hex(lease.id));
    assert(told.includes(`granted with TTL(${seconds}s)`), told);
    await lease.end(CALL);
    assert((await server.ctl("lease", "timetolive", hex(lease.id))).includes("already expired"));
  }
  await store.close();
});

Deno.test("lease() is lost, once and at the next sign of life, when somebody else ends it", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const { give, given } = signal("the loss of the lease");
  let losses = 0;
  const lease = await store.lease(6000, () => {
    losses++;
    give();
  }, CALL);
  await server.ctl("lease", "revoke", hex(lease.id));
  const endedMs = performance.now();
  await given;
  const tookMs = performance.now() - endedMs;
  assert(tookMs < 5000, `${tookMs} ms, where a sign of life is due every 2 s`);
  await lease.end(CALL);
  await store.close();
  assertEquals(losses, 1);
});

Deno.test("lease() is lost when etcd has been silent for its time to live, and not before", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const { give, given } = signal("the loss of the lease");
  let losses = 0;
  const begunMs = performance.now();
  await store.lease(2000, () => {
    losses++;
    give();
  }, CALL);
  server.freeze();
  await given;
  const tookMs = performance.now() - begunMs;
  assert(tookMs >= 1990, `${tookMs} ms`);
  server.thaw();
  await store.read("a", CALL);
  await store.close();
  assertEquals(losses, 1);
});

Deno.test("lease() lives through a silence of etcd that is shorter than its time", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const lease = await store.lease(6000, unexpected, CALL);
  const made = await make(store, "a/key", "1", lease.id);
  server.freeze();
  // the silence itself: there is no event in it to wait for
  await new Promise((resolve) => setTimeout(resolve, 2500));
  server.thaw();
  await aWhile(server, 5000);
  assertEquals((await store.read("a/key", CALL))?.revision, made);
  await store.close();
});

Deno.test("lease() is kept alive by another member when its own falls silent", async () => {
  await using cluster = await startEtcdCluster();
  const [first, second] = cluster.members as [EtcdServer, EtcdServer, EtcdServer];
  const store = openEtcd({ endpoints: cluster.members.map((member) => member.endpoint), ...FIRST });
  const lease = await store.lease(9000, unexpected, CALL);
  const made = await make(store, "a/key", "1", lease.id);
  first.freeze();
  await aWhile(second, 10_000);
  assertEquals((await store.read("a/key", CALL))?.revision, made);
  await lease.end(CALL);
  assertEquals(await store.read("a/key", CALL), null);
  await store.close();
});

Deno.test("lease() that etcd cannot grant says why", async () => {
  const gone = await startEtcd();
  await gone[Symbol.asyncDispose]();
  const store = openEtcd({ endpoints: [gone.endpoint] });
  const error = await assertRejects(() => store.lease(5000, unexpected, CALL), StoreError);
  assertEquals([error.kind, error.message], [
    "unreachable",
    `cannot begin a lease: ${gone.endpoint}: connection refused`,
  ]);
  await store.close();
  const closed = await assertRejects(() => store.lease(5000, unexpected, CALL), StoreError);
  assertEquals(closed.message, "cannot begin a lease: the store is closed");
});

Deno.test("lease() ends by its deadline, though nobody hears of it, and is not lost then", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const lease = await store.lease(2000, unexpected, CALL);
  server.freeze();
  await lease.end({ timeoutMs: 300 });
  lease.abandon();
  server.thaw();
  await aWhile(server, 3000);
  await store.close();
});

Deno.test("view() and commit() are one Txn each, whatever they hold", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const range = { from: "q/", to: "q0" };
  await store.view([{ range }, { range, createdBefore: "5", order: "created" }], CALL);
  assertEquals(await server.requests(), { "KV/Txn": 1 });
  const lease = await store.lease(60_000, unexpected, CALL);
  const mine = await make(store, "q/a", "1", lease.id);
  assertEquals(await server.requests(), { "KV/Txn": 2, "Lease/LeaseGrant": 1 });
  const transaction = (key: string) => ({
    expect: [{ key, revision: mine }, { range, noneCreatedBefore: mine }],
    put: [{ key: "b", value: "1", lease: lease.id }],
    remove: ["c"],
    read: [{ range }],
  });
  assertEquals((await store.commit(transaction("q/a"), CALL)).kind, "committed");
  assertEquals((await store.commit(transaction("c"), CALL)).kind, "refused");
  assertEquals(await server.requests(), { "KV/Txn": 4, "Lease/LeaseGrant": 1 });
  await lease.end(CALL);
  assertEquals(await server.requests(), { "KV/Txn": 4, "Lease/LeaseGrant": 1, "Lease/LeaseRevoke": 1 });
  await store.close();
});

/** Waits for so long by the clock of etcd, which a lease that nobody keeps alive shows. */
async function aWhile(server: EtcdServer, ttlMs: number): Promise<void> {
  const store = openEtcd({ endpoints: [server.endpoint] });
  const clock = await store.lease(ttlMs, unexpected, CALL);
  const made = await make(store, "clock", "1", clock.id);
  clock.abandon();
  await using watch = watching(store, "clock", made);
  await watch.gone();
  await store.close();
}

/** etcdctl writes the numbers of leases so. */
function hex(id: string): string {
  return BigInt(id).toString(16);
}

function unexpected(): void {
  throw new Error("a lease was lost that nobody took");
}
