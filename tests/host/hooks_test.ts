import { assertEquals, assertMatch } from "@std/assert";
import { Hooks } from "../../lib/host/hooks.ts";
import { PREPARED_FILE, PreparedRecord } from "../../lib/host/prepared_record.ts";
import { until } from "../support/daemon_process.ts";
import { OwnHost } from "../support/own_host.ts";

/** The hooks of a daemon that runs in this boot. */
function hooksOf(host: OwnHost, boot = "boot-1") {
  const { root, group, machine, log } = host;
  const record = new PreparedRecord(root, boot);
  const hooks = new Hooks({ root, group, machine, log, timeoutMs: 20_000, record });
  return {
    limitMs: () => hooks.limitMs(),
    state: () => record.state(),
    /** As when the process ends. */
    end: () => record.release(),
    prepare: () => hooks.run({ kind: "hooks", when: "pre-reboot", reasons: ["new kernel"] }),
    takeBack: (rebooted: boolean) => hooks.run({ kind: "hooks", when: "post-boot", rebooted }),
  };
}

const CALL =
  'echo "${0##*/} $LOCKSMITH_PHASE ${LOCKSMITH_REBOOTED-} $LOCKSMITH_REASON" >>"$LOCKSMITH_ROOT/calls"';
const DONE = { kind: "hooked" } as const;

Deno.test("hooks run in their order before a reboot, and are taken back in a later boot, with the reason, once", async () => {
  await using host = await OwnHost.make();
  await host.script("pre-reboot", "20-drain", CALL);
  await host.script("pre-reboot", "10-silence", `${CALL}; echo silenced for 1 h`);
  await host.script("post-boot", "10-unsilence", CALL);
  const hooks = hooksOf(host);
  assertEquals(await hooks.limitMs(), 40_000);
  assertEquals(await hooks.prepare(), DONE);
  assertEquals(await host.calls(), ["10-silence pre-reboot  new kernel", "20-drain pre-reboot  new kernel"]);
  assertEquals(host.lines.slice(0, 3), [
    "info: hook pre-reboot.d/10-silence: begins",
    "info: hook pre-reboot.d/10-silence: silenced for 1 h",
    "info: hook pre-reboot.d/10-silence: done",
  ]);
  // what has run for this roll does not run again, also for another daemon of the same boot
  hooks.end();
  const second = hooksOf(host);
  assertEquals(await second.prepare(), DONE);
  assertEquals(await host.calls(), []);
  second.end();

  const later = hooksOf(host, "boot-2");
  assertEquals(await later.state(), "earlier-boot");
  assertEquals(await later.takeBack(true), DONE);
  assertEquals(await host.calls(), ["10-unsilence post-boot yes new kernel"]);
  assertEquals([await later.state(), await later.takeBack(true), await host.calls()], ["none", DONE, []]);
});

Deno.test("the first hook that fails before a reboot ends the run, and what was begun is to be taken back", async () => {
  await using host = await OwnHost.make();
  await host.script("pre-reboot", "a", CALL);
  await host.script("pre-reboot", "b", `${CALL}; echo no replica is in sync; exit 1`);
  await host.script("pre-reboot", "c", CALL);
  await host.script("post-boot", "a", CALL);
  const hooks = hooksOf(host);
  const why = "hook pre-reboot.d/b: no replica is in sync";
  assertEquals(await hooks.prepare(), { kind: "hook-failed", why });
  assertEquals((await host.calls()).length, 2);
  assertEquals(await hooks.state(), "partly");
  assertEquals(await hooks.takeBack(false), DONE);
  assertEquals(await host.calls(), ["a post-boot no new kernel"]);
  assertEquals(await hooks.state(), "none");
});

Deno.test("after a reboot all hooks run though one fails, and only that one runs again", async () => {
  await using host = await OwnHost.make();
  await host.script("post-boot", "a", `${CALL}; test -e "$LOCKSMITH_ROOT/ready"`);
  await host.script("post-boot", "b", CALL);
  // those of after the boot alone are a reason for a record too
  const hooks = hooksOf(host);
  assertEquals(await hooks.limitMs(), 1);
  assertEquals(await hooks.prepare(), DONE);
  hooks.end();
  const later = hooksOf(host, "boot-2");
  assertEquals(await later.takeBack(true), { kind: "hook-failed", why: "hook post-boot.d/a: exit code 1" });
  assertEquals((await host.calls()).length, 2);
  await Deno.writeTextFile(`${host.root}/ready`, "");
  assertEquals(await later.takeBack(true), DONE);
  assertEquals(await host.calls(), ["a post-boot yes new kernel"]);
});

Deno.test("of two who would reboot a host at once one has its hooks: the other runs none, takes nothing back, and is told who has", async () => {
  await using host = await OwnHost.make();
  await host.script(
    "pre-reboot",
    "a",
    `${CALL}; until [ -e "$LOCKSMITH_ROOT/seen" ]; do sleep 0.02; done; [ -e "$LOCKSMITH_ROOT/go" ]`,
  );
  await host.script("post-boot", "a", CALL);
  const [one, other] = [hooksOf(host), hooksOf(host)];
  const prepared = one.prepare();
  await until(() => Deno.stat(`${host.root}/calls`).catch(() => null), (calls) => calls !== null);
  const busy = await other.prepare();
  await Deno.writeTextFile(`${host.root}/seen`, "");
  assertMatch(
    "why" in busy ? busy.why : "",
    new RegExp(
      `^another locksmith process is preparing .*\\(process ${Deno.pid}\\): it holds .*hooks\\.lock$`,
    ),
  );
  assertEquals((await prepared).kind, "hook-failed");
  // what failed is still to be taken back, by who has it
  assertEquals([(await other.takeBack(false)).kind, await other.state()], ["hook-failed", "partly"]);
  assertEquals([await one.takeBack(false), await other.takeBack(false)], [DONE, DONE]);
  assertEquals(await host.calls(), ["a pre-reboot  new kernel", "a post-boot no new kernel"]);

  await Deno.writeTextFile(`${host.root}/go`, "");
  assertEquals(await one.prepare(), DONE);
  // it may call its reboot at any moment
  assertEquals((await other.takeBack(false)).kind, "hook-failed");
  one.end();
  assertEquals([await other.prepare(), (await host.calls()).length], [DONE, 1]);
  assertEquals(await other.takeBack(false), DONE);
});

Deno.test("a host of which half is taken back is no longer prepared: who comes next finishes that first", async () => {
  await using host = await OwnHost.make();
  await host.script("pre-reboot", "a", CALL);
  await host.script("post-boot", "a", "exit 1");
  const hooks = hooksOf(host);
  await hooks.prepare();
  assertEquals((await hooks.takeBack(false)).kind, "hook-failed");
  assertEquals(await hooksOf(host).state(), "partly");
});

Deno.test("no hook runs where it cannot be recorded that it does", async () => {
  await using host = await OwnHost.make();
  await host.script("pre-reboot", "a", CALL);
  // a folder in the place of the file: as root nothing else fails
  await Deno.mkdir(host.root + PREPARED_FILE, { recursive: true });
  const outcome = await hooksOf(host).prepare();
  assertEquals(outcome.kind, "hook-failed");
  assertMatch("why" in outcome ? outcome.why : "", /^cannot record that hooks run: /);
  assertEquals(await host.calls(), []);
});

Deno.test("a record that cannot be understood is of something that is to be taken back", async () => {
  await using host = await OwnHost.make();
  await host.script("post-boot", "a", CALL);
  const before = hooksOf(host);
  await before.prepare();
  before.end();
  await Deno.writeTextFile(host.root + PREPARED_FILE, '{"boot":');
  const hooks = hooksOf(host);
  assertEquals(await hooks.state(), "earlier-boot");
  assertEquals([await hooks.takeBack(true), await host.calls()], [DONE, ["a post-boot yes "]]);
});
