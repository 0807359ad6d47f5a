import { assert, assertEquals, assertThrows } from "@std/assert";
import { openEtcd } from "../../lib/etcd/store.ts";
import { exactly, StoreError } from "../../lib/store.ts";
import { makeCertificates } from "../support/certificates.ts";
import { startEtcd } from "../support/etcd.ts";
import { storeContract } from "../contract/contract.ts";

const CALL = { timeoutMs: 10_000 };

storeContract("openEtcd()", async () => {
  const server = await startEtcd();
  return {
    open: () => Promise.resolve(openEtcd({ endpoints: [server.endpoint] })),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
});

Deno.test("openEtcd() reads with one Range and commits with one Txn, and asks etcd nothing else", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  assertEquals(await store.read("a", CALL), null);
  assertEquals(await server.requests(), { "KV/Range": 1 });
  await store.commit({ expect: [{ key: "a", revision: null }], put: [{ key: "a", value: "1" }] }, CALL);
  assertEquals(await server.requests(), { "KV/Range": 1, "KV/Txn": 1 });
  await store.list("a", CALL);
  assertEquals(await server.requests(), { "KV/Range": 2, "KV/Txn": 1 });
  await store.close();
});

Deno.test("openEtcd() keeps all watches on one stream", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const connected = ["a", "b", "a", "c"].map((key) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    store.watch(exactly(key), () => resolve());
    return promise;
  });
  await Promise.all(connected);
  assertEquals(await server.requests(), { "Watch/Watch": 1 });
  await store.close();
});

Deno.test("calls that follow each other closely do not wait for the acknowledgement of the one before", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  const tookMs: number[] = [];
  for (let turn = 0; turn < 9; turn++) {
    // the longest that a connection rests
    await new Promise((resolve) => setTimeout(resolve, 60));
    const begunMs = performance.now();
    await store.read("a", CALL);
    await store.commit({ expect: [], put: [{ key: "a", value: "1" }] }, CALL);
    await store.read("a", CALL);
    tookMs.push(performance.now() - begunMs);
  }
  // an acknowledgement is delayed by 40 ms each time: the quickest turn shows it, and a busy machine does not
  assert(Math.min(...tookMs) < 30, `three calls took ${tookMs} ms`);
  await store.close();
});

Deno.test("openEtcd() writes what etcdctl reads, and reads what etcdctl writes", async () => {
  await using server = await startEtcd();
  const store = openEtcd({ endpoints: [server.endpoint] });
  await store.commit({ expect: [], put: [{ key: "ours", value: "from here" }] }, CALL);
  assertEquals(await server.ctl("get", "--print-value-only", "ours"), "from here\n");
  await server.ctl("put", "theirs", "from there");
  assertEquals((await store.read("theirs", CALL))?.value, "from there");
  await server.ctl("del", "theirs");
  assertEquals(await store.read("theirs", CALL), null);
  await store.close();
});

Deno.test("openEtcd() speaks TLS with a CA alone, by address and by name", async () => {
  await using certificates = await makeCertificates();
  await using server = await startEtcd({ tls: certificates });
  for (const endpoint of [server.endpoint, server.endpoint.replace("127.0.0.1", "localhost")]) {
    const store = openEtcd({ endpoints: [endpoint], ca: certificates.ca.bytes });
    assertEquals(await store.read("a", CALL), null);
    await store.close();
  }
});

Deno.test("openEtcd() shows a client certificate", async () => {
  await using certificates = await makeCertificates();
  await using server = await startEtcd({ tls: certificates, clientCertificates: true });
  const store = openEtcd({
    endpoints: [server.endpoint],
    ca: certificates.ca.bytes,
    cert: certificates.client.cert.bytes,
    key: certificates.client.key.bytes,
  });
  assertEquals(await store.read("a", CALL), null);
  await store.close();
});

Deno.test("openEtcd() logs in once, with a user and a password", async () => {
  await using server = await startEtcd({ users: true });
  const before = await server.requests();
  const store = openEtcd({ endpoints: [server.endpoint], username: "root", password: "root-secret" });
  await store.commit({ expect: [], put: [{ key: "a", value: "1" }] }, CALL);
  assertEquals((await store.read("a", CALL))?.value, "1");
  const after = await server.requests();
  assertEquals((after["Auth/Authenticate"] ?? 0) - (before["Auth/Authenticate"] ?? 0), 1);
  await store.close();
});

Deno.test("openEtcd() refuses what is no endpoint", () => {
  for (
    const endpoint of [
      "",
      "localhost",
      "ftp://a:1",
      "http://",
      "http://a:b",
      "http://a:1/path",
      "http://u@a:1",
    ]
  ) {
    const error = assertThrows(() => openEtcd({ endpoints: [endpoint] }), StoreError);
    assertEquals(error.message, `cannot open etcd: ${JSON.stringify(endpoint)} is not an endpoint`);
    assertEquals(error.hint, "write http://HOST:PORT or https://HOST:PORT");
  }
});

Deno.test("openEtcd() names its endpoints, with the usual port where none is given, and no secret", async () => {
  const store = openEtcd({
    endpoints: ["http://a.example", "http://[::1]:4444/"],
    username: "root",
    password: "secret",
  });
  assertEquals(store.name, "http://a.example:2379,http://[::1]:4444");
  await store.close();
});

Deno.test("openEtcd() refuses certificates that are none", () => {
  const junk = new TextEncoder().encode("junk");
  const error = assertThrows(() => openEtcd({ endpoints: ["https://a:1"], ca: junk }), StoreError);
  assertEquals(error.message, "cannot use the CA for etcd: the file has no CERTIFICATE in PEM format");
});

Deno.test("close() lets the process end, with a watch open and a lease, though etcd is frozen", async () => {
  await using server = await startEtcd();
  const script = `
    import { openEtcd } from ${JSON.stringify(new URL("../../lib/etcd/store.ts", import.meta.url).href)};
    const store = openEtcd({ endpoints: [${JSON.stringify(server.endpoint)}] });
    await store.read("a", { timeoutMs: 20_000 });
    await store.lease(60_000, () => console.log("lost"), { timeoutMs: 20_000 });
    await new Promise((resolve) => store.watch({ from: "a", to: "a\\0" }, resolve));
    console.log("watching");
    await Deno.stdin.read(new Uint8Array(1));
    await store.close();
    console.log("closed");
  `;
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(file, script);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-lock", `--config=${config}`, "--allow-all", file],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const output = child.stdout.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  try {
    assertEquals((await output.next()).value, "watching\n");
    server.freeze();
    const stdin = child.stdin.getWriter();
    await stdin.write(new Uint8Array([10]));
    await stdin.close();
    assertEquals((await output.next()).value, "closed\n");
    const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
    assertEquals((await child.status).code, 0);
    clearTimeout(timer);
  } finally {
    await output.return?.();
    await Deno.remove(file);
  }
});
