/**
 * The file of the embedded store and its tables. Whoever opens the file first makes them, in one transaction; the others
 * wait for that. A database of another program is left as it is, and so is one of a newer version.
 */

import { DatabaseSync, type StatementSync } from "node:sqlite";

/**
 * How long SQLite itself waits for another process, in milliseconds. Short, because nothing else of this process
 * happens meanwhile: what takes longer is tried again until the call's deadline.
 */
const BUSY_TIMEOUT_MS = 50;

/** `user_version` of the file; 0 is of one that is empty yet. */
const VERSION = 1;
const TABLES = ["entry", "counter", "lease", "past"];

/** Opens the file, and makes it if there is none. Throws what SQLite reports. */
export function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    if (versionOf(database) !== VERSION) prepare(database);
    database.exec("PRAGMA synchronous = FULL");
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

const STATEMENTS = new WeakMap<DatabaseSync, Map<string, StatementSync>>();

/** A statement that is compiled once for each database; so what it is made of must be few texts. */
export function prepared(database: DatabaseSync, sql: string): StatementSync {
  let known = STATEMENTS.get(database);
  if (known === undefined) STATEMENTS.set(database, known = new Map());
  let statement = known.get(sql);
  if (statement === undefined) known.set(sql, statement = database.prepare(sql));
  return statement;
}

/** Whether another process has the file, so that a later try may do better. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && /database( table| schema)? is locked/.test(error.message);
}

/** Whether there was no room, so that the transaction was undone: its last frame, which commits it, was never written. */
export function isFull(error: unknown): boolean {
  return error instanceof Error && /database or disk is full/.test(error.message);
}

/** Runs `work` in a transaction that has the write lock from its beginning; what it throws undoes it. */
export function writing<T>(database: DatabaseSync, work: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}

function versionOf(database: DatabaseSync): number {
  return Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
}

function prepare(database: DatabaseSync): void {
  refuseForeign(database);
  database.exec("PRAGMA journal_mode = WAL");
  writing(database, () => {
    // another process may have been faster
    if (versionOf(database) === VERSION) return;
    database.exec(`
      CREATE TABLE entry (
        key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL, created INTEGER NOT NULL, lease INTEGER
      ) STRICT;
      -- what was written since a revision is found without a look at everything else
      CREATE INDEX entry_by_revision ON entry (revision);
      CREATE TABLE counter (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL) STRICT;
      INSERT INTO counter VALUES (1, 0);
      CREATE TABLE lease (id INTEGER PRIMARY KEY, expires_ms INTEGER NOT NULL) STRICT;

      -- value NULL: the key was removed; first: nothing was before it
      CREATE TABLE past (
        key TEXT NOT NULL, revision INTEGER NOT NULL, value TEXT, created INTEGER, first INTEGER NOT NULL,
        PRIMARY KEY (key, revision)
      ) STRICT, WITHOUT ROWID;

      PRAGMA user_version = ${VERSION};
    `);
  });
}

function refuseForeign(database: DatabaseSync): void {
  if (versionOf(database) > VERSION) {
    throw new Error("it was made by a newer version of locksmith");
  }
  const names = TABLES.map((table) => `'${table}'`).join(", ");
  const foreign = database.prepare(`SELECT name FROM sqlite_schema WHERE tbl_name NOT IN (${names})`).get();
  if (foreign !== undefined) {
    throw new Error("it is not a locksmith database: it has a table of another program");
  }
}
