import { assertEquals, assertNotEquals } from "@std/assert";
import { Bus } from "../../lib/host/bus.ts";
import { mayReboot, rebootMachine, type RebootMethod } from "../../lib/host/reboot.ts";
import { startBus } from "../support/bus.ts";
import { lives } from "../support/child.ts";
import { until } from "../support/daemon_process.ts";

const SOON = { timeoutMs: 20_000 };
const NO_BUS = new Bus({ address: "unix:path=/nonexistent/bus" });
const byCommand = (
  command: string,
  env: Record<string, string> = {},
  more: { readonly bus?: Bus; readonly ignoreInhibitors?: boolean } = {},
): RebootMethod => ({
  kind: "command",
  bus: NO_BUS,
  ...more,
  command,
  env,
});

Deno.test("rebootMachine() by logind is accepted when nobody inhibits", async () => {
  await using test = await startBus();
  assertEquals(await rebootMachine({ kind: "logind", bus: test.client() }, SOON), { kind: "accepted" });
  await test.logind.nextReboot();
  assertEquals(test.logind.rebootCalls(), 1);
});

Deno.test("rebootMachine() by logind is refused, uncalled, while somebody blocks a shutdown, and names who and why", async () => {
  await using test = await startBus();
  const method = { kind: "logind", bus: test.client() } as const;
  const apt = { what: "shutdown", who: "apt", why: "upgrading", mode: "block", uid: 0, pid: 42 };
  await test.logind.setInhibitors(apt);
  assertEquals(await rebootMachine(method, SOON), {
    kind: "refused",
    why: "shutdown is inhibited by apt (uid 0, pid 42): upgrading",
    blocked: true,
  });
  await test.logind.setInhibitors(...[1, 2, 3, 4, 5].map((pid) => ({ ...apt, who: `job${pid}`, pid })));
  assertEquals(await rebootMachine(method, SOON), {
    kind: "refused",
    why: "shutdown is inhibited by job1 (uid 0, pid 1): upgrading; job2 (uid 0, pid 2): upgrading; " +
      "job3 (uid 0, pid 3): upgrading; and 2 more",
    blocked: true,
  });
  assertEquals(test.logind.rebootCalls(), 0);
  await test.logind.setInhibitors();
  assertEquals(await rebootMachine(method, SOON), { kind: "accepted" });
});

Deno.test("rebootMachine() by logind is refused, uncalled, where logind says that it would not", async () => {
  await using test = await startBus();
  await test.logind.setCanReboot("challenge");
  assertEquals(await rebootMachine({ kind: "logind", bus: test.client() }, SOON), {
    kind: "refused",
    why: "logind asks for a password before this user may reboot the machine",
  });
  assertEquals(test.logind.rebootCalls(), 0);
});

Deno.test("mayReboot() asks logind, and of a command nothing is told before it runs where there is none", async () => {
  await using test = await startBus();
  const method = { kind: "logind", bus: test.client() } as const;
  assertEquals(await mayReboot(method, SOON), { kind: "clear" });
  await test.logind.setCanReboot("inhibited");
  assertEquals(await mayReboot(method, SOON), { kind: "blocked", why: "shutdown is inhibited by somebody" });
  assertEquals(await mayReboot(byCommand("exit 1"), SOON), { kind: "clear" });
});

Deno.test("rebootMachine() passes over inhibitors where it is told to, on 257 and later by polkit's leave, and says what is missing", async () => {
  await using test = await startBus();
  const method = { kind: "logind", bus: test.client(), ignoreInhibitors: true } as const;
  await test.logind.setInhibitors({ what: "shutdown", who: "apt", why: "upgrading", mode: "block", pid: 42 });
  await test.logind.setCanReboot("inhibited");
  assertEquals(await mayReboot(method, SOON), { kind: "clear" });
  // up to 256
  assertEquals(await rebootMachine(method, SOON), { kind: "accepted" });
  await test.logind.refuseReboot("Operation denied due to active block inhibitor");
  assertEquals(await rebootMachine(method, SOON), {
    kind: "refused",
    why:
      "shutdown is inhibited by apt (uid 0, pid 42): upgrading; --ignore-inhibitors needs a polkit rule that " +
      "allows org.freedesktop.login1.reboot-ignore-inhibit (logind: Access denied)",
    blocked: true,
  });
  await test.logind.allowFlags();
  assertEquals(await rebootMachine(method, SOON), { kind: "accepted" });
});

Deno.test("rebootMachine() by a command waits for inhibitors too, unless it is told not to, and not for who only delays", async () => {
  await using test = await startBus();
  const apt = { what: "shutdown:sleep", who: "apt", why: "upgrading", mode: "block", uid: 0, pid: 42 };
  const bus = test.client();
  await test.logind.setInhibitors(apt);
  const blocked = "shutdown is inhibited by apt (uid 0, pid 42): upgrading";
  assertEquals(await mayReboot(byCommand("true", {}, { bus }), SOON), { kind: "blocked", why: blocked });
  assertEquals(await rebootMachine(byCommand("true", {}, { bus }), SOON), {
    kind: "refused",
    why: blocked,
    blocked: true,
  });
  const ignoring = byCommand("true", {}, { bus, ignoreInhibitors: true });
  assertEquals(await mayReboot(ignoring, SOON), { kind: "clear" });
  assertEquals(await rebootMachine(ignoring, SOON), { kind: "accepted" });
  await test.logind.setInhibitors({ ...apt, mode: "delay" }, { ...apt, mode: "block-weak" });
  assertEquals(await rebootMachine(byCommand("true", {}, { bus }), SOON), { kind: "accepted" });
});

Deno.test("rebootMachine() by logind is refused where there is no bus", async () => {
  const bus = new Bus({ address: "unix:path=/nonexistent/bus" });
  assertEquals(await rebootMachine({ kind: "logind", bus }, SOON), {
    kind: "refused",
    why:
      "cannot ask logind whether this machine can be rebooted: Failed to connect to bus: No such file or directory",
  });
});

Deno.test("rebootMachine() by a command is accepted at exit 0, and passes its variables", async () => {
  const env = { LOCKSMITH_GROUP: "a b", LOCKSMITH_ROOT: "/r" };
  const command = '[ "$LOCKSMITH_GROUP" = "a b" ] && [ "$LOCKSMITH_ROOT" = /r ] && [ -n "$PATH" ]';
  assertEquals(await rebootMachine(byCommand(command, env), SOON), { kind: "accepted" });
});

Deno.test("rebootMachine() by a command asks systemctl for a whole reboot, never a soft one or a kexec by itself", async () => {
  const both = '[ "$SYSTEMCTL_SKIP_AUTO_SOFT_REBOOT$SYSTEMCTL_SKIP_AUTO_KEXEC" = 11 ]';
  assertEquals(await rebootMachine(byCommand(both), SOON), { kind: "accepted" });
});

Deno.test("rebootMachine() by a command gives it the operator's environment: nothing of the runtime's, and what was set aside", async () => {
  const file = await Deno.makeTempFile();
  const path = Deno.env.get("PATH") ?? "";
  const env = {
    PATH: `/cache/deno/node_compat_bin:${path}`,
    DENO_NODE_SHIM_ACTIVE: "1",
    LOCKSMITH_RESTORE: "unset DENO_DIR LOCKSMITH_RESTORE; export NODE_OPTIONS='a b';",
    DENO_DIR: "/cache/deno",
  };
  assertEquals(await rebootMachine(byCommand(`env -0 >'${file}'`, env), SOON), { kind: "accepted" });
  const seen = new Map(
    (await Deno.readTextFile(file)).split("\0").map((line) => {
      const [name = "", ...value] = line.split("=");
      return [name, value.join("=")];
    }),
  );
  assertEquals([seen.get("PATH"), seen.get("NODE_OPTIONS")], [path, "a b"]);
  const own = Object.keys(Deno.env.toObject());
  assertEquals([...seen.keys()].filter((name) => /^(DENO|LOCKSMITH)_/.test(name) && !own.includes(name)), []);
  await Deno.remove(file);
});

Deno.test("rebootMachine() by a command is refused at another exit, with the last line it said", async () => {
  assertEquals(await rebootMachine(byCommand("echo first >&2; echo 'not now' >&2; echo >&2; exit 3"), SOON), {
    kind: "refused",
    why: "the reboot command exited with 3: not now",
  });
  assertEquals(await rebootMachine(byCommand("exit 1"), SOON), {
    kind: "refused",
    why: "the reboot command exited with 1",
  });
});

Deno.test("rebootMachine() by a command that does not end is unknown, and nothing of it goes on", async () => {
  const file = await Deno.makeTempFile();
  const outcome = await rebootMachine(byCommand(`sleep 600 & echo $! > ${file}; wait`), { timeoutMs: 2_000 });
  assertEquals(outcome, {
    kind: "unknown",
    why: "the reboot command did not end within 2000 ms and was killed",
  });
  const pid = (await Deno.readTextFile(file)).trim();
  assertNotEquals(pid, "");
  // a process that was killed may take a moment to be dead
  await until(() => lives(Number(pid)), (alive) => !alive);
  await Deno.remove(file);
});

Deno.test("rebootMachine() by a command that is killed by a signal is unknown", async () => {
  assertEquals(await rebootMachine(byCommand("kill -s KILL $$"), SOON), {
    kind: "unknown",
    why: "the reboot command was ended by SIGKILL",
  });
});

Deno.test("rebootMachine() by a command that goes on in the background does not wait for it, nor stop it", async () => {
  const directory = await Deno.makeTempDir();
  await new Deno.Command("mkfifo", { args: [`${directory}/go`, `${directory}/done`] }).output();
  const command = `(read x < ${directory}/go; echo noise >&2; echo noise; echo done > ${directory}/done) &`;
  assertEquals(await rebootMachine(byCommand(command), SOON), { kind: "accepted" });
  await Deno.writeTextFile(`${directory}/go`, "go\n");
  const { stdout } = await new Deno.Command("timeout", { args: ["20", "cat", `${directory}/done`] }).output();
  assertEquals(new TextDecoder().decode(stdout), "done\n");
  await Deno.remove(directory, { recursive: true });
});
