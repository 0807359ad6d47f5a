/**
 * When a reboot takes too long: after three times what almost all of the group's last reboots took, and never before the time that is
 * configured. A group whose history has few of them is judged by that time alone.
 */

import { readHistory } from "./group_history.ts";
import { PastDay } from "./past_day.ts";
import { overdueHolders, type Semaphore } from "./semaphore.ts";
import { type Store, StoreError } from "./store.ts";

/** So many reboots are enough that the one that took longest is not taken for usual. */
const LEAST = 20;
const SHARE = 0.95;
const TIMES = 3;

/** From how long on a reboot is overdue where the last ones took `rebootsMs`; all in milliseconds. */
export function overdueAfterMs(rebootsMs: readonly number[], configuredMs: number): number {
  if (rebootsMs.length < LEAST) return configuredMs;
  const usual = rebootsMs.toSorted((a, b) => a - b)[Math.ceil(rebootsMs.length * SHARE) - 1] ?? 0;
  return Math.max(configuredMs, TIMES * usual);
}

/** The machines whose reboot takes too long, and from how long on it does, in milliseconds. */
export interface Overdue {
  readonly ids: readonly string[];
  readonly afterMs: number;
}

/**
 * Judges a group by its history, which the store is asked for only where a machine has exceeded the configured time. A store
 * that cannot tell leaves that. `now` in milliseconds since the epoch.
 */
export async function overdueIn(
  store: Store,
  group: string,
  semaphore: Semaphore,
  now: number,
  configuredMs: number,
): Promise<Overdue> {
  const ids = overdueHolders(semaphore, now, configuredMs);
  if (ids.length === 0) return { ids, afterMs: configuredMs };
  const afterMs = overdueAfterMs(await lastRebootsMs(store, group), configuredMs);
  return { ids: overdueHolders(semaphore, now, afterMs), afterMs };
}

async function lastRebootsMs(store: Store, group: string): Promise<readonly number[]> {
  try {
    const day = new PastDay();
    for (const event of (await readHistory(store, group)).events) day.take(event);
    return day.rebootsMs;
  } catch (error) {
    if (error instanceof StoreError) return [];
    throw error;
  }
}
