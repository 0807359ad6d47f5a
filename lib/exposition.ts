/**
 * Figures in the text format that Prometheus scrapes, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/):
 * families with their help and type, and samples with labels. Times are seconds since the epoch, not ages.
 */

export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  /** What follows the name of the family: `_bucket`, `_sum`, `_count`. */
  readonly suffix?: string;
  readonly labels?: Labels;
  readonly value: number;
}

/** All samples of one name. */
export interface Family {
  readonly name: string;
  readonly type: "gauge" | "counter" | "histogram";
  /** One sentence. */
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** The text of families that have samples. */
export function exposition(families: readonly Family[]): string {
  return families.filter(({ samples }) => samples.length > 0).map(familyText).join("");
}

function familyText({ name, type, help, samples }: Family): string {
  const lines = samples.map(({ suffix = "", labels = {}, value }) =>
    `${name}${suffix}${labelText(labels)} ${numberText(value)}`
  );
  return `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n# TYPE ${name} ${type}\n${
    lines.join("\n")
  }\n`;
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escaped(value: string): string {
  return value.toWellFormed().replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}

/** Counts that only grow, by their labels. */
export class Counts {
  readonly #counts = new Map<string, { readonly labels: Labels; value: number }>();

  /** `zeros`: what is there from the start, so that a first increase is seen as one. */
  constructor(zeros: readonly Labels[] = []) {
    for (const labels of zeros) this.begin(labels);
  }

  add(labels: Labels, by = 1): void {
    const key = JSON.stringify(labels);
    const count = this.#counts.get(key);
    if (count === undefined) this.#counts.set(key, { labels, value: by });
    else count.value += by;
  }

  /** Is there from now on, at zero where nothing was counted yet. */
  begin(labels: Labels): void {
    this.add(labels, 0);
  }

  get samples(): Sample[] {
    return [...this.#counts.values()].map(({ labels, value }) => ({ labels, value }));
  }
}

/** How often a figure was how large, by its labels. */
export class Histogram {
  readonly #rows = new Map<
    string,
    { readonly labels: Labels; readonly buckets: number[]; sum: number; count: number }
  >();

  /** `bounds`: the upper ends of the buckets, the least first; one without an end comes last. */
  constructor(private readonly bounds: readonly number[], zeros: readonly Labels[] = []) {
    for (const labels of zeros) this.begin(labels);
  }

  /** Is there from now on, at zero where nothing was observed yet. */
  begin(labels: Labels): void {
    this.#row(labels);
  }

  observe(labels: Labels, value: number): void {
    const row = this.#row(labels);
    row.sum += value;
    row.count++;
    this.bounds.forEach((bound, i) => {
      if (value <= bound) row.buckets[i] = (row.buckets[i] ?? 0) + 1;
    });
  }

  get samples(): Sample[] {
    return [...this.#rows.values()].flatMap(({ labels, buckets, sum, count }) => [
      ...buckets.map((value, i) => ({
        suffix: "_bucket",
        labels: { ...labels, le: numberText(this.bounds[i] ?? Infinity) },
        value,
      })),
      { suffix: "_bucket", labels: { ...labels, le: "+Inf" }, value: count },
      { suffix: "_sum", labels, value: sum },
      { suffix: "_count", labels, value: count },
    ]);
  }

  #row(labels: Labels) {
    const key = JSON.stringify(labels);
    const row = this.#rows.get(key) ?? { labels, buckets: this.bounds.map(() => 0), sum: 0, count: 0 };
    this.#rows.set(key, row);
    return row;
  }
}
