/** What breaks around a server: its store is away, its disk is full, its clock is set back, its connections are used up. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { TestLock, until } from "../support/daemon_process.ts";
import { startEtcd } from "../support/etcd.ts";
import { slotFaults, SlotHistory } from "../support/slot_history.ts";
import { TestServer } from "../support/test_server.ts";

const IDLE = 2_000;
/** What the disk of a server holds, in bytes: its database fits, and little more. */
const DISK = 2 * 1024 * 1024;
const HOUR_S = 3_600;

/** Kind and value of a refusal. */
function refusalOf(
  [status, text]: readonly [number, string],
): { status: number; kind: string; value: string } {
  return { status, ...JSON.parse(text) };
}

Deno.test("a server whose etcd is stopped refuses with 503 and says why, also whoever waits then, and goes on by itself when etcd is back", async () => {
  await using etcd = await startEtcd();
  await using server = await TestServer.make({ endpoint: etcd.endpoint });
  await server.start();
  const ask = (id: string) => server.fleetlock("/v1/pre-reboot", "", id);
  assertEquals(await ask("a"), [200, ""]);
  assertEquals(refusalOf(await ask("b")).kind, "full");
  const history = new SlotHistory("default");
  const waits = history.ask(server.url, "c", "pre-reboot", { waitS: 60, limitMs: 60_000 });
  await using lock = await TestLock.open(etcd.endpoint);
  await until(() => lock.queue(), (machines) => machines.includes("c"));
  await etcd.kill();
  await until(async () => (await server.ask("/readyz"))[0], (status) => status === 503);
  for (const [path, id] of [["pre-reboot", "a"], ["pre-reboot", "b"], ["steady-state", "a"]] as const) {
    const { status, kind, value } = refusalOf(await server.fleetlock(`/v1/${path}`, "", id));
    assertEquals([status, kind], [503, "unavailable"], path);
    assert(value.includes(etcd.endpoint), value);
  }
  await etcd.start();
  await server.ready();
  assertEquals(await ask("a"), [200, ""]);
  // its connection was kept all the time, and so was its place
  await until(() => lock.queue(), (machines) => machines.includes("c"));
  assertEquals(await server.fleetlock("/v1/steady-state", "", "a"), [200, ""]);
  assertEquals((await waits).text, "200 ");
  assertEquals((await lock.read()).holders, ["c"]);
});

Deno.test("a server whose etcd is full refuses and says so, loses nothing, and goes on when there is room", async () => {
  await using etcd = await startEtcd({ args: ["--quota-backend-bytes=500000"] });
  await using server = await TestServer.make({ endpoint: etcd.endpoint });
  await server.start();
  const ask = (verb: string, id: string) => server.fleetlock(`/v1/${verb}`, "", id, "web");
  assertEquals(await ask("pre-reboot", "a"), [200, ""]);
  const ballast = "x".repeat(50_000);
  await until(() => etcd.ctl("put", "ballast", ballast).then(() => "", String), (said) => said !== "");
  const { status, kind, value } = refusalOf(await ask("steady-state", "a"));
  assertEquals([status, kind], [503, "unavailable"]);
  assertMatch(value, /its database is full, and it accepts no changes \(alarm NOSPACE\)/);
  const { revision } = JSON.parse(await etcd.ctl("get", "ballast", "--write-out=json")).header;
  await etcd.ctl("compact", String(revision));
  await etcd.ctl("defrag");
  await etcd.ctl("alarm", "disarm");
  await until(() => ask("steady-state", "a"), ([status]) => status === 200);
  await until(() => ask("pre-reboot", "b"), ([status]) => status === 200);
  await using lock = await TestLock.open(etcd.endpoint, "web");
  assertEquals((await lock.read()).holders, ["b"]);
});

Deno.test({
  name: "a server whose disk is full refuses and says so, loses nothing, and goes on when there is room",
  ignore: Deno.uid() !== 0,
  async fn() {
    const dir = await Deno.makeTempDir();
    await mount("-t", "tmpfs", "-o", `size=${DISK}`, "tmpfs", dir);
    try {
      await using server = await TestServer.make({ dir });
      await server.start();
      const ask = (verb: string, id: string) => server.fleetlock(`/v1/${verb}`, "", id, "web");
      assertEquals(await ask("pre-reboot", "a"), [200, ""]);
      await fill(`${dir}/ballast`);
      // SQLite's log has room for some more
      const told = refusalOf(
        await until(async () => {
          const released = await ask("steady-state", "a");
          return released[0] === 200 ? await ask("pre-reboot", "a") : released;
        }, ([status]) => status !== 200),
      );
      assertEquals([told.status, told.kind], [503, "unavailable"]);
      // nothing happened for certain, so nobody has to find out what did
      assertMatch(told.value, /^cannot commit in sqlite:.*: no space left on device$/);
      // whatever it was in the middle of, the host asks again
      await Deno.remove(`${dir}/ballast`);
      await until(() => ask("pre-reboot", "a"), ([status]) => status === 200);
      assertEquals(refusalOf(await ask("pre-reboot", "b")).kind, "full");

      await fill(`${dir}/ballast`);
      await server.kill();
      await Deno.remove(`${dir}/ballast`);
      await server.start();
      assertEquals(refusalOf(await ask("pre-reboot", "b")).kind, "full");
      assertEquals(await ask("steady-state", "a"), [200, ""]);
      assertEquals(await ask("pre-reboot", "b"), [200, ""]);
    } finally {
      await mount("--umount", dir);
      await Deno.remove(dir);
    }
  },
});

Deno.test("a server whose clock is set back and forth grants nobody a slot that is taken, and keeps the order of those who wait", async () => {
  const dir = await Deno.makeTempDir();
  const clock = `${dir}/clock`;
  const setClock = (offsetS: number) => Deno.writeTextFile(clock, `${offsetS < 0 ? "" : "+"}${offsetS}\n`);
  await setClock(0);
  const env = {
    LD_PRELOAD: await libfaketime(),
    FAKETIME_TIMESTAMP_FILE: clock,
    FAKETIME_NO_CACHE: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  };
  await using server = await TestServer.make({ env });
  await server.start();
  const history = new SlotHistory("default");
  const ask = async (id: string, verb: "pre-reboot" | "steady-state" = "pre-reboot") =>
    (await history.ask(server.url, id, verb)).text;
  const inLine = async () => {
    const { queue } = JSON.parse((await server.ask("/api/v1/groups/default"))[1]);
    return queue.length;
  };
  assertEquals(await ask("a"), "200 ");
  const waiting = [];
  for (const id of ["b", "c"]) {
    waiting.push(history.ask(server.url, id, "pre-reboot", { waitS: 60, limitMs: 60_000 }));
    await until(inLine, (length) => length === waiting.length);
  }
  const [b, c] = waiting;
  for (const offsetS of [-24 * HOUR_S, 48 * HOUR_S, -HOUR_S]) {
    await setClock(offsetS);
    assertEquals(await ask("late"), "409 full", `at ${offsetS} s`);
    assertEquals(await ask("a"), "200 ", `at ${offsetS} s`);
  }
  assertEquals(await ask("a", "steady-state"), "200 ");
  assertEquals((await b)?.text, "200 ");
  await setClock(-2 * HOUR_S);
  assertEquals(await ask("late"), "409 full");
  assertEquals(await ask("b", "steady-state"), "200 ");
  assertEquals((await c)?.text, "200 ");
  await using lock = await TestLock.open(server.store);
  assertEquals(slotFaults(history.askings, 1, (await lock.read()).holders), []);
  await Deno.remove(dir, { recursive: true });
});

Deno.test(`a server with ${IDLE} idle connections answers everybody else`, async () => {
  await using server = await TestServer.make();
  await server.start();
  const idle: Deno.TcpConn[] = [];
  try {
    for (let batch = 0; batch < IDLE; batch += 100) {
      const connections = Array.from({ length: 100 }, () => Deno.connect({ port: server.port }));
      idle.push(...await Promise.all(connections));
    }
    for (const connection of idle.slice(0, IDLE / 2)) {
      // and half of them have begun a request
      await connection.write(new TextEncoder().encode("POST /v1/pre-reboot HTTP/1.1\r\nhost: localhost\r\n"));
    }
    const began = performance.now();
    assertEquals(await server.fleetlock("/v1/pre-reboot", "", "a"), [200, ""]);
    assertEquals(await server.fleetlock("/v1/steady-state", "", "a"), [200, ""]);
    assert(performance.now() - began < 5_000, "an answer took seconds");
  } finally {
    for (const connection of idle) connection.close();
  }
  assertEquals((await server.process.stop()).code, 0);
});

/** Writes a file until the disk has no room left for a byte. */
async function fill(path: string): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, append: true });
  for (let size = 65_536; size >= 1;) {
    try {
      if (await file.write(new Uint8Array(size)) === 0) break;
    } catch {
      size = Math.floor(size / 2);
    }
  }
}

async function mount(...args: readonly string[]): Promise<void> {
  const [program, words] = args[0] === "--umount" ? ["umount", args.slice(1)] : ["mount", args];
  const { success, stderr } = await new Deno.Command(program, { args: [...words] }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

async function libfaketime(): Promise<string> {
  for await (const { name } of Deno.readDir("/usr/lib")) {
    const path = `/usr/lib/${name}/faketime/libfaketime.so.1`;
    if (await Deno.stat(path).then(() => true, () => false)) return path;
  }
  throw new Error("libfaketime is not installed");
}
