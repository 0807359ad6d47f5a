/**
 * Any number of leases over one real lease of each time to live. What is handed out is a share: a key that is put under it
 * stands under the real lease, so it is gone when the process is, and when the share ends, the keys that were put under it
 * and are still as they were put are removed by commits. A share is known only here.
 *
 * The real lease outlives its shares, so what a share leaves behind would stay: a key that could not be removed, or one that
 * a commit made late, after its sender had given up on it. Such remains are removed when they are seen in the mirror.
 */

import { CALL_TIMEOUT_MS } from "./lock.ts";
import type { Mirror } from "./mirror.ts";
import {
  type CallOptions,
  type CommitOutcome,
  type Entry,
  exactly,
  type Expectation,
  type Lease,
  type Query,
  type Store,
  StoreError,
  type Transaction,
  type View,
} from "./store.ts";
import type { Surroundings, Timer } from "./surroundings.ts";

/** The pause before what could not be removed is tried again, in milliseconds; lengthened by up to a half. */
const RETRY_MS = 5_000;
/** How long a commit that nobody knows the outcome of is expected to come, in milliseconds. */
const LATE_MS = 3_600_000;

/** A lease of the store below, and the shares in it. */
interface Real {
  readonly ttlMs: number;
  readonly lease: Lease;
  readonly shares: Set<Share>;
  gone: boolean;
}

/** What a share put under a key: the last that is known to have happened, and a value that nobody knows of. */
interface Put {
  readonly revision: string | null;
  readonly doubtful?: string;
}

/** Part of a real lease. */
interface Share {
  readonly id: string;
  readonly real: Real;
  readonly lost: () => void;
  readonly puts: Map<string, Put>;
  ended: boolean;
}

/** What a share has left behind. */
interface Remains extends Put {
  readonly real: Real;
  readonly sinceMs: number;
}

export class SharedLeases {
  /** By their times to live; those that are being asked for, too. */
  readonly #reals = new Map<number, Promise<Real>>();
  readonly #shares = new Map<string, Share>();
  /** Whose each key is that was put under a share. */
  readonly #owners = new Map<string, Share>();
  /** By key, the oldest first. */
  readonly #remains = new Map<string, Remains>();
  /** Keys that a commit is putting, and by how many. */
  readonly #underWay = new Map<string, number>();
  readonly #timers = new Set<Timer>();
  #retry: Timer | undefined;
  readonly #subscription: { close(): void };
  #count = 0;

  constructor(
    private readonly store: Store,
    private readonly mirror: Mirror,
    private readonly surroundings: Surroundings,
  ) {
    this.#subscription = mirror.subscribe((news) => {
      if (news.kind === "changed" && this.#remains.has(news.key)) this.#clear(news.key);
    });
  }

  /** See {@linkcode Store.lease}. */
  async lease(ttlMs: number, lost: () => void, options: CallOptions): Promise<Lease> {
    const real = await this.#within(this.#real(ttlMs, options), options);
    const share: Share = { id: `share ${++this.#count}`, real, lost, puts: new Map(), ended: false };
    if (real.gone) queueMicrotask(() => share.ended || lost());
    else {
      real.shares.add(share);
      this.#shares.set(share.id, share);
    }
    return {
      id: share.id,
      end: (options) => this.#end(share, options),
      abandon: () => {
        this.#part(share);
        if (share.puts.size === 0) return;
        const timer = this.surroundings.after(ttlMs, () => {
          this.#timers.delete(timer);
          this.#end(share, { timeoutMs: CALL_TIMEOUT_MS });
        });
        this.#timers.add(timer);
      },
    };
  }

  /** See {@linkcode Store.commit}. A put under a share stands under its real lease. */
  async commit(transaction: Transaction, options: CallOptions): Promise<CommitOutcome> {
    const shares = new Map<string, Share>();
    for (const { key, lease } of transaction.put) {
      if (lease === undefined) continue;
      const share = this.#shares.get(lease);
      if (share === undefined) {
        return await this.#refused(transaction.readRefused ?? transaction.read ?? [], options);
      }
      shares.set(key, share);
    }
    const keys = [...transaction.put.map(({ key }) => key), ...transaction.remove ?? []];
    for (const key of keys) this.#underWay.set(key, (this.#underWay.get(key) ?? 0) + 1);
    try {
      const outcome = shares.size === 0
        ? await this.store.commit(transaction, options)
        : await this.#commitUnder(shares, transaction, options);
      this.#note(transaction, shares, outcome);
      return outcome;
    } finally {
      for (const key of keys) {
        const count = (this.#underWay.get(key) ?? 1) - 1;
        if (count > 0) this.#underWay.set(key, count);
        else this.#underWay.delete(key);
        if (this.#remains.has(key)) this.#clear(key);
      }
    }
  }

  /** Ends what runs; the store below lets go of its leases itself. */
  close(): void {
    this.#subscription.close();
    this.#retry?.cancel();
    for (const timer of this.#timers) timer.cancel();
    for (const share of [...this.#shares.values()]) this.#part(share);
    this.#owners.clear();
    this.#remains.clear();
  }

  #real(ttlMs: number, options: CallOptions): Promise<Real> {
    const there = this.#reals.get(ttlMs);
    if (there !== undefined) return there;
    const begin = async (): Promise<Real> => {
      try {
        const lost = Promise.withResolvers<void>();
        const lease = await this.store.lease(ttlMs, lost.resolve, options);
        const real = { ttlMs, lease, shares: new Set<Share>(), gone: false };
        lost.promise.then(() => this.#lose(real));
        return real;
      } catch (error) {
        this.#reals.delete(ttlMs);
        throw error;
      }
    };
    const begun = begin();
    this.#reals.set(ttlMs, begun);
    return begun;
  }

  /** A real lease is gone, or may be: its keys go with it, and whoever asks next gets another. */
  #lose(real: Real): void {
    if (real.gone) return;
    real.gone = true;
    real.lease.abandon();
    this.#reals.delete(real.ttlMs);
    for (const [key, { real: of }] of this.#remains) {
      if (of === real) this.#remains.delete(key);
    }
    for (const share of [...real.shares]) {
      this.#part(share);
      this.#forget(share);
      share.lost();
    }
  }

  /** Nothing is put under a share from now on. */
  #part(share: Share): void {
    share.ended = true;
    share.real.shares.delete(share);
    this.#shares.delete(share.id);
  }

  #forget(share: Share): void {
    for (const key of share.puts.keys()) {
      if (this.#owners.get(key) === share) this.#owners.delete(key);
    }
    share.puts.clear();
  }

  async #end(share: Share, options: CallOptions): Promise<void> {
    this.#part(share);
    const puts = [...share.puts];
    this.#forget(share);
    if (share.real.gone) return;
    for (const [key, put] of puts) this.#leave(key, put, share.real);
    const doubtful = puts.filter(([, { doubtful }]) => doubtful !== undefined).map(([key]) => key);
    let found: readonly (readonly Entry[])[] = [];
    try {
      // the mirror may not have seen yet what was put just now
      const queries = doubtful.map((key) => ({ range: exactly(key) }));
      if (doubtful.length > 0) ({ found } = await this.store.view(queries, options));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#retryLater();
    }
    const known = new Map(found.flat().map((entry) => [entry.key, entry]));
    await Promise.all(puts.map(([key]) => this.#clear(key, options, known.get(key))));
  }

  #leave(key: string, put: Put, real: Real): void {
    const sinceMs = this.surroundings.elapsed();
    for (const [old, remains] of this.#remains) {
      if (sinceMs - remains.sinceMs < LATE_MS) break;
      this.#remains.delete(old);
    }
    this.#remains.delete(key);
    this.#remains.set(key, { ...put, real, sinceMs });
  }

  /** Removes what a share has left under a key, if it is still as it was put, as far as this is known. */
  async #clear(
    key: string,
    options: CallOptions = { timeoutMs: CALL_TIMEOUT_MS },
    entry: Entry | null = this.mirror.entry(key),
  ): Promise<void> {
    const remains = this.#remains.get(key);
    // what is being put may be of a share that lives
    if (remains === undefined || this.#underWay.has(key)) return;
    const owned = this.#owners.get(key)?.puts.get(key);
    if (owned !== undefined && isAsPut(owned, entry)) return;
    const revision = isAsPut(remains, entry) ? entry?.revision : remains.revision;
    if (revision === null || revision === undefined) return;
    try {
      const expect = [{ key, revision }];
      const outcome = await this.store.commit({ expect, put: [], remove: [key] }, options);
      if (outcome.kind === "unknown") return this.#retryLater();
      if (this.#remains.get(key) !== remains) return;
      // a commit in doubt may come yet, or again
      if (remains.doubtful === undefined) this.#remains.delete(key);
      else this.#remains.set(key, { ...remains, revision: null });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#retryLater();
    }
  }

  #retryLater(): void {
    const { surroundings } = this;
    this.#retry ??= surroundings.after(RETRY_MS * (1 + surroundings.random() / 2), () => {
      this.#retry = undefined;
      if (this.mirror.state.kind !== "current") return this.#retryLater();
      for (const key of this.#remains.keys()) this.#clear(key);
    });
  }

  /** Commits what is put under shares. A refusal that no expectation explains is that of a lease that is gone. */
  async #commitUnder(
    shares: ReadonlyMap<string, Share>,
    transaction: Transaction,
    options: CallOptions,
  ): Promise<CommitOutcome> {
    const { expect, put, read = [], readRefused = read } = transaction;
    const outcome = await this.store.commit({
      ...transaction,
      put: put.map((one) => {
        const share = shares.get(one.key);
        return share === undefined ? one : { ...one, lease: share.real.lease.id };
      }),
      read,
      readRefused: [...readRefused, ...expect.map(counterexample)],
    }, options);
    if (outcome.kind !== "refused") return outcome;
    const answers = outcome.found.slice(readRefused.length);
    if (expect.every((one, index) => holds(one, answers[index] ?? []))) {
      for (const { real } of shares.values()) this.#lose(real);
    }
    return { ...outcome, found: outcome.found.slice(0, readRefused.length) };
  }

  /** Keeps whose each key is by now. */
  #note({ put, remove = [] }: Transaction, shares: ReadonlyMap<string, Share>, outcome: CommitOutcome): void {
    if (outcome.kind === "refused") return;
    const revision = outcome.kind === "committed" ? outcome.revision : null;
    if (revision !== null) {
      for (const key of [...put.map(({ key }) => key), ...remove]) {
        this.#owners.get(key)?.puts.delete(key);
        this.#owners.delete(key);
      }
    }
    for (const { key, value } of put) {
      const share = shares.get(key);
      if (share === undefined || share.real.gone) continue;
      const made = revision === null
        ? { revision: share.puts.get(key)?.revision ?? null, doubtful: value }
        : { revision };
      if (share.ended) this.#leave(key, made, share.real);
      else {
        share.puts.set(key, made);
        this.#owners.set(key, share);
      }
    }
  }

  /** The answer to a commit under a share that has ended: nothing happened. */
  async #refused(queries: readonly Query[], options: CallOptions): Promise<CommitOutcome> {
    try {
      const view: View = await this.store.view(queries, options);
      return { kind: "refused", ...view };
    } catch (error) {
      if (error instanceof StoreError) return { kind: "unknown", cause: error };
      throw error;
    }
  }

  /** What `work` comes to, by a deadline that others who wait for it may not have. */
  async #within<T>(work: Promise<T>, { timeoutMs }: CallOptions): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = this.surroundings.after(timeoutMs, () => {
      const message = `cannot begin a lease in ${this.store.name}: no answer within ${timeoutMs} ms`;
      late.reject(new StoreError("timeout", message));
    });
    try {
      return await Promise.race([work, late.promise]);
    } finally {
      timer.cancel();
    }
  }
}

/** Whether an entry is what was put, as far as anybody knows. */
function isAsPut({ revision, doubtful }: Put, entry: Entry | null): boolean {
  return entry !== null && (entry.revision === revision || entry.value === doubtful);
}

/** What finds something where an expectation of a range does not hold, and the entry that one of a key speaks of. */
function counterexample(expectation: Expectation): Query {
  if (!("range" in expectation)) return { range: exactly(expectation.key) };
  const { range, noneCreatedBefore } = expectation;
  return { range, limit: 1, ...noneCreatedBefore === null ? {} : { createdBefore: noneCreatedBefore } };
}

function holds(expectation: Expectation, [found]: readonly Entry[]): boolean {
  return "range" in expectation ? found === undefined : (found?.revision ?? null) === expectation.revision;
}
