/** Every group of a store at one moment: its document and its queue; and what counts for all of them. */

import { ALL_GROUPS, ALL_KEY, groupOfKey, groupOfQueueKey, ROOT, semaphoreKey } from "./group.ts";
import { CALL_TIMEOUT_MS, LockError, parseEntry } from "./lock.ts";
import { type Place, readQueue } from "./queue.ts";
import { FRESH, type Semaphore } from "./semaphore.ts";
import type { Entry, Store } from "./store.ts";

/** A group: its document, or why that cannot be read, and its queue, the first in line first. */
export interface GroupReading {
  readonly group: string;
  readonly key: string;
  /** Whether there is a document; else it counts as fresh. */
  readonly stored: boolean;
  readonly semaphore: Semaphore | LockError;
  readonly queue: readonly Place[];
}

/** What a store has. */
export interface StoreReading {
  /** By name. */
  readonly groups: readonly GroupReading[];
  /** What counts for all groups. */
  readonly all: Semaphore | LockError;
}

/** Every group that the store has a document or a queue of, in one read. Throws {@linkcode StoreError}. */
export async function readGroups(
  store: Store,
  timeoutMs: number = CALL_TIMEOUT_MS,
): Promise<StoreReading> {
  const documents = new Map<string, Entry>();
  const places = new Map<string, Entry[]>();
  let all: Semaphore | LockError = FRESH;
  for (const entry of await store.list(ROOT, { timeoutMs })) {
    if (entry.key === ALL_KEY) all = readOne(entry, ALL_GROUPS, store);
    const group = groupOfKey(entry.key);
    if (group !== undefined) documents.set(group, entry);
    const queued = groupOfQueueKey(entry.key);
    if (queued === undefined) continue;
    const queue = places.get(queued);
    if (queue === undefined) places.set(queued, [entry]);
    else queue.push(entry);
  }
  const names = [...new Set([...documents.keys(), ...places.keys()])].sort();
  const groups = names.map((group) => {
    const document = documents.get(group);
    return {
      group,
      key: semaphoreKey(group),
      stored: document !== undefined,
      semaphore: document === undefined ? FRESH : readOne(document, group, store),
      queue: readQueue(group, places.get(group) ?? []),
    };
  });
  return { groups, all };
}

function readOne(entry: Entry, group: string, store: Store): Semaphore | LockError {
  try {
    return parseEntry(entry, group, store);
  } catch (error) {
    if (error instanceof LockError) return error;
    throw error;
  }
}
