/**
 * A copy of what a store has, kept up to date by one watch over all of it: for everything that only looks, however many
 * look. A hint like every watch; whoever acts on it lets a commit prove what it said.
 *
 * What the watch tells may come late, twice or out of order, so revisions decide: nothing is undone by something older.
 * What it does not tell at all is found when the range is read anew: whenever the watch says that it may have missed
 * something, after every failure, and now and then without a reason. While the copy is to be believed, it costs the store
 * one small call every few seconds, which shows that the store is there.
 */

import { backoffMs } from "./backoff.ts";
import { CALL_TIMEOUT_MS } from "./lock.ts";
import {
  type Change,
  type Entry,
  exactly,
  isBefore,
  type KeyRange,
  type Store,
  StoreError,
  type Watch,
} from "./store.ts";
import type { Surroundings, Timer } from "./surroundings.ts";

/** How far the copy is to be believed. */
export type MirrorState =
  /** There is no copy yet. */
  | { readonly kind: "empty"; readonly error?: StoreError }
  /** As new as the watch is quick. */
  | { readonly kind: "current" }
  /** The store is away since `since`, in milliseconds since the epoch: what is shown is what there was then. */
  | { readonly kind: "behind"; readonly since: number; readonly error: StoreError };

/** One key was written, or removed (`entry: null`). */
export interface MirrorChange {
  readonly kind: "changed";
  readonly key: string;
  readonly entry: Entry | null;
  /** Of the commit that did it, or of a later one that saw it. */
  readonly revision: string;
}

/** What a subscriber hears. */
export type MirrorNews =
  | MirrorChange & { readonly before: Entry | null }
  /** The whole was read anew, and each key that was another by then has been told. */
  | { readonly kind: "reread" }
  /** {@linkcode MirrorState} is another. */
  | { readonly kind: "state" };

export interface Mirror {
  /** What it is a copy of. */
  readonly range: KeyRange;
  readonly state: MirrorState;
  /** The newest commit that the copy has seen. */
  readonly revision: string;
  entry(key: string): Entry | null;
  /** The entries of a range, in the order of their keys. */
  entries(range: KeyRange): readonly Entry[];
  /** Calls `listener` after each change of the copy, until it is closed. */
  subscribe(listener: (news: MirrorNews) => void): { close(): void };
  /** Resolves when there is a copy for the first time; aborts with `signal`. */
  ready(signal?: AbortSignal): Promise<void>;
  close(): void;
}

/**
 * Resolves when a copy has what the store has of `key` now, or something newer: for who has changed it and looks at the copy
 * next. At the latest after `mostMs` milliseconds, and at once where the store does not tell.
 */
export async function caughtUp(
  mirror: Pick<Mirror, "entry" | "subscribe">,
  store: Store,
  key: string,
  { surroundings, mostMs }: { readonly surroundings: Surroundings; readonly mostMs: number },
): Promise<void> {
  const view = await store.view([{ range: exactly(key) }], { timeoutMs: mostMs }).catch((error) => {
    if (!(error instanceof StoreError)) throw error;
  });
  const revision = view?.found[0]?.[0]?.revision;
  const isBehind = () => revision !== undefined && isBefore(mirror.entry(key)?.revision ?? "0", revision);
  if (!isBehind()) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = surroundings.after(mostMs, resolve);
  const subscription = mirror.subscribe(() => isBehind() || resolve());
  await promise;
  subscription.close();
  timer.cancel();
}

/** The pause before another try while the store does not answer, in milliseconds. */
const FAILURE_PAUSE_MS = { first: 250, last: 10_000 };
/** How often the store is asked whether it is there, in milliseconds; lengthened by up to a half. */
const ASK_MS = 5_000;
/** How old a reading gets before another, in milliseconds, though the watch missed nothing. */
const REREAD_MS = 300_000;
/** The longest pause before a reading that the watch asks for, and the least one after another reading, in milliseconds. */
const PAUSE_MS = { most: 100, between: 500 };

export class StoreMirror implements Mirror {
  #copy: Copy | undefined;
  #state: MirrorState = { kind: "empty" };
  readonly #listeners = new Set<(news: MirrorNews) => void>();
  readonly #first = Promise.withResolvers<void>();
  #watch: Watch | undefined;
  /** What the watch will not tell. */
  #refusal: StoreError | undefined;
  #timer: Timer | undefined;
  #failures = 0;
  /** When the last reading was answered, by {@linkcode Surroundings.elapsed}. */
  #readAt = -Infinity;
  /** What came while the range was being read: it may be newer than what was read. */
  #meanwhile: MirrorChange[] | undefined;
  /** Another reading is due. */
  #due = true;
  #closed = false;

  /** A copy of `range`; the first reading begins at once. */
  constructor(
    private readonly store: Store,
    readonly range: KeyRange,
    private readonly surroundings: Surroundings,
  ) {
    // who does not wait for it need not know that it was closed
    this.#first.promise.catch(() => {});
    this.#turn();
  }

  get state(): MirrorState {
    return this.#state;
  }

  get revision(): string {
    return this.#copy?.revision ?? "0";
  }

  entry(key: string): Entry | null {
    return this.#copy?.entry(key) ?? null;
  }

  entries(range: KeyRange): readonly Entry[] {
    return this.#copy?.entries(range) ?? [];
  }

  subscribe(listener: (news: MirrorNews) => void): { close(): void } {
    // one that subscribes twice is two
    const own = (news: MirrorNews) => listener(news);
    this.#listeners.add(own);
    return { close: () => this.#listeners.delete(own) };
  }

  async ready(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(signal?.reason);
    signal?.addEventListener("abort", abort);
    try {
      await Promise.race([this.#first.promise, aborted.promise]);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#watch?.close();
    this.#listeners.clear();
    this.#first.reject(new StoreError("failed", `cannot copy ${this.store.name}: the copy was closed`));
  }

  /** Asks the store, for everything if that is due; then plans the next turn. */
  async #turn(): Promise<void> {
    const { store, range, surroundings } = this;
    const all = this.#due || this.#state.kind !== "current" ||
      surroundings.elapsed() - this.#readAt >= REREAD_MS;
    this.#timer = undefined;
    if (all) {
      this.#due = false;
      this.#meanwhile = [];
    }
    try {
      const { revision, found } = await store.view(all ? [{ range }] : [], { timeoutMs: CALL_TIMEOUT_MS });
      if (this.#closed) return;
      this.#failures = 0;
      if (all) this.#adopt(new Copy(revision, found[0] ?? []));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (this.#closed) return;
      this.#failures++;
      this.#fail(error);
    }
    this.#meanwhile = undefined;
    this.#plan();
  }

  #plan(): void {
    if (this.#closed) return;
    const { surroundings } = this;
    const chance = surroundings.random();
    const pauseMs = this.#failures > 0
      ? backoffMs(this.#failures, FAILURE_PAUSE_MS, chance)
      : ASK_MS * (1 + chance / 2);
    this.#timer = surroundings.after(pauseMs, () => this.#turn());
    if (this.#due) this.#hasten();
  }

  /** A reading is due soon, unless one that is under way will see to it. */
  #hasten(): void {
    if (this.#timer === undefined) return;
    const { surroundings } = this;
    const restMs = this.#readAt + PAUSE_MS.between - surroundings.elapsed();
    this.#timer.cancel();
    this.#timer = surroundings.after(
      Math.max(restMs, PAUSE_MS.most * surroundings.random()),
      () => this.#turn(),
    );
  }

  #adopt(copy: Copy): void {
    const { store, range, surroundings } = this;
    for (const change of this.#meanwhile ?? []) copy.apply(change);
    const before = this.#copy;
    this.#copy = copy;
    this.#readAt = surroundings.elapsed();
    if (before !== undefined) copy.differences(before).forEach((change) => this.#tell(change));
    this.#tell({ kind: "reread" });
    if (this.#refusal !== undefined) {
      this.#become({ kind: "behind", since: surroundings.now(), error: this.#refusal });
    } else this.#become({ kind: "current" });
    this.#first.resolve();
    if (this.#closed) return;
    this.#watch ??= store.watch(range, (change) => this.#hear(change), copy.revision);
  }

  #hear(change: Change): void {
    switch (change.kind) {
      case "changed": {
        this.#refusal = undefined;
        this.#meanwhile?.push(change);
        const before = this.#copy?.entry(change.key) ?? null;
        if (this.#copy?.apply(change)) this.#tell({ ...change, before });
        break;
      }
      case "refused":
        this.#refusal = change.error;
        this.#fail(change.error);
        break;
      case "missed":
        if (this.#due) return;
        this.#due = true;
        this.#hasten();
    }
  }

  #fail(error: StoreError): void {
    const { state } = this;
    if (state.kind === "behind") return;
    this.#become(
      state.kind === "empty"
        ? { kind: "empty", error }
        : { kind: "behind", since: this.surroundings.now(), error },
    );
  }

  #become(state: MirrorState): void {
    if (state.kind === "current" && this.#state.kind === "current") return;
    this.#state = state;
    this.#tell({ kind: "state" });
  }

  #tell(news: MirrorNews): void {
    for (const listener of [...this.#listeners]) {
      if (this.#listeners.has(listener)) listener(news);
    }
  }
}

/** The entries of a range, as one reading found them and what was heard since has made of them. */
class Copy {
  readonly #entries: Map<string, Entry>;
  /** In their order. An insertion moves those behind it, which for thousands is a matter of microseconds. */
  readonly #keys: string[];
  /** Keys that went since the reading, with the revision of that: what was before must not bring them back. */
  readonly #gone = new Map<string, string>();
  readonly #readAt: string;
  #revision: string;

  /** What there was at a revision. */
  constructor(revision: string, entries: readonly Entry[]) {
    this.#readAt = revision;
    this.#revision = revision;
    this.#entries = new Map(entries.map((entry) => [entry.key, entry]));
    this.#keys = [...this.#entries.keys()].sort();
  }

  get revision(): string {
    return this.#revision;
  }

  entry(key: string): Entry | null {
    return this.#entries.get(key) ?? null;
  }

  entries({ from, to }: KeyRange): Entry[] {
    const keys = this.#keys.slice(this.#position(from), this.#position(to));
    return keys.flatMap((key) => this.#entries.get(key) ?? []);
  }

  /** Takes note of a change; whether it was news. */
  apply({ key, entry, revision }: MirrorChange): boolean {
    if (isBefore(this.#revision, revision)) this.#revision = revision;
    const known = this.#entries.get(key);
    const knownAt = known?.revision ?? this.#gone.get(key) ?? this.#readAt;
    if (entry !== null) {
      if (!isBefore(knownAt, revision)) return false;
      if (known === undefined) this.#keys.splice(this.#position(key), 0, key);
      this.#entries.set(key, entry);
      this.#gone.delete(key);
      return true;
    }
    // a key whose lease expired may be gone by the revision that wrote it: no commit says so
    if (isBefore(revision, knownAt)) return false;
    this.#gone.set(key, revision);
    if (known === undefined) return false;
    this.#keys.splice(this.#position(key), 1);
    this.#entries.delete(key);
    return true;
  }

  /** What is another than it was in an earlier copy, in the order of the revisions. */
  differences(earlier: Copy): (MirrorChange & { readonly before: Entry | null })[] {
    const changes = [];
    for (const [key, entry] of this.#entries) {
      const before = earlier.entry(key);
      if (before?.revision !== entry.revision) {
        changes.push({ ...change(key, entry, entry.revision), before });
      }
    }
    for (const [key, before] of earlier.#entries) {
      if (this.#entries.has(key)) continue;
      changes.push({ ...change(key, null, this.#gone.get(key) ?? this.#readAt), before });
    }
    return changes.sort(byRevision);
  }

  /** How many keys come before a border. */
  #position(border: string): number {
    let [low, high] = [0, this.#keys.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] ?? "") < border) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function byRevision(a: MirrorChange, b: MirrorChange): number {
  return isBefore(a.revision, b.revision) ? -1 : isBefore(b.revision, a.revision) ? 1 : 0;
}

function change(key: string, entry: Entry | null, revision: string): MirrorChange {
  return { kind: "changed", key, entry, revision };
}
