/**
 * A watch of one key in the embedded store: it looks at each ring of the key's bell, and now and then without one, for a
 * key whose lease expires goes without a ring. Where the past of the key is kept it tells each change, else what the key is
 * now; where nobody can tell what lay between, it says `missed`.
 */

import type { DatabaseSync } from "node:sqlite";
import { Ear } from "./bell.ts";
import { entryAt, pastAt, revisionAt } from "./read.ts";
import { type Change, type Entry, isBefore, type PastChange, type Watch } from "../store.ts";

/** How often a watch looks by itself, in milliseconds: while it listens for the bell, and while it cannot. */
const INTERVAL_MS = { listening: 1000, deaf: 250 };

/** What was found. */
interface Look {
  /** The last commit in the file; growing, also when a key vanished with its lease. */
  readonly revision: string;
  readonly entry: Entry | null;
  /** The changes that are kept, since the look before. */
  readonly past: readonly PastChange[];
}

/** Looks at the file; `undefined` while there is none. Throws what SQLite reports. */
export type Looking = <T>(look: (database: DatabaseSync) => T) => T | undefined;

/** See {@linkcode Store.watch}. */
export function watchSqlite(
  looking: Looking,
  path: string,
  key: string,
  listener: (change: Change) => void,
  after: string | undefined,
): Watch {
  let open = true;
  let readable = true;
  /** The last look, or what the caller knows: the revision, and not which entry there was. */
  let seen: { readonly revision: string; readonly entry: Entry | null | undefined } | undefined =
    after === undefined ? undefined : { revision: after, entry: undefined };
  const tell = (change: Change) => {
    if (open) listener(change);
  };
  const look = (): Look =>
    looking((database) => ({
      revision: revisionAt(database),
      entry: entryAt(database, key),
      past: seen === undefined ? [] : pastAt(database, key, BigInt(seen.revision)),
    })) ?? { revision: "0", entry: null, past: [] };
  const watch = () => {
    if (!open) return;
    let now: Look;
    try {
      now = look();
    } catch {
      // who acts on a watch reads first, and hears of the trouble then
      if (readable) tell({ kind: "missed" });
      readable = false;
      return;
    }
    readable = true;
    const before = seen;
    seen = now;
    if (before === undefined) return tell({ kind: "missed" });
    changesSince(before, now).forEach(tell);
  };
  const turn = () => {
    if (!open) return;
    watch();
    // what was changed between the look and the ear's beginning would be heard of late
    if (ear.begin()) watch();
    if (open) timer = setTimeout(turn, ear.listens ? INTERVAL_MS.listening : INTERVAL_MS.deaf);
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ear = new Ear(path, key, watch);
  // a listener may use what `watch()` returned
  queueMicrotask(turn);
  return {
    close() {
      if (!open) return;
      open = false;
      clearTimeout(timer);
      ear.close();
    },
  };
}

function changesSince(
  before: { readonly revision: string; readonly entry: Entry | null | undefined },
  { revision, entry, past }: Look,
): Change[] {
  const changes = past.map((change): Change => ({ kind: "changed", ...change }));
  const last = past.at(-1);
  const told = last === undefined ? before.entry : last.entry;
  if (told === undefined) {
    // only the caller's revision is known, and nothing is kept of what came after it
    if (entry === null) return [{ kind: "missed" }];
    return isBefore(before.revision, entry.revision)
      ? [{ kind: "changed", entry, revision: entry.revision }]
      : [];
  }
  if ((told?.revision ?? null) === (entry?.revision ?? null)) return changes;
  return [...changes, { kind: "changed", entry, revision: entry?.revision ?? revision }];
}
