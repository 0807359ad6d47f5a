/**
 * What the demo says about a run: how many machines were out of service at once, who is missing, and the exit code.
 *
 * Two things are counted, neither from what a daemon says of itself. A machine is down from the moment its reboot command
 * ran until the demo starts it again: the demo plays the machine, so it knows. And a machine is out while the
 * semaphore lists it, by the demo's own readings of the store. A machine that is down and not listed counts in a reading
 * too, and one that went down without being listed is told by name.
 */

/** A machine was down; `toMs` is `Infinity` as long as it is. Times are milliseconds since the epoch. */
export interface Outage {
  readonly machine: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Who held a slot at some moment between these two: when the question went out and when the answer was here. */
export interface Reading {
  readonly fromMs: number;
  readonly toMs: number;
  readonly holders: readonly string[];
}

/** How a run ended. */
export interface Outcome {
  readonly machines: number;
  readonly max: number;
  readonly rebooted: number;
  readonly mostAtOnce: number;
  readonly elapsedMs: number;
  /** Machines that went down while the semaphore did not list them. */
  readonly unlisted: readonly string[];
}

/**
 * The most machines that were out of service at one moment: down, or listed in a reading. A machine that comes back in
 * the instant in which another one goes down was not down together with it. A reading counts those who were down from
 * its beginning to its end, so that it never joins what was not at one moment.
 */
export function mostAtOnce(outages: readonly Outage[], readings: readonly Reading[]): number {
  // the number of machines that are down is greatest when one has just gone down
  const down = outages.map(({ fromMs }) => {
    const then = outages.filter((other) => other.fromMs <= fromMs && fromMs < other.toMs);
    return new Set(then.map(({ machine }) => machine)).size;
  });
  const out = readings.map(({ fromMs, toMs, holders }) => {
    const through = outages.filter((outage) => outage.fromMs <= fromMs && toMs < outage.toMs);
    return new Set([...holders, ...through.map(({ machine }) => machine)]).size;
  });
  return Math.max(0, ...down, ...out);
}

/** 0: every machine rebooted, each under a slot, and never more than max at once. Else 1. */
export function exitCode({ machines, max, rebooted, mostAtOnce, unlisted }: Outcome): number {
  return rebooted === machines && mostAtOnce <= max && unlisted.length === 0 ? 0 : 1;
}

/** The last line of the demo, and one more for each thing that must not be. */
export function summary(outcome: Outcome): string[] {
  const { machines, max, rebooted, mostAtOnce, elapsedMs, unlisted } = outcome;
  return [
    `${rebooted} of ${count(machines, "machine")} rebooted in ${
      seconds(elapsedMs)
    }; at most ${mostAtOnce} at once, max ${max}`,
    ...(mostAtOnce > max ? [`max was exceeded: ${mostAtOnce} at once where ${max} may`] : []),
    ...(unlisted.length > 0 ? [`went down without a slot: ${unlisted.join(", ")}`] : []),
  ];
}

/** How long a run may take, in milliseconds: many times what it needs, for machines that are slow or busy. */
export function deadlineMs(machines: number, max: number): number {
  return 30_000 + 2_000 * machines + 10_000 * Math.ceil(machines / max);
}

/** `1 machine`, `2 machines`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

/** `17.2 s` */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
