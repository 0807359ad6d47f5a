/** Real daemons that come back from their reboot under another configuration: the slot goes back where it was taken. */

import { assertEquals, assertMatch } from "@std/assert";
import { locksmith, TestLock, TestMachine } from "./support/daemon_process.ts";
import { type EtcdServer, startEtcd } from "./support/etcd.ts";

const COMMAND = 'touch "$LOCKSMITH_ROOT/rebooted"';
const ACCEPTED = /^notice: the reboot is accepted/;

let etcd: EtcdServer | undefined;
Deno.test.afterAll(async () => {
  await etcd?.[Symbol.asyncDispose]();
});

/** What an administrator writes. */
function configure(machine: TestMachine, settings: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries({ LOCKSMITHD_REBOOT_COMMAND: COMMAND, ...settings });
  return machine.write(
    "etc/locksmith/locksmith.conf",
    lines.map(([name, value]) => `${name}=${value}\n`).join(""),
  );
}

/** A reboot by its daemon: until the machine is up again, without the need. */
async function reboot(machine: TestMachine): Promise<void> {
  await machine.need();
  const daemon = machine.start([]);
  await daemon.line(ACCEPTED);
  await daemon.stop("SIGKILL");
  await machine.need(false);
  await machine.boot();
}

Deno.test("daemon whose group was changed over the reboot gives the slot back in the group in which it was taken, and reboots in the new one", async () => {
  etcd ??= await startEtcd();
  const { endpoint } = etcd;
  await using machine = await TestMachine.make();
  await using former = await TestLock.open(endpoint, "former");
  await using latter = await TestLock.open(endpoint, "latter");
  await configure(machine, { LOCKSMITHD_ENDPOINT: endpoint, LOCKSMITHD_GROUP: "former" });
  await reboot(machine);
  assertEquals((await former.hold(machine.id))?.phase, "rebooting");
  await configure(machine, { LOCKSMITHD_ENDPOINT: endpoint, LOCKSMITHD_GROUP: "latter" });
  const daemon = machine.start([]);
  assertMatch(
    await daemon.line(/gave back/),
    /^info: this machine has rebooted; gave back the slot in group former at .* \(since .* because: .*reboot-required exists\)$/,
  );
  assertEquals((await former.read()).holders, []);
  // for another need: the last one counts as served for a while
  await machine.write("run/reboot-required.pkgs", "linux-image-2\n");
  await machine.need();
  await daemon.line(ACCEPTED);
  assertEquals((await latter.hold(machine.id))?.phase, "rebooting");
});

Deno.test("daemon that was moved to another store, and then to the strategy off, gives back what it took in each", async () => {
  etcd ??= await startEtcd();
  const { endpoint } = etcd;
  await using machine = await TestMachine.make();
  await using former = await TestLock.open(machine.store);
  await using latter = await TestLock.open(endpoint, "moved");
  await configure(machine, { LOCKSMITHD_ENDPOINT: machine.store });
  await reboot(machine);
  assertEquals((await former.read()).holders, [machine.id]);
  await configure(machine, { LOCKSMITHD_ENDPOINT: endpoint, LOCKSMITHD_GROUP: "moved" });
  const moved = machine.start([]);
  await moved.line(/gave back the slot in group \(default\) at sqlite:/);
  assertEquals((await former.read()).holders, []);
  await machine.write("run/reboot-required.pkgs", "linux-image-2\n");
  await machine.need();
  await moved.line(ACCEPTED);
  await moved.stop("SIGKILL");
  await machine.need(false);
  await machine.boot();
  assertEquals((await latter.read()).holders, [machine.id]);
  await configure(machine, { REBOOT_STRATEGY: "off" });
  const off = machine.start([]);
  await off.line(/gave back the slot in group moved at /);
  assertEquals((await off.status).code, 0, off.text);
  assertEquals((await latter.read()).holders, []);
});

if (Deno.uid() === 0) {
  Deno.test("daemon under the strategy off gives back the slot of 'locksmith reboot' after the boot", async () => {
    await using machine = await TestMachine.make();
    await using lock = await TestLock.open(machine.store, "typed");
    const args = ["reboot", "--root", machine.root, "--endpoint", machine.store, "--group", "typed"];
    assertEquals((await locksmith([...args, "--reboot-command", COMMAND])).code, 0);
    assertEquals((await lock.hold(machine.id))?.phase, "rebooting");
    await machine.boot();
    const daemon = machine.start(["--reboot-strategy", "off"]);
    assertEquals((await daemon.status).code, 0, daemon.text);
    assertEquals(daemon.count(/gave back the slot in group typed at /), 1, daemon.text);
    assertEquals((await lock.read()).holders, []);
  });
}
