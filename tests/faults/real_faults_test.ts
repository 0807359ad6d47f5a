/**
 * What must never break, while what really breaks does: a cluster of three members of etcd, and machines whose daemons are
 * processes of the built file. Members are killed, frozen and cut off, daemons are frozen, and etcd drops its past. Judged
 * is what etcd's revisions and the machines' own records say.
 */

import { assertEquals, assertNotEquals } from "@std/assert";
import { Chronicle, grants, violations } from "../support/chronicle.ts";
import { startCuttableCluster } from "../support/cut_off.ts";
import { TestLock, until } from "../support/daemon_process.ts";
import { type EtcdCluster, type EtcdServer, leaderOf, startEtcdCluster } from "../support/etcd.ts";
import { Fleet, FleetMachine } from "../support/fleet.ts";
import { startProxy } from "../support/proxy.ts";
import { ReplyDropper } from "../support/reply_dropper.ts";
import { PLACE_TTL_MS } from "../../lib/queue.ts";

const MACHINES = 20;
const MAX = 3;
/** How much longer than asked for a lease may last, on a host that is busy with other things. */
const LEASE_LIMIT_MS = PLACE_TTL_MS + 30_000;
const FULL = /waiting for a slot: first in line, all slots are held \(available: 0\): /;
const BEHIND = /waiting for a slot: in line behind another machine/;
const ACCEPTED = /^notice: the reboot is accepted/;

let cluster: EtcdCluster | undefined;
/** One cluster for the stories that leave it as they found it; each has its own group. */
async function theCluster(): Promise<EtcdCluster> {
  return cluster ??= await startEtcdCluster();
}

Deno.test.afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

/** Twenty daemons want a reboot at once; what happens meanwhile is `story`, and all must be well at its end. */
async function rollOut(
  members: readonly EtcdServer[],
  group: string,
  story: (fleet: Fleet, chronicle: Chronicle) => Promise<void>,
): Promise<void> {
  const endpoints = members.map(({ endpoint }) => endpoint);
  const chronicle = await Chronicle.begin(members, group);
  await using lock = await TestLock.open(endpoints[0] ?? "", group);
  await lock.setMax(MAX);
  await using fleet = await Fleet.start(MACHINES, { endpoints, group }, chronicle);
  await story(fleet, chronicle);
  await fleet.done();
  await chronicle.read();
  assertEquals(violations(chronicle.snapshots, fleet.reboots), []);
  assertEquals(fleet.reboots.length, MACHINES);
  assertEquals(new Set(fleet.reboots.map(({ machine }) => machine)).size, MACHINES, "each rebooted once");
  const calls = await Promise.all(fleet.machines.map((machine) => machine.calls()));
  assertEquals(calls, fleet.machines.map(() => 1));
}

// A lease lasts half a minute: this runs beside the other stories, begun by the first, and is awaited by its own tests.
const background = new Map<string, Promise<void>>();
function begun(name: string, story: () => Promise<void>): Promise<void> {
  const running = background.get(name) ?? story();
  running.catch(() => {}); // told by the test that awaits it
  background.set(name, running);
  return running;
}

/** The first in line falls silent, and the next waits behind it until its lease is over. */
async function stoppedInLine(): Promise<void> {
  await using cluster = await startEtcdCluster();
  const endpoints = cluster.members.map(({ endpoint }) => endpoint);
  const options = { endpoints, group: "stopped in line" };
  const chronicle = await Chronicle.begin(cluster.members, options.group);
  await using lock = await TestLock.open(endpoints.join(","), options.group);
  await using stopped = await FleetMachine.make(options);
  await using next = await FleetMachine.make(options);
  await lock.lock("another");
  const frozen = stopped.start();
  await frozen.line(FULL);
  const second = next.start();
  await second.line(BEHIND);
  frozen.signal("SIGSTOP");
  await lock.unlock("another");
  await second.line(ACCEPTED, LEASE_LIMIT_MS);
  assertEquals([(await lock.read()).holders, await lock.queue()], [[next.id], []]);
  frozen.signal("SIGCONT");
  await until(() => lock.queue(), ([first]) => first === stopped.id);
  assertEquals((await lock.read()).holders, [next.id], "it stands in line anew, and has nothing");
  await chronicle.telling(Promise.all([next.comeBack(second), stopped.turn(frozen)]));

  await chronicle.read();
  assertEquals(violations(chronicle.snapshots, [...next.reboots, ...stopped.reboots]), []);
  assertEquals(grants(chronicle.snapshots), [next.id, stopped.id]);
  const lines = chronicle.snapshots.map(({ line }) => line.map((id) => id === next.id ? "next" : "stopped"));
  const changes = lines.filter((line, index) => String(line) !== String(lines[index - 1]));
  assertEquals(changes, [[], ["stopped"], ["stopped", "next"], ["next"], [], ["stopped"], []]);
}

/** The request that grants is on its way when its sender falls silent, and arrives when the place is gone. */
async function lateGrant(): Promise<void> {
  await using cluster = await startEtcdCluster();
  const [{ endpoint }] = cluster.members as [EtcdServer];
  await using dropper = new ReplyDropper(endpoint);
  const options = { endpoints: [dropper.endpoint], group: "late grant" };
  const chronicle = await Chronicle.begin(cluster.members, options.group);
  await using lock = await TestLock.open(endpoint, options.group);
  await using machine = await FleetMachine.make(options);
  await lock.lock("another");
  const daemon = machine.start();
  await daemon.line(FULL);
  const grant = dropper.catch(/"what":"grant"/, "hold the request");
  await lock.unlock("another");
  await grant.caught;
  daemon.signal("SIGSTOP");
  await until(() => lock.queue(), (queue) => queue.length === 0, LEASE_LIMIT_MS);
  await grant.forward();
  await grant.answered;
  assertEquals([(await lock.read()).holders, await lock.queue()], [[], []]);
  daemon.signal("SIGCONT");
  await chronicle.telling(machine.turn(daemon));

  await chronicle.read();
  assertEquals(violations(chronicle.snapshots, machine.reboots), []);
  assertEquals(grants(chronicle.snapshots), [machine.id], "once, and in line");
}

Deno.test("roll-out of 20 daemons of the built file goes on when the leader of etcd is killed, and when it comes back, while etcd drops its past again and again", async () => {
  begun("stopped in line", stoppedInLine);
  begun("late grant", lateGrant);
  const { members } = await theCluster();
  await rollOut(members, "leader killed", async (fleet, chronicle) => {
    await fleet.rebooted(3);
    await chronicle.compact();
    const leader = await leaderOf(members);
    await leader.kill();
    await fleet.rebooted(8);
    await chronicle.compact();
    await fleet.rebooted(12);
    await leader.start();
    await fleet.rebooted(16);
    await chronicle.compact();
  });
});

Deno.test("roll-out of 20 daemons of the built file goes on when the leader of etcd is frozen by SIGSTOP, and when it goes on", async () => {
  const { members } = await theCluster();
  await rollOut(members, "leader frozen", async (fleet) => {
    await fleet.rebooted(3);
    const leader = await leaderOf(members);
    leader.freeze();
    try {
      await fleet.rebooted(12);
      assertNotEquals(await leaderOf(members.filter((member) => member !== leader)), leader);
    } finally {
      leader.thaw();
    }
  });
});

Deno.test("roll-out of 20 daemons of the built file goes on when the leader of etcd is cut off from its clients and the other members, and when it is back", async () => {
  await using cluster = await startCuttableCluster();
  const { members } = cluster;
  const [first, second, third] = members as [EtcdServer, EtcdServer, EtcdServer];
  await rollOut(members, "leader cut off", async (fleet) => {
    await fleet.rebooted(3);
    await makeLeader(third, members);
    await cluster.cut();
    await leaderOf([first, second]);
    await fleet.rebooted(12);
    await cluster.mend();
  });
});

async function makeLeader(member: EtcdServer, members: readonly EtcdServer[]): Promise<void> {
  const leader = await leaderOf(members);
  if (leader === member) return;
  const [{ Status: { header } }] = JSON.parse(
    // an id is a number of 64 bits
    (await member.ctl("endpoint", "status", "--write-out=json")).replace(
      /"member_id":(\d+)/,
      '"member_id":"$1"',
    ),
  );
  await leader.ctl("move-leader", BigInt(header.member_id).toString(16));
  await until(() => member.leads(), (leads) => leads);
}

Deno.test("daemon whose watches were interrupted while etcd dropped the past that they would have told looks, and gets its slot", async () => {
  const { members } = await theCluster();
  const [{ endpoint }] = members as [EtcdServer];
  await using proxy = startProxy(Number(new URL(endpoint).port));
  const options = { endpoints: [`http://127.0.0.1:${proxy.port}`], group: "compaction" };
  const chronicle = await Chronicle.begin(members, options.group);
  await using lock = await TestLock.open(endpoint, options.group);
  await lock.lock("another");
  await using first = await FleetMachine.make(options);
  await using second = await FleetMachine.make(options);
  const before = first.start();
  await before.line(FULL);
  const behind = second.start();
  await behind.line(BEHIND);

  proxy.cut();
  await lock.pause({ reason: "a fair", extra: {} });
  await lock.resume();
  await lock.unlock("another");
  await chronicle.compact();
  proxy.mend();
  await before.line(/^info: got a slot in group /);

  await before.line(ACCEPTED);
  // the one behind watches a key that is gone by now, and its own past was dropped as well
  await chronicle.telling(Promise.all([first.comeBack(before), second.turn(behind)]));
  await chronicle.read();
  assertEquals(violations(chronicle.snapshots, [...first.reboots, ...second.reboots]), []);
  assertEquals(grants(chronicle.snapshots), [first.id, second.id]);
});

Deno.test("daemon that is stopped in line until its lease is over is skipped, and stands in line anew when it goes on", async () => {
  await begun("stopped in line", stoppedInLine);
});

Deno.test("grant that arrives after the place of its machine is gone is refused, though the slot is free and nobody else wants it", async () => {
  await begun("late grant", lateGrant);
});
