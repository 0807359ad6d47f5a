/** "did you mean": what a mistyped word most likely stands for. */

import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";

/** The one of `candidates` that `word` most likely stands for, or `undefined` where none is near enough to name it. */
export function suggest(word: string, candidates: readonly string[]): string | undefined {
  if (word === "" || candidates.length === 0) return undefined;
  const closest = closestString(word, candidates);
  const distance = levenshteinDistance(word.toLowerCase(), closest.toLowerCase());
  return distance <= Math.max(1, Math.min(3, Math.floor((closest.length + 1) / 3))) ? closest : undefined;
}

/** The same as the end of a message: `, did you mean 'x'?`, or nothing. */
export function didYouMean(word: string, candidates: readonly string[], prefix = ""): string {
  const closest = suggest(word, candidates);
  return closest === undefined ? "" : `, did you mean '${prefix}${closest}'?`;
}
