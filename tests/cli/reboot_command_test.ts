/** `locksmith reboot`: what it does of a reboot that is only rehearsed. The reboot command of these tests writes a file. */

import { assertEquals, assertMatch } from "@std/assert";
import { locksmith, TestLock, TestMachine, until } from "../support/daemon_process.ts";

const COMMAND = 'touch "$LOCKSMITH_ROOT/rebooted"';

/** Runs it on a machine, as a test with a right to reboot would. */
async function reboot(machine: TestMachine, ...args: string[]) {
  const all = [
    "reboot",
    "--root",
    machine.root,
    "--endpoint",
    machine.store,
    "--reboot-command",
    COMMAND,
    ...args,
  ];
  const { code, stdout, stderr } = await locksmith(all);
  return {
    code,
    stdout,
    stderr,
    called: await Deno.stat(`${machine.root}/rebooted`).then(() => true, () => false),
  };
}

/** Hooks that note what they were told, and beside it whether the reboot was called. */
async function withHooks(machine: TestMachine, drain = "exit 0"): Promise<void> {
  const note = `echo "\${0##*/} \${LOCKSMITH_REBOOTED-}$LOCKSMITH_REASON" >>"$LOCKSMITH_ROOT/calls"`;
  await machine.write("etc/locksmith/pre-reboot.d/drain", `#!/bin/sh\n${note}\n${drain}\n`, 0o755);
  await machine.write("etc/locksmith/post-boot.d/fill", `#!/bin/sh\n${note}\n`, 0o755);
}

const ROOT_USER = Deno.uid() === 0;

if (!ROOT_USER) {
  Deno.test("reboot --dry-run too wants a user who may reboot", async () => {
    await using machine = await TestMachine.make();
    const { code, stderr } = await reboot(machine, "--dry-run");
    assertEquals([code, stderr], [1, "Must be root to initiate reboot.\n"]);
  });
} else {
  Deno.test("reboot --dry-run takes a slot, proves it, calls nothing, says what would happen, and gives it back", async () => {
    await using machine = await TestMachine.make();
    await using lock = await TestLock.open(machine.store);
    const { code, stdout, stderr, called } = await reboot(machine, "--dry-run", "--reason", "new kernel");
    assertEquals([code, stderr, called], [0, "", false]);
    assertEquals(
      stdout,
      `dry run: this machine would reboot now, by the command '${COMMAND}'; the slot was given back\n`,
    );
    assertEquals((await lock.read()).holders, []);
    // a confirmation was among it: the history has all that a reboot leaves
    const { stdout: past } = await locksmith(["history", "--endpoint", machine.store, "--json"]);
    const events: { what: string }[] = JSON.parse(past).events;
    assertEquals(events.map(({ what }) => what), ["grant", "confirm", "cancel"]);
  });

  Deno.test("reboot in a group for which nothing was stored says so before it reboots, and which name may have been meant", async () => {
    await using machine = await TestMachine.make();
    await using lock = await TestLock.open(machine.store, "web");
    await lock.setMax(2);
    const { code, stderr } = await reboot(machine, "--dry-run", "--group", "webb");
    assertEquals([code, stderr], [
      0,
      "locksmith: warning: group webb is new: nothing was stored for it before; did you mean 'web'?\n" +
      "locksmith: hint: 'locksmith groups --remove webb' removes it\n",
    ]);
  });

  Deno.test("reboot --dry-run is refused where the reboot would be: the group is full", async () => {
    await using machine = await TestMachine.make();
    await using lock = await TestLock.open(machine.store);
    await lock.lock("another");
    const { code, stderr, called } = await reboot(machine, "--dry-run");
    assertEquals([code, called], [1, false]);
    assertMatch(stderr, /^Error locking: semaphore is at 0\n/);
    assertEquals((await lock.read()).holders, ["another"]);
  });

  Deno.test("reboot --dry-run leaves a slot that was taken by hand as it is", async () => {
    await using machine = await TestMachine.make();
    await using lock = await TestLock.open(machine.store);
    await lock.lock(machine.id);
    const before = (await lock.read()).holds.get(machine.id);
    const { code, stdout, called } = await reboot(machine, "--dry-run");
    assertEquals([code, called], [0, false]);
    assertMatch(
      stdout,
      /^dry run: this machine would reboot now, .*; the slot it holds is left unchanged\n$/,
    );
    assertEquals((await lock.read()).holds.get(machine.id), before);
  });

  Deno.test("reboot says what is written for this host and has no effect, before it takes a slot", async () => {
    await using machine = await TestMachine.make();
    await machine.write("etc/locksmith/locksmith.conf", "LOCKSMITHD_GROPU=web\n");
    const { stderr } = await reboot(machine, "--dry-run");
    assertEquals(
      stderr,
      `locksmith: warning: ${machine.root}/etc/locksmith/locksmith.conf:1: LOCKSMITHD_GROPU is not a setting and has ` +
        "no effect, did you mean 'LOCKSMITHD_GROUP'?\n",
    );
  });

  Deno.test("reboot runs the hooks before it proves its slot and calls, and leaves word to take back what they did", async () => {
    await using machine = await TestMachine.make();
    await withHooks(machine, "echo draining");
    await machine.write("etc/locksmith/check.d/no", "#!/bin/sh\nexit 1\n", 0o755);
    const { code, stderr, called } = await reboot(machine, "--reason", "disk");
    assertEquals([code, called, await machine.read("calls")], [0, true, "drain disk\n"]);
    assertMatch(stderr, /^locksmith: hook pre-reboot\.d\/drain: draining$/m);
    assertMatch(await machine.read("var/lib/locksmith/prepared"), /"complete":true/);
  });

  Deno.test("reboot that is refused takes back what its hooks did, before it gives the slot back", async () => {
    await using machine = await TestMachine.make();
    await using lock = await TestLock.open(machine.store);
    await withHooks(machine);
    const { code } = await reboot(machine, "--reboot-command", "exit 4");
    assertEquals([code, await machine.read("calls")], [1, "drain \nfill no\n"]);
    assertEquals([await machine.read("var/lib/locksmith/prepared"), (await lock.read()).holders], ["", []]);
  });

  Deno.test("reboot is not called where a hook fails, unless without hooks", async () => {
    await using machine = await TestMachine.make();
    await using lock = await TestLock.open(machine.store);
    await withHooks(machine, "echo no quorum; exit 1");
    const { code, stderr, called } = await reboot(machine);
    assertEquals([code, called, await machine.read("calls")], [1, false, "drain \nfill no\n"]);
    assertMatch(
      stderr,
      /error: not rebooting: hook pre-reboot\.d\/drain: no quorum\n.*the slot was given back; --skip-hooks/,
    );
    assertEquals((await lock.read()).holders, []);
    assertEquals((await reboot(machine, "--skip-hooks")).called, true);
  });

  Deno.test("reboot of a host that another process is preparing is refused, and takes no slot; a daemon that starts meanwhile waits, and takes nothing back", async () => {
    await using machine = await TestMachine.make();
    await using lock = await TestLock.open(machine.store);
    await lock.setMax(2);
    await withHooks(machine, 'while [ ! -e "$LOCKSMITH_ROOT/go" ]; do sleep 0.1; done');
    const first = reboot(machine);
    await until(() => machine.read("calls"), (text) => text === "drain \n");
    const daemon = machine.start(["--endpoint", machine.store, "--reboot-command", COMMAND]);
    await daemon.line(/^info: waiting: another locksmith process is preparing this host for a reboot/);
    const { code, stderr, called } = await reboot(machine);
    assertEquals([code, called, (await lock.read()).holders.length], [1, false, 1]);
    assertMatch(
      stderr,
      /^locksmith: error: not rebooting: another locksmith process is .* \(process \d+\): it holds .*\n.*--skip-hooks/,
    );
    await machine.write("go", "");
    assertEquals([(await first).called, await machine.read("calls")], [true, "drain \n"]);
    // the machine is prepared, and its reboot is under way
    await daemon.line(/this machine holds a slot and has not rebooted/);
    assertEquals((await lock.hold(machine.id))?.phase, "rebooting");
  });
}
