/**
 * What locksmith asks of a place that keeps the semaphores.
 *
 * A store promises three things: a read is linearizable (it sees every commit that was answered before the read
 * began), a commit is atomic (all of its expectations hold and all of its writes happen, or nothing happens), and
 * every call ends by its deadline. What it cannot promise is to know how each commit ended: a reply can be lost, and
 * then the outcome is `unknown`, which callers must neither take for success nor for refusal.
 *
 * A watch is a hint and no more. Events may come late, twice or never; who acts on one reads first.
 */

/** A value as it was read, and the revision to expect in a commit that builds on it. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** Opaque: comes from the store, goes back to it in {@linkcode Expectation}. */
  readonly revision: string;
}

/** What must still be true of a key for a commit to happen; `revision: null` says that the key must not exist. */
export interface Expectation {
  readonly key: string;
  readonly revision: string | null;
}

/** Expectations and the writes that happen together if every one of them holds. */
export interface Transaction {
  readonly expect: readonly Expectation[];
  readonly put: readonly { readonly key: string; readonly value: string }[];
}

/**
 * How a commit ended. `unknown`: it may have happened, may still happen, or may never happen; `cause` says why nobody
 * can tell. Only a read can.
 */
export type CommitOutcome =
  | { readonly kind: "committed"; readonly revision: string }
  | { readonly kind: "refused" }
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

export interface Store {
  /** For messages: the endpoints or the file, without any secret. */
  readonly name: string;

  /** The value of `key` now, or `null` when there is none. Throws {@linkcode StoreError}. */
  read(key: string, options: CallOptions): Promise<Entry | null>;

  /** Every entry whose key begins with `prefix`, ordered by key. Throws {@linkcode StoreError}. */
  list(prefix: string, options: CallOptions): Promise<Entry[]>;

  /**
   * Throws {@linkcode StoreError} only when the store said that it will not do it (kinds `authentication` and
   * `permission`): then nothing happened. What happens between here and the store is the outcome `unknown`.
   */
  commit(transaction: Transaction, options: CallOptions): Promise<CommitOutcome>;

  /**
   * Calls `changed` some time after the value of `key` changed, and whenever a change may have been missed. The
   * store reconnects by itself until the watch is closed; it never throws for a store that is away.
   */
  watch(key: string, changed: () => void): Watch;

  /** Ends every watch and connection. The store cannot be used afterwards. */
  close(): Promise<void>;
}
