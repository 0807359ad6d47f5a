/**
 * The roll-out of a fleet whose machines may all reboot from one moment on: how long it takes beside the ideal, in which
 * every slot is busy all the time, and beside the old program's logic.
 *
 * The fleet is the simulation's, on the program's own daemon, agent, waiter and lock, on a day without faults. Looks
 * without a reason and signs of life of leases are left out of its events, since they change nothing on such a day, and
 * are reckoned from how long the machines waited.
 */

import { PLACE_TTL_MS } from "../../lib/queue.ts";
import { ALWAYS } from "../../lib/schedule.ts";
import { NO_FAULTS } from "../../lib/simulation/faults.ts";
import { Fleet } from "../../lib/simulation/fleet.ts";
import { Random } from "../../lib/simulation/virtual_time.ts";
import { LOOK_INTERVAL_MS } from "../../lib/wait.ts";
import { atMost, grid, type Section } from "./page.ts";
import { oldRollOut } from "./old_locksmith.ts";

const SIZES = [100, 1_000, 10_000];
const MAXES = [1, 5, 20];
const REBOOT_MS = 60_000;
/** As a multiple of the ideal. */
const RATIO_MAX = 1.01;

const SEED = 1;
const NEVER_MS = 1e12;
/** When all need a reboot: the daemons have started, and found that they hold nothing. */
const BEGIN_MS = 1_000;
/** The store forgets the past after so many releases, as etcds are told to. */
const COMPACT_EVERY = 250;

/** One fleet, once by the queue and once by the old program's logic. */
interface RollOut {
  readonly machines: number;
  readonly max: number;
  /** The total time, as a multiple of the ideal. */
  readonly ratio: number;
  readonly oldRatio: number;
  readonly requestsPerMachine: number;
  readonly oldRequestsPerMachine: number;
  /** What each machine sends beside them while it waits: looks, and signs of life. */
  readonly idleRequestsPerMachine: number;
  /** Transactions that came too late. */
  readonly refused: number;
  readonly oldLostSwaps: number;
  /** How long the simulation took, in seconds. */
  readonly seconds: number;
}

/** Plays every size with every max. */
export async function rollOuts(progress: (text: string) => void): Promise<Section> {
  const all: RollOut[] = [];
  for (const machines of SIZES) {
    for (const max of MAXES) {
      progress(`roll-out of ${machines} machines, max ${max}`);
      all.push(await rollOut(machines, max));
    }
  }
  const worst = all.reduce((one, other) => other.ratio > one.ratio ? other : one);
  return {
    text: `Roll-out of a fleet whose machines may all reboot from the same moment on, ${
      REBOOT_MS / 1000
    } s each, simulated with the program's
own daemon, queue and lock: total time relative to the ideal (machines x ${
      REBOOT_MS / 1000
    } s / max), and the same for the old program's
logic, simulated in the same run. Requests to the store per machine, those of waiting (a keep-alive per 10 s, a look every
5 to 7.5 minutes) after the plus; transactions that were too late, and swaps that the old program lost.

${
      grid(
        [
          "machines",
          "max",
          "of the ideal",
          "old program",
          "requests",
          "old program",
          "too late",
          "lost by the old program",
          "simulated in",
        ],
        all.map((run) => [
          String(run.machines),
          String(run.max),
          `${run.ratio.toFixed(4)} x`,
          `${run.oldRatio.toFixed(2)} x`,
          `${run.requestsPerMachine.toFixed(1)} + ${run.idleRequestsPerMachine.toFixed(0)}`,
          run.oldRequestsPerMachine.toFixed(1),
          String(run.refused),
          String(run.oldLostSwaps),
          `${run.seconds.toFixed(1)} s`,
        ]),
      )
    }`,
    figures: [
      atMost(
        `roll-out relative to the ideal, worst case (${worst.machines} machines, max ${worst.max})`,
        worst.ratio,
        RATIO_MAX,
        4,
        " x",
      ),
    ],
  };
}

/** Plays both. Throws where the simulation finds that something went wrong. */
async function rollOut(machines: number, max: number): Promise<RollOut> {
  const started = performance.now();
  const idealMs = machines * REBOOT_MS / max;
  const [requests, waits] = [{ count: 0, refused: 0 }, { ms: 0 }];
  const [endMs, released] = await play(machines, max, requests, waits);
  if (released !== machines) throw new Error(`${machines - released} of ${machines} machines never rebooted`);
  const old = oldRollOut({ machines, max, rebootMs: REBOOT_MS }, new Random(SEED));
  const waitMs = waits.ms / machines;
  return {
    machines,
    max,
    ratio: endMs / idealMs,
    oldRatio: old.totalMs / idealMs,
    requestsPerMachine: requests.count / machines,
    oldRequestsPerMachine: old.requestsPerMachine,
    idleRequestsPerMachine: waitMs / (PLACE_TTL_MS / 3) + waitMs / (LOOK_INTERVAL_MS * 1.25),
    refused: requests.refused,
    oldLostSwaps: old.lostSwaps,
    seconds: (performance.now() - started) / 1000,
  };
}

/** Returns when the last slot was given back, from the beginning on, and how many were. */
async function play(
  count: number,
  max: number,
  requests: { count: number; refused: number },
  waits: { ms: number },
): Promise<[endMs: number, released: number]> {
  const machines = Array.from({ length: count }, (_, index) => ({
    id: `machine-${String(index).padStart(5, "0")}`,
    group: "",
    priority: 0,
    schedule: ALWAYS,
    rebootMs: REBOOT_MS,
    graceMs: 0,
  }));
  let [endMs, released] = [0, 0];
  const fleet = new Fleet(
    {
      machines,
      max: new Map([["", max]]),
      startMs: Date.UTC(2026, 0, 1),
      lookMs: NEVER_MS,
      idleLookMs: NEVER_MS,
      tickMs: NEVER_MS,
    },
    new Random(SEED),
    {
      ...NO_FAULTS,
      fate: (process, kind) => {
        requests.count++;
        return NO_FAULTS.fate(process, kind);
      },
    },
    (_, what, elapsedMs) => {
      if (what === "granted") waits.ms += elapsedMs - BEGIN_MS;
      if (what !== "released") return;
      endMs = elapsedMs - BEGIN_MS;
      if (++released % COMPACT_EVERY === 0) fleet.memory.compact();
    },
  );
  const commit = fleet.memory.commit.bind(fleet.memory);
  fleet.memory.commit = (transaction) => {
    const outcome = commit(transaction);
    if (outcome.kind === "refused") requests.refused++;
    return outcome;
  };
  fleet.start();
  fleet.time.after(BEGIN_MS, () => {
    // what a start asks for is no part of the roll-out
    requests.count = requests.refused = 0;
    for (const machine of fleet.machines) fleet.need(machine, true);
  });
  await fleet.run(() => released === count, NEVER_MS);
  const [fault] = [...fleet.judge.violations.map(({ text }) => text), ...fleet.crashes];
  if (fault !== undefined) throw new Error(`a roll-out failed: ${fault}`);
  return [endMs, released];
}
