/**
 * Stories of real daemons: processes of their own, a private system bus, real stores. What is awaited is a line of the
 * log, a call on the bus or a document, never a time.
 */

import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { describeInstant } from "../lib/description.ts";
import { startBus } from "./support/bus.ts";
import { locksmith, type TestDaemon, TestLock, TestMachine, until } from "./support/daemon_process.ts";
import { type EtcdServer, startEtcd } from "./support/etcd.ts";
import { PLACE_TTL_MS } from "../lib/queue.ts";

const STOP_LIMIT_MS = 3_000;
/** How much longer than asked for a lease may last. */
const LEASE_SLACK_MS = 60_000;
const FULL = /waiting for a slot: first in line, all slots are held \(available: 0\): /;
const BEHIND = /waiting for a slot: in line behind another machine/;
const REBOOT_LOG = ["--reboot-command", 'date +%s.%N >>"$LOCKSMITH_ROOT/rebooted"'];
const KERNEL = { what: "shutdown", who: "apt", why: "upgrading", mode: "block", uid: 0, pid: 42 };

/** `HH:MM` on the clock of UTC. */
function clock(ms: number): string {
  return new Date(ms).toISOString().slice(11, 16);
}

/** A window in UTC, from `HH:MM` on, as options. */
function windowArgs(startMs: number, length: string): string[] {
  return ["--reboot-window-start", clock(startMs), "--reboot-window-length", length, "--zone", "UTC"];
}

/** SIGTERM ends it, with exit code 0 and soon. */
async function assertStops(daemon: TestDaemon, where: string): Promise<void> {
  const { code, tookMs } = await daemon.stop();
  assertEquals(code, 0, `${where}:\n${daemon.text}`);
  assertLess(tookMs, STOP_LIMIT_MS, where);
  assertEquals(daemon.lines.at(-1), "info: SIGTERM: stopping");
}

/** A fake `wall` that keeps the message, and the PATH with it in front. */
async function fakeWall(machine: TestMachine): Promise<string> {
  await machine.write("bin/wall", `#!/bin/sh\ncat >"${machine.root}/wall.txt"\n`, 0o755);
  return `${machine.root}/bin:${Deno.env.get("PATH")}`;
}

// Windows begin with a minute, and places in line last for half a one: three stories wait for that. They run beside the other tests: begun by the first test, and
// awaited by those that bear their names.
const background = new Map<string, Promise<void>>();
function begun(name: string, story: () => Promise<void>): Promise<void> {
  const running = background.get(name) ?? story();
  running.catch(() => {}); // told by the test that awaits it
  background.set(name, running);
  return running;
}

async function opensLater(): Promise<void> {
  await using machine = await TestMachine.make();
  await machine.need();
  const MINUTE_MS = 60_000;
  // with time enough for the daemon to start before
  const opensAt = Math.ceil((Date.now() + 20_000) / MINUTE_MS) * MINUTE_MS;
  const daemon = machine.start([
    ...["--endpoint", machine.store, ...REBOOT_LOG],
    ...windowArgs(opensAt, "10m"),
  ]);
  await daemon.line(/^info: reboot window: every day at /);
  const opens = describeInstant(opensAt, "UTC");
  assertStringIncludes(
    await daemon.line(/waiting for the window/),
    `info: a reboot is needed (${machine.root}/run/reboot-required exists); waiting for the window that opens ${opens}`,
  );
  await using lock = await TestLock.open(machine.store);
  assertEquals((await lock.read()).holders, []);
  while (Date.now() < opensAt - 5_000) {
    await new Promise((resolve) => setTimeout(resolve, opensAt - 5_000 - Date.now()));
  }
  assertEquals((await lock.read()).holders, [], "no slot is taken before the window opens");
  await daemon.line(/the reboot is accepted/);
  assert(Number(await machine.read("rebooted")) * 1_000 >= opensAt, "it rebooted before the window opened");
  assertEquals((await lock.hold(machine.id))?.phase, "rebooting");
}

async function closesMeanwhile(): Promise<void> {
  await using machine = await TestMachine.make();
  await machine.need();
  await using lock = await TestLock.open(machine.store);
  await lock.lock("another");
  const now = Date.now();
  const length = `${((now % 60_000) / 1_000 + 30).toFixed(3)}s`;
  const daemon = machine.start([
    ...["--endpoint", machine.store, "--session-grace", "0s", ...REBOOT_LOG],
    ...windowArgs(now, length),
  ]);
  await daemon.line(FULL);
  await daemon.line(/waiting for the window that opens /);
  await lock.unlock("another");
  await assertStops(daemon, "waiting for the window");
  assertEquals(await machine.read("rebooted"), "");
  assertEquals((await lock.read()).holders, []);
}

/** The lease of a place lasts half a minute, so this one too runs beside the others. */
async function killedInLine(): Promise<void> {
  // one of its own: the others freeze and kill theirs
  await using server = await startEtcd();
  await using line = await inLine(server.endpoint, "killed in line");
  const { lock } = line;
  const first = line.first.start();
  await first.line(FULL);
  const second = line.second.start();
  await second.line(BEHIND);
  await first.stop("SIGKILL");
  await lock.unlock("another");
  assertEquals(await lock.queue(), [line.first.id, line.second.id], "the dead stand in line for a while");
  await until(() => lock.queue(), (queue) => !queue.includes(line.first.id), PLACE_TTL_MS + LEASE_SLACK_MS);
  await second.line(/the reboot is accepted/);
  assertEquals((await lock.read()).holders, [line.second.id]);
}

let etcd: EtcdServer | undefined;
/** One etcd for the stories that need one; each has its own group. */
async function theEtcd(): Promise<EtcdServer> {
  return etcd ??= await startEtcd();
}

Deno.test("daemon reboots by logind after send-need-reboot on a real bus, and gives its slot back after the boot", async () => {
  begun("opens later", opensLater);
  begun("closes meanwhile", closesMeanwhile);
  begun("killed in line", killedInLine);
  await using bus = await startBus();
  await using machine = await TestMachine.make();
  await using lock = await TestLock.open(machine.store);
  const args = [
    ...["--endpoint", machine.store, "--debug"],
    ...windowArgs(Date.now() - 3_600_000, "3h"),
  ];
  const first = machine.start(args, { bus: bus.address });
  await first.line(/^debug: need of a reboot: \{"kind":"not-needed"\}$/);
  assertEquals(await machine.coordinator(), "etcd-lock running");

  assertEquals(
    await locksmith(["send-need-reboot", "--root", machine.root], {
      bus: bus.address,
      env: { SUDO_USER: "anna" },
    }),
    { code: 0, stdout: "", stderr: "" },
  );
  await bus.logind.nextReboot();
  await first.line(/^notice: the reboot is accepted; this machine is going down$/);
  assertEquals(await machine.coordinator(), "etcd-lock rebooting");
  const { since, grant, confirm, ...hold } = await lock.hold(machine.id) ?? { extra: {} };
  assertEquals(hold, {
    host: machine.host,
    boot: await machine.bootId(),
    by: "locksmithd",
    reason: `anna@${machine.host} asked for it (send-need-reboot)`,
    phase: "rebooting",
    memory: "disk",
    extra: {},
  });
  assertMatch(since ?? "", /^\d{4}-\d\d-\d\dT.*Z$/);
  assertMatch(grant ?? "", /^[0-9a-f-]{36}$/);
  assertMatch(confirm ?? "", /^[0-9a-f-]{36}$/);
  assertEquals(bus.logind.rebootCalls(), 1);

  await first.stop("SIGKILL");
  await machine.boot();
  const second = machine.start(args, { bus: bus.address });
  assertEquals(
    (await second.line(/gave back the slot/)).replace(/since .*? ago/, "since T"),
    "info: this machine has rebooted; gave back the slot (since T, by locksmithd, " +
      `because: anna@${machine.host} asked for it (send-need-reboot))`,
  );
  assertEquals((await lock.read()).holders, []);
  await second.line(/^debug: need of a reboot: \{"kind":"not-needed"\}$/);
  await until(() => machine.coordinator(), (state) => state === "etcd-lock running");
  await assertStops(second, "idle");
});

Deno.test("daemon reboots by the command of the operator once the sentinel file appears, and tells it who and where", async () => {
  await using machine = await TestMachine.make();
  const command = 'env | grep "^LOCKSMITH_" | grep -v "^LOCKSMITH_RUN=" | sort >"$LOCKSMITH_ROOT/env"';
  const daemon = machine.start([
    ...["--endpoint", machine.store, "--group", "web", "--debug"],
    ...["--reboot-command", command],
  ]);
  await daemon.line(/^debug: need of a reboot: \{"kind":"not-needed"\}$/);
  await machine.write("run/reboot-required.pkgs", "linux-image\nlibc6\nlibc6\n");
  await machine.need();
  await daemon.line(/the reboot is accepted/);
  assertEquals(
    await machine.read("env"),
    `LOCKSMITH_GROUP=web\nLOCKSMITH_MACHINE_ID=${machine.id}\nLOCKSMITH_ROOT=${machine.root}\n`,
  );
  await using lock = await TestLock.open(machine.store, "web");
  assertMatch((await lock.hold(machine.id))?.reason ?? "", /reboot-required exists/);
});

Deno.test("daemon waits for a slot with a line in the log for each reason, and takes it when it is freed", async () => {
  await using machine = await TestMachine.make();
  await machine.need();
  await using lock = await TestLock.open(machine.store);
  await lock.lock("another");
  const daemon = machine.start(["--endpoint", machine.store, ...REBOOT_LOG]);
  assertMatch(
    await daemon.line(FULL),
    /^info: a reboot is needed \(.*\); .*\(available: 0\): another, taken by hand/,
  );
  assertEquals(await lock.queue(), [machine.id]);
  // changes that do not help are looked at, and not told
  await lock.pause({ reason: "a fair", extra: {} });
  await daemon.line(
    /^warning: .*first in line, the group is paused \(because: a fair\); 'locksmith resume' ends the pause$/,
  );
  await lock.setMax(3);
  await lock.setMax(1);
  await lock.resume();
  await daemon.line(FULL);
  await lock.unlock("another");
  const freedAt = Date.now();
  await daemon.line(/^info: got a slot in group /);
  assertLess(Date.now() - freedAt, 30_000, "by the watch, and not by the look after a minute");
  await daemon.line(/the reboot is accepted/);
  assertEquals(daemon.count(/waiting for a slot/), 3);
  assertEquals(await lock.queue(), []);
});

Deno.test("daemon tells those who are logged in, gives them their grace, and reboots then", async () => {
  await using bus = await startBus();
  await using machine = await TestMachine.make();
  const path = await fakeWall(machine);
  await machine.need();
  await bus.logind.addSession({ id: "c1", user: "anna", uid: 1000 });
  const daemon = machine.start(["--endpoint", machine.store, "--session-grace", "2s"], {
    bus: bus.address,
    path,
  });
  await daemon.line(/^notice: anna logged in; rebooting in 2 s$/);
  assertEquals(await machine.coordinator(), "etcd-lock reboot-planned");
  assertEquals(bus.logind.rebootCalls(), 0);
  const message = await until(() => machine.read("wall.txt"), (text) => text.endsWith("\n"));
  assertMatch(message, /^locksmith reboots this machine in 2s, [A-Z][a-z]{2} \S+ [0-9:]+ \S+: /);
  assert(message.endsWith(`: ${machine.root}/run/reboot-required exists\n`), message);
  await bus.logind.nextReboot();
  await daemon.line(/the reboot is accepted/);
});

Deno.test("daemon does not reboot on a slot that an administrator took back during the grace: it starts over", async () => {
  await using bus = await startBus();
  await using machine = await TestMachine.make();
  const path = await fakeWall(machine);
  await machine.need();
  await bus.logind.addSession({ id: "c1", user: "anna", uid: 1000 });
  await using lock = await TestLock.open(machine.store);
  const daemon = machine.start(["--endpoint", machine.store, "--session-grace", "3s"], {
    bus: bus.address,
    path,
  });
  await daemon.line(/rebooting in 3 s/);
  await lock.unlock(machine.id);
  await lock.lock("another");
  assertEquals(
    await daemon.line(/somebody unlocked/),
    "warning: this machine no longer holds its slot: somebody unlocked it; starting over",
  );
  await daemon.line(FULL);
  assertEquals(bus.logind.rebootCalls(), 0);
  await bus.logind.endSession("c1");
  await lock.unlock("another");
  await bus.logind.nextReboot();
  assertEquals((await lock.hold(machine.id))?.phase, "rebooting");
});

Deno.test("daemon takes no slot while somebody inhibits a shutdown, and says who", async () => {
  await using bus = await startBus();
  await using machine = await TestMachine.make();
  await using lock = await TestLock.open(machine.store);
  await machine.need();
  await bus.logind.setInhibitors(KERNEL);
  const daemon = machine.start(["--endpoint", machine.store], { bus: bus.address });
  assertEquals(
    await daemon.line(/^warning: a reboot is needed/),
    `warning: a reboot is needed (${machine.root}/run/reboot-required exists) but is not possible now: ` +
      "shutdown is inhibited by apt (uid 0, pid 42): upgrading",
  );
  assertEquals([(await lock.read()).holders, await lock.queue()], [[], []]);
  await assertStops(daemon, "backing off while inhibited");
});

Deno.test("daemon keeps its slot for a while when an inhibitor refuses the very call", async () => {
  await using bus = await startBus();
  await using machine = await TestMachine.make();
  await using lock = await TestLock.open(machine.store);
  await machine.need();
  await bus.logind.refuseReboot("Operation denied due to active block inhibitor");
  const daemon = machine.start(["--endpoint", machine.store], { bus: bus.address });
  assertEquals(
    await daemon.line(/cannot reboot now/),
    "warning: this machine holds a slot but cannot reboot now, retrying: shutdown is inhibited by somebody",
  );
  assertEquals((await lock.read()).holders, [machine.id]);
  assertEquals(await machine.coordinator(), "etcd-lock reboot-planned");
  await assertStops(daemon, "blocked");
});

Deno.test("daemon gives the slot back when the reboot is refused, and says why", async () => {
  await using bus = await startBus();
  await using machine = await TestMachine.make();
  await using lock = await TestLock.open(machine.store);
  await machine.need();
  await bus.logind.refuseReboot("Permission denied");
  const daemon = machine.start(["--endpoint", machine.store], { bus: bus.address });
  assertEquals(
    await daemon.line(/^error: /),
    "error: the reboot was refused: logind: Permission denied; retrying in 5 min",
  );
  await daemon.line(/^info: gave the slot back$/);
  assertEquals((await lock.read()).holders, []);
  assertEquals(await machine.coordinator(), "etcd-lock running");
  await assertStops(daemon, "backing off");
});

Deno.test("daemon started again within the same boot goes on with its slot, or gives it back when there is no need any more", async () => {
  await using bus = await startBus();
  await using machine = await TestMachine.make();
  const path = await fakeWall(machine);
  await machine.need();
  await bus.logind.addSession({ id: "c1", user: "anna", uid: 1000 });
  await using lock = await TestLock.open(machine.store);
  const start = (grace: string) =>
    machine.start(["--endpoint", machine.store, "--session-grace", grace], { bus: bus.address, path });
  const first = start("1h");
  await first.line(/rebooting in 1 h/);
  const { grant } = await lock.hold(machine.id) ?? {};
  await first.stop("SIGKILL");

  const second = start("1h");
  await second.line(
    /^info: this machine holds a slot and has not rebooted \(since .*, by locksmithd, because: /,
  );
  await second.line(/rebooting in 1 h/);
  assertEquals((await lock.hold(machine.id))?.grant, grant, "the same slot");
  await assertStops(second, "grace");
  assertEquals((await lock.hold(machine.id))?.grant, grant, "a stop is no reason to give it back");

  await machine.need(false);
  const third = start("1h");
  await third.line(/^info: giving the slot back: no reboot is needed$/);
  await third.line(/^info: gave the slot back$/);
  assertEquals((await lock.read()).holders, []);
  assertEquals(bus.logind.rebootCalls(), 0);
});

Deno.test("daemon keeps a slot within the same boot under which the reboot was called already, and says what ends it", async () => {
  await using machine = await TestMachine.make();
  await machine.need();
  await using lock = await TestLock.open(machine.store);
  const first = machine.start(["--endpoint", machine.store, ...REBOOT_LOG]);
  await first.line(/the reboot is accepted/);
  await first.stop("SIGKILL");
  await machine.need(false);
  const second = machine.start(["--endpoint", machine.store, ...REBOOT_LOG]);
  await second.line(
    /^info: keeping the slot: a reboot was requested under it .*'locksmith unlock' releases it$/,
  );
  assertEquals(await machine.coordinator(), "etcd-lock rebooting");
  assertEquals((await lock.hold(machine.id))?.phase, "rebooting");
  await assertStops(second, "rebooting");
});

Deno.test("daemon never releases a hold taken by hand, and does not reboot under it (fault 3 of the old locksmith: any start released the hold)", async () => {
  await using machine = await TestMachine.make();
  await machine.need();
  await using lock = await TestLock.open(machine.store);
  const locked = await locksmith([
    ...["lock", "--root", machine.root, "--endpoint", machine.store, "--reason", "a new disk"],
  ]);
  assertEquals([locked.code, locked.stdout], [0, ""]);
  for (const boot of ["the same boot", "another boot"]) {
    if (boot === "another boot") await machine.boot();
    const daemon = machine.start(["--endpoint", machine.store, ...REBOOT_LOG]);
    assertMatch(
      await daemon.line(/this machine's slot was taken by hand/),
      new RegExp(`^info: .*because: a new disk\\); only 'locksmith unlock ${machine.id}' releases it$`),
    );
    await daemon.line(
      new RegExp(`waiting for a slot: .*by hand.*'locksmith unlock ${machine.id}' releases it$`),
    );
    assertEquals((await lock.read()).holders, [machine.id]);
    await assertStops(daemon, boot);
  }
  assertEquals(await machine.read("rebooted"), "");

  const last = machine.start(["--endpoint", machine.store, ...REBOOT_LOG]);
  await last.line(/waiting for a slot/);
  await lock.unlock(machine.id);
  await last.line(/the reboot is accepted/);
});

Deno.test("daemon does not keep a stale hold while another update is pending (fault 3 of the old locksmith: an update pending at boot kept it)", async () => {
  await using bus = await startBus();
  await using machine = await TestMachine.make();
  await using lock = await TestLock.open(machine.store);
  await machine.need();
  const first = machine.start(["--endpoint", machine.store, ...REBOOT_LOG]);
  await first.line(/the reboot is accepted/);
  await first.stop("SIGKILL");

  await machine.need(false);
  await machine.boot();
  await bus.updateEngine.setStatus("UPDATE_STATUS_UPDATED_NEED_REBOOT", {
    version: "4152.3.0",
    signal: false,
  });
  const closed = windowArgs(Date.now() - 3_600_000, "30m");
  const second = machine.start(["--endpoint", machine.store, ...closed, ...REBOOT_LOG], { bus: bus.address });
  await second.line(/^info: this machine has rebooted; gave back the slot/);
  assertMatch(
    await second.line(/waiting for the window/),
    /^info: a reboot is needed \(update-engine has installed 4152\.3\.0\); waiting for the window that opens /,
  );
  assertEquals((await lock.read()).holders, []);
});

Deno.test("daemon refuses to start beside another one on the same machine, and names file and process", async () => {
  await using machine = await TestMachine.make();
  const first = machine.start(["--endpoint", machine.store]);
  await first.line(/^info: reboot|^info: no reboot window/);
  const second = machine.start(["--endpoint", machine.store]);
  assertEquals((await second.status).code, 1);
  assertEquals(second.lines, [
    `locksmith: error: another locksmithd is running (process ${first.pid}): it holds ${machine.root}/run/update-engine/coordinator.conf`,
    "locksmith: hint: stop it first, or give this one another --root",
  ]);
  assertEquals(await machine.coordinator(), "etcd-lock running");
  // what lies in /run may be removed by anybody who tidies up
  await Deno.remove(`${machine.root}/run/update-engine/coordinator.conf`);
  const third = machine.start(["--endpoint", machine.store]);
  assertEquals((await third.status).code, 1);
  assertEquals(
    third.lines[0],
    `locksmith: error: another locksmithd is running (process ${first.pid}): it holds ${machine.root}/var/lib/locksmith/daemon.lock`,
  );
  await first.stop("SIGKILL");
  const fourth = machine.start(["--endpoint", machine.store]);
  await fourth.line(/^info: no reboot is needed now/);
});

if (Deno.uid() === 0) {
  Deno.test("daemon that cannot write what it is doing, in a /run that is full or cannot be written, warns of it and works", async () => {
    const COORDINATOR = "run/update-engine/coordinator.conf";
    const stories: [RegExp, (path: string) => Promise<void>][] = [
      [/^warning: cannot write \S+coordinator\.conf: no space left on device/, (path) => {
        return Deno.symlink("/dev/full", path);
      }],
      [/^warning: cannot open \S+coordinator\.conf: .*; other programs cannot read what/, (path) => {
        return Deno.mkdir(path);
      }],
    ];
    for (const [warning, spoil] of stories) {
      await using machine = await TestMachine.make();
      await Deno.mkdir(`${machine.root}/run/update-engine`, { recursive: true });
      await spoil(`${machine.root}/${COORDINATOR}`);
      await machine.need();
      const daemon = machine.start(["--endpoint", machine.store, ...REBOOT_LOG]);
      await daemon.line(warning);
      await daemon.line(/the reboot is accepted/);
      await daemon.stop("SIGKILL");
    }
  });
}

Deno.test("daemon whose machine id is for this boot only does not start, and says what to do", async () => {
  await using machine = await TestMachine.make();
  await Deno.link(`${machine.root}/etc/machine-id`, `${machine.root}/run/machine-id`);
  const daemon = machine.start(["--endpoint", machine.store]);
  assertEquals((await daemon.status).code, 1);
  assertEquals(daemon.lines[0], "Cannot use this machine-id");
  assertMatch(
    daemon.lines[1] ?? "",
    /^locksmith: hint: .* does not outlast the boot, .*; write it to disk: systemd-machine-id-setup --commit; or /,
  );
});

Deno.test("daemon with the strategy off says so, and ends with exit code 0", async () => {
  await using machine = await TestMachine.make();
  await machine.write("etc/flatcar/update.conf", "# ours\nREBOOT_STRATEGY='off'\n");
  await machine.need();
  const daemon = machine.start(REBOOT_LOG);
  assertEquals((await daemon.status).code, 0);
  const [start, ...lines] = daemon.lines;
  assertMatch(start ?? "", /^info: locksmith \S+ on \S+ \([0-9a-f]{8}\u2026\), boot /);
  assertEquals(lines, [
    `info: strategy off: configured by ${machine.root}/etc/flatcar/update.conf:2`,
    "notice: the strategy is off: locksmith does not reboot this machine; nothing to do",
  ]);
  assertEquals(await machine.coordinator(), "off disabled");
  assertEquals(await machine.read("rebooted"), "");
});

Deno.test("daemon tells every mistake of its configuration at once before it starts (fault 11 of the old locksmith: noticed only when the update came)", async () => {
  await using machine = await TestMachine.make();
  const daemon = machine.start([
    ...["--endpoint", "127.0.0.1:2379", "--group", "..", "--sentinel", "here", "--session-grace", "-5m"],
    ...["--reboot-window-start", "25:00", "--reboot-window-length", "1j", "--zone", "Europe/Berln"],
  ], { env: { REBOOT_STRATEGY: "etc-lock" } });
  assertEquals((await daemon.status).code, 2);
  const errors = daemon.lines.filter((line) => line.startsWith("locksmith: error: "));
  const each = [
    /--endpoint: .*did you mean 'http:\/\/127\.0\.0\.1:2379'/,
    /--group: "\.\."/,
    /--sentinel: 'here' is not an absolute path/,
    /--session-grace: .*-5m/,
    /--reboot-window-start.*25:00/,
    /--reboot-window-length.*1j/,
    /--zone: .*Europe\/Berln.*Europe\/Berlin/,
    /REBOOT_STRATEGY: .*etc-lock.*etcd-lock/,
  ];
  for (const pattern of each) {
    assertEquals(errors.filter((line) => pattern.test(line)).length, 1, `${pattern} in\n${daemon.text}`);
  }
  assertEquals(errors.length, each.length, daemon.text);
  assertEquals(await machine.read("run/update-engine/coordinator.conf"), "");
});

Deno.test("daemon without a strategy takes the lock where an endpoint is configured, and says why", async () => {
  await using machine = await TestMachine.make();
  await machine.write("etc/locksmith/locksmith.conf", `LOCKSMITHD_ENDPOINT=${machine.store}\n`);
  const daemon = machine.start([]);
  assertEquals(
    await daemon.line(/^info: strategy/),
    `info: strategy etcd-lock: an endpoint is configured by ${machine.root}/etc/locksmith/locksmith.conf:1`,
  );
  await assertStops(daemon, "idle");
});

Deno.test("daemon that nobody configured does not start, exit code 2, and the machine stays up", async () => {
  await using machine = await TestMachine.make();
  await machine.need();
  const daemon = machine.start(["--reboot-command", 'touch "$LOCKSMITH_ROOT/rebooted"']);
  assertEquals((await daemon.status).code, 2);
  assertEquals(daemon.lines.slice(0, 4), [
    "locksmith: error: neither a reboot strategy nor an endpoint is configured: the daemon does not start",
    "locksmith: hint: add two lines to /etc/locksmith/locksmith.conf, then check with 'locksmith config':",
    "locksmith: hint:   LOCKSMITHD_REBOOT_STRATEGY=etcd-lock",
    "locksmith: hint:   LOCKSMITHD_ENDPOINT=https://etcd1.example.net:2379",
  ]);
  assertEquals([await machine.read("rebooted"), await machine.coordinator()], ["", "undefined undefined"]);
});

Deno.test("daemon with auto waits for the etcd of a configured endpoint, however long that is away", async () => {
  await using machine = await TestMachine.make();
  await machine.need();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const endpoint = `http://127.0.0.1:${listener.addr.port}`;
  listener.close();
  const daemon = machine.start(["--reboot-strategy", "auto", "--endpoint", endpoint, ...REBOOT_LOG]);
  assertEquals(
    await daemon.line(/^info: strategy/),
    "info: strategy etcd-lock: auto is configured by --reboot-strategy, and an endpoint is configured by --endpoint",
  );
  await daemon.line(/cannot .*connection refused/);
  assertEquals(await machine.read("rebooted"), "");
  await daemon.stop();
});

Deno.test("daemon says at its start what is written for it and has no effect", async () => {
  await using machine = await TestMachine.make();
  await machine.write("etc/locksmith/locksmith.conf", "LOCKSMITHD_GROPU=web\nREBOOT_STRATEGY=off\n");
  const daemon = machine.start([], { env: { LOCKSMITHD_SENTINAL: "/x" } });
  assertEquals((await daemon.status).code, 0);
  assertEquals(daemon.lines.filter((line) => line.startsWith("warning:")), [
    "warning: LOCKSMITHD_SENTINAL is not a setting and has no effect, did you mean 'LOCKSMITHD_SENTINEL'?",
    `warning: ${machine.root}/etc/locksmith/locksmith.conf:1: LOCKSMITHD_GROPU is not a setting and has no effect, did you mean 'LOCKSMITHD_GROUP'?`,
  ]);
});

Deno.test("daemon does not reboot in a loop for a sentinel that survives the boot, until 'locksmith reset'", async () => {
  await using machine = await TestMachine.make();
  await machine.need();
  const start = () => machine.start(["--endpoint", machine.store, ...REBOOT_LOG]);
  const first = start();
  await first.line(/the reboot is accepted/);
  await first.stop("SIGKILL");
  await machine.boot();
  const second = start();
  assertEquals(
    await second.line(/^warning: a reboot is still needed/),
    `warning: a reboot is still needed (${machine.root}/run/reboot-required exists) right after a reboot for it: ` +
      "not rebooting again; fix the cause, or allow another reboot with 'locksmith reset'",
  );
  await using lock = await TestLock.open(machine.store);
  await lock.until(({ holders }) => holders.length === 0); // given back before or after the warning
  assertEquals(await lock.queue(), []);
  const { code, stdout } = await locksmith(["reset", "--root", machine.root]);
  assertEquals(
    [code, stdout],
    [
      0,
      "this host may reboot again for the same need as last time\n" +
      "the count of this host's reboots begins anew\n",
    ],
  );
  await second.line(/the reboot is accepted/);
});

Deno.test("daemon of a host that was renamed knows its own slot after the boot, and a clone of another name does not take it for its own", async () => {
  await using machine = await TestMachine.make();
  await machine.need();
  const start = () => machine.start(["--endpoint", machine.store, ...REBOOT_LOG]);
  const first = start();
  await first.line(/the reboot is accepted/);
  await first.stop("SIGKILL");
  await machine.need(false);
  await machine.boot();
  await machine.write("etc/hostname", "another-name\n");
  await using lock = await TestLock.open(machine.store);
  const memory = `${machine.root}/var/lib/locksmith`;
  await Deno.rename(memory, `${memory}.away`);
  const clone = start();
  await clone.line(/holds a slot under another boot id and host .*; do two machines share this id\?/);
  await clone.stop();
  assertEquals((await lock.read()).holders, [machine.id]);
  await Deno.remove(memory, { recursive: true }).catch(() => {});
  await Deno.rename(`${memory}.away`, memory);
  const renamed = start();
  await renamed.line(/^info: this machine has rebooted; gave back the slot/);
  assertEquals((await lock.read()).holders, []);
});

Deno.test("daemon --dry-run does everything but the call, says what it would be, and gives the slot back", async () => {
  await using machine = await TestMachine.make();
  await using lock = await TestLock.open(machine.store);
  await machine.need();
  const daemon = machine.start(["--dry-run", "--endpoint", machine.store, ...REBOOT_LOG]);
  await daemon.line(/^notice: dry run: doing everything except the reboot call$/);
  await daemon.line(/^notice: rebooting: /);
  assertMatch(
    await daemon.line(/refused/),
    /: this is a dry run; this machine would have rebooted now, by the command '.*'; retrying in 5 min$/,
  );
  await daemon.line(/gave the slot back/);
  assertEquals((await lock.read()).holders, []);
  assertEquals(await machine.read("rebooted"), "");
  await daemon.stop();
});

Deno.test("daemon with the strategy reboot needs no etcd", async () => {
  await using machine = await TestMachine.make();
  await machine.need();
  const daemon = machine.start([
    "--reboot-strategy",
    "reboot",
    "--endpoint",
    "http://127.0.0.1:1",
    ...REBOOT_LOG,
  ]);
  await daemon.line(/the reboot is accepted/);
  assertEquals(await machine.coordinator(), "reboot rebooting");
  assertEquals(daemon.count(/slot|group|127\.0\.0\.1/), 0);
});

Deno.test("daemon on a host without busctl, or without a bus, says so once and heeds the sentinel file", async () => {
  await using machine = await TestMachine.make();
  await machine.write("bin/sh", '#!/bin/sh\nexec /bin/sh "$@"\n', 0o755);
  const hosts: [string, string][] = [
    [`${machine.root}/bin`, "cannot listen on the system bus: cannot run busctl: no such file or directory"],
    [
      Deno.env.get("PATH") ?? "",
      "cannot listen on the system bus: Failed to connect to bus: No such file or directory",
    ],
  ];
  for (const [path, why] of hosts) {
    const args = ["--reboot-strategy", "reboot", "--debug", "--reboot-command", "true"];
    const idle = machine.start(args, { path });
    assertEquals(
      await idle.line(/update-engine is not/),
      `info: update-engine is not asked: ${why}`,
    );
    await idle.line(/^debug: need of a reboot: \{"kind":"not-needed"\}$/);
    await idle.line(/^info: no reboot is needed now$/);
    assertMatch(
      idle.lines[0] ?? "",
      new RegExp(`^info: locksmith \\d\\S* on .+ \\(${machine.id.slice(0, 8)}`),
    );
    assertEquals(idle.lines.slice(1, 4), [
      "info: strategy reboot: configured by --reboot-strategy",
      `info: reboot requests come from: ${machine.root}/run/reboot-required, 'locksmith send-need-reboot', update-engine`,
      "info: no reboot window: reboots are allowed at any time",
    ]);
    assertEquals(
      idle.lines.filter((line) => /^(warning|error):/.test(line)),
      [],
      "no update-engine is no fault",
    );
    await assertStops(idle, "idle");
    await machine.need();
    const daemon = machine.start([...args, "--session-grace", "5m"], { path });
    assertMatch(
      await daemon.line(/who is logged in/),
      /^notice: cannot tell who is logged in \(.*\), so grace is given as if somebody were; rebooting in 5 min$/,
    );
    await assertStops(daemon, "in the grace");
    const hurried = machine.start(args, { path });
    await hurried.line(/the reboot is accepted/);
    await assertStops(hurried, "rebooting");
    await machine.need(false);
  }
});

Deno.test("daemon marks its lines with their priority where journald reads them", async () => {
  await using machine = await TestMachine.make();
  const daemon = machine.start(["--reboot-strategy", "off"], { env: { JOURNAL_STREAM: "8:123" } });
  await daemon.status;
  assertMatch(daemon.lines[0] ?? "", /^<6>locksmith \d.* on .+, boot [0-9a-f-]+$/);
  assertEquals(daemon.lines.slice(1), [
    "<6>strategy off: configured by --reboot-strategy",
    "<5>the strategy is off: locksmith does not reboot this machine; nothing to do",
  ]);
});

Deno.test("daemon that refuses to start tells the journal how grave each line is, and a misspelt setting beside it", async () => {
  await using machine = await TestMachine.make();
  const env = { JOURNAL_STREAM: "8:123", LOCKSMITHD_GROPU: "web" };
  const misspelt = "LOCKSMITHD_GROPU is not a setting and has no effect, did you mean 'LOCKSMITHD_GROUP'?";
  const refused = machine.start(["--endpoint", "ftp://etcd"], { env });
  assertEquals((await refused.status).code, 2);
  assertEquals(refused.lines, [
    `<4>locksmith: warning: ${misspelt}`,
    "<3>locksmith: error: --endpoint: 'ftp://etcd' has the scheme ftp; allowed: http, https and sqlite",
    "<6>Usage: locksmith daemon [OPTIONS]",
    "<6>See 'locksmith help daemon'.",
  ]);
  await machine.write("etc/machine-id", "");
  const nobody = machine.start(["--reboot-strategy", "off"], { env });
  assertEquals((await nobody.status).code, 1);
  assertEquals(nobody.lines.slice(0, 2), [`<4>${misspelt}`, "<3>Cannot read machine-id"]);
});

Deno.test("daemon ends at SIGTERM and SIGINT whatever it waits for: a window, a reboot command that hangs", async () => {
  await using machine = await TestMachine.make();
  await machine.need();
  const closed = windowArgs(Date.now() - 3_600_000, "30m");
  const waiting = machine.start(["--endpoint", machine.store, ...closed, ...REBOOT_LOG]);
  await waiting.line(/waiting for the window/);
  await assertStops(waiting, "waiting for the window");

  const hanging = machine.start([
    ...["--endpoint", machine.store],
    ...["--reboot-command", 'echo $$ >"$LOCKSMITH_ROOT/pid"; exec sleep 600'],
  ]);
  await hanging.line(/^notice: rebooting: /);
  const pid = Number(await until(() => machine.read("pid"), (text) => text.endsWith("\n")));
  try {
    const { code, tookMs } = await hanging.stop("SIGINT");
    assertEquals(code, 0);
    assertLess(tookMs, STOP_LIMIT_MS);
    assertEquals(hanging.lines.at(-1), "info: SIGINT: stopping");
  } finally {
    Deno.kill(pid, "SIGKILL"); // it was left to go on: it might have been what stops us
  }
});

Deno.test("daemon on etcd: the slot is taken by the watch (fault 14 of the old locksmith: polls, 10 s to 5 min apart), and the strategy stays through an outage", async () => {
  const server = await theEtcd();
  await using machine = await TestMachine.make();
  await machine.need();
  await using lock = await TestLock.open(server.endpoint, "outage");
  await lock.lock("another");
  const daemon = machine.start(["--group", "outage", "--debug", ...REBOOT_LOG], {
    env: { LOCKSMITHD_ENDPOINT: server.endpoint },
  });
  await daemon.line(FULL);
  await server.kill();
  assertEquals(await machine.coordinator(), "etcd-lock running");
  await server.start();
  await lock.unlock("another");
  await daemon.line(/^info: got a slot in group /);
  await daemon.line(/the reboot is accepted/);
  assertEquals(await machine.coordinator(), "etcd-lock rebooting");
  const { code } = await daemon.stop();
  assertEquals(code, 0);
});

Deno.test("daemon on a frozen etcd: it starts, says that it cannot look, ends at SIGTERM, and goes on when etcd does", async () => {
  const server = await theEtcd();
  await using machine = await TestMachine.make();
  await machine.need();
  const start = () => machine.start(["--endpoint", server.endpoint, "--group", "frozen", ...REBOOT_LOG]);
  server.freeze();
  try {
    const first = start();
    await first.line(/^info: no reboot window/);
    assertEquals(await machine.coordinator(), "etcd-lock starting");
    await assertStops(first, "starting, etcd frozen");

    const second = start();
    await second.line(/^warning: cannot find out which slot this machine holds, trying again: /);
    assertEquals(await machine.coordinator(), "etcd-lock starting");
    server.thaw();
    await second.line(/the reboot is accepted/);
  } finally {
    server.thaw();
  }
  await using lock = await TestLock.open(server.endpoint, "frozen");
  assertEquals((await lock.hold(machine.id))?.phase, "rebooting");
});

Deno.test("daemon that waits for a slot when etcd freezes ends at SIGTERM, and another goes on", async () => {
  const server = await theEtcd();
  await using machine = await TestMachine.make();
  await machine.need();
  await using lock = await TestLock.open(server.endpoint, "stuck");
  await lock.lock("another");
  const start = () => machine.start(["--endpoint", server.endpoint, "--group", "stuck", ...REBOOT_LOG]);
  const first = start();
  await first.line(FULL);
  server.freeze();
  try {
    await assertStops(first, "waiting for a slot, etcd frozen");
  } finally {
    server.thaw();
  }
  const second = start();
  await second.line(FULL);
  await lock.unlock("another");
  await second.line(/the reboot is accepted/);
});

/** Machines that share a store, and a slot that somebody holds by hand. */
async function inLine(endpoint: string, group: string) {
  const stack = new AsyncDisposableStack();
  const lock = stack.use(await TestLock.open(endpoint, group));
  await lock.lock("another");
  const machine = async () => {
    const machine = stack.use(await TestMachine.make());
    await machine.need();
    const start = () => machine.start(["--endpoint", endpoint, "--group", group, ...REBOOT_LOG]);
    return { id: machine.id, start };
  };
  const [first, second] = [await machine(), await machine()];
  return { lock, first, second, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

Deno.test("daemon gives its place in line up at SIGTERM, and the next moves up at once", async () => {
  await using place = await TestMachine.make();
  for (const endpoint of [place.store, (await theEtcd()).endpoint]) {
    await using line = await inLine(endpoint, "stopped in line");
    const { lock } = line;
    const first = line.first.start();
    await first.line(FULL);
    const second = line.second.start();
    await second.line(BEHIND);
    assertEquals(await lock.queue(), [line.first.id, line.second.id]);
    const { code, tookMs } = await first.stop();
    assertEquals(await lock.queue(), [line.second.id], "its place is gone when it is");
    assertEquals(code, 0, first.text);
    assertLess(tookMs, STOP_LIMIT_MS);
    assertEquals(first.lines.at(-1), "info: SIGTERM: stopping");
    await second.line(FULL);
    await lock.unlock("another");
    await second.line(/the reboot is accepted/);
    assertEquals((await lock.read()).holders, [line.second.id]);
    await lock.unlock(line.second.id);
  }
});

Deno.test("daemon that is killed and started again within its lease keeps its turn", async () => {
  await using place = await TestMachine.make();
  for (const endpoint of [place.store, (await theEtcd()).endpoint]) {
    await using line = await inLine(endpoint, "started again");
    const { lock } = line;
    const killed = line.first.start();
    await killed.line(FULL);
    const second = line.second.start();
    await second.line(BEHIND);
    await killed.stop("SIGKILL");
    assertEquals(await lock.queue(), [line.first.id, line.second.id]);
    const again = line.first.start();
    await again.line(FULL);
    assertEquals(await lock.queue(), [line.first.id, line.second.id]);
    await lock.unlock("another");
    await again.line(/the reboot is accepted/);
    assertEquals((await lock.read()).holders, [line.first.id]);
    await second.line(FULL);
    await lock.unlock(line.first.id);
    await second.line(/the reboot is accepted/);
    await lock.unlock(line.second.id);
  }
});

Deno.test("daemon that is killed in line loses its place within its lease, and the next gets its slot", async () => {
  await begun("killed in line", killedInLine);
});

Deno.test("daemon waits while the window is closed and reboots once it opens", async () => {
  await begun("opens later", opensLater);
});

Deno.test("daemon does not take a slot that is freed after its window closed (fault 1 of the old locksmith: the window was checked before an unbounded wait)", async () => {
  await begun("closes meanwhile", closesMeanwhile);
});

Deno.test.afterAll(async () => {
  await etcd?.[Symbol.asyncDispose]();
});
