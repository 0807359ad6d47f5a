/**
 * `deno task simulate`: plays histories (see `simulated_history.ts`) from a seed on, on every core, until the first that
 * goes wrong.
 *
 *     deno task simulate                                  1,000 histories
 *     deno task simulate --histories 100000 --seed 1      as many as are wanted
 *     deno task simulate --seed 4711 --trace              one history, every event of it
 *     deno task simulate --json FILE                      the figures for programs
 *
 * The same seed at the same commit is the same history. Exit codes: 129 something happened that must not (safety), 128
 * something that must happen did not, or a storm fed itself (liveness), 127 the program threw, 1 a check that no history exercised, 2 asked for
 * wrongly.
 */

import { parseArgs } from "@std/cli/parse-args";
import { FAULT_KINDS, type FaultKind } from "./mischief.ts";
import { type Check, CHECKS, type HistoryResult, playHistory } from "./simulated_history.ts";
import { STORM_CHECKS } from "./storms.ts";
import type { Batch } from "./simulate_worker.ts";

export const EXIT = { safety: 129, liveness: 128, crash: 127, unexercised: 1, usage: 2 } as const;
const BATCH = 20;

/** What a run of many histories showed. */
export interface Figures {
  readonly firstSeed: number;
  readonly histories: number;
  readonly seconds: number;
  readonly simulatedHours: number;
  readonly reboots: number;
  readonly unknownOutcomes: number;
  readonly faults: Record<FaultKind, number>;
  readonly exercised: Record<Check, number>;
  /** The longest share of its bound that any history took to converge. */
  readonly longestShareOfBound: number;
  readonly longestConvergenceMs: number;
  readonly failure: { readonly seed: number; readonly exit: number; readonly text: string } | null;
}

class Tally {
  histories = 0;
  simulatedMs = 0;
  reboots = 0;
  unknownOutcomes = 0;
  share = 0;
  longestMs = 0;
  failure: Figures["failure"] = null;
  readonly faults = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>;
  readonly exercised = Object.fromEntries(CHECKS.map((check) => [check, 0])) as Record<Check, number>;

  add(result: HistoryResult): void {
    this.histories++;
    this.simulatedMs += result.simulatedMs;
    this.reboots += result.reboots;
    this.unknownOutcomes += result.unknownOutcomes;
    this.share = Math.max(this.share, result.convergedMs / result.boundMs);
    this.longestMs = Math.max(this.longestMs, result.convergedMs);
    for (const kind of FAULT_KINDS) this.faults[kind] += result.faults[kind];
    for (const check of CHECKS) this.exercised[check] += result.exercised[check];
    const failure = failureOf(result);
    if (failure !== null && (this.failure === null || failure.seed < this.failure.seed)) {
      this.failure = failure;
    }
  }
}

function failureOf({ seed, violations, stuck, crash }: HistoryResult): Figures["failure"] {
  if (crash !== undefined) return { seed, exit: EXIT.crash, text: crash };
  const [violation] = violations;
  if (violation !== undefined) {
    const exit = STORM_CHECKS.some((check) => check === violation.invariant) ? EXIT.liveness : EXIT.safety;
    return { seed, exit, text: `${violation.invariant}: ${violation.text}` };
  }
  return stuck === undefined ? null : { seed, exit: EXIT.liveness, text: `L1: ${stuck}` };
}

/** Plays `count` histories from `firstSeed` on, and stops at the first that goes wrong. */
export async function simulate(
  firstSeed: number,
  count: number,
  progress: (done: number) => void = () => {},
): Promise<Figures> {
  const started = performance.now();
  const tally = new Tally();
  let next = firstSeed;
  const end = firstSeed + count;
  const play = (worker: Worker) =>
    new Promise<void>((resolve, reject) => {
      const more = () => {
        if (next >= end || tally.failure !== null) return resolve();
        const batch: Batch = { seed: next, count: Math.min(BATCH, end - next) };
        next += batch.count;
        worker.postMessage(batch);
      };
      worker.onmessage = ({ data }: MessageEvent<HistoryResult[]>) => {
        for (const result of data) tally.add(result);
        progress(tally.histories);
        more();
      };
      worker.onerror = (event) => reject(new Error(event.message));
      more();
    });
  const workers = Array.from(
    { length: Math.max(1, Math.min(navigator.hardwareConcurrency, Math.ceil(count / BATCH))) },
    () => new Worker(import.meta.resolve("./simulate_worker.ts"), { type: "module" }),
  );
  try {
    await Promise.all(workers.map(play));
  } finally {
    for (const worker of workers) worker.terminate();
  }
  return {
    firstSeed,
    histories: tally.histories,
    seconds: (performance.now() - started) / 1000,
    simulatedHours: tally.simulatedMs / 3_600_000,
    reboots: tally.reboots,
    unknownOutcomes: tally.unknownOutcomes,
    faults: tally.faults,
    exercised: tally.exercised,
    longestShareOfBound: tally.share,
    longestConvergenceMs: tally.longestMs,
    failure: tally.failure,
  };
}

/** The checks that no history put to the test: they have shown nothing. */
export function unexercised({ exercised }: Figures): Check[] {
  return CHECKS.filter((check) => exercised[check] === 0);
}

async function main(): Promise<number> {
  const options = parseArgs(Deno.args, {
    string: ["histories", "seed", "json"],
    boolean: ["trace"],
  });
  const [histories, seed] = [Number(options.histories ?? "1000"), Number(options.seed ?? "1")];
  if (!Number.isSafeInteger(histories) || histories < 1 || !Number.isSafeInteger(seed) || seed < 0) {
    console.error("usage: deno task simulate [--histories N] [--seed S] [--trace] [--json FILE]");
    return EXIT.usage;
  }
  if (options.trace) {
    const failure = failureOf(await playHistory(seed, (line) => console.log(line)));
    console.log(failure === null ? `seed ${seed}: all is well` : `seed ${seed}: ${failure.text}`);
    return failure?.exit ?? 0;
  }
  const live = Deno.stderr.isTerminal();
  const figures = await simulate(seed, histories, (done) => {
    if (live) Deno.stderr.writeSync(new TextEncoder().encode(`\r${done} of ${histories} histories`));
  });
  if (live) console.error();
  const json: unknown = options.json;
  if (typeof json === "string") {
    await Deno.writeTextFile(json, `${JSON.stringify(figures, null, 2)}\n`);
  }
  console.log(summary(figures));
  if (figures.failure !== null) {
    console.error(`seed ${figures.failure.seed}: ${figures.failure.text}`);
    console.error(`every event of it: deno task simulate --seed ${figures.failure.seed} --trace`);
    return figures.failure.exit;
  }
  const missing = unexercised(figures);
  if (missing.length > 0) console.error(`never put to the test: ${missing.join(", ")}`);
  return missing.length > 0 ? EXIT.unexercised : 0;
}

function summary(figures: Figures): string {
  const { histories, seconds, simulatedHours, reboots, unknownOutcomes } = figures;
  const faults = Object.values(figures.faults).reduce((sum, count) => sum + count, 0);
  return `${histories} histories (${Math.round(histories * 60 / seconds)} a minute), ` +
    `${Math.round(simulatedHours)} simulated hours, ${reboots} reboots, ${faults} faults, ` +
    `${unknownOutcomes} transactions with unknown outcome; ` +
    `checks: ${CHECKS.map((check) => `${check} ${figures.exercised[check]}`).join(", ")}`;
}

if (import.meta.main) Deno.exit(await main());
