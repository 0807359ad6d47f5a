/**
 * Back-off: pauses that double with each failure up to a limit, each shortened by chance to somewhere between a half and
 * all of it, so that machines that failed together do not come back together.
 */

/** The first and the longest pause, in milliseconds. */
export interface BackoffRange {
  readonly first: number;
  readonly last: number;
}

/** The pause after so many failures in a row, in milliseconds. `chance`: a number in [0, 1). */
export function backoffMs(failures: number, { first, last }: BackoffRange, chance: number): number {
  return Math.min(last, first * 2 ** Math.min(failures - 1, 30)) * (1 + chance) / 2;
}
