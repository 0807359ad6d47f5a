/**
 * `locksmith history`: what happened to a group, as a table for people or as JSON.
 *
 * Nothing is written for it. It is read from what the store keeps of the key anyway, and the first line says from when
 * on that is.
 */

import { type Context, flag, limitOperands, option, withLock } from "./command.ts";
import { parseDuration } from "../duration.ts";
import { eventsSince, type PastEvent, pastEvents } from "../history.ts";
import { TOTAL_TIMEOUT_MS } from "../lock.ts";
import { oneLine, table } from "./output.ts";
import { row } from "./report.ts";
import type { History } from "../store.ts";
import { WindowError } from "../window.ts";
import { machineZone } from "./window_options.ts";
import { parseInstant } from "./window_report.ts";

export function history(context: Context): Promise<number> {
  limitOperands(context, 0);
  const since = sinceOption(context);
  return withLock(context, async (lock) => {
    const past = await lock.store.history(lock.key, { timeoutMs: TOTAL_TIMEOUT_MS });
    const all = pastEvents(past.changes, past.complete);
    const events = since === undefined ? all : eventsSince(all, since);
    const report = historyReport(lock.group, past, all, events);
    context.out(flag(context, "json") ? `${JSON.stringify(report)}\n` : historyText(report));
    return 0;
  });
}

/** The JSON of `history`. */
export interface HistoryReport {
  /** Empty: the default group. */
  readonly group: string;
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
    group,
    complete,
    oldest: revision === undefined ? null : { revision, ...(at === undefined ? {} : { at }) },
    events,
  };
}

/** The same for people: from when on it is known, and a table. */
export function historyText({ complete, oldest, events }: HistoryReport): string {
  const rows = events.map((event) =>
    row(event.at, describe(event), event.machine, event.host, event.by, event.reason ?? event.fault)
  );
  const titles = ["TIME", "WHAT", "MACHINE ID", "HOST", "BY", "REASON"];
  return `${knownFrom(complete, oldest)}\n${rows.length === 0 ? "" : `\n${table([titles, ...rows])}`}`;
}

function knownFrom(complete: boolean, oldest: HistoryReport["oldest"]): string {
  if (complete) return "Known: from the beginning";
  if (oldest === null) return "Known: nothing, the store has dropped it";
  const time = oldest.at === undefined ? "" : `, ${oldest.at}`;
  return oneLine(`Known: from revision ${oldest.revision}${time}; the store has dropped what was before`);
}

function describe({ what, max, oldMax }: PastEvent): string {
  if (max === undefined) return what;
  return `${what} ${max}${oldMax === undefined ? "" : ` (was ${oldMax})`}`;
}

/** The moment that `--since` names, in milliseconds since the epoch; adds to the faults. */
function sinceOption(context: Context): number | undefined {
  const text = option(context, "since");
  if (text === undefined) return undefined;
  const { settings: { faults }, surroundings } = context;
  const isTime = /^[0-9]{4}-/.test(text);
  try {
    if (isTime) return parseInstant(text, machineZone(context)).epochMilliseconds;
    const agoMs = parseDuration(text);
    if (agoMs >= 0) return surroundings.now() - agoMs;
    faults.push(`--since: '${text}' is negative; 24h is the last 24 hours`);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const reasons = error instanceof WindowError ? error.faults : [error.message];
    const other = isTime ? "" : "; or a time such as '2015-05-21 23:00'";
    faults.push(...reasons.map((reason) => `--since: ${reason}${other}`));
  }
  return undefined;
}
