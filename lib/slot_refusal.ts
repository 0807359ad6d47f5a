/**
 * Why a server grants no slot, in words for people: who holds the slots, since when, and the place in line.
 */

import { groupPhrase } from "./group.ts";
import type { Gate } from "./schedule.ts";
import type { Standing } from "./line.ts";
import { plainLine } from "./plain_text.ts";
import { available, type Hold, type Pause, type Semaphore } from "./semaphore.ts";
import type { RefusalKind, SlotAnswer } from "./slot_server.ts";

export type Refusal = Exclude<SlotAnswer, { kind: "granted" | "released" }>;

/** A place in line, and how many there are. */
export interface WhereInLine {
  readonly place: number;
  readonly of: number;
}

/** A longer value is cut: it goes into logs. */
const VALUE_LIMIT = 500;

/** All slots are taken, or others come before. `now`, here and below: milliseconds since the epoch. */
export function fullRefusal(
  group: string,
  semaphore: Semaphore,
  first: Standing | undefined,
  where: WhereInLine | undefined,
  now: number,
): Refusal {
  const { max } = semaphore;
  const taken = max === 0
    ? `${groupPhrase(group)} has no slots at all`
    : available(semaphore) <= 0
    ? `${max === 1 ? "the only slot" : `all ${max} slots`} of ${groupPhrase(group)} ${
      max === 1 ? "is" : "are"
    } taken by ${holdersPhrase(semaphore, now)}`
    : first?.place.kept
    ? `a slot of ${groupPhrase(group)} is kept for ${
      first.place.host ?? first.place.machine
    }, which came earlier`
    : `others came earlier in ${groupPhrase(group)}`;
  return refusal("full", taken + inLine(where));
}

/** No slots are granted, of this group or of all. */
export function pauseRefusal(
  group: string,
  { by, reason, until, frozen }: Pause,
  all: boolean,
  where: WhereInLine | undefined,
  now: number,
): Refusal {
  const parts = [
    ...(by === undefined ? [] : [` by ${by}`]),
    ...(until === undefined ? [] : [` until ${moment(Date.parse(until), now)}`]),
    ...(reason === undefined ? [] : [`, because: ${reason}`]),
  ];
  const what = all ? "all groups are" : `${groupPhrase(group)} is`;
  return refusal("paused", `${what} ${frozen ? "frozen" : "paused"}${parts.join("")}${inLine(where)}`);
}

/** Reboots are not allowed at this time. */
export function gateRefusal(
  group: string,
  { until, freeze }: Extract<Gate, { open: false }>,
  now: number,
): Refusal {
  const why = freeze === undefined
    ? `the window of ${groupPhrase(group)} is closed`
    : `reboots of ${groupPhrase(group)} are frozen${freeze.name === undefined ? "" : ` (${freeze.name})`}`;
  return refusal(
    "closed",
    `${why}; ${
      until === Infinity
        ? "no later time for reboots is known"
        : `reboots are allowed again from ${moment(until, now)}`
    }`,
  );
}

function refusal(kind: RefusalKind, value: string): Refusal {
  return { kind, value: plainLine(value, VALUE_LIMIT) };
}

function inLine(where: WhereInLine | undefined): string {
  return where === undefined ? "" : `; place ${where.place} of ${where.of} in the queue`;
}

/** So many holders are named. */
const NAMED = 3;

function holdersPhrase({ holders, holds }: Semaphore, now: number): string {
  const named = holders.slice(0, NAMED).map((id) => holderPhrase(id, holds.get(id), now)).join(", ");
  return holders.length <= NAMED ? named : `${named} and ${holders.length - NAMED} more`;
}

function holderPhrase(id: string, hold: Hold | undefined, now: number): string {
  const since = hold?.since === undefined ? "" : ` since ${moment(Date.parse(hold.since), now)}`;
  return `${hold?.host ?? id}${since}`;
}

/** From this distance on a moment is told with its day. */
const FAR_MS = 20 * 3_600_000;

/** A moment to the minute. Hosts are everywhere, so in UTC. */
function moment(ms: number, now: number): string {
  const text = new Date(ms).toISOString();
  return `${text.slice(Math.abs(ms - now) < FAR_MS ? 11 : 0, 16)}Z`;
}
