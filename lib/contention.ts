/** Swaps lost to other machines that change the same document: how long to pause before the next try. */

import type { Semaphore } from "./semaphore.ts";

/**
 * The pause is drawn from nothing up to a limit: `tries` times the longest try. The more are at it, the longer a try takes,
 * since a store serves one after the other; so the limit is what it takes to serve all of them a few times, be they ten or
 * a thousand. As the crowd gets smaller, the limit does. By `growth` it rises with each loss all the same: a store that
 * serves many at once does not slow down for them.
 */
const PAUSE = {
  tries: 3,
  growth: 1.1,
  lastMs: 10_000,
};

/** How many machines may be at the same as `machine`: the holders whose holds are as far as its own. */
export function crowdOf({ holders, holds }: Semaphore, machine: string | undefined): number {
  const own = machine === undefined ? undefined : holds.get(machine);
  if (own === undefined) return holders.length;
  let crowd = 0;
  for (const { phase } of holds.values()) if (phase === own.phase) crowd++;
  return crowd;
}

export class Contention {
  #losses = 0;
  #longestMs = 0;
  /** How many there were at the longest try. */
  #crowd = 1;

  /**
   * The pause after another lost swap, in milliseconds. `tookMs`: what the try took; `crowd`: so many may want the same;
   * `chance`: a number in [0, 1).
   */
  lost(tookMs: number, crowd: number, chance: number): number {
    if (tookMs >= this.#longestMs * this.#left(crowd)) {
      this.#longestMs = tookMs;
      this.#crowd = Math.max(1, crowd);
    }
    const limitMs = this.#longestMs * this.#left(crowd) * Math.min(PAUSE.tries, Math.max(1, crowd)) *
      PAUSE.growth ** this.#losses++;
    return Math.min(PAUSE.lastMs, limitMs) * chance;
  }

  /** Whether what a refusal showed is still worth a try after `pauseMs`: or else another machine has committed since. */
  isFresh(pauseMs: number): boolean {
    return pauseMs <= this.#longestMs / this.#crowd;
  }

  #left(crowd: number): number {
    return Math.min(1, crowd / this.#crowd);
  }
}
