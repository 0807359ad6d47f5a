/**
 * The end of a group that nobody uses any more: its document is removed, if nobody holds a slot and nobody waits.
 *
 * Both are part of the transaction that removes it, so a machine that asks for a slot at the same moment either comes
 * first, and the group stays, or comes later and finds a fresh one.
 */

import { groupFlag } from "./group.ts";
import { CALL_TIMEOUT_MS, CONTENTION_LIMIT_MS, type Lock, LockError, TOTAL_TIMEOUT_MS } from "./lock.ts";
import { awayRange, type Place, queueRange, readQueue } from "./queue.ts";
import type { Semaphore } from "./semaphore.ts";
import { type Entry, exactly, StoreError, type View } from "./store.ts";
import { sleep } from "./surroundings.ts";

/** What became of a group. Only `removed` changed anything. */
export type Removal =
  /** What its document said. */
  | { readonly kind: "removed"; readonly semaphore: Semaphore }
  | { readonly kind: "not-stored" }
  | { readonly kind: "held"; readonly semaphore: Semaphore }
  | { readonly kind: "waited-for"; readonly queue: readonly Place[] };

const PAUSE_MS = 100;

/**
 * Removes the document of the lock's group. Throws {@linkcode StoreError}; {@linkcode LockError}, of kind `unknown` where
 * nobody can tell whether it happened, of kind `document` where nobody can tell who holds a slot.
 */
export async function removeGroup(lock: Lock): Promise<Removal> {
  const { store, surroundings } = lock;
  const lines = [queueRange(lock.group), awayRange(lock.group)];
  const queries = [{ range: exactly(lock.key) }, ...lines.map((range) => ({ range }))];
  const beganMs = surroundings.elapsed();
  /** What was to be removed by a try whose outcome nobody knows. */
  let doubt: { readonly entry: Entry; readonly cause: StoreError; readonly sinceMs: number } | undefined;
  let brought: View | undefined;
  const isTimeLeft = () =>
    surroundings.elapsed() <
      (doubt === undefined ? beganMs + CONTENTION_LIMIT_MS : doubt.sinceMs + TOTAL_TIMEOUT_MS);
  for (; isTimeLeft(); await sleep(surroundings, PAUSE_MS)) {
    try {
      const view: View = brought ?? await store.view(queries, { timeoutMs: CALL_TIMEOUT_MS });
      brought = undefined;
      const [[entry] = [], ...waiting] = view.found;
      const places = waiting.flat();
      if (doubt !== undefined && entry?.created !== doubt.entry.created) {
        return { kind: "removed", semaphore: lock.parse(doubt.entry) };
      }
      if (places.length > 0) return { kind: "waited-for", queue: readQueue(lock.group, places) };
      if (entry === undefined) return { kind: "not-stored" };
      const semaphore = lock.parse(entry);
      if (semaphore.holders.length > 0) return { kind: "held", semaphore };
      const outcome = await store.commit({
        expect: [
          { key: lock.key, revision: entry.revision },
          ...lines.map((range) => ({ range, noneCreatedBefore: null })),
        ],
        put: [],
        remove: [lock.key],
        readRefused: queries,
      }, { timeoutMs: CALL_TIMEOUT_MS });
      if (outcome.kind === "committed") return { kind: "removed", semaphore };
      if (outcome.kind === "unknown") {
        doubt ??= { entry, cause: outcome.cause, sinceMs: surroundings.elapsed() };
      } else brought = outcome;
    } catch (error) {
      // as long as an earlier commit may have landed, only a look ends the doubt
      if (doubt === undefined || !(error instanceof StoreError)) throw error;
    }
  }
  if (doubt !== undefined) throw lock.unknown("groups --remove", doubt.cause);
  throw new LockError(
    "contended",
    `cannot remove ${lock.key} at ${store.name}: it changed on every attempt`,
    `nothing was removed; see who uses it: locksmith history${groupFlag(lock.group)}`,
  );
}
