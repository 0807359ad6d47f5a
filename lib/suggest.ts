/** "did you mean": what a mistyped word most likely stands for. */

/** So many letters may be added, left out or changed, of the longest words. */
const EDITS_MAX = 3;

/** The one of `candidates` that `word` most likely stands for, or `undefined` where none is near enough to name it. */
export function suggest(word: string, candidates: readonly string[]): string | undefined {
  if (word === "") return undefined;
  let nearest: { readonly candidate: string; readonly count: number } | undefined;
  for (const candidate of candidates) {
    const least = Math.abs(candidate.length - word.length);
    if (least > EDITS_MAX || nearest !== undefined && least >= nearest.count) continue;
    const count = edits(word.toLowerCase(), candidate.toLowerCase());
    if (nearest === undefined || count < nearest.count) nearest = { candidate, count };
  }
  if (nearest === undefined) return undefined;
  const most = Math.max(1, Math.min(EDITS_MAX, Math.floor((nearest.candidate.length + 1) / 3)));
  return nearest.count <= most ? nearest.candidate : undefined;
}

/**
 * The one of these names that was meant by one that is none of them and is about to be made; `undefined`: it is meant so.
 * Who has web1 and makes web2 made no error.
 */
export function suggestInstead(name: string, names: readonly string[]): string | undefined {
  return suggest(name, names.filter((other) => shape(other) !== shape(name)));
}

/** A name with its numbers left open; of one without numbers nothing else has the same. */
function shape(name: string): string {
  return /[0-9]/.test(name) ? name.replace(/[0-9]+/g, "0") : `${name}\0`;
}

/** The same as the end of a message: `, did you mean 'x'?`, or nothing. */
export function didYouMean(word: string, candidates: readonly string[], prefix = ""): string {
  const closest = suggest(word, candidates);
  return closest === undefined ? "" : `, did you mean '${prefix}${closest}'?`;
}

/** How many letters have to be added, left out or changed to make one word of the other (Levenshtein). */
function edits(from: string, to: string): number {
  // how many it takes from what was seen of `from` to each beginning of `to`
  let counts = Array.from({ length: to.length + 1 }, (_, length) => length);
  for (let at = 0; at < from.length; at++) {
    const next = [at + 1];
    for (let length = 1; length <= to.length; length++) {
      const [before = 0, above = 0, left = 0] = [counts[length - 1], counts[length], next[length - 1]];
      next.push(Math.min(above + 1, left + 1, before + (from[at] === to[length - 1] ? 0 : 1)));
    }
    counts = next;
  }
  return counts[to.length] ?? 0;
}
