/**
 * The embedded store: one SQLite file, for machines that share a disk and for trying locksmith without an etcd.
 *
 * Every process on the host may open the file; a transaction takes SQLite's write lock, so commits are atomic across
 * processes, and synced, so that a committed one survives a power failure; those that are asked for in one turn of the
 * event loop share one sync. A watch hears of a change by a bell. Leases
 * expire by the clock of the host: one that is set forward ends them early, and their owners hear of it when they next
 * keep them alive. A file on a file system that hosts share is refused: SQLite's locks do not hold there.
 *
 * Of the past of a key the last 1,000 changes are kept, and of one that stands under a lease nothing: those come and go
 * with the machines that made them.
 */

import type { DatabaseSync } from "node:sqlite";
import { type Added, Batch, type Written } from "./batch.ts";
import { SqliteAhead } from "./ahead.ts";
import { isBusy, isFull, openDatabase } from "./file.ts";
import { keepLease } from "../kept_lease.ts";
import { requireOwnFileSystem } from "./place.ts";
import { entryAt, historyAt, listAt, moment, viewAt } from "./read.ts";
import { beginLease, commitTransaction, endLease, renewLease } from "./write.ts";
import { reasonOf } from "../system_error.ts";
import { watchSqlite } from "./watch.ts";
import {
  type AheadStore,
  type CallOptions,
  type Change,
  type CommitOutcome,
  type Entry,
  type History,
  type HistoryOptions,
  type KeyRange,
  type Lease,
  type Query,
  type Store,
  StoreError,
  type Transaction,
  type View,
  type Watch,
} from "../store.ts";

/** Opens the store in `path`. The file is made by the first commit; reading a file that is not there finds nothing. */
export function openSqlite(path: string): Store {
  return new SqliteStore(path);
}

/** How long a watch waits to be told where the file lies, and before it asks anew, in milliseconds. */
const WATCH_RETRY_MS = 1000;
/** The wait before another try while another process has the file; a part of it, by chance. */
const RETRY_MS = 20;

/** What SQLite says, in the words that are used for every other file. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/readonly database/, "the file is read-only"],
  [/database or disk is full/, "no space left on device"],
  [/disk I\/O error/, "input/output error"],
];

class SqliteStore implements Store {
  readonly name: string;
  readonly #path: string;
  readonly #watches = new Set<Watch>();
  readonly #leases = new Set<Lease>();
  readonly #batch: Batch;
  #database: DatabaseSync | undefined;
  /** For looks while something is written that does not last yet: they see what lasts. */
  #reader: DatabaseSync | undefined;
  #closed = false;
  #placed = false;

  constructor(path: string) {
    this.#path = path;
    this.name = `sqlite:${path}`;
    this.#batch = new Batch(path);
  }

  read(key: string, options: CallOptions): Promise<Entry | null> {
    return this.#attempt(
      `read ${key}`,
      options,
      () => this.#look((database) => entryAt(database, key), null),
    );
  }

  list(prefix: string, options: CallOptions): Promise<Entry[]> {
    return this.#attempt(
      `list ${prefix}`,
      options,
      () => this.#look((database) => listAt(database, prefix), []),
    );
  }

  view(queries: readonly Query[], options: CallOptions): Promise<View> {
    const nothing = { revision: "0", found: queries.map(() => []) };
    return this.#attempt(
      `read ${queries[0]?.range.from ?? "no key"}`,
      options,
      () => this.#look((database) => viewAt(database, queries), nothing),
    );
  }

  async commit(transaction: Transaction, options: CallOptions): Promise<CommitOutcome> {
    // what fails before the transaction begins is certain: nothing happened
    await this.#place("commit", options);
    await this.#attempt("commit", options, () => this.#open());
    try {
      return await this.#write("commit", options, (database) => commitTransaction(database, transaction));
    } catch (error) {
      // an error in COMMIT itself may come after the change is durable, but for lack of room
      if (error instanceof StoreError && !isFull(error.cause)) return { kind: "unknown", cause: error };
      throw error;
    }
  }

  ahead(lost: (error: StoreError) => void): AheadStore {
    return new SqliteAhead(this, this.#batch, {
      commit: (transaction, options, lost) =>
        this.#add("commit", options, (database) => commitTransaction(database, transaction), lost),
      explain: (error) => this.#explain("commit", error),
    }, lost);
  }

  async lease(ttlMs: number, lost: () => void, options: CallOptions): Promise<Lease> {
    const id = await this.#write("begin a lease", options, (database) => beginLease(database, ttlMs));
    const lease: Lease = keepLease(id, ttlMs, {
      renew: (timeoutMs) =>
        this.#write("keep a lease alive", { timeoutMs }, (database) => renewLease(database, id, ttlMs)),
      end: (options) => this.#write("end a lease", options, (database) => endLease(database, id)),
      ended: () => this.#leases.delete(lease),
      lost,
    });
    if (this.#closed) lease.abandon();
    else this.#leases.add(lease);
    return lease;
  }

  watch(range: KeyRange, listener: (change: Change) => void, after?: string): Watch {
    if (this.#closed) throw new TypeError(`cannot watch ${JSON.stringify(range.from)}: the store is closed`);
    let running: Watch | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let open = true;
    const watch = {
      close: () => {
        open = false;
        clearTimeout(timer);
        running?.close();
        this.#watches.delete(watch);
      },
    };
    const begin = async (again: boolean) => {
      try {
        await this.#place("watch", { timeoutMs: WATCH_RETRY_MS });
        if (!open) return;
        running = watchSqlite((look) => this.#look(look, undefined), this.#path, range, listener, after);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (!open) return;
        // who acts on a watch reads first, and hears of the trouble then
        if (!again) listener({ kind: "missed" });
        timer = setTimeout(() => begin(true), WATCH_RETRY_MS);
      }
    };
    this.#watches.add(watch);
    begin(false);
    return watch;
  }

  history(key: string, options: HistoryOptions): Promise<History> {
    return this.#attempt(
      `read the history of ${key}`,
      options,
      () => this.#look((database) => historyAt(database, key, options.last), { changes: [], complete: true }),
    );
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#batch.end();
    for (const watch of this.#watches) watch.close();
    for (const lease of this.#leases) lease.abandon();
    this.#database?.close();
    this.#reader?.close();
    this.#database = this.#reader = undefined;
    return Promise.resolve();
  }

  /** Looks at one moment, or answers `nothing` while there is no file. */
  #look<T, N>(look: (database: DatabaseSync) => T, nothing: N): T | N {
    if (this.#closed) throw new Error("the store is closed");
    if (!this.#exists()) return nothing;
    if (this.#batch.lasting === undefined) return moment(this.#open(), look);
    return moment(this.#reader ??= openDatabase(this.#path), look);
  }

  #exists(): boolean {
    if (this.#database !== undefined) return true;
    try {
      // an empty file is one that another process is just making
      return Deno.statSync(this.#path).size > 0;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    return false;
  }

  #open(): DatabaseSync {
    if (this.#closed) throw new Error("the store is closed");
    return this.#database ??= openDatabase(this.#path);
  }

  /** Writes, and waits until it lasts. Throws {@linkcode StoreError}. */
  async #write<T>(
    what: string,
    options: CallOptions,
    work: (database: DatabaseSync) => Written<T>,
  ): Promise<T> {
    const { result, lasting } = await this.#add(what, options, work);
    try {
      await lasting;
    } catch (error) {
      throw this.#explain(what, error);
    }
    return result;
  }

  /** Writes what lasts soon. Throws {@linkcode StoreError}. */
  #add<T>(
    what: string,
    options: CallOptions,
    work: (database: DatabaseSync) => Written<T>,
    lost?: (error: unknown) => void,
  ): Promise<Added<T>> {
    return this.#attempt(what, options, () => this.#batch.add(this.#open(), work, lost));
  }

  /** Does `work` again while another process has the file, until the deadline. Throws {@linkcode StoreError}. */
  async #attempt<T>(what: string, { timeoutMs }: CallOptions, work: () => T): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    await this.#place(what, { timeoutMs });
    while (true) {
      try {
        return work();
      } catch (error) {
        if (!isBusy(error)) throw this.#explain(what, error);
        if (performance.now() >= deadline) {
          const message =
            `cannot ${what} in ${this.name}: another process has kept the file locked for ${timeoutMs} ms`;
          throw new StoreError("timeout", message, "'fuser' shows who has it open", { cause: error });
        }
        await new Promise((resolve) => setTimeout(resolve, Math.random() * RETRY_MS));
      }
    }
  }

  /** Refuses a place where the file must not lie, or cannot; asks once. Throws {@linkcode StoreError}. */
  async #place(what: string, { timeoutMs }: CallOptions): Promise<void> {
    if (this.#placed) return;
    try {
      await requireOwnFileSystem(this.#path, timeoutMs);
      this.#placed = true;
    } catch (error) {
      throw this.#explain(what, error);
    }
  }

  #explain(what: string, error: unknown): StoreError {
    if (error instanceof StoreError) return error;
    const reason = reasonOf(error);
    const denied = error instanceof Deno.errors.PermissionDenied || /readonly|permission/i.test(reason);
    const [, why = reason] = WORDS.find(([pattern]) => pattern.test(reason)) ?? [];
    const hint = /unable to open|read-only/.test(why)
      ? "the file and its directory must exist and be writable by this user"
      : /no space|input\/output/.test(why)
      ? "see whether its file system is full, or its disk is failing"
      : /not a database|malformed/.test(why)
      ? "name another file, or repair this one; it was left unchanged"
      : undefined;
    return new StoreError(denied ? "permission" : "failed", `cannot ${what} in ${this.name}: ${why}`, hint, {
      cause: error,
    });
  }
}
