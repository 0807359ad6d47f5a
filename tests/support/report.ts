/** What `deno test` prints, counted: how many tests passed, failed and were skipped. */

/** Where tests may be skipped: few machines let tests boot hosts. Elsewhere a test that did not run has failed. */
const SKIPPABLE = /^\.\/tests\/hosts\//;

/** How a run ended: `12 passed, 0 failed`, and `, 3 skipped` where some were. */
export interface Summary {
  readonly passed: number;
  readonly failures: number;
  readonly skipped: number;
  readonly text: string;

  /** What `deno test` tells of those that failed: their errors and their names. Empty where none did. */
  readonly faults: string;
}

export class Report {
  passed = 0;
  skipped = 0;
  #failed = 0;
  #ignored = 0;
  /** Whose tests are running. */
  file = "";
  #telling = false;
  readonly #faults: string[] = [];

  /** Takes the next line, with its colours. */
  take(coloured: string): void {
    // deno-lint-ignore no-control-regex -- the colours of a terminal
    const line = coloured.replace(/\u001b\[[0-9;]*m/g, "");
    this.#telling = line === " ERRORS " || this.#telling && !/^FAILED \| /.test(line);
    if (this.#telling) this.#faults.push(line);
    this.file = /^running \d+ tests? from (\S+)/.exec(line)?.[1] ?? this.file;
    if (/\.\.\. ignored\b/.test(line) && SKIPPABLE.test(this.file)) this.skipped++;
    const [, passed, failed, rest = ""] = /(\d+) passed[^|]*\| (\d+) failed(.*)/.exec(line) ?? [];
    if (passed === undefined) return;
    [this.passed, this.#failed] = [Number(passed), Number(failed)];
    this.#ignored = Number(/(\d+) ignored/.exec(rest)?.[1] ?? 0);
  }

  /** How many failed. One that was ignored and may not be skipped is among them. */
  get failed(): number {
    return this.#failed + this.#ignored - this.skipped;
  }

  /** How a run that exited with `code` ended. */
  summary(code: number): Summary {
    const { passed, failed, skipped } = this;
    // a run that broke down before it could count has failed
    const failures = code !== 0 ? Math.max(failed, 1) : failed + (passed + skipped === 0 ? 1 : 0);
    return summaryOf(passed, failures, skipped, this.#faults.join("\n"));
  }
}

/** How several runs ended together. */
export function total(summaries: readonly Summary[]): Summary {
  const sum = (of: (summary: Summary) => number) => summaries.reduce((all, summary) => all + of(summary), 0);
  return summaryOf(
    sum(({ passed }) => passed),
    sum(({ failures }) => failures),
    sum(({ skipped }) => skipped),
    summaries.map(({ faults }) => faults).filter(Boolean).join("\n"),
  );
}

function summaryOf(passed: number, failures: number, skipped: number, faults: string): Summary {
  const text = `${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
  return { passed, failures, skipped, text, faults };
}
