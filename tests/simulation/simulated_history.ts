/**
 * One history: a fleet, its configuration and everything that goes wrong, all drawn from a seed. First faults come at
 * every step; then they stop, and all must converge. The judge looks on from outside throughout.
 */

import { ALL_GROUPS, ROOT, semaphoreKey } from "../../lib/group.ts";
import { ALWAYS, gateAt, isLimited, type Schedule } from "../../lib/schedule.ts";
import { StoreMirror } from "../../lib/mirror.ts";
import { Fleet, type FleetConfig } from "../../lib/simulation/fleet.ts";
import type { Care, Computer, MachineConfig } from "../../lib/simulation/computer.ts";
import { INVARIANTS } from "../../lib/simulation/judge.ts";
import type { Lock } from "../../lib/lock.ts";
import { takeFreezeBack } from "../../lib/planned_freezes.ts";
import { isByHand, REBOOTING, type Semaphore } from "../../lib/semaphore.ts";
import { Random } from "../../lib/simulation/virtual_time.ts";
import { Slots } from "../../lib/slots.ts";
import { parseWindow } from "../../lib/window.ts";
import { type FaultKind, Mischief } from "./mischief.ts";
import { STORM_CHECKS } from "./storms.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Of all fleets, so many are large. */
const HALL_SHARE = 0.02;
/** Of the others, so many have servers of slots, which some or all of their machines ask. */
const SERVED_SHARE = 0.3;
/** Of all fleets but halls, so many have checks and hooks. */
const CARE_SHARE = 0.3;
/** How likely each storm is to be drawn. */
const STORM_LIKELY = { hall: 0.7, few: 0.2 };
/** How often the machines look without a reason. */
const INTERVALS = { lookMs: 5 * MINUTE, idleLookMs: HOUR, tickMs: 10 * MINUTE };

/** Beside the judge's invariants, the two of liveness, and how the fleet stands a storm. */
export const CHECKS = [...INVARIANTS, "L1", "L2", ...STORM_CHECKS] as const;
export type Check = (typeof CHECKS)[number];

export interface HistoryResult {
  readonly seed: number;
  readonly violations: readonly { readonly invariant: Check; readonly text: string }[];
  /** What did not converge, and `undefined` where all did. */
  readonly stuck: string | undefined;
  readonly crash: string | undefined;
  readonly faults: Readonly<Record<FaultKind, number>>;
  readonly exercised: Readonly<Record<Check, number>>;
  readonly unknownOutcomes: number;
  readonly reboots: number;
  readonly simulatedMs: number;
  /** The longest time from the last fault to the last release, and how long it may have been. */
  readonly convergedMs: number;
  readonly boundMs: number;
}

/** Plays the history of a seed. With `trace` every event is told. */
export async function playHistory(seed: number, trace?: (line: string) => void): Promise<HistoryResult> {
  const random = new Random(seed);
  const hall = random.chance(HALL_SHARE);
  const served = !hall && random.chance(SERVED_SHARE);
  const config = hall
    ? drawHall(random)
    : served
    ? withServers(drawFleet(random), random)
    : drawFleet(random);
  const mischief = new Mischief(random, config);
  const fleet = new Fleet(
    config,
    random,
    mischief,
    (machine, what) => mischief.observe(machine, what),
    trace,
  );
  mischief.begin(fleet, (line) => trace?.(line));
  plantUnknownFields(fleet, config);
  fleet.start();
  const faultsMs = hall
    ? random.between(30 * MINUTE, HOUR)
    : config.machines.some(({ schedule }) => isLimited(schedule))
    ? random.between(12 * HOUR, 30 * HOUR)
    : random.between(30 * MINUTE, 3 * HOUR);
  scheduleNeeds(fleet, random, faultsMs);
  mischief.schedule(faultsMs);
  if (!served) mischief.storms.schedule(faultsMs, hall ? STORM_LIKELY.hall : STORM_LIKELY.few);
  await fleet.run(() => false, faultsMs);
  trace?.(`${fleet.time.elapsed} the faults stop`);
  mischief.end();
  const boundMs = bound(config);
  const settle = settleByHand(fleet, config);
  const convergedAt = () => settle.done && isConverged(fleet, config);
  const converged = await fleet.run(convergedAt, faultsMs + boundMs);
  const violations = [...fleet.judge.violations, ...mischief.storms.violations];
  const failed = violations.length > 0 || fleet.crashes.length > 0;
  return {
    seed,
    violations,
    stuck: converged || failed ? undefined : describeStuck(fleet, config),
    crash: fleet.crashes.length === 0 ? undefined : describeError(fleet.crashes[0]),
    faults: mischief.counts,
    exercised: {
      ...fleet.judge.exercised,
      L1: converged ? fleet.machines.length : 0,
      L2: mischief.counts["watch event lost"] + mischief.counts["watch event late"],
      ...mischief.storms.exercised,
    },
    unknownOutcomes: fleet.unknownOutcomes,
    reboots: fleet.reboots,
    simulatedMs: fleet.time.elapsed,
    convergedMs: fleet.time.elapsed - faultsMs,
    boundMs,
  };
}

function drawFleet(random: Random): FleetConfig {
  const groups = random.chance(0.3) ? ["", "web"] : [""];
  const startMs = drawStart(random);
  const schedule = random.chance(0.35) ? drawSchedule(random, startMs) : ALWAYS;
  const calm = random.chance(0.4);
  const care = random.chance(CARE_SHARE) ? drawCare(random) : undefined;
  const machines = groups.flatMap((group) =>
    Array.from({ length: random.integer(2, 6) }, (_, index): MachineConfig => ({
      id: `${group === "" ? "m" : group}${index}`,
      group,
      priority: random.chance(0.7) ? 0 : random.integer(-1, 2),
      schedule,
      rebootMs: random.between(5 * SECOND, random.pick([30 * SECOND, 4 * MINUTE])),
      graceMs: calm ? 0 : random.pick([0, MINUTE, 5 * MINUTE]),
      ...(care === undefined ? {} : { care }),
    }))
  );
  return {
    machines,
    max: new Map(groups.map((group) => [group, random.integer(1, 3)])),
    startMs,
    ...INTERVALS,
  };
}

function drawCare(random: Random): Care {
  return {
    hooksMs: random.chance(0.6) ? random.between(SECOND, MINUTE) : 0,
    checksMs: random.between(100, 5 * SECOND),
    soakMs: random.chance(0.5) ? random.between(SECOND, 5 * MINUTE) : 0,
  };
}

/** The same fleet without windows, whose machines ask servers: all of them, or some beside others that use the store. */
function withServers(config: FleetConfig, random: Random): FleetConfig {
  const share = random.pick([0.5, 1]);
  let marks = 0;
  return {
    ...config,
    machines: config.machines.map((machine) => ({
      ...machine,
      schedule: ALWAYS,
      asksServer: random.chance(share),
    })),
    servers: {
      count: random.integer(1, 2),
      serve(store, surroundings, failed) {
        const mirror = new StoreMirror(store, { from: ROOT, to: `${ROOT}\uffff` }, surroundings);
        const newMark = () => `served-${++marks}`;
        const slots = new Slots({ store, mirror, surroundings, by: "locksmith serve", newMark, failed });
        return {
          slots,
          close: () => {
            slots.close();
            mirror.close();
          },
        };
      },
    },
  };
}

/** So many machines of one group that a power cut turns into a crowd. The window opens soon after the beginning. */
function drawHall(random: Random): FleetConfig {
  const startMs = drawStart(random);
  const schedule = random.chance(0.4) ? drawSchedule(random, startMs) : ALWAYS;
  const gate = gateAt(schedule, startMs);
  const toOpeningMs = gate.open ? 0 : gate.until - startMs - 10 * MINUTE;
  const size = random.integer(10, 30);
  return {
    machines: Array.from({ length: size }, (_, index): MachineConfig => ({
      id: `h${index}`,
      group: "",
      priority: 0,
      schedule,
      rebootMs: random.between(5 * SECOND, 40 * SECOND),
      graceMs: 0,
    })),
    max: new Map([["", random.integer(4, size)]]),
    startMs: startMs + Math.max(0, toOpeningMs),
    ...INTERVALS,
  };
}

function drawStart(random: Random): number {
  return Date.UTC(2026, random.integer(0, 11), random.integer(1, 28), random.integer(0, 23));
}

function drawSchedule(random: Random, startMs: number): Schedule {
  const zone = random.pick(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]);
  const drawWindow = () => {
    const start = `${random.integer(0, 23)}:${random.pick(["00", "15", "30"])}`;
    const length = random.chance(0.5) ? random.integer(6, 40) : random.integer(40, 360);
    return { window: parseWindow(start, `${length}m`), zone };
  };
  const windows = random.chance(0.3) ? [drawWindow(), drawWindow()] : [drawWindow()];
  const from = startMs + random.between(0, DAY);
  const freezes = random.chance(0.3) ? [{ from, until: from + random.between(HOUR, 12 * HOUR) }] : [];
  return { windows, freezes };
}

/** What a newer version wrote, and must survive. */
function plantUnknownFields(fleet: Fleet, config: FleetConfig): void {
  for (const group of config.max.keys()) {
    const key = semaphoreKey(group);
    const entry = fleet.memory.read(key);
    const value = (entry?.value ?? "").replace(
      /\}$/,
      ',"future":{"serial":12345678901234567890,"x":[1.50]}}',
    );
    fleet.memory.commit({ expect: [], put: [{ key, value }] });
  }
}

function scheduleNeeds(fleet: Fleet, random: Random, untilMs: number): void {
  // most at once, as when an update is out, some later, some again
  const together = random.between(0, untilMs / 3);
  for (const machine of fleet.machines) {
    const first = random.chance(0.6) ? together : random.between(0, untilMs * 0.9);
    fleet.time.after(first, () => fleet.need(machine, true));
    if (random.chance(0.3)) {
      fleet.time.after(random.between(first, untilMs), () => fleet.need(machine, true));
    }
    if (random.chance(0.25)) {
      fleet.time.after(random.between(first, untilMs), () => fleet.need(machine, false));
    }
  }
}

/** How long it may take from the last fault until every machine has rebooted. */
function bound({ machines }: FleetConfig): number {
  const each = Math.max(...machines.map(({ rebootMs, graceMs }) => rebootMs + graceMs)) + 40 * MINUTE;
  return machines.some(({ schedule }) => isLimited(schedule))
    ? (machines.length + 4) * DAY
    : (machines.length + 2) * each + 2 * HOUR;
}

function isConverged(fleet: Fleet, config: FleetConfig): boolean {
  return fleet.machines.every((machine) => machine.up && !machine.needed && !isLeftPrepared(machine)) &&
    [...config.max.keys()].every((group) =>
      fleet.judge.document(group).holders.length === 0 && fleet.judge.waiting(group) === 0
    );
}

/**
 * Whether what hooks have prepared was not taken back. Who asks servers cannot know that a slot was unlocked under which a
 * reboot was called: for such a machine it may still come until its next boot.
 */
function isLeftPrepared({ preparedIn, config: { asksServer }, daemon }: Computer): boolean {
  return preparedIn !== undefined && !(asksServer === true && daemon?.state.called === true);
}

function describeStuck(fleet: Fleet, config: FleetConfig): string {
  const machines = fleet.machines
    .filter((machine) => machine.needed || !machine.up || isLeftPrepared(machine))
    .map(({ id, daemon, up }) => `${id} (${up ? daemon?.state.phase.name : "down"})`);
  const holders = [...config.max.keys()].flatMap((group) => fleet.judge.document(group).holders);
  return `not rebooted: ${machines.join(", ") || "none"}; still holding: ${holders.join(", ") || "none"}`;
}

/**
 * An administrator ends what only administrators end, so that the rest can converge: pauses, slots taken by hand, and the
 * slot of a machine that was told to reboot, never did, and has no reason to any more.
 */
function settleByHand(fleet: Fleet, config: FleetConfig): { done: boolean } {
  const state = { done: false };
  /** The grants that held an hour ago. */
  let seen = new Set<string>();
  const grantOf = (semaphore: Semaphore, id: string) => semaphore.holds.get(id)?.grant ?? "";
  const stays = (id: string) =>
    fleet.machines.some((machine) => machine.id === id && machine.up && !machine.needed);
  const work = async () => {
    const before = seen;
    seen = new Set();
    for (const [group, max] of config.max) {
      const lock = fleet.administrate(group);
      await thaw(lock);
      await lock.setMax(max);
      const semaphore = await lock.read();
      // by the administrator's own clock: those of the machines may be a day off
      const overdue = semaphore.holders.filter((id) =>
        stays(id) && semaphore.holds.get(id)?.phase === REBOOTING && before.has(grantOf(semaphore, id))
      );
      for (const id of semaphore.holders) seen.add(grantOf(semaphore, id));
      const byHand = semaphore.holders.filter((id) => isByHand(semaphore.holds.get(id)));
      for (const id of [...byHand, ...overdue]) await lock.unlock(id);
    }
    await thaw(fleet.administrate(ALL_GROUPS));
    state.done = true;
    fleet.time.after(HOUR, again);
  };
  const again = () => void work().catch((error) => fleet.crashes.push(error));
  again();
  return state;
}

/** Ends what stops grants: the clock of a machine may be a day off, and a freeze would last as long there. */
async function thaw(lock: Lock): Promise<void> {
  await lock.resume();
  for (const { name } of (await lock.read()).freezes ?? []) await takeFreezeBack(lock, name);
}

function describeError(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
