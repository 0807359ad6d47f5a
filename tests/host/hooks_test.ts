import { assertEquals, assertMatch } from "@std/assert";
import { Hooks } from "../../lib/host/hooks.ts";
import { PREPARED_FILE, PreparedRecord } from "../../lib/host/prepared_record.ts";
import { OwnHost } from "../support/own_host.ts";

/** The hooks of a daemon that runs in this boot. */
function hooksOf(host: OwnHost, boot = "boot-1") {
  const { root, group, machine, log } = host;
  const record = new PreparedRecord(root, boot);
  const hooks = new Hooks({ root, group, machine, log, timeoutMs: 20_000, record });
  return {
    limitMs: () => hooks.limitMs(),
    state: () => record.state(),
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
  assertEquals(await hooksOf(host).prepare(), DONE);
  assertEquals(await host.calls(), []);

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
  assertEquals(await hooksOf(host).limitMs(), 1);
  assertEquals(await hooksOf(host).prepare(), DONE);
  const later = hooksOf(host, "boot-2");
  assertEquals(await later.takeBack(true), { kind: "hook-failed", why: "hook post-boot.d/a: exit code 1" });
  assertEquals((await host.calls()).length, 2);
  await Deno.writeTextFile(`${host.root}/ready`, "");
  assertEquals(await later.takeBack(true), DONE);
  assertEquals(await host.calls(), ["a post-boot yes new kernel"]);
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
  await hooksOf(host).prepare();
  await Deno.writeTextFile(host.root + PREPARED_FILE, '{"boot":');
  const hooks = hooksOf(host);
  assertEquals(await hooks.state(), "earlier-boot");
  assertEquals([await hooks.takeBack(true), await host.calls()], [DONE, ["a post-boot yes "]]);
});
