/**
 * Leases of one etcd store. Each is kept alive three times in its time to live, at whichever endpoint answers. It counts
 * as lost when etcd says that it is gone, and also when nobody has answered for its whole time to live: etcd may still
 * have it then, and may not, and who acts as if it were there would act on a guess.
 *
 * A sign of life is a call like any other, of one request and one answer, though etcd offers it as a stream: so it has a
 * deadline, and goes to the next endpoint when one is silent.
 */

import type { ILeaseKeepAliveResponse } from "etcd3/lib/rpc.js";
import type { EtcdEndpoints } from "./endpoints.ts";
import { type CallOptions, type Lease, StoreError } from "../store.ts";

/** How many signs of life fit into the time to live. */
const SIGNS_PER_TTL = 3;
/** The wait before another try, when no endpoint took a sign of life. */
const RETRY_MS = 250;

export class EtcdLeases {
  readonly #endpoints: EtcdEndpoints;
  readonly #kept = new Set<KeptLease>();

  constructor(endpoints: EtcdEndpoints) {
    this.#endpoints = endpoints;
  }

  /** See {@linkcode Store.lease}. A grant whose answer was lost is one that nobody keeps alive. */
  async grant(ttlMs: number, lost: () => void, { timeoutMs }: CallOptions): Promise<Lease> {
    const what = "cannot begin a lease";
    let sentMs = 0;
    const granted = await this.#endpoints.ask(what, timeoutMs, (endpoint, deadline) => {
      sentMs = performance.now();
      return endpoint.lease.leaseGrant({ TTL: Math.max(1, Math.ceil(ttlMs / 1000)) }, { deadline });
    });
    if (granted.error) throw new StoreError("failed", `${what} in ${this.#endpoints.name}: ${granted.error}`);
    const lease = new KeptLease(this.#endpoints, granted.ID, 1000 * Number(granted.TTL), sentMs, {
      ended: () => this.#kept.delete(lease),
      lost,
    });
    if (this.#endpoints.closed) lease.abandon();
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
  readonly id: string;
  readonly #endpoints: EtcdEndpoints;
  readonly #ttlMs: number;
  readonly #events: LeaseEvents;
  /** Until then etcd has it for sure, if nobody ended it; by the clock of `performance`. */
  #untilMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = true;

  constructor(endpoints: EtcdEndpoints, id: string, ttlMs: number, sentMs: number, events: LeaseEvents) {
    this.id = id;
    this.#endpoints = endpoints;
    this.#ttlMs = ttlMs;
    this.#events = events;
    this.#untilMs = sentMs + ttlMs;
    this.#renewIn(ttlMs / SIGNS_PER_TTL);
  }

  async end({ timeoutMs }: CallOptions): Promise<void> {
    this.abandon();
    try {
      await this.#endpoints.ask(
        "cannot end a lease",
        timeoutMs,
        (endpoint, deadline) => endpoint.lease.leaseRevoke({ ID: this.id }, { deadline }),
      );
    } catch (error) {
      // gone already, or nobody is there to be told: it is over when its time is
      if (!(error instanceof StoreError)) throw error;
    }
  }

  abandon(): void {
    if (!this.#running) return;
    this.#running = false;
    clearTimeout(this.#timer);
    this.#events.ended();
  }

  #lose(): void {
    this.abandon();
    this.#events.lost();
  }

  #renewIn(ms: number): void {
    this.#timer = setTimeout(() => this.#renew(), ms);
  }

  async #renew(): Promise<void> {
    const leftMs = this.#untilMs - performance.now();
    if (leftMs <= 0) return this.#lose();
    try {
      let sentMs = 0;
      const { TTL } = await this.#endpoints.ask(
        "cannot keep a lease alive",
        Math.min(leftMs, this.#ttlMs / SIGNS_PER_TTL),
        (endpoint, deadline) => {
          sentMs = performance.now();
          return endpoint.transport.exec<ILeaseKeepAliveResponse>(
            "Lease",
            "leaseKeepAlive",
            { ID: this.id },
            {
              deadline,
            },
          );
        },
      );
      if (!this.#running) return;
      if (Number(TTL) <= 0) return this.#lose();
      this.#untilMs = sentMs + 1000 * Number(TTL);
      this.#renewIn(this.#ttlMs / SIGNS_PER_TTL);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (this.#running) this.#renewIn(Math.min(RETRY_MS, Math.max(0, this.#untilMs - performance.now())));
    }
  }
}
