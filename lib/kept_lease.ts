/**
 * A lease that its store keeps alive by calls, three times in its time to live. It is lost when the store says that it is
 * gone, be it that a clock was set or this process stood still, and when no call got through for its whole time to live.
 */

import { backoffMs } from "./backoff.ts";
import { type CallOptions, type Lease, StoreError } from "./store.ts";

/** How many signs of life fit into the time to live. */
const SIGNS_PER_TTL = 3;
/** The wait before another try, when a sign of life did not get through. */
const RETRY_MS = { first: 100, last: 2_000 };

/** What a lease does and tells of. */
export interface LeaseActions {
  /** Whether it was still there. Throws {@linkcode StoreError}. */
  renew(timeoutMs: number): Promise<boolean>;
  /** Throws {@linkcode StoreError}. */
  end(options: CallOptions): Promise<void>;
  /** It is kept alive no longer, for whatever reason. */
  ended(): void;
  lost(): void;
}

/** Keeps a lease alive that began no earlier than at `begunMs`, by the clock of `performance`. */
export function keepLease(
  id: string,
  ttlMs: number,
  actions: LeaseActions,
  begunMs: number = performance.now(),
): Lease {
  let untilMs = begunMs + ttlMs;
  let running = true;
  let failures = 0;
  const abandon = () => {
    if (!running) return;
    running = false;
    clearTimeout(timer);
    actions.ended();
  };
  const lose = () => {
    abandon();
    actions.lost();
  };
  const renewIn = (ms: number) => setTimeout(renew, ms);
  const renew = async () => {
    const sentMs = performance.now();
    if (sentMs >= untilMs) return lose();
    try {
      const alive = await actions.renew(Math.min(untilMs - sentMs, ttlMs / SIGNS_PER_TTL));
      if (!running) return;
      if (!alive) return lose();
      untilMs = sentMs + ttlMs;
      failures = 0;
      timer = renewIn(ttlMs / SIGNS_PER_TTL);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (!running) return;
      const pauseMs = backoffMs(++failures, RETRY_MS, Math.random());
      timer = renewIn(Math.min(pauseMs, Math.max(0, untilMs - performance.now())));
    }
  };
  let timer = renewIn(ttlMs / SIGNS_PER_TTL);
  return {
    id,
    abandon,
    async end(options) {
      abandon();
      try {
        await actions.end(options);
      } catch (error) {
        // it is over when its time is
        if (!(error instanceof StoreError)) throw error;
      }
    },
  };
}
