/**
 * Time, chance and the log, as parameters: the program has the real ones, a simulation its own.
 */

export interface Surroundings {
  /** The wall clock, in milliseconds since the epoch. People set it, and it may leap. */
  now(): number;
  /** Milliseconds since some moment; never set back. What lasts is measured by this. */
  elapsed(): number;
  /** A number in [0, 1). */
  random(): number;
  /** Calls `run` after `ms` milliseconds, unless the timer is cancelled before. */
  after(ms: number, run: () => void): Timer;
}

export interface Timer {
  /** The call will not come any more. Cancelling twice is fine. */
  cancel(): void;
}

/** How grave a line of the log is, in the order of syslog(3). */
export type LogLevel = "debug" | "info" | "notice" | "warning" | "error";

/** Writes a line of the log. Never throws. */
export type Log = (level: LogLevel, text: string) => void;

/** A moment by both clocks, in milliseconds, and what chance says at it. */
export interface Moment {
  readonly now: number;
  readonly elapsed: number;
  /** A number in [0, 1). */
  readonly chance: number;
}

/** The moment that it is. */
export function moment(surroundings: Surroundings): Moment {
  return { now: surroundings.now(), elapsed: surroundings.elapsed(), chance: surroundings.random() };
}

/** Resolves after `ms` milliseconds. */
export function sleep(surroundings: Surroundings, ms: number): Promise<void> {
  return new Promise((resolve) => surroundings.after(ms, resolve));
}

/** setTimeout(2) holds no more than this, and fires at once beyond it. */
const TIMER_LIMIT_MS = 2 ** 31 - 1;

/** Those of this process. */
export const REAL: Surroundings = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  random: () => Math.random(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, TIMER_LIMIT_MS));
    return { cancel: () => clearTimeout(timer) };
  },
};
