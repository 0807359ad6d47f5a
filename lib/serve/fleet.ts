/**
 * What there is to see of all groups at one moment: read from the mirror, with the windows that the server knows, the last
 * day, and when each line will be through.
 */

import { ROOT } from "../group.ts";
import { readingOf } from "../groups.ts";
import { LockError } from "../lock.ts";
import type { Mirror, MirrorState } from "../mirror.ts";
import { overdueAfterMs } from "../overdue.ts";
import type { Place } from "../queue.ts";
import {
  available,
  FRESH,
  type Hold,
  isByHand,
  overdueHolders,
  type Pause,
  pauseInForce,
  type Semaphore,
} from "../semaphore.ts";
import { freezesAhead, type PlannedFreeze } from "../pause.ts";
import type { Seen } from "../status.ts";
import type { Store } from "../store.ts";
import type { Surroundings } from "../surroundings.ts";
import { DAY_MS, type PastDay } from "../past_day.ts";
import { RecentPast } from "../recent_past.ts";
import { type Forecast, forecast, forecastFacts, heldSinceMs } from "../simulation/forecast.ts";
import type { Opening } from "../schedule.ts";

/** How far windows are shown ahead, in milliseconds. */
export const AHEAD_MS = 7 * DAY_MS;

/** How long a first look waits for what the store remembers, in milliseconds. */
const PAST_WAIT_MS = 150;

/** What a fleet is seen by. */
export interface FleetSources {
  readonly mirror: Mirror;
  readonly store: Store;
  readonly surroundings: Surroundings;
  /** From how long on a reboot is overdue at the earliest, in milliseconds. */
  readonly overdueMs: number;
  /** Groups that are listed, whether or not anybody used them. */
  listed?(): readonly string[];
  /** When a group's window is open: from the one that is open at `fromMs` on, in order; `undefined`: always. */
  openingsOf?(group: string, fromMs: number): Iterable<Opening> | undefined;
}

/** A holder of a slot. */
export interface Holder {
  readonly id: string;
  readonly hold: Hold | undefined;
  readonly sinceMs: number | undefined;
  readonly overdue: boolean;
  /** Taken by hand: no boot ends it. */
  readonly byHand: boolean;
}

/** A group that can be read. */
export interface GroupView {
  readonly group: string;
  readonly seen: Seen;
  readonly holders: readonly Holder[];
  readonly waiting: readonly Place[];
  /** The pause of the group itself. */
  readonly pause: Pause | undefined;
  /** Its own freezes that are not over. */
  readonly freezes: readonly PlannedFreeze[];
  /** Those in the next days; `undefined`: always open, as far as the server knows. */
  readonly openings: readonly Opening[] | undefined;
  readonly forecast: Forecast;
  /** `undefined`: not known yet. */
  readonly day: PastDay | undefined;
}

/** A group whose document is corrupt. */
export interface FaultyGroup {
  readonly group: string;
  readonly fault: string;
  readonly hint: string;
  readonly waiting: readonly Place[];
}

export interface FleetView {
  readonly now: number;
  readonly state: MirrorState;
  readonly pauseOfAll: Pause | undefined;
  /** Those of all groups that are not over. */
  readonly freezesOfAll: readonly PlannedFreeze[];
  readonly groups: readonly GroupView[];
  readonly faulty: readonly FaultyGroup[];
}

export class Fleet {
  readonly #past: RecentPast;

  constructor(readonly sources: FleetSources) {
    const { store, mirror, surroundings } = sources;
    this.#past = new RecentPast(store, mirror, surroundings);
  }

  /** What there is now of the groups that `wanted` says; all when absent. */
  view(wanted: (group: string) => boolean = () => true): FleetView {
    const { mirror, store, surroundings, listed } = this.sources;
    const now = surroundings.now();
    const reading = readingOf(mirror.entries({ from: ROOT, to: `${ROOT.slice(0, -1)}0` }), store);
    const all = reading.all instanceof LockError ? FRESH : reading.all;
    const found = new Map(reading.groups.map((one) => [one.group, one]));
    const names = [...new Set([...found.keys(), ...listed?.() ?? []])].filter(wanted).sort();
    const groups: GroupView[] = [];
    const faulty: FaultyGroup[] = [];
    for (const group of names) {
      const { semaphore = FRESH, stored = false, queue = [] } = found.get(group) ?? {};
      if (semaphore instanceof LockError) {
        faulty.push({ group, fault: semaphore.message, hint: semaphore.hint, waiting: queue });
        continue;
      }
      const overdue = this.overdueOf(group, semaphore, now);
      groups.push(this.#group(group, { semaphore, all, stored, queue, overdue }, now));
    }
    return {
      now,
      state: mirror.state,
      pauseOfAll: pauseInForce(all, now),
      freezesOfAll: freezesAhead(all.freezes, now),
      groups,
      faulty,
    };
  }

  /**
   * The machines whose reboot takes too long, as far as the group's history is known: it is asked for where a machine has
   * exceeded the configured time. `now` in milliseconds since the epoch.
   */
  overdueOf(group: string, semaphore: Semaphore, now: number): readonly string[] {
    const { overdueMs } = this.sources;
    const late = overdueHolders(semaphore, now, overdueMs);
    if (late.length === 0) return late;
    void this.#past.load(group);
    const rebootsMs = this.#past.day(group)?.rebootsMs ?? [];
    return overdueHolders(semaphore, now, overdueAfterMs(rebootsMs, overdueMs));
  }

  /**
   * Asks for the past of these groups where it is not known yet, and waits a moment for it. What comes later than that is
   * said by `late`.
   */
  async past(groups: readonly string[], late: () => void = () => {}): Promise<void> {
    const unknown = groups.filter((group) => !this.#past.isKnown(group));
    if (unknown.length === 0) return;
    const loaded = Promise.all(unknown.map((group) => this.#past.load(group)));
    let isLate = false;
    const waited = new Promise<void>((resolve) => {
      this.sources.surroundings.after(PAST_WAIT_MS, () => {
        isLate = true;
        resolve();
      });
    });
    await Promise.race([loaded.then(() => isLate && late()), waited]);
  }

  close(): void {
    this.#past.close();
  }

  #group(group: string, seen: Seen, now: number): GroupView {
    const { semaphore, queue, overdue } = seen;
    const day = this.#past.day(group);
    const openings = this.#openings(group, now);
    const late = new Set(overdue);
    const holders = semaphore.holders.map((id): Holder => {
      const hold = semaphore.holds.get(id);
      return { id, hold, sinceMs: heldSinceMs(hold, now), overdue: late.has(id), byHand: isByHand(hold) };
    }).sort((a, b) => Number(b.overdue) - Number(a.overdue) || (a.sinceMs ?? now) - (b.sinceMs ?? now));
    return {
      group,
      seen,
      holders,
      waiting: queue,
      pause: pauseInForce(semaphore, now),
      freezes: freezesAhead(semaphore.freezes, now),
      openings,
      day,
      forecast: forecast(forecastFacts(seen, { now, rebootsMs: day?.rebootsMs ?? [], openings })),
    };
  }

  #openings(group: string, now: number): readonly Opening[] | undefined {
    const openings = this.sources.openingsOf?.(group, now);
    if (openings === undefined) return undefined;
    const ahead: Opening[] = [];
    for (const opening of openings) {
      if (opening.startMs > now + AHEAD_MS && ahead.length > 0) break;
      ahead.push(opening);
      if (opening.startMs > now + AHEAD_MS) break;
    }
    return ahead;
  }
}

/** Some figures of all groups that are seen. */
export interface Totals {
  readonly slots: number;
  readonly held: number;
  readonly free: number;
  readonly rebooting: number;
  readonly waiting: number;
  readonly overdue: number;
}

export function totals(groups: readonly GroupView[]): Totals {
  const sum = (of: (view: GroupView) => number) => groups.reduce((sum, view) => sum + of(view), 0);
  return {
    slots: sum(({ seen }) => seen.semaphore.max),
    held: sum(({ holders }) => holders.length),
    free: sum(({ seen }) => Math.max(0, available(seen.semaphore))),
    rebooting: sum(({ holders }) => holders.filter(({ byHand }) => !byHand).length),
    waiting: sum(({ waiting }) => waiting.length),
    overdue: sum(({ holders }) => holders.filter(({ overdue }) => overdue).length),
  };
}
