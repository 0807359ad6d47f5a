/**
 * `locksmith history`: what happened to a group, as a table for people or as JSON.
 *
 * Nothing is written for it. It is read from what the store keeps of the key anyway, and the first line says from when
 * on that is.
 */

import { type Context, withLock } from "./command.ts";
import { ALL_GROUPS, ALL_KEY } from "../group.ts";
import { eventsSince, type PastEvent, pastEvents, withEventsOfAll } from "../history.ts";
import { CALL_TIMEOUT_MS, TOTAL_TIMEOUT_MS } from "../lock.ts";
import { oneLine, table } from "./output.ts";
import { machineName } from "../machine.ts";
import { type Column, fitTable, type Screen, timeOn } from "./screen.ts";
import { row } from "./report.ts";
import type { History, Store } from "../store.ts";
import { tellNotStored } from "./unknown_group.ts";

export function history(context: Context<"history">): Promise<number> {
  const { since } = context.config;
  return withLock(context, async (lock) => {
    const [past, ofAll] = await Promise.all([
      lock.store.history(lock.key, { timeoutMs: TOTAL_TIMEOUT_MS }),
      lock.group === ALL_GROUPS ? [] : eventsOfAll(lock.store),
    ]);
    const all = withEventsOfAll(pastEvents(past.changes, past.complete), ofAll);
    const events = since === undefined
      ? all
      : eventsSince(all, "at" in since ? since.at : context.surroundings.now() - since.ago);
    const report = historyReport(lock.group, past, all, events);
    const { screen, config: { json } } = context;
    if (json) context.out(`${JSON.stringify(report)}\n`);
    else if (screen === undefined) context.out(historyText(report));
    else context.out(historyOn(screen, report));
    if (past.changes.length === 0 && past.complete && lock.group !== ALL_GROUPS) {
      await tellNotStored(context, lock.store, lock.group);
    }
    return 0;
  });
}

/** What happened to all groups at once. A store is asked for the past of a key that is there: of others it may not know. */
async function eventsOfAll(store: Store): Promise<PastEvent[]> {
  if (await store.read(ALL_KEY, { timeoutMs: CALL_TIMEOUT_MS }) === null) return [];
  const { changes, complete } = await store.history(ALL_KEY, { timeoutMs: TOTAL_TIMEOUT_MS });
  return pastEvents(changes, complete);
}

/** The JSON of `history`. */
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

/** The same for people: from when on it is known, and a table. */
export function historyText({ complete, oldest, events }: HistoryReport): string {
  const rows = events.map((event) =>
    row(event.at, what(event), event.machine, event.host, event.by, event.reason ?? event.fault)
  );
  const titles = ["TIME", "WHAT", "MACHINE ID", "HOST", "BY", "REASON"];
  return `${knownFrom(complete, oldest)}\n${rows.length === 0 ? "" : `\n${table([titles, ...rows])}`}`;
}

/** The same on a terminal. */
export function historyOn(screen: Screen, { complete, oldest, events }: HistoryReport): string {
  const columns: readonly Column<PastEvent>[] = [
    { title: "TIME", cell: ({ at }) => timeOn(screen, at) },
    { title: "WHAT", cell: what },
    { title: "MACHINE", cell: ({ machine, host }) => machine && machineName(machine, host) },
    { title: "BY", cell: ({ by }) => by, spare: 1 },
    { title: "REASON", cell: ({ reason, fault }) => reason ?? fault },
  ];
  const at = timeOn(screen, oldest?.at);
  const from = oldest === null || at === undefined ? oldest : { ...oldest, at };
  return `${knownFrom(complete, from)}\n${
    events.length === 0 ? "" : `\n${fitTable(screen, columns, events)}`
  }`;
}

function knownFrom(complete: boolean, oldest: HistoryReport["oldest"]): string {
  if (complete) return "Known: from the beginning";
  if (oldest === null) return "Known: nothing, the store has dropped it";
  const time = oldest.at === undefined ? "" : `, ${oldest.at}`;
  return oneLine(`Known: from revision ${oldest.revision}${time}; the store has dropped what came before`);
}

/** `set-max 2 (was 1)` */
function what({ what, max, oldMax, until }: PastEvent): string {
  if (until !== undefined) return `${what} until ${until}`;
  if (max === undefined) return what;
  return `${what} ${max}${oldMax === undefined ? "" : ` (was ${oldMax})`}`;
}
