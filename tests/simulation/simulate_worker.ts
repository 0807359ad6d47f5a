/**
 * Plays histories for `simulate.ts`, a batch for each message, on a core of its own.
 */

import { type HistoryResult, playHistory } from "./simulated_history.ts";

/** A first seed, and how many from there on. */
export interface Batch {
  readonly seed: number;
  readonly count: number;
}

interface WorkerScope {
  onmessage: (event: MessageEvent<Batch>) => void;
  postMessage(results: HistoryResult[]): void;
}

// a call that the simulation fails makes an error, and its stack would cost more than the call; `--trace` tells it
Error.stackTraceLimit = 0;

const scope = globalThis as unknown as WorkerScope;

scope.onmessage = async ({ data: { seed, count } }) => {
  const results: HistoryResult[] = [];
  for (let next = seed; next < seed + count; next++) {
    const result = await playHistory(next);
    results.push(result);
    // what went wrong is of more interest than the rest of the batch
    if (result.violations.length > 0 || result.stuck !== undefined || result.crash !== undefined) break;
  }
  scope.postMessage(results);
};
