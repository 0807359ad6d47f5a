/**
 * A store in memory, for simulation and tests: it keeps the whole contract, and loses everything with the process.
 *
 * {@linkcode Memory} is the server: its state, one commit after another, and nothing of networks or time; leases end when
 * somebody says so. {@linkcode openMemory} is a client of it, with the real clock.
 */

import {
  type Change,
  type CommitOutcome,
  type Entry,
  type History,
  isBefore,
  isOneKey,
  type KeyRange,
  type Lease,
  type PastChange,
  type Query,
  type Store,
  StoreError,
  type Transaction,
  type View,
  type Watch,
} from "../store.ts";

type Told = Extract<Change, { kind: "changed" }>;

interface Watcher {
  readonly range: KeyRange;
  readonly tell: (change: Change) => void;
}

type Refused = Exclude<CommitOutcome, { kind: "unknown" }>;

interface Stored extends Entry {
  readonly lease: string | undefined;
}

/** What several clients see together, as they see one server. */
export class Memory {
  #revision = 0;
  #leases = 0;
  #compacted = 0;
  readonly #entries = new Map<string, Stored>();
  /** The same in the order of their keys. */
  readonly #sorted: Stored[] = [];
  /** Those below each folder (what a key has before its last slash) in the order of their creation. */
  readonly #folders = new Map<string, Stored[]>();
  readonly #past = new Map<string, PastChange[]>();
  readonly #keysOfLease = new Map<string, Set<string>>();
  /** Who watches one key, by that key. */
  readonly #watchers = new Map<string, Set<Watcher>>();
  readonly #rangeWatchers = new Set<Watcher>();

  /** The last commit. */
  get revision(): string {
    return String(this.#revision);
  }

  read(key: string): Entry | null {
    const stored = this.#entries.get(key);
    return stored === undefined ? null : entryOf(stored);
  }

  view(queries: readonly Query[]): View {
    return { revision: this.revision, found: queries.map((query) => this.#query(query)) };
  }

  commit({ expect, put, remove = [], read = [], readRefused = read }: Transaction): Refused {
    const holds = expect.every((expectation) =>
      "key" in expectation
        ? (this.#entries.get(expectation.key)?.revision ?? null) === expectation.revision
        : this.#noneBefore(expectation.range, expectation.noneCreatedBefore)
    );
    const leased = put.every(({ lease }) => lease === undefined || this.#keysOfLease.has(lease));
    if (!holds || !leased) return { kind: "refused", ...this.view(readRefused) };
    const gone = remove.filter((key) => this.#entries.has(key));
    if (put.length + gone.length > 0) this.#revision++;
    for (const { key, value, lease } of put) this.#write(key, value, lease);
    for (const key of gone) this.#remove(key);
    return { kind: "committed", ...this.view(read) };
  }

  /** A new lease, which lives until it is ended. */
  lease(): string {
    const id = String(++this.#leases);
    this.#keysOfLease.set(id, new Set());
    return id;
  }

  /** Whether the lease lives. */
  lives(lease: string): boolean {
    return this.#keysOfLease.has(lease);
  }

  /** Ends a lease and removes what stands under it. */
  endLease(lease: string): void {
    const keys = this.#keysOfLease.get(lease);
    this.#keysOfLease.delete(lease);
    if (keys === undefined || keys.size === 0) return;
    this.#revision++;
    for (const key of [...keys]) this.#remove(key);
  }

  /** Calls `listener` with every change after the commit `after`; with `missed` when those are no longer all known. */
  watch(range: KeyRange, listener: (change: Change) => void, after: string): Watch {
    let open = true;
    const tell = (change: Change) => open && listener(change);
    const leave = this.#enter({ range, tell });
    if (Number(after) < this.#compacted) tell({ kind: "missed" });
    else this.#changesSince(range, after).forEach(tell);
    return {
      close: () => {
        open = false;
        leave();
      },
    };
  }

  /** `last`: so many of the newest changes will do. */
  history(key: string, last = Infinity): History {
    const changes = this.#past.get(key) ?? [];
    if (changes.length > last) return { changes: changes.slice(-last), complete: false, leftOut: true };
    const first = changes[0];
    return {
      changes: [...changes],
      complete: first === undefined ? this.#compacted === 0 : first.entry?.created === first.revision,
    };
  }

  /** Forgets what was before the commit `revision`; of each key the value that it had then stays known. */
  compact(revision: string = this.revision): void {
    this.#compacted = Number(revision);
    for (const [key, changes] of this.#past) {
      const later = changes.filter((change) => isBefore(revision, change.revision));
      const last = changes.at(-later.length - 1);
      const kept = last?.entry ? [last, ...later] : later;
      if (kept.length > 0) this.#past.set(key, kept);
      else this.#past.delete(key);
    }
  }

  /** Has a watcher told from now on; what is returned ends it. */
  #enter(watcher: Watcher): () => void {
    const { range } = watcher;
    if (!isOneKey(range)) {
      this.#rangeWatchers.add(watcher);
      return () => this.#rangeWatchers.delete(watcher);
    }
    const key = range.from;
    const watchers = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, watchers.add(watcher));
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(key) === watchers) this.#watchers.delete(key);
    };
  }

  /** What is known of the changes of a range after a commit, in their order. */
  #changesSince(range: KeyRange, after: string): Told[] {
    if (after === this.revision) return [];
    const keys = isOneKey(range) ? [range.from] : this.#past.keys().filter((key) => isIn(range, key));
    const told: Told[] = [];
    for (const key of keys) {
      const past = this.#past.get(key) ?? [];
      let news = past.length;
      while (news > 0 && isBefore(after, past[news - 1]?.revision ?? "")) news--;
      for (const change of past.slice(news)) told.push({ kind: "changed", key, ...change });
    }
    return told.sort((a, b) => Number(a.revision) - Number(b.revision));
  }

  #query({ range, createdBefore, order = "key", descending = false, limit }: Query): Entry[] {
    if (order === "key" && createdBefore === undefined && limit !== undefined) {
      const [from, to] = [this.#position(range.from), this.#position(range.to)];
      const some = descending
        ? this.#sorted.slice(Math.max(from, to - limit), to).reverse()
        : this.#sorted.slice(from, Math.min(to, from + limit));
      return some.map(entryOf);
    }
    let found: readonly Stored[] = order === "created" ? this.#inOrder(range) : this.#range(range);
    if (createdBefore !== undefined) {
      found = order === "created"
        ? found.slice(0, position(found, ({ created }) => isBefore(created, createdBefore)))
        : found.filter(({ created }) => isBefore(created, createdBefore));
    }
    if (descending) {
      found = (limit === undefined ? found : found.slice(Math.max(0, found.length - limit))).toReversed();
    }
    return found.slice(0, limit).map(entryOf);
  }

  #noneBefore(range: KeyRange, revision: string | null): boolean {
    if (revision === null) return this.#position(range.from) === this.#position(range.to);
    const [first] = this.#inOrder(range);
    return first === undefined || !isBefore(first.created, revision);
  }

  /** The entries of a range in the order of their creation. */
  #inOrder(range: KeyRange): readonly Stored[] {
    const folder = range.from.slice(0, -1);
    return range.from === `${folder}/` && range.to === `${folder}0` && !this.#hasFolders(range.from)
      ? this.#folders.get(folder) ?? []
      : this.#range(range).sort((a, b) => isBefore(a.created, b.created) ? -1 : 1);
  }

  #hasFolders(prefix: string): boolean {
    return this.#folders.keys().some((folder) => folder.startsWith(prefix));
  }

  #range({ from, to }: KeyRange): Stored[] {
    return this.#sorted.slice(this.#position(from), this.#position(to));
  }

  /** Where `key` stands among the keys, or would. */
  #position(key: string): number {
    return position(this.#sorted, (stored) => stored.key < key);
  }

  #write(key: string, value: string, lease: string | undefined): void {
    const before = this.#entries.get(key);
    const revision = this.revision;
    const stored: Stored = { key, value, revision, created: before?.created ?? revision, lease };
    this.#sorted.splice(this.#position(key), before === undefined ? 0 : 1, stored);
    const folder = folderOf(key);
    const siblings = this.#folders.get(folder) ?? [];
    siblings.splice(placeOf(siblings, stored), before === undefined ? 0 : 1, stored);
    this.#folders.set(folder, siblings);
    if (before?.lease !== undefined) this.#keysOfLease.get(before.lease)?.delete(key);
    if (lease !== undefined) this.#keysOfLease.get(lease)?.add(key);
    this.#entries.set(key, stored);
    this.#tell(key, entryOf(stored));
  }

  #remove(key: string): void {
    const before = this.#entries.get(key);
    if (before === undefined) return;
    if (before.lease !== undefined) this.#keysOfLease.get(before.lease)?.delete(key);
    this.#entries.delete(key);
    this.#sorted.splice(this.#position(key), 1);
    const siblings = this.#folders.get(folderOf(key)) ?? [];
    siblings.splice(placeOf(siblings, before), 1);
    if (siblings.length === 0) this.#folders.delete(folderOf(key));
    this.#tell(key, null);
  }

  #tell(key: string, entry: Entry | null): void {
    const change = { revision: this.revision, entry };
    const past = this.#past.get(key);
    if (past !== undefined) past.push(change);
    else this.#past.set(key, [change]);
    const watchers = [
      ...this.#watchers.get(key) ?? [],
      ...this.#rangeWatchers.values().filter(({ range }) => isIn(range, key)),
    ];
    for (const { tell } of watchers) tell({ kind: "changed", key, ...change });
  }
}

/** How many of a sorted list come before a border. */
function position(list: readonly Stored[], isBeforeBorder: (stored: Stored) => boolean): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const stored = list[middle];
    if (stored !== undefined && isBeforeBorder(stored)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where an entry stands among its siblings; several of one commit stand in the order of their keys. */
function placeOf(siblings: readonly Stored[], { key, created }: Stored): number {
  return position(
    siblings,
    (other) => isBefore(other.created, created) || other.created === created && other.key < key,
  );
}

function isIn({ from, to }: KeyRange, key: string): boolean {
  return from <= key && key < to;
}

function folderOf(key: string): string {
  return key.slice(0, Math.max(0, key.lastIndexOf("/")));
}

function entryOf({ key, value, revision, created }: Stored): Entry {
  return { key, value, revision, created };
}

/** A store over `memory`. Listeners hear in a microtask of their own. */
export function openMemory(memory: Memory): Store {
  const watches = new Set<Watch>();
  const timers = new Set<ReturnType<typeof setInterval>>();
  /** Leases that are kept alive, and for how long they live on without that. */
  const kept = new Map<string, number>();
  /** What nobody keeps alive any more ends by itself. */
  const letGo = (id: string) => {
    const ttlMs = kept.get(id);
    if (ttlMs === undefined) return;
    kept.delete(id);
    Deno.unrefTimer(setTimeout(() => memory.endLease(id), ttlMs));
  };
  let closed = false;
  const answer = <T>(ask: () => T): Promise<T> =>
    Promise.try(() => {
      if (closed) throw new StoreError("failed", "memory: the store is closed");
      return ask();
    });
  return {
    name: "memory",
    read: (key) => answer(() => memory.read(key)),
    list: (prefix) => answer(() => [...memory.view([{ range: prefixRange(prefix) }]).found[0] ?? []]),
    view: (queries) => answer(() => memory.view(queries)),
    commit: (transaction) => answer(() => memory.commit(transaction)),
    history: (key, { last }) => answer(() => memory.history(key, last)),
    lease(ttlMs, lost) {
      return answer((): Lease => {
        const id = memory.lease();
        kept.set(id, ttlMs);
        // nothing lies between this store and its memory: a lease lives until its process is gone, and all of it with it
        const timer = setInterval(() => {
          if (memory.lives(id)) return;
          clearInterval(timer);
          lost();
        }, ttlMs / 3);
        Deno.unrefTimer(timer);
        timers.add(timer);
        const stop = () => {
          clearInterval(timer);
          timers.delete(timer);
        };
        return {
          id,
          end: () => {
            stop();
            kept.delete(id);
            return answer(() => memory.endLease(id));
          },
          abandon: () => {
            stop();
            letGo(id);
          },
        };
      });
    },
    watch(range, listener, after) {
      let open = true;
      const tell = (change: Change) => queueMicrotask(() => open && listener(change));
      if (after === undefined) tell({ kind: "missed" });
      const watch = memory.watch(range, tell, after ?? memory.revision);
      const both = {
        close: () => {
          open = false;
          watch.close();
        },
      };
      watches.add(both);
      return both;
    },
    close() {
      closed = true;
      watches.forEach((watch) => watch.close());
      timers.forEach((timer) => clearInterval(timer));
      [...kept.keys()].forEach(letGo);
      return Promise.resolve();
    },
  };
}

/** The keys that begin with `prefix`, which is of characters below U+FFFF. */
function prefixRange(prefix: string): KeyRange {
  return { from: prefix, to: `${prefix}\uffff` };
}
