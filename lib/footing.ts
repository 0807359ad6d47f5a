/**
 * A lease for as long as a server runs: all that it keeps for others stands under it. It is taken when it is needed first,
 * and anew after it was lost.
 */

import { CALL_TIMEOUT_MS } from "./lock.ts";
import type { Lease, Store } from "./store.ts";

export class Footing {
  #lease: Promise<Lease> | undefined;
  #ended = false;

  /** `lost` hears that whatever stood under the lease may be gone. */
  constructor(
    private readonly store: Store,
    private readonly ttlMs: number,
    private readonly lost: () => void,
  ) {}

  /** The id of the lease. Throws {@linkcode StoreError}. */
  async id(): Promise<string> {
    if (this.#lease === undefined) {
      const taken: Promise<Lease> = this.store.lease(this.ttlMs, () => {
        if (this.#lease === taken) this.drop();
      }, { timeoutMs: CALL_TIMEOUT_MS });
      this.#lease = taken;
      taken.then((lease) => this.#ended && lease.abandon(), () => this.#lease = undefined);
    }
    return (await this.#lease).id;
  }

  /** Relies on the lease no longer: somebody says that it is gone. */
  drop(): void {
    this.#lease?.then((lease) => lease.abandon(), () => {});
    this.#lease = undefined;
    this.lost();
  }

  /** What stands under it outlives this process for as long as the lease does: another server takes it over. */
  abandon(): void {
    this.#ended = true;
    this.#lease?.then((lease) => lease.abandon(), () => {});
  }
}
