/**
 * A group as it is now, for whoever keeps showing it: read from a copy that the store's watch keeps, with the last reboots
 * where somebody wants an estimate. While the store is away it is what it was.
 */

import { EVERYTHING } from "../group.ts";
import { readingOf } from "../groups.ts";
import { LockError } from "../lock.ts";
import { type MirrorState, StoreMirror } from "../mirror.ts";
import { RecentPast } from "../recent_past.ts";
import { overdueAfterMs } from "../overdue.ts";
import { FRESH, overdueHolders } from "../semaphore.ts";
import type { Seen } from "../status.ts";
import type { Store } from "../store.ts";
import type { Surroundings, Timer } from "../surroundings.ts";

/** Changes that come closer together than this are told once, in milliseconds. */
const TOGETHER_MS = 50;

/** What is to be shown. */
export interface LiveGroupOptions {
  readonly store: Store;
  readonly group: string;
  readonly surroundings: Surroundings;
  /** From how long on a reboot is overdue, in milliseconds. */
  readonly overdueMs: number;
  /** Whether the last reboots are wanted. */
  readonly past: boolean;
}

export class LiveGroup implements Disposable {
  readonly #mirror: StoreMirror;
  readonly #past: RecentPast | undefined;
  #timer: Timer | undefined;
  #seen: Omit<Seen, "overdue"> | LockError | undefined;

  /** Calls `changed` soon after each change. */
  constructor(private readonly options: LiveGroupOptions, private readonly changed: () => void) {
    const { store, group, surroundings, past } = options;
    this.#mirror = new StoreMirror(store, EVERYTHING, surroundings);
    this.#mirror.subscribe(() => this.#hear());
    if (!past) return;
    this.#past = new RecentPast(store, this.#mirror, surroundings);
    this.#past.load(group).then(() => this.#hear());
  }

  /** How far the copy is to be believed. */
  get state(): MirrorState {
    return this.#mirror.state;
  }

  /** How long the last reboots took, in milliseconds; none while they are not known. */
  get rebootsMs(): readonly number[] {
    return this.#past?.day(this.options.group)?.rebootsMs ?? [];
  }

  /** What there is; an error where the document is corrupt, `undefined` before the first copy. */
  seen(): Seen | LockError | undefined {
    if (this.#mirror.revision === "0") return undefined;
    const seen = this.#seen ??= this.#read();
    if (seen instanceof LockError) return seen;
    const { surroundings, overdueMs } = this.options;
    const afterMs = overdueAfterMs(this.rebootsMs, overdueMs);
    return { ...seen, overdue: overdueHolders(seen.semaphore, surroundings.now(), afterMs) };
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
    this.#past?.close();
    this.#mirror.close();
  }

  #read(): Omit<Seen, "overdue"> | LockError {
    const { groups, all } = readingOf(this.#mirror.entries(EVERYTHING), this.options.store);
    if (all instanceof LockError) return all;
    const found = groups.find(({ group }) => group === this.options.group);
    const { semaphore = FRESH, queue = [] } = found ?? {};
    return semaphore instanceof LockError
      ? semaphore
      : { semaphore, all, queue, stored: found !== undefined };
  }

  #hear(): void {
    this.#seen = undefined;
    this.#timer ??= this.options.surroundings.after(TOGETHER_MS, () => {
      this.#timer = undefined;
      this.changed();
    });
  }
}
