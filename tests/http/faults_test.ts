/** What a store over HTTP makes of servers that are away, refuse, lose answers, or are none. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { openHttp } from "../../lib/http/store.ts";
import type { HttpOptions } from "../../lib/http/connection.ts";
import { storeDoor } from "../../lib/serve/store_door.ts";
import { Memory, openMemory } from "../../lib/simulation/memory.ts";
import { exactly, type Store, StoreError } from "../../lib/store.ts";
import { CALL, make, put, revision, signal, watching } from "../contract/kit.ts";
import { makeCertificates } from "../support/certificates.ts";
import { type DoorServer, startDoorServer } from "../support/door_server.ts";

interface Place extends AsyncDisposable {
  readonly behind: Store;
  readonly server: DoorServer;
  readonly store: Store;
  open(options?: Partial<HttpOptions>): Store;
}

/** A store in memory, the server before it, and an operator's way to it. */
async function place(within = ""): Promise<Place> {
  const behind = openMemory(new Memory());
  const server = await startDoorServer(storeDoor({ store: behind, within }));
  const opened: Store[] = [];
  const open = (options: Partial<HttpOptions> = {}) => {
    const store = openHttp({ url: server.url, token: "operator", ...options });
    opened.push(store);
    return store;
  };
  return {
    behind,
    server,
    store: open(),
    open,
    async [Symbol.asyncDispose]() {
      for (const store of opened) await store.close();
      await server[Symbol.asyncDispose]();
      await behind.close();
    },
  };
}

const COMMIT = "/store/v1/commit";

Deno.test("commit() whose answer is lost is unknown, whether it happened or not, and is sent once", async () => {
  await using there = await place();
  const { server, store, behind } = there;
  for (const [when, value] of [["before", null], ["after", "1"]] as const) {
    // a connection that was kept is no reason to send it again
    await store.read("a", CALL);
    server.breakNext(COMMIT, when);
    const outcome = await put(store, `a/${when}`, "1", null);
    assert(outcome.kind === "unknown");
    assertEquals(
      outcome.cause.message,
      `cannot tell whether the change of "a/${when}" was made at ${server.url}: the connection broke`,
    );
    assertEquals((await behind.read(`a/${when}`, CALL))?.value ?? null, value);
  }
  assertEquals(server.asked.filter((path) => path === COMMIT).length, 2);
  assertEquals((await put(store, "a/before", "1", null)).kind, "committed");
});

Deno.test("commit() that was not taken in time is unknown, and a read says how long it waited", async () => {
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${silent.addr.port}`;
  const store = openHttp({ url });
  const outcome = await store.commit({ expect: [], put: [{ key: "a", value: "1" }] }, { timeoutMs: 100 });
  assertEquals(outcome.kind === "unknown" && outcome.cause.kind, "timeout");
  const error = await assertRejects(() => store.read("a", { timeoutMs: 100 }), StoreError);
  assertEquals([error.kind, error.message], ["timeout", `cannot read "a" at ${url}: no answer within 0.1 s`]);
  await store.close();
  silent.close();
});

Deno.test("commit() to a server that is not there is an error: nothing happened", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const store = openHttp({ url: `http://127.0.0.1:${port}`, token: "secret" });
  const error = await assertRejects(() => put(store, "a", "1", null), StoreError);
  assertEquals([error.kind, error.message, error.hint], [
    "unreachable",
    `cannot change "a" at http://127.0.0.1:${port}: connection refused`,
    "is the server running there? check --server",
  ]);
  await store.close();
});

Deno.test("read() is asked once more when the connection broke", async () => {
  await using there = await place();
  const { server, store } = there;
  const written = await make(store, "a", "1");
  server.breakNext("/store/v1/view", "before");
  assertEquals((await store.read("a", CALL))?.revision, written);
});

Deno.test("watch() is there again after the connection broke and after the server was started anew", async () => {
  await using there = await place();
  const { server, store, behind } = there;
  const one = await make(behind, "a", "1");
  const two = revision(await put(behind, "a", "2", one));
  await using watch = watching(store, "a", one);
  assertEquals((await watch.changed()).revision, two);
  server.cut();
  const three = revision(await put(behind, "a", "3", two));
  server.mend();
  assertEquals(await watch.next(), { kind: "missed" });
  await server.restart(storeDoor({ store: behind, within: "" }));
  assertEquals(await watch.next(), { kind: "missed" });
  const four = revision(await put(behind, "a", "4", three));
  assertEquals((await watch.changed()).revision, four);
});

Deno.test("lease() of a server that was started anew is lost at once, and its keys stay to be taken over", async () => {
  await using there = await place();
  const { server, store, behind } = there;
  const lost = signal("the loss of the lease");
  const lease = await store.lease(3_000, lost.give, CALL);
  const created = await make(store, "q/a", "1", lease.id);
  await server.restart(storeDoor({ store: behind, within: "" }));
  await lost.given;
  const anew = await store.lease(60_000, () => {}, CALL);
  const taken = await store.commit({
    expect: [{ key: "q/a", revision: created }],
    put: [{ key: "q/a", value: "2", lease: anew.id }],
  }, CALL);
  assertEquals(taken.kind, "committed");
  assertEquals((await behind.read("q/a", CALL))?.created, created);
  await anew.end(CALL);
  assertEquals(await behind.read("q/a", CALL), null);
});

Deno.test("lease() lives on over a broken connection, and is lost when the server is away for its whole life", async () => {
  await using there = await place();
  const { server, store, behind } = there;
  const lost = signal("the loss of the lease");
  const lease = await store.lease(1_000, lost.give, CALL);
  await make(store, "q/a", "1", lease.id);
  server.breakNext("/store/v1/lease/keep", "before");
  await using watch = watching(behind, "q/a");
  while (server.asked.filter((path) => path === "/store/v1/lease/keep").length < 2) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assertEquals((await behind.read("q/a", CALL))?.value, "1");
  server.cut();
  await watch.gone();
  await lost.given;
});

Deno.test("a viewer reads and watches, and is refused what would change anything", async () => {
  await using there = await place();
  const { server, behind, open } = there;
  await make(behind, "a", "1");
  const viewer = open({ token: "viewer" });
  assertEquals((await viewer.read("a", CALL))?.value, "1");
  assertEquals((await viewer.list("", CALL)).length, 1);
  assertEquals((await viewer.history("a", CALL)).changes.length, 1);
  await using watch = watching(viewer, "a");
  assertEquals(await watch.next(), { kind: "missed" });
  for (const act of [() => put(viewer, "b", "1", null), () => viewer.lease(1_000, () => {}, CALL)]) {
    const error = await assertRejects<StoreError>(act, StoreError);
    assertEquals(error.kind, "permission");
    assertEquals(error.hint, "it takes an operator's credential to change something, and a viewer's to look");
  }
  assertEquals(await behind.read("b", CALL), null);
  await put(there.store, "b", "1", null);
  assertEquals(server.log.filter((line) => line.startsWith("audit: ")), ["audit: ann: write b"]);
});

Deno.test("a credential that is missing or unknown is told with what to do, and never shown", async () => {
  await using there = await place();
  const nobody = openHttp({ url: there.server.url });
  const stranger = there.open({ token: "stranger" });
  for (
    const [store, hint] of [
      [nobody, "give --server-token-file, or --server-certfile and --server-keyfile"],
      [stranger, "check --server-token-file: the server does not know this token (any more)"],
    ] as const
  ) {
    for (const act of [() => store.read("a", CALL), () => put(store, "a", "1", null)]) {
      const error = await assertRejects<StoreError>(act, StoreError);
      assertEquals([error.kind, error.hint], ["authentication", hint]);
      assert(!error.message.includes("stranger"), error.message);
    }
    await using watch = watching(store, "a");
    const told = await watch.next();
    assertEquals(told.kind === "refused" && told.error.kind, "authentication");
  }
  await nobody.close();
});

Deno.test("keys that are not locksmith's are refused, and what is too large", async () => {
  await using there = await place("locks/");
  const { store, behind } = there;
  assertEquals((await put(store, "locks/a", "1", null)).kind, "committed");
  const outside = { from: "locks/", to: "other" };
  for (
    const act of [
      () => store.read("other", CALL),
      () => store.list("lock", CALL),
      () => store.history("other", CALL),
      () => store.view([{ range: outside }], CALL),
      () => put(store, "other", "1", null),
      () => store.commit({ expect: [], put: [], remove: ["other"] }, CALL),
      () => store.commit({ expect: [{ key: "other", revision: null }], put: [] }, CALL),
      () => store.commit({ expect: [{ range: outside, noneCreatedBefore: null }], put: [] }, CALL),
      () => store.commit({ expect: [], put: [], read: [{ range: exactly("other") }] }, CALL),
    ]
  ) assertEquals((await assertRejects<StoreError>(act, StoreError)).kind, "permission");
  const keys = Array.from({ length: 129 }, (_, index) => `locks/${index}`);
  for (
    const act of [
      () => put(store, "locks/b", "x".repeat(1_500_001), null),
      () => put(store, "locks/b", "x".repeat(5_000_000), null),
      () => store.commit({ expect: [], put: keys.map((key) => ({ key, value: "1" })) }, CALL),
      () => store.commit({ expect: [], put: [{ key: "locks/b", value: "1" }], remove: ["locks/b"] }, CALL),
    ]
  ) assertEquals((await assertRejects<StoreError>(act, StoreError)).kind, "failed");
  assertEquals((await behind.list("", CALL)).map(({ key }) => key), ["locks/a"]);
});

Deno.test("what stands in the place of a server is told as such, and a redirect is not followed", async () => {
  const elsewhere: string[] = [];
  let answer = () => new Response();
  const handler = (request: Request) => {
    elsewhere.push(new URL(request.url).pathname);
    return answer();
  };
  await using other = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {}, handler });
  const url = `http://127.0.0.1:${other.addr.port}`;
  const store = openHttp({ url, token: "secret" });
  const page = (status: number, headers: HeadersInit = {}) => () =>
    new Response("<html>welcome</html>", { status, headers });
  const check = "is a locksmith server there? check --server, its port and its path";
  for (
    const [foreign, why, hint, isCertain] of [
      [page(404), "it answered 404", check, true],
      [
        page(302, { location: "https://ann:pw@login.example.net/in?next=secret" }),
        'it redirects to "https://login.example.net/in"',
        check,
        true,
      ],
      [page(200), "its answer is not that of a locksmith server", check, false],
      [
        page(502),
        "it answered 502",
        "this answer is not locksmith's: what stands before the server cannot reach it",
        false,
      ],
      [
        page(401),
        "it answered 401",
        "this answer is not locksmith's: what stands before the server wants a login of its own",
        true,
      ],
      [page(500), "it answered 500", check, false],
    ] as const
  ) {
    answer = foreign;
    elsewhere.length = 0;
    const error = await assertRejects(() => store.read("a", CALL), StoreError);
    assertEquals([error.message, error.hint], [`cannot read "a" at ${url}: ${why}`, hint]);
    assertEquals(new Set(elsewhere), new Set(["/store/v1/view"]));
    const commit = put(store, "a", "1", null).then(({ kind }) => kind, (error) => error.name);
    assertEquals(await commit, isCertain ? "StoreError" : "unknown", why);
  }
  await store.close();
});

Deno.test("what fails behind the server is told in the server's words, and nothing happened", async () => {
  const behind = openMemory(new Memory());
  const failing: Store = {
    ...behind,
    commit: () =>
      Promise.reject(new StoreError("failed", "cannot change a in etcd: it is full", "compact it")),
  };
  await using server = await startDoorServer(storeDoor({ store: failing, within: "" }));
  const store = openHttp({ url: server.url, token: "operator" });
  const error = await assertRejects(() => put(store, "a", "1", null), StoreError);
  assertEquals(error.message, `cannot change "a" at ${server.url}: cannot change a in etcd: it is full`);
  assertEquals(error.hint, "on the server: compact it");
  await store.close();
  await behind.close();
});

Deno.test("TLS: the server's CA and the client certificate are checked, and files that are replaced are read again", async () => {
  await using certificates = await makeCertificates();
  const { ca, server: { cert, key }, client } = certificates;
  const text = ({ bytes }: { readonly bytes: Uint8Array }) => new TextDecoder().decode(bytes);
  const behind = openMemory(new Memory());
  await using server = await startDoorServer(storeDoor({ store: behind, within: "" }), {
    tls: { cert: text(cert), key: text(key), clientCa: text(ca) },
  });
  const failure = async (options: Omit<HttpOptions, "url">, url = server.url) => {
    const store = openHttp({ url, token: "operator", ...options });
    const error = await assertRejects(() => put(store, "a", "1", null), StoreError);
    await store.close();
    return error;
  };
  const untrusted = await failure({});
  assertEquals(untrusted.kind, "tls");
  assertStringIncludes(untrusted.message, "its certificate is not signed by a CA that is trusted here");
  assertEquals(untrusted.hint, "name the CA that signed it with --server-cafile");
  assertEquals(
    (await failure({ ca: cert.bytes, key: client.key.bytes, cert: client.cert.bytes })).kind,
    "tls",
  );
  const rubbish = await failure({ ca: new TextEncoder().encode("no certificate") });
  assertStringIncludes(rubbish.message, ": cannot use the CA: the file has no CERTIFICATE in PEM format");
  const other = await certificates.selfSigned();
  const mixed = await failure({ ca: ca.bytes, cert: other.cert.bytes, key: client.key.bytes });
  assertEquals(mixed.hint, "check --server-certfile and --server-keyfile");

  const certified = openHttp({
    url: server.url,
    ca: ca.bytes,
    cert: client.cert.bytes,
    key: client.key.bytes,
  });
  await using watch = watching(certified, "b");
  assertEquals(await watch.next(), { kind: "missed" });
  assertEquals((await put(certified, "b", "1", null)).kind, "committed");
  assertEquals((await watch.changed()).entry?.value, "1");
  await certified.close();

  const wrong = { ca: other.cert.bytes, token: "operator" };
  const right = { ca: ca.bytes, token: "operator" };
  const store = openHttp({ url: server.url, ...wrong, reload: () => right });
  assertEquals((await assertRejects(() => store.read("a", CALL), StoreError)).kind, "tls");
  assertEquals(await store.read("a", CALL), null);
  await store.close();
  await behind.close();
});
