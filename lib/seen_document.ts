/**
 * The newest document of a group that a server has seen, be it in its mirror or as the answer to a commit of its own.
 */

import { type Lock, LockError } from "./lock.ts";
import type { Mirror } from "./mirror.ts";
import type { Semaphore } from "./semaphore.ts";
import { type Entry, isBefore } from "./store.ts";

export class SeenDocument {
  #entry: Entry | null = null;
  #at = "0";
  #semaphore: Semaphore | LockError;

  /** `changed` hears of each new sound document after another, with the commit that made it. */
  constructor(
    private readonly key: string,
    private readonly group: string,
    private readonly lock: Lock,
    private readonly mirror: Mirror,
    private readonly changed: (before: Semaphore, after: Semaphore, at: string) => void = () => {},
  ) {
    this.#semaphore = this.#parse(null);
    this.refresh();
  }

  get entry(): Entry | null {
    return this.#entry;
  }

  /** The document, or why it cannot be read. */
  get semaphore(): Semaphore | LockError {
    return this.#semaphore;
  }

  /** Takes what the mirror has. */
  refresh(): void {
    this.apply(this.mirror.entry(this.key), this.mirror.revision);
  }

  /** The key has this entry, or none, at the commit `at`. */
  apply(entry: Entry | null, at: string): void {
    if (isBefore(at, this.#at)) return;
    this.#at = at;
    if (entry?.revision === this.#entry?.revision) return;
    const before = this.#semaphore;
    this.#entry = entry;
    this.#semaphore = this.#parse(entry);
    if (before instanceof LockError || this.#semaphore instanceof LockError) return;
    this.changed(before, this.#semaphore, entry?.revision ?? at);
  }

  /** Somebody read this entry, nobody knows when exactly. */
  found(entry: Entry | null): void {
    if (entry !== null) this.apply(entry, entry.revision);
  }

  #parse(entry: Entry | null): Semaphore | LockError {
    try {
      return this.lock.parse(entry, this.group);
    } catch (error) {
      if (error instanceof LockError) return error;
      throw error;
    }
  }
}
