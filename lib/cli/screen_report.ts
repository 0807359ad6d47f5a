/** `status --verbose` and `groups` for a person at a terminal: hosts first, times by its clock, tables that fit. */

import { phaseOf } from "../description.ts";
import { groupLabel } from "../group.ts";
import { machineName } from "../machine.ts";
import type { Place } from "../queue.ts";
import { head, whoWaits } from "./report.ts";
import type { Seen } from "../status.ts";
import { ageOn, type Column, fitTable, type Screen, timeOn } from "./screen.ts";
import { available, type Hold, pauseInForce } from "../semaphore.ts";

interface Holder {
  readonly id: string;
  readonly hold: Hold | undefined;
  readonly late: boolean;
}

/** What is known of each hold, and the queue. `now` in milliseconds since the epoch. */
export function statusOn(screen: Screen, seen: Seen, now: number): string {
  const { semaphore, queue, overdue } = seen;
  const holders = semaphore.holders.map((id): Holder => {
    return { id, hold: semaphore.holds.get(id), late: overdue.includes(id) };
  });
  const held: readonly Column<Holder>[] = [
    { title: "MACHINE", cell: ({ id, hold }) => machineName(id, hold?.host) },
    {
      title: "PHASE",
      cell: ({ hold, late }) => phaseOf(hold) + (late ? ", overdue" : ""),
      spare: 1,
      colour: ({ hold, late }) => late || hold?.trouble !== undefined ? "red" : undefined,
    },
    { title: "FOR", cell: ({ hold }) => ageOn(hold?.since, now), spare: 2 },
    { title: "SINCE", cell: ({ hold }) => timeOn(screen, hold?.since), spare: 4 },
    { title: "BY", cell: ({ hold }) => hold?.by, spare: 3 },
    { title: "REASON", cell: ({ hold }) => hold?.trouble ?? hold?.reason },
  ];
  const places = queue.map((place, index) => ({ ...place, number: index + 1 }));
  const waiting: readonly Column<Place & { readonly number: number }>[] = [
    { title: "PLACE", cell: ({ number }) => String(number) },
    { title: "MACHINE", cell: ({ machine, host }) => machineName(machine, host) },
    { title: "PRIORITY", cell: ({ priority }) => String(priority), spare: 3 },
    { title: "FOR", cell: ({ since }) => ageOn(since, now), spare: 1 },
    { title: "SINCE", cell: ({ since }) => timeOn(screen, since), spare: 4 },
    { title: "BY", cell: whoWaits, spare: 2 },
    { title: "REASON", cell: ({ reason }) => reason },
  ];
  return head(seen, now, screen) +
    (holders.length === 0 ? "" : `\n${fitTable(screen, held, holders)}`) +
    (places.length === 0 ? "" : `\n${fitTable(screen, waiting, places)}`);
}

/** Every group and its figures. `now` in milliseconds since the epoch. */
export function groupsOn(
  screen: Screen,
  groups: readonly (Seen & { readonly group: string })[],
  now: number,
): string {
  const isPaused = ({ semaphore, all }: Seen) => {
    return pauseInForce(all, now) ? "all" : pauseInForce(semaphore, now) ? "yes" : "no";
  };
  const columns: readonly Column<Seen & { readonly group: string }>[] = [
    { title: "GROUP", cell: ({ group }) => groupLabel(group) },
    { title: "AVAILABLE", cell: ({ semaphore }) => String(available(semaphore)) },
    { title: "MAX", cell: ({ semaphore }) => String(semaphore.max), spare: 1 },
    { title: "HOLDERS", cell: ({ semaphore }) => String(semaphore.holders.length), spare: 3 },
    { title: "PAUSED", cell: isPaused },
    { title: "WAITING", cell: ({ queue }) => String(queue.length), spare: 2 },
    {
      title: "OVERDUE",
      cell: ({ overdue }) => String(overdue.length),
      colour: (seen) => {
        return seen.overdue.length > 0 ? "red" : isPaused(seen) !== "no" ? "yellow" : undefined;
      },
    },
  ];
  return fitTable(screen, columns, groups);
}
