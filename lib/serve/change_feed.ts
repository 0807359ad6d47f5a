/**
 * Server-sent events that come from a watch, until the connection is gone. A reader that is too slow loses what lay
 * between, and is told so; one that there is nothing to tell hears a comment now and then, so that both sides know that
 * the connection lives.
 */

import type { Change } from "../store.ts";
import { encodeChange, HEARTBEAT_MS } from "../store_wire.ts";

/** How many events may wait for a slow reader. */
const WAITING_LIMIT = 1_000;

export class ChangeFeed implements AsyncIterableIterator<string, undefined, undefined> {
  /** The first says that the watch was taken: headers alone are held back by some proxies. */
  #waiting: string[] = [": watching\n\n"];
  #wake: (() => void) | undefined;
  #open = true;
  readonly #heart = setInterval(() => {
    if (this.#waiting.length === 0) this.#add(":\n\n");
  }, HEARTBEAT_MS);

  /** `ended` is called once, when nobody reads any more or {@linkcode close} was called. */
  constructor(private readonly ended: () => void) {}

  tell(change: Change): void {
    if (this.#waiting.length < WAITING_LIMIT) return this.#add(encodeChange(change));
    this.#waiting = [];
    this.#add(encodeChange({ kind: "missed" }));
  }

  async next(): Promise<IteratorResult<string, undefined>> {
    while (this.#open && this.#waiting.length === 0) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (!this.#open) return { done: true, value: undefined };
    const value = this.#waiting.join("");
    this.#waiting = [];
    return { done: false, value };
  }

  return(): Promise<IteratorResult<string, undefined>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    clearInterval(this.#heart);
    this.#wake?.();
    this.ended();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #add(text: string): void {
    if (!this.#open) return;
    this.#waiting.push(text);
    this.#wake?.();
  }
}
