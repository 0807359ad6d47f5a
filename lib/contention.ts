/** Swaps lost to other machines that change the same document: how long to pause before the next try. */

/**
 * The pause is drawn from nothing up to a limit: as long as a try took for each machine that may be changing the document
 * too, but no more than `machines` of them. The more are at it, the longer a try takes, since a store serves one after the
 * other; so the limit is what it takes to serve all of them a few times, be they ten or a thousand. The longest try
 * counts, and by `fading` less after each loss that was shorter: others are done by then. With fewer `machines` than
 * four, hundreds come back faster than they are served, and get in each other's way for good. By `growth` the limit rises
 * with each loss all the same: a store that serves many at once does not slow down for them.
 */
const PAUSE = { machines: 4, fading: 0.8, growth: 1.1, lastMs: 10_000 };

export class Contention {
  #losses = 0;
  #longestMs = 0;

  /**
   * The pause after another lost swap, in milliseconds. `tookMs`: what the try took; `machines`: so many may be changing
   * the document; `chance`: a number in [0, 1).
   */
  lost(tookMs: number, machines: number, chance: number): number {
    this.#longestMs = Math.max(this.#longestMs * PAUSE.fading, tookMs);
    const limitMs = this.#longestMs * Math.min(PAUSE.machines, Math.max(1, machines)) *
      PAUSE.growth ** this.#losses++;
    return Math.min(PAUSE.lastMs, limitMs) * chance;
  }

  /** Whether what a refusal showed is still worth a try after `pauseMs`: or else another machine has committed since. */
  isFresh(pauseMs: number): boolean {
    return pauseMs <= this.#longestMs / 2;
  }
}
