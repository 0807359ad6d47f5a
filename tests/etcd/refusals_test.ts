/**
 * What etcd refuses, and says why: each on a real etcd, in the clear and as in production, over TLS with users, where it
 * comes by another way. What was refused for certain is never told as something that may have happened.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { RANGE, TXN } from "../../lib/etcd/calls.ts";
import { CurrentCertificates } from "../../lib/etcd/certificates.ts";
import { EtcdAnswerError } from "../../lib/etcd/connection.ts";
import { etcdFailure } from "../../lib/etcd/error.ts";
import { EtcdEndpoints } from "../../lib/etcd/endpoints.ts";
import { Pace } from "../../lib/etcd/pace.ts";
import { EtcdServer as Server } from "../../lib/etcd/server.ts";
import { type EtcdOptions, openEtcd } from "../../lib/etcd/store.ts";
import { bytesOf, prefixRequest } from "../../lib/etcd/txn.ts";
import { type Store, StoreError } from "../../lib/store.ts";
import { CALL, make, put, watching } from "../contract/kit.ts";
import { type Certificates, makeCertificates } from "../support/certificates.ts";
import {
  type EtcdServer,
  type EtcdServerOptions,
  leaderOf,
  startEtcd,
  startEtcdCluster,
} from "../support/etcd.ts";
import { startProxy } from "../support/proxy.ts";

const KEY = "coreos.com/key";
const ROOT = { username: "root", password: "root-secret" };
const READER = { username: "reader", password: "reader-secret" };
const GRANT =
  "grant its role access in etcd: `etcdctl role grant-permission ROLE readwrite --prefix=true coreos.com/updateengine/rebootlock/`";
const FULL = "in etcd: `etcdctl compact REVISION`, `etcdctl defrag`, then `etcdctl alarm disarm`";
/** How often a leader may change until a read is ended by it. */
const CHANGES_MAX = 8;
const MAJORITY = "the etcd cluster has no majority, or is electing a leader";

/** How etcd is reached. */
interface Way {
  readonly name: string;
  readonly server: EtcdServerOptions;
  readonly tls: Partial<EtcdOptions>;
  /** The same, and as whom. */
  readonly client: Partial<EtcdOptions>;
}

let certificates: Certificates | undefined;
let users: Map<string, EtcdServer> | undefined;

Deno.test.afterAll(async () => {
  for (const server of users?.values() ?? []) await server[Symbol.asyncDispose]();
  await certificates?.[Symbol.asyncDispose]();
});

async function ways(): Promise<Way[]> {
  certificates ??= await makeCertificates();
  const tls = { ca: certificates.ca.bytes };
  return [
    { name: "in the clear", server: {}, tls: {}, client: {} },
    {
      name: "over TLS with users",
      server: { tls: certificates, users: true },
      tls,
      client: { ...tls, ...ROOT },
    },
  ];
}

/** A story that is told once each way. */
function story(name: string, tell: (way: Way) => Promise<void>): void {
  for (const [index, how] of ["in the clear", "over TLS with users"].entries()) {
    Deno.test(`${name}, ${how}`, async () => await tell((await ways())[index] as Way));
  }
}

/** A server with users, for stories that leave it as it was. */
async function withUsers(way: Way): Promise<EtcdServer> {
  users ??= new Map();
  const server = users.get(way.name) ?? await startEtcd({ ...way.server, users: true });
  users.set(way.name, server);
  return server;
}

/** What is tried, and what is told of it: kind, reason, hint. */
interface Refusal {
  readonly name: string;
  readonly login?: { readonly username: string; readonly password: string };
  readonly attempt: (store: Store) => Promise<unknown>;
  readonly told: (endpoint: string) => [kind: string, message: string, hint: string];
}

const write = (store: Store, value = "1") => store.commit({ expect: [], put: [{ key: KEY, value }] }, CALL);

const REFUSALS: readonly Refusal[] = [
  {
    name: "a wrong password",
    login: { ...READER, password: "guess" },
    attempt: (store) => store.read(KEY, CALL),
    told: (endpoint) => [
      "authentication",
      `cannot read "coreos.com/key": ${endpoint}: wrong user or password for "reader"`,
      "check --etcd-username and --etcd-password",
    ],
  },
  {
    name: "a wrong password for a change",
    login: { ...READER, password: "guess" },
    attempt: write,
    told: (endpoint) => [
      "authentication",
      `cannot change "coreos.com/key": ${endpoint}: wrong user or password for "reader"`,
      "check --etcd-username and --etcd-password",
    ],
  },
  {
    name: "a user that there is not",
    login: { username: "nobody", password: "secret" },
    attempt: (store) => store.list("coreos.com/", CALL),
    told: (endpoint) => [
      "authentication",
      `cannot list "coreos.com/": ${endpoint}: wrong user or password for "nobody"`,
      "check --etcd-username and --etcd-password",
    ],
  },
  {
    name: "no user",
    attempt: (store) => store.view([{ range: { from: KEY, to: "d" } }], CALL),
    told: (endpoint) => [
      "authentication",
      `cannot read "coreos.com/key": ${endpoint}: etcd requires a user and a password, and none were given`,
      "give --etcd-username and --etcd-password",
    ],
  },
  {
    name: "no permission to read",
    login: READER,
    attempt: (store) => store.read("elsewhere", CALL),
    told: (endpoint) => [
      "permission",
      `cannot read "elsewhere": ${endpoint}: permission denied for user "reader"`,
      GRANT,
    ],
  },
  {
    name: "no permission to write",
    login: READER,
    attempt: write,
    told: (endpoint) => [
      "permission",
      `cannot change "coreos.com/key": ${endpoint}: permission denied for user "reader"`,
      GRANT,
    ],
  },
  {
    name: "a value that is too large",
    login: ROOT,
    attempt: (store) => write(store, "x".repeat(1_600_000)),
    told: (endpoint) => [
      "failed",
      `cannot change "coreos.com/key": ${endpoint}: the change is larger than etcd accepts`,
      "lower max, or raise etcd's --max-request-bytes",
    ],
  },
  {
    name: "a value that is far too large",
    login: ROOT,
    attempt: (store) => write(store, "x".repeat(4_000_000)),
    told: (endpoint) => [
      "failed",
      `cannot change "coreos.com/key": ${endpoint}: the change is larger than etcd accepts`,
      "lower max, or raise etcd's --max-request-bytes",
    ],
  },
];

for (const { name, login, attempt, told } of REFUSALS) {
  story(`etcd refuses ${name}`, async (way) => {
    const { endpoint } = await withUsers(way);
    const store = openEtcd({ endpoints: [endpoint], ...way.tls, ...login });
    const error = await assertRejects(() => attempt(store), StoreError);
    assertEquals(toldBy(error), told(endpoint));
    await store.close();
  });
}

story("a user is given, and etcd knows none", async (way) => {
  await using server = await startEtcd({ ...way.server, users: false });
  const store = openEtcd({ endpoints: [server.endpoint], ...way.tls, ...READER });
  assertEquals(toldBy(await assertRejects(() => write(store), StoreError)), [
    "authentication",
    `cannot change "coreos.com/key": ${server.endpoint}: ` +
    'a user was given ("reader"), but authentication is not enabled in etcd',
    "leave out --etcd-username and --etcd-password, or enable authentication in etcd",
  ]);
  await store.close();
});

story("a full database is told at once, and it can be emptied", async (way) => {
  await using server = await startEtcd({ ...way.server, args: ["--quota-backend-bytes=300000"] });
  const store = openEtcd({ endpoints: [server.endpoint], ...way.client });
  const begunMs = performance.now();
  const error = await assertRejects(async () => {
    for (;;) await write(store, "x".repeat(50_000));
  }, StoreError);
  assert(performance.now() - begunMs < CALL.timeoutMs / 2);
  const why = `${server.endpoint}: its database is full, and it accepts no changes (alarm NOSPACE)`;
  assertEquals(toldBy(error), ["failed", `cannot change "coreos.com/key": ${why}`, FULL]);
  const grant = await assertRejects(() => store.lease(5_000, () => {}, CALL), StoreError);
  assertEquals(toldBy(grant), ["failed", `cannot begin a lease: ${why}`, FULL]);
  const { revision } = await store.read(KEY, CALL) ?? { revision: "" };
  await server.ctl("compact", revision);
  await server.ctl("defrag");
  await server.ctl("alarm", "disarm");
  assertEquals((await write(store)).kind, "committed");
  await store.close();
});

story("what etcd has dropped cannot be read", async (way) => {
  await using server = await startEtcd(way.server);
  const store = openEtcd({ endpoints: [server.endpoint], ...way.client });
  await make(store, KEY, "1");
  await write(store, "2");
  const { revision } = await store.read(KEY, CALL) ?? { revision: "" };
  await server.ctl("compact", revision);
  const endpoints = new EtcdEndpoints({ endpoints: [server.endpoint], ...way.client }, Math.random);
  const error = await assertRejects(() =>
    endpoints.ask({
      what: "cannot look back",
      ...CALL,
      call: (server, deadlineMs) => server.call(RANGE, { key: bytesOf(KEY), revision: "2" }, deadlineMs),
    }), StoreError);
  assertEquals(toldBy(error), [
    "failed",
    `cannot look back: ${server.endpoint}: the requested revision has been compacted`,
    undefined,
  ]);
  endpoints.close();
  await store.close();
});

story("a put under a lease that is gone is refused, by a user as well", async (way) => {
  const server = await withUsers(way);
  const store = openEtcd({ endpoints: [server.endpoint], ...way.client, ...ROOT });
  const lease = await store.lease(60_000, () => {}, CALL);
  await server.ctl("lease", "revoke", BigInt(lease.id).toString(16));
  const outcome = await store.commit({
    expect: [],
    put: [{ key: "coreos.com/place", value: "1", lease: lease.id }],
  }, CALL);
  assertEquals(outcome.kind, "refused");
  await store.close();
});

story("a watch without permission is told once, and is no watch", async (way) => {
  const server = await withUsers(way);
  const store = openEtcd({ endpoints: [server.endpoint], ...way.client, ...READER });
  const before = (await server.requests())["Watch/Watch"] ?? 0;
  await using allowed = watching(store, "coreos.com/allowed");
  assertEquals(await allowed.next(), { kind: "missed" });
  await using denied = watching(store, "elsewhere");
  const change = await denied.next();
  assert(change.kind === "refused");
  assertEquals(toldBy(change.error), [
    "permission",
    `cannot watch "elsewhere": ${server.endpoint}: permission denied for user "reader"`,
    GRANT,
  ]);
  // the other one goes on, on the stream that was opened with a new login to make sure
  assertEquals(await allowed.next(), { kind: "missed" });
  await server.ctl("put", "coreos.com/allowed", "1");
  assertEquals((await allowed.next()).kind, "changed");
  assertEquals(denied.told.length, 1);
  // the one that was refused, and the one that was opened to make sure; it is not asked for again and again
  assertEquals(((await server.requests())["Watch/Watch"] ?? 0) - before, 2);
  await store.close();
});

story("watches of a user with a wrong password are told so, once", async (way) => {
  const server = await withUsers(way);
  const store = openEtcd({ endpoints: [server.endpoint], ...way.client, ...READER, password: "guess" });
  const before = (await server.requests())["Auth/Authenticate"] ?? 0;
  await using watch = watching(store, KEY);
  const change = await watch.next();
  assert(change.kind === "refused");
  assertEquals(
    change.error.message,
    `cannot watch "coreos.com/key": ${server.endpoint}: wrong user or password for "reader"`,
  );
  assertEquals(((await server.requests())["Auth/Authenticate"] ?? 0) - before, 1);
  await store.close();
});

for (const signedLogins of [false, true]) {
  const kind = signedLogins ? "signed login" : "login";
  story(`a ${kind} that expired is made anew, for calls, leases and watches`, async (way) => {
    await using server = await startEtcd({ ...way.server, users: true, loginSeconds: 1, signedLogins });
    await using proxy = startProxy(Number(new URL(server.endpoint).port));
    const through = server.endpoint.replace(/\d+$/, String(proxy.port));
    const store = openEtcd({ endpoints: [through], ...way.client, ...ROOT });
    const made = await make(store, KEY, "1");
    const lease = await store.lease(3_000, unexpected, CALL);
    await make(store, "coreos.com/place", "1", lease.id);
    await using watch = watching(store, KEY);
    assertEquals(await watch.next(), { kind: "missed" });
    const logins = async () => (await server.requests())["Auth/Authenticate"] ?? 0;
    const before = await logins();
    const expired = async () => {
      // nothing tells of the end of a login
      await new Promise((resolve) => setTimeout(resolve, 2_500));
    };
    await expired();
    assertEquals((await store.read(KEY, CALL))?.revision, made);
    await expired();
    const two = await put(store, KEY, "2", made);
    assert(two.kind === "committed");
    assertEquals((await watch.changed()).revision, two.revision);
    await expired();
    proxy.cut();
    proxy.mend();
    assertEquals(await watch.next(), { kind: "missed" });
    const three = await put(store, KEY, "3", two.revision);
    assert(three.kind === "committed");
    assertEquals((await watch.changed()).revision, three.revision);
    assert(await store.read("coreos.com/place", CALL) !== null);
    assert(await logins() - before >= 3);
    await lease.end(CALL);
    await store.close();
  });
}

story("signed logins go on after users were changed", async (way) => {
  await using server = await startEtcd({ ...way.server, users: true, signedLogins: true });
  const store = openEtcd({ endpoints: [server.endpoint], ...way.client, ...ROOT });
  const made = await make(store, KEY, "1");
  await using watch = watching(store, KEY);
  assertEquals(await watch.next(), { kind: "missed" });
  await server.ctl("user", "add", "another:secret");
  const two = await put(store, KEY, "2", made);
  assert(two.kind === "committed");
  assertEquals((await watch.changed()).revision, two.revision);
  await server.ctl("user", "add", "a-third:secret");
  assertEquals((await store.read(KEY, CALL))?.value, "2");
  await server.ctl("user", "add", "a-fourth:secret");
  await using late = watching(store, "coreos.com/late");
  assertEquals(await late.next(), { kind: "missed" });
  await store.close();
});

story("a member without a leader says so at once", async (way) => {
  await using cluster = await startEtcdCluster(3, () => way.server);
  const [first, second, third] = cluster.members as [EtcdServer, EtcdServer, EtcdServer];
  await leaderOf(cluster.members);
  const server = serverAt(first, way);
  // with users it logs in, while somebody lets it in
  await server.call(RANGE, { key: bytesOf(KEY) }, performance.now() + 10_000);
  await second.kill();
  await third.kill();
  while (!/^etcd_server_has_leader 0$/m.test(await first.metrics()));
  const begunMs = performance.now();
  const error = await assertRejects(() => server.call(TXN, {}, begunMs + 20_000));
  assertEquals(error instanceof Error && error.message, "etcdserver: no leader");
  // etcd itself gives up after 7 s
  assert(performance.now() - begunMs < 6_000);
  server.close();
  const store = openEtcd({ endpoints: [first.endpoint], ...way.client });
  for (
    const [what, attempt] of [["read", () => store.read(KEY, CALL)], ["change", () => write(store)]] as const
  ) {
    assertEquals(toldBy(await assertRejects(attempt, StoreError)), [
      "unreachable",
      `cannot ${what} "coreos.com/key": ${first.endpoint}: no leader`,
      MAJORITY,
    ]);
  }
  await store.close();
});

story("a read that a change of the leader ends is made again", async (way) => {
  await using cluster = await startEtcdCluster(3, () => way.server);
  // etcd may hear of the new leader and of its first commit at once, and answer: then the leader changes once more
  let ended = false;
  for (let changes = 0; !ended && changes < CHANGES_MAX; changes++) {
    const leader = await leaderOf(cluster.members);
    const [other] = cluster.members.filter((member) => member !== leader) as [EtcdServer];
    const server = serverAt(other, way);
    await server.call(RANGE, { key: bytesOf(KEY) }, performance.now() + 10_000);
    const store = openEtcd({ endpoints: [other.endpoint], ...way.client });
    leader.freeze();
    const answers = await Promise.allSettled([
      server.call(RANGE, { key: bytesOf(KEY) }, performance.now() + 10_000),
      store.read(KEY, CALL),
    ]);
    const [bare, asked] = answers;
    ended = bare.status === "rejected";
    if (bare.status === "rejected") assertEquals(bare.reason.message, "etcdserver: leader changed");
    assertEquals(asked, { status: "fulfilled", value: null });
    server.close();
    await store.close();
    leader.thaw();
  }
  assert(ended, `${CHANGES_MAX} changes of the leader ended no read`);
});

story(
  "an etcd that has more to do than it can says so, and has not done what it was asked for",
  async (way) => {
    await using server = await startEtcd(way.server);
    const store = openEtcd({ endpoints: [server.endpoint], ...way.client });
    const keys = Array.from({ length: 10_000 }, (_, index) => `many/${String(index).padStart(4, "0")}`);
    for (let at = 0; at < keys.length; at += 100) {
      await store.commit(
        { expect: [], put: keys.slice(at, at + 100).map((key) => ({ key, value: "1" })) },
        CALL,
      );
    }
    // etcd refuses when more than 5,000 changes are agreed on and not made yet: behind these few that take it long
    const look = {
      request_range: { ...prefixRequest("many/"), sort_target: "Create", sort_order: "Descend" },
    };
    const put = { request_put: { key: bytesOf(KEY) } };
    const flood = serverAt(server, way);
    let refusal: Error | undefined;
    for (let sent = 0; refusal === undefined && sent < 50_000; sent++) {
      const looks = Array(sent < 30 ? 100 : 0).fill({ request_range: { ...look.request_range, limit: 1 } });
      flood.call(TXN, { success: [put, ...looks] }, performance.now() + 60_000).catch((error) => {
        if (error.message.includes("too many requests")) refusal = error;
      });
      // now and then what came back is looked at
      if (sent % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assertEquals(etcdFailure(refusal, { endpoint: server.endpoint }), {
      kind: "unreachable",
      why: "it is overloaded (too many requests)",
      hint: "etcd cannot keep up with its requests; check its disk",
      next: "again",
      certain: true,
    });
    flood.close();
    await store.close();
  },
);

Deno.test("what etcd refuses under a code that says so has not happened, and under any other may have", () => {
  const endpoint = "http://127.0.0.1:2379";
  const codes = Array.from({ length: 17 }, (_, code) => code);
  const certain = codes.filter((code) => etcdFailure(new EtcdAnswerError(code, "why"), { endpoint }).certain);
  assertEquals(certain, [3, 5, 7, 8, 9, 11, 12, 16]);
});

/** One server, asked once. */
function serverAt({ endpoint }: EtcdServer, { client: { ca, username, password } }: Way): Server {
  const certificates = new CurrentCertificates(ca === undefined ? {} : { ca }, undefined);
  const login = username === undefined || password === undefined ? undefined : { username, password };
  return new Server(endpoint, certificates, login, new Pace(1, Math.random));
}

function toldBy({ kind, message, hint }: StoreError): [string, string, string | undefined] {
  return [kind, message, hint];
}

function unexpected(): void {
  throw new Error("a lease was lost that nobody took");
}
