/** How many connections a store makes, and how often it tries while etcd is away. */

import { assert, assertEquals } from "@std/assert";
import { openEtcd } from "../../lib/etcd/store.ts";
import { StoreError } from "../../lib/store.ts";
import { CALL, make, watching } from "../contract/kit.ts";
import { type EtcdServer, leaderOf, startEtcd, startEtcdCluster } from "../support/etcd.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";

const KEY = "a/key";

Deno.test("calls, watches, leases and logins of a store share one connection", async () => {
  await using server = await startEtcd({ users: true });
  await using proxy = startProxy(Number(new URL(server.endpoint).port));
  const store = openEtcd({
    endpoints: [`http://127.0.0.1:${proxy.port}`],
    username: "root",
    password: "root-secret",
  });
  const lease = await store.lease(60_000, unexpected, CALL);
  await using watch = watching(store, KEY);
  await Promise.all(Array.from({ length: 50 }, () => store.read(KEY, CALL)));
  const made = await make(store, KEY, "1", lease.id);
  assertEquals((await watch.changed()).revision, made);
  await store.history(KEY, CALL);
  await lease.end(CALL);
  assertEquals(proxy.cameMs.length, 1);
  await store.close();
});

Deno.test("a store has no more than two connections, whichever members of a cluster fail it", async () => {
  await using cluster = await startEtcdCluster();
  const proxies = cluster.members.map(({ endpoint }) => startProxy(Number(new URL(endpoint).port)));
  await using stack = new AsyncDisposableStack();
  for (const proxy of proxies) stack.use(proxy);
  const [first, second, third] = proxies as [Proxy, Proxy, Proxy];
  const store = openEtcd({
    endpoints: proxies.map(({ port }) => `http://127.0.0.1:${port}`),
    random: () => 0,
  });
  await using watch = watching(store, KEY);
  assertEquals(await watch.next(), { kind: "missed" });
  const connections = () => proxies.map(({ connections }) => connections);
  assertEquals(connections(), [1, 0, 0]);
  for (const [cut, left] of [[first, [0, 1, 0]], [second, [0, 0, 1]], [third, [1, 0, 0]]] as const) {
    cut.cut();
    assertEquals(await watch.next(), { kind: "missed" });
    await store.read(KEY, CALL);
    cut.mend();
    assertEquals(connections(), [...left]);
  }
  // one that is silent still has the watch when the calls have moved on
  const [silent] = cluster.members as [EtcdServer];
  silent.freeze();
  await leaderOf(cluster.members.slice(1));
  await store.read(KEY, CALL);
  const sum = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0);
  assert(sum(connections()) <= 2, String(connections()));
  assertEquals(await watch.next(), { kind: "missed" });
  assertEquals(sum(connections().slice(1)), 1);
  silent.thaw();
  await store.close();
});

Deno.test("a store whose etcd is away tries to connect less often than every two seconds, whatever is asked of it", async () => {
  await using server = await startEtcd();
  await using proxy = startProxy(Number(new URL(server.endpoint).port));
  // of all pauses the shortest
  const store = openEtcd({ endpoints: [`http://127.0.0.1:${proxy.port}`], random: () => 0 });
  await store.lease(60_000, unexpected, CALL);
  await using watch = watching(store, KEY);
  assertEquals(await watch.next(), { kind: "missed" });
  proxy.cut();
  const before = proxy.cameMs.length;
  let asking = true;
  const asked = Array.from({ length: 5 }, async () => {
    while (asking) {
      await store.read(KEY, CALL).catch((error) => {
        assert(error instanceof StoreError && error.kind === "unreachable", String(error));
      });
    }
  });
  const attempts = () => proxy.cameMs.slice(before);
  while (attempts().length < 6) await store.read(KEY, CALL).catch(() => {});
  const pausesMs = attempts().slice(1, 6).map((cameMs, index) => cameMs - (attempts()[index] ?? NaN));
  for (const [index, leastMs] of [370, 740, 1_970, 1_970, 1_970].entries()) {
    assert((pausesMs[index] ?? 0) >= leastMs, `${pausesMs}`);
  }
  asking = false;
  proxy.mend();
  await Promise.all(asked);
  assertEquals(await watch.next(), { kind: "missed" });
  await store.close();
});

function unexpected(): void {
  throw new Error("a lease was lost that nobody took");
}
