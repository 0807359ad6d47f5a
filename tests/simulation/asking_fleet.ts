/**
 * A fleet that asks a server for its slots, in virtual time: hosts that poll now and then, as Zincati does, and hosts that
 * wait for their answer, mixed. All need a reboot at the beginning. What the roll-out took, and who was passed over how
 * often by somebody who came later.
 *
 *     deno run -A tests/simulation/asking_fleet.ts    prints the figures of docs/fleetlock.md
 */

import { parseSemaphore, serializeSemaphore } from "../../lib/document.ts";
import { ROOT, semaphoreKey } from "../../lib/group.ts";
import { StoreMirror } from "../../lib/mirror.ts";
import { FRESH } from "../../lib/semaphore.ts";
import { Memory } from "../../lib/simulation/memory.ts";
import { Random } from "../../lib/simulation/virtual_time.ts";
import { exactly } from "../../lib/store.ts";
import { Slots } from "../../lib/slots.ts";
import { Connection, Virtual } from "../support/virtual.ts";

export interface AskingPlan {
  readonly hosts: number;
  readonly slots: number;
  /** How many of them poll; the others wait. */
  readonly polling: number;
  readonly rebootMs: number;
  /** From poll to poll, give or take a tenth. */
  readonly pollMs: number;
  /** How long a request is kept. */
  readonly waitMs: number;
  readonly servers: number;
  readonly seed: number;
}

export interface AskingRollout {
  readonly plan: AskingPlan;
  readonly throughMs: number;
  /** Where a host asks whenever a slot is free. */
  readonly idealMs: number;
  /** See {@linkcode firstAskersMs}. */
  readonly firstAskersMs: number;
  /** How often each host was passed over, by those that asked later; the most first. */
  readonly passed: readonly number[];
  /** The same of those that wait for their answer, the most. */
  readonly passedWaiting: number;
  /** The longest from the first question to the grant, in milliseconds. */
  readonly longestMs: number;
  /** The most that held a slot at once. */
  readonly most: number;
  readonly bugs: readonly unknown[];
}

export const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
export const PLAN: AskingPlan = {
  hosts: 60,
  slots: 3,
  polling: 60,
  rebootMs: 5 * MINUTE_MS,
  pollMs: 5 * MINUTE_MS,
  waitMs: 10 * MINUTE_MS,
  servers: 1,
  seed: 1,
};

interface AskingHost {
  readonly id: string;
  readonly polls: boolean;
  /** When it asked first and was granted its slot. */
  asked: number;
  granted: number;
  passed: number;
}

export async function askingRollout(changes: Partial<AskingPlan> = {}): Promise<AskingRollout> {
  const plan = { ...PLAN, ...changes };
  const random = new Random(plan.seed);
  const time = new Virtual(() => random.next());
  const memory = new Memory();
  const key = semaphoreKey("");
  memory.commit({ expect: [], put: [{ key, value: serializeSemaphore({ ...FRESH, max: plan.slots }) }] });
  const bugs: unknown[] = [];
  const servers = await Promise.all(Array.from({ length: plan.servers }, async () => {
    const store = new Connection(memory, time);
    const mirror = new StoreMirror(store, { from: ROOT, to: `${ROOT.slice(0, -1)}0` }, time);
    await time.ended(mirror.ready());
    const failed = (error: unknown) => bugs.push(error);
    return { mirror, slots: new Slots({ store, mirror, surroundings: time, by: "locksmith serve", failed }) };
  }));
  const hosts = Array.from({ length: plan.hosts }, (_, index): AskingHost => ({
    id: `h${index}`,
    polls: pollsAt(index, plan),
    asked: Infinity,
    granted: Infinity,
    passed: 0,
  }));
  let most = 0;
  memory.watch(exactly(key), (change) => {
    if (change.kind !== "changed" || change.entry === null) return;
    const { holders } = parseSemaphore(change.entry.value);
    most = Math.max(most, holders.length);
    for (const id of holders) {
      const host = hosts.find((host) => host.id === id);
      if (host === undefined || host.granted !== Infinity) continue;
      host.granted = time.elapsed();
      for (const other of hosts) {
        if (other.asked < host.asked && other.granted === Infinity) other.passed++;
      }
    }
  }, memory.revision);

  let done = 0;
  const after = (ms: number) => new Promise<void>((resolve) => time.after(ms, resolve));
  const live = async (host: AskingHost) => {
    await after(random.next() * plan.pollMs);
    const { id } = host;
    const server = () => random.pick(servers).slots;
    const gone = new AbortController().signal;
    for (;;) {
      host.asked = Math.min(host.asked, time.elapsed());
      const waitMs = host.polls ? 0 : plan.waitMs;
      const answer = await server().preReboot({ id, group: "" }, { waitMs, gone });
      if (answer.kind === "granted") break;
      await after(host.polls ? plan.pollMs * random.between(0.9, 1.1) : random.between(0, 200));
    }
    await after(plan.rebootMs);
    await server().steadyState({ id, group: "" });
    done++;
  };
  const beganMs = time.elapsed();
  for (const host of hosts) live(host).catch((error) => bugs.push(error));
  while (done < hosts.length && bugs.length === 0 && time.elapsed() < 30 * DAY_MS) {
    await time.advance(MINUTE_MS / 6);
  }
  for (const { slots, mirror } of servers) {
    slots.close();
    mirror.close();
  }
  return {
    plan,
    throughMs: time.elapsed() - beganMs,
    idealMs: Math.ceil(plan.hosts / plan.slots) * plan.rebootMs,
    firstAskersMs: firstAskersMs(plan),
    passed: hosts.map(({ passed }) => passed).sort((a, b) => b - a),
    passedWaiting: Math.max(0, ...hosts.filter(({ polls }) => !polls).map(({ passed }) => passed)),
    longestMs: Math.max(...hosts.map(({ asked, granted }) => granted - asked)),
    most,
    bugs,
  };
}

/**
 * What such a roll-out takes where each slot goes to whoever asks first once it is free: there is no order, none is ever
 * kept, and no call takes any time. A host that polls cannot be granted a slot between its polls, so a server that keeps
 * none idle has nobody to give one to sooner. Chance decides when hosts poll: the mean of many draws.
 */
export function firstAskersMs(plan: AskingPlan): number {
  const random = new Random(plan.seed);
  let sumMs = 0;
  for (let draw = 0; draw < DRAWS; draw++) sumMs += drawnFirstAskersMs(plan, random);
  return sumMs / DRAWS;
}

const DRAWS = 100;

function drawnFirstAskersMs({ hosts, slots, polling, rebootMs, pollMs }: AskingPlan, random: Random): number {
  const left = Array.from({ length: hosts }, (_, index) => ({
    polls: pollsAt(index, { hosts, polling }),
    asksAt: random.next() * pollMs,
  }));
  /** When each slot is free. */
  const free = Array.from({ length: slots }, () => 0);
  while (left.length > 0) {
    const slot = free.indexOf(Math.min(...free));
    const freeAt = free[slot] ?? 0;
    let first = { index: 0, atMs: Infinity };
    for (const [index, host] of left.entries()) {
      while (host.polls && host.asksAt < freeAt) host.asksAt += pollMs * random.between(0.9, 1.1);
      // who waits for its answer asks all the time
      const atMs = Math.max(host.asksAt, freeAt);
      if (atMs < first.atMs) first = { index, atMs };
    }
    left.splice(first.index, 1);
    free[slot] = first.atMs + rebootMs;
  }
  return Math.max(...free);
}

/** Whether the host with this number polls: those that do are spread evenly. */
function pollsAt(index: number, { hosts, polling }: Pick<AskingPlan, "hosts" | "polling">): boolean {
  return index * polling % hosts < polling;
}

/** What is printed of several roll-outs of a plan: a row of a table. */
function row(rollouts: readonly AskingRollout[]): string {
  const [{ plan, idealMs, firstAskersMs }] = rollouts as [AskingRollout];
  const minutes = (ms: number) => (ms / MINUTE_MS).toFixed(0);
  const mean = (of: (rollout: AskingRollout) => number) => {
    return rollouts.reduce((sum, rollout) => sum + of(rollout), 0) / rollouts.length;
  };
  const throughMs = mean(({ throughMs }) => throughMs);
  const { hosts, slots, polling, rebootMs, pollMs } = plan;
  const cells = [
    hosts,
    slots,
    polling,
    minutes(rebootMs),
    minutes(idealMs),
    minutes(throughMs),
    ((throughMs - pollMs) / idealMs).toFixed(3),
    minutes(firstAskersMs),
    ((throughMs - pollMs) / firstAskersMs).toFixed(3),
    mean(({ passed }) => passed.reduce((sum, times) => sum + times, 0) / passed.length).toFixed(0),
    mean(({ passed }) => passed[0] ?? 0).toFixed(0),
    mean(({ passedWaiting }) => passedWaiting).toFixed(1),
    minutes(mean(({ longestMs }) => longestMs)),
  ];
  return `| ${cells.join(" | ")} |`;
}

if (import.meta.main) {
  console.log(
    "| hosts | slots | polling | reboot, min | ideal, min | took, min | less a poll, of the ideal | first askers, min | less a poll, of that | passed over, mean | most | waiting, most | longest wait, min |",
  );
  console.log(`|${" ---: |".repeat(13)}`);
  const plans: Partial<AskingPlan>[] = [
    { hosts: 180, polling: 0 },
    { hosts: 180, polling: 18 },
    { hosts: 180, polling: 90 },
    { hosts: 180, polling: 180 },
    { hosts: 60, slots: 1, polling: 30 },
    { hosts: 60, slots: 1, polling: 60 },
    { hosts: 600, slots: 10, polling: 60 },
    { hosts: 600, slots: 10, polling: 300 },
    { hosts: 600, slots: 10, polling: 600 },
    { hosts: 180, polling: 90, rebootMs: 2 * MINUTE_MS },
    { hosts: 180, polling: 180, rebootMs: 2 * MINUTE_MS },
    { hosts: 60, polling: 60 },
    { hosts: 60, slots: 1, polling: 60, rebootMs: 10 * MINUTE_MS },
  ];
  for (const plan of plans) {
    const seeds = Array.from({ length: 5 }, (_, seed) => askingRollout({ ...plan, seed }));
    console.log(row(await Promise.all(seeds)));
  }
}
