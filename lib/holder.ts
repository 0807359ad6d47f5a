/**
 * Which holder somebody means who types a name. People know hosts, and the digits that they are shown; a machine id is
 * always taken as such. Where several fit, none is meant. Pure.
 */

import type { Semaphore } from "./semaphore.ts";

/** The fewest digits that may stand for a machine id. */
export const PREFIX_LENGTH_LEAST = 4;

export type Meant =
  | { readonly kind: "one"; readonly id: string }
  | { readonly kind: "none" }
  | { readonly kind: "several"; readonly ids: readonly string[] };

/** The holder that `word` names: by its whole id, else by its host name, else by the beginning of its id. */
export function findHolder({ holders, holds }: Semaphore, word: string): Meant {
  // as it is shown, an ellipsis behind it
  const digits = word.replace(/(?:\u2026|\.\.\.)$/, "");
  const ways: ((id: string) => boolean)[] = [
    (id) => id === word,
    (id) => holds.get(id)?.host === word,
    (id) => digits.length >= PREFIX_LENGTH_LEAST && id.startsWith(digits),
  ];
  for (const fits of ways) {
    const ids = holders.filter(fits);
    const [id] = ids;
    if (id !== undefined) return ids.length === 1 ? { kind: "one", id } : { kind: "several", ids };
  }
  return { kind: "none" };
}
