/**
 * Time and chance of a simulation: a clock that stands still while something happens and leaps to the next event, and
 * random numbers from a seed. The same seed gives the same run, to the last event.
 */

import { setImmediate } from "node:timers";
import type { Surroundings, Timer } from "../surroundings.ts";

/** So many events happen in one turn of the event loop, which takes longer than most of them do. */
const EVENTS_A_TURN = 32;

class Event implements Timer {
  cancelled = false;

  /** `order`: events of one moment happen in the order in which they were asked for. */
  constructor(readonly at: number, readonly order: number, readonly run: () => void) {}

  cancel(): void {
    this.cancelled = true;
  }
}

export class VirtualTime {
  #elapsed = 0;
  #order = 0;
  /** A binary heap, the next event first. */
  readonly #events: Event[] = [];

  /** Milliseconds since the beginning. */
  get elapsed(): number {
    return this.#elapsed;
  }

  /** Calls `run` in `ms` milliseconds; never, where that is `Infinity`. */
  after(ms: number, run: () => void): Timer {
    if (ms === Infinity) return { cancel() {} };
    const event = new Event(this.#elapsed + Math.max(0, ms), this.#order++, run);
    this.#push(event);
    return event;
  }

  /**
   * Lets time pass until `done`, which is asked after each event, or until `limitMs` since the beginning. Returns whether
   * it is done. Everything that follows from an event without taking time happens before the next one.
   */
  run(done: () => boolean, limitMs: number): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    let over = false;
    const next = () => {
      if (over) return;
      try {
        const isDone = this.#next(done, limitMs);
        if (isDone === undefined) return;
        over = true;
        resolve(isDone);
      } catch (error) {
        over = true;
        reject(error);
      }
    };
    // what was begun goes as far as it can before each of them, in one turn of the event loop too
    const turn = () => {
      next();
      if (over) return;
      for (let left = EVENTS_A_TURN; left > 1; left--) setImmediate(next);
      setImmediate(turn);
    };
    setImmediate(turn);
    return promise;
  }

  /** Lets the next event happen, unless it is over: then whether it is done. */
  #next(done: () => boolean, limitMs: number): boolean | undefined {
    while (!done()) {
      const event = this.#events[0];
      if (event === undefined || event.at > limitMs) {
        this.#elapsed = Math.max(this.#elapsed, Math.min(limitMs, event?.at ?? limitMs));
        return done();
      }
      this.#pop();
      if (event.cancelled) continue;
      this.#elapsed = event.at;
      event.run();
      return undefined;
    }
    return true;
  }

  #push(event: Event): void {
    const heap = this.#events;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const above = (at - 1) >>> 1;
      const parent = heap[above];
      if (parent === undefined || isSooner(parent, event)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (let below = 1; below < heap.length; below = 2 * at + 1) {
      let child = heap[below];
      const other = heap[below + 1];
      if (child === undefined) break;
      if (other !== undefined && isSooner(other, child)) {
        child = other;
        below++;
      }
      if (isSooner(last, child)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = last;
  }
}

function isSooner(a: Event, b: Event): boolean {
  return a.at < b.at || a.at === b.at && a.order < b.order;
}

/** Random numbers from a seed: mulberry32, of 32 bits of state, which is plenty for a simulation. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ this.#state >>> 15, 1 | this.#state);
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  }

  /** A number in [from, to). */
  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  /** A whole number from `from` to `to`, both included. */
  integer(from: number, to: number): number {
    return Math.floor(this.between(from, to + 1));
  }

  /** Whether something of this probability happens. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of the list. Throws a `RangeError` for an empty one. */
  pick<T>(list: readonly T[]): T {
    const index = this.integer(0, list.length - 1);
    if (index >= list.length) throw new RangeError("nothing to pick from");
    return list[index] as T;
  }
}

/** A process on a machine: it can die, and it can stand still. What it asked for earlier then does not happen, or later. */
export class Process {
  #alive = true;
  #frozenUntil = 0;
  readonly surroundings: Surroundings;

  /** `wall`: what the clock of the machine shows, in milliseconds since the epoch. */
  constructor(readonly time: VirtualTime, random: Random, wall: () => number) {
    this.surroundings = {
      now: wall,
      elapsed: () => time.elapsed,
      random: () => random.next(),
      after: (ms, run) => time.after(ms, () => this.run(run)),
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** How much longer it stands still, in milliseconds. */
  get frozenMs(): number {
    return Math.max(0, this.#frozenUntil - this.time.elapsed);
  }

  kill(): void {
    this.#alive = false;
  }

  freeze(ms: number): void {
    this.#frozenUntil = Math.max(this.#frozenUntil, this.time.elapsed + ms);
  }

  /** Does `work` in this process: now, when it goes on, or never. */
  run(work: () => void): void {
    if (!this.#alive) return;
    if (this.frozenMs > 0) this.time.after(this.frozenMs, () => this.run(work));
    else work();
  }
}
