/**
 * A store in memory, for simulation and tests: it keeps the whole contract, and loses everything with the process.
 */

import type { CommitOutcome, Entry, Store, Transaction, Watch } from "./store.ts";

/** What several stores see together, as several clients see one server. */
export class Memory {
  private revision = 0;
  private readonly entries = new Map<string, Entry>();
  private readonly watchers = new Map<string, Set<() => void>>();

  get(key: string): Entry | null {
    return this.entries.get(key) ?? null;
  }

  list(prefix: string): Entry[] {
    return [...this.entries.values()].filter(({ key }) => key.startsWith(prefix)).sort((a, b) =>
      a.key < b.key ? -1 : 1
    );
  }

  commit({ expect, put }: Transaction): CommitOutcome {
    for (const { key, revision } of expect) {
      if ((this.entries.get(key)?.revision ?? null) !== revision) return { kind: "refused" };
    }
    const revision = String(++this.revision);
    for (const { key, value } of put) this.entries.set(key, { key, value, revision });
    for (const { key } of put) this.watchers.get(key)?.forEach((changed) => queueMicrotask(changed));
    return { kind: "committed", revision };
  }

  watch(key: string, changed: () => void): Watch {
    let open = true;
    const guarded = () => open && changed();
    const watchers = this.watchers.get(key) ?? new Set();
    this.watchers.set(key, watchers.add(guarded));
    return {
      close() {
        open = false;
        watchers.delete(guarded);
      },
    };
  }
}

/** A store over `memory`. */
export function openMemory(memory: Memory): Store {
  const watches = new Set<Watch>();
  return {
    name: "memory",
    read: (key) => Promise.resolve(memory.get(key)),
    list: (prefix) => Promise.resolve(memory.list(prefix)),
    commit: (transaction) => Promise.resolve(memory.commit(transaction)),
    watch(key, changed) {
      const watch = memory.watch(key, changed);
      watches.add(watch);
      return watch;
    },
    close() {
      watches.forEach((watch) => watch.close());
      return Promise.resolve();
    },
  };
}
