/**
 * Hosts that ask a server for a slot from time to time, and are there only while they ask.
 *
 * Such a host has a place beside the queue, which keeps its rank from one question to the next and stops nobody: a free
 * slot goes to the first of those who are there. Being passed over has a bound. A host that was passed over
 * {@linkcode PASSED_LIMIT} times, or at all and has waited for {@linkcode PASSED_AGE_MS}, is due. Of those who are due the
 * first gets a place *in* the queue, at its rank: now slots are kept, as many as hosts are due, and only those who are due
 * get them, each when it asks. So a slot stands idle for moments where many are due. Whoever was passed over
 * {@linkcode FIRM_LIMIT} times has the next slot to itself: it is kept until it asks, or was not heard of for so long that
 * its place is given up.
 *
 * While slots are kept, others who are there may wait for nothing, and a roll-out takes longer. So slots may stand idle
 * while anybody is in line, for whatever reason, for one part in {@linkcode IDLE_PARTS} of the time of a group's slots, and
 * for {@linkcode IDLE_BURST_MS} at once. When that is used up, none is kept until so much is there again. Pure.
 */

import { beforeRange, classRange, type Place, queueRange } from "./queue.ts";
import { exactly, type Expectation, isBefore, type KeyRange } from "./store.ts";

/** So often a host is passed over before it is due. */
export const PASSED_LIMIT = 3;
/** For so many who are due a slot is kept: one of them asks soon. */
export const DUE_PER_SLOT = 10;
/** So often it is passed over, by others who are due, before a slot is kept for it alone. */
export const FIRM_LIMIT = 20;
/** From this age of its place on, once is enough. Milliseconds. */
export const PASSED_AGE_MS = 10 * 60_000;
/** Slots are kept while those of a group stand idle for less than one part in so many of their time. */
export const IDLE_PARTS = 30;
/** So much of that is saved up, in milliseconds of one slot: longer than from one poll to the next. */
export const IDLE_BURST_MS = 6 * 60_000;
/** How long a place is kept for a host that does not ask, unless a server is told otherwise, in milliseconds. */
export const POLL_PLACE_TTL_MS = 15 * 60_000;

/** Who comes before whom: a priority, and within it a rank, the revision of the first question. */
export interface Rank {
  readonly priority: number;
  readonly rank: string;
}

/** Whether `a` comes before `b`. */
export function comesBefore(a: Rank, b: Rank): boolean {
  return a.priority === b.priority ? isBefore(a.rank, b.rank) : a.priority > b.priority;
}

/** Whether a slot is to be kept for a host that was passed over `passed` times. `now` in milliseconds since the epoch. */
export function isDue(place: Pick<Place, "since">, passed: number, now: number): boolean {
  if (passed >= PASSED_LIMIT) return true;
  const { since } = place;
  return passed > 0 && since !== undefined &&
    now - Temporal.Instant.from(since).epochMilliseconds >= PASSED_AGE_MS;
}

/** For how long the slots of a group may still stand idle. */
export interface IdleBudget {
  /** In milliseconds of one slot. */
  readonly leftMs: number;
  /** Whether it was used up, and is not all there again: no slots are kept. */
  readonly spent: boolean;
}

export const FULL_BUDGET: IdleBudget = { leftMs: IDLE_BURST_MS, spent: false };

/** The budget after `tookMs` in which `idle` of the group's slots stood idle. */
export function afterIdling(
  { leftMs, spent }: IdleBudget,
  tookMs: number,
  idle: number,
  max: number,
): IdleBudget {
  const left = Math.max(0, Math.min(IDLE_BURST_MS, leftMs + tookMs * max / IDLE_PARTS - tookMs * idle));
  return { leftMs: left, spent: left <= 0 || spent && left < IDLE_BURST_MS };
}

/** In how many milliseconds the budget is used up. */
export function budgetLastsMs({ leftMs }: IdleBudget, idle: number, max: number): number {
  const rate = idle - max / IDLE_PARTS;
  return rate <= 0 ? Infinity : Math.max(1, Math.ceil(leftMs / rate));
}

/** Where somebody stands who is to be granted a slot; `rank: null`: nowhere yet. */
export interface Stand {
  readonly priority: number;
  readonly rank: string | null;
  /** Whether it is in the queue with the rank of its creation. */
  readonly ordinary: boolean;
}

/** What must be true of the queue for a grant to whoever stands there: nobody is before it but those whose places are `passed`. */
export function nobodyBefore(
  group: string,
  { priority, rank, ordinary }: Stand,
  passed: readonly string[] = [],
): Expectation[] {
  const own = classRange(group, priority);
  const { from } = queueRange(group);
  const to = rank === null ? own.to : ordinary ? own.from : beforeRange(group, priority, rank).to;
  const none = without({ from, to }, passed).map((range) => ({ range, noneCreatedBefore: null }));
  return rank === null ? none : [...none, ...mayReturn(group, priority, rank)];
}

/** A range in pieces, without these keys. */
function without({ from, to }: KeyRange, keys: readonly string[]): KeyRange[] {
  const pieces: KeyRange[] = [];
  let start = from;
  for (const key of [...keys].sort()) {
    if (key < start || key >= to) continue;
    pieces.push({ from: start, to: key });
    start = exactly(key).to;
  }
  return [...pieces, { from: start, to }].filter(({ from, to }) => from < to);
}

/**
 * What must be true of the queue for a place of this rank to be put into it. It stands before all that have the rank of
 * their creation; so none of them may be older. Younger ones cannot become it.
 */
export function mayReturn(group: string, priority: number, rank: string): Expectation[] {
  return [{ range: classRange(group, priority), noneCreatedBefore: rank }];
}
