/**
 * The history of a group, read from its store with that of all groups, and the JSON of it that programs may rely on.
 */

import { ALL_GROUPS, ALL_KEY, semaphoreKey } from "./group.ts";
import { type PastEvent, pastEvents, withEventsOfAll } from "./history.ts";
import { CALL_TIMEOUT_MS, TOTAL_TIMEOUT_MS } from "./lock.ts";
import type { History, Store } from "./store.ts";

/** What a store still knows of a group, and the events that it tells: its own, and those of all groups among them. */
export async function readHistory(
  store: Store,
  group: string,
): Promise<{ readonly past: History; readonly events: PastEvent[] }> {
  const [past, ofAll] = await Promise.all([
    store.history(semaphoreKey(group), { timeoutMs: TOTAL_TIMEOUT_MS }),
    group === ALL_GROUPS ? [] : eventsOfAll(store),
  ]);
  return { past, events: withEventsOfAll(pastEvents(past.changes, past.complete), ofAll) };
}

/** What happened to all groups at once. A store is asked for the past of a key that is there: of others it may not know. */
async function eventsOfAll(store: Store): Promise<PastEvent[]> {
  if (await store.read(ALL_KEY, { timeoutMs: CALL_TIMEOUT_MS }) === null) return [];
  const { changes, complete } = await store.history(ALL_KEY, { timeoutMs: TOTAL_TIMEOUT_MS });
  return pastEvents(changes, complete);
}

/** The JSON of a history. */
export interface HistoryReport {
  /** Empty: the default group; `null`: all groups. */
  readonly group: string | null;
  /** Whether the events go back to the first there was. */
  readonly complete: boolean;
  /** The oldest document that is kept; `null` where none is. `at` is not there where nobody recorded it. */
  readonly oldest: { readonly revision: string; readonly at?: string } | null;
  /** In their order. What is not known of one is not there. */
  readonly events: readonly PastEvent[];
}

/** `all` are the events that are known, `events` those that are wanted. */
export function historyReport(
  group: string,
  { changes, complete }: History,
  all: readonly PastEvent[],
  events: readonly PastEvent[],
): HistoryReport {
  const revision = changes[0]?.revision;
  const at = all.find((event) => event.revision === revision && event.at !== undefined)?.at;
  return {
    group: group === ALL_GROUPS ? null : group,
    complete,
    oldest: revision === undefined ? null : { revision, ...(at === undefined ? {} : { at }) },
    events,
  };
}
