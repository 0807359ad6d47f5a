/** How long the calls of a server to its store take, and how many fail. */

import { Counts, type Family, Histogram } from "../exposition.ts";
import { type AheadStore, type CommitOutcome, type Store, StoreError } from "../store.ts";
import type { Surroundings } from "../surroundings.ts";

/** Ends of the buckets, in seconds. */
const CALL_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** What a call is about. */
type CallKind = "read" | "commit" | "lease" | "history";
const CALLS: readonly CallKind[] = ["read", "commit", "lease", "history"];

export class StoreMeter {
  readonly #calls = new Histogram(CALL_S, CALLS.map((operation) => ({ operation })));
  readonly #failures = new Counts(CALLS.map((operation) => ({ operation })));

  constructor(private readonly surroundings: Surroundings) {}

  /** The same store, whose calls are measured. */
  measured(store: Store): Store {
    const ahead = store.ahead?.bind(store);
    return {
      name: store.name,
      read: (...asked) => this.#timed("read", () => store.read(...asked)),
      list: (...asked) => this.#timed("read", () => store.list(...asked)),
      view: (...asked) => this.#timed("read", () => store.view(...asked)),
      commit: (...asked) => this.#timed("commit", () => store.commit(...asked)),
      lease: (...asked) => this.#timed("lease", () => store.lease(...asked)),
      history: (...asked) => this.#timed("history", () => store.history(...asked)),
      watch: (...asked) => store.watch(...asked),
      close: () => store.close(),
      ...(ahead === undefined ? {} : { ahead: (lost) => this.#measuredAhead(ahead(lost)) }),
    };
  }

  #measuredAhead(store: AheadStore): AheadStore {
    return {
      ...this.measured(store),
      lasting: () => store.lasting(),
      commit: (...asked) => {
        const answered = store.commit(...asked);
        // a commit takes until it lasts
        this.#timed("commit", async () => {
          const outcome = await answered;
          await store.lasting();
          return outcome;
        }).catch(() => {});
        return answered;
      },
    };
  }

  async #timed<T>(operation: CallKind, call: () => Promise<T>): Promise<T> {
    const { surroundings } = this;
    const beganMs = surroundings.elapsed();
    try {
      const answer = await call();
      if ((answer as Partial<CommitOutcome> | null)?.kind === "unknown") this.#failures.add({ operation });
      return answer;
    } catch (error) {
      if (error instanceof StoreError) this.#failures.add({ operation });
      throw error;
    } finally {
      this.#calls.observe({ operation }, (surroundings.elapsed() - beganMs) / 1000);
    }
  }

  get families(): Family[] {
    return [
      {
        name: "locksmith_store_request_duration_seconds",
        type: "histogram",
        help: "How long calls to the store took.",
        samples: this.#calls.samples,
      },
      {
        name: "locksmith_store_request_failures_total",
        type: "counter",
        help: "Calls to the store that failed, or whose outcome is unknown.",
        samples: this.#failures.samples,
      },
    ];
  }
}
