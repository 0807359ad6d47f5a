/** What the tests of the contract of a store have in common: commits of one key, and watches that can be waited for. */

import { assert } from "@std/assert";
import {
  type Change,
  type CommitOutcome,
  exactly,
  type KeyRange,
  type Store,
  type Watch,
} from "../../lib/store.ts";

export const CALL = { timeoutMs: 10_000 };
/** How long a change may take until a watch tells of it. A failing test waits this long, a passing one does not. */
const WATCH_MS = 30_000;

/** Registers one test: the promise that it holds the store to, and what it does with two handles of one place. */
export type ContractTest = (promise: string, run: (first: Store, second: Store) => Promise<void>) => void;

/** One swap of one key. */
export function put(
  store: Store,
  key: string,
  value: string,
  expected: string | null,
): Promise<CommitOutcome> {
  return store.commit({ expect: [{ key, revision: expected }], put: [{ key, value }] }, CALL);
}

/** Makes a key that may stand under a lease, and returns the revision. */
export async function make(store: Store, key: string, value: string, lease?: string): Promise<string> {
  const written = { key, value, ...lease === undefined ? {} : { lease } };
  return revision(await store.commit({ expect: [{ key, revision: null }], put: [written] }, CALL));
}

/** Removes keys, and returns the revision. */
export async function remove(store: Store, ...keys: string[]): Promise<string> {
  return revision(await store.commit({ expect: [], put: [], remove: keys }, CALL));
}

export function revision(outcome: CommitOutcome): string {
  assert(outcome.kind === "committed", `expected a commit, and it was ${outcome.kind}`);
  return outcome.revision;
}

/** The keys that begin with this. */
export function below(prefix: string): KeyRange {
  return { from: prefix, to: `${prefix}\uffff` };
}

/** A watch, and what it told. */
export interface Watching extends AsyncDisposable {
  readonly watch: Watch;
  /** What it told so far. */
  readonly told: readonly Change[];
  /** The next thing that it tells, or an end with a failure when none came in time. */
  next(): Promise<Change>;
  /** The next change, passing over what may have been missed. */
  changed(): Promise<Change & { kind: "changed" }>;
  /** Waits until it says that the key is gone. */
  gone(): Promise<void>;
}

/** Watches a key, or the keys of a range. */
export function watching(store: Store, watched: string | KeyRange, after?: string): Watching {
  const range = typeof watched === "string" ? exactly(watched) : watched;
  const told: Change[] = [];
  let seen = 0;
  let wake = () => {};
  const watch = store.watch(range, (change) => {
    told.push(change);
    wake();
  }, after);
  const next = async (): Promise<Change> => {
    if (seen === told.length) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => timer = setTimeout(resolve, WATCH_MS));
      await Promise.race([late, new Promise<void>((resolve) => wake = resolve)]);
      clearTimeout(timer);
    }
    const change = told[seen++];
    assert(change !== undefined, `the watch of ${range.from} did not tell of the change`);
    return change;
  };
  const changed = async () => {
    for (;;) {
      const change = await next();
      if (change.kind === "changed") return change;
    }
  };
  return {
    watch,
    told,
    next,
    changed,
    async gone() {
      while ((await changed()).entry !== null);
    },
    [Symbol.asyncDispose]() {
      watch.close();
      return Promise.resolve();
    },
  };
}

/** Makes a change, and reads whenever the watch calls, as its users do, until the change is seen. */
export async function until(
  watch: Watching,
  seen: () => Promise<boolean>,
  change: () => Promise<unknown>,
): Promise<void> {
  await change();
  do await watch.next(); while (!await seen());
}

/** A value after which something is to happen, or a failure when it did not in time. */
export function signal(what: string): { readonly give: () => void; readonly given: Promise<void> } {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error(`${what} did not happen`)), 2 * WATCH_MS);
  return { give: resolve, given: promise.finally(() => clearTimeout(timer)) };
}
