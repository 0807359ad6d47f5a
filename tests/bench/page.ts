/** What a benchmark's page is made of: figures beside their bounds, and tables. */

/** A figure that is to keep a bound. */
export interface Figure {
  readonly what: string;
  readonly value: string;
  readonly bound: string;
  readonly holds: boolean;
}

/** A part of the page, with the figures that it shows to hold or to be missed. */
export interface Section {
  readonly text: string;
  readonly figures: readonly Figure[];
}

/** A figure that must not exceed `bound`. */
export function atMost(what: string, value: number, bound: number, digits: number, unit = ""): Figure {
  return {
    what,
    value: `${value.toFixed(digits)}${unit}`,
    bound: `<= ${bound}${unit}`,
    holds: value <= bound,
  };
}

/** A figure that must not fall below `bound`. */
export function atLeast(what: string, value: number, bound: number, digits: number, unit = ""): Figure {
  return {
    what,
    value: `${value.toFixed(digits)}${unit}`,
    bound: `>= ${bound}${unit}`,
    holds: value >= bound,
  };
}

/** Something that is to be true. */
export function must(what: string, holds: boolean): Figure {
  return { what, value: holds ? "yes" : "no", bound: "yes", holds };
}

/** A table in Markdown. */
export function grid(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |\n`;
  return line(head) + line(head.map(() => "---")) + rows.map(line).join("");
}

/** The figures as a table. */
export function figureGrid(figures: readonly Figure[]): string {
  return grid(
    ["figure", "measured", "bound", ""],
    figures.map(({ what, value, bound, holds }) => [what, value, bound, holds ? "holds" : "MISSED"]),
  );
}

/** The value below which a share of the values lies; NaN for none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}
