/**
 * The lock of a group, over a store: each method reads the document, lets a rule of `semaphore.ts` decide, and
 * commits what it decided by one compare-and-swap.
 *
 * A swap that another machine won is tried again on what is there now. A swap whose outcome nobody knows is followed
 * by a read, and the mark of the request tells whether it landed. Both are bounded, by number and by time; when the
 * bound is reached with an outcome still unknown, {@linkcode LockError} says exactly that. A document that
 * contradicts itself is refused and left as it is.
 */

import {
  acquire,
  type AcquireDecision,
  confirm,
  type ConfirmDecision,
  FRESH,
  type Hold,
  type HoldProof,
  parseSemaphore,
  release,
  type ReleaseDecision,
  type ReleaseGround,
  type Semaphore,
  SemaphoreError,
  serializeSemaphore,
  setMax,
} from "./semaphore.ts";
import { groupLabel, groupOfKey, ROOT, semaphoreKey } from "./group.ts";
import { type Entry, type Store, StoreError } from "./store.ts";

/** Time and chance, as parameters: the daemon has the real ones, a simulation its own. */
export interface Surroundings {
  /** Milliseconds since the epoch. */
  now(): number;
  /** A number in [0, 1). */
  random(): number;
  /** Resolves after `ms` milliseconds. */
  sleep(ms: number): Promise<void>;
}

/** How often a lost swap is tried again before {@linkcode LockError}. */
export const ATTEMPT_LIMIT = 200;
/** How long one method may take in all, in milliseconds. Below the 10 s that a command may cost. */
export const TOTAL_TIMEOUT_MS = 8_000;
/** How long one call to the store may take, in milliseconds. */
export const CALL_TIMEOUT_MS = 4_000;
/** The pause after a lost swap grows from the first to the last of these, in milliseconds, each with full jitter. */
const BACKOFF_MS = { first: 4, last: 400 };

/**
 * What could not be done with the lock. `unknown`: it may have happened; only a look can tell. `contended`: others
 * won every swap. `document`: the key holds something that is no sound semaphore.
 */
export class LockError extends Error {
  override readonly name = "LockError";
  constructor(
    readonly kind: "unknown" | "contended" | "document",
    message: string,
    readonly hint: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** What was in the key: the text for whoever mends it, and the document if it is sound. */
export interface Reading {
  readonly entry: Entry | null;
  readonly semaphore: Semaphore;
}

/**
 * A change that may be tried again: from the document that is there to a decision, and the next document if any.
 * `inDoubt` says that an earlier try may have landed.
 */
type Rule<Decision> = (
  current: Semaphore,
  reading: Reading,
  inDoubt: boolean,
) => { decision: Decision; next?: Semaphore };

export class Lock {
  readonly key: string;

  constructor(
    readonly store: Store,
    readonly group: string,
    private readonly surroundings: Surroundings,
  ) {
    this.key = semaphoreKey(group);
  }

  /** The document now; a group that nobody used yet has a fresh one. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  async read(): Promise<Semaphore> {
    return (await this.reading(CALL_TIMEOUT_MS)).semaphore;
  }

  /**
   * Takes a slot for `holder`, or says why not. `hold.grant` must be new for every request: by it a grant whose reply
   * was lost is known again. Throws {@linkcode StoreError}, {@linkcode LockError}.
   */
  acquire(holder: string, hold: Hold & { readonly grant: string }): Promise<AcquireDecision> {
    return this.change("lock", (current) => {
      const decision = acquire(current, { holder, hold });
      if (decision.kind === "held" && decision.hold?.grant === hold.grant) {
        return { decision: { kind: "granted", next: current } };
      }
      return { decision, ...(decision.kind === "granted" ? { next: decision.next } : {}) };
    });
  }

  /**
   * Proves, by a commit of its own, that the hold is still the one that `proof` names, and marks it `rebooting`.
   * No reboot without it. Throws {@linkcode StoreError}, {@linkcode LockError}.
   */
  confirm(proof: HoldProof): Promise<ConfirmDecision> {
    return this.change("confirm", (current) => {
      const decision = confirm(current, proof);
      return { decision, ...(decision.kind === "confirmed" ? { next: decision.next } : {}) };
    });
  }

  /** Gives the slot of `holder` back if `ground` is true. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  release(holder: string, ground: ReleaseGround): Promise<ReleaseDecision> {
    let tried: Hold | undefined;
    return this.change("unlock", (current, _, inDoubt): ReturnType<Rule<ReleaseDecision>> => {
      const decision = release(current, holder, ground);
      // the hold that was to go is gone, and the try that nobody heard of may have been what ended it
      const gone = decision.kind === "not-held" || decision.hold?.grant !== tried?.grant;
      if (inDoubt && gone) return { decision: { kind: "released", next: current, hold: tried } };
      if (decision.kind !== "released") return { decision };
      tried = decision.hold;
      return { decision, next: decision.next };
    });
  }

  /** Sets max. Returns what this replaced. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  setMax(max: number): Promise<{ oldMax: number }> {
    let tried: number | undefined;
    return this.change("set-max", (current, { entry }, inDoubt) => {
      // the try that nobody heard of may have been what set it
      if (inDoubt && tried !== undefined && current.max === max) return { decision: { oldMax: tried } };
      tried = current.max;
      const changes = current.max !== max || entry === null;
      return { decision: { oldMax: current.max }, ...(changes ? { next: setMax(current, max) } : {}) };
    });
  }

  /** The entry as it lies in the store, sound or not, to be mended. Throws {@linkcode StoreError}. */
  entry(): Promise<Entry | null> {
    return this.store.read(this.key, { timeoutMs: CALL_TIMEOUT_MS });
  }

  /**
   * Puts `next` in the place of exactly `entry`; `false` when something else is there by now. Not tried again: who
   * saw the entry decided on it. Throws {@linkcode LockError} when nobody knows whether it happened.
   */
  async replace(entry: Entry | null, next: Semaphore): Promise<boolean> {
    const outcome = await this.commit(entry, next, CALL_TIMEOUT_MS);
    if (outcome.kind === "unknown") throw this.unknown("repair", outcome.cause);
    return outcome.kind === "committed";
  }

  private async change<Decision>(verb: string, rule: Rule<Decision>): Promise<Decision> {
    const deadline = this.surroundings.now() + TOTAL_TIMEOUT_MS;
    const callTimeoutMs = () => Math.min(CALL_TIMEOUT_MS, deadline - this.surroundings.now());
    let lastUnknown: StoreError | undefined;
    for (let attempt = 0; attempt < ATTEMPT_LIMIT && callTimeoutMs() > 0; attempt++) {
      if (attempt > 0) await this.surroundings.sleep(this.backoffMs(attempt));
      try {
        const reading = await this.reading(Math.max(1, callTimeoutMs()));
        const { decision, next } = rule(reading.semaphore, reading, lastUnknown !== undefined);
        if (next === undefined) return decision;
        const outcome = await this.commit(reading.entry, next, Math.max(1, callTimeoutMs()));
        if (outcome.kind === "committed") return decision;
        if (outcome.kind === "unknown") lastUnknown = outcome.cause;
      } catch (error) {
        // as long as an earlier commit may have landed, only a look ends the doubt
        if (lastUnknown === undefined || !(error instanceof StoreError)) throw error;
      }
    }
    if (lastUnknown !== undefined) throw this.unknown(verb, lastUnknown);
    throw new LockError(
      "contended",
      `cannot ${verb} group ${
        groupLabel(this.group)
      } at ${this.store.name}: other machines changed ${this.key} at every try`,
      "nothing was changed; try again",
    );
  }

  private async reading(timeoutMs: number): Promise<Reading> {
    const entry = await this.store.read(this.key, { timeoutMs });
    if (entry === null) return { entry, semaphore: FRESH };
    try {
      return { entry, semaphore: parseSemaphore(entry.value) };
    } catch (error) {
      if (error instanceof SemaphoreError) throw documentError(entry, this.group, this.store, error);
      throw error;
    }
  }

  private commit(entry: Entry | null, next: Semaphore, timeoutMs: number) {
    return this.store.commit({
      expect: [{ key: this.key, revision: entry?.revision ?? null }],
      put: [{ key: this.key, value: serializeSemaphore(next) }],
    }, { timeoutMs });
  }

  private unknown(verb: string, cause: StoreError): LockError {
    return new LockError(
      "unknown",
      `nobody can tell whether ${verb} in group ${groupLabel(this.group)} happened: ${cause.message}`,
      "the request may have reached the store; look with 'locksmith status' before you go on",
      { cause },
    );
  }

  private backoffMs(attempt: number): number {
    return this.surroundings.random() * Math.min(BACKOFF_MS.last, BACKOFF_MS.first * 2 ** attempt);
  }
}

/** A group and its document, or why that cannot be read. */
export interface GroupReading {
  readonly group: string;
  readonly key: string;
  readonly semaphore: Semaphore | LockError;
}

/** Every group that the store has a document of, by name, in one read. Throws {@linkcode StoreError}. */
export async function readGroups(store: Store): Promise<GroupReading[]> {
  const readings: GroupReading[] = [];
  for (const entry of await store.list(ROOT, { timeoutMs: CALL_TIMEOUT_MS })) {
    const group = groupOfKey(entry.key);
    if (group === undefined) continue;
    readings.push({ group, key: entry.key, semaphore: readOne(entry, group, store) });
  }
  return readings.sort((a, b) => a.group < b.group ? -1 : 1);
}

function readOne(entry: Entry, group: string, store: Store): Semaphore | LockError {
  try {
    return parseSemaphore(entry.value);
  } catch (error) {
    if (error instanceof SemaphoreError) return documentError(entry, group, store, error);
    throw error;
  }
}

function documentError(entry: Entry, group: string, store: Store, error: SemaphoreError): LockError {
  const flag = group === "" ? "" : ` --group '${group}'`;
  return new LockError(
    "document",
    `${entry.key} at ${store.name} is not a sound semaphore, and was left as it is: ${error.message}`,
    `'locksmith repair --dry-run${flag}' shows how it can be mended`,
    { cause: error },
  );
}
