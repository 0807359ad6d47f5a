/**
 * Swaps lost to other machines that change the same document: when to try again. A few pause for a random time; a crowd takes
 * turns.
 */

import type { Semaphore } from "./semaphore.ts";
import type { Store } from "./store.ts";
import { sleep, type Surroundings } from "./surroundings.ts";
import { Turn } from "./turn.ts";

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
/** From so many at it on they take turns, which costs each a lease and one small write: fewer are soon done without. */
const CROWD = 14;
/** From so many at it on they take turns before they try: the first swap of nearly all would be refused, with the document in it. */
const HALL = 50;
/** Whose turn it is loses only to those who need none, such as the first in line, and tries again at once so many times. */
const LOSSES_IN_TURN = 5;
/** Up to how many at it a refusal brings along what there is: with more of them it is out of date after the pause. */
const FEW = 3;

/** A swap that another machine came before. */
export interface LostSwap {
  /** What the try took, in milliseconds. */
  readonly tookMs: number;
  /** So many may want the same. */
  readonly crowd: number;
  /** Whom the change is about, if about anybody. */
  readonly machine: string | undefined;
}

/** How many machines may be at the same as `machine`: the holders whose holds are as far as its own. */
export function crowdOf({ holders, holds }: Semaphore, machine: string | undefined): number {
  const own = machine === undefined ? undefined : holds.get(machine);
  if (own === undefined) return holders.length;
  let crowd = 0;
  for (const { phase } of holds.values()) if (phase === own.phase) crowd++;
  return crowd;
}

/** The pauses after lost swaps of one change. */
export class Pauses {
  #losses = 0;
  #longestMs = 0;
  /** How many there were at the longest try. */
  #crowd = 1;

  /** The pause after another one, in milliseconds. `chance`: a number in [0, 1). */
  lost({ tookMs, crowd }: Pick<LostSwap, "tookMs" | "crowd">, chance: number): number {
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

/** The lost swaps of one change, which is tried until it lands. */
export class Contention {
  readonly #pauses = new Pauses();
  /** `null`: there is none to be had, or none any more. */
  #turn: Turn | null | undefined;
  #lossesInTurn = 0;

  constructor(
    private readonly store: Store,
    private readonly group: string,
    private readonly surroundings: Surroundings,
  ) {}

  /** What is to be removed with the swap: the next one knows by it that its turn has come. */
  get keys(): readonly string[] {
    return this.#turn ? [this.#turn.key] : [];
  }

  /** Whether a refusal is to bring along what there is. */
  brings(crowd: number): boolean {
    return crowd <= FEW || Boolean(this.#turn);
  }

  /**
   * Before a swap: where so many may want the same that a try would only be one more of those that are refused, resolves when
   * the turn has come, to whether that took long enough for what was seen to be out of date.
   */
  async begin(crowd: number, machine: string | undefined, leftMs: () => number): Promise<boolean> {
    if (this.#turn !== undefined || machine === undefined || crowd < HALL) return false;
    return await this.#lineUp(machine, leftMs);
  }

  /** After a lost swap: resolves when to try again, to whether what the refusal brought along may still be true. */
  async next(lost: LostSwap, leftMs: () => number): Promise<boolean> {
    if (this.#turn && this.#lossesInTurn++ < LOSSES_IN_TURN) return true;
    if (this.#turn === undefined && lost.machine !== undefined && lost.crowd >= CROWD) {
      await this.#lineUp(lost.machine, leftMs);
      if (this.#turn) return false;
    }
    const pauseMs = this.#pauses.lost(lost, this.surroundings.random());
    await sleep(this.surroundings, Math.max(0, Math.min(pauseMs, leftMs())));
    return this.#pauses.isFresh(pauseMs);
  }

  /** Takes a turn and waits for it; resolves to whether there was another before it. */
  async #lineUp(machine: string, leftMs: () => number): Promise<boolean> {
    this.#turn = await Turn.take(this.store, this.group, machine, leftMs()) ?? null;
    return await this.#turn?.come(this.surroundings, leftMs()) ?? false;
  }

  /** A swap landed, and {@linkcode keys} went with it. */
  landed(): void {
    this.#turn?.done();
    this.#turn = null;
  }

  /** The change is over, however it ended. */
  async end(): Promise<void> {
    await this.#turn?.giveUp();
  }
}
