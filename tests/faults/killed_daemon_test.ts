/**
 * Daemons that are killed by SIGKILL at each step on the way to a reboot and back, and started again. The step is not hit
 * by luck: a proxy before etcd catches the transaction of that step, before it goes through or before its reply comes back,
 * and the daemon is killed then. Another machine waits behind it all the time. Daemons are processes of the built file.
 */

import { assertEquals } from "@std/assert";
import { Chronicle, grants, violations } from "../support/chronicle.ts";
import { type TestDaemon, TestLock, until } from "../support/daemon_process.ts";
import { type EtcdCluster, type EtcdServer, startEtcdCluster } from "../support/etcd.ts";
import { FleetMachine, REBOOT_COMMAND } from "../support/fleet.ts";
import { type Fate, ReplyDropper } from "../support/reply_dropper.ts";

const FULL = /waiting for a slot: first in line, all slots are held \(available: 0\): /;
const ACCEPTED = /^notice: the reboot is accepted/;
const BEHIND = /waiting for a slot: in line behind another machine/;
/** The text of a place: the last of its fields is the reason. A hold has more. */
const PLACE = /"by":"locksmithd","reason":"[^"]*"\}/;

interface Step {
  readonly when: string;
  readonly request: RegExp;
  readonly fate: Fate;
  /** What is to be seen in etcd before the daemon is killed. */
  readonly phase?: "in line" | "granted" | "rebooting" | "released";
}

const BEFORE_THE_REBOOT: readonly Step[] = [
  { when: "before its place is taken", request: PLACE, fate: "hold the request" },
  { when: "when its place is taken", request: PLACE, fate: "withhold the reply", phase: "in line" },
  { when: "before its grant", request: /"what":"grant"/, fate: "hold the request", phase: "in line" },
  {
    when: "when it is granted, and does not know it",
    request: /"what":"grant"/,
    fate: "withhold the reply",
    phase: "granted",
  },
  {
    when: "when it is granted, before its confirm",
    request: /"what":"confirm"/,
    fate: "hold the request",
    phase: "granted",
  },
  {
    when: "when its confirm is committed, before it calls the reboot",
    request: /"what":"confirm"/,
    fate: "withhold the reply",
    phase: "rebooting",
  },
];

const AFTER_THE_REBOOT: readonly Step[] = [
  {
    when: "after the boot, before its release",
    request: /"what":"release"/,
    fate: "hold the request",
    phase: "rebooting",
  },
  {
    when: "after the boot, when its release is committed",
    request: /"what":"release"/,
    fate: "withhold the reply",
    phase: "released",
  },
];

let cluster: EtcdCluster | undefined;

Deno.test.afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

/** One slot that is held by hand, a machine that is to be killed, and one that is to come after it. */
async function scene(name: string) {
  cluster ??= await startEtcdCluster();
  const { members } = cluster;
  const [{ endpoint }] = members as [EtcdServer];
  const endpoints = members.map(({ endpoint }) => endpoint);
  const group = name.replaceAll(",", "");
  await using stack = new AsyncDisposableStack();
  const chronicle = await Chronicle.begin(members, group);
  const dropper = stack.use(new ReplyDropper(endpoint));
  const lock = stack.use(await TestLock.open(endpoints.join(","), group));
  const victim = stack.use(await FleetMachine.make({ endpoints: [dropper.endpoint], group }));
  const next = stack.use(await FleetMachine.make({ endpoints, group }));
  await lock.lock("another");
  const kept = stack.move();

  return {
    chronicle,
    dropper,
    lock,
    victim,
    next,
    /** The next one, behind the victim, once the slot is free. */
    behind: async (): Promise<TestDaemon> => {
      const daemon = next.start();
      await daemon.line(BEHIND);
      await lock.unlock("another");
      return daemon;
    },
    /** Resolves when etcd has the victim as far as that. */
    is: async (wanted: Step["phase"]): Promise<void> => {
      const look = async () => {
        const { semaphore: { holds }, queue } = await lock.readWithQueue();
        const waits = queue.some(({ machine }) => machine === victim.id);
        return holds.get(victim.id)?.phase ?? (waits ? "in line" : "released");
      };
      await until(look, (phase) => phase === (wanted ?? "released"));
    },
    /** All is well at the end: both rebooted, and the victim was called so often, and nobody came before it. */
    assertWell: async (calls: number): Promise<void> => {
      await until(() => lock.readWithQueue(), ({ semaphore, queue }) => {
        return semaphore.holders.length === 0 && queue.length === 0;
      });
      await chronicle.read();
      assertEquals(violations(chronicle.snapshots, [...victim.reboots, ...next.reboots]), []);
      assertEquals(grants(chronicle.snapshots), [victim.id, next.id]);
      assertEquals([victim.reboots.length, next.reboots.length, await victim.calls()], [1, 1, calls]);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

for (const step of BEFORE_THE_REBOOT) {
  Deno.test(`daemon killed ${step.when} goes on when it is started again, and reboots once`, async () => {
    await using group = await scene(`killed ${step.when}`);
    const { dropper, victim, next } = group;
    const request = dropper.catch(step.request, step.fate);
    const killed = victim.start();
    if (step.request !== PLACE) await killed.line(FULL);
    // who has no place yet has nobody behind it
    const early = step.request === PLACE ? undefined : await group.behind();
    await request.caught;
    await group.is(step.phase);
    await killed.stop("SIGKILL");
    request.cut();
    const again = victim.start();
    if (step.request === PLACE) await again.line(FULL);
    const behind = early ?? await group.behind();
    await group.chronicle.telling(Promise.all([victim.turn(again), next.turn(behind)]));
    await group.assertWell(1);
  });
}

Deno.test("daemon killed when the reboot is accepted, on a machine that stays up, calls it again under the same slot when it is started again", async () => {
  await using group = await scene("killed when the reboot is accepted");
  const { lock, victim, next } = group;
  const killed = victim.start();
  await killed.line(FULL);
  const behind = await group.behind();
  await killed.line(ACCEPTED);
  const { grant } = await lock.hold(victim.id) ?? {};
  await killed.stop("SIGKILL");
  const again = victim.start();
  await again.line(ACCEPTED);
  assertEquals((await lock.hold(victim.id))?.grant, grant);
  await group.chronicle.telling(Promise.all([victim.comeBack(again), next.turn(behind)]));
  await group.assertWell(2);
});

Deno.test("daemon killed by the very reboot that it calls keeps its slot until the machine is up again", async () => {
  await using group = await scene("killed by its reboot");
  const { lock, victim, next } = group;
  const killed = victim.start(`${REBOOT_COMMAND}; kill -KILL "$PPID"`);
  await killed.line(FULL);
  const behind = await group.behind();
  const { signal } = await killed.status;
  assertEquals([signal, killed.count(ACCEPTED)], ["SIGKILL", 0]);
  assertEquals((await lock.hold(victim.id))?.phase, "rebooting");
  await group.chronicle.telling(Promise.all([victim.comeBack(killed), next.turn(behind)]));
  await group.assertWell(1);
});

for (const step of AFTER_THE_REBOOT) {
  Deno.test(`daemon killed ${step.when} leaves no hold behind when it is started again, and does not reboot again`, async () => {
    await using group = await scene(`killed ${step.when}`);
    const { dropper, victim, next } = group;
    const first = victim.start();
    await first.line(FULL);
    const behind = await group.behind();
    await first.line(ACCEPTED);
    await victim.reboot(first);
    const request = dropper.catch(step.request, step.fate);
    const killed = victim.start();
    await request.caught;
    await group.is(step.phase);
    await killed.stop("SIGKILL");
    request.cut();
    victim.start();
    await group.chronicle.telling(next.turn(behind));
    await group.assertWell(1);
  });
}
