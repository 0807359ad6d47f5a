/**
 * For whom slots are kept while it is away, who may pass it, and how long slots have stood idle for that: `polling.ts` has
 * the rule.
 */

import type { Line, Standing } from "./line.ts";
import {
  afterIdling,
  budgetLastsMs,
  DUE_PER_SLOT,
  FIRM_LIMIT,
  FULL_BUDGET,
  type IdleBudget,
  isDue,
} from "./polling.ts";
import { isBefore } from "./store.ts";

export class KeptSlots {
  #budget: IdleBudget = FULL_BUDGET;
  /** Since when so many slots stand idle. */
  #idle = { slots: 0, max: 0, atMs: 0 };
  constructor(private readonly line: Line) {}

  /** The places of hosts that are away, in the queue, whom this one may pass with so many slots free. `now`: since the epoch. */
  passable(machine: string, free: number, now: number): string[] {
    const { line } = this;
    const kept = line.queue.filter(({ place }) => place.kept === true && place.machine !== machine);
    if (kept.length === 0) return [];
    if (this.spent) return kept.map(keyOf);
    const isFirm = ({ place }: Standing) => line.passedOver(place.machine) >= FIRM_LIMIT;
    const due = line.of(machine).some((standing) => this.#isDue(standing, now));
    const reserved = due ? kept.filter(isFirm).length : Math.ceil(this.#due(now) / DUE_PER_SLOT);
    return (free > reserved ? kept : due ? kept.filter((standing) => !isFirm(standing)) : []).map(keyOf);
  }

  /** So many of the slots of the group are free now. `elapsedMs`: the clock that is never set back. */
  free(slots: number, max: number, elapsedMs: number): void {
    const { line } = this;
    this.#budget = afterIdling(this.#budget, elapsedMs - this.#idle.atMs, this.#idle.slots, this.#idle.max);
    this.#idle = { slots: line.length > 0 ? slots : 0, max, atMs: elapsedMs };
  }

  /** Whether no slot may be kept now: the budget is used up. */
  get spent(): boolean {
    return this.#budget.spent;
  }

  /** In how many milliseconds that is so; `Infinity`: not by itself. */
  get changesInMs(): number {
    // when it is there again is seen at the next grant
    return this.spent || this.#idle.slots === 0
      ? Infinity
      : budgetLastsMs(this.#budget, this.#idle.slots, this.#idle.max);
  }

  /** Those whose place is in the queue while they are away. */
  get inQueue(): readonly Standing[] {
    return this.line.queue.filter(({ place }) => place.kept === true);
  }

  /** Whose place is to be put into the queue. `now`: milliseconds since the epoch. */
  next(now: number): Standing | undefined {
    const { line } = this;
    if (this.spent || line.kept > 0) return undefined;
    return line.everybody.find((standing) => {
      const { key, priority, rank } = standing;
      if (!key.beside || !this.#isDue(standing, now)) return false;
      const older = line.oldestOf(priority);
      return older === undefined || !isBefore(older.rank, rank);
    });
  }

  #due(now: number): number {
    let due = 0;
    for (const standing of this.line.everybody) if (this.#isDue(standing, now)) due++;
    return due;
  }

  #isDue({ place, key }: Standing, now: number): boolean {
    return place.kept === true || key.beside && isDue(place, this.line.passedOver(place.machine), now);
  }
}

function keyOf({ entry }: Standing): string {
  return entry.key;
}
