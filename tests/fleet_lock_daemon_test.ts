/** Real daemons of the strategy fleet-lock, against a server that keeps the protocol and knows nothing else. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { locksmith, TestLock, TestMachine } from "./support/daemon_process.ts";
import { locksmith as build } from "./support/executable.ts";
import { TinyFleetLock } from "./support/tiny_fleet_lock.ts";

const COMMAND = 'touch "$LOCKSMITH_ROOT/rebooted"';
const ACCEPTED = /^notice: the reboot is accepted/;

function configure(machine: TestMachine, settings: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries({ LOCKSMITHD_REBOOT_COMMAND: COMMAND, ...settings });
  return machine.write(
    "etc/locksmith/locksmith.conf",
    lines.map(([name, value]) => `${name}=${value}\n`).join(""),
  );
}

/** What is left of this machine in its ledger. */
async function ledger(machine: TestMachine): Promise<string[]> {
  const folder = `${machine.root}/var/lib/locksmith/taken`;
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
}

Deno.test("the built daemon under fleet-lock is granted a slot, proves it, reboots, and gives it back after the boot, though the server was away then", async () => {
  const program = await build();
  await using server = await TinyFleetLock.start();
  await using machine = await TestMachine.make();
  const { id } = machine;
  await configure(machine, { LOCKSMITHD_FLEET_LOCK_URL: server.url.replace("://", "://web:s%2Fcret@") });
  await machine.need();
  const daemon = machine.start([], { program });
  await daemon.line(/^info: strategy fleet-lock: a server is configured by .*locksmith\.conf:2$/);
  await daemon.line(/^info: group \(default\) at http:\/\/127\.0\.0\.1:\d+, as b+\w+$/);
  await daemon.line(ACCEPTED);
  assertEquals(await machine.coordinator(), "fleet-lock rebooting");
  const requests = ["steady-state", "pre-reboot", "pre-reboot"].map((verb) => `${verb} default ${id}: 200`);
  assertEquals(server.log, requests);
  // it dies before the machine goes down: the next one knows what it has, and asks nobody
  await daemon.stop("SIGKILL");
  const next = machine.start([], { program });
  await next.line(/this machine holds a slot at .* and has not rebooted/);
  assertEquals([server.log, [...server.group("default")]], [requests, [id]]);
  await next.stop("SIGKILL");

  await server.stop();
  await machine.need(false);
  await machine.boot();
  const after = machine.start([], { program });
  await after.line(
    /^warning: cannot find out which slot this machine holds, trying again: http.*: connection refused$/,
  );
  assertEquals([...server.group("default")], [id]);
  await server.run();
  await after.line(/^info: this machine has rebooted; gave back the slot at http:/);
  assertEquals([[...server.group("default")], await ledger(machine)], [[], []]);
  assertEquals([...server.authorizations], [`Basic ${btoa("web:s/cret")}`]);
  for (const { text } of [daemon, next, after]) assert(!/s(%2F|\/)cret/.test(text), text);
});

Deno.test("daemon under fleet-lock tells why it waits, in the server's words, and leaves the line when it is stopped", async () => {
  await using server = await TinyFleetLock.start();
  await using machine = await TestMachine.make();
  server.group("web").add("other");
  await machine.need();
  const daemon = machine.start([
    ...["--fleet-lock-url", `${server.url}/`, "--group", "web", "--fleet-lock-id", "zincati"],
    ...["--reboot-command", COMMAND],
  ]);
  assertMatch(
    await daemon.line(/waiting for a slot/),
    /waiting for a slot: refused \(failed_lock\) at http:\/\/127.0.0.1:\d+: semaphore currently full, all slots are locked already$/,
  );
  const { code } = await daemon.stop();
  assertEquals(code, 0);
  const [, id] = /^steady-state web ([0-9a-f]{32}): 200$/.exec(server.log[0] ?? "") ?? [];
  assert(id !== undefined && id !== machine.id, server.log[0]);
  assertEquals(server.log.slice(1), [`pre-reboot web ${id}: 500`, `steady-state web ${id}: 200`]);
  assertEquals(await ledger(machine), []);
});

Deno.test("daemon whose strategy was changed over the reboot gives the slot back where it was taken, both ways", async () => {
  await using server = await TinyFleetLock.start();
  await using machine = await TestMachine.make();
  await using lock = await TestLock.open(machine.store);
  const atServer = { LOCKSMITHD_FLEET_LOCK_URL: server.url };
  const overStore = { LOCKSMITHD_ENDPOINT: machine.store };
  const reboot = async (settings: Readonly<Record<string, string>>, need: string) => {
    await configure(machine, settings);
    await machine.write("run/reboot-required.pkgs", `${need}\n`);
    await machine.need();
    const daemon = machine.start([]);
    await daemon.line(ACCEPTED);
    await daemon.stop("SIGKILL");
    await machine.need(false);
    await machine.boot();
  };
  await reboot(atServer, "linux-image-1");
  await configure(machine, overStore);
  const second = machine.start([]);
  await second.line(/^info: this machine has rebooted; gave back the slot in group \(default\) at http:/);
  assertEquals([...server.group("default")], []);
  await second.stop("SIGKILL");
  await reboot(overStore, "linux-image-2");
  assertEquals((await lock.read()).holders, [machine.id]);
  await configure(machine, { ...atServer, ...overStore, LOCKSMITHD_REBOOT_STRATEGY: "fleet-lock" });
  const third = machine.start([]);
  await third.line(/^info: this machine has rebooted; gave back the slot in group \(default\) at /);
  assertEquals((await lock.read()).holders, []);
});

if (Deno.uid() === 0) {
  Deno.test("reboot under fleet-lock takes a slot, proves it and calls; refused, full, unreachable and rehearsed it says so", async () => {
    await using server = await TinyFleetLock.start();
    await using machine = await TestMachine.make();
    const reboot = async (command: string, ...args: string[]) => {
      const { code, stdout, stderr } = await locksmith([
        ...["reboot", "--root", machine.root, "--fleet-lock-url", server.url, "--reboot-command", command],
        ...args,
      ]);
      return [code, stdout + stderr] as const;
    };
    const held = () => [...server.group("default")];
    const [rehearsed, how] = await reboot(COMMAND, "--dry-run");
    assertEquals([rehearsed, held()], [0, []]);
    assertMatch(how, /^dry run: this machine would reboot now, .*; the slot was given back$/m);
    const [failed, why] = await reboot("exit 3");
    assertEquals([failed, held(), await ledger(machine)], [1, [], []]);
    assertMatch(why, /the reboot was refused: .*\n.*the slot was given back/);
    server.group("default").add("other");
    assertMatch(
      (await reboot(COMMAND))[1],
      /error: not rebooting: refused \(failed_lock\) at http:.*: semaphore currently full/,
    );
    server.group("default").delete("other");
    server.log.length = 0;
    assertEquals(await reboot(COMMAND), [0, ""]);
    const { id } = machine;
    assertEquals(server.log, [`pre-reboot default ${id}: 200`, `pre-reboot default ${id}: 200`]);
    assertEquals(held(), [id]);
    await server.stop();
    assertMatch((await reboot(COMMAND))[1], /error: http:.*: connection refused\n/);
  });
}
