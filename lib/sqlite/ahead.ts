/**
 * The embedded store for a server: what it commits is answered while it does not last yet, and many commits share one
 * sync. See {@linkcode AheadStore} for what its user owes.
 */

import type { Added, Batch } from "./batch.ts";
import type {
  AheadStore,
  CallOptions,
  Change,
  CommitOutcome,
  Entry,
  History,
  KeyRange,
  Lease,
  Query,
  Store,
  StoreError,
  Transaction,
  View,
  Watch,
} from "../store.ts";

/** What writes. */
export interface Pen {
  /** Throws {@linkcode StoreError}, and then nothing has happened. */
  commit(
    transaction: Transaction,
    options: CallOptions,
    lost: (error: unknown) => void,
  ): Promise<Added<CommitOutcome>>;
  explain(error: unknown): StoreError;
}

export class SqliteAhead implements AheadStore {
  /** What was lost, and why. */
  #fault: StoreError | undefined;

  constructor(
    private readonly store: Store,
    private readonly batch: Batch,
    private readonly pen: Pen,
    private readonly lost: (error: StoreError) => void,
  ) {}

  get name(): string {
    return this.store.name;
  }

  read(key: string, options: CallOptions): Promise<Entry | null> {
    return this.#afterAll(() => this.store.read(key, options));
  }

  list(prefix: string, options: CallOptions): Promise<Entry[]> {
    return this.#afterAll(() => this.store.list(prefix, options));
  }

  view(queries: readonly Query[], options: CallOptions): Promise<View> {
    return this.#afterAll(() => this.store.view(queries, options));
  }

  history(key: string, options: CallOptions): Promise<History> {
    return this.#afterAll(() => this.store.history(key, options));
  }

  lease(ttlMs: number, lost: () => void, options: CallOptions): Promise<Lease> {
    return this.#afterAll(() => this.store.lease(ttlMs, lost, options));
  }

  async commit(transaction: Transaction, options: CallOptions): Promise<CommitOutcome> {
    this.#requireSound();
    const { result } = await this.pen.commit(transaction, options, (error) => this.#lose(error));
    this.#requireSound();
    return result;
  }

  watch(range: KeyRange, listener: (change: Change) => void, after?: string): Watch {
    return this.store.watch(range, listener, after);
  }

  async lasting(): Promise<void> {
    this.#requireSound();
    await this.batch.lasting?.catch(() => {});
    this.#requireSound();
  }

  close(): Promise<void> {
    return this.store.close();
  }

  /** A look sees what was committed here: all of it has to last before. */
  async #afterAll<T>(ask: () => Promise<T>): Promise<T> {
    this.batch.end();
    this.#requireSound();
    return await ask();
  }

  #lose(error: unknown): void {
    if (this.#fault !== undefined) return;
    this.#fault = this.pen.explain(error);
    this.lost(this.#fault);
  }

  #requireSound(): void {
    if (this.#fault !== undefined) throw this.#fault;
  }
}
