/**
 * A roll-out on a good day: how long it takes until every machine of a group has rebooted, and what each does meanwhile.
 *
 * It is played, not calculated: every machine runs the daemon, the queue, the lock and the window of the program in
 * virtual time (`fleet.ts`). All machines need the reboot at the start, in the order of their names. Some may never come
 * back, if the plan says so, and keep their slots; reboots that are refused and people who unlock are not in it: a real
 * one takes longer.
 *
 * Times are milliseconds since the start of the roll-out.
 */

import {
  idealEnd,
  LIMIT_MS,
  longestGap,
  openingsOf,
  planFaults,
  type RolloutPlan,
  type Stretch,
  whyNot,
} from "./plan.ts";
import type { Computer, MachineConfig } from "./computer.ts";
import { CLEAR, NO_FAULTS } from "./faults.ts";
import { Fleet, type Happening } from "./fleet.ts";
import { delayOf, isLimited } from "../schedule.ts";
import { Random } from "./virtual_time.ts";

const SOMEBODY = { ...CLEAR, loggedIn: { kind: "known", users: ["somebody"] } } as const;

/** `waiting` for a window or a slot; `holding` a slot, up; `rebooting`, down. */
export type SpanState = "waiting" | "holding" | "rebooting";

export interface Span {
  readonly state: SpanState;
  readonly fromMs: number;
  readonly toMs: number;
}

/** What a machine did: its spans follow each other without a gap, from the start to the return of its slot. */
export interface RolloutMachine {
  readonly id: string;
  readonly spans: readonly Span[];
  /** When it called the reboot; `null`: it never did. */
  readonly calledMs: number | null;
}

/** A window that the roll-out met, or was under way in when it began. */
export interface RolloutWindow {
  readonly startMs: number;
  readonly endMs: number;
  /** How many reboots were called in it. */
  readonly reboots: number;
}

export interface Rollout {
  readonly plan: RolloutPlan;
  readonly machines: readonly RolloutMachine[];
  readonly windows: readonly RolloutWindow[];
  /** How many went down and never came back. */
  readonly lost: number;
  /** When the last slot was given back that is not lost; `null`: never, or not within {@linkcode LIMIT_MS}. */
  readonly throughMs: number | null;
  /** Why it is not through; `undefined` where it is. */
  readonly why: string | undefined;
  /** The same if nothing but grace and reboot took time; `Infinity` where that is not through either. */
  readonly idealMs: number;
  /** The slots' time in use over all of their time, of the time in which the window is open, until the end. */
  readonly busyShare: number;
  /** The longest that a machine waited for the slot under which it rebooted. */
  readonly longestWaitMs: number;
}

/** The store's past is of no use here, and is dropped each time when so many machines are done. */
const COMPACT_EVERY = 200;

/**
 * Plays the roll-out of `plan`. `progress` hears how many machines are done.
 *
 * Throws a `RangeError` for a plan beyond the limits, and an `Error` when something happens that must not: the judge of
 * the simulation looks on.
 */
export async function simulateRollout(
  plan: RolloutPlan,
  progress: (done: number) => void = () => {},
): Promise<Rollout> {
  const faults = planFaults(plan);
  if (faults.length > 0) throw new RangeError(faults.join("; "));
  const machines = drawMachines(plan);
  const openings = openingsOf(plan);
  const idealMs = idealEnd(plan, machines.map(({ rebootMs }) => rebootMs), openings);
  // where machines are lost it is to be seen where it stops
  if (idealMs > LIMIT_MS && !plan.failShare) return unplayed(plan, machines, idealMs);

  const record = new Record(machines, progress);
  const fleet: Fleet = new Fleet(
    {
      machines,
      max: new Map([["", plan.max]]),
      startMs: plan.startMs,
      // nothing is ever missed: all that happens has an event of its own
      lookMs: Infinity,
      idleLookMs: Infinity,
      tickMs: Infinity,
    },
    new Random(plan.seed),
    {
      ...NO_FAULTS,
      inquiry: () => plan.graceMs > 0 ? SOMEBODY : CLEAR,
      reboot(machine) {
        record.called(machine, fleet.time.elapsed);
        return NO_FAULTS.reboot(machine);
      },
    },
    (machine, what, elapsedMs) => {
      record.happens(machine, what, elapsedMs);
      if (what === "released" && record.done % COMPACT_EVERY === 0) fleet.memory.compact();
    },
  );
  for (const machine of fleet.machines) fleet.need(machine, true);
  fleet.start();
  // where three windows in a row bring nothing, none will
  const patienceMs = 4 * longestGap(openings) + plan.rebootMs.to + plan.graceMs;
  const through = () => record.done + record.lost === machines.length;
  const over = () => through() || record.lost >= plan.max || fleet.time.elapsed - record.lastMs > patienceMs;
  await fleet.run(over, LIMIT_MS);
  const [bug] = [...fleet.crashes, ...fleet.judge.violations.map(({ text }) => new Error(text))];
  if (bug !== undefined) throw bug;
  const throughMs = through() ? record.lastMs : null;
  record.close();
  return account(plan, record, openings, idealMs, throughMs);
}

/** The machines of a roll-out, the same for the same seed. */
export function drawMachines(plan: RolloutPlan): MachineConfig[] {
  const { machines, rebootMs, schedule, spreadMs = 0, graceMs, seed, failShare = 0 } = plan;
  const random = new Random(seed);
  const digits = String(machines).length;
  const drawn = Array.from({ length: machines }, (_, index) => {
    const id = `m${String(index + 1).padStart(digits, "0")}`;
    return {
      id,
      group: "",
      priority: 0,
      schedule: spreadMs === 0 ? schedule : { ...schedule, delayMs: delayOf(id, "", spreadMs) },
      rebootMs: rebootMs.from === rebootMs.to ? rebootMs.from : random.between(rebootMs.from, rebootMs.to),
      graceMs,
    };
  });
  const lost = new Set<number>();
  while (lost.size < Math.ceil(failShare * machines)) lost.add(random.integer(0, machines - 1));
  return drawn.map((machine, index) => lost.has(index) ? { ...machine, rebootMs: Infinity } : machine);
}

/** Of a roll-out that cannot be through in time nothing is played. */
function unplayed(plan: RolloutPlan, machines: readonly MachineConfig[], idealMs: number): Rollout {
  return {
    plan,
    machines: machines.map(({ id }) => ({ id, spans: [], calledMs: null })),
    windows: [],
    lost: 0,
    throughMs: null,
    why: whyNot(plan),
    idealMs,
    busyShare: 0,
    longestWaitMs: 0,
  };
}

/** Writes down what happens to each machine. */
class Record {
  readonly spans = new Map<string, Span[]>();
  readonly calls = new Map<string, number>();
  readonly #open = new Map<string, { readonly state: SpanState; readonly fromMs: number }>();
  /** Those that have rebooted since they needed to. */
  readonly #rebooted = new Set<string>();
  done = 0;
  /** Those that are down for ever. */
  lost = 0;
  /** When something last went on. */
  lastMs = 0;

  constructor(machines: readonly MachineConfig[], private readonly progress: (done: number) => void) {
    for (const { id } of machines) this.spans.set(id, []);
  }

  called({ id }: Computer, elapsedMs: number): void {
    this.calls.set(id, elapsedMs);
  }

  happens({ id, config }: Computer, what: Happening, elapsedMs: number): void {
    this.#end(id, elapsedMs);
    switch (what) {
      case "needs":
        return this.#begin(id, "waiting", elapsedMs);
      case "down":
        this.lastMs = elapsedMs;
        this.#rebooted.add(id);
        if (config.rebootMs === Infinity) this.lost++;
        return this.#begin(id, "rebooting", elapsedMs);
      case "granted":
      case "up":
        return this.#begin(id, "holding", elapsedMs);
      case "released":
        if (!this.#rebooted.has(id)) return this.#begin(id, "waiting", elapsedMs);
        this.lastMs = elapsedMs;
        this.progress(++this.done);
    }
  }

  /** What goes on for ever is drawn up to the end. */
  close(): void {
    for (const [id, { fromMs }] of [...this.#open]) this.#end(id, Math.max(fromMs, this.lastMs));
  }

  #begin(id: string, state: SpanState, fromMs: number): void {
    this.#open.set(id, { state, fromMs });
  }

  #end(id: string, toMs: number): void {
    const open = this.#open.get(id);
    this.#open.delete(id);
    if (open !== undefined) this.spans.get(id)?.push({ ...open, toMs });
  }
}

function account(
  plan: RolloutPlan,
  { spans, calls, lastMs, lost }: Record,
  openings: readonly Stretch[],
  idealMs: number,
  throughMs: number | null,
): Rollout {
  const endMs = throughMs ?? lastMs;
  const met = openings.filter(({ startMs }) => startMs <= endMs);
  const called = [...calls.values()];
  const machines = [...spans].map(([id, spans]) => ({ id, spans, calledMs: calls.get(id) ?? null }));
  const all = machines.flatMap(({ spans }) => spans);
  const held = all.filter(({ state }) => state !== "waiting");
  const usable = plan.max * overlap([{ fromMs: 0, toMs: endMs }], met);
  return {
    plan,
    machines,
    windows: !isLimited(plan.schedule) ? [] : met.map(({ startMs, endMs }) => ({
      startMs,
      endMs,
      reboots: called.filter((ms) => ms >= startMs && ms <= endMs).length,
    })),
    lost,
    throughMs,
    why: throughMs !== null ? undefined : lost >= plan.max && plan.max > 0 ? stuck(plan, lost) : whyNot(plan),
    idealMs,
    busyShare: usable === 0 ? 0 : overlap(held, met) / usable,
    longestWaitMs: machines.reduce((longest, { spans }) => Math.max(longest, waitMs(spans)), 0),
  };
}

/** Until the slot under which it rebooted: one that was given back because the window had no room does not count. */
function waitMs(spans: readonly Span[]): number {
  const down = spans.findIndex(({ state }) => state === "rebooting");
  return spans[down - 1]?.fromMs ?? 0;
}

/** How much of the spans lies in the stretches, which follow each other. */
function overlap(spans: readonly { fromMs: number; toMs: number }[], stretches: readonly Stretch[]): number {
  let sum = 0;
  for (const { fromMs, toMs } of spans) {
    for (const { startMs, endMs } of stretches) {
      if (startMs >= toMs) break;
      sum += Math.max(0, Math.min(toMs, endMs) - Math.max(fromMs, startMs));
    }
  }
  return sum;
}

function stuck({ max }: RolloutPlan, lost: number): string {
  return `never: ${lost} ${lost === 1 ? "machine does" : "machines do"} not come back and ${
    lost === 1 ? "keeps" : "keep"
  } ${max === 1 ? "the only slot" : `all ${max} slots`}`;
}
