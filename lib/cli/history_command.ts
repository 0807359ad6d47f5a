/**
 * `locksmith history`: what happened to a group, as a table for people or as JSON.
 *
 * Nothing is written for it. It is read from what the store keeps of the key anyway, and the first line says from when
 * on that is.
 */

import { type Context, withLock } from "./command.ts";
import { ALL_GROUPS } from "../group.ts";
import { type HistoryReport, historyReport, readHistory } from "../group_history.ts";
import { eventsSince, type PastEvent } from "../history.ts";
import { oneLine, table } from "./output.ts";
import { machineName } from "../machine.ts";
import { type Column, fitTable, type Screen, timeOn } from "./screen.ts";
import { row } from "./report.ts";
import { tellNotStored } from "./unknown_group.ts";

export function history(context: Context<"history">): Promise<number> {
  const { since } = context.config;
  return withLock(context, async (lock) => {
    const from = since && ("at" in since ? since.at : context.surroundings.now() - since.ago);
    const { past, events: all } = await readHistory(lock.store, lock.group, from);
    const events = from === undefined ? all : eventsSince(all, from);
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

/** What happened, for people: from when on it is known, and a table. */
export function historyText(report: HistoryReport): string {
  const { events } = report;
  const rows = events.map((event) =>
    row(event.at, what(event), event.machine, event.host, event.by, event.reason ?? event.fault)
  );
  const titles = ["TIME", "WHAT", "MACHINE ID", "HOST", "BY", "REASON"];
  return `${knownFrom(report)}\n${rows.length === 0 ? "" : `\n${table([titles, ...rows])}`}`;
}

/** The same on a terminal. */
export function historyOn(screen: Screen, report: HistoryReport): string {
  const { oldest, events } = report;
  const columns: readonly Column<PastEvent>[] = [
    { title: "TIME", cell: ({ at }) => timeOn(screen, at) },
    { title: "WHAT", cell: what },
    { title: "MACHINE", cell: ({ machine, host }) => machine && machineName(machine, host) },
    { title: "BY", cell: ({ by }) => by, spare: 1 },
    { title: "REASON", cell: ({ reason, fault }) => reason ?? fault },
  ];
  const at = timeOn(screen, oldest?.at);
  const from = oldest === null || at === undefined ? oldest : { ...oldest, at };
  return `${knownFrom({ ...report, oldest: from })}\n${
    events.length === 0 ? "" : `\n${fitTable(screen, columns, events)}`
  }`;
}

function knownFrom({ complete, leftOut, oldest }: Omit<HistoryReport, "group" | "events">): string {
  if (complete) return "Known: from the beginning";
  if (oldest === null) return "Known: nothing, the store has dropped it";
  const time = oldest.at === undefined ? "" : `, ${oldest.at}`;
  const before = leftOut
    ? "what came before was not read, --since TIME reads it"
    : "the store has dropped what came before";
  return oneLine(`Known: from revision ${oldest.revision}${time}; ${before}`);
}

/** `set-max 2 (was 1)` */
function what({ what, max, oldMax, from, until }: PastEvent): string {
  if (from !== undefined) return `${what} ${from}..${until}`;
  if (until !== undefined) return `${what} until ${until}`;
  if (max === undefined) return what;
  return `${what} ${max}${oldMax === undefined ? "" : ` (was ${oldMax})`}`;
}
