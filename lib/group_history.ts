/**
 * The history of a group, read from its store with that of all groups, and the JSON of it that programs may rely on.
 */

import { ALL_GROUPS, ALL_KEY, semaphoreKey } from "./group.ts";
import { epochMs, type PastEvent, pastEvents, withEventsOfAll } from "./history.ts";
import { CALL_TIMEOUT_MS, TOTAL_TIMEOUT_MS } from "./lock.ts";
import { type History, isBefore, type Store } from "./store.ts";

/** How much is read where nobody says how far back: what comes in well under a second, in UTF-16 code units. */
const SOON_LENGTH = 16 * 1024 * 1024;
/** How much more is read each time that it does not go back far enough. */
const FURTHER = 4;

/** A past, and the events that it tells. */
export interface Told {
  readonly past: History;
  readonly events: PastEvent[];
}

/**
 * What a store still knows of a group, and the events that it tells: its own, and those of all groups among them. Each
 * change is a whole document, and that of a large group is long; so of such a group only the newest are read, unless
 * somebody wants more.
 *
 * @param since how far back it is wanted, in milliseconds since the epoch; `undefined`: as far as is read soon
 */
export async function readHistory(store: Store, group: string, since?: number): Promise<Told> {
  const [{ past, events }, ofAll] = await Promise.all([
    readPast(store, semaphoreKey(group), since),
    group === ALL_GROUPS ? [] : eventsOfAll(store, since),
  ]);
  const oldest = past.leftOut === true ? past.changes[0]?.revision : undefined;
  const beside = oldest === undefined ? ofAll : ofAll.filter(({ revision }) => !isBefore(revision, oldest));
  return { past, events: withEventsOfAll(events, beside) };
}

/** What happened to all groups at once. A store is asked for the past of a key that is there: of others it may not know. */
async function eventsOfAll(store: Store, since: number | undefined): Promise<PastEvent[]> {
  if (await store.read(ALL_KEY, { timeoutMs: CALL_TIMEOUT_MS }) === null) return [];
  return (await readPast(store, ALL_KEY, since)).events;
}

async function readPast(store: Store, key: string, since: number | undefined): Promise<Told> {
  for (let last = since === -Infinity ? Infinity : await countOf(store, key);; last *= FURTHER) {
    const past = await store.history(key, {
      timeoutMs: TOTAL_TIMEOUT_MS,
      ...Number.isFinite(last) ? { last } : {},
    });
    const events = pastEvents(past.changes, past.complete);
    if (past.leftOut === undefined || since === undefined) return { past, events };
    if (events.some(({ at }) => at !== undefined && epochMs(at) < since)) return { past, events };
  }
}

/** So many changes are read soon, each as long as the document is now. */
async function countOf(store: Store, key: string): Promise<number> {
  const entry = await store.read(key, { timeoutMs: CALL_TIMEOUT_MS });
  return entry === null ? Infinity : Math.ceil(SOON_LENGTH / entry.value.length);
}

/** The JSON of a history. */
export interface HistoryReport {
  /** Empty: the default group; `null`: all groups. */
  readonly group: string | null;
  /** Whether the events go back to the first there was. */
  readonly complete: boolean;
  /** There where older events were left out, since nobody asked for them. */
  readonly leftOut?: true;
  /** The oldest document that is kept, or was read; `null` where none is. `at` is not there where nobody recorded it. */
  readonly oldest: { readonly revision: string; readonly at?: string } | null;
  /** In their order. What is not known of one is not there. */
  readonly events: readonly PastEvent[];
}

/** `all` are the events that are known, `events` those that are wanted. */
export function historyReport(
  group: string,
  { changes, complete, leftOut }: History,
  all: readonly PastEvent[],
  events: readonly PastEvent[],
): HistoryReport {
  const revision = changes[0]?.revision;
  const at = all.find((event) => event.revision === revision && event.at !== undefined)?.at;
  return {
    group: group === ALL_GROUPS ? null : group,
    complete,
    ...(leftOut === undefined ? {} : { leftOut }),
    oldest: revision === undefined ? null : { revision, ...(at === undefined ? {} : { at }) },
    events,
  };
}
