/**
 * What a watch of the embedded store has seen so far, and what it tells after another look.
 *
 * Of one key it tells each change where its past is kept, else what the key is now. Of a range it tells what each key is
 * now: what was written since is found by its revision, and what is gone by comparing the keys, if their number says that
 * any is. Where nobody can tell what lay between, both say `missed`.
 */

import type { DatabaseSync } from "node:sqlite";
import { countAt, entryAt, expiredAt, keysAt, pastAt, revisionAt, writtenAt } from "./read.ts";
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
  /** All keys; absent: they are those that are known, and what was written. */
  readonly keys?: Set<string>;
}

export class SeenRange implements Seen {
  #seen: { readonly revision: string; readonly expired: number } | undefined;
  /** The keys that there were. */
  #keys = new Set<string>();
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
      const look = { ...moment, written: [], keys: keysAt(database, range, moment.expired > 0) };
      return () => this.#begin(look);
    }
    if (moment.revision === seen.revision && moment.expired === seen.expired) return () => [];
    const written = writtenAt(database, range, seen.revision);
    const fresh = written.filter(({ key }) => !this.#keys.has(key)).length;
    // fewer have expired when somebody removed them, and also when the clock was set back: then keys are there again
    const known = moment.expired >= seen.expired &&
      countAt(database, range, moment.expired > 0) === this.#keys.size + fresh;
    const look = {
      ...moment,
      written,
      ...known ? {} : { keys: keysAt(database, range, moment.expired > 0) },
    };
    return () => this.#note(look);
  }

  lookAtNothing(): () => readonly Change[] {
    if (this.#seen?.revision === "0") return () => [];
    return () => this.#begin({ revision: "0", expired: 0, written: [], keys: new Set() });
  }

  #begin(look: RangeLook & { readonly keys: Set<string> }): readonly Change[] {
    this.#keys = look.keys;
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
      this.#keys.add(entry.key);
      changes.push({ kind: "changed", key: entry.key, entry, revision: entry.revision });
    }
    if (keys === undefined) return changes;
    for (const key of this.#keys) {
      if (!keys.has(key)) changes.push({ kind: "changed", key, entry: null, revision });
    }
    // what is there again was not written since
    if (keys.keys().some((key) => !this.#keys.has(key))) changes.push({ kind: "missed" });
    this.#keys = keys;
    return changes;
  }
}
