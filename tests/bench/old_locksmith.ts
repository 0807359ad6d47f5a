/**
 * How a fleet goes through its reboots under the old program's logic, in virtual time: the measure that the queue is held
 * to. Nothing here is code of the old program; this is what it did.
 *
 * Each machine tries by itself: it reads the semaphore, and when a slot is free it swaps in what it read with itself added.
 * A swap that another machine was faster with is lost, and lost or full, the next try comes 10, 20, 40 ... 300 s later,
 * without chance in it. Nobody is told of a free slot, and nobody is first. A machine that is up again waits 5 s, and
 * gives its slot back by a read and a swap, which it repeats until one is not lost.
 *
 * Since all wait equally long, they try in waves, each machine a little before or behind the others as its clock is. What
 * a wave finds full changes nothing and is only counted; so a fleet of 10,000 takes a second.
 */

import type { Random } from "../../lib/simulation/virtual_time.ts";

export interface OldFleet {
  readonly machines: number;
  readonly max: number;
  /** From the grant to the start of the daemon after the boot, in milliseconds. */
  readonly rebootMs: number;
}

export interface OldRollOut {
  /** From the opening of the window to the last slot given back, in milliseconds. */
  readonly totalMs: number;
  readonly requestsPerMachine: number;
  /** Swaps that somebody else's came before. */
  readonly lostSwaps: number;
}

/** The pauses between tries double from the first to the longest, in milliseconds. */
const PAUSE_MS = { first: 10_000, longest: 300_000 };
/** How long after a boot the slot is given back, and how soon a lost swap is repeated then, in milliseconds. */
const UNLOCK_DELAY_MS = 5_000;
/** How far apart the clocks of the machines are, in milliseconds. Closer ones lose more swaps. */
const CLOCKS_MS = 200;
/** How long a message is on its way, in milliseconds. */
const WAY_MS = 2;

/** Something that arrives at the store. */
interface Arrival {
  readonly at: number;
  arrive(at: number): void;
}

/** Plays the roll-out of a fleet whose window opens for all at once, and stays open. */
export function oldRollOut(fleet: OldFleet, random: Random): OldRollOut {
  return play(fleet, false, random);
}

/** Plays how machines that were all up again at one moment give back their slots, from their first try on. */
export function oldReturn(machines: number, random: Random): OldRollOut {
  return play({ machines, max: machines, rebootMs: 0 }, true, random);
}

/** `back`: all have rebooted already. */
function play({ machines, max, rebootMs }: OldFleet, back: boolean, random: Random): OldRollOut {
  /** By how much each is behind the first, in this order. */
  const behind = Float64Array.from({ length: machines }, () => random.between(0, CLOCKS_MS)).sort();
  /** Who has no slot yet. */
  const waiting = back ? new Float64Array() : behind;
  const arrivals: Arrival[] = [];
  let [held, version, requests, lostSwaps, waiters, endMs] = [
    machines - waiting.length,
    0,
    0,
    0,
    waiting.length,
    0,
  ];
  const send = (at: number, arrive: (at: number) => void) => {
    arrivals.splice(countUntil(arrivals.length, (index) => (arrivals[index]?.at ?? 0) <= at), 0, {
      at,
      arrive,
    });
  };
  /** A swap of what was read at `at`: one way for the answer, another for the swap. */
  const swap = (at: number, by: 1 | -1, then: (won: boolean, at: number) => void) => {
    const seen = version;
    requests += 2;
    send(at + 2 * WAY_MS, (at) => {
      const won = version === seen;
      if (won) [held, version] = [held + by, version + 1];
      else lostSwaps++;
      then(won, at);
    });
  };
  const giveBack = (at: number) =>
    swap(at, -1, (won, at) => {
      if (won) endMs = at + WAY_MS;
      else send(at + UNLOCK_DELAY_MS + 2 * WAY_MS, giveBack);
    });
  let [next, waveMs, pauseMs] = [0, 0, PAUSE_MS.first];
  const take = (at: number, offset: number) =>
    swap(at, 1, (won, at) => {
      if (!won) return;
      const index = countUntil(waiters, (index) => (waiting[index] ?? 0) < offset);
      waiting.copyWithin(index, index + 1, waiters--);
      if (index < next) next--;
      send(at + rebootMs + UNLOCK_DELAY_MS + 2 * WAY_MS, giveBack);
    });
  if (back) { for (const offset of behind) send(offset + WAY_MS, giveBack); }
  while (waiters > 0 || arrivals.length > 0) {
    if (next === waiters && waiters > 0) {
      [next, waveMs, pauseMs] = [0, waveMs + pauseMs, Math.min(2 * pauseMs, PAUSE_MS.longest)];
    }
    const [arrival] = arrivals;
    const offset = next < waiters ? waiting[next] : undefined;
    const readMs = offset === undefined ? Infinity : waveMs + offset + WAY_MS;
    if (arrival !== undefined && arrival.at <= readMs) {
      arrivals.shift();
      arrival.arrive(arrival.at);
    } else if (offset !== undefined && held < max) {
      next++;
      take(readMs, offset);
    } else {
      // all who come before something else happens find it full
      const untilMs = (arrival?.at ?? Infinity) - waveMs - WAY_MS;
      const found = countUntil(waiters, (index) => (waiting[index] ?? 0) < untilMs);
      requests += found - next;
      next = found;
    }
  }
  return { totalMs: endMs, requestsPerMachine: requests / machines, lostSwaps };
}

/** How many of `length` sorted things come before a border. */
function countUntil(length: number, isBeforeBorder: (index: number) => boolean): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBeforeBorder(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
