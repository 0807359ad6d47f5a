/**
 * The store of a server: the whole contract over HTTP, for commands from afar (`locksmith --server`). What the server does
 * with what it is asked is `lib/serve/store_door.ts`.
 *
 * A commit is sent once. If it is certain that nothing happened, since nobody took the request or it was refused, that is an
 * error; if it ends without an answer in any other way, the outcome is `unknown`. What only reads is asked once more where
 * the connection broke. Leases are kept alive by requests; one that the server does not know any more is lost. A watch
 * reconnects by itself.
 */

import { HttpConnection, type HttpOptions, type Reply } from "./connection.ts";
import { watchHttp } from "./watch.ts";
import { keepLease } from "../kept_lease.ts";
import {
  type CallOptions,
  type Change,
  type CommitOutcome,
  type Entry,
  exactly,
  type History,
  type HistoryOptions,
  type KeyRange,
  type Lease,
  type Query,
  type Store,
  type Transaction,
  type View,
  type Watch,
} from "../store.ts";
import type { Answers, Questions } from "../store_wire.ts";

export type { HttpOptions } from "./connection.ts";

/** Opens the store of a server. It connects at its first call. */
export function openHttp(options: HttpOptions): Store {
  return new HttpStore(new HttpConnection(options));
}

class HttpStore implements Store {
  readonly name: string;
  readonly #leases = new Set<Lease>();
  readonly #watches = new Set<Watch>();

  constructor(private readonly connection: HttpConnection) {
    this.name = connection.name;
  }

  async read(key: string, options: CallOptions): Promise<Entry | null> {
    const queries = [{ range: exactly(key) }];
    const { found } = await this.#ask("view", `cannot read ${JSON.stringify(key)}`, { queries }, options);
    return found[0]?.[0] ?? null;
  }

  async list(prefix: string, options: CallOptions): Promise<Entry[]> {
    const { entries } = await this.#ask(
      "list",
      `cannot list ${JSON.stringify(prefix)}`,
      { prefix },
      options,
    );
    return [...entries];
  }

  view(queries: readonly Query[], options: CallOptions): Promise<View> {
    const what = `cannot read ${JSON.stringify(queries[0]?.range.from ?? "")}`;
    return this.#ask("view", what, { queries }, options);
  }

  async commit(transaction: Transaction, { timeoutMs }: CallOptions): Promise<CommitOutcome> {
    const reply = await this.connection.ask("commit", { transaction }, timeoutMs);
    if ("answer" in reply) return reply.answer;
    const { put, remove = [] } = transaction;
    const keys = [...put.map(({ key }) => key), ...remove].map((key) => JSON.stringify(key)).join(", ");
    if (reply.failure.certain) throw this.connection.error(`cannot change ${keys}`, reply);
    return {
      kind: "unknown",
      cause: this.connection.error(`cannot tell whether the change of ${keys} was made`, reply),
    };
  }

  async lease(ttlMs: number, lost: () => void, options: CallOptions): Promise<Lease> {
    const begunMs = performance.now();
    const { id } = await this.#ask("lease", "cannot begin a lease", { ttlMs: Math.ceil(ttlMs) }, options);
    const lease: Lease = keepLease(id, ttlMs, {
      renew: async (timeoutMs) =>
        (await this.#ask("lease/keep", "cannot keep a lease alive", { id }, { timeoutMs })).alive,
      end: async (options) => void await this.#ask("lease/end", "cannot end a lease", { id }, options),
      ended: () => this.#leases.delete(lease),
      lost,
    }, begunMs);
    if (this.connection.closed) lease.abandon();
    else this.#leases.add(lease);
    return lease;
  }

  watch(range: KeyRange, listener: (change: Change) => void, after?: string): Watch {
    if (this.connection.closed) {
      throw new TypeError(`cannot watch ${JSON.stringify(range.from)}: the store is closed`);
    }
    const running = watchHttp(this.connection, range, listener, after);
    const watch = {
      close: () => {
        running.close();
        this.#watches.delete(watch);
      },
    };
    this.#watches.add(watch);
    return watch;
  }

  history(key: string, options: HistoryOptions): Promise<History> {
    const { last } = options;
    const question = { key, ...last === undefined ? {} : { last } };
    return this.#ask("history", `cannot read the history of ${JSON.stringify(key)}`, question, options);
  }

  close(): Promise<void> {
    for (const watch of this.#watches) watch.close();
    for (const lease of this.#leases) lease.abandon();
    this.connection.close();
    return Promise.resolve();
  }

  /** Asks what may be asked twice. Throws {@linkcode StoreError}. */
  async #ask<C extends Exclude<keyof Answers, "commit">>(
    call: C,
    what: string,
    question: Questions[C],
    { timeoutMs }: CallOptions,
  ): Promise<Answers[C]> {
    const endMs = performance.now() + timeoutMs;
    let reply: Reply<Answers[C]> = await this.connection.ask(call, question, timeoutMs);
    if ("failure" in reply && reply.failure.kind === "unreachable" && !reply.failure.certain) {
      // a connection that was kept may break at the moment that it is used again
      const leftMs = endMs - performance.now();
      if (leftMs > 0) reply = await this.connection.ask(call, question, leftMs);
    }
    if ("answer" in reply) return reply.answer;
    throw this.connection.error(what, reply);
  }
}
