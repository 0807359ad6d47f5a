/**
 * The embedded store: one SQLite file, for machines that share a disk and for trying locksmith without an etcd.
 *
 * Every process on the host may open the file; a transaction takes SQLite's write lock, so commits are atomic across
 * processes, and synced, so that a committed one survives a power failure. A watch looks at the file's own change
 * counter four times a second. A file on a network filesystem is not supported: SQLite's locks do not hold there.
 */

import { DatabaseSync } from "node:sqlite";
import {
  type CallOptions,
  type CommitOutcome,
  type Entry,
  type Store,
  StoreError,
  type Transaction,
  type Watch,
} from "./store.ts";

/** How often a watch looks, in milliseconds. */
const WATCH_INTERVAL_MS = 250;
/**
 * How long SQLite itself waits for another process, in milliseconds. Short, because nothing else of this process
 * happens meanwhile: what takes longer is tried again until the call's deadline.
 */
const BUSY_TIMEOUT_MS = 50;

/** Opens the store in `path`. The file is made by the first commit; reading a file that is not there finds nothing. */
export function openSqlite(path: string): Store {
  return new SqliteStore(path);
}

class SqliteStore implements Store {
  readonly name: string;
  private database: DatabaseSync | undefined;
  private readonly watches = new Set<Watch>();

  constructor(private readonly path: string) {
    this.name = `sqlite:${path}`;
  }

  read(key: string, options: CallOptions): Promise<Entry | null> {
    return this.attempt(`read ${key}`, options, () => {
      if (!this.exists()) return null;
      const row = this.open().prepare("SELECT key, value, revision FROM entry WHERE key = ?").get(key);
      return row === undefined ? null : toEntry(row);
    });
  }

  list(prefix: string, options: CallOptions): Promise<Entry[]> {
    return this.attempt(`list ${prefix}`, options, () => {
      if (!this.exists()) return [];
      // substr and not LIKE, whose wildcards a group's name may contain
      const rows = this.open().prepare(
        "SELECT key, value, revision FROM entry WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key",
      ).all(prefix);
      return rows.map(toEntry);
    });
  }

  async commit(transaction: Transaction, options: CallOptions): Promise<CommitOutcome> {
    try {
      return await this.attempt("commit", options, () => this.commitOnce(this.open(), transaction));
    } catch (error) {
      // an error in COMMIT itself may come after the change is durable
      if (error instanceof StoreError) return { kind: "unknown", cause: error };
      throw error;
    }
  }

  watch(key: string, changed: () => void): Watch {
    const look = () => {
      try {
        return this.exists() ? String(this.select(key)) : "";
      } catch {
        // a watch is a hint: who acts on it reads first, and hears of the trouble then
        return "unreadable";
      }
    };
    let seen = look();
    const timer = setInterval(() => {
      const now = look();
      if (now === seen) return;
      seen = now;
      changed();
    }, WATCH_INTERVAL_MS);
    const watch = { close: () => clearInterval(timer) };
    this.watches.add(watch);
    return watch;
  }

  close(): Promise<void> {
    this.watches.forEach((watch) => watch.close());
    this.database?.close();
    this.database = undefined;
    return Promise.resolve();
  }

  private select(key: string) {
    return this.open().prepare("SELECT revision FROM entry WHERE key = ?").get(key)?.["revision"];
  }

  private commitOnce(database: DatabaseSync, { expect, put }: Transaction): CommitOutcome {
    database.exec("BEGIN IMMEDIATE");
    try {
      const revisionOf = database.prepare("SELECT revision FROM entry WHERE key = ?");
      for (const { key, revision } of expect) {
        const row = revisionOf.get(key);
        if ((row === undefined ? null : String(row["revision"])) !== revision) {
          database.exec("ROLLBACK");
          return { kind: "refused" };
        }
      }
      const next = database.prepare("UPDATE counter SET revision = revision + 1 RETURNING revision").get();
      const revision = Number(next?.["revision"]);
      const write = database.prepare("INSERT OR REPLACE INTO entry (key, value, revision) VALUES (?, ?, ?)");
      for (const { key, value } of put) write.run(key, value, revision);
      database.exec("COMMIT");
      return { kind: "committed", revision: String(revision) };
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK");
      throw error;
    }
  }

  private exists(): boolean {
    if (this.database !== undefined) return true;
    try {
      // an empty file is one that another process is just making
      return Deno.statSync(this.path).size > 0;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  private open(): DatabaseSync {
    if (this.database !== undefined) return this.database;
    const database = new DatabaseSync(this.path, { timeout: BUSY_TIMEOUT_MS });
    try {
      const tables = database.prepare(
        "SELECT count(*) AS n FROM sqlite_schema WHERE name IN ('entry', 'counter')",
      ).get();
      if (tables?.["n"] !== 2) prepareTables(database);
      database.exec("PRAGMA synchronous = FULL");
    } catch (error) {
      database.close();
      throw error;
    }
    return this.database = database;
  }

  /** Does `work` again while another process has the file, until the deadline. Throws {@linkcode StoreError}. */
  private async attempt<T>(what: string, { timeoutMs }: CallOptions, work: () => T): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    while (true) {
      try {
        return work();
      } catch (error) {
        if (!isBusy(error)) throw this.explain(what, error);
        if (performance.now() >= deadline) {
          const message =
            `cannot ${what} in ${this.name}: another process has kept the file locked for ${timeoutMs} ms`;
          throw new StoreError("timeout", message, "see who has it open with 'fuser'", { cause: error });
        }
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
      }
    }
  }

  private explain(what: string, error: unknown): StoreError {
    const why = error instanceof Error ? error.message : String(error);
    const denied = error instanceof Deno.errors.PermissionDenied || /readonly|permission/i.test(why);
    const hint = /unable to open/.test(why)
      ? "the directory must exist and be writable for this user"
      : /not a database|malformed/.test(why)
      ? "name another file, or mend this one; it was left as it is"
      : undefined;
    return new StoreError(denied ? "permission" : "failed", `cannot ${what} in ${this.name}: ${why}`, hint, {
      cause: error,
    });
  }
}

function prepareTables(database: DatabaseSync): void {
  const foreign = database.prepare(
    "SELECT name FROM sqlite_schema WHERE tbl_name NOT IN ('entry', 'counter')",
  ).get();
  if (foreign !== undefined) {
    throw new Error("it is not a database of locksmith: there is a table of another program in it");
  }
  database.exec("PRAGMA journal_mode = WAL");
  database.exec(`
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS counter (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL) STRICT;
    INSERT OR IGNORE INTO counter VALUES (1, 0);
    COMMIT;
  `);
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && /database( table| schema)? is locked/.test(error.message);
}

function toEntry(row: Record<string, unknown>): Entry {
  return { key: String(row["key"]), value: String(row["value"]), revision: String(row["revision"]) };
}
