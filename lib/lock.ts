/**
 * The lock of a group, over a store: each method reads the document, lets a rule of `semaphore.ts` decide, and
 * commits what it decided by one compare-and-swap.
 *
 * A swap that another machine won is tried again on what is there now. A swap whose outcome nobody knows is followed
 * by a read, and the mark of the request tells whether it landed. Both are bounded, by number and by time; when the
 * bound is reached with an outcome still unknown, {@linkcode LockError} says exactly that. A document that
 * contradicts itself is refused and left as it is. What was committed carries who did it and when.
 *
 * Nothing here waits for a slot: that is `waiter.ts`.
 */

import {
  acquire,
  type AcquireDecision,
  type ChangeKind,
  confirm,
  type ConfirmDecision,
  FRESH,
  type Hold,
  type HoldProof,
  type Pause,
  pause,
  release,
  type ReleaseDecision,
  type ReleaseGround,
  resume,
  type Semaphore,
  SemaphoreError,
  setMax,
} from "./semaphore.ts";
import { groupLabel, semaphoreKey } from "./group.ts";
import { type Place, queueRange, readQueue } from "./queue.ts";
import { type CommitOutcome, type Entry, exactly, type Store, StoreError } from "./store.ts";
import { sleep, type Surroundings } from "./surroundings.ts";
import { parseSemaphore, serializeSemaphore } from "./document.ts";

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

/** What a commit is recorded as: see {@linkcode LastChange}. */
export interface Note {
  readonly what: ChangeKind;
  readonly machine?: string;
  readonly reason?: string;
}

/**
 * A change that may be tried again: from the document that is there to a decision, and the next document if any.
 * `inDoubt` says that an earlier try may have landed.
 */
type Rule<Decision> = (
  current: Semaphore,
  reading: Reading,
  inDoubt: boolean,
) => { decision: Decision; next?: Semaphore; note: Note };

export class Lock {
  readonly key: string;
  /** The last document that this object wrote or saw: a first guess, which a commit has to prove. */
  #seen: Entry | null | undefined;

  /** `by`: who makes the changes, for the record. */
  constructor(
    readonly store: Store,
    readonly group: string,
    readonly surroundings: Surroundings,
    readonly by: string,
  ) {
    this.key = semaphoreKey(group);
  }

  /** The document now; a group that nobody used yet has a fresh one. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  async read(): Promise<Semaphore> {
    return (await this.reading(CALL_TIMEOUT_MS)).semaphore;
  }

  /** The document and the queue at one moment. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  async readWithQueue(): Promise<{ semaphore: Semaphore; queue: Place[] }> {
    const queries = [{ range: exactly(this.key) }, { range: queueRange(this.group) }];
    const { found: [own = [], places = []] } = await this.store.view(queries, { timeoutMs: CALL_TIMEOUT_MS });
    return { semaphore: this.parse(own[0] ?? null), queue: readQueue(this.group, places) };
  }

  /**
   * Takes a slot for `holder` at once, or says why not; who waits in the queue is passed over. `hold.grant` must be new
   * for every request: by it a grant whose reply was lost is known again. Throws {@linkcode StoreError},
   * {@linkcode LockError}.
   */
  acquire(holder: string, hold: Hold & { readonly grant: string }): Promise<AcquireDecision> {
    const note: Note = {
      what: "lock",
      machine: holder,
      ...(hold.reason === undefined ? {} : { reason: hold.reason }),
    };
    return this.change("lock", (current) => {
      const decision = acquire(current, { holder, hold });
      if (decision.kind === "held" && decision.hold?.grant === hold.grant) {
        return { decision: { kind: "granted", next: current }, note };
      }
      return { decision, ...(decision.kind === "granted" ? { next: decision.next } : {}), note };
    });
  }

  /**
   * Proves, by a commit of its own, that the hold is still the one that `proof` names, and marks it `rebooting`.
   * No reboot without it. Throws {@linkcode StoreError}, {@linkcode LockError}.
   */
  confirm(proof: HoldProof): Promise<ConfirmDecision> {
    return this.change("confirm", (current) => {
      const decision = confirm(current, proof);
      const note: Note = { what: "confirm", machine: proof.holder };
      return { decision, ...(decision.kind === "confirmed" ? { next: decision.next } : {}), note };
    }, this.#seen);
  }

  /**
   * Gives the slot of `holder` back if `ground` is true. Throws {@linkcode StoreError}, {@linkcode LockError}.
   */
  release(holder: string, ground: ReleaseGround): Promise<ReleaseDecision> {
    let tried: Hold | undefined;
    return this.change("unlock", (current, _, inDoubt): ReturnType<Rule<ReleaseDecision>> => {
      const decision = release(current, holder, ground);
      const note: Note = { what: RELEASES[ground.kind], machine: holder };
      // the hold that was to go is gone, and the try that nobody heard of may have been what ended it
      const gone = decision.kind === "not-held" || decision.hold?.grant !== tried?.grant;
      if (inDoubt && gone) return { decision: { kind: "released", next: current, hold: tried }, note };
      if (decision.kind !== "released") return { decision, note };
      tried = decision.hold;
      return { decision, next: decision.next, note };
    });
  }

  /**
   * Makes sure that a grant in doubt, whose commit may still be on its way, never happens: every change that was made on
   * what the document was before is refused from then on. Returns the decision on the hold, if it happened already.
   * Throws {@linkcode StoreError}, {@linkcode LockError}.
   */
  withdraw(holder: string, boot: string | undefined, grant: string): Promise<ReleaseDecision> {
    const note: Note = { what: "cancel", machine: holder };
    return this.change("withdraw", (current): ReturnType<Rule<ReleaseDecision>> => {
      const hold = current.holds.get(holder);
      if (hold?.grant !== grant || hold.boot !== boot) {
        return { decision: { kind: "not-held" }, next: current, note };
      }
      const decision = release(current, holder, { kind: "administrator" });
      return { decision, ...(decision.kind === "released" ? { next: decision.next } : {}), note };
    });
  }

  /** Sets max. Returns what this replaced. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  setMax(max: number): Promise<{ oldMax: number }> {
    const note: Note = { what: "set-max" };
    let tried: number | undefined;
    return this.change("set-max", (current, { entry }, inDoubt) => {
      // the try that nobody heard of may have been what set it
      if (inDoubt && tried !== undefined && current.max === max) return { decision: { oldMax: tried }, note };
      tried = current.max;
      const changes = current.max !== max || entry === null;
      return { decision: { oldMax: current.max }, ...(changes ? { next: setMax(current, max) } : {}), note };
    });
  }

  /**
   * Stops new grants. Returns the pause that was there before, and what is paused. Throws {@linkcode StoreError},
   * {@linkcode LockError}.
   */
  pause(paused: Pause): Promise<{ before: Pause | undefined; semaphore: Semaphore }> {
    const note: Note = { what: "pause", ...(paused.reason === undefined ? {} : { reason: paused.reason }) };
    let before: Pause | undefined;
    return this.change("pause", (current, _, inDoubt) => {
      // the pause that is there may be what nobody heard of
      const ours = inDoubt && current.paused?.since === paused.since && current.paused?.by === paused.by;
      if (!ours) before = current.paused;
      const next = pause(current, paused);
      return { decision: { before, semaphore: next }, next, note };
    });
  }

  /** Allows grants again. Returns the pause that this ended. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  resume(): Promise<{ before: Pause | undefined }> {
    let ended: Pause | undefined;
    return this.change("resume", (current) => {
      ended = current.paused ?? ended;
      const next = current.paused === undefined ? {} : { next: resume(current) };
      return { decision: { before: ended }, ...next, note: { what: "resume" } };
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
    const outcome = await this.commit(entry, next, { what: "repair" }, CALL_TIMEOUT_MS);
    if (outcome.kind === "unknown") throw this.unknown("repair", outcome.cause);
    return outcome.kind === "committed";
  }

  /** The document in an entry; fresh where there is none. Throws {@linkcode LockError} of kind `document`. */
  parse(entry: Entry | null): Semaphore {
    return entry === null ? FRESH : parseEntry(entry, this.group, this.store);
  }

  /** A document as it is written now, with what is to be recorded of the change. */
  stamp(next: Semaphore, { what, machine, reason }: Note): string {
    return serializeSemaphore({
      ...next,
      changed: {
        at: new Date(this.surroundings.now()).toISOString(),
        by: this.by,
        what,
        ...(machine === undefined ? {} : { machine }),
        ...(reason === undefined ? {} : { reason }),
        extra: {},
      },
    });
  }

  /** Tells what the document is by now, as far as somebody else knows: see {@linkcode confirm}. */
  saw(entry: Entry | null): void {
    this.#seen = entry;
  }

  private async change<Decision>(
    verb: string,
    rule: Rule<Decision>,
    guess?: Entry | null,
  ): Promise<Decision> {
    const { surroundings } = this;
    const deadline = surroundings.elapsed() + TOTAL_TIMEOUT_MS;
    const callTimeoutMs = () => Math.max(1, Math.min(CALL_TIMEOUT_MS, deadline - surroundings.elapsed()));
    let lastUnknown: StoreError | undefined;
    let known = guess;
    for (let attempt = 0; attempt < ATTEMPT_LIMIT && surroundings.elapsed() < deadline; attempt++) {
      try {
        const guessed = known !== undefined;
        const reading = known === undefined
          ? await this.reading(callTimeoutMs())
          : { entry: known, semaphore: this.parse(known) };
        known = undefined;
        const { decision, next, note } = rule(reading.semaphore, reading, lastUnknown !== undefined);
        if (next === undefined) {
          // no decision rests on a guess alone
          if (guessed) continue;
          return decision;
        }
        const outcome = await this.commit(reading.entry, next, note, callTimeoutMs());
        if (outcome.kind === "committed") return decision;
        if (outcome.kind === "unknown") lastUnknown = outcome.cause;
        // a guess that was wrong came back with what is there now; a lost race pauses first, and what it saw ages
        else if (guessed) known = outcome.found[0]?.[0] ?? null;
        if (guessed) continue;
      } catch (error) {
        // as long as an earlier commit may have landed, only a look ends the doubt
        if (lastUnknown === undefined || !(error instanceof StoreError)) throw error;
      }
      await sleep(surroundings, this.backoffMs(attempt + 1));
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
    return { entry, semaphore: this.parse(entry) };
  }

  private async commit(
    entry: Entry | null,
    next: Semaphore,
    note: Note,
    timeoutMs: number,
  ): Promise<CommitOutcome> {
    const outcome = await this.store.commit({
      expect: [{ key: this.key, revision: entry?.revision ?? null }],
      put: [{ key: this.key, value: this.stamp(next, note) }],
      read: [{ range: exactly(this.key) }],
    }, { timeoutMs });
    if (outcome.kind !== "unknown") this.#seen = outcome.found[0]?.[0] ?? null;
    return outcome;
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

/** A mark that no other request has. */
export function newGrant(): string {
  return crypto.randomUUID();
}

/** What a release is recorded as. */
const RELEASES: Readonly<Record<ReleaseGround["kind"], ChangeKind>> = {
  rebooted: "release",
  cancelled: "cancel",
  administrator: "unlock",
};

/** The document in an entry of `group`. Throws {@linkcode LockError} of kind `document`. */
export function parseEntry(entry: Entry, group: string, store: Store): Semaphore {
  try {
    return parseSemaphore(entry.value);
  } catch (error) {
    if (error instanceof SemaphoreError) throw documentError(entry, group, store, error);
    throw error;
  }
}

function documentError(entry: Entry, group: string, store: Store, error: SemaphoreError): LockError {
  const flag = group === "" ? "" : ` --group '${group.replaceAll("'", `'\\''`)}'`;
  return new LockError(
    "document",
    `${entry.key} at ${store.name} is not a sound semaphore, and was left as it is: ${error.message}`,
    `see how it can be mended: locksmith repair --dry-run${flag}`,
    { cause: error },
  );
}
