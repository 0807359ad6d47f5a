/**
 * A store for a process that waits for thousands of hosts: whatever number of them asks for a lease, there is one of each
 * time to live, kept alive by the store below, and whatever number of them watches, there is the one watch of a
 * {@linkcode Mirror}. Reads and commits go through, not too many at a time.
 */

import type { Mirror } from "./mirror.ts";
import { limitCalls } from "./shared_calls.ts";
import { SharedLeases } from "./shared_leases.ts";
import { SharedWatches } from "./shared_watches.ts";
import type { Store } from "./store.ts";
import type { Surroundings } from "./surroundings.ts";

/** Shares the store `below` among all who wait in this process. Closing it closes the store and the copy. */
export function shareStore(below: Store, mirror: Mirror, surroundings: Surroundings): Store {
  const store = limitCalls(below, surroundings);
  const leases = new SharedLeases(store, mirror, surroundings);
  const watches = new SharedWatches(store, mirror);
  return {
    name: store.name,
    read: (key, options) => store.read(key, options),
    list: (prefix, options) => store.list(prefix, options),
    view: (queries, options) => store.view(queries, options),
    history: (key, options) => store.history(key, options),
    commit: (transaction, options) => leases.commit(transaction, options),
    lease: (ttlMs, lost, options) => leases.lease(ttlMs, lost, options),
    watch: (range, listener, after) => watches.add(range, listener, after),
    close() {
      leases.close();
      watches.close();
      mirror.close();
      return store.close();
    },
  };
}
