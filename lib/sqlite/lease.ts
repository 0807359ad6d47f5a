/**
 * A lease in the embedded store, kept alive three times in its time to live. It is lost when its row is gone, be it that
 * the clock was set or this process stood still, and when the file could not be written for its whole time to live.
 */

import { type CallOptions, type Lease, StoreError } from "../store.ts";

/** How many signs of life fit into the time to live. */
const SIGNS_PER_TTL = 3;
/** The wait before another try, when a sign of life could not be written. */
const RETRY_MS = 100;

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

/** Keeps a lease alive that began just now. */
export function keepLease(id: string, ttlMs: number, actions: LeaseActions): Lease {
  let untilMs = performance.now() + ttlMs;
  let running = true;
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
      timer = renewIn(ttlMs / SIGNS_PER_TTL);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (running) timer = renewIn(Math.min(RETRY_MS, Math.max(0, untilMs - performance.now())));
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
