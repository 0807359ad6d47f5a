import { assertEquals } from "@std/assert";
import { openStore } from "../../lib/cli/open_store.ts";
import { addressOf, configAt, withStoreAt } from "../../lib/cli/store_address.ts";
import type { StoreConfig } from "../../lib/cli/together.ts";
import { makeCertificates, type Pem } from "../support/certificates.ts";
import { startEtcd } from "../support/etcd.ts";

const CALL = { timeoutMs: 10_000 };

Deno.test("openStore() reads the certificates again when etcd wants others, as they are replaced in their files", async () => {
  await using before = await makeCertificates();
  await using after = await makeCertificates();
  await using server = await startEtcd({ tls: before, clientCertificates: true });
  const { ca, client: { cert, key } } = before;
  const store = await openStore({
    kind: "etcd",
    endpoints: [server.endpoint],
    ca: ca.bytes,
    cert: cert.bytes,
    key: key.bytes,
    files: { ca: ca.path, cert: cert.path, key: key.path },
  });
  assertEquals(await store.read("a", CALL), null);
  const replaced: [Pem, Pem][] = [
    [ca, after.ca],
    [cert, after.client.cert],
    [key, after.client.key],
    [before.server.cert, after.server.cert],
    [before.server.key, after.server.key],
  ];
  for (const [old, recent] of replaced) await Deno.writeFile(old.path, recent.bytes);
  await server.kill();
  await server.start();
  assertEquals(await store.read("a", CALL), null);
  await store.close();
});

const SECURE: StoreConfig = {
  kind: "etcd",
  endpoints: ["https://etcd1:2379", "https://etcd2:2379"],
  ca: new Uint8Array([1]),
  username: "u",
  password: "secret",
  files: { ca: "/ca" },
};

Deno.test("addressOf() has no secret, and configAt() finds the store again by the credentials of today", () => {
  const address = addressOf(SECURE);
  assertEquals(address, "https://etcd1:2379,https://etcd2:2379");
  assertEquals(configAt(address, SECURE), SECURE);
  assertEquals(configAt("https://etcd3:2379", SECURE), { ...SECURE, endpoints: ["https://etcd3:2379"] });
  assertEquals(addressOf({ kind: "sqlite", path: "/a/b" }), "sqlite:/a/b");
  assertEquals(configAt("sqlite:/a/b", SECURE), { kind: "sqlite", path: "/a/b" });
  assertEquals(configAt("http://etcd3:2379", { kind: "sqlite", path: "/a" }), {
    kind: "etcd",
    endpoints: ["http://etcd3:2379"],
  });
});

Deno.test("configAt() shows a credential to the server that it is for, and to no other", () => {
  const server: StoreConfig = { kind: "http", url: "https://lock.example.net", token: "t", files: {} };
  assertEquals(addressOf(server), "server:https://lock.example.net");
  assertEquals(configAt("server:https://lock.example.net", server), server);
  for (const today of [server, SECURE]) {
    assertEquals(configAt("server:https://other.example.net", today), {
      kind: "http",
      url: "https://other.example.net",
      files: {},
    });
  }
  assertEquals(configAt("http://etcd3:2379", server), { kind: "etcd", endpoints: ["http://etcd3:2379"] });
});

Deno.test("configAt() sends no password in the clear that goes over TLS today", () => {
  assertEquals(configAt("http://etcd3:2379", SECURE), { kind: "etcd", endpoints: ["http://etcd3:2379"] });
  const clear: StoreConfig = { kind: "etcd", endpoints: ["http://etcd1:2379"], username: "u", password: "p" };
  assertEquals(configAt("http://etcd3:2379", clear), { ...clear, endpoints: ["http://etcd3:2379"] });
});

Deno.test("withStoreAt() makes no file of an embedded store that is gone", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/locks.db`;
  assertEquals(await withStoreAt(`sqlite:${path}`, SECURE, (store) => Promise.resolve(store)), null);
  assertEquals(await Array.fromAsync(Deno.readDir(folder)), []);
  await Deno.remove(folder);
});
