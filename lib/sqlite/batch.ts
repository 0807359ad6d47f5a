/**
 * Writes that share one sync. What is written in one turn of the event loop becomes one transaction of the file: each
 * write keeps its own revision and outcome, sees those before it, and lasts together with them; or none of them does.
 *
 * A disk that takes milliseconds to make something durable then bounds how soon an answer comes, and not how many come
 * in a second. Other processes wait for the write lock meanwhile, for as long as one sync takes anyway.
 */

import type { DatabaseSync } from "node:sqlite";
import { ring } from "./bell.ts";

/** What a write came to, and the keys whose bells are rung once it lasts. */
export interface Written<T> {
  readonly result: T;
  readonly written?: readonly string[];
  readonly gone?: readonly string[];
}

/** What came of a write that does not last yet. */
export interface Added<T> {
  readonly result: T;
  /** Resolves once it lasts; rejects with what SQLite reports where it was undone, or nobody can tell. */
  readonly lasting: Promise<void>;
}

/** A transaction that is open. */
interface Open {
  readonly database: DatabaseSync;
  readonly lasting: PromiseWithResolvers<void>;
  readonly written: Set<string>;
  readonly gone: Set<string>;
  /** Those who must know at once that it was lost, before anything else happens. */
  readonly lost: Set<(error: unknown) => void>;
}

export class Batch {
  #open: Open | undefined;

  constructor(private readonly path: string) {}

  /** Resolves once everything that was written lasts; absent: it does. */
  get lasting(): Promise<void> | undefined {
    return this.#open?.lasting.promise;
  }

  /**
   * Writes by `work`. Throws what SQLite reports, and then nothing of this one came to be. `lost` is called before anything
   * else happens where the transaction is lost after this returned.
   */
  add<T>(
    database: DatabaseSync,
    work: (database: DatabaseSync) => Written<T>,
    lost?: (error: unknown) => void,
  ): Added<T> {
    const open = this.#open ??= this.#begin(database);
    let done: Written<T>;
    try {
      database.exec("SAVEPOINT one");
      done = work(database);
      database.exec("RELEASE one");
    } catch (error) {
      this.#undo(open, error);
      throw error;
    }
    const { result, written = [], gone = [] } = done;
    for (const key of written) {
      open.written.add(key);
      open.gone.delete(key);
    }
    for (const key of gone) {
      open.gone.add(key);
      open.written.delete(key);
    }
    if (lost !== undefined) open.lost.add(lost);
    return { result, lasting: open.lasting.promise };
  }

  /** Makes everything last that was written. Does not throw: whoever wrote hears of it. */
  end(): void {
    const open = this.#open;
    if (open === undefined) return;
    try {
      open.database.exec("COMMIT");
    } catch (error) {
      return this.#lose(open, error);
    }
    this.#open = undefined;
    ring(this.path, [...open.written], [...open.gone]);
    open.lasting.resolve();
  }

  #begin(database: DatabaseSync): Open {
    database.exec("BEGIN IMMEDIATE");
    const lasting = Promise.withResolvers<void>();
    // whoever does not wait for it has another way to hear of it
    lasting.promise.catch(() => {});
    const open = {
      database,
      lasting,
      written: new Set<string>(),
      gone: new Set<string>(),
      lost: new Set<() => void>(),
    };
    setImmediate(() => {
      if (this.#open === open) this.end();
    });
    return open;
  }

  /** Undoes the last write alone; where it cannot be, as when SQLite has undone everything, all is lost. */
  #undo(open: Open, error: unknown): void {
    try {
      open.database.exec("ROLLBACK TO one; RELEASE one");
    } catch {
      this.#lose(open, error);
    }
  }

  #lose(open: Open, error: unknown): void {
    this.#open = undefined;
    try {
      if (open.database.isTransaction) open.database.exec("ROLLBACK");
    } catch {
      // SQLite has undone it by itself; where it has not, the next write says so
    }
    for (const lost of open.lost) lost(error);
    open.lasting.reject(error);
  }
}
