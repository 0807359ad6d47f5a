/**
 * What came of the one key that a waiter watches, until it is looked at: the newest document, or that a look is due.
 *
 * Events come late, twice or never, so the newest revision counts, and a look that was asked for is not forgotten for it.
 */

import {
  type Change,
  type Entry,
  exactly,
  isBefore,
  type Store,
  type StoreError,
  type Watch,
} from "./store.ts";

/** What is in the box: the watched entry as an event told it, or that only a look can tell. */
export type Mail =
  | { readonly kind: "entry"; readonly entry: Entry | null; readonly revision: string }
  | { readonly kind: "look" };

export class Mailbox {
  #mail: Mail | undefined;
  #arrived: (() => void) | undefined;
  #watch: { readonly key: string; readonly watch: Watch } | undefined;

  /** `refused` hears that a watch is not to be had: only looks tell of changes then. */
  constructor(private readonly store: Store, private readonly refused: (error: StoreError) => void) {}

  /**
   * Watches `key` in place of what was watched before, from `revision` on; what came of another key is dropped. Without a
   * revision a look is due as soon as the store says that it watches.
   */
  watch(key: string, revision?: string): void {
    if (this.#watch?.key === key) return;
    this.close();
    this.#mail = undefined;
    const watch = this.store.watch(exactly(key), (change) => this.#hear(change), revision);
    this.#watch = { key, watch };
  }

  /** Whether anything is watched. */
  get watches(): boolean {
    return this.#watch !== undefined;
  }

  /** A look is due. */
  ask(): void {
    this.#put({ kind: "look" });
  }

  /** Takes what is there, waiting for it if need be. */
  async take(): Promise<Mail> {
    while (this.#mail === undefined) {
      await new Promise<void>((resolve) => this.#arrived = resolve);
    }
    const mail = this.#mail;
    this.#mail = undefined;
    return mail;
  }

  /** Resolves when something is put into the box from now on. */
  arrival(): Promise<void> {
    return new Promise((resolve) => this.#arrived = resolve);
  }

  /** Watches nothing any more. */
  close(): void {
    this.#watch?.watch.close();
    this.#watch = undefined;
  }

  #hear(change: Change): void {
    if (change.kind === "refused") return this.refused(change.error);
    this.#put(
      change.kind === "missed"
        ? { kind: "look" }
        : { kind: "entry", entry: change.entry, revision: change.revision },
    );
  }

  #put(mail: Mail): void {
    const before = this.#mail;
    const older = before?.kind === "entry" && mail.kind === "entry" &&
      isBefore(mail.revision, before.revision);
    if (before?.kind !== "look" && !older) this.#mail = mail;
    this.#arrived?.();
  }
}
