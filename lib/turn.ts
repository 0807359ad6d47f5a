/**
 * Turns among those who change the same document: in a crowd, where each would only take the swap away from the others, one
 * tries when the one before it is done.
 *
 * A turn is a key under a short lease, and each waits for the end of the key that was made just before its own. It is advice
 * and no more: the swap alone decides. Who gets no turn tries without one; the turn of who died ends with its lease; who
 * has waited too long, or cannot tell any more, tries all the same.
 */

import { escapeQuery, turnRange } from "./group.ts";
import { type Entry, exactly, isBefore, type Lease, type Store, StoreError } from "./store.ts";
import type { Surroundings } from "./surroundings.ts";

/** How long a turn outlives the last sign of life of its machine, in milliseconds. */
const TTL_MS = 5_000;
/** How long its turn is waited for at most, in milliseconds. */
const WAIT_MS = 10_000;
/** How long a call may take, in milliseconds. */
const CALL_MS = 2_000;

/** A turn as the store has it. */
interface Standing {
  readonly key: string;
  readonly lease: Lease;
  /** Of the commit that made it. */
  readonly revision: string;
  /** The one before it. */
  readonly before: Entry | undefined;
}

export class Turn {
  private constructor(private readonly standing: Standing, private readonly store: Store) {}

  /** A turn of `machine` after all who asked before; `undefined` where there is none to be had within `timeoutMs`. */
  static async take(
    store: Store,
    group: string,
    machine: string,
    timeoutMs: number,
  ): Promise<Turn | undefined> {
    const range = turnRange(group);
    const key = `${range.from}${escapeQuery(machine)}`;
    const options = { timeoutMs: Math.max(1, Math.min(CALL_MS, timeoutMs)) };
    let lease: Lease | undefined;
    try {
      // one that is lost is not made anew: those behind may come a little early then
      lease = await store.lease(TTL_MS, () => {}, options);
      const outcome = await store.commit({
        // another process of the machine may have one
        expect: [{ key, revision: null }],
        put: [{ key, value: "", lease: lease.id }],
        read: [{ range, order: "created", descending: true, limit: 2 }],
        readRefused: [],
      }, options);
      if (outcome.kind === "committed") {
        const { revision, found: [newest = []] } = outcome;
        const before = newest.find(({ created }) => isBefore(created, revision));
        return new Turn({ key, lease, revision, before }, store);
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
    lease?.abandon();
    return undefined;
  }

  /** Goes with the swap. */
  get key(): string {
    return this.standing.key;
  }

  /** Resolves when the one before is done, to whether there was one; after a while, or where nobody can tell, all the same. */
  async come(surroundings: Surroundings, mostMs: number): Promise<boolean> {
    const { before, revision } = this.standing;
    if (before === undefined) return false;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = surroundings.after(Math.min(WAIT_MS, mostMs), resolve);
    const watch = this.store.watch(exactly(before.key), (change) => {
      if (change.kind === "missed") this.#isGone(before).then((gone) => gone && resolve());
      else resolve();
    }, revision);
    await promise;
    watch.close();
    timer.cancel();
    return true;
  }

  /** It was removed with the swap. */
  done(): void {
    this.standing.lease.abandon();
  }

  /** Lets the next one try. */
  async giveUp(): Promise<void> {
    await this.standing.lease.end({ timeoutMs: CALL_MS });
  }

  async #isGone({ key, created }: Entry): Promise<boolean> {
    try {
      return (await this.store.read(key, { timeoutMs: CALL_MS }))?.created !== created;
    } catch (error) {
      if (error instanceof StoreError) return true;
      throw error;
    }
  }
}
