/**
 * When reboots are allowed: while any of several windows is open, each on the clock of its zone, and no freeze is in force.
 * The same for a machine, for a group of a server, for a report and for a simulation.
 *
 * Windows that touch or overlap are one {@linkcode Opening}, and a freeze cuts it. With a delay a window opens later than
 * its start, so that machines with the same windows do not all come at once.
 *
 * The rules have no clock: every question names its `now`, in milliseconds since the epoch.
 */

import { describeFreeze, type Freeze } from "./freeze.ts";
import type { WindowState } from "./strategy.ts";
import { describeWindow, spans, type Window } from "./window.ts";

/** A window, and the zone on whose clock it is meant unless it names one itself. */
export interface ZonedWindow {
  readonly window: Window;
  readonly zone: string;
}

export interface Schedule {
  /** Reboots are allowed while any of them is open; none: always. */
  readonly windows: readonly ZonedWindow[];
  readonly freezes: readonly Freeze[];
  /** How long after its start each window opens, in milliseconds; absent: at once. */
  readonly delayMs?: number;
}

/** Reboots are allowed at any time. */
export const ALWAYS: Schedule = { windows: [], freezes: [] };

/** Whether there is any time without reboots. */
export function isLimited({ windows, freezes }: Schedule): boolean {
  return windows.length > 0 || freezes.length > 0;
}

/** The windows in words: `every Sat at 02:00 for 1h, Europe/Berlin`. `zone`: where no window has one. */
export function describeWindows({ windows }: Pick<Schedule, "windows">, zone: string): string {
  const words = windows.map(({ window }) => describeWindow(window)).join(" and ");
  return `${windows.length === 0 ? "always open" : words}, ${windows[0]?.zone ?? zone}`;
}

/** The same, and how many freezes there are. */
export function describeSchedule(schedule: Schedule, zone: string): string {
  const { length } = schedule.freezes;
  return describeWindows(schedule, zone) +
    (length === 0 ? "" : `; ${length} ${length === 1 ? "freeze" : "freezes"}`);
}

/** A stretch of time in which reboots are allowed, in milliseconds since the epoch. Both ends belong to it, unless a freeze begins at its end. */
export interface Opening {
  readonly startMs: number;
  readonly endMs: number;
}

/** Whether reboots are allowed, and until when it stays so; while they are, `until` is the last moment of that. */
export type Gate =
  | { readonly open: true; readonly until: number }
  | { readonly open: false; readonly until: number; readonly freeze: Freeze | undefined };

/** The gate at `now`. `until` is `Infinity` where no change of it is known. */
export function gateAt(schedule: Schedule, now: number): Gate {
  if (!isLimited(schedule)) return { open: true, until: Infinity };
  const [opening] = openings(schedule, now);
  if (opening !== undefined && opening.startMs <= now) return { open: true, until: opening.endMs };
  return { open: false, until: opening?.startMs ?? Infinity, freeze: freezeAt(schedule, now) };
}

/** The freeze in force at `now`; of several the one that ends last. */
export function freezeAt({ freezes }: Pick<Schedule, "freezes">, now: number): Freeze | undefined {
  let found: Freeze | undefined;
  for (const freeze of freezes) {
    if (freeze.from <= now && now < freeze.until && freeze.until > (found?.until ?? now)) found = freeze;
  }
  return found;
}

/** The same for an agent: also when the opening after this one comes; `zone`: in which a freeze is told. */
export function windowStateAt(schedule: Schedule, now: number, zone: string): WindowState {
  if (!isLimited(schedule)) return { open: true, closesAt: Infinity, nextOpensAt: now };
  const ahead = openings(schedule, now);
  const opening: Opening | undefined = ahead.next().value ?? undefined;
  if (opening !== undefined && opening.startMs <= now) {
    const next: Opening | undefined = opening.endMs === Infinity
      ? undefined
      : ahead.next().value ?? undefined;
    return { open: true, closesAt: opening.endMs, nextOpensAt: next?.startMs ?? Infinity };
  }
  const freeze = freezeAt(schedule, now);
  return {
    open: false,
    nextOpensAt: opening?.startMs ?? Infinity,
    ...(freeze === undefined ? {} : { why: describeFreeze(freeze, zone) }),
  };
}

/** {@linkcode windowStateAt} for who asks again and again: what was computed holds until the next opening or closing. */
export function windowStates(schedule: Schedule, zone: string): (now: number) => WindowState {
  let known: { readonly from: number; readonly until: number; readonly state: WindowState } | undefined;
  return (now) => {
    if (known === undefined || now < known.from || now > known.until) {
      const state = windowStateAt(schedule, now, zone);
      const turnsAt = state.open ? state.closesAt : state.nextOpensAt - 1;
      const until = Math.min(turnsAt, changesAt(schedule, now) - 1);
      known = { from: now, until, state };
    }
    return known.state;
  };
}

/** When a freeze next begins or ends after `now`: then what closes the window may be something else. */
function changesAt({ freezes }: Schedule, now: number): number {
  return freezes.reduce((least, { from, until }) => {
    return from > now ? Math.min(least, from) : until > now ? Math.min(least, until) : least;
  }, Infinity);
}

/**
 * When reboots are allowed: the opening that `from` is in, which begins with `from` at the latest, and those that follow;
 * `undefined`: always. Ends at one that does not end itself, and where no further one is found.
 */
export function openingsOf(schedule: Schedule, from: number): Iterable<Opening> | undefined {
  const { windows, freezes } = schedule;
  if (windows.length === 0 && freezes.every(({ until }) => until <= from)) return undefined;
  return openings(schedule, from);
}

/** Windows that follow each other for so long without a break are open for good. */
const FOR_GOOD_MS = 400 * 24 * 3_600_000;
/** How far it is looked back for the start of an opening. */
const LOOK_BACK_MS = 32 * 24 * 3_600_000;

/** Since when the opening at `now` has lasted; `undefined`: it is closed; `-Infinity`: for longer than is looked back. */
export function openSince(schedule: Schedule, now: number): number | undefined {
  const from = now - LOOK_BACK_MS;
  for (const { startMs, endMs } of openings(schedule, from)) {
    if (startMs > now) return undefined;
    if (now <= endMs) return startMs <= from ? -Infinity : startMs;
  }
  return undefined;
}

/** The openings from `from` on. Where a freeze swallows what comes, it is looked on from its end. */
function* openings(schedule: Schedule, from: number): Generator<Opening, undefined> {
  const freezes = joinedFreezes(schedule.freezes, from);
  let at = from;
  while (true) {
    let later: number | undefined;
    for (const stretch of stretches(schedule, at)) {
      let startMs = Math.max(at, stretch.startMs);
      for (const freeze of freezes) {
        if (freeze.until <= startMs) continue;
        if (freeze.from > stretch.endMs) break;
        if (freeze.from > startMs) yield { startMs, endMs: freeze.from };
        startMs = freeze.until;
      }
      if (startMs <= stretch.endMs) yield { startMs, endMs: stretch.endMs };
      else {
        later = startMs;
        break;
      }
    }
    if (later === undefined || later === Infinity) return;
    at = later;
  }
}

/** The freezes that are not over at `from`, in order, those that touch or overlap as one. */
function joinedFreezes(freezes: readonly Freeze[], from: number): Freeze[] {
  const joined: Freeze[] = [];
  for (const freeze of freezes.filter(({ until }) => until > from).sort((a, b) => a.from - b.from)) {
    const last = joined.at(-1);
    if (last === undefined || freeze.from > last.until) joined.push(freeze);
    else joined[joined.length - 1] = { from: last.from, until: Math.max(last.until, freeze.until) };
  }
  return joined;
}

/** When any of the windows is open: from the one at `from` on, in order, those that touch or overlap as one. */
function* stretches({ windows, delayMs = 0 }: Schedule, from: number): Generator<Opening> {
  if (windows.length === 0) return yield { startMs: -Infinity, endMs: Infinity };
  const streams = windows.map((window) => new Stream(window, from, delayMs));
  let current: Opening | undefined;
  while (true) {
    let first: Stream | undefined;
    for (const stream of streams) {
      if (stream.head !== undefined && stream.head.startMs < (first?.head?.startMs ?? Infinity)) {
        first = stream;
      }
    }
    const next = first?.head;
    if (first === undefined || next === undefined) {
      if (current !== undefined) yield current;
      return;
    }
    first.advance();
    if (current === undefined || next.startMs > current.endMs) {
      if (current !== undefined) yield current;
      current = next;
    } else current = { startMs: current.startMs, endMs: Math.max(current.endMs, next.endMs) };
    if (current.endMs - current.startMs > FOR_GOOD_MS) {
      return yield { startMs: current.startMs, endMs: Infinity };
    }
  }
}

/** The occurrences of one window, the next one at hand. */
class Stream {
  head: Opening | undefined;
  readonly #spans: ReturnType<typeof spans>;

  constructor({ window, zone }: ZonedWindow, from: number, private readonly delayMs: number) {
    const at = Temporal.Instant.fromEpochMilliseconds(Math.floor(from)).toZonedDateTimeISO(zone);
    this.#spans = spans(window, at);
    this.advance();
  }

  advance(): void {
    this.head = undefined;
    while (this.head === undefined) {
      const next = this.#next();
      if (next === undefined) return;
      const startMs = next.startMs + this.delayMs;
      // one that is shorter than the delay is left out
      if (startMs <= next.endMs) this.head = { startMs, endMs: next.endMs };
    }
  }

  #next(): Opening | undefined {
    try {
      const { startNs, endNs } = this.#spans.next().value;
      return { startMs: milliseconds(startNs), endMs: milliseconds(endNs) };
    } catch (error) {
      // calendars end with the year 2199
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  }
}

/** The millisecond in which it is. */
function milliseconds(ns: bigint): number {
  return Number(ns / 1_000_000n);
}

/**
 * How far into its windows a machine begins, of a spread of `spreadMs`: the same for the same machine and group, and evenly
 * drawn over the machines of a group. Whole seconds.
 */
export function delayOf(machine: string, group: string, spreadMs: number): number {
  // FNV-1a, then mixed as MurmurHash3 does at its end: ids often differ in their last character only
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(`${machine}\0${group}`)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  for (const factor of [0x85ebca6b, 0xc2b2ae35]) {
    hash = Math.imul(hash ^ hash >>> (factor === 0x85ebca6b ? 16 : 13), factor);
  }
  const share = ((hash ^ hash >>> 16) >>> 0) / 2 ** 32;
  return Math.floor(share * spreadMs / 1000) * 1000;
}
