/** Every group of a store at one moment: its document and its queue. */

import { groupOfKey, groupOfQueueKey, ROOT, semaphoreKey } from "./group.ts";
import { CALL_TIMEOUT_MS, LockError, parseEntry } from "./lock.ts";
import { type Place, readQueue } from "./queue.ts";
import { FRESH, type Semaphore } from "./semaphore.ts";
import type { Entry, Store } from "./store.ts";

/** A group: its document, or why that cannot be read, and its queue, the first in line first. */
export interface GroupReading {
  readonly group: string;
  readonly key: string;
  readonly semaphore: Semaphore | LockError;
  readonly queue: readonly Place[];
}

/** Every group that the store has a document or a queue of, by name, in one read. Throws {@linkcode StoreError}. */
export async function readGroups(store: Store): Promise<GroupReading[]> {
  const documents = new Map<string, Entry>();
  const places = new Map<string, Entry[]>();
  for (const entry of await store.list(ROOT, { timeoutMs: CALL_TIMEOUT_MS })) {
    const group = groupOfKey(entry.key);
    if (group !== undefined) documents.set(group, entry);
    const queued = groupOfQueueKey(entry.key);
    if (queued === undefined) continue;
    const queue = places.get(queued);
    if (queue === undefined) places.set(queued, [entry]);
    else queue.push(entry);
  }
  const groups = [...new Set([...documents.keys(), ...places.keys()])].sort();
  return groups.map((group) => {
    const document = documents.get(group);
    return {
      group,
      key: semaphoreKey(group),
      semaphore: document === undefined ? FRESH : readOne(document, group, store),
      queue: readQueue(group, places.get(group) ?? []),
    };
  });
}

function readOne(entry: Entry, group: string, store: Store): Semaphore | LockError {
  try {
    return parseEntry(entry, group, store);
  } catch (error) {
    if (error instanceof LockError) return error;
    throw error;
  }
}
