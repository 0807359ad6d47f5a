/**
 * A group as it is seen at one moment, and the JSON of it that programs may rely on, whether a command prints it or a
 * server answers with it. Pure.
 */

import { ageSeconds } from "./description.ts";
import { flat } from "./document.ts";
import { freezesAhead } from "./pause.ts";
import type { Place } from "./queue.ts";
import { available, pauseInForce, type Semaphore } from "./semaphore.ts";

/** What there is to show of a group at one moment. */
export interface Seen {
  readonly semaphore: Semaphore;
  /** What counts for all groups. */
  readonly all: Semaphore;
  /** Whether anything is stored for the group. */
  readonly stored: boolean;
  /** The first in line first. */
  readonly queue: readonly Place[];
  /** The machines whose reboot takes too long. */
  readonly overdue: readonly string[];
}

/** The JSON of `status` and, one in a list, of `groups`. */
export interface StatusJson {
  /** Empty: the default group. */
  readonly group: string;
  readonly stored: boolean;
  readonly available: number;
  readonly max: number;
  readonly holders: readonly string[];
  /** Details by machine id. What is not known of a hold is not there. */
  readonly holds: Readonly<Record<string, unknown>>;
  /** `null`: not paused. */
  readonly paused: PauseJson;
  /** The same of all groups. */
  readonly pausedAll: PauseJson;
  /** The freezes of the group that are not over, and those of all groups. */
  readonly freezes: readonly FreezeJson[];
  readonly freezesAll: readonly FreezeJson[];
  readonly overdue: readonly string[];
  readonly queue: QueueJson;
}

/** A freeze, as it is stored. */
type FreezeJson = Readonly<Record<string, unknown>>;

/** A pause that is in force, or `null`. One with `frozen` is a freeze. */
type PauseJson = Readonly<Record<string, unknown>> | null;

/** The first in line first. What is not known of a place is not there. */
type QueueJson = readonly {
  readonly machine: string;
  readonly priority: number;
  readonly since?: string;
  readonly waitedSeconds?: number;
  readonly host?: string;
  readonly by?: string;
  readonly reason?: string;
  /** Its host is not there now: it asks a server from time to time. */
  readonly away?: true;
  /** A slot is kept for it until it asks again. */
  readonly kept?: true;
}[];

/** The JSON of a group in `groups` whose document cannot be read. */
export interface FaultyGroupJson {
  readonly group: string;
  readonly fault: string;
  readonly queue: QueueJson;
}

/** `now` in milliseconds since the epoch. */
export function statusJson(
  group: string,
  { semaphore, all, stored, queue, overdue }: Seen,
  now: number,
): StatusJson {
  return {
    group,
    stored,
    available: available(semaphore),
    max: semaphore.max,
    holders: semaphore.holders,
    holds: Object.fromEntries([...semaphore.holds].map(([id, hold]) => [id, flat(hold)])),
    paused: pauseJson(semaphore, now),
    pausedAll: pauseJson(all, now),
    freezes: freezesAhead(semaphore.freezes, now).map(flat),
    freezesAll: freezesAhead(all.freezes, now).map(flat),
    overdue,
    queue: queueJson(queue, now),
  };
}

/** `now` in milliseconds since the epoch. */
export function faultyGroupJson(
  group: string,
  fault: string,
  queue: readonly Place[],
  now: number,
): FaultyGroupJson {
  return { group, fault, queue: queueJson(queue, now) };
}

/** The pause that is in force at `now`, in milliseconds since the epoch. */
export function pauseJson(semaphore: Semaphore, now: number): PauseJson {
  const pause = pauseInForce(semaphore, now);
  return pause === undefined ? null : flat(pause);
}

function queueJson(queue: readonly Place[], now: number): QueueJson {
  return queue.map(({ machine, priority, since, host, by, reason, away, kept }) => ({
    machine,
    priority,
    ...(since === undefined ? {} : { since, waitedSeconds: ageSeconds(since, now) }),
    ...(host === undefined ? {} : { host }),
    ...(by === undefined ? {} : { by }),
    ...(reason === undefined ? {} : { reason }),
    ...(away === undefined ? {} : { away }),
    ...(kept === undefined ? {} : { kept }),
  }));
}
