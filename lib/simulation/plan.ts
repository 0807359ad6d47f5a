/**
 * The plan of a roll-out: what is asked, what is too much to ask, when the window is open, and how long it would take if
 * a slot passed from machine to machine in no time. Pure; what really happens is played in `rollout.ts`.
 */

import { isLimited, openingsOf as openingsAhead, openSince, type Schedule } from "../schedule.ts";
import type { Care } from "./computer.ts";

/** What is asked. */
export interface RolloutPlan {
  readonly machines: number;
  /** How many may reboot at once. */
  readonly max: number;
  /** From going down to the start of the daemon: drawn between the two for each machine, evenly. */
  readonly rebootMs: { readonly from: number; readonly to: number };
  readonly schedule: Schedule;
  /** Over how long of each window the machines begin, each at its own moment; in milliseconds. */
  readonly spreadMs?: number;
  /** How long people who are logged in get on each machine; 0: nobody is. */
  readonly graceMs: number;
  /** In milliseconds since the epoch. */
  readonly startMs: number;
  /** What is drawn is the same for the same seed. */
  readonly seed: number;
  /** From 0 to 1: which share of the machines goes down and never comes back, rounded up to whole machines; else none. */
  readonly failShare?: number;
  /** What each machine does before its reboot and after its boot, and whose checks say no; absent: nothing, and nobody's. */
  readonly upkeep?: Upkeep;
}

/** How the machines of a roll-out are cared for. Shares are from 0 to 1, rounded up to whole machines. */
export interface Upkeep extends Care {
  /** How many machines have checks that say no before the reboot. */
  readonly heldOffShare: number;
  /** How many machines are not well after their boot. */
  readonly unhealthyShare: number;
  /** How long after the first no such a machine is well, in milliseconds; `Infinity`: it never is. */
  readonly recoverMs: number;
}

/** What goes wrong with a machine. */
export type Fate =
  /** It goes down and never comes back. */
  | "lost"
  /** Its checks say no before its reboot. */
  | "held-off"
  /** It is not well after its boot. */
  | "unhealthy";

/** The most machines that one roll-out has. */
export const MACHINES_LIMIT = 20_000;
/** The most that machines times slots may be: every commit reads and writes the holds of all slots. */
export const WORK_LIMIT = 500_000;
/** How far it is looked ahead. */
export const LIMIT_MS = 366 * 24 * 3_600_000;
/** The longest reboot, and the longest grace. */
export const LENGTH_LIMIT_MS = 24 * 3_600_000;

/** What is wrong with a plan, each a sentence; what an operator typed is checked by who took it. */
export function planFaults(
  plan: Omit<RolloutPlan, "schedule" | "startMs">,
): string[] {
  const { machines, max, rebootMs, graceMs, failShare = 0 } = plan;
  const faults: string[] = [];
  if (!Number.isInteger(machines) || machines < 1 || machines > MACHINES_LIMIT) {
    faults.push(`${machines} machines: allowed are 1 to ${MACHINES_LIMIT}`);
  }
  if (!Number.isInteger(max) || max < 0) faults.push(`max ${max}: it is a whole number from 0`);
  if (!(rebootMs.from > 0 && rebootMs.from <= rebootMs.to && rebootMs.to <= LENGTH_LIMIT_MS)) {
    faults.push(`reboots of ${rebootMs.from} to ${rebootMs.to} ms: more than 0, and at most 24 hours`);
  }
  if (!(graceMs >= 0 && graceMs <= LENGTH_LIMIT_MS)) {
    faults.push(`a grace of ${graceMs} ms: it is at most 24 hours`);
  }
  if (!(failShare >= 0 && failShare <= 1)) {
    faults.push(`a share of ${failShare} that fails: it is from 0 to 1`);
  }
  const work = machines * Math.min(max, machines);
  if (faults.length === 0 && work > WORK_LIMIT) {
    faults.push(
      `${machines} machines with max ${max} are too many to play: machines times max may be ${WORK_LIMIT}`,
    );
  }
  return faults;
}

/** What is wrong with the shares of machines that fail. */
export function fateFaults(plan: Pick<RolloutPlan, "machines" | "failShare" | "upkeep">): string[] {
  const { heldOffShare = 0, unhealthyShare = 0 } = plan.upkeep ?? {};
  const faults = [heldOffShare, unhealthyShare].filter((share) => !(share >= 0 && share <= 1))
    .map((share) => `a share of ${share}: it is from 0 to 1`);
  const ill = Object.values(fateCounts(plan)).reduce((sum, count) => sum + count);
  if (faults.length > 0 || ill <= plan.machines) return faults;
  return [`${ill} machines that fail, each in one way, are more than there are: ${plan.machines}`];
}

/** How many machines have each fate. */
export function fateCounts(
  { machines, failShare = 0, upkeep }: Pick<RolloutPlan, "machines" | "failShare" | "upkeep">,
): Readonly<Record<Fate, number>> {
  const count = (share: number) => Math.ceil(share * machines);
  return {
    "lost": count(failShare),
    "held-off": count(upkeep?.heldOffShare ?? 0),
    "unhealthy": count(upkeep?.unhealthyShare ?? 0),
  };
}

/** How long a slot is held before the machine goes down, in milliseconds. */
export function beforeMs({ graceMs, upkeep }: Pick<RolloutPlan, "graceMs" | "upkeep">): number {
  return graceMs + (upkeep === undefined ? 0 : upkeep.checksMs + upkeep.hooksMs);
}

/** How much of a window must be left for a machine to get in line, in milliseconds. */
export function roomMs({ graceMs, upkeep }: Pick<RolloutPlan, "graceMs" | "upkeep">): number {
  if (upkeep === undefined) return graceMs;
  const { hooksMs, checksMs, hooksLimitMs = hooksMs, checksLimitMs = checksMs } = upkeep;
  return graceMs + hooksLimitMs + checksLimitMs;
}

/** A stretch of open time, both ends included. */
export interface Stretch {
  readonly startMs: number;
  readonly endMs: number;
}

/** The stretches of open time that begin before the limit; of one that is under way, since when. */
export function openingsOf({ schedule, startMs }: RolloutPlan): Stretch[] {
  if (!isLimited(schedule)) return [{ startMs: 0, endMs: Infinity }];
  const since = openSince(schedule, startMs) ?? -Infinity;
  const found: Stretch[] = [];
  for (const opening of openingsAhead(schedule, startMs) ?? [{ startMs, endMs: Infinity }]) {
    const beganMs = opening.startMs > startMs || since === -Infinity ? opening.startMs : since;
    if (beganMs - startMs > LIMIT_MS) break;
    found.push({ startMs: beganMs - startMs, endMs: opening.endMs - startMs });
  }
  return found;
}

/** The longest time from one opening to the next. */
export function longestGap(openings: readonly Stretch[]): number {
  // of a single opening it is not known when the next comes: then there is no end of patience
  if (openings.length < 2) return Infinity;
  return Math.max(
    ...openings.slice(1).map(({ startMs }, index) => startMs - (openings[index]?.startMs ?? 0)),
  );
}

/** When a machine goes down and when it gives its slot back; `Infinity`: never. */
export interface IdealReboot {
  readonly downMs: number;
  readonly returnedMs: number;
}

/** How slots are used. */
export interface IdealSlots {
  readonly max: number;
  /** From the grant to going down, in milliseconds. */
  readonly beforeMs: number;
  /** How much of a window must be left for a grant, in milliseconds. */
  readonly roomMs: number;
}

/**
 * When each would reboot, of reboots that take so long and in this order, if a slot passed on in no time. Ends early, with
 * one that never goes down, where no slot is left or the window does not open again.
 */
export function* idealReboots(
  { max, beforeMs, roomMs }: IdealSlots,
  rebootsMs: readonly number[],
  openings: readonly Stretch[],
): Generator<IdealReboot> {
  const never = { downMs: Infinity, returnedMs: Infinity };
  if (max === 0) return yield never;
  /** When each slot is free, the soonest first. */
  const slots: number[] = new Array(Math.min(max, rebootsMs.length)).fill(0);
  let opening = 0;
  for (const rebootMs of rebootsMs) {
    const free = slots.shift() ?? 0;
    if (free === Infinity) return yield never;
    // both ends belong to a window, and only the call must lie in it
    while (
      Math.max(free, openings[opening]?.startMs ?? Infinity) + roomMs > (openings[opening]?.endMs ?? 0)
    ) {
      if (++opening >= openings.length) return yield never;
    }
    const downMs = Math.max(free, openings[opening]?.startMs ?? 0) + beforeMs;
    const returnedMs = downMs + rebootMs;
    const later = slots.findLastIndex((slot) => slot <= returnedMs);
    slots.splice(later + 1, 0, returnedMs);
    yield { downMs, returnedMs };
  }
}

/**
 * When the last slot would be given back then. A slot under a reboot that takes for ever is lost, and not waited for;
 * `Infinity` where the others have none left.
 */
export function idealEnd(
  plan: Pick<RolloutPlan, "max" | "graceMs" | "upkeep">,
  rebootsMs: readonly number[],
  openings: readonly Stretch[],
): number {
  let end = 0;
  for (const { downMs, returnedMs } of idealReboots(idealSlots(plan), rebootsMs, openings)) {
    end = Math.max(end, returnedMs === Infinity ? downMs : returnedMs);
  }
  return end;
}

function idealSlots(plan: Pick<RolloutPlan, "max" | "graceMs" | "upkeep">): IdealSlots {
  return { max: plan.max, beforeMs: beforeMs(plan), roomMs: roomMs(plan) };
}

/** Why a roll-out does not finish, for people. */
export function whyNot(plan: RolloutPlan): string {
  const { max, schedule, upkeep } = plan;
  if (max === 0) return "never: max is 0, and no slot is ever granted";
  // clock changes may join windows to a longer one, once or twice a year: no plan to rely on
  const { windows } = schedule;
  if (windows.length > 0 && windows.every(({ window }) => roomMs(plan) >= window.lengthMs)) {
    return `never: the window is too short for the ${
      upkeep === undefined ? "grace" : "checks, hooks and grace"
    }`;
  }
  return "not within 366 days; stopped looking there";
}
