/**
 * A copy of what a store has, kept up to date by one watch over all of it: for everything that only looks, however many
 * look. A hint like every watch; whoever acts on it lets a commit prove what it said.
 */

import type { Entry, KeyRange, StoreError } from "./store.ts";

/** How far the copy is to be believed. */
export type MirrorState =
  /** There is no copy yet. */
  | { readonly kind: "empty"; readonly error?: StoreError }
  /** As new as the watch is quick. */
  | { readonly kind: "current" }
  /** The store is away since `since`, in milliseconds since the epoch: what is shown is what there was then. */
  | { readonly kind: "behind"; readonly since: number; readonly error: StoreError };

/** What a subscriber hears. */
export type MirrorNews =
  /** One key was written, or removed (`entry: null`). */
  | {
    readonly kind: "changed";
    readonly key: string;
    readonly entry: Entry | null;
    readonly before: Entry | null;
  }
  /** The whole was read anew: anything may be different. */
  | { readonly kind: "reread" }
  /** {@linkcode MirrorState} is another. */
  | { readonly kind: "state" };

export interface Mirror {
  readonly state: MirrorState;
  /** The newest commit that the copy has seen. */
  readonly revision: string;
  entry(key: string): Entry | null;
  /** The entries of a range, in the order of their keys. */
  entries(range: KeyRange): readonly Entry[];
  /** Calls `listener` after each change of the copy, until it is closed. */
  subscribe(listener: (news: MirrorNews) => void): { close(): void };
  /** Resolves when there is a copy for the first time; aborts with `signal`. */
  ready(signal?: AbortSignal): Promise<void>;
  close(): void;
}
