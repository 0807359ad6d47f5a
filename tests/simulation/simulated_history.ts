/**
 * One history: a fleet, its configuration and everything that goes wrong, all drawn from a seed. First faults come at
 * every step; then they stop, and all must converge. The judge looks on from outside throughout.
 */

import { ALL_GROUPS, semaphoreKey } from "../../lib/group.ts";
import { PLACE_TTL_MS } from "../../lib/queue.ts";
import type { Inquiry } from "../../lib/agent.ts";
import { LockError } from "../../lib/lock.ts";
import { CLEAR, type Faults, Fleet, type FleetConfig, type RebootFate } from "../../lib/simulation/fleet.ts";
import type { Computer, MachineConfig } from "../../lib/simulation/computer.ts";
import type { CallKind, Fate } from "../../lib/simulation/store.ts";
import { type Invariant, INVARIANTS, type Violation } from "../../lib/simulation/judge.ts";
import { REBOOTING, type Semaphore } from "../../lib/semaphore.ts";
import { StoreError } from "../../lib/store.ts";
import { type Process, Random } from "../../lib/simulation/virtual_time.ts";
import { parseWindow } from "../../lib/window.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The kinds of faults, as the report counts them. */
export const FAULT_KINDS = [
  "daemon crashed",
  "machine lost power",
  "process stood still",
  "request lost",
  "reply lost",
  "reply lost of a commit",
  "message late",
  "commit arrived twice",
  "swap refused",
  "store restarted",
  "machine cut off",
  "watch event late",
  "watch event doubled",
  "watch event lost",
  "history compacted",
  "lease expired",
  "clock leapt",
  "reboot refused",
  "reboot unanswered",
  "reboot never came",
  "reboot slow",
  "host question hung",
  "administrator unlocked",
  "person rebooted by hand",
  "shutdown inhibited",
  "group changed over a boot",
  "administrator locked by hand",
  "administrator set max",
  "administrator paused",
  "administrator paused for a while",
  "administrator paused all",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Beside the judge's invariants, the two of liveness. */
export const CHECKS = [...INVARIANTS, "L1", "L2"] as const;
export type Check = Invariant | "L1" | "L2";

export interface HistoryResult {
  readonly seed: number;
  readonly violations: readonly Violation[];
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
  const config = drawFleet(random);
  const mischief = new Mischief(random, config);
  const fleet = new Fleet(config, random, mischief, undefined, trace);
  mischief.begin(fleet);
  plantUnknownFields(fleet, config);
  fleet.start();
  const faultsMs = config.machines.some(({ schedule }) => schedule !== null)
    ? random.between(12 * HOUR, 30 * HOUR)
    : random.between(30 * MINUTE, 3 * HOUR);
  scheduleNeeds(fleet, random, faultsMs);
  mischief.schedule(faultsMs);
  await fleet.run(() => false, faultsMs);
  trace?.(`${fleet.time.elapsed} the faults stop`);
  mischief.end();
  const boundMs = bound(config);
  const settle = settleByHand(fleet, config);
  const convergedAt = () => settle.done && isConverged(fleet, config);
  const converged = await fleet.run(convergedAt, faultsMs + boundMs);
  const failed = fleet.judge.violations.length > 0 || fleet.crashes.length > 0;
  return {
    seed,
    violations: fleet.judge.violations,
    stuck: converged || failed ? undefined : describeStuck(fleet, config),
    crash: fleet.crashes.length === 0 ? undefined : describeError(fleet.crashes[0]),
    faults: mischief.counts,
    exercised: {
      ...fleet.judge.exercised,
      L1: converged ? fleet.machines.length : 0,
      L2: mischief.counts["watch event lost"] + mischief.counts["watch event late"],
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
  const schedule = random.chance(0.35) ? drawSchedule(random) : null;
  const calm = random.chance(0.4);
  const machines = groups.flatMap((group) =>
    Array.from({ length: random.integer(2, 6) }, (_, index): MachineConfig => ({
      id: `${group === "" ? "m" : group}${index}`,
      group,
      priority: random.chance(0.7) ? 0 : random.integer(-1, 2),
      schedule,
      rebootMs: random.between(5 * SECOND, random.pick([30 * SECOND, 4 * MINUTE])),
      graceMs: calm ? 0 : random.pick([0, MINUTE, 5 * MINUTE]),
    }))
  );
  return {
    machines,
    max: new Map(groups.map((group) => [group, random.integer(1, 3)])),
    startMs: Date.UTC(2026, random.integer(0, 11), random.integer(1, 28), random.integer(0, 23)),
    lookMs: 5 * MINUTE,
    idleLookMs: HOUR,
    tickMs: 2 * MINUTE,
  };
}

function drawSchedule(random: Random): MachineConfig["schedule"] {
  const start = `${random.integer(0, 23)}:${random.pick(["00", "15", "30"])}`;
  return {
    window: parseWindow(start, `${random.chance(0.5) ? random.integer(6, 40) : random.integer(40, 360)}m`),
    zone: random.pick(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
  };
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
  return machines.some(({ schedule }) => schedule !== null)
    ? (machines.length + 3) * DAY
    : (machines.length + 2) * each + 2 * HOUR;
}

function isConverged(fleet: Fleet, config: FleetConfig): boolean {
  return fleet.machines.every(({ needed, up }) => up && !needed) &&
    [...config.max.keys()].every((group) =>
      fleet.judge.document(group).holders.length === 0 && fleet.judge.waiting(group) === 0
    );
}

function describeStuck(fleet: Fleet, config: FleetConfig): string {
  const machines = fleet.machines.filter(({ needed, up }) => needed || !up)
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
      await lock.resume();
      await lock.setMax(max);
      const semaphore = await lock.read();
      // by the administrator's own clock: those of the machines may be a day off
      const overdue = semaphore.holders.filter((id) =>
        stays(id) && semaphore.holds.get(id)?.phase === REBOOTING && before.has(grantOf(semaphore, id))
      );
      for (const id of semaphore.holders) seen.add(grantOf(semaphore, id));
      const byHand = semaphore.holders.filter((id) => semaphore.holds.get(id)?.boot === undefined);
      for (const id of [...byHand, ...overdue]) await lock.unlock(id);
    }
    await fleet.administrate(ALL_GROUPS).resume();
    state.done = true;
    fleet.time.after(HOUR, again);
  };
  const again = () => void work().catch((error) => fleet.crashes.push(error));
  again();
  return state;
}

type Rate =
  | "crash"
  | "move"
  | "power"
  | "loss"
  | "late"
  | "twice"
  | "refuse"
  | "expire"
  | "watch"
  | "reboot"
  | "host"
  | "inhibit";

/** Everything that goes wrong, and how often: each history has a mixture of its own. */
class Mischief implements Faults {
  readonly counts = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>;
  readonly #rates: Record<
    Rate,
    number
  >;
  #fleet: Fleet | undefined;
  #active = true;
  #outageUntil = 0;
  readonly #cutOff = new Map<Process, number>();

  readonly #groups: readonly string[];

  constructor(private readonly random: Random, { max }: FleetConfig) {
    this.#groups = [...max.keys()];
    const rate = (most: number) => random.chance(0.4) ? 0 : random.between(0, most);
    this.#rates = {
      crash: rate(0.03),
      power: rate(0.003),
      loss: rate(0.1),
      late: rate(0.15),
      twice: rate(0.1),
      refuse: rate(0.15),
      expire: rate(0.2),
      watch: rate(0.4),
      reboot: rate(0.5),
      host: rate(0.3),
      inhibit: rate(0.3),
      move: rate(0.5),
    };
  }

  begin(fleet: Fleet): void {
    this.#fleet = fleet;
  }

  /** From now on all is well. */
  end(): void {
    this.#active = false;
    this.#outageUntil = 0;
    this.#cutOff.clear();
  }

  /** Draws what comes by the clock, and not by what somebody does. */
  schedule(untilMs: number): void {
    const { random } = this;
    const fleet = this.#world;
    const now = (most: number, strike: () => void) => {
      if (random.chance(0.4)) return;
      for (let left = random.integer(1, most); left > 0; left--) {
        fleet.time.after(random.between(0, untilMs), () => this.#active && strike());
      }
    };
    const machine = () => random.pick(fleet.machines);
    now(3, () => this.#count("machine lost power", () => fleet.losePower(machine())));
    now(4, () => this.#count("daemon crashed", () => fleet.crash(machine())));
    now(3, () => {
      this.#count("process stood still", () => fleet.freeze(machine(), random.between(SECOND, 3 * MINUTE)));
    });
    now(3, () => {
      this.#count("store restarted", () => {
        this.#outageUntil = fleet.time.elapsed + random.between(SECOND, 40 * SECOND);
      });
    });
    now(4, () => this.#count("machine cut off", () => this.#cut(machine())));
    now(6, () => this.#count("history compacted", () => fleet.memory.compact()));
    now(4, () => this.#count("lease expired", () => fleet.expire(machine())));
    now(3, () => {
      this.#count(
        "clock leapt",
        () => machine().leapClock(Math.round(random.between(-1, 1) * random.pick([HOUR, DAY]))),
      );
    });
    now(8, () => this.#administrator(random.pick([...new Set(fleet.machines.map(({ group }) => group))])));
  }

  fate(process: Process, kind: CallKind): Fate {
    const { random } = this;
    const usual = { requestMs: random.between(1, 15), replyMs: random.between(1, 15) };
    if (!this.#active) return usual;
    const cutUntil = this.#cutOff.get(process) ?? 0;
    if (this.#world.time.elapsed < cutUntil) {
      return { ...usual, lost: random.chance(0.7) ? "request" : "reply" };
    }
    if (random.chance(this.#rates.loss)) {
      const lost = random.pick(["request", "reply"] as const);
      this.#count(lost === "request" ? "request lost" : "reply lost");
      if (lost === "reply" && kind === "commit") this.#count("reply lost of a commit");
      return { ...usual, lost };
    }
    if (random.chance(this.#rates.late)) {
      this.#count("message late");
      if (kind === "commit") this.#strikeMeanwhile(process);
      return {
        requestMs: random.between(1, random.pick([500, 8 * SECOND, 2 * MINUTE])),
        replyMs: usual.replyMs,
      };
    }
    if (kind === "commit" && random.chance(this.#rates.expire)) {
      // at the worst moment: while somebody is about to give a slot back or to take one
      const waiting = this.#world.machines.filter(({ daemon }) => daemon?.state.phase.name === "waiting");
      if (waiting.length > 0) this.#count("lease expired", () => this.#world.expire(random.pick(waiting)));
    }
    if (kind === "commit" && random.chance(this.#rates.refuse)) {
      // somebody writes the documents again as they are: who read them before has lost the swap
      this.#count("swap refused", () => this.#touch());
    }
    if (kind === "commit" && random.chance(this.#rates.twice)) {
      this.#count("commit arrived twice");
      return { ...usual, againMs: random.between(0, 30 * SECOND) };
    }
    return usual;
  }

  tell(): readonly number[] {
    const { random } = this;
    const soon = random.between(1, 15);
    if (!this.#active || !random.chance(this.#rates.watch)) return [soon];
    switch (random.integer(0, 2)) {
      case 0:
        this.#count("watch event lost");
        return [];
      case 1:
        this.#count("watch event doubled");
        return [soon, random.between(1, MINUTE)];
      default:
        this.#count("watch event late");
        return [random.between(SECOND, 10 * MINUTE)];
    }
  }

  outage(): string | undefined {
    return this.#world.time.elapsed < this.#outageUntil ? "simulated: the store is restarting" : undefined;
  }

  checkpoint(machine: Computer): void {
    if (!this.#active) return;
    if (this.random.chance(this.#rates.crash)) {
      this.#count("daemon crashed", () => this.#world.crash(machine));
    } else if (this.random.chance(this.#rates.power)) {
      this.#count("machine lost power", () => this.#world.losePower(machine));
    }
  }

  reboot(machine: Computer): RebootFate {
    const { random } = this;
    const usual: RebootFate = {
      outcome: { kind: "accepted" },
      answerMs: random.between(5, 500),
      downMs: random.between(0, 5 * SECOND),
    };
    if (!this.#active || !random.chance(this.#rates.reboot)) return usual;
    switch (random.integer(0, 3)) {
      case 0:
        this.#count("reboot refused");
        return {
          outcome: { kind: "refused", why: "inhibited", ...(random.chance(0.5) ? { blocked: true } : {}) },
          answerMs: usual.answerMs,
          downMs: null,
        };
      case 1:
        this.#count("reboot unanswered");
        return {
          outcome: { kind: "unknown", why: "no answer" },
          answerMs: random.between(SECOND, 5 * MINUTE),
          downMs: random.chance(0.5) ? random.between(0, 20 * MINUTE) : null,
        };
      case 2:
        this.#count("reboot never came");
        return { ...usual, downMs: null };
      default: {
        this.#count("reboot slow");
        const downMs = random.between(MINUTE, 20 * MINUTE);
        // somebody who sees that it is still up helps
        if (random.chance(0.3)) {
          const { boots } = machine;
          this.#world.time.after(random.between(0, downMs), () => {
            if (this.#active && machine.up && machine.boots === boots) {
              this.#rebootByHand(machine).catch(this.#atHome);
            }
          });
        }
        return { ...usual, downMs };
      }
    }
  }

  async #rebootByHand(machine: Computer): Promise<void> {
    this.#count("person rebooted by hand");
    await this.#world.rebootByHand(machine);
  }

  /** An administrator reads the message, and goes home. */
  readonly #atHome = (error: unknown): void => {
    if (!(error instanceof StoreError) && !(error instanceof LockError)) this.#world.crashes.push(error);
  };

  hostMs(): number {
    if (!this.#active || !this.random.chance(this.#rates.host)) return this.random.between(5, 50);
    this.#count("host question hung");
    return this.random.between(SECOND, 20 * SECOND);
  }

  inquiry(): Inquiry {
    if (!this.#active) return CLEAR;
    const { random } = this;
    const loggedIn: Inquiry["loggedIn"] = random.chance(0.1)
      ? { kind: "unknown", why: "no answer" }
      : { kind: "known", users: random.chance(0.5) ? ["core"] : [] };
    if (!random.chance(this.#rates.inhibit)) return { ...CLEAR, loggedIn };
    this.#count("shutdown inhibited");
    return { ...CLEAR, loggedIn, clearance: { kind: "blocked", why: "an upgrade is under way" } };
  }

  group({ group, boots }: Computer): string {
    const others = this.#groups.filter((other) => other !== group);
    if (boots === 1 || others.length === 0 || !this.#active || !this.random.chance(this.#rates.move)) {
      return group;
    }
    this.#count("group changed over a boot");
    return this.random.pick(others);
  }

  /** A machine does not reach the store, or is not heard; its leases end meanwhile if it takes long. */
  #cut(machine: Computer): void {
    const { process } = machine;
    if (process === undefined) return;
    const ms = this.random.between(SECOND, 2 * MINUTE);
    this.#cutOff.set(process, this.#world.time.elapsed + ms);
    if (ms > PLACE_TTL_MS) {
      this.#world.time.after(PLACE_TTL_MS, () => machine.process === process && this.#world.expire(machine));
    }
  }

  /** While a commit is on its way, what it was sent for is over: it arrives all the same. */
  #strikeMeanwhile(process: Process): void {
    const { random } = this;
    const fleet = this.#world;
    const machine = fleet.machines.find((machine) => machine.process === process);
    if (machine === undefined || random.chance(0.4)) return;
    const strikes = [
      () => this.#count("machine lost power", () => fleet.losePower(machine)),
      () => this.#count("daemon crashed", () => fleet.crash(machine)),
      () => fleet.need(machine, false),
    ];
    fleet.time.after(random.between(0, 6 * SECOND), () => this.#active && random.pick(strikes)());
  }

  #touch(): void {
    const { memory, machines } = this.#world;
    for (const key of new Set(machines.map(({ group }) => semaphoreKey(group)))) {
      const value = memory.read(key)?.value;
      if (value !== undefined) memory.commit({ expect: [], put: [{ key, value }] });
    }
  }

  #administrator(group: string): void {
    const { random } = this;
    const fleet = this.#world;
    const lock = fleet.administrate(group);
    const { holders } = fleet.judge.document(group);
    const act = async () => {
      switch (random.integer(0, 9)) {
        case 5: {
          const up = fleet.machines.filter((machine) => machine.group === group && machine.up);
          if (up.length === 0) return;
          return await this.#rebootByHand(random.pick(up));
        }
        case 0: {
          if (holders.length === 0) return;
          this.#count("administrator unlocked");
          await lock.unlock(random.pick(holders));
          return;
        }
        case 1: {
          this.#count("administrator locked by hand");
          const { id } = random.pick(fleet.machines.filter((machine) => machine.group === group));
          await lock.acquire(id, { by: "admin", grant: `by-hand-${fleet.time.elapsed}`, extra: {} });
          return;
        }
        case 2:
          this.#count("administrator set max");
          await lock.setMax(random.integer(0, 3));
          return;
        case 3:
          this.#count("administrator paused");
          await lock.pause({ by: "admin", ...this.#drawEnd(), extra: {} });
          return;
        case 6:
        case 7:
          this.#count("administrator paused all");
          await fleet.administrate(ALL_GROUPS).pause({ by: "admin", ...this.#drawEnd(), extra: {} });
          return;
        case 8:
          await fleet.administrate(ALL_GROUPS).resume();
          return;
        default:
          await lock.resume();
      }
    };
    act().catch(this.#atHome);
  }

  /** When a pause ends by itself, if it does. */
  #drawEnd(): { until?: string } {
    const { random } = this;
    if (random.chance(0.5)) return {};
    this.#count("administrator paused for a while");
    return { until: new Date(this.#world.now + random.between(MINUTE, 2 * HOUR)).toISOString() };
  }

  get #world(): Fleet {
    if (this.#fleet === undefined) throw new Error("there is no fleet yet");
    return this.#fleet;
  }

  #count(kind: FaultKind, strike: () => void = () => {}): void {
    this.counts[kind]++;
    strike();
  }
}

function describeError(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
