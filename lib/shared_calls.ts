/**
 * So many calls of one process are with a store at the same time, and no more: when thousands have a reason to ask at one
 * moment, the store answers as many as it can, instead of all too late. The others wait for their turn, and who would have
 * no time left for an answer is told so without having asked.
 */

import { type CallOptions, type Store, StoreError } from "./store.ts";
import type { Surroundings } from "./surroundings.ts";

/** How many calls are with the store at the same time. */
const TOGETHER_MOST = 32;
/** The part of its time that a call waits for its turn. */
const WAIT_PART = 0.5;

/** A store that passes reads and commits on to `store`, {@linkcode TOGETHER_MOST} at a time. */
export function limitCalls(store: Store, surroundings: Surroundings): Store {
  const gate = new Gate(store.name, surroundings);
  return {
    name: store.name,
    read: (key, options) => gate.pass(options, (options) => store.read(key, options)),
    list: (prefix, options) => gate.pass(options, (options) => store.list(prefix, options)),
    view: (queries, options) => gate.pass(options, (options) => store.view(queries, options)),
    history: (key, options) => gate.pass(options, (options) => store.history(key, options)),
    commit: (transaction, options) => gate.pass(options, (options) => store.commit(transaction, options)),
    lease: (ttlMs, lost, options) => store.lease(ttlMs, lost, options),
    watch: (range, listener, after) => store.watch(range, listener, after),
    close: () => store.close(),
  };
}

class Gate {
  #inside = 0;
  /** Who waits, the first first. */
  readonly #waiting = new Set<() => void>();

  constructor(private readonly name: string, private readonly surroundings: Surroundings) {}

  async pass<T>({ timeoutMs }: CallOptions, call: (options: CallOptions) => Promise<T>): Promise<T> {
    const beganMs = this.surroundings.elapsed();
    if (this.#inside < TOGETHER_MOST) this.#inside++;
    else await this.#turn(timeoutMs * WAIT_PART);
    try {
      return await call({ timeoutMs: timeoutMs - (this.surroundings.elapsed() - beganMs) });
    } finally {
      const [next] = this.#waiting;
      if (next === undefined) this.#inside--;
      else next();
    }
  }

  #turn(mostMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = () => {
        this.#waiting.delete(enter);
        timer.cancel();
        resolve();
      };
      const timer = this.surroundings.after(mostMs, () => {
        this.#waiting.delete(enter);
        const message = `cannot ask ${this.name}: it has not answered earlier calls for ${mostMs} ms`;
        reject(new StoreError("timeout", message));
      });
      this.#waiting.add(enter);
    });
  }
}
