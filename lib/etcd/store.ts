/**
 * The store on etcd v3, through the client `etcd3`.
 *
 * A read is one linearizable Range, a view and a commit are one Txn each. A read that fails is tried at the next
 * endpoint, and all of it ends by the deadline of the call. A commit is tried once: repeating a swap that had landed would
 * report it as refused. Whatever ends it without an answer is `unknown`, and the endpoint that failed moves to the end, so
 * that a repeat goes elsewhere.
 *
 * The calls are made by the service clients of etcd3. Its pool, which retries, breaks circuits and attaches watches anew by
 * itself, is left out for that reason: what is tried next is decided here.
 */

import { closedError, EtcdEndpoints, type EtcdOptions } from "./endpoints.ts";
import { etcdStoreError, isLeaseGone } from "./error.ts";
import { etcdHistory } from "./history.ts";
import { EtcdLeases } from "./lease.ts";
import {
  bytesOf,
  emptyRanges,
  entriesOf,
  openRanges,
  prefixRequest,
  txnRequest,
  viewOf,
  viewRequest,
} from "./txn.ts";
import { EtcdWatches } from "./watch.ts";
import {
  type CallOptions,
  type Change,
  type CommitOutcome,
  type Entry,
  type History,
  type Lease,
  type Query,
  type Store,
  StoreError,
  type Transaction,
  type View,
  type Watch,
} from "../store.ts";

export type { EtcdOptions } from "./endpoints.ts";

/** How often a commit looks again, when a range that it expects something of became empty or ceased to be so. */
const LOOKS_MAX = 5;

/**
 * Opens a store on etcd. Connects at the first call.
 *
 * @throws {StoreError} when an endpoint is not one, or the certificates cannot be used
 */
export function openEtcd(options: EtcdOptions): Store {
  return new EtcdStore(options);
}

class EtcdStore implements Store {
  readonly name: string;
  readonly #endpoints: EtcdEndpoints;
  readonly #watches: EtcdWatches;
  readonly #leases: EtcdLeases;

  constructor(options: EtcdOptions) {
    const random = options.random ?? Math.random;
    this.#endpoints = new EtcdEndpoints(options, random);
    this.name = this.#endpoints.name;
    this.#watches = new EtcdWatches({
      first: () => this.#endpoints.first().transport,
      failed: (transport) => this.#endpoints.failed(transport),
    }, random);
    this.#leases = new EtcdLeases(this.#endpoints);
  }

  async read(key: string, { timeoutMs }: CallOptions): Promise<Entry | null> {
    const response = await this.#endpoints.ask(
      `cannot read ${JSON.stringify(key)}`,
      timeoutMs,
      (endpoint, deadline) => endpoint.kv.range({ key: bytesOf(key) }, { deadline }),
    );
    return entriesOf(response)[0] ?? null;
  }

  async list(prefix: string, { timeoutMs }: CallOptions): Promise<Entry[]> {
    const response = await this.#endpoints.ask(
      `cannot list ${JSON.stringify(prefix)}`,
      timeoutMs,
      (endpoint, deadline) => endpoint.kv.range(prefixRequest(prefix), { deadline }),
    );
    return entriesOf(response);
  }

  async view(queries: readonly Query[], { timeoutMs }: CallOptions): Promise<View> {
    const response = await this.#endpoints.ask(
      `cannot read ${named(queries.map(({ range }) => range.from))}`,
      timeoutMs,
      (endpoint, deadline) => endpoint.kv.txn(viewRequest(queries), { deadline }),
    );
    return viewOf(response, queries);
  }

  async commit(transaction: Transaction, { timeoutMs }: CallOptions): Promise<CommitOutcome> {
    const keys = named([...transaction.put.map(({ key }) => key), ...transaction.remove ?? []]);
    const what = `cannot tell whether the change of ${keys} was made`;
    if (this.#endpoints.closed) return { kind: "unknown", cause: closedError(what) };
    const queries = transaction.read ?? [];
    const deadline = Date.now() + timeoutMs;
    const endpoint = this.#endpoints.first();
    let empty = openRanges(transaction).map(() => false);
    try {
      for (let look = 0; look < LOOKS_MAX; look++) {
        const response = await endpoint.kv.txn(txnRequest(transaction, empty), { deadline });
        if (response.succeeded) return { kind: "committed", ...viewOf(response, queries) };
        const found = emptyRanges(response, empty.length);
        if (found.every((isEmpty, index) => isEmpty === empty[index])) {
          return { kind: "refused", ...viewOf(response, queries, empty.length) };
        }
        empty = found;
      }
      const cause = new StoreError(
        "failed",
        `${what}: what it depends on changed ${LOOKS_MAX} times meanwhile`,
      );
      return { kind: "unknown", cause };
    } catch (error) {
      if (isLeaseGone(error)) return await this.#refused(queries, deadline);
      const failure = this.#endpoints.failure(endpoint, error, timeoutMs);
      const failures = new Map([[endpoint.url, failure]]);
      if (failure.kind === "permission" || failure.kind === "authentication") {
        throw etcdStoreError(`cannot change ${keys}`, failures, error);
      }
      return { kind: "unknown", cause: etcdStoreError(what, failures, error) };
    }
  }

  lease(ttlMs: number, lost: () => void, options: CallOptions): Promise<Lease> {
    return this.#leases.grant(ttlMs, lost, options);
  }

  watch(key: string, listener: (change: Change) => void, after?: string): Watch {
    return this.#watches.add(key, listener, after);
  }

  history(key: string, options: CallOptions): Promise<History> {
    return etcdHistory(this.#endpoints, key, options);
  }

  close(): Promise<void> {
    this.#watches.close();
    this.#leases.close();
    this.#endpoints.close();
    return Promise.resolve();
  }

  /** The answer to a commit of which etcd said that nothing happened, without saying what there is. */
  async #refused(queries: readonly Query[], deadline: number): Promise<CommitOutcome> {
    try {
      return { kind: "refused", ...await this.view(queries, { timeoutMs: deadline - Date.now() }) };
    } catch (error) {
      if (error instanceof StoreError) return { kind: "unknown", cause: error };
      throw error;
    }
  }
}

function named(keys: readonly string[]): string {
  return keys.length === 0 ? "no key" : keys.map((key) => JSON.stringify(key)).join(", ");
}
