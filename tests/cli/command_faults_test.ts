/**
 * What an administrator sees of a store that is away, frozen, not trusted or not permitted: the built file ends within
 * ten seconds, exits 1, and says which endpoint and why.
 */

import { assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { makeCertificates } from "../support/certificates.ts";
import { startEtcd } from "../support/etcd.ts";
import { CACHE_DIR, locksmith } from "../support/executable.ts";
import { leashed } from "../support/child.ts";

const KEY = "coreos.com/updateengine/rebootlock/semaphore";
/** What a command may cost at most. */
const COMMAND_LIMIT_MS = 10_000;
/** The same of all commands at once, which a busy machine may take long to start: one that hangs never ends. */
const ALL_LIMIT_MS = 60_000;
/** Less than a call waits for its answer. */
const SIGNAL_LIMIT_MS = 3_000;

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly tookMs: number;
}

async function command(...args: string[]): Promise<Deno.Command> {
  return leashed(await locksmith(), {
    args,
    cwd: "/",
    clearEnv: true,
    env: { LOCKSMITH_CACHE_DIR: CACHE_DIR, USER: "admin" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

async function run(...args: string[]): Promise<Result> {
  const started = performance.now();
  const { code, stdout, stderr } = await (await command(...args)).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr), tookMs: performance.now() - started };
}

/** Exit 1, nothing on stdout, in time, and a message that fits. */
function assertFails(result: Result, ...parts: string[]): void {
  assertLess(result.tookMs, COMMAND_LIMIT_MS);
  assertSays(result, ...parts);
}

/** Exit 1, nothing on stdout, and a message that fits. */
function assertSays(result: Result, ...parts: string[]): void {
  assertEquals([result.code, result.stdout], [1, ""], result.stderr);
  assertMatch(result.stderr, /^locksmith: error: /);
  for (const part of parts) assertStringIncludes(result.stderr, part);
}

const COMMANDS = [
  ["status"],
  ["groups"],
  ["lock", "A"],
  ["unlock", "A"],
  ["set-max", "2"],
  ["repair"],
  [
    "lock",
    "A",
    "--wait",
  ],
  ["pause"],
  ["resume"],
  ["history"],
  ["status", "--verbose"],
];

/** An endpoint at which nothing listens. */
function closedEndpoint(): string {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return `http://127.0.0.1:${listener.addr.port}`;
}

Deno.test("every command ends within 10 s when nothing listens at the endpoint, and names it", async () => {
  await locksmith();
  const endpoint = closedEndpoint();
  for (const words of COMMANDS) assertFails(await run(...words, "--endpoint", endpoint), endpoint, "refused");
});

Deno.test("fault 7 of the old locksmith: an etcd that accepts and never answers hung every command for ever", async () => {
  await using etcd = await startEtcd();
  await run("set-max", "2", "--endpoint", etcd.endpoint);
  etcd.freeze();
  try {
    const results = await Promise.all(COMMANDS.map((words) => run(...words, "--endpoint", etcd.endpoint)));
    for (const result of results) {
      assertLess(result.tookMs, ALL_LIMIT_MS);
      assertSays(result, etcd.endpoint);
    }
  } finally {
    etcd.thaw();
  }
});

Deno.test("SIGINT and SIGTERM end a command at once, though etcd is frozen", async () => {
  await using etcd = await startEtcd();
  etcd.freeze();
  try {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const child = (await command("status", "--endpoint", etcd.endpoint)).spawn();
      // once it is connected, it waits for an answer that does not come
      await connected(child.pid);
      const sent = performance.now();
      child.kill(signal);
      const status = await child.status;
      await Promise.all([child.stdout.cancel(), child.stderr.cancel()]);
      assertEquals(status.signal, signal);
      assertLess(performance.now() - sent, SIGNAL_LIMIT_MS);
    }
  } finally {
    etcd.thaw();
  }
});

/** Resolves when the process has an established connection. */
async function connected(pid: number): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (performance.now() < deadline) {
    const sockets = new Set<string>();
    for await (const { name } of Deno.readDir(`/proc/${pid}/fd`)) {
      const target = await Deno.readLink(`/proc/${pid}/fd/${name}`).catch(() => "");
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode !== undefined) sockets.add(inode);
    }
    const rows = (await Deno.readTextFile(`/proc/${pid}/net/tcp`)).split("\n").map((row) =>
      row.trim().split(/\s+/)
    );
    if (rows.some((row) => row[3] === "01" && sockets.has(row[9] ?? ""))) return;
  }
  throw new Error(`process ${pid} made no connection`);
}

Deno.test("fault 10 of the old locksmith: TLS with the CA alone works, and what is wrong with it is said", async () => {
  await using certificates = await makeCertificates();
  await using etcd = await startEtcd({ tls: certificates });
  await using other = await makeCertificates();
  const endpoint = ["--endpoint", etcd.endpoint];

  assertEquals(
    (await run("status", ...endpoint, "--etcd-cafile", certificates.ca.path)).stdout,
    "Available: 1\nMax: 1\n",
  );
  assertFails(await run("status", ...endpoint, "--etcd-cafile", other.ca.path), etcd.endpoint, "certificate");
  assertFails(await run("status", ...endpoint), etcd.endpoint, "certificate");
  assertFails(
    await run("status", "--endpoint", etcd.endpoint.replace("https:", "http:")),
    "http://127.0.0.1",
  );

  const missing = await run(
    "status",
    ...endpoint,
    "--etcd-cafile",
    "/nowhere/ca.pem",
    "--etcd-certfile",
    certificates.client.cert.path,
  );
  assertEquals(missing.code, 2);
  assertStringIncludes(missing.stderr, "--etcd-cafile: cannot read '/nowhere/ca.pem'");
  assertStringIncludes(missing.stderr, "--etcd-certfile: needs --etcd-keyfile too");
});

Deno.test("a server that wants a client certificate says so to who has none, and lets in who has one", async () => {
  await using certificates = await makeCertificates();
  await using etcd = await startEtcd({ tls: certificates, clientCertificates: true });
  const options = ["--endpoint", etcd.endpoint, "--etcd-cafile", certificates.ca.path];
  assertFails(await run("status", ...options), etcd.endpoint, "certificate");
  const { cert, key } = certificates.client;
  const result = await run("status", ...options, "--etcd-certfile", cert.path, "--etcd-keyfile", key.path);
  assertEquals([result.code, result.stdout], [0, "Available: 1\nMax: 1\n"], result.stderr);
});

Deno.test("fault 6 of the old locksmith: a read-only user can look, and is told what it may not do", async () => {
  await using etcd = await startEtcd({ users: true });
  const as = (name: string, password: string) => [
    "--endpoint",
    etcd.endpoint,
    "--etcd-username",
    name,
    "--etcd-password",
    password,
  ];
  const reader = as("reader", "reader-secret");
  assertEquals((await run("status", ...reader)).stdout, "Available: 1\nMax: 1\n");
  assertEquals((await run("status", "--verbose", ...reader)).stdout, "Available: 1\nMax: 1\n");
  assertFails(await run("lock", "A", ...reader), etcd.endpoint, "permission");
  assertFails(await run("pause", ...reader), etcd.endpoint, "permission");
  assertEquals((await run("status", ...reader)).stdout, "Available: 1\nMax: 1\n");
  assertFails(await run("status", ...as("reader", "wrong")), etcd.endpoint, "password");
  assertFails(await run("status", "--endpoint", etcd.endpoint), etcd.endpoint, "--etcd-username");
  assertEquals((await run("lock", "A", ...as("root", "root-secret"))).code, 0);
});

Deno.test("status costs etcd one read and no write, with the queue too, an uncontended lock or unlock one of each", async () => {
  await using etcd = await startEtcd();
  const cost = async (...words: string[]) => {
    const before = await etcd.requests();
    const result = await run(...words, "--endpoint", etcd.endpoint);
    const after = await etcd.requests();
    const calls = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const);
    return [result.code, Object.fromEntries(calls.filter(([, count]) => count > 0))];
  };
  // nothing is stored yet: both look which other groups there are
  assertEquals(await cost("status"), [0, { "KV/Range": 1, "KV/Txn": 1 }]);
  assertEquals(await cost("set-max", "2"), [0, { "KV/Range": 2, "KV/Txn": 1 }]);
  assertEquals(await cost("status"), [0, { "KV/Txn": 1 }]);
  assertEquals(await cost("lock", "A"), [0, { "KV/Txn": 2 }]);
  assertEquals(await cost("status", "--json"), [0, { "KV/Txn": 1 }]);
  assertEquals(await cost("groups"), [0, { "KV/Range": 1 }]);
  assertEquals(await cost("unlock", "A"), [0, { "KV/Range": 1, "KV/Txn": 1 }]);
  assertEquals(await cost("set-max", "2"), [0, { "KV/Range": 1 }]);
});

Deno.test("50 processes that lock different ids at once on max 50 all have a slot on etcd, and none is lost", async () => {
  await using etcd = await startEtcd();
  await assertFiftyAtOnce(etcd.endpoint);
});

Deno.test("50 processes that lock different ids at once on max 50 all have a slot on sqlite, and none is lost", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await assertFiftyAtOnce(`sqlite:${dir}/locksmith.db`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

/** Locks fifty ids with as many processes at once, then gives every slot back the same way. */
async function assertFiftyAtOnce(endpoint: string): Promise<void> {
  const options = ["--endpoint", endpoint];
  const ids = Array.from({ length: 50 }, (_, i) => `machine-${String(i).padStart(2, "0")}`);
  const status = async () => {
    const { available, holders } = JSON.parse((await run("status", "--json", ...options)).stdout);
    return [available, holders];
  };
  assertEquals((await run("set-max", "50", ...options)).code, 0);
  for (const [command, available, holders] of [["lock", 0, ids], ["unlock", 50, []]] as const) {
    const results = await Promise.all(ids.map((id) => run(command, id, ...options)));
    assertEquals(results.filter(({ code }) => code !== 0).map(({ stderr }) => stderr), []);
    assertEquals(await status(), [available, holders]);
  }
}

Deno.test("fault 5 of the old locksmith: set-max printed success though its swap was lost", async () => {
  await using etcd = await startEtcd();
  const options = ["--endpoint", etcd.endpoint];
  // twenty at once: most lose a swap or more, each success must be true when it is told
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, i) => run("set-max", String(i + 101), ...options)),
  );
  assertEquals(results.map(({ code }) => code), results.map(() => 0));
  const told = results.map(({ stdout }) =>
    /^Old-Max: (\d+)\nMax: (\d+)\n$/.exec(stdout)?.slice(1).map(Number) ?? []
  );
  // in the order of the commits each saw the max of the one before it, from the first to the last
  const follows = new Map(told.map(([old, max]) => [old, max]));
  assertEquals(follows.size, 20, "two of them say that they replaced the same max");
  const chain = [1];
  for (let max = follows.get(1); max !== undefined && chain.length <= 20; max = follows.get(max)) {
    chain.push(max);
  }
  assertEquals(chain.length, 21, `not all are in the chain ${chain.join(" -> ")}`);
  assertEquals(JSON.parse((await run("status", "--json", ...options)).stdout).max, chain.at(-1));
});

Deno.test("fault 13 of the old locksmith: nothing recorded who holds a slot, since when and why", async () => {
  await using etcd = await startEtcd();
  await run("lock", "A", "--reason", "disk swap", "--endpoint", etcd.endpoint);
  const { holds } = JSON.parse(await etcd.ctl("get", KEY, "--print-value-only"));
  assertEquals(Object.keys(holds), ["A"]);
  const { since, by, reason } = holds.A;
  assertMatch(since, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assertMatch(by, /^admin@/);
  assertEquals(reason, "disk swap");
});

Deno.test("set-max above 200 says on etcd what room that needs, and exits 0", async () => {
  await using etcd = await startEtcd();
  const { code, stdout, stderr } = await run("set-max", "500", "--endpoint", etcd.endpoint);
  assertEquals([code, stdout], [0, "Old-Max: 1\nMax: 500\n"]);
  assertMatch(
    stderr,
    /^locksmith: hint: with 500 holders each change writes 170 kB: .*--auto-compaction-retention=1h\n$/,
  );
});
