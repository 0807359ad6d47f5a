/**
 * What locksmith asks of a place that keeps semaphores and queues.
 *
 * A store promises four things: a read is linearizable (it sees every commit that was answered before the read
 * began), a commit is atomic (all of its expectations hold and all of its writes happen, or nothing happens), revisions
 * grow from commit to commit, and every call ends by its deadline. What it cannot promise is to know how each commit
 * ended: a reply can be lost, and then the outcome is `unknown`, which callers must neither take for success nor for
 * refusal. Such a commit may even happen after the caller gave up on it.
 *
 * A key may stand under a lease, and is then gone when the lease is: by its end, or because nobody kept it alive.
 *
 * A watch is a hint and no more. Events may come late, twice or never; who acts on one lets a commit prove what it says,
 * or reads first.
 */

/** A value as it was read. Revisions are decimal numbers in text, larger the later; compare by {@linkcode isBefore}. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** Of the last commit that wrote the key; goes back to the store in an {@linkcode Expectation}. */
  readonly revision: string;
  /** Of the commit that made the key. Writing over it keeps this; making it again after its removal does not. */
  readonly created: string;
}

/** Whether revision `a` is of an earlier commit than revision `b`. */
export function isBefore(a: string, b: string): boolean {
  return a.length === b.length ? a < b : a.length < b.length;
}

/** Keys from `from` on, up to and without `to`, in the order of their UTF-8 bytes. */
export interface KeyRange {
  readonly from: string;
  readonly to: string;
}

/** The range of one key. */
export function exactly(key: string): KeyRange {
  return { from: key, to: `${key}\0` };
}

/** Whether a range is that of one key. */
export function isOneKey({ from, to }: KeyRange): boolean {
  return to === `${from}\0`;
}

/** What must be true for a commit to happen. */
export type Expectation =
  /** The key still has this revision; `null`: it does not exist. */
  | { readonly key: string; readonly revision: string | null }
  /** No key of the range was created by an earlier commit than this; `null`: no key of the range exists. */
  | { readonly range: KeyRange; readonly noneCreatedBefore: string | null };

/** Which entries of a range are wanted. */
export interface Query {
  readonly range: KeyRange;
  /** Only those that were created by an earlier commit than this. */
  readonly createdBefore?: string;
  /** By what they are ordered; default: `key`. */
  readonly order?: "key" | "created";
  /** The last first. */
  readonly descending?: boolean;
  /** So many at most; default: all. */
  readonly limit?: number;
}

/** What was found at one moment: the entries of each query, in the order of the queries. */
export interface View {
  /** The last commit that this moment saw. A watch from here on misses nothing. */
  readonly revision: string;
  readonly found: readonly (readonly Entry[])[];
}

/** Expectations, the writes that happen together if every one of them holds, and what is read in the same moment. */
export interface Transaction {
  readonly expect: readonly Expectation[];
  readonly put: readonly {
    readonly key: string;
    readonly value: string;
    /** The lease that the key stands under from now on; without one it stands by itself. */
    readonly lease?: string;
  }[];
  /** Keys that shall be gone; one that is not there is no fault. No key is both put and removed. */
  readonly remove?: readonly string[];
  /** Answered after the writes, or where the commit is refused, instead of them. */
  readonly read?: readonly Query[];
  /** Answered in place of `read` where the commit is refused. */
  readonly readRefused?: readonly Query[];
}

/**
 * How a commit ended. `unknown`: it may have happened, may still happen, or may never happen; `cause` says why nobody
 * can tell. Only a read can.
 */
export type CommitOutcome =
  | { readonly kind: "committed" } & View
  | { readonly kind: "refused" } & View
  | { readonly kind: "unknown"; readonly cause: StoreError };

/** Why a store could not do what was asked. */
export type StoreErrorKind =
  /** Nobody answers, or the connection broke. */
  | "unreachable"
  /** Something is there and did not answer in time. */
  | "timeout"
  /** The connection cannot be trusted, or the other side does not trust ours. */
  | "tls"
  /** User or password are wrong or missing. */
  | "authentication"
  /** The user may not do this. */
  | "permission"
  /** Anything else that the store itself reports. */
  | "failed";

/**
 * A store could not do what was asked. The message names the store (its endpoints or its file), what could not be
 * done, and why; `hint` says what to do about it where that is known.
 */
export class StoreError extends Error {
  override readonly name = "StoreError";
  constructor(
    readonly kind: StoreErrorKind,
    message: string,
    readonly hint?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** How long a call may take. Every call to a store has this. */
export interface CallOptions {
  /** Milliseconds from the call until it has to have ended, with a {@linkcode StoreError} if need be. */
  readonly timeoutMs: number;
}

/** A running watch. */
export interface Watch {
  /** Ends the watch; no call of its listener comes after this returned. Ending twice is fine. */
  close(): void;
}

/** What a watch tells. */
export type Change =
  /** The key was written or removed (`entry: null`) by the commit `revision`, or its lease is gone since. */
  | {
    readonly kind: "changed";
    readonly key: string;
    readonly entry: Entry | null;
    readonly revision: string;
  }
  /** Something may have been missed: only a read tells. */
  | { readonly kind: "missed" }
  /** The store will not tell of these keys, such as for want of a permission; it is asked again after minutes. */
  | { readonly kind: "refused"; readonly error: StoreError };

/** A lease, kept alive by its store until it is ended, abandoned or lost. */
export interface Lease {
  /** For {@linkcode Transaction.put} of the store that it came from. */
  readonly id: string;
  /** Ends it now, and every key that stands under it with it. Best effort: what cannot be reached expires by itself. */
  end(options: CallOptions): Promise<void>;
  /** Keeps it alive no longer, without a call to the store: for a lease that no key stands under any more. */
  abandon(): void;
}

/** One change in the history of a key; `entry: null` where it was removed. */
export interface PastChange {
  readonly revision: string;
  readonly entry: Entry | null;
}

/** What a store still knows of the past of a key. */
export interface History {
  /** The oldest first. */
  readonly changes: readonly PastChange[];
  /** Whether the first of them is the first there was; else older ones were dropped, or left out. */
  readonly complete: boolean;
  /** There where older ones were left out, as was asked; the store may still have them. */
  readonly leftOut?: true;
}

/** How much of the past is wanted. */
export interface HistoryOptions extends CallOptions {
  /** So many of the newest changes will do, at least one: older ones may be left out. Default: all. */
  readonly last?: number;
}

export interface Store {
  /** For messages: the endpoints or the file, without any secret. */
  readonly name: string;

  /** The value of `key` now, or `null` when there is none. Throws {@linkcode StoreError}. */
  read(key: string, options: CallOptions): Promise<Entry | null>;

  /** Every entry whose key begins with `prefix`, ordered by key. Throws {@linkcode StoreError}. */
  list(prefix: string, options: CallOptions): Promise<Entry[]>;

  /** The answers to several queries at one moment, in one call. Throws {@linkcode StoreError}. */
  view(queries: readonly Query[], options: CallOptions): Promise<View>;

  /**
   * Throws {@linkcode StoreError} only when it is certain that nothing happened: the store said that it will not do it, or
   * was never asked. What gets lost between here and the store is the outcome `unknown`. A put under a lease that is gone
   * is `refused`.
   */
  commit(transaction: Transaction, options: CallOptions): Promise<CommitOutcome>;

  /**
   * A new lease that lives `ttlMs` (whole seconds count in most stores, never less than asked) beyond the last sign of
   * life of this process. `lost` is called once if it is gone without having been ended or abandoned, or may be. Throws
   * {@linkcode StoreError}.
   */
  lease(ttlMs: number, lost: () => void, options: CallOptions): Promise<Lease>;

  /**
   * Calls `listener` some time after the value of a key of `range` changed, with what it is now or was in between, in
   * the order of the commits, and with `missed` whenever a change may have been missed. With `after` it tells of what
   * came behind that commit, or says `missed` when it begins later; without, it begins some time soon, and says `missed`
   * when it has. The store reconnects by itself until the watch is closed, and says `missed` when it has; it never throws
   * for a store that is away.
   */
  watch(range: KeyRange, listener: (change: Change) => void, after?: string): Watch;

  /** What is still known of the past of `key`. Throws {@linkcode StoreError}. */
  history(key: string, options: HistoryOptions): Promise<History>;

  /**
   * The same store for a process that decides much in a short time: see {@linkcode AheadStore}. `lost` is called once, before
   * anything else happens, where something was answered that will not last. Absent: whatever is committed lasts already.
   */
  ahead?(lost: (error: StoreError) => void): AheadStore;

  /** Ends every watch, every lease's keeping alive and every connection. The store cannot be used afterwards. */
  close(): Promise<void>;
}

/**
 * A store that answers a commit before it lasts, so that the next one can build on it, and both share one sync. Until
 * {@linkcode lasting} says so, nobody outside of this process may be told of it.
 *
 * What does not last, as for want of room on the disk, never was: with it goes everything that this object has said
 * since, and it refuses every further call. Its user forgets all that it heard of it, and asks for another.
 */
export interface AheadStore extends Store {
  /** Resolves once everything that was answered so far lasts. Throws {@linkcode StoreError} where it does not. */
  lasting(): Promise<void>;
}
