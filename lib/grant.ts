/**
 * How a server takes a slot for a host that asks, by one commit: it proves that nobody comes before the host, and that the
 * documents and the host's place are what they were thought to be, and removes the place. So any number of servers can
 * stand side by side, and daemons that use the store themselves beside them.
 *
 * A lost swap is tried again. Where nobody knows the outcome, a write of the unchanged document makes sure that a grant which
 * has not come by then never comes; the mark of the request tells whether it came before.
 */

import { backoffMs } from "./backoff.ts";
import { Pauses } from "./contention.ts";
import { ALL_KEY } from "./group.ts";
import { CALL_TIMEOUT_MS, type Lock, LockError, TOTAL_TIMEOUT_MS } from "./lock.ts";
import type { Guest, Places } from "./places.ts";
import type { KeptSlots } from "./kept_slots.ts";
import { comesBefore, nobodyBefore } from "./polling.ts";
import type { SeenDocument } from "./seen_document.ts";
import { acquire, type AcquireDecision, available, FLEET_LOCK, GRANTED, type Hold } from "./semaphore.ts";
import { type Entry, exactly, type Expectation, StoreError } from "./store.ts";
import { sleep } from "./surroundings.ts";

/** The pause after the store failed, in milliseconds. */
const FAILURE_PAUSE_MS = { first: 50, last: 2_000 };

/** What is known of the documents when a slot is taken. */
export interface Documents {
  readonly own: SeenDocument;
  readonly all: SeenDocument;
}

export type GrantOutcome =
  /** By this request. */
  | { readonly kind: "granted"; readonly grant: string }
  /** The host has a slot already. */
  | { readonly kind: "held" }
  /** There is none for it now. */
  | { readonly kind: "not-now" }
  /** Nobody knows; what comes of it is to be fenced off: see {@linkcode Granter.inDoubt}. */
  | { readonly kind: "unknown"; readonly cause: StoreError };

export class Granter {
  /** The hosts of whose last grant nobody knows whether it came or may still come, and the document that it was to replace. */
  readonly #doubts = new Map<string, string | null>();
  /** Why the last outcome was not known. */
  #cause: StoreError | undefined;

  constructor(
    private readonly lock: Lock,
    private readonly documents: Documents,
    private readonly places: Places,
    private readonly kept: KeptSlots,
    private readonly newMark: () => string,
  ) {}

  /** Whether a grant to this holder may have come, or may still come, of which nobody was told. */
  inDoubt(holder: string): boolean {
    return this.#doubts.has(holder);
  }

  /** The document was written meanwhile, and what is to be said of this holder is in it. */
  settled(holder: string): void {
    this.#doubts.delete(holder);
  }

  /** Whether it looks as if this host could have a slot now. */
  mayHave(guest: Guest): boolean {
    if (this.obstacle(guest.id) !== undefined) return false;
    const passed = this.#passable(guest.id);
    const first = this.places.line.queue.find(({ entry }) => !passed.includes(entry.key));
    if (first === undefined || first.place.machine === guest.id) return true;
    const standing = this.places.standing(guest);
    const { priority = 0 } = guest.request;
    return standing === undefined ? first.priority < priority : comesBefore(standing, first);
  }

  /** What the documents say against a slot for this holder. */
  obstacle(holder: string): Exclude<AcquireDecision, { kind: "granted" }> | LockError | undefined {
    const decision = this.#decide(holder, NO_HOLD);
    return decision instanceof LockError || decision.kind !== "granted" ? decision : undefined;
  }

  /** Takes a slot for a host, unless `isOff` says that it does not want it any more. Throws {@linkcode LockError} of kind `document`. */
  async take(guest: Guest, isOff: () => boolean): Promise<GrantOutcome> {
    const { lock, documents: { own, all } } = this;
    const { surroundings } = lock;
    const { id: holder, request: { reason, priority = 0 } } = guest;
    const grant = this.newMark();
    const because = reason === undefined ? {} : { reason };
    const pauses = new Pauses();
    const beganMs = surroundings.elapsed();
    let failures = 0;
    while (true) {
      const doubtful = this.#doubts.get(holder);
      if (doubtful !== undefined && !await this.#fenced(holder, doubtful)) {
        if (this.#cause !== undefined && surroundings.elapsed() - beganMs > TOTAL_TIMEOUT_MS) {
          return { kind: "unknown", cause: this.#cause };
        }
        await sleep(surroundings, backoffMs(++failures, FAILURE_PAUSE_MS, surroundings.random()));
        continue;
      }
      const decision = this.#decide(holder, this.#newHold(guest, grant));
      if (decision instanceof LockError) throw decision;
      if (decision.kind === "held") {
        return decision.hold?.grant === grant ? { kind: "granted", grant } : { kind: "held" };
      }
      if (decision.kind !== "granted" || isOff() || !this.mayHave(guest)) return { kind: "not-now" };
      const [entry, entryOfAll] = [own.entry, all.entry];
      const places = this.places.of(holder);
      const sentMs = surroundings.elapsed();
      const outcome = await lock.store.commit({
        expect: [
          ...this.#unchanged(entry, entryOfAll),
          ...this.#nobodyBefore(guest, priority),
        ],
        put: [{
          key: lock.key,
          value: lock.stamp(decision.next, { what: "grant", machine: holder, ...because }),
        }],
        remove: places.map(({ entry }) => entry.key),
        read: documentsOf(lock.key),
      }, { timeoutMs: CALL_TIMEOUT_MS });
      if (outcome.kind === "unknown") {
        this.#cause = outcome.cause;
        this.#doubts.set(holder, entry?.revision ?? null);
        continue;
      }
      if (outcome.kind === "committed") {
        for (const { entry: { key } } of places) this.places.line.apply(key, null, outcome.revision);
        this.#saw(outcome);
        return { kind: "granted", grant };
      }
      this.#saw(outcome);
      const same = own.entry?.revision === entry?.revision && all.entry?.revision === entryOfAll?.revision;
      // somebody stands before it of whom the mirror does not know yet, or its place is another by now
      if (same) return { kind: "not-now" };
      const crowd = decision.next.holders.length;
      await sleep(
        surroundings,
        pauses.lost({ tookMs: surroundings.elapsed() - sentMs, crowd }, surroundings.random()),
      );
    }
  }

  /** Makes sure that a grant in doubt came already, or never comes. Whether that is so. */
  async #fenced(holder: string, doubtful: string | null): Promise<boolean> {
    const { lock, documents: { own } } = this;
    try {
      this.#saw(await lock.store.view(documentsOf(lock.key), { timeoutMs: CALL_TIMEOUT_MS }));
      if ((own.entry?.revision ?? null) === doubtful) {
        if (own.semaphore instanceof LockError) throw own.semaphore;
        const value = lock.stamp(own.semaphore, { what: "cancel", machine: holder });
        const outcome = await lock.store.commit({
          expect: [{ key: lock.key, revision: doubtful }],
          put: [{ key: lock.key, value }],
          read: documentsOf(lock.key),
        }, { timeoutMs: CALL_TIMEOUT_MS });
        if (outcome.kind === "unknown") throw outcome.cause;
        this.#saw(outcome);
      }
      this.#doubts.delete(holder);
      return true;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#cause = error;
      return false;
    }
  }

  #saw(
    { revision, found }: { readonly revision: string; readonly found: readonly (readonly Entry[])[] },
  ): void {
    this.documents.own.apply(found[0]?.[0] ?? null, revision);
    this.documents.all.apply(found[1]?.[0] ?? null, revision);
  }

  #unchanged(own: Entry | null, all: Entry | null): Expectation[] {
    return [{ key: this.lock.key, revision: own?.revision ?? null }, {
      key: ALL_KEY,
      revision: all?.revision ?? null,
    }];
  }

  #nobodyBefore(guest: Guest, priority: number): Expectation[] {
    const { group } = this.places.line;
    const passed = this.#passable(guest.id);
    const standing = this.places.standing(guest);
    if (standing === undefined) return nobodyBefore(group, { priority, rank: null, ordinary: false }, passed);
    const { entry, rank, key } = standing;
    const ordinary = !key.beside && key.rank === undefined;
    return [
      { key: entry.key, revision: entry.revision },
      ...nobodyBefore(group, { priority, rank, ordinary }, passed),
    ];
  }

  #passable(machine: string): string[] {
    const { semaphore } = this.documents.own;
    if (semaphore instanceof LockError) return [];
    return this.kept.passable(machine, available(semaphore), this.lock.surroundings.now());
  }

  #decide(holder: string, hold: Hold): AcquireDecision | LockError {
    const { own: { semaphore }, all: { semaphore: all } } = this.documents;
    if (semaphore instanceof LockError) return semaphore;
    if (all instanceof LockError) return all;
    return acquire(semaphore, { holder, hold, all, now: this.lock.surroundings.now() });
  }

  #newHold({ request: { host, boot, reason } }: Guest, grant: string): Hold {
    return {
      ...(host === undefined ? {} : { host }),
      ...(boot === undefined ? {} : { boot }),
      via: FLEET_LOCK,
      since: new Date(this.lock.surroundings.now()).toISOString(),
      by: FLEET_LOCK,
      ...(reason === undefined ? {} : { reason }),
      phase: GRANTED,
      grant,
      extra: {},
    };
  }
}

const NO_HOLD: Hold = { extra: {} };

/** The document of a group and that of all groups. */
function documentsOf(key: string) {
  return [{ range: exactly(key) }, { range: exactly(ALL_KEY) }];
}
