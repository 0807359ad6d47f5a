/**
 * Every group of a store: with its queue at one moment, or its document alone; and what counts for all of them.
 */

import {
  ALL_GROUPS,
  ALL_KEY,
  DEFAULT_GROUP,
  groupOfKey,
  groupOfPlaceKey,
  GROUPS,
  ROOT,
  semaphoreKey,
} from "./group.ts";
import { CALL_TIMEOUT_MS } from "./lock.ts";
import { LockError, parseEntry } from "./lock_error.ts";
import { type Place, readQueue } from "./queue.ts";
import { FRESH, type Semaphore } from "./semaphore.ts";
import { type Entry, exactly, type KeyRange, type Store } from "./store.ts";

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
  return readingOf(await store.list(ROOT, { timeoutMs }), store);
}

/** The same of entries that are known: every one below {@linkcode ROOT} that the store has. */
export function readingOf(entries: readonly Entry[], store: Pick<Store, "name">): StoreReading {
  const documents = new Map<string, Entry>();
  const places = new Map<string, Entry[]>();
  let all: Semaphore | LockError = FRESH;
  for (const entry of entries) {
    if (entry.key === ALL_KEY) all = readOne(entry, ALL_GROUPS, store);
    const { group, queued } = standingOf(entry);
    if (group !== undefined) documents.set(group, entry);
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

/** What an entry is: the document of a group, or a place for one. */
interface Standing {
  readonly group: string | undefined;
  readonly queued: string | undefined;
}

/** Who looks again and again at a copy of thousands sees mostly the same entries: what each is, is found once. */
const standings = new WeakMap<Entry, Standing>();

function standingOf(entry: Entry): Standing {
  const known = standings.get(entry);
  if (known !== undefined) return known;
  const standing = { group: groupOfKey(entry.key), queued: groupOfPlaceKey(entry.key) };
  standings.set(entry, standing);
  return standing;
}

/**
 * The document of every group that has one, by small reads, one after the other: what it costs grows with the number of
 * groups, and not with how many wait. One that cannot be read is left out. Throws {@linkcode StoreError}.
 */
export async function readDocuments(store: Store): Promise<{ group: string; semaphore: Semaphore }[]> {
  const found: { group: string; semaphore: Semaphore }[] = [];
  let group: string | undefined = DEFAULT_GROUP;
  let rest: KeyRange = GROUPS;
  while (true) {
    const key = semaphoreKey(group ?? DEFAULT_GROUP);
    const view = await store.view([{ range: exactly(key) }, { range: rest, limit: 1 }], {
      timeoutMs: CALL_TIMEOUT_MS,
    });
    const [[document] = [], [next] = []] = view.found;
    if (group !== undefined && document !== undefined) {
      const semaphore = readOne(document, group, store);
      if (!(semaphore instanceof LockError)) found.push({ group, semaphore });
    }
    if (next === undefined) return found;
    const folder = /^[^/]*\//.exec(next.key.slice(GROUPS.from.length))?.[0];
    group = folder === undefined ? undefined : groupOfKey(`${GROUPS.from}${folder}semaphore`);
    // behind the folder: `0` comes next after `/`
    const from = folder === undefined ? `${next.key}\0` : `${GROUPS.from}${folder.slice(0, -1)}0`;
    rest = { from, to: GROUPS.to };
  }
}

function readOne(entry: Entry, group: string, store: Pick<Store, "name">): Semaphore | LockError {
  try {
    return parseEntry(entry, group, store);
  } catch (error) {
    if (error instanceof LockError) return error;
    throw error;
  }
}
