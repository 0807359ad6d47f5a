/**
 * A watch in the embedded store: it looks at each ring of its bell, and now and then without one, for a key whose lease
 * expires goes without a ring. What it tells after a look is in `seen.ts`.
 */

import type { DatabaseSync } from "node:sqlite";
import { Ear } from "./bell.ts";
import { SeenKey, SeenRange } from "./seen.ts";
import { type Change, isOneKey, type KeyRange, type Watch } from "../store.ts";

/** How often a watch looks by itself, in milliseconds: while it listens for the bell, and while it cannot. */
const INTERVAL_MS = { listening: 1000, deaf: 250 };

/** Looks at the file; `undefined` while there is none. Throws what SQLite reports. */
export type Looking = <T>(look: (database: DatabaseSync) => T) => T | undefined;

/** See {@linkcode Store.watch}. */
export function watchSqlite(
  looking: Looking,
  path: string,
  range: KeyRange,
  listener: (change: Change) => void,
  after: string | undefined,
): Watch {
  let open = true;
  let readable = true;
  const key = isOneKey(range) ? range.from : null;
  const seen = key === null ? new SeenRange(range, after) : new SeenKey(key, after);
  const tell = (change: Change) => {
    if (open) listener(change);
  };
  const watch = () => {
    if (!open) return;
    let note: () => readonly Change[];
    try {
      note = looking((database) => seen.look(database)) ?? seen.lookAtNothing();
    } catch {
      // who acts on a watch reads first, and hears of the trouble then
      if (readable) tell({ kind: "missed" });
      readable = false;
      return;
    }
    readable = true;
    note().forEach(tell);
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
