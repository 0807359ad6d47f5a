/** Stories of real daemons that are held off: by people who are logged in, by commands and files, by their own count. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { startBus } from "./support/bus.ts";
import { locksmith, TestLock, TestMachine, until } from "./support/daemon_process.ts";

const REBOOT_LOG = ["--reboot-command", 'date +%s.%N >>"$LOCKSMITH_ROOT/rebooted"'];

Deno.test("a machine that waits for people takes no slot while somebody is logged in, tells nobody, and goes once they have left", async () => {
  await using bus = await startBus();
  await using machine = await TestMachine.make();
  await using lock = await TestLock.open(machine.store);
  await machine.need();
  await machine.write("bin/wall", `#!/bin/sh\ncat >>"${machine.root}/wall.txt"\n`, 0o755);
  for (const [id, user, uid] of [["c1", "anna", 1000], ["c2", "backup", 34]] as const) {
    await bus.logind.addSession({ id, user, uid });
  }
  const args = [
    "--endpoint",
    machine.store,
    "--sessions",
    "wait",
    "--session-ignore-users",
    "backup, nobody",
  ];
  const options = { bus: bus.address, path: `${machine.root}/bin:${Deno.env.get("PATH")}` };
  const daemon = machine.start(args, options);
  assertMatch(
    await daemon.line(/^warning: a reboot is needed/),
    /but is not possible now: anna is logged in$/,
  );
  assertEquals([(await lock.read()).holders, await lock.queue()], [[], []]);
  const { stdout } = await locksmith(
    ["status", "--verbose", "--root", machine.root, "--endpoint", machine.store],
  );
  assertMatch(stdout, /^This machine: a reboot is needed since .* ago: .*\/run\/reboot-required exists$/m);
  assertMatch(stdout, /^This machine: .* is not possible now: anna is logged in; until /m);
  await bus.logind.endSession("c1");
  // it asks again after a minute
  await daemon.stop("SIGKILL");
  await machine.start(args, options).line(/the reboot is accepted/);
  assertEquals([await machine.read("wall.txt"), bus.logind.rebootCalls()], ["", 1]);
});

Deno.test("'locksmith reboot --cancel' stops a reboot that people were told of: the slot goes back, and they are told", async () => {
  await using bus = await startBus();
  await using machine = await TestMachine.make();
  await using lock = await TestLock.open(machine.store);
  await machine.write("bin/wall", `#!/bin/sh\ncat >>"${machine.root}/wall.txt"\n`, 0o755);
  await bus.logind.addSession({ id: "c1", user: "anna", uid: 1000 });
  const daemon = machine.start(["--endpoint", machine.store, "--session-grace", "5m"], {
    bus: bus.address,
    path: `${machine.root}/bin:${Deno.env.get("PATH")}`,
  });
  await daemon.line(/^info: reboot requests come from/);
  assertEquals((await locksmith(["send-need-reboot", "--root", machine.root])).code, 0);
  await daemon.line(/^notice: anna logged in; rebooting in 5 min$/);
  const there = ["--root", machine.root];
  const cancelled = await locksmith(["reboot", "--cancel", "--reason", "not today", ...there]);
  assertMatch(
    cancelled.stdout,
    /^reboots by the daemon are postponed until .* \(1h\)\nthe reboot that was asked for with 'locksmith send-need-reboot' is no longer asked for\n$/,
  );
  assertStringIncludes(
    cancelled.stderr,
    "the reboot that was about to come is cancelled, and the slot goes back",
  );
  assertEquals(cancelled.code, 0);
  await lock.until(({ holders }) => holders.length === 0);
  await until(
    () => machine.read("wall.txt"),
    (text) => text.includes("the reboot that was announced is cancelled"),
  );
  assertMatch(
    (await locksmith(["postpone", ...there])).stdout,
    /^reboots are postponed until .*, because: not today\n$/,
  );
  assertEquals(
    (await locksmith(["postpone", "--cancel", ...there])).stdout,
    "reboots are no longer postponed\n",
  );
  assertEquals((await locksmith(["postpone", ...there])).stdout, "reboots are not postponed\n");
  assertEquals(bus.logind.rebootCalls(), 0);
});

Deno.test("a machine whose reboots are disabled or postponed leaves the line, by hand it reboots with --force alone, and it goes on after", async () => {
  await using machine = await TestMachine.make();
  await using lock = await TestLock.open(machine.store);
  await lock.lock("another");
  await machine.need();
  const daemon = machine.start(["--endpoint", machine.store, ...REBOOT_LOG]);
  await daemon.line(/waiting for a slot/);
  const there = ["--root", machine.root];
  const postponed = await locksmith(["postpone", "2h", "--reason", "the fair", ...there]);
  assertMatch(postponed.stdout, /^reboots by the daemon are postponed until .* \(2h\)\n$/);
  assertMatch(postponed.stderr, /the daemon has left the line\n$/);
  assertMatch(
    await daemon.line(/postponed/),
    /but reboots are postponed until .* by .*, because: the fair; the next chance is /,
  );
  await until(() => lock.queue(), (queue) => queue.length === 0);
  await machine.write("etc/locksmith/disable", "migration\n");
  await locksmith(["postpone", "--cancel", ...there]);
  await daemon.line(/but reboots are disabled on this host by .*\/disable: migration$/);
  await lock.unlock("another");
  const byHand = await locksmith(["reboot", ...there, "--endpoint", machine.store, ...REBOOT_LOG]);
  assertMatch(byHand.stderr, /disable: migration; not rebooting\n.*--force reboots all the same\n$/);
  assertEquals([byHand.code, await machine.read("rebooted")], [1, ""]);
  await Deno.remove(`${machine.root}/etc/locksmith/disable`);
  await daemon.line(/the reboot is accepted/);
  const late = await locksmith(["reboot", "--cancel", ...there]);
  assertMatch(
    late.stderr,
    /^locksmith: error: too late: the reboot of this machine has been called already\n/,
  );
  assertEquals([late.code, await machine.read("var/lib/locksmith/postponed")], [1, ""]);
});

Deno.test("a machine that has rebooted --max-reboots times in a day stops, says so across boots, and goes on after 'locksmith reset'", async () => {
  await using machine = await TestMachine.make();
  await machine.write("proc/uptime", "60.00 10.00\n");
  const args = ["--reboot-strategy", "reboot", "--max-reboots", "1", ...REBOOT_LOG];
  await machine.need();
  const first = machine.start(args);
  await first.line(/the reboot is accepted/);
  await first.stop("SIGKILL");
  await machine.boot();
  await machine.write("run/reboot-required.pkgs", "something-new\n");
  const second = machine.start(args);
  const stopped = /^error: this machine has rebooted once within 24 hours .*'locksmith reset'$/;
  await second.line(stopped);
  await second.stop("SIGKILL");
  await machine.boot();
  const third = machine.start(args);
  await third.line(stopped);
  assertEquals((await machine.read("rebooted")).split("\n").length - 1, 1);
  const { stdout } = await locksmith(["reset", "--root", machine.root]);
  assertStringIncludes(stdout, "the count of this host's reboots begins anew\n");
  await third.line(/the reboot is accepted/);
});
