/**
 * A roll-out on a good day: how long it takes until every machine of a group has rebooted, and what each does meanwhile.
 *
 * It is played, not calculated: every machine runs the daemon, the queue, the lock and the window of the program in
 * virtual time (`fleet.ts`). All machines need the reboot at the start, in the order of their names. If the plan says so,
 * some never come back or are not well then, and keep their slots, and the checks of others hold them off; reboots that
 * are refused and people who unlock are not in it: a real one takes longer.
 *
 * Times are milliseconds since the start of the roll-out.
 */

import {
  type Fate,
  fateCounts,
  fateFaults,
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
import { awayMs, drawFates, Verdicts } from "./upkeep.ts";
import { CHECK_RETRY_MS } from "../next_try.ts";
import { HEALTH_RETRY_MS } from "../after_boot.ts";
import { Random } from "./virtual_time.ts";

const SOMEBODY = { ...CLEAR, loggedIn: { kind: "known", users: ["somebody"] } } as const;

/**
 * `waiting` for a window or a slot; `holding` a slot, up; `rebooting`, down; then, if the plan has upkeep, `proving` itself
 * by hooks, checks and soak, or `unhealthy`.
 */
export type SpanState = "waiting" | "holding" | "rebooting" | "proving" | "unhealthy";

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
  /** How many came back, never got well, and keep their slots. */
  readonly unhealthy: number;
  /** How many never rebooted, for their checks hold them off. */
  readonly heldOff: number;
  /** When the last slot was given back that is not kept for ever; `null`: never, or not within {@linkcode LIMIT_MS}. */
  readonly throughMs: number | null;
  /** Why it is not through; `undefined` where it is. */
  readonly why: string | undefined;
  /** The same if nothing but grace, reboot and upkeep took time; `Infinity` where that is not through either. */
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
  const faults = [...planFaults(plan), ...fateFaults(plan)];
  if (faults.length > 0) throw new RangeError(faults.join("; "));
  const machines = drawMachines(plan);
  const openings = openingsOf(plan);
  const idealMs = idealEnd(plan, idealTimes(plan, machines), openings);
  const counts = fateCounts(plan);
  // where machines keep their slots it is to be seen where it stops
  if (idealMs > LIMIT_MS && counts.lost + counts.unhealthy === 0) return unplayed(plan, machines, idealMs);

  const record = new Record(machines, progress, plan.upkeep !== undefined);
  const recoverMs = plan.upkeep?.recoverMs ?? Infinity;
  const verdicts = new Verdicts(record.fates, recoverMs);
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
      verdict(machine) {
        const verdict = verdicts.of(machine, fleet.time.elapsed);
        if (machine.boots > 1) {
          const forGood = recoverMs === Infinity;
          // others have been told by then, and that it proves itself again and again changes nothing
          const first = record.proved(machine, verdict.kind === "ill", forGood, fleet.time.elapsed);
          if (first && forGood) fleet.time.after(HEALTH_RETRY_MS.last, () => fleet.freeze(machine, LIMIT_MS));
        }
        return verdict;
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
  const patienceMs = 4 * longestGap(openings) + plan.rebootMs.to + plan.graceMs + upkeepMs(plan);
  const behind = recoverMs === Infinity ? counts["held-off"] : 0;
  const kept = () => record.lost + record.unhealthy;
  const through = () => record.done + kept() + behind === machines.length;
  const over = () => through() || kept() >= plan.max || fleet.time.elapsed - record.lastMs > patienceMs;
  await fleet.run(over, LIMIT_MS);
  const [bug] = [...fleet.crashes, ...fleet.judge.violations.map(({ text }) => new Error(text))];
  if (bug !== undefined) throw bug;
  const throughMs = through() ? record.lastMs : null;
  record.close();
  return account(plan, record, openings, idealMs, throughMs);
}

/** The longest that upkeep may let a roll-out stand still. */
function upkeepMs({ upkeep }: RolloutPlan): number {
  if (upkeep === undefined) return 0;
  const { hooksMs, checksMs, soakMs, recoverMs } = upkeep;
  return CHECK_RETRY_MS.last + 2 * (hooksMs + checksMs) + soakMs + (recoverMs === Infinity ? 0 : recoverMs);
}

/** A machine of a roll-out. */
export interface RolloutMember extends MachineConfig {
  readonly fate: Fate | undefined;
}

/** The machines of a roll-out, the same for the same seed. */
export function drawMachines(plan: RolloutPlan): RolloutMember[] {
  const { machines, rebootMs, schedule, spreadMs = 0, graceMs, seed, upkeep } = plan;
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
      ...(upkeep === undefined ? {} : { care: upkeep }),
    };
  });
  const fates = drawFates(plan, random);
  return drawn.map((machine, index) => {
    const fate = fates.get(index);
    return { ...machine, fate, ...(fate === "lost" ? { rebootMs: Infinity } : {}) };
  });
}

/** How long each that reboots would be away under its slot, in milliseconds. */
export function idealTimes(
  plan: Pick<RolloutPlan, "upkeep">,
  members: readonly RolloutMember[],
): number[] {
  return members.map(({ rebootMs, fate }) => awayMs(plan, rebootMs, fate)).filter((ms) => ms !== undefined);
}

/** Of a roll-out that cannot be through in time nothing is played. */
function unplayed(plan: RolloutPlan, machines: readonly MachineConfig[], idealMs: number): Rollout {
  return {
    plan,
    machines: machines.map(({ id }) => ({ id, spans: [], calledMs: null })),
    windows: [],
    lost: 0,
    unhealthy: 0,
    heldOff: 0,
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
  /** Those that came back and never get well. */
  unhealthy = 0;
  /** What goes wrong with a machine, by its id. */
  readonly fates: ReadonlyMap<string, Fate>;
  readonly #ill = new Set<string>();
  /** When something last went on. */
  lastMs = 0;

  constructor(
    machines: readonly RolloutMember[],
    private readonly progress: (done: number) => void,
    private readonly proves: boolean,
  ) {
    for (const { id } of machines) this.spans.set(id, []);
    this.fates = new Map(machines.flatMap(({ id, fate }) => fate === undefined ? [] : [[id, fate]]));
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
        return this.#begin(id, "holding", elapsedMs);
      case "up":
        return this.#begin(id, this.proves ? "proving" : "holding", elapsedMs);
      case "released":
        if (!this.#rebooted.has(id)) return this.#begin(id, "waiting", elapsedMs);
        this.lastMs = elapsedMs;
        this.progress(++this.done);
    }
  }

  /** A machine is back, and its checks said how it is. Returns whether they said no for the first time. */
  proved({ id }: Computer, ill: boolean, forGood: boolean, elapsedMs: number): boolean {
    if (this.#ill.has(id) === ill) return false;
    this.#end(id, elapsedMs);
    this.#begin(id, ill ? "unhealthy" : "proving", elapsedMs);
    if (!ill) return !this.#ill.delete(id);
    this.#ill.add(id);
    this.lastMs = elapsedMs;
    if (forGood) this.unhealthy++;
    return true;
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
  { spans, calls, lastMs, lost, unhealthy, fates }: Record,
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
    unhealthy,
    heldOff: machines.filter(({ id, calledMs }) => calledMs === null && fates.get(id) === "held-off").length,
    throughMs,
    why: throughMs !== null
      ? undefined
      : lost + unhealthy >= plan.max && plan.max > 0
      ? stuck(plan, lost, unhealthy)
      : whyNot(plan),
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

function stuck({ max }: RolloutPlan, lost: number, unhealthy: number): string {
  const one = lost + unhealthy === 1;
  const slots = `${one ? "keeps" : "keep"} ${max === 1 ? "the only slot" : `all ${max} slots`}`;
  const counted = (count: number) => `${count} ${count === 1 ? "machine" : "machines"}`;
  const gone = `${counted(lost)} ${lost === 1 ? "does" : "do"} not come back`;
  const ill = `${counted(unhealthy)} ${unhealthy === 1 ? "is" : "are"} unhealthy after the boot`;
  if (lost === 0) return `never: ${ill} and ${slots}`;
  return unhealthy === 0
    ? `never: ${gone} and ${slots}`
    : `never: ${gone}, ${ill}, and together they ${slots}`;
}
