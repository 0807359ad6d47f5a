/**
 * Hosts that ask a server for a slot from time to time, and are there only while they ask.
 *
 * Such a host has a place beside the queue, which keeps its rank from one question to the next and stops nobody: a free
 * slot goes to the first of those who are there. Being passed over has a bound. A host that was passed over
 * {@linkcode PASSED_LIMIT} times, or at all and is waiting for {@linkcode PASSED_AGE_MS}, is due; of those who are due the
 * first gets a place *in* the queue, and so the next free slot is kept until it asks again, or was not heard of for so long
 * that its place is given up.
 *
 * A slot that is kept stands idle meanwhile. Hosts that ask every five minutes for slots that are free for moments could all
 * be due at once, and a roll-out would wait for half of each interval. So the slots of a group may stand idle for absent
 * hosts in no more than one part in {@linkcode IDLE_PARTS} of their time: after a slot stood idle, no other is kept until
 * that is made up for. Pure.
 */

import { beforeRange, classRange, type Place } from "./queue.ts";
import type { Expectation } from "./store.ts";
import { isBefore } from "./store.ts";

/** So often a host is passed over before a slot is kept for it. */
export const PASSED_LIMIT = 3;
/** From this age of its place on, once is enough. Milliseconds. */
export const PASSED_AGE_MS = 10 * 60_000;
/** Kept slots stand idle for one part in so many of all of the time of a group's slots. */
export const IDLE_PARTS = 20;
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

/** How many slots of a group may be kept at the same time. */
export function keptLimit(max: number): number {
  return Math.max(1, Math.floor(max / IDLE_PARTS));
}

/** How long no slot is kept after kept slots of a group stood idle for `idleMs`, in milliseconds. */
export function keepPauseMs(idleMs: number, max: number): number {
  return idleMs * Math.max(0, IDLE_PARTS / Math.max(1, max) - 1);
}

/** What must be true of the queue for one who stands beside it, or has no place yet (`rank: null`), to be granted a slot. */
export function nobodyBefore(group: string, priority: number, rank: string | null): Expectation[] {
  if (rank === null) {
    const { from } = beforeRange(group, priority, "0");
    return [{ range: { from, to: classRange(group, priority).to }, noneCreatedBefore: null }];
  }
  return [
    { range: beforeRange(group, priority, rank), noneCreatedBefore: null },
    ...mayReturn(group, priority, rank),
  ];
}

/**
 * What must be true of the queue for a place of this rank to be put into it. It stands before all that have the rank of
 * their creation; so none of them may be older. Younger ones cannot become it.
 */
export function mayReturn(group: string, priority: number, rank: string): Expectation[] {
  return [{ range: classRange(group, priority), noneCreatedBefore: rank }];
}
