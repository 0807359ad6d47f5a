/** The part of `@std/text/levenshtein-distance` that this project uses: how many edits turn `str1` into `str2`. */
export function levenshteinDistance(str1: string, str2: string): number;
