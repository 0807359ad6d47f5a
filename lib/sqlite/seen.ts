/**
 * What a watch of the embedded store has seen so far, and what it tells after another look.
 *
 * Of one key it tells each change where its past is kept, else what the key is now. Of a range it tells what each key is
 * now: what was written since is found by its revision, and what is gone by comparing the keys, if their number and the
 * sum of their revisions say that any is. Where nobody can tell what lay between, both say `missed`.
 */

import type { DatabaseSync } from "node:sqlite";
import { entryAt, expiredAt, pastAt, revisionAt, revisionsAt, tallyAt, writtenAt } from "./read.ts";
import { type Change, type Entry, isBefore, type KeyRange, type PastChange } from "../store.ts";

/** What a watch has seen. */
export interface Seen {
  /** Looks at one moment. What it returns takes note of it, and says what there is to tell. Throws what SQLite reports. */
  look(database: DatabaseSync): () => readonly Change[];
  /** The same where there is no file. */
  lookAtNothing(): () => readonly Change[];
}

/** What was found of one key. */
interface KeyLook {
  /** The last commit in the file; growing, also when a key vanished with its lease. */
  readonly revision: string;
  readonly entry: Entry | null;
  /** The changes that are kept, since the look before. */
  readonly past: readonly PastChange[];
}

export class SeenKey implements Seen {
  /** The last look, or what the caller knows: the revision, and not which entry there was. */
  #seen: { readonly revision: string; readonly entry: Entry | null | undefined } | undefined;

  /** `after`: the revision that the caller knows, if any. */
  constructor(private readonly key: string, after: string | undefined) {
    if (after !== undefined) this.#seen = { revision: after, entry: undefined };
  }

  look(database: DatabaseSync): () => readonly Change[] {
    const seen = this.#seen;
    const now: KeyLook = {
      revision: revisionAt(database),
      entry: entryAt(database, this.key),
      past: seen === undefined ? [] : pastAt(database, this.key, BigInt(seen.revision)),
    };
    return () => this.#note(now);
  }

  lookAtNothing(): () => readonly Change[] {
    return () => this.#note({ revision: "0", entry: null, past: [] });
  }

  #note(now: KeyLook): readonly Change[] {
    const { key } = this;
    const { revision, entry, past } = now;
    const before = this.#seen;
    this.#seen = now;
    if (before === undefined) return [{ kind: "missed" }];
    const changes = past.map((change): Change => ({ kind: "changed", key, ...change }));
    const last = past.at(-1);
    const told = last === undefined ? before.entry : last.entry;
    if (told === undefined) {
      // only the caller's revision is known, and nothing is kept of what came after it
      if (entry === null) return [{ kind: "missed" }];
      return isBefore(before.revision, entry.revision)
        ? [{ kind: "changed", key, entry, revision: entry.revision }]
        : [];
    }
    if ((told?.revision ?? null) === (entry?.revision ?? null)) return changes;
    return [...changes, { kind: "changed", key, entry, revision: entry?.revision ?? revision }];
  }
}

/** What was found of a range. */
interface RangeLook {
  readonly revision: string;
  /** How many leases had expired: while neither this nor the revision is another, nothing is. */
  readonly expired: number;
  /** Since the look before. */
  readonly written: readonly Entry[];
  /** All keys, and their revisions; absent: they are those that are known, and what was written. */
  readonly keys?: Map<string, number>;
}

export class SeenRange implements Seen {
  #seen: { readonly revision: string; readonly expired: number } | undefined;
  /** The keys that there were, and their revisions. */
  #keys = new Map<string, number>();
  /** Of these revisions. */
  #sum = 0;
  /** The revision that the caller knows, if any, until the first look. */
  #after: string | undefined;

  constructor(private readonly range: KeyRange, after: string | undefined) {
    this.#after = after;
  }

  look(database: DatabaseSync): () => readonly Change[] {
    const { range } = this;
    const seen = this.#seen;
    const moment = { revision: revisionAt(database), expired: expiredAt(database) };
    // a revision that went back is of another file
    if (seen === undefined || isBefore(moment.revision, seen.revision)) {
      return () => this.#begin({ ...moment, written: [], keys: revisionsAt(database, range) });
    }
    if (moment.revision === seen.revision && moment.expired === seen.expired) return () => [];
    const written = writtenAt(database, range, seen.revision);
    const { keys, sum } = this.#tallyWith(written);
    const tally = tallyAt(database, range);
    const known = tally.keys === keys && tally.sum === sum;
    const look = { ...moment, written, ...known ? {} : { keys: revisionsAt(database, range) } };
    return () => this.#note(look);
  }

  lookAtNothing(): () => readonly Change[] {
    if (this.#seen?.revision === "0") return () => [];
    return () => this.#begin({ revision: "0", expired: 0, written: [], keys: new Map() });
  }

  #begin(look: RangeLook & { readonly keys: Map<string, number> }): readonly Change[] {
    this.#keepAll(look.keys);
    this.#seen = look;
    const after = this.#after;
    this.#after = undefined;
    // which keys there were at the caller's revision is not known
    return after === look.revision && look.expired === 0 ? [] : [{ kind: "missed" }];
  }

  #note(look: RangeLook): readonly Change[] {
    const { written, keys, revision } = look;
    this.#seen = look;
    const changes: Change[] = [];
    for (const entry of written) {
      this.#keep(entry);
      changes.push({ kind: "changed", key: entry.key, entry, revision: entry.revision });
    }
    if (keys === undefined) return changes;
    for (const key of this.#keys.keys()) {
      if (!keys.has(key)) changes.push({ kind: "changed", key, entry: null, revision });
    }
    // a lease that had expired by a clock that was set back lives again
    if (keys.keys().some((key) => !this.#keys.has(key))) changes.push({ kind: "missed" });
    this.#keepAll(keys);
    return changes;
  }

  #tallyWith(written: readonly Entry[]): { keys: number; sum: number } {
    let [keys, sum] = [this.#keys.size, this.#sum];
    for (const { key, revision } of written) {
      const before = this.#keys.get(key);
      if (before === undefined) keys++;
      sum += Number(revision) - (before ?? 0);
    }
    return { keys, sum };
  }

  #keep({ key, revision }: Entry): void {
    this.#sum += Number(revision) - (this.#keys.get(key) ?? 0);
    this.#keys.set(key, Number(revision));
  }

  #keepAll(keys: Map<string, number>): void {
    this.#keys = keys;
    this.#sum = keys.values().reduce((sum, revision) => sum + revision, 0);
  }
}
