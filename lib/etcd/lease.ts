/**
 * Leases of one etcd store. Each is kept alive three times in its time to live, at whichever endpoint answers. It counts
 * as lost when etcd says that it is gone, and also when nobody has answered for its whole time to live: etcd may still
 * have it then, and may not, and who acts as if it were there would act on a guess.
 *
 * A sign of life is a call like any other, of one request and one answer, though etcd offers it as a stream: so it has a
 * deadline, and goes to the next endpoint when one is silent.
 */

import { LEASE_GRANT, LEASE_KEEP_ALIVE, LEASE_REVOKE } from "./calls.ts";
import type { EtcdEndpoints } from "./endpoints.ts";
import { type CallOptions, type Lease, StoreError } from "../store.ts";

/** How many signs of life fit into the time to live. */
const SIGNS_PER_TTL = 3;
/** The pause before another try, when no endpoint took a sign of life; it doubles, with jitter. */
const PAUSE_MS = { first: 250, last: 2_000 };

export class EtcdLeases {
  readonly #kept = new Set<KeptLease>();

  constructor(private readonly endpoints: EtcdEndpoints, private readonly random: () => number) {}

  /** See {@linkcode Store.lease}. A grant whose answer was lost is one that nobody keeps alive. */
  async grant(ttlMs: number, lost: () => void, { timeoutMs }: CallOptions): Promise<Lease> {
    const what = "cannot begin a lease";
    let sentMs = 0;
    const granted = await this.endpoints.ask({
      what,
      timeoutMs,
      call: (server, deadlineMs) => {
        sentMs = performance.now();
        return server.call(LEASE_GRANT, { TTL: Math.max(1, Math.ceil(ttlMs / 1000)) }, deadlineMs);
      },
    });
    if (granted.error) throw new StoreError("failed", `${what} in ${this.endpoints.name}: ${granted.error}`);
    const lease = new KeptLease(granted.ID, 1000 * Number(granted.TTL), sentMs, this.endpoints, this.random, {
      ended: () => this.#kept.delete(lease),
      lost,
    });
    if (this.endpoints.closed) lease.abandon();
    else this.#kept.add(lease);
    return lease;
  }

  /** Keeps none of them alive any longer. */
  close(): void {
    for (const lease of this.#kept) lease.abandon();
  }
}

/** What a lease tells of. */
interface LeaseEvents {
  /** It is kept alive no longer, for whatever reason. */
  ended(): void;
  /** It was lost; after `ended`. */
  lost(): void;
}

class KeptLease implements Lease {
  /** Until then etcd has it for sure, if nobody ended it; by the clock of `performance`. */
  #untilMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = true;
  #pauseMs = PAUSE_MS.first;

  constructor(
    readonly id: string,
    private readonly ttlMs: number,
    sentMs: number,
    private readonly endpoints: EtcdEndpoints,
    private readonly random: () => number,
    private readonly events: LeaseEvents,
  ) {
    this.#untilMs = sentMs + ttlMs;
    this.#renewIn(ttlMs / SIGNS_PER_TTL);
  }

  async end({ timeoutMs }: CallOptions): Promise<void> {
    this.abandon();
    try {
      await this.endpoints.ask({
        what: "cannot end a lease",
        timeoutMs,
        call: (server, deadlineMs) => server.call(LEASE_REVOKE, { ID: this.id }, deadlineMs),
      });
    } catch (error) {
      // gone already, or nobody is there to be told: it is over when its time is
      if (!(error instanceof StoreError)) throw error;
    }
  }

  abandon(): void {
    if (!this.#running) return;
    this.#running = false;
    clearTimeout(this.#timer);
    this.events.ended();
  }

  #lose(): void {
    this.abandon();
    this.events.lost();
  }

  #renewIn(ms: number): void {
    this.#timer = setTimeout(() => this.#renew(), Math.max(0, ms));
  }

  async #renew(): Promise<void> {
    const leftMs = this.#untilMs - performance.now();
    if (leftMs <= 0) return this.#lose();
    try {
      let sentMs = 0;
      const { TTL } = await this.endpoints.ask({
        what: "cannot keep a lease alive",
        timeoutMs: Math.min(leftMs, this.ttlMs / SIGNS_PER_TTL),
        call: (server, deadlineMs) => {
          sentMs = performance.now();
          return server.call(LEASE_KEEP_ALIVE, { ID: this.id }, deadlineMs);
        },
      });
      if (!this.#running) return;
      if (Number(TTL) <= 0) return this.#lose();
      this.#untilMs = sentMs + 1000 * Number(TTL);
      this.#pauseMs = PAUSE_MS.first;
      this.#renewIn(this.ttlMs / SIGNS_PER_TTL);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (!this.#running) return;
      this.#renewIn(Math.min(this.#pauseMs * (0.5 + this.random()), this.#untilMs - performance.now()));
      this.#pauseMs = Math.min(2 * this.#pauseMs, PAUSE_MS.last);
    }
  }
}
