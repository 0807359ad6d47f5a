/**
 * For whom a slot is kept while it is away, and how long slots have stood idle for that: see `polling.ts` for the rule.
 */

import type { Line, Standing } from "./line.ts";
import { isDue, keepPauseMs, keptLimit } from "./polling.ts";
import { isBefore } from "./store.ts";

export class KeptSlots {
  /** Since when a slot stands idle for somebody who is away. */
  #idleSinceMs: number | undefined;
  /** Until when no slot is kept. */
  #notBeforeMs = -Infinity;

  constructor(private readonly line: Line) {}

  /** A slot stands idle for somebody who is away, or does not any more. Clocks in milliseconds; `max`: slots of the group. */
  idle(is: boolean, max: number, elapsedMs: number): void {
    if (is) this.#idleSinceMs ??= elapsedMs;
    else if (this.#idleSinceMs !== undefined) {
      this.#notBeforeMs = elapsedMs + keepPauseMs(elapsedMs - this.#idleSinceMs, max);
      this.#idleSinceMs = undefined;
    }
  }

  /** The next for whom a slot is to be kept. `now`: milliseconds since the epoch. */
  next(max: number, elapsedMs: number, now: number): Standing | undefined {
    const { line } = this;
    if (this.#idleSinceMs !== undefined || elapsedMs < this.#notBeforeMs) return undefined;
    if (line.kept >= keptLimit(max)) return undefined;
    return line.everybody.find((standing) => {
      const { key, place, priority, rank } = standing;
      if (!key.beside || !isDue(place, line.passedOver(place.machine), now)) return false;
      const older = line.oldestOf(priority);
      return older === undefined || !isBefore(older.rank, rank);
    });
  }
}
