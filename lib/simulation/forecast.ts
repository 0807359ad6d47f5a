/**
 * When a queue will be empty, and when somebody's turn comes: the slots pass from machine to machine as in the simulation's plan of a roll-out, each for
 * as long as one of the last reboots held its own. Pure.
 *
 * It is an estimate and no more: who asks later, who is gone from the line and whose reboot takes longer than any before
 * are not in it. A machine that is overdue or not well, or whose slot was taken by hand, is expected to keep it.
 */

import type { Opening } from "../schedule.ts";
import { median } from "../past_day.ts";
import { type Hold, isByHand } from "../semaphore.ts";
import type { Seen } from "../status.ts";
import { idealReboots, type Stretch } from "./plan.ts";

/** What the estimate is made of; times in milliseconds since the epoch. */
export interface ForecastFacts {
  readonly now: number;
  readonly max: number;
  readonly holders: readonly {
    /** `undefined`: nobody knows. */
    readonly sinceMs: number | undefined;
    /** Whether it keeps its slot for as far as anybody can see. */
    readonly stays: boolean;
  }[];
  readonly waiting: number;
  /** How long the last reboots took. */
  readonly rebootsMs: readonly number[];
  /** When the window is open from now on, in order; `undefined`: always. */
  readonly openings?: readonly Opening[] | undefined;
}

export type Forecast =
  /** Nobody holds a slot and nobody waits. */
  | { readonly kind: "idle" }
  /** No reboot was recorded yet. */
  | { readonly kind: "unknown" }
  | { readonly kind: "done"; readonly atMs: number }
  /** Not as things are: no slot comes free, or the window does not open for as long as it is known. */
  | { readonly kind: "never"; readonly why: "no-slots" | "stuck" | "closed" };

/** The facts of a group as it is seen. */
export function forecastFacts(
  { semaphore, queue, overdue }: Pick<Seen, "semaphore" | "queue" | "overdue">,
  more: Pick<ForecastFacts, "now" | "rebootsMs" | "openings">,
): ForecastFacts {
  const late = new Set(overdue);
  const holders = semaphore.holders.map((id) => {
    const hold = semaphore.holds.get(id);
    const stays = late.has(id) || isByHand(hold) || hold?.trouble !== undefined;
    return { sinceMs: heldSinceMs(hold, more.now), stays };
  });
  return { ...more, max: semaphore.max, holders, waiting: queue.length };
}

/** Since when a slot is held; a clock that goes ahead of ours puts that into the future, which is `now` at the latest. */
export function heldSinceMs(hold: Hold | undefined, now: number): number | undefined {
  if (hold?.since === undefined) return undefined;
  return Math.min(now, Temporal.Instant.from(hold.since).epochMilliseconds);
}

/** When all that hold a slot or wait for one will have rebooted. */
export function forecast(facts: ForecastFacts): Forecast {
  return estimate(facts, "end");
}

/** When the last of those that wait will be granted its slot. */
export function forecastTurn(facts: ForecastFacts): Forecast {
  return estimate(facts, "turn");
}

function estimate(facts: ForecastFacts, of: "end" | "turn"): Forecast {
  const { now, max, holders, waiting, rebootsMs, openings } = facts;
  const coming = holders.filter(({ stays }) => !stays);
  if (waiting === 0 && coming.length === 0) return { kind: "idle" };
  const typicalMs = median(rebootsMs);
  if (typicalMs === undefined) return { kind: "unknown" };
  const leftMs = holders.map(({ sinceMs, stays }) => {
    if (stays) return Infinity;
    // one that takes longer than most is nearly there
    return Math.max(typicalMs - (now - (sinceMs ?? now)), typicalMs / 10);
  });
  if (waiting === 0) return { kind: "done", atMs: now + Math.max(...leftMs.filter(Number.isFinite)) };
  if (max === 0) return { kind: "never", why: "no-slots" };
  const stretches: Stretch[] = (openings ?? [{ startMs: now, endMs: Infinity }]).map((opening) => ({
    startMs: Math.max(0, opening.startMs - now),
    endMs: opening.endMs - now,
  }));
  const [first] = stretches;
  if (first === undefined) return { kind: "never", why: "closed" };
  // who holds a slot went already, window or not; until it opens nobody takes those that are free
  const idle = Math.max(0, max - holders.length);
  const until: number[] = first.startMs > 0 ? new Array(idle).fill(first.startMs) : [];
  const waitersMs = Array.from({ length: waiting }, (_, index) => rebootsMs[index % rebootsMs.length] ?? 0);
  const reboots = [...idealReboots({ max: Math.max(max, holders.length), beforeMs: 0, roomMs: 0 }, [
    ...leftMs,
    ...until,
    ...waitersMs,
  ], first.startMs > 0 ? [{ startMs: 0, endMs: 0 }, ...stretches] : stretches)];
  const atMs = of === "turn"
    ? reboots.at(-1)?.downMs ?? Infinity
    : Math.max(...reboots.map(({ downMs, returnedMs }) => returnedMs === Infinity ? downMs : returnedMs));
  if (atMs !== Infinity) return { kind: "done", atMs: now + atMs };
  return { kind: "never", why: leftMs.every((ms) => ms === Infinity) && idle === 0 ? "stuck" : "closed" };
}
