/** Real daemons on a machine with checks and hooks of its own; the reboot is played by a new boot id. */

import { assertEquals, assertMatch } from "@std/assert";
import { TestLock, TestMachine, until } from "./support/daemon_process.ts";

const CALLED = 'echo "${0##*/} ${LOCKSMITH_PHASE} ${LOCKSMITH_REBOOTED-}" >>"$LOCKSMITH_ROOT/calls"';

async function script(machine: TestMachine, path: string, text: string): Promise<void> {
  await machine.write(`etc/locksmith/${path}`, `#!/bin/sh\n${text}\n`, 0o755);
}

function start(machine: TestMachine, ...args: string[]) {
  const reboot = [
    "--reboot-command",
    'touch "$LOCKSMITH_ROOT/rebooted"',
    "--need",
    `file:${machine.root}/needed`,
  ];
  return machine.start(["--endpoint", machine.store, ...reboot, ...args]);
}

async function calls(machine: TestMachine): Promise<string[]> {
  return (await machine.read("calls")).split("\n").slice(0, -1);
}

Deno.test("a daemon asks its checks, runs its hooks once, and gives the slot back once the machine is well", async () => {
  await using machine = await TestMachine.make();
  await using lock = await TestLock.open(machine.store);
  await script(
    machine,
    "check.d/ready",
    `${CALLED}; [ -e "$LOCKSMITH_ROOT/$LOCKSMITH_PHASE" ] || { echo not $LOCKSMITH_PHASE; exit 1; }`,
  );
  await script(machine, "pre-reboot.d/drain", `${CALLED}; echo drained`);
  await script(machine, "post-boot.d/fill", CALLED);
  await machine.need();
  const daemon = start(machine);
  // an ill machine neither waits in line nor takes a slot
  await daemon.line(/^info: checks: ready$/);
  await daemon.line(/but this machine's checks say no: ready: not before/);
  assertEquals([(await lock.read()).holders, await lock.queue()], [[], []]);
  await daemon.stop();

  await machine.write("before", "");
  await machine.write("granted", "");
  const second = start(machine);
  await second.line(/hook pre-reboot\.d\/drain: drained/);
  await second.line(/the reboot is accepted/);
  await second.stop("SIGKILL");
  assertEquals((await lock.hold(machine.id))?.phase, "rebooting");

  await machine.need(false);
  await machine.boot();
  const third = start(machine);
  await third.line(/hook post-boot\.d\/fill: done/);
  await third.line(/has rebooted and is not well, keeping its slot: ready: not after/);
  await lock.until(({ holds }) => holds.get(machine.id)?.trouble === "ready: not after");
  await machine.write("after", "");
  await third.line(/this machine has rebooted; gave back the slot/);
  assertEquals(await calls(machine), [
    "ready before ",
    "ready before ",
    "ready granted ",
    "drain pre-reboot ",
    "fill post-boot yes",
    "ready after ",
    "ready after ",
  ]);
  assertEquals(await machine.read("var/lib/locksmith/prepared"), "");
});

Deno.test("a daemon that is stopped amid its hooks ends the one that runs, and the next takes back what was half prepared and prepares anew", async () => {
  await using machine = await TestMachine.make();
  await script(machine, "pre-reboot.d/a", CALLED);
  await script(
    machine,
    "pre-reboot.d/b",
    `${CALLED}; [ -e "$LOCKSMITH_ROOT/go" ] || { echo $$ >"$LOCKSMITH_ROOT/pid"; exec sleep 60; }`,
  );
  await script(machine, "post-boot.d/a", CALLED);
  await machine.need();
  const daemon = start(machine, "--reboot-strategy", "reboot");
  const pid = await until(() => machine.read("pid"), (text) => text.endsWith("\n"));
  await daemon.stop();
  await until(() => Deno.stat(`/proc/${pid.trim()}`).then(() => true, () => false), (there) => !there);
  await machine.write("go", "");
  await start(machine, "--reboot-strategy", "reboot").line(/the reboot is accepted/);
  assertEquals(await calls(machine), [
    "a pre-reboot ",
    "b pre-reboot ",
    "a post-boot no",
    "a pre-reboot ",
    "b pre-reboot ",
  ]);
});

Deno.test("a hook that fails costs the slot for now, and what was prepared is taken back; a dry run runs none", async () => {
  await using machine = await TestMachine.make();
  await using lock = await TestLock.open(machine.store);
  await script(machine, "pre-reboot.d/drain", `${CALLED}; echo no quorum; exit 1`);
  await script(machine, "post-boot.d/fill", CALLED);
  await machine.need();
  const dry = start(machine, "--dry-run");
  await dry.line(/dry run: the hooks of \/etc\/locksmith\/pre-reboot\.d would run/);
  await dry.line(/the reboot was refused: this is a dry run/);
  await dry.stop();
  assertEquals(await machine.read("calls"), "");
  await lock.until(({ holders }) => holders.length === 0);
  const daemon = start(machine);
  assertMatch(
    await daemon.line(/^warning: giving the slot back/),
    /giving the slot back: hook pre-reboot\.d\/drain: no quorum/,
  );
  await lock.until(({ holders }) => holders.length === 0);
  assertEquals(await calls(machine), ["drain pre-reboot ", "fill post-boot no"]);
  assertEquals(await machine.read("rebooted"), "");
});
