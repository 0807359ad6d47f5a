/**
 * What the embedded store writes: commits, leases, and the past of keys, each inside of a transaction that has the write
 * lock (`batch.ts`). Whoever writes first removes what stood under leases that have expired, as a change of its own.
 */

import type { DatabaseSync } from "node:sqlite";
import type { Written } from "./batch.ts";
import { prepared } from "./file.ts";
import { anyCreatedBefore, entryAt, PAST_MAX, viewAt } from "./read.ts";
import type { CommitOutcome, Expectation, Transaction } from "../store.ts";

/** After so many changes of a key by one process those that are too many are dropped: to find them costs a look at all. */
const DROP_EVERY = 64;

/** How a commit ended. Also a refused one removes what had expired. */
export function commitTransaction(database: DatabaseSync, transaction: Transaction): Written<CommitOutcome> {
  const expired = removeExpired(database);
  const { expect, put, remove = [], read = [], readRefused = read } = transaction;
  const holds = expect.every((expectation) => isMet(database, expectation)) &&
    put.every(({ lease }) => lease === undefined || isAlive(database, lease));
  if (!holds) return { result: { kind: "refused", ...viewAt(database, readRefused) }, gone: expired };
  const gone = remove.filter((key) => entryAt(database, key) !== null);
  if (put.length + gone.length > 0) {
    const revision = nextRevision(database);
    for (const { key, value, lease } of put) write(database, key, value, revision, lease);
    for (const key of gone) erase(database, key, revision);
  }
  return {
    result: { kind: "committed", ...viewAt(database, read) },
    written: put.map(({ key }) => key),
    gone: [...expired, ...gone],
  };
}

/** The id of a new lease: a revision, and so never that of another. */
export function beginLease(database: DatabaseSync, ttlMs: number): Written<string> {
  const id = nextRevision(database);
  prepared(database, "INSERT INTO lease (id, expires_ms) VALUES (?, ?)").run(id, expiry(ttlMs));
  return { result: String(id) };
}

/** Whether the lease was still there. */
export function renewLease(database: DatabaseSync, id: string, ttlMs: number): Written<boolean> {
  if (!isAlive(database, id)) return { result: false };
  prepared(database, "UPDATE lease SET expires_ms = ? WHERE id = ?").run(expiry(ttlMs), BigInt(id));
  return { result: true };
}

/** Ends a lease; what stood under it goes with it. */
export function endLease(database: DatabaseSync, id: string): Written<void> {
  const { changes } = prepared(database, "DELETE FROM lease WHERE id = ?").run(BigInt(id));
  return { result: undefined, gone: removeExpired(database, Number(changes)) };
}

function expiry(ttlMs: number): number {
  return Date.now() + Math.ceil(ttlMs);
}

function isAlive(database: DatabaseSync, id: string): boolean {
  if (!/^\d{1,18}$/.test(id)) return false;
  const sql = "SELECT 1 FROM lease WHERE id = ? AND expires_ms > ?";
  return prepared(database, sql).get(BigInt(id), Date.now()) !== undefined;
}

/** Removes the leases that have expired, and the keys whose lease is gone, with those that `ended`; tells which keys. */
function removeExpired(database: DatabaseSync, ended = 0): readonly string[] {
  const { changes } = prepared(database, "DELETE FROM lease WHERE expires_ms <= ?").run(Date.now());
  if (ended + Number(changes) === 0) return [];
  const orphans = "FROM entry WHERE lease IS NOT NULL AND lease NOT IN (SELECT id FROM lease)";
  const keys = prepared(database, `SELECT key ${orphans}`).all().map((row) => String(row["key"]));
  if (keys.length === 0) return keys;
  nextRevision(database);
  database.exec(`DELETE ${orphans}`);
  return keys;
}

function isMet(database: DatabaseSync, expectation: Expectation): boolean {
  if ("range" in expectation) {
    return !anyCreatedBefore(database, expectation.range, expectation.noneCreatedBefore);
  }
  return (entryAt(database, expectation.key)?.revision ?? null) === expectation.revision;
}

function nextRevision(database: DatabaseSync): bigint {
  const row = prepared(database, "UPDATE counter SET revision = revision + 1 RETURNING revision").get();
  return BigInt(Number(row?.["revision"]));
}

function write(
  database: DatabaseSync,
  key: string,
  value: string,
  revision: bigint,
  lease: string | undefined,
): void {
  const before = entryAt(database, key);
  const created = before === null ? revision : BigInt(before.created);
  prepared(
    database,
    "INSERT OR REPLACE INTO entry (key, value, revision, created, lease) VALUES (?, ?, ?, ?, ?)",
  ).run(key, value, revision, created, lease === undefined ? null : BigInt(lease));
  if (lease === undefined) remember(database, key, revision, value, created, before === null);
  else prepared(database, "DELETE FROM past WHERE key = ?").run(key);
}

function erase(database: DatabaseSync, key: string, revision: bigint): void {
  const row = prepared(database, "DELETE FROM entry WHERE key = ? RETURNING lease").get(key);
  if (row?.["lease"] === null) remember(database, key, revision, null, null, false);
}

/** Keeps a change of a key, and now and then drops those that are too many. */
function remember(
  database: DatabaseSync,
  key: string,
  revision: bigint,
  value: string | null,
  created: bigint | null,
  isNew: boolean,
): void {
  const first = isNew && prepared(database, "SELECT 1 FROM past WHERE key = ?").get(key) === undefined
    ? 1
    : 0;
  prepared(database, "INSERT INTO past (key, revision, value, created, first) VALUES (?, ?, ?, ?, ?)")
    .run(key, revision, value, created, first);
  let changes = CHANGES.get(database);
  if (changes === undefined) CHANGES.set(database, changes = new Map());
  const count = changes.get(key) ?? 0;
  changes.set(key, count + 1);
  if (count % DROP_EVERY > 0) return;
  prepared(
    database,
    `DELETE FROM past WHERE key = :key AND revision <= (
    SELECT revision FROM past WHERE key = :key ORDER BY revision DESC LIMIT 1 OFFSET :kept
  )`,
  ).run({ key, kept: PAST_MAX });
}

/** How many changes of each key this process has made. */
const CHANGES = new WeakMap<DatabaseSync, Map<string, number>>();
