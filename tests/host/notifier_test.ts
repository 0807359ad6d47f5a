import { assertEquals, assertMatch } from "@std/assert";
import { Notifier, WAITING_MAX } from "../../lib/host/notifier.ts";
import { OwnHost } from "../support/own_host.ts";

function notifierOf(host: OwnHost, dryRun = false): Notifier {
  const { root, group, machine, log } = host;
  const surroundings = { now: () => Date.UTC(2026, 10, 28, 1) };
  return new Notifier({ root, group, machine, log, strategy: "etcd-lock", dryRun, surroundings });
}

const reasons = ["new kernel"];

Deno.test("every program of notify.d gets each event as a line of JSON, in their order, and one that was told last not again", async () => {
  await using host = await OwnHost.make();
  const notifier = notifierOf(host);
  notifier.tell({ event: "need", reasons });
  await notifier.settled();
  await host.script("notify", "chat", 'read -r line; echo "chat $line" >>"$LOCKSMITH_ROOT/calls"');
  await host.script("notify", "broken", "exit 3");
  notifier.tell({ event: "blocked", why: "ceph: HEALTH_WARN", reasons });
  notifier.tell({ event: "blocked", why: "ceph: HEALTH_WARN", reasons });
  notifier.tell({ event: "granted", reasons });
  await notifier.settled();
  const told = (await host.calls()).map((line) => JSON.parse(line.replace("chat ", "")));
  const about = {
    machine: "b".repeat(32),
    host: "web1",
    boot: "boot-1",
    group: "web",
    strategy: "etcd-lock",
    reasons,
  };
  const at = "2026-11-28T01:00:00.000Z";
  assertEquals(told, [
    { event: "blocked", at, ...about, why: "ceph: HEALTH_WARN" },
    { event: "granted", at, ...about },
  ]);
  assertEquals(host.lines, [
    "warning: notify.d/broken: exit code 3",
    "warning: notify.d/broken: exit code 3",
  ]);
});

Deno.test("more events than may wait are dropped with a warning, and nobody is held up", async () => {
  await using host = await OwnHost.make();
  const notifier = notifierOf(host, true);
  for (let i = 0; i <= WAITING_MAX; i++) notifier.tell({ event: "blocked", why: `${i}`, reasons });
  assertEquals(host.lines.length, 1);
  assertMatch(
    host.lines[0] ?? "",
    /^warning: .*notify\.d is not told of 'blocked': it is 100 events behind$/,
  );
  await notifier.settled();
});
