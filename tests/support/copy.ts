/** A mirror of a store in memory. */

import type { Mirror, MirrorNews, MirrorState } from "../../lib/mirror.ts";
import type { Entry, KeyRange } from "../../lib/store.ts";
import type { Connection } from "./virtual.ts";

const ALL: KeyRange = { from: "\0", to: "\uffff" };

export class Copy implements Mirror {
  state: MirrorState = { kind: "current" };
  revision = "0";
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(news: MirrorNews) => void>();

  constructor(connection: Connection) {
    const { memory } = connection;
    for (const entry of memory.view([{ range: ALL }]).found[0] ?? []) this.#entries.set(entry.key, entry);
    this.revision = memory.revision;
    connection.watch(ALL, (change) => {
      if (change.kind !== "changed") return;
      const { key, entry, revision } = change;
      const before = this.#entries.get(key) ?? null;
      this.revision = revision;
      if (entry === null) this.#entries.delete(key);
      else this.#entries.set(key, entry);
      for (const tell of this.#listeners) tell({ kind: "changed", key, entry, before });
    }, this.revision);
  }

  entry(key: string): Entry | null {
    return this.#entries.get(key) ?? null;
  }

  entries({ from, to }: KeyRange): readonly Entry[] {
    return [...this.#entries.values()].filter(({ key }) => from <= key && key < to)
      .sort((a, b) => a.key < b.key ? -1 : 1);
  }

  subscribe(listener: (news: MirrorNews) => void) {
    this.#listeners.add(listener);
    return { close: () => this.#listeners.delete(listener) };
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
}
