/**
 * Replies that are lost: a transaction is committed in etcd, and its sender never hears of it. A proxy before etcd lets the
 * request through and breaks the connection once the commit is to be seen by another way. Clients are the built file.
 */

import { assertEquals, assertLess, assertMatch } from "@std/assert";
import { Chronicle, grants, violations } from "../support/chronicle.ts";
import { type Ended, locksmith, TestLock, until } from "../support/daemon_process.ts";
import { type EtcdCluster, type EtcdServer, startEtcdCluster } from "../support/etcd.ts";
import { locksmith as built } from "../support/executable.ts";
import { FleetMachine } from "../support/fleet.ts";
import { ReplyDropper } from "../support/reply_dropper.ts";
import type { Semaphore } from "../../lib/semaphore.ts";

const FULL = /waiting for a slot: first in line, all slots are held \(available: 0\): /;
/** The text of a place: the last of its fields is the reason. A hold has more. */
const PLACE = /"by":"locksmithd","reason":"[^"]*"\}/;

let cluster: EtcdCluster | undefined;

Deno.test.afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

/** A group of a real cluster, and a way to it on which replies can be lost. */
async function scene(group: string) {
  cluster ??= await startEtcdCluster();
  const [{ endpoint }, { endpoint: elsewhere }] = cluster.members as [EtcdServer, EtcdServer];
  await using stack = new AsyncDisposableStack();
  const dropper = stack.use(new ReplyDropper(endpoint));
  const lock = stack.use(await TestLock.open(elsewhere, group));
  const chronicle = await Chronicle.begin(cluster.members, group);
  const program = await built();
  const kept = stack.move();
  return {
    group,
    dropper,
    lock,
    chronicle,
    /** Runs the built file. */
    run: (...args: string[]): Promise<Ended> =>
      locksmith([...args, "--group", group, "--endpoint", dropper.endpoint], { program }),
    /** The reply to the request that fits is lost, once the document is as wanted. */
    lose: async (pattern: RegExp, committed: (semaphore: Semaphore) => boolean): Promise<void> => {
      const request = dropper.catch(pattern);
      await request.caught;
      await lock.until(committed);
      request.cut();
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** What the changes of the document are recorded as, from the first. */
function recorded({ snapshots }: Chronicle): string[] {
  const marks = snapshots.map(({ semaphore: { changed } }) =>
    `${changed?.what} ${changed?.machine ?? ""}`.trim()
  );
  return marks.filter((mark, index) => index > 0 && mark !== marks[index - 1]);
}

const DONE: Ended = { code: 0, stdout: "", stderr: "" };
/** The same of a command that made the group. */
const doneIn = (group: string): Ended => ({
  ...DONE,
  stderr: `locksmith: hint: group ${group} is new: nothing was stored for it before\n`,
});

Deno.test("lock whose reply is lost exits 0: it has the slot, once, and is not told that all are held", async () => {
  await using group = await scene("lock");
  const lost = group.lose(/"what":"lock"/, ({ holders }) => holders.includes("web1"));
  assertEquals(await group.run("lock", "web1"), doneIn("lock"));
  await lost;
  await group.chronicle.read();
  assertEquals(recorded(group.chronicle), ["lock web1"]);
  assertEquals((await group.lock.read()).holders, ["web1"]);
});

Deno.test("unlock whose reply is lost exits 0: it is not told that nobody holds the slot", async () => {
  await using group = await scene("unlock");
  await group.lock.lock("web1");
  const lost = group.lose(/"what":"unlock"/, ({ holders }) => holders.length === 0);
  assertEquals(await group.run("unlock", "web1"), DONE);
  await lost;
  await group.chronicle.read();
  assertEquals(recorded(group.chronicle), ["lock web1", "unlock web1"]);
});

Deno.test("unlock whose reply is lost leaves a slot alone that the machine takes meanwhile", async () => {
  await using group = await scene("unlock and lock");
  await group.lock.lock("web1");
  const request = group.dropper.catch(/"what":"unlock"/);
  const unlocked = group.run("unlock", "web1");
  await request.caught;
  await group.lock.until(({ holders }) => holders.length === 0);
  await group.lock.lock("web1", "another disk");
  request.cut();
  assertEquals(await unlocked, DONE);
  assertEquals((await group.lock.hold("web1"))?.reason, "another disk");
});

Deno.test("set-max whose reply is lost exits 0, and tells what max was before", async () => {
  await using group = await scene("set-max");
  await group.lock.setMax(2);
  const lost = group.lose(/"what":"set-max"/, ({ max }) => max === 5);
  assertEquals(await group.run("set-max", "5"), { ...DONE, stdout: "Old-Max: 2\nMax: 5\n" });
  await lost;
});

Deno.test("pause and resume whose replies are lost exit 0, and do not say that it was so before", async () => {
  await using group = await scene("pause");
  const paused = group.lose(/"what":"pause"/, ({ paused }) => paused?.reason === "a fair");
  const first = await group.run("pause", "--reason", "a fair");
  await paused;
  assertEquals(
    [first.code, /already|was paused/.test(first.stdout + first.stderr)],
    [0, false],
    first.stdout,
  );
  const resumed = group.lose(/"what":"resume"/, ({ paused }) => paused === undefined);
  const second = await group.run("resume");
  await resumed;
  assertEquals([second.code, second.stderr, /not paused/.test(second.stdout)], [0, "", false], second.stdout);
});

Deno.test("lock --wait whose reply to the grant is lost exits 0, with one slot", async () => {
  await using group = await scene("lock --wait");
  await group.lock.lock("another");
  const place = group.dropper.catch(/"since":"[^"]*","by":"[^"]*","reason":"a disk"\}/);
  const locked = group.run("lock", "web1", "--wait", "--reason", "a disk");
  await place.caught;
  await until(() => group.lock.queue(), ([first]) => first === "web1");
  place.cut();
  const lost = group.lose(/"what":"grant"/, ({ holders }) => holders.includes("web1"));
  await group.lock.unlock("another");
  assertEquals(await locked, DONE);
  await lost;
  await group.chronicle.read();
  assertEquals([grants(group.chronicle.snapshots), group.chronicle.last.line], [["web1"], []]);
});

Deno.test("lock whose reply never comes, over a connection that stays, exits 0 when its deadline has passed", async () => {
  await using group = await scene("silence");
  const request = group.dropper.catch(/"what":"lock"/);
  const started = performance.now();
  assertEquals(await group.run("lock", "web1"), doneIn("silence"));
  await request.caught;
  assertLess(performance.now() - started, 30_000);
  await group.chronicle.read();
  assertEquals(recorded(group.chronicle), ["lock web1"]);
});

Deno.test("lock whose reply is lost, and etcd with it, says that nobody can tell, and exits 1", async () => {
  await using group = await scene("never known");
  const request = group.dropper.catch(/"what":"lock"/);
  const locked = group.run("lock", "web1");
  await request.caught;
  await group.lock.until(({ holders }) => holders.includes("web1"));
  await group.dropper[Symbol.asyncDispose]();
  const { code, stdout, stderr } = await locked;
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /^locksmith: error: cannot tell whether lock in group never known took effect: /);
  assertMatch(
    stderr,
    /\nlocksmith: hint: the request may have reached the store; check with 'locksmith status'/,
  );
});

Deno.test("daemon whose replies are lost, to its place, its grant, its confirm and its release, reboots once and gives its slot back", async () => {
  await using group = await scene("every reply");
  const { dropper, lock, chronicle } = group;
  await using machine = await FleetMachine.make({ endpoints: [dropper.endpoint], group: group.group });
  const { id } = machine;
  await lock.lock("another");
  const place = dropper.catch(PLACE);
  const daemon = machine.start();
  await place.caught;
  await until(() => lock.queue(), ([first]) => first === id);
  place.cut();
  await daemon.line(FULL);
  assertEquals(await lock.queue(), [id]);

  const granted = group.lose(/"what":"grant"/, ({ holders }) => holders.includes(id));
  const confirmed = group.lose(/"what":"confirm"/, ({ holds }) => holds.get(id)?.phase === "rebooting");
  await lock.unlock("another");
  await chronicle.telling(Promise.all([granted, confirmed]));
  const released = group.lose(/"what":"release"/, ({ holders }) => holders.length === 0);
  await chronicle.telling(Promise.all([machine.turn(daemon), released]));
  assertEquals(
    [daemon.count(/got a slot/), await machine.calls(), machine.reboots.length],
    [1, 1, 1],
    daemon.text,
  );
  await chronicle.read();
  assertEquals(violations(chronicle.snapshots, machine.reboots), []);
  const what = ["lock another", "unlock another", `grant ${id}`, `confirm ${id}`, `release ${id}`];
  assertEquals(recorded(chronicle), what);
});

Deno.test("daemon whose replies are lost, to a grant without a line and to its cancel after a refused reboot, has one slot and then none", async () => {
  await using group = await scene("refused");
  await using machine = await FleetMachine.make({ endpoints: [group.dropper.endpoint], group: group.group });
  const granted = group.lose(/"what":"grant"/, ({ holders }) => holders.includes(machine.id));
  const cancelled = group.lose(/"what":"cancel"/, ({ holders }) => holders.length === 0);
  const daemon = machine.start("exit 1");
  await group.chronicle.telling(Promise.all([granted, cancelled]));
  await daemon.line(/^info: gave the slot back$/);
  assertEquals(daemon.count(/got a slot/), 1, daemon.text);
  await group.chronicle.read();
  assertEquals(violations(group.chronicle.snapshots, []), []);
  assertEquals(
    recorded(group.chronicle),
    ["grant", "confirm", "cancel"].map((what) => `${what} ${machine.id}`),
  );
});
