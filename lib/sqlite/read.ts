/**
 * What the embedded store finds in its file at one moment. A key whose lease has expired is not there any more, whether
 * or not somebody has removed its row. Nothing here writes.
 */

import type { DatabaseSync } from "node:sqlite";
import { prepared } from "./file.ts";
import type { Entry, History, KeyRange, PastChange, Query, View } from "../store.ts";

/** So many changes of a key are told of, the last ones. */
export const PAST_MAX = 1000;

type Value = string | number | bigint;

/** The entries that are there at `:now`. */
const VISIBLE = `FROM entry LEFT JOIN lease ON entry.lease = lease.id
  WHERE (entry.lease IS NULL OR lease.expires_ms > :now)`;
const ENTRY = `SELECT key, value, revision, created ${VISIBLE}`;

/** Looks at the file as it is at one moment, whatever others commit meanwhile. */
export function moment<T>(database: DatabaseSync, look: (database: DatabaseSync) => T): T {
  database.exec("BEGIN");
  try {
    return look(database);
  } finally {
    database.exec("COMMIT");
  }
}

export function entryAt(database: DatabaseSync, key: string): Entry | null {
  const row = prepared(database, `${ENTRY} AND key = :key`).get({ now: Date.now(), key });
  return row === undefined ? null : toEntry(row);
}

export function listAt(database: DatabaseSync, prefix: string): Entry[] {
  // substr and not LIKE, whose wildcards a group's name may contain
  const sql = `${ENTRY} AND substr(key, 1, length(:prefix)) = :prefix ORDER BY key`;
  return prepared(database, sql).all({ now: Date.now(), prefix }).map(toEntry);
}

/** The last commit that there was. */
export function revisionAt(database: DatabaseSync): string {
  return String(prepared(database, "SELECT revision FROM counter").get()?.["revision"] ?? 0);
}

export function viewAt(database: DatabaseSync, queries: readonly Query[]): View {
  const now = Date.now();
  return {
    revision: revisionAt(database),
    found: queries.map((query) => queryAt(database, query, now)),
  };
}

/** Whether a key of the range is there that was created before this revision; `null`: any key. */
export function anyCreatedBefore(database: DatabaseSync, range: KeyRange, revision: string | null): boolean {
  return queryAt(database, {
    range,
    limit: 1,
    ...revision === null ? {} : { createdBefore: revision },
  }, Date.now()).length > 0;
}

/** How many leases have expired and are still in the file. */
export function expiredAt(database: DatabaseSync): number {
  const row = prepared(database, "SELECT count(*) AS expired FROM lease WHERE expires_ms <= ?").get(
    Date.now(),
  );
  return Number(row?.["expired"]);
}

/** What of a range was written after this revision, in the order of the commits. */
export function writtenAt(database: DatabaseSync, { from, to }: KeyRange, after: string): Entry[] {
  // the plus signs keep SQLite from going through the range instead of the revisions
  const sql = `${ENTRY} AND +key >= :from AND +key < :to AND revision > :after ORDER BY revision, key`;
  return prepared(database, sql).all({ now: Date.now(), from, to, after: BigInt(after) }).map(toEntry);
}

/**
 * How many keys a range has. `expired`: whether leases have expired whose keys are still in the file; to look for them
 * takes several times as long.
 */
export function countAt(database: DatabaseSync, range: KeyRange, expired: boolean): number {
  return Number(ofRange(database, "count(*)", range, expired));
}

/** The keys of a range. */
export function keysAt(database: DatabaseSync, range: KeyRange, expired: boolean): Set<string> {
  // one text of all is read in a fraction of the time that a row of each takes
  return new Set(JSON.parse(String(ofRange(database, "json_group_array(key)", range, expired))));
}

function ofRange(database: DatabaseSync, what: string, { from, to }: KeyRange, expired: boolean): unknown {
  const there = expired ? VISIBLE : "FROM entry WHERE true";
  const row = prepared(database, `SELECT ${what} AS answer ${there} AND key >= :from AND key < :to`)
    .get({ ...expired ? { now: Date.now() } : {}, from, to });
  return row?.["answer"];
}

/** The past of a key, no more of it than is promised. `last`: so many of the newest changes will do. */
export function historyAt(database: DatabaseSync, key: string, last = Infinity): History {
  const most = Math.min(last, PAST_MAX);
  // one more tells whether there are older ones
  const rows = pastRows(database, key, 0n, most + 1);
  const changes = rows.slice(-most).map(toPastChange);
  if (rows.length > most) return { changes, complete: false, ...(most === last ? { leftOut: true } : {}) };
  const [oldest] = rows;
  const complete = oldest === undefined ? entryAt(database, key) === null : oldest["first"] === 1;
  return { changes, complete };
}

/** What is kept of the changes of a key after this revision, or the newest of them, the oldest first. */
export function pastAt(database: DatabaseSync, key: string, after: bigint, newest = Infinity): PastChange[] {
  return pastRows(database, key, after, newest).map(toPastChange);
}

function pastRows(
  database: DatabaseSync,
  key: string,
  after: bigint,
  newest: number,
): Record<string, unknown>[] {
  const sql =
    "SELECT key, value, revision, created, first FROM past WHERE key = :key AND revision > :after " +
    "ORDER BY revision DESC LIMIT :limit";
  const limit = Number.isFinite(newest) ? newest : -1;
  return prepared(database, sql).all({ key, after, limit }).reverse();
}

function toPastChange(row: Record<string, unknown>): PastChange {
  return { revision: String(row["revision"]), entry: row["value"] === null ? null : toEntry(row) };
}

function queryAt(database: DatabaseSync, query: Query, now: number): Entry[] {
  const { range, createdBefore, order, descending, limit } = query;
  const values: Record<string, Value> = { now, from: range.from, to: range.to };
  let sql = `${ENTRY} AND key >= :from AND key < :to`;
  if (createdBefore !== undefined) {
    sql += " AND created < :before";
    values["before"] = BigInt(createdBefore);
  }
  const direction = descending ? " DESC" : "";
  sql += ` ORDER BY ${order === "created" ? `created${direction}, ` : ""}key${direction}`;
  if (limit !== undefined) {
    sql += " LIMIT :limit";
    values["limit"] = limit;
  }
  return prepared(database, sql).all(values).map(toEntry);
}

function toEntry(row: Record<string, unknown>): Entry {
  return {
    key: String(row["key"]),
    value: String(row["value"]),
    revision: String(row["revision"]),
    created: String(row["created"]),
  };
}
