/**
 * What a group did in the last day, told by its events one after the other: who held a slot from when to when, when it
 * was paused, and how long the last reboots took. Pure.
 *
 * An event without a time is used as far as it goes: a hold whose begin or end nobody knows is not told.
 */

import type { PastEvent } from "./history.ts";

/** How far back it goes, in milliseconds. */
export const DAY_MS = 24 * 3_600_000;
/** So many of the last reboots are kept, however old they are. */
export const REBOOTS_KEPT = 50;

/** A slot that somebody had, in milliseconds since the epoch. */
export interface PastHold {
  readonly machine: string;
  readonly host?: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** Whether the machine rebooted and gave the slot back; else it was cancelled, unlocked or taken by hand. */
  readonly rebooted: boolean;
}

export interface PastPause {
  readonly fromMs: number;
  /** `null`: it lasts, or ends at `untilMs`. */
  readonly toMs: number | null;
  readonly untilMs: number | null;
}

interface OpenHold {
  readonly fromMs: number;
  readonly host?: string;
  readonly byHand: boolean;
}

const ENDS: ReadonlySet<string> = new Set(["release", "cancel", "unlock", "ended"]);

export class PastDay {
  readonly #open = new Map<string, OpenHold>();
  #holds: PastHold[] = [];
  #pauses: PastPause[] = [];
  #rebootsMs: number[] = [];

  /** Those that ended, in the order of their ends. */
  get holds(): readonly PastHold[] {
    return this.#holds;
  }

  get pauses(): readonly PastPause[] {
    return this.#pauses;
  }

  /** How long the last reboots held their slots, in milliseconds, the last one last. */
  get rebootsMs(): readonly number[] {
    return this.#rebootsMs;
  }

  /** Takes the next event; its `what` may be one of all groups. */
  take({ what, at, machine, host, until }: PastEvent): void {
    const atMs = at === undefined ? undefined : Temporal.Instant.from(at).epochMilliseconds;
    if (machine !== undefined && (what === "grant" || what === "lock")) {
      if (atMs === undefined) return;
      const named = host === undefined ? {} : { host };
      this.#open.set(machine, { fromMs: atMs, ...named, byHand: what === "lock" });
    } else if (machine !== undefined && ENDS.has(what)) this.#end(machine, what, atMs);
    else if (what === "removed") this.#open.clear();
    else if (what === "pause" && atMs !== undefined) {
      this.#resume(atMs);
      const untilMs = until === undefined ? null : Temporal.Instant.from(until).epochMilliseconds;
      this.#pauses.push({ fromMs: atMs, toMs: null, untilMs });
    } else if (what === "resume" && atMs !== undefined) this.#resume(atMs);
  }

  /** Forgets what ended more than a day before `now`, in milliseconds since the epoch. */
  forget(now: number): void {
    const sinceMs = now - DAY_MS;
    if ((this.#holds[0]?.toMs ?? Infinity) < sinceMs) {
      this.#holds = this.#holds.filter(({ toMs }) => toMs >= sinceMs);
    }
    this.#pauses = this.#pauses.filter(({ toMs, untilMs }) => (toMs ?? untilMs ?? Infinity) >= sinceMs);
  }

  #end(machine: string, what: string, atMs: number | undefined): void {
    const open = this.#open.get(machine);
    this.#open.delete(machine);
    // a clock that was set back: there is no telling how long it was
    if (open === undefined || atMs === undefined || atMs < open.fromMs) return;
    const { fromMs, host, byHand } = open;
    const rebooted = what === "release" && !byHand;
    const named = host === undefined ? {} : { host };
    this.#holds.push({ machine, ...named, fromMs, toMs: atMs, rebooted });
    if (rebooted) this.#rebootsMs = [...this.#rebootsMs, atMs - fromMs].slice(-REBOOTS_KEPT);
  }

  #resume(atMs: number): void {
    this.#pauses = this.#pauses.map((pause) => {
      if (pause.toMs !== null) return pause;
      return { ...pause, toMs: Math.max(pause.fromMs, Math.min(atMs, pause.untilMs ?? Infinity)) };
    });
  }
}

/** The middle one of some values; `undefined` where there are none. */
export function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
