/**
 * The store on etcd v3.
 *
 * A read is one linearizable Range, a view and a commit are one Txn each. A read that fails is tried at the next
 * endpoint, and all of it ends by the deadline of the call. A commit goes to the next endpoint only where it is certain that
 * nothing has happened: repeating a swap that had landed would report it as refused. Whatever else ends it without an
 * answer is `unknown`, and the endpoint that failed moves to the end, so that a repeat goes elsewhere.
 *
 * Of etcd3 it has the types of the service clients and the .proto files. The pool of etcd3, its retries and its watches
 * are left out: they repeat what may have happened, and lose errors.
 */

import { RANGE, TXN } from "./calls.ts";
import { EtcdEndpoints, type EtcdOptions, UncertainError } from "./endpoints.ts";
import { isLeaseGone } from "./error.ts";
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
  type KeyRange,
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
    this.#watches = new EtcdWatches(this.#endpoints, random);
    this.#leases = new EtcdLeases(this.#endpoints, random);
  }

  async read(key: string, { timeoutMs }: CallOptions): Promise<Entry | null> {
    const response = await this.#endpoints.ask({
      what: `cannot read ${JSON.stringify(key)}`,
      timeoutMs,
      call: (server, deadlineMs) => server.call(RANGE, { key: bytesOf(key) }, deadlineMs),
    });
    return entriesOf(response)[0] ?? null;
  }

  async list(prefix: string, { timeoutMs }: CallOptions): Promise<Entry[]> {
    const response = await this.#endpoints.ask({
      what: `cannot list ${JSON.stringify(prefix)}`,
      timeoutMs,
      call: (server, deadlineMs) => server.call(RANGE, prefixRequest(prefix), deadlineMs),
    });
    return entriesOf(response);
  }

  async view(queries: readonly Query[], { timeoutMs }: CallOptions): Promise<View> {
    const response = await this.#endpoints.ask({
      // what is asked for beside the first is of no interest where nothing can be read
      what: `cannot read ${named(queries.slice(0, 1).map(({ range }) => range.from))}`,
      timeoutMs,
      call: (server, deadlineMs) => server.call(TXN, viewRequest(queries), deadlineMs),
    });
    return viewOf(response, queries);
  }

  async commit(transaction: Transaction, { timeoutMs }: CallOptions): Promise<CommitOutcome> {
    const keys = named([...transaction.put.map(({ key }) => key), ...transaction.remove ?? []]);
    const question = {
      what: `cannot change ${keys}`,
      once: `cannot tell whether the change of ${keys} was made`,
    };
    const { read = [], readRefused = read } = transaction;
    const endMs = performance.now() + timeoutMs;
    let empty = openRanges(transaction).map(() => false);
    try {
      for (let look = 0; look < LOOKS_MAX; look++) {
        const request = txnRequest(transaction, empty);
        const response = await this.#endpoints.ask({
          ...question,
          timeoutMs: endMs - performance.now(),
          call: (server, deadlineMs) =>
            server.call(TXN, request, deadlineMs).catch((error) => {
              if (isLeaseGone(error)) return undefined;
              throw error;
            }),
        });
        if (response === undefined) return await this.#refused(readRefused, endMs - performance.now());
        if (response.succeeded) return { kind: "committed", ...viewOf(response, read) };
        const found = emptyRanges(response, empty.length);
        if (found.every((isEmpty, index) => isEmpty === empty[index])) {
          return { kind: "refused", ...viewOf(response, readRefused, empty.length) };
        }
        empty = found;
      }
    } catch (error) {
      if (error instanceof UncertainError) return { kind: "unknown", cause: error.cause };
      throw error;
    }
    throw new StoreError(
      "failed",
      `${question.what}: what it depends on changed ${LOOKS_MAX} times meanwhile`,
    );
  }

  lease(ttlMs: number, lost: () => void, options: CallOptions): Promise<Lease> {
    return this.#leases.grant(ttlMs, lost, options);
  }

  watch(range: KeyRange, listener: (change: Change) => void, after?: string): Watch {
    return this.#watches.add(range, listener, after);
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

  /** The answer to a commit under a lease that is gone: nothing happened, and etcd does not say what there is. */
  async #refused(queries: readonly Query[], timeoutMs: number): Promise<CommitOutcome> {
    try {
      return { kind: "refused", ...await this.view(queries, { timeoutMs }) };
    } catch (error) {
      if (error instanceof StoreError) return { kind: "unknown", cause: error };
      throw error;
    }
  }
}

function named(keys: readonly string[]): string {
  return keys.length === 0 ? "no key" : keys.map((key) => JSON.stringify(key)).join(", ");
}
