/** The part of `@std/text/closest-string` that this project uses: the string of `possibleWords` that is nearest to `givenWord`. */
export function closestString(
  givenWord: string,
  possibleWords: readonly string[],
  options?: { caseSensitive?: boolean },
): string;
