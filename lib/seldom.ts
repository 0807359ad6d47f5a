/** How often what holds for long is told: at once, and then seldom, so that a log has it and is not full of it. */

import type { Log, Surroundings } from "./surroundings.ts";

/** How long after it was told what still holds is told again, in milliseconds. */
export const REMIND_MS = 60 * 60_000;

/** So many texts are remembered. */
const TEXTS_MAX = 100;

/** A log that leaves out what it told within {@linkcode REMIND_MS}. For what is found again at every look. */
export function seldom(log: Log, { elapsed }: Pick<Surroundings, "elapsed">): Log {
  const told = new Map<string, number>();
  return (level, text) => {
    const at = told.get(text);
    if (at !== undefined && elapsed() - at < REMIND_MS) return;
    if (told.size >= TEXTS_MAX) told.clear();
    told.set(text, elapsed());
    log(level, text);
  };
}
