/**
 * Storms: what hits a whole fleet at one moment, and the judge of whether the fleet feeds them by its own calls.
 *
 * A storm is drawn from the seed, and waits for the moment at which it strikes most: when the slots are taken, when all
 * are in line, when a slot has just gone back. It counts when it struck several machines. Some come in bad weather, with
 * every other fault; most come on a quiet day, and only those are held to the bounds: where replies are lost as well,
 * nobody can tell whose fault a call too many is.
 */

import { ALL_GROUPS } from "../../lib/group.ts";
import type { Computer } from "../../lib/simulation/computer.ts";
import type { Fleet, Happening } from "../../lib/simulation/fleet.ts";
import { RECONNECT_MS } from "../../lib/simulation/store.ts";
import type { Process, Random } from "../../lib/simulation/virtual_time.ts";
import { PLACE_TTL_MS, queueRange, readQueue } from "../../lib/queue.ts";
import { available } from "../../lib/semaphore.ts";
import { isLimited } from "../../lib/schedule.ts";

const SECOND = 1000;

/** The kinds of storms, as the report counts them. */
export const STORMS = [
  "hall lost power",
  "all holders lost power",
  "window opened for all",
  "store away with all in line",
  "store away as slots went back",
  "store away as an update came out",
] as const;
export type Storm = (typeof STORMS)[number];

/**
 * What a fleet must not make of a storm. S1: swaps are refused again and again. S2: a store that is away is called again
 * and again. S3: a store is back, and nobody takes the slot that is free.
 */
export const STORM_CHECKS = ["S1", "S2", "S3"] as const;
export type StormCheck = (typeof STORM_CHECKS)[number];

/**
 * S1: so many swaps may be refused for each change that is made, and so many beside. Who has its turn and the first in line
 * are in each other's way; where a window opens, those who get a slot and those who confirm one are too.
 */
const REFUSED = { comeback: { each: 1.5, beside: 16 }, opening: { each: 2, beside: 12 } };
/** S1: so long after a storm broke they are counted, in milliseconds. */
const RUSH_MS = 20 * SECOND;
/** S2: so many calls one daemon may make in each second in which the store is away, and so many beside. */
const CALLS = { eachSecond: 0.5, beside: 6 };
/** S3: so soon after the store is back a free slot is taken, in milliseconds: every watch is back, and time for a few calls. */
const TAKEN_MS = RECONNECT_MS + SECOND;
/** Of a group's slots, so many are taken when a power cut comes: from a part to all. */
const TAKEN_SHARE = { from: 0.5, to: 1 };
/** Of all storms, so many come on a quiet day. */
const QUIET_SHARE = 0.7;

/** So long a call keeps the store busy in a storm, in milliseconds. */
const ANSWER_MS = 4;

/** The weather that a storm comes in. */
export interface Weather {
  count(storm: Storm): void;
  /** Nothing else strikes for so long. */
  calm(ms: number): void;
}

export class Storms {
  readonly violations: { readonly invariant: StormCheck; readonly text: string }[] = [];
  readonly exercised: Record<StormCheck, number> = { S1: 0, S2: 0, S3: 0 };
  /** Those that wait for their moment. */
  readonly #pending = new Map<Storm, { readonly share: number }>();
  #over = false;
  /** One at a time. */
  #blowsUntil = 0;
  #refused = 0;
  /** When the store has answered what was asked so far. */
  #answersAt = 0;
  /** While the store is away: the calls of each daemon. */
  #calls: Map<Process, number> | undefined;

  constructor(
    private readonly fleet: Fleet,
    private readonly random: Random,
    private readonly weather: Weather,
    private readonly tell: (line: string) => void,
  ) {}

  /** Draws when which storm begins to wait for its moment: each with probability `likely`. */
  schedule(untilMs: number, likely: number): void {
    for (const storm of STORMS) {
      if (!this.random.chance(likely)) continue;
      this.fleet.time.after(this.random.between(0, untilMs * 0.7), () => this.#arm(storm));
    }
  }

  /** No storm breaks any more. */
  end(): void {
    this.#over = true;
    this.#calls = undefined;
  }

  /** A process calls the store. Returns how much longer that takes in a storm, in milliseconds: calls are answered in turn. */
  called(process: Process): number {
    if (this.#calls !== undefined && this.fleet.machineOf(process) !== undefined) {
      this.#calls.set(process, (this.#calls.get(process) ?? 0) + 1);
    }
    const now = this.fleet.time.elapsed;
    if (now >= this.#blowsUntil) return 0;
    this.#answersAt = Math.max(this.#answersAt, now) + ANSWER_MS;
    return this.#answersAt - now;
  }

  /** A swap was refused. */
  refused(): void {
    this.#refused++;
  }

  /** Something happened to a machine: it may be the moment that a storm waits for. */
  observe(machine: Computer, what: Happening): void {
    const { time } = this.fleet;
    if (this.#over || time.elapsed < this.#blowsUntil) return;
    for (const [storm, { share }] of this.#pending) {
      const delayMs = this.#momentOf(storm, share, machine, what);
      if (delayMs === undefined) continue;
      this.#pending.delete(storm);
      this.#blowsUntil = time.elapsed + delayMs + SECOND;
      time.after(delayMs, () => this.#over || this.#break(storm));
      return;
    }
  }

  #arm(storm: Storm): void {
    if (this.#over) return;
    if (storm === "window opened for all") return this.#awaitOpening();
    if (storm === "store away as an update came out" && this.fleet.time.elapsed >= this.#blowsUntil) {
      this.#leave(storm);
      return this.#allInNeed();
    }
    this.#pending.set(storm, { share: this.random.between(TAKEN_SHARE.from, TAKEN_SHARE.to) });
    this.#allInNeed();
  }

  /** An update is out. */
  #allInNeed(): void {
    for (const machine of this.fleet.machines) if (machine.up) this.fleet.need(machine, true);
  }

  /** After how many milliseconds the storm breaks, where this is its moment. */
  #momentOf(storm: Storm, share: number, machine: Computer, what: Happening): number | undefined {
    const { judge, machines } = this.fleet;
    const { group } = machine;
    const { max, holders } = judge.document(group);
    switch (storm) {
      case "hall lost power":
      case "all holders lost power": {
        const up = this.#holders().filter((holder) => holder.group === group).length;
        return what === "granted" && up >= Math.max(2, max * share)
          ? this.random.between(0, SECOND)
          : undefined;
      }
      case "store away with all in line": {
        const placed = machines.filter(({ needed, up, id, daemon, ...other }) =>
          other.group === group && needed && up && !holders.includes(id) &&
          daemon?.state.phase.name !== "waiting"
        );
        return what === "granted" && placed.length === 0 && judge.waiting(group) >= 2
          ? this.random.between(0, 10 * SECOND)
          : undefined;
      }
      case "store away as slots went back":
        if (judge.waiting(group) < 2) return undefined;
        // before its slot goes back, or before the first in line has it
        if (what === "up" && holders.includes(machine.id)) return 0;
        return what === "released" ? this.random.between(0, 30) : undefined;
      default:
        return undefined;
    }
  }

  #break(storm: Storm): void {
    this.#blowsUntil = 0;
    switch (storm) {
      case "hall lost power":
        return this.#cutPower(storm, this.fleet.machines.filter(({ up }) => up));
      case "all holders lost power":
        return this.#cutPower(storm, this.#holders());
      default:
        return this.#leave(storm);
    }
  }

  /** All of `machines` lose power, and are back together. */
  #cutPower(storm: Storm, machines: readonly Computer[]): void {
    if (machines.length < 2) return;
    const { fleet, random } = this;
    const awayMs = random.between(5 * SECOND, 60 * SECOND);
    const spreadMs = random.pick([0, 20, SECOND]);
    this.#broke(storm, machines.length);
    for (const machine of machines) fleet.losePower(machine, awayMs + random.between(0, spreadMs));
    this.#rush(storm, awayMs, REFUSED.comeback);
  }

  /** The store is away for about a minute, and the places in line may expire meanwhile. */
  #leave(storm: Storm): void {
    const { fleet, random, weather } = this;
    const awayMs = random.between(40 * SECOND, 75 * SECOND);
    const quiet = this.#blow(awayMs + TAKEN_MS + SECOND);
    const calls = new Map<Process, number>();
    this.#calls = calls;
    this.tell(`storm: ${storm}`);
    fleet.server.leave(awayMs, () => weather.count(storm));
    if (random.chance(0.5)) {
      fleet.time.after(PLACE_TTL_MS, () => fleet.machines.forEach((machine) => fleet.expire(machine)));
    }
    fleet.time.after(awayMs, () => {
      if (this.#calls === calls) this.#calls = undefined;
      if (this.#over) return;
      this.#judgeCalls(calls, awayMs);
      if (quiet) this.#judgeComeback();
    });
  }

  #awaitOpening(): void {
    const { fleet } = this;
    const [machine] = fleet.machines;
    if (machine === undefined || !isLimited(machine.config.schedule)) return;
    const state = fleet.windowAt(machine, fleet.now);
    if (state.open) {
      fleet.time.after(state.closesAt - fleet.now + 1, () => this.#over || this.#awaitOpening());
      return;
    }
    const leftMs = state.nextOpensAt - fleet.now;
    fleet.time.after(leftMs - 60 * SECOND, () => this.#over || this.#allInNeed());
    fleet.time.after(leftMs - 1, () => {
      if (this.#over || fleet.time.elapsed < this.#blowsUntil) return;
      const up = fleet.machines.filter((machine) => machine.up);
      const ready = up.filter(({ daemon, clockOffMs }) =>
        clockOffMs === 0 && daemon?.state.phase.name === "awaiting-window"
      );
      if (ready.length < 2 || ready.length < up.length) return;
      this.#broke("window opened for all", ready.length);
      this.#rush("window opened for all", 1, REFUSED.opening);
    });
  }

  /** S1: all that come at one moment, in `afterMs` milliseconds, get through without refusing one another for ever. */
  #rush(
    storm: Storm,
    afterMs: number,
    { each, beside }: { readonly each: number; readonly beside: number },
  ): void {
    const { fleet } = this;
    if (!this.#blow(afterMs + RUSH_MS)) return;
    const changes = () => 2 * fleet.judge.grants + fleet.judge.releases;
    fleet.time.after(afterMs - 1, () => {
      const before = { refused: this.#refused, changes: changes() };
      fleet.time.after(RUSH_MS, () => {
        if (this.#over) return;
        const made = changes() - before.changes;
        const refused = this.#refused - before.refused;
        if (made > 0) this.exercised.S1++;
        if (refused > made * each + beside) {
          this.#violated("S1", `${storm}: ${refused} swaps were refused for ${made} changes`);
        }
      });
    });
  }

  #judgeCalls(calls: ReadonlyMap<Process, number>, awayMs: number): void {
    const most = awayMs / SECOND * CALLS.eachSecond + CALLS.beside;
    for (const [process, count] of calls) {
      this.exercised.S2++;
      if (count <= most) continue;
      const id = this.fleet.machineOf(process)?.id;
      this.#violated("S2", `${id} called the store ${count} times in ${Math.round(awayMs)} ms without it`);
    }
  }

  #judgeComeback(): void {
    const { fleet } = this;
    if (fleet.server.backAt > fleet.time.elapsed) return;
    /** Those that wait while a slot is free, and what they wait for has not changed since. */
    const waits = fleet.machines.flatMap((machine) => {
      const { process, group } = machine;
      const free = this.#freeSlots(group);
      return process !== undefined && free !== null && this.#mayTake(machine)
        ? [{ machine, process, free }]
        : [];
    });
    if (waits.length === 0) return;
    this.exercised.S3++;
    fleet.time.after(TAKEN_MS, () => {
      const still = waits.filter(({ machine, process, free }) =>
        machine.process === process && this.#mayTake(machine) && this.#freeSlots(machine.group) === free
      );
      const groups = new Set(waits.map(({ machine }) => machine.group));
      for (const group of groups) {
        const left = still.filter(({ machine }) => machine.group === group);
        const ids = left.map(({ machine }) => machine.id);
        const first = this.#firstInLine(group);
        if (this.#over || ids.length === 0 || first !== undefined && !ids.includes(first)) continue;
        const text = `the store is back for ${TAKEN_MS} ms, a slot is free, and nobody of ${
          ids.join(", ")
        } took it`;
        this.#violated("S3", text);
      }
    });
  }

  /** The document of a group with a free slot to be had; `null`: there is none. */
  #freeSlots(group: string): string | null {
    const { judge } = this.fleet;
    const semaphore = judge.document(group);
    const paused = [semaphore, judge.document(ALL_GROUPS)].some(({ paused, freezes }) =>
      paused !== undefined || freezes !== undefined
    );
    if (paused || available(semaphore) <= 0) return null;
    return JSON.stringify(semaphore.holders);
  }

  /** Whether the machine waits for a slot that it may have: one that is held by hand stands aside. */
  #mayTake({ id, group, process, daemon }: Computer): boolean {
    return process?.frozenMs === 0 && daemon?.state.phase.name === "waiting" &&
      !this.fleet.judge.document(group).holders.includes(id);
  }

  #firstInLine(group: string): string | undefined {
    const places = this.fleet.memory.view([{ range: queueRange(group) }]).found[0] ?? [];
    return readQueue(group, places)[0]?.machine;
  }

  #holders(): Computer[] {
    const { judge, machines } = this.fleet;
    return machines.filter(({ up, id, group }) => up && judge.document(group).holders.includes(id));
  }

  #broke(storm: Storm, machines: number): void {
    this.tell(`storm: ${storm}: ${machines} machines`);
    this.weather.count(storm);
  }

  /** Begins the time of a storm. Returns whether its bounds are judged. */
  #blow(ms: number): boolean {
    this.#blowsUntil = this.fleet.time.elapsed + ms;
    const quiet = this.random.chance(QUIET_SHARE);
    if (quiet) this.weather.calm(ms);
    return quiet;
  }

  #violated(invariant: StormCheck, text: string): void {
    this.violations.push({ invariant, text });
  }
}
