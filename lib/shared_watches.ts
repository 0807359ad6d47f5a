/**
 * Any number of watches, told by the news of one {@linkcode Mirror}. The copy finds by itself what its own watch did not
 * tell, so a reading of it that the watches need not know of costs them nothing: what differs is told as changes. All hear
 * `missed` when the store was away, so that who failed meanwhile tries again.
 */

import type { Mirror, MirrorChange, MirrorNews } from "./mirror.ts";
import { type Change, isBefore, isOneKey, type KeyRange, type Store, type Watch } from "./store.ts";

interface Listener {
  readonly range: KeyRange;
  readonly tell: (change: Change) => void;
  /** Of what happened up to this revision it knows. */
  after: string | undefined;
  /** It was told what came before it began to listen. */
  begun: boolean;
  closed: boolean;
}

export class SharedWatches {
  readonly #listeners = new Set<Listener>();
  /** Who listens to one key, by that key. */
  readonly #ofKey = new Map<string, Set<Listener>>();
  readonly #ofRanges = new Set<Listener>();
  readonly #subscription: { close(): void };
  #current: boolean;
  /** The newest revision of the copy. */
  #revision: string;
  #closed = false;

  constructor(private readonly store: Store, private readonly mirror: Mirror) {
    this.#current = mirror.state.kind === "current";
    this.#revision = mirror.revision;
    this.#subscription = mirror.subscribe((news) => this.#hear(news));
  }

  /** Begins a watch; see {@linkcode Store.watch}. What the mirror has no copy of is watched in the store. */
  add(range: KeyRange, tell: (change: Change) => void, after?: string): Watch {
    const { mirror } = this;
    if (range.from < mirror.range.from || mirror.range.to < range.to) {
      return this.store.watch(range, tell, after);
    }
    if (this.#closed) throw new TypeError(`cannot watch ${JSON.stringify(range.from)}: the store is closed`);
    const listener: Listener = { range, tell, after, begun: false, closed: false };
    const key = isOneKey(range) ? range.from : undefined;
    const group = key === undefined ? this.#ofRanges : this.#ofKey.get(key) ?? new Set();
    if (key !== undefined) this.#ofKey.set(key, group);
    group.add(listener);
    this.#listeners.add(listener);
    // a listener may use what this returns
    queueMicrotask(() => this.#begin(listener));
    return {
      close: () => {
        listener.closed = true;
        this.#listeners.delete(listener);
        group.delete(listener);
        if (key !== undefined && group.size === 0 && this.#ofKey.get(key) === group) this.#ofKey.delete(key);
      },
    };
  }

  /** Ends every watch. */
  close(): void {
    this.#closed = true;
    this.#subscription.close();
    for (const listener of this.#listeners) listener.closed = true;
    this.#listeners.clear();
    this.#ofKey.clear();
    this.#ofRanges.clear();
  }

  #begin(listener: Listener): void {
    listener.begun = true;
    const { range, after } = listener;
    const since = after === undefined ? null : this.mirror.changesSince(range, after);
    if (since !== null) return since.forEach((change) => tellSoon(listener, change));
    // while the store is away, all hear of it when it is back
    if (this.#current) tellSoon(listener, { kind: "missed" });
  }

  #hear(news: MirrorNews): void {
    switch (news.kind) {
      case "changed":
        for (const listener of this.#ofKey.get(news.key) ?? []) tellChange(listener, news);
        for (const listener of this.#ofRanges) {
          if (listener.range.from <= news.key && news.key < listener.range.to) tellChange(listener, news);
        }
        break;
      case "reread":
        // a store that was restored from an older copy counts anew
        if (isBefore(this.mirror.revision, this.#revision)) this.#tellMissed();
        break;
      case "state": {
        const was = this.#current;
        this.#current = this.mirror.state.kind === "current";
        if (this.#current && !was) this.#tellMissed();
      }
    }
    this.#revision = this.mirror.revision;
  }

  #tellMissed(): void {
    for (const listener of this.#listeners) {
      listener.after = undefined;
      tellSoon(listener, { kind: "missed" });
    }
  }
}

function tellChange(listener: Listener, { key, entry, revision }: MirrorChange): void {
  const { after, begun } = listener;
  // a key whose lease expired may be gone by a revision that its listener knows
  const known = after !== undefined && !isBefore(after, revision) && !(entry === null && after === revision);
  if (begun && !known) tellSoon(listener, { kind: "changed", key, entry, revision });
}

/** In a task of its own, so that a listener that throws does not silence the others. */
function tellSoon(listener: Listener, change: Change): void {
  queueMicrotask(() => {
    if (!listener.closed) listener.tell(change);
  });
}
