/** What only etcd can do to a watch and to a history: break its connection, drop the past, be restored from a copy. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { openEtcd } from "../../lib/etcd/store.ts";
import { type Change, isBefore, type Store, StoreError } from "../../lib/store.ts";
import { type EtcdServer, startEtcd } from "../support/etcd.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { CALL, make, put, remove, revision, watching } from "../contract/kit.ts";

const KEY = "a/key";

Deno.test("watch() whose connection broke says so when it is back, and tells what changes from then on", async () => {
  await using bench = await behindProxy();
  const { near, far, proxy } = bench;
  const one = await make(near, KEY, "1");
  await using watch = watching(far, KEY);
  assertEquals(await watch.next(), { kind: "missed" });
  const two = await write(near, "2");
  assertEquals(await watch.next(), changed("2", two, one));
  for (const values of [["3", "4"], ["5"], []]) {
    proxy.cut();
    for (const value of values) await write(near, value);
    proxy.mend();
    assertEquals(await watch.next(), { kind: "missed" });
    const { revision = "", value = "" } = await far.read(KEY, CALL) ?? {};
    assertEquals(value, values.at(-1) ?? "5");
    const last = await write(near, value);
    assertEquals(await watch.next(), changed(value, last, one));
    assert(isBefore(revision, last));
  }
});

Deno.test("watch() that waits for an etcd that is away says so when it is back, though nothing has changed", async () => {
  await using bench = await behindProxy();
  const { far, proxy } = bench;
  const { revision } = await far.view([], CALL);
  proxy.cut();
  await using watch = watching(far, KEY, revision);
  // it fails for sure before etcd is back
  await assertRejects(() => far.read(KEY, CALL), StoreError);
  proxy.mend();
  assertEquals(await watch.next(), { kind: "missed" });
});

Deno.test("watch() says that it missed something when etcd has dropped it, and goes on", async () => {
  await using bench = await behindProxy();
  const { near, far, proxy, server } = bench;
  const one = await make(near, KEY, "1");
  await using watch = watching(far, KEY);
  assertEquals(await watch.next(), { kind: "missed" });
  const two = await write(near, "2");
  assertEquals(await watch.next(), changed("2", two, one));
  proxy.cut();
  await write(near, "3");
  await server.ctl("compact", await write(near, "4"));
  proxy.mend();
  assertEquals(await watch.next(), { kind: "missed" });
  const five = await write(near, "5");
  assertEquals(await watch.next(), changed("5", five, one));
});

Deno.test("watch() behind a revision that etcd has dropped says that it missed something, and goes on", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const one = await make(store, KEY, "1");
  await write(store, "2");
  await server.ctl("compact", await write(store, "3"));
  await using watch = watching(store, KEY, one);
  assertEquals(await watch.next(), { kind: "missed" });
  const four = await write(store, "4");
  assertEquals(await watch.next(), changed("4", four, one));
  await store.close();
});

Deno.test("watch() disturbs no other watch of its store when etcd has dropped what it wants", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const one = await make(store, KEY, "1");
  await write(store, "2");
  await server.ctl("compact", await write(store, "3"));
  const other = await make(store, "other", "1");
  await using undisturbed = watching(store, "other");
  assertEquals(await undisturbed.next(), { kind: "missed" });
  await using watch = watching(store, KEY, one);
  assertEquals(await watch.next(), { kind: "missed" });
  await put(store, "other", "2", other);
  assertEquals((await undisturbed.next()).kind, "changed");
  assertEquals(await server.requests().then((requests) => requests["Watch/Watch"]), 1);
  await store.close();
});

Deno.test("watch() says that it missed something when etcd was restored from an older copy, and goes on", async () => {
  await using bench = await behindProxy();
  const { near, far, proxy } = bench;
  await using restored = await startEtcd();
  let last = await make(near, KEY, "1");
  await using watch = watching(far, KEY);
  assertEquals(await watch.next(), { kind: "missed" });
  for (const value of ["2", "3", "4"]) {
    last = await write(near, value);
    assertEquals((await watch.changed()).revision, last);
  }
  proxy.cut();
  proxy.mend(portOf(restored));
  assertEquals(await watch.next(), { kind: "missed" });
  const anew = openEtcd({ endpoints: [restored.endpoint] });
  const made = await make(anew, KEY, "as it was");
  assertEquals(await watch.next(), changed("as it was", made, made));
  await anew.close();
});

Deno.test("history() begins with what the key was when etcd dropped the rest, and is not complete", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  await make(store, KEY, "1");
  const two = await write(store, "2");
  const at = await make(store, "other", "1");
  const three = await write(store, "3");
  await server.ctl("compact", at);
  assertEquals(await past(store), [[[two, "2"], [three, "3"]], false]);
  await server.ctl("compact", three);
  assertEquals(await past(store), [[[three, "3"]], false]);
  const removed = await remove(store, KEY);
  assertEquals(await past(store), [[[three, "3"], [removed, null]], false]);
  await server.ctl("compact", removed);
  assertEquals(await past(store), [[], false]);
  const again = await make(store, KEY, "4");
  assertEquals(await past(store), [[[again, "4"]], false]);
  await store.close();
});

Deno.test("history() of a long past comes whole", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const values = Array.from({ length: 1500 }, (_, index) => `${index} `.padEnd(3000, "x"));
  for (let at = 0; at < values.length; at += 50) {
    const together = values.slice(at, at + 50);
    await Promise.all(
      together.map((value) => store.commit({ expect: [], put: [{ key: KEY, value }] }, CALL)),
    );
  }
  for (const gone of [false, true]) {
    if (gone) await remove(store, KEY);
    const { changes, complete } = await store.history(KEY, CALL);
    assert(complete);
    assertEquals(changes.length, 1500 + (gone ? 1 : 0));
    assertEquals(new Set(changes.flatMap(({ entry }) => entry?.value ?? [])), new Set(values));
  }
  await store.close();
});

Deno.test("history() of the last changes finds them among those of other keys, and where etcd has dropped the rest", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const others = async (count: number) => {
    const many = Array.from({ length: count }, () => ({ key: "other", value: "" }));
    await Promise.all(many.map((other) => store.commit({ expect: [], put: [other] }, CALL)));
  };
  await others(50);
  // close together at first, far apart then
  for (let turn = 0; turn < 40; turn++) {
    if (turn > 30) await others(100);
    await write(store, String(turn));
  }
  await others(300);
  const before = await server.requests();
  const { changes } = await store.history(KEY, CALL);
  for (const last of [1, 5, 9, 10, 30, 39]) {
    const newest = await store.history(KEY, { ...CALL, last });
    assertEquals(newest.changes, changes.slice(-newest.changes.length));
    assert(newest.changes.length >= last && newest.changes.length <= last * 1.25);
  }
  const looks = (await server.requests())["KV/Range"] ?? 0;
  assert(looks - (before["KV/Range"] ?? 0) < 80);

  const [kept] = changes.slice(20);
  await server.ctl("compact", kept?.revision ?? "");
  const dropped = await store.history(KEY, { ...CALL, last: 30 });
  assertEquals(dropped, { changes: changes.slice(20), complete: false });
  assertEquals((await store.history(KEY, { ...CALL, last: 10 })).leftOut, true);
  await store.close();
});

Deno.test("history() asks etcd once for what the key is, and watches once", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  await make(store, KEY, "1");
  await store.history(KEY, CALL);
  assertEquals(await server.requests(), { "KV/Txn": 1, "KV/Range": 1, "Watch/Watch": 1 });
  await store.close();
});

interface Bench extends AsyncDisposable {
  readonly server: EtcdServer;
  readonly proxy: Proxy;
  /** Straight to the server. */
  readonly near: Store;
  /** Through the proxy. */
  readonly far: Store;
}

async function behindProxy(): Promise<Bench> {
  const server = await startEtcd();
  const proxy = startProxy(portOf(server));
  const near = openEtcd({ endpoints: [server.endpoint] });
  const far = openEtcd({ endpoints: [`http://127.0.0.1:${proxy.port}`] });
  return {
    server,
    proxy,
    near,
    far,
    async [Symbol.asyncDispose]() {
      await near.close();
      await far.close();
      await proxy[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

function portOf(server: EtcdServer): number {
  return Number(new URL(server.endpoint).port);
}

async function write(store: Store, value: string): Promise<string> {
  return revision(await store.commit({ expect: [], put: [{ key: KEY, value }] }, CALL));
}

function changed(value: string, revision: string, created: string): Change {
  return { kind: "changed", key: KEY, entry: { key: KEY, value, revision, created }, revision };
}

async function past(store: Store): Promise<[(string | null)[][], boolean]> {
  const { changes, complete } = await store.history(KEY, CALL);
  return [changes.map(({ revision, entry }) => [revision, entry?.value ?? null]), complete];
}
