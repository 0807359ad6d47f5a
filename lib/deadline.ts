/**
 * A date before which a machine should reboot, although nothing needs it today: that until which its running kernel is
 * patched, for one. It is told, and reboots nothing.
 */

import { describeDistance } from "./description.ts";
import type { Deadline } from "./need.ts";
import type { Log, Surroundings, Timer } from "./surroundings.ts";

const DAY_MS = 24 * 3_600_000;
/** A deadline is near in its last two weeks: a window of every week opens twice before it. */
const NEAR_MS = 14 * DAY_MS;

/** How a deadline stands. */
export function nearness(deadline: Deadline, now: number): "far" | "near" | "past" {
  const leftMs = Date.parse(deadline.until) - now;
  return leftMs <= 0 ? "past" : leftMs <= NEAR_MS ? "near" : "far";
}

/** `reboot before 2027-10-02, in 9 days: end of Livepatch for kernel 6.8.0-142.142-generic`. */
export function describeDeadline(deadline: Deadline, now: number): string {
  const { until, why } = deadline;
  const verb = nearness(deadline, now) === "past" ? "reboot overdue since" : "reboot before";
  return `${verb} ${until}, ${describeDistance(Date.parse(until) - now)}: ${why}`;
}

/** Writes into the log, once each, that a deadline is near and that it has passed. */
export class DeadlineReminder implements Disposable {
  #told = "";
  #timer: Timer | undefined;

  constructor(
    private readonly surroundings: Pick<Surroundings, "now" | "after">,
    private readonly log: Log,
  ) {}

  /** Takes the deadline that is in force now, or that there is none. */
  hear(deadline: Deadline | undefined): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (deadline === undefined) return;
    const now = this.surroundings.now();
    const standing = nearness(deadline, now);
    const news = `${standing} ${deadline.until}`;
    if (standing !== "far" && news !== this.#told) {
      this.log(standing === "past" ? "warning" : "notice", describeDeadline(deadline, now));
    }
    this.#told = news;
    // a clock may be set, so it is asked at least once a day
    if (standing !== "past") this.#timer = this.surroundings.after(DAY_MS, () => this.hear(deadline));
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
  }
}
