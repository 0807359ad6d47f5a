/**
 * The plan of a roll-out: what is asked, what is too much to ask, when the window is open, and how long it would take if
 * a slot passed from machine to machine in no time. Pure; what really happens is played in `rollout.ts`.
 */

import { isLimited, openingsOf as openingsAhead, openSince, type Schedule } from "../schedule.ts";

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
}

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
  { machines, max, rebootMs, graceMs, failShare = 0 }: Omit<RolloutPlan, "schedule" | "startMs">,
): string[] {
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

/**
 * When each would reboot, of reboots that take so long and in this order, if a slot passed on in no time. Ends early, with
 * one that never goes down, where no slot is left or the window does not open again.
 */
export function* idealReboots(
  { max, graceMs }: Pick<RolloutPlan, "max" | "graceMs">,
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
      Math.max(free, openings[opening]?.startMs ?? Infinity) + graceMs > (openings[opening]?.endMs ?? 0)
    ) {
      if (++opening >= openings.length) return yield never;
    }
    const downMs = Math.max(free, openings[opening]?.startMs ?? 0) + graceMs;
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
  plan: Pick<RolloutPlan, "max" | "graceMs">,
  rebootsMs: readonly number[],
  openings: readonly Stretch[],
): number {
  let end = 0;
  for (const { downMs, returnedMs } of idealReboots(plan, rebootsMs, openings)) {
    end = Math.max(end, returnedMs === Infinity ? downMs : returnedMs);
  }
  return end;
}

/** Why a roll-out does not finish, for people. */
export function whyNot({ max, graceMs, schedule }: RolloutPlan): string {
  if (max === 0) return "never: max is 0, and no slot is ever granted";
  // clock changes may join windows to a longer one, once or twice a year: no plan to rely on
  const { windows } = schedule;
  if (windows.length > 0 && windows.every(({ window }) => graceMs >= window.lengthMs)) {
    return "never: the window is too short for the grace";
  }
  return "not within 366 days; stopped looking there";
}
