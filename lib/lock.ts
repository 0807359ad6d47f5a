/**
 * The lock of a group, over a store: each method reads the document, lets a rule of `semaphore.ts` decide, and
 * commits what it decided by one compare-and-swap.
 *
 * A swap that another machine won is tried again on what is there now. A swap whose outcome nobody knows is followed
 * by a read, and the mark of the request tells whether it landed. Both are bounded; when a bound is reached with an
 * outcome still unknown, {@linkcode LockError} says exactly that. A document that contradicts itself is refused and left
 * as it is. What was committed carries who did it and when.
 *
 * Nothing here waits for a slot: that is `waiter.ts`.
 */

import { backoffMs } from "./backoff.ts";
import { Contention, crowdOf } from "./contention.ts";
import { serializeSemaphore } from "./document.ts";
import { ALL_GROUPS, ALL_KEY, groupPhrase, semaphoreKey } from "./group.ts";
import { LockError, parseEntry } from "./lock_error.ts";
import type { Machine } from "./machine.ts";
import { type Note, noteOf } from "./note.ts";
import { awayRange, type Place, queueRange, readQueue } from "./queue.ts";
import {
  acquire,
  type AcquireDecision,
  cancel,
  type CancelDecision,
  confirm,
  type ConfirmDecision,
  type EndDecision,
  FRESH,
  type Hold,
  type HoldProof,
  type Pause,
  pause,
  release,
  type ReleaseDecision,
  resume,
  type Semaphore,
  setMax,
  unlock,
} from "./semaphore.ts";
import {
  type CommitOutcome,
  type Entry,
  exactly,
  type Query,
  type Store,
  StoreError,
  type View,
} from "./store.ts";
import { sleep, type Surroundings } from "./surroundings.ts";

export { LockError } from "./lock_error.ts";

/** How long one method may take in all while the store does not answer, in milliseconds: a command may cost 10 s. */
export const TOTAL_TIMEOUT_MS = 8_000;
/** How long one call to the store may take, in milliseconds. */
export const CALL_TIMEOUT_MS = 4_000;
/** How long others may win every swap before {@linkcode LockError}, in milliseconds: the store answers all the while. */
export const CONTENTION_LIMIT_MS = 30_000;
/** How often one method tries at most. */
export const ATTEMPT_LIMIT = 200;
/** The pause before the next look while nobody can tell whether a try landed, in milliseconds. */
const DOUBT_PAUSE_MS = { first: 1, last: 1_000 };

/**
 * A change that may be tried again: from the document that is there to a decision, and the next document if any.
 * `inDoubt` says that an earlier try may have landed.
 */
export type Rule<Decision> = (
  current: Semaphore,
  entry: Entry | null,
  inDoubt: boolean,
  all: Semaphore,
) => Ruling<Decision>;

/** What a change rests on: the document, and that of all groups; absent: the change does not depend on it. */
export interface Sight {
  readonly entry: Entry | null;
  readonly all?: Entry | null | undefined;
}

/** What a change begins with: a guess in place of the first read, and whether it depends on the document of all groups. */
interface Basis {
  readonly guess?: Sight | undefined;
  readonly asksAll?: boolean;
}

export interface Ruling<Decision> {
  readonly decision: Decision;
  /** Absent: nothing is to be written. */
  readonly next?: Semaphore;
  readonly note: Note;
}

export class Lock {
  readonly key: string;
  /** The last documents that this object wrote or saw: a first guess, which a commit has to prove. */
  #seen: Sight | undefined;
  /** Whether nothing was stored for the group before this object wrote. */
  created = false;

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
    return this.parse(await this.entry());
  }

  /**
   * The document, that of all groups and who waits, in the queue or away, at one moment, of each no more than `limit` places; `stored`: whether
   * there is a document, or a queue. Throws {@linkcode StoreError}, {@linkcode LockError}.
   */
  async readWithQueue(
    limit?: number,
  ): Promise<{ semaphore: Semaphore; all: Semaphore; queue: Place[]; stored: boolean }> {
    const queries = [
      { range: exactly(this.key) },
      { range: exactly(ALL_KEY) },
      ...[queueRange(this.group), awayRange(this.group)].map((range) => {
        return { range, ...(limit === undefined ? {} : { limit }) };
      }),
    ];
    const { found: [own = [], all = [], places = [], away = []] } = await this.store.view(queries, {
      timeoutMs: CALL_TIMEOUT_MS,
    });
    return {
      semaphore: this.parse(own[0] ?? null),
      all: this.parse(all[0] ?? null, ALL_GROUPS),
      queue: readQueue(this.group, [...places, ...away]),
      stored: own.length + places.length + away.length > 0,
    };
  }

  /** What counts for all groups now. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  async readAll(): Promise<Semaphore> {
    return this.parse(await this.store.read(ALL_KEY, { timeoutMs: CALL_TIMEOUT_MS }), ALL_GROUPS);
  }

  /**
   * Takes a slot for `holder` at once, or says why not; waiting machines are passed over. `hold.grant` must be new
   * for every request: by it a grant whose reply was lost is known again. Throws {@linkcode StoreError},
   * {@linkcode LockError}.
   */
  acquire(holder: string, hold: Hold & { readonly grant: string }): Promise<AcquireDecision> {
    const note = noteOf("lock", holder, hold.reason);
    return this.change("lock", (current, _, _inDoubt, all) => {
      const decision = acquire(current, { holder, hold, all, now: this.surroundings.now() });
      if (decision.kind === "held" && decision.hold?.grant === hold.grant) {
        return { decision: { kind: "granted", next: current }, note };
      }
      return { decision, ...(decision.kind === "granted" ? { next: decision.next } : {}), note };
    }, { asksAll: true });
  }

  /**
   * Proves, by a commit of its own, that the hold is still the one that `proof` names, and marks it `rebooting` under
   * `mark`, the same for all that one process confirms. No reboot without it. Throws {@linkcode StoreError}, {@linkcode LockError}.
   */
  confirm(proof: HoldProof, mark: string): Promise<ConfirmDecision> {
    const note = noteOf("confirm", proof.holder);
    return this.change("confirm", (current, _, _inDoubt, all): Ruling<ConfirmDecision> => {
      const decision = confirm(current, proof, mark, { all, now: this.surroundings.now() });
      return { decision, ...(decision.kind === "confirmed" ? { next: decision.next } : {}), note };
    }, { guess: this.#seen, asksAll: true });
  }

  /** Gives back what `machine` held in an earlier boot. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  release(machine: Machine): Promise<ReleaseDecision> {
    return this.#end("release", noteOf("release", machine.id), (current) => release(current, machine));
  }

  /**
   * Gives back a slot that its owner does not want any more. `mark`: of the owner's own confirms, if there were any. With
   * `fence`, a grant that may still be on its way is made impossible: every commit that was made on what the
   * document was before is refused from then on. Throws {@linkcode StoreError}, {@linkcode LockError}.
   */
  cancel(
    proof: HoldProof,
    { mark, fence = false }: { readonly mark?: string; readonly fence?: boolean } = {},
  ): Promise<CancelDecision> {
    return this.#end(
      "cancel",
      noteOf("cancel", proof.holder),
      (current) => cancel(current, proof, mark),
      fence,
    );
  }

  /** Ends the hold of `holder`, whoever took it. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  unlock(holder: string, reason?: string): Promise<EndDecision> {
    return this.#end("unlock", noteOf("unlock", holder, reason), (current) => unlock(current, holder));
  }

  /** Sets max. Returns what this replaced. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  setMax(max: number, reason?: string): Promise<{ oldMax: number }> {
    const note = noteOf("set-max", undefined, reason);
    let tried: number | undefined;
    return this.change("set-max", (current, entry, inDoubt) => {
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
    const note = noteOf("pause", undefined, paused.reason);
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
  resume(reason?: string): Promise<{ before: Pause | undefined }> {
    let ended: Pause | undefined;
    return this.change("resume", (current) => {
      ended = current.paused ?? ended;
      const next = current.paused === undefined ? {} : { next: resume(current) };
      return { decision: { before: ended }, ...next, note: noteOf("resume", undefined, reason) };
    });
  }

  /** The entry as it lies in the store, sound or not. Throws {@linkcode StoreError}. */
  entry(timeoutMs: number = CALL_TIMEOUT_MS): Promise<Entry | null> {
    return this.store.read(this.key, { timeoutMs });
  }

  /**
   * Puts `next` in the place of exactly `entry`; `false` when something else is there by now. Not tried again: who
   * saw the entry decided on it. Throws {@linkcode LockError} when nobody knows whether it happened.
   */
  async replace(entry: Entry | null, next: Semaphore): Promise<boolean> {
    const outcome = await this.#commit({ entry }, next, { what: "repair" }, CALL_TIMEOUT_MS);
    if (outcome.kind === "unknown") throw this.unknown("repair", outcome.cause);
    return outcome.kind === "committed";
  }

  /** The document in an entry, of `group`; fresh where there is none. Throws {@linkcode LockError} of kind `document`. */
  parse(entry: Entry | null, group: string = this.group): Semaphore {
    return entry === null ? FRESH : parseEntry(entry, group, this.store);
  }

  /** A document as it is written now, with what is to be recorded of the change. */
  stamp(next: Semaphore, note: Note): string {
    const at = new Date(this.surroundings.now()).toISOString();
    return serializeSemaphore({ ...next, changed: { at, by: this.by, ...note, extra: {} } });
  }

  /** What the document was when this object wrote or saw it last; `undefined`: not known. */
  get seen(): Entry | null | undefined {
    return this.#seen?.entry;
  }

  /** Tells what the documents are by now, as far as somebody else knows: see {@linkcode confirm}. */
  saw(sight: Sight): void {
    this.#seen = sight;
  }

  /**
   * Tells that a commit of that revision wrote `value` in the place of `before`: what it is by now, unless another came. `all`:
   * the document of all groups, if it was seen.
   */
  wrote(value: string, revision: string, { entry: before, all = this.#seen?.all }: Sight): void {
    this.#seen = { entry: { key: this.key, value, revision, created: before?.created ?? revision }, all };
  }

  /** Ends a hold. A try that nobody heard of may have been what ended it. */
  #end<Why>(
    verb: string,
    note: Note,
    rule: (current: Semaphore) => EndDecision<Why>,
    fence = false,
  ): Promise<EndDecision<Why>> {
    let tried: Hold | undefined;
    return this.change(verb, (current, _, inDoubt): Ruling<EndDecision<Why>> => {
      const decision = rule(current);
      const gone = decision.kind === "not-held" || decision.hold?.grant !== tried?.grant;
      if (inDoubt && tried !== undefined && gone) {
        return { decision: { kind: "released", next: current, hold: tried }, note };
      }
      if (decision.kind !== "released") return { decision, ...(fence ? { next: current } : {}), note };
      tried = decision.hold ?? { extra: {} };
      return { decision, next: decision.next, note };
    });
  }

  /**
   * Reads, decides and commits until one commit lands; a `guess` is tried once in place of the first read. With `asksAll`
   * the commit proves the document of all groups too. `verb` names it in errors. Throws {@linkcode StoreError},
   * {@linkcode LockError}.
   */
  async change<Decision>(verb: string, rule: Rule<Decision>, basis: Basis = {}): Promise<Decision> {
    const contention = new Contention(this.store, this.group, this.surroundings);
    try {
      return await this.#tries(verb, rule, basis, contention);
    } finally {
      await contention.end();
    }
  }

  async #tries<Decision>(
    verb: string,
    rule: Rule<Decision>,
    { guess, asksAll = false }: Basis,
    contention: Contention,
  ): Promise<Decision> {
    const { surroundings } = this;
    const beganMs = surroundings.elapsed();
    /** Since when nobody can tell whether a try of ours landed. */
    let doubt: { readonly sinceMs: number; readonly cause: StoreError } | undefined;
    const leftMs = () => {
      const nowMs = surroundings.elapsed();
      return doubt === undefined
        ? beganMs + CONTENTION_LIMIT_MS - nowMs
        : doubt.sinceMs + TOTAL_TIMEOUT_MS - nowMs;
    };
    let guessed: Sight | undefined = asksAll && guess?.all === undefined ? undefined : guess;
    let brought: Sight | undefined;
    for (let attempt = 1; attempt <= ATTEMPT_LIMIT; attempt++) {
      const triedMs = surroundings.elapsed();
      if (leftMs() <= 0) break;
      const timeoutMs = Math.min(CALL_TIMEOUT_MS, leftMs());
      const pauseMs = backoffMs(attempt, DOUBT_PAUSE_MS, surroundings.random());
      try {
        const sight = guessed ?? brought ?? await this.#look(asksAll, timeoutMs);
        const current = this.parse(sight.entry);
        const all = this.parse(sight.all ?? null, ALL_GROUPS);
        const { decision, next, note } = rule(current, sight.entry, doubt !== undefined, all);
        if (next === undefined) {
          if (guessed === undefined) return decision;
          // no decision rests on a guess alone
          guessed = undefined;
          continue;
        }
        guessed = undefined;
        brought = undefined;
        const crowd = crowdOf(current, note.machine);
        if (await contention.begin(crowd, note.machine, leftMs)) continue;
        const sentMs = surroundings.elapsed();
        const outcome = await this.#commit(sight, next, note, timeoutMs, contention, crowd);
        if (outcome.kind === "committed") return decision;
        if (outcome.kind === "unknown") doubt ??= { sinceMs: triedMs, cause: outcome.cause };
        else {
          const lost = { tookMs: surroundings.elapsed() - sentMs, crowd, machine: note.machine };
          const fresh = await contention.next(lost, leftMs);
          if (fresh && outcome.found.length > 0) brought = sightOf(outcome, asksAll);
          continue;
        }
      } catch (error) {
        // as long as an earlier commit may have landed, only a look ends the doubt
        if (doubt === undefined || !(error instanceof StoreError)) throw error;
      }
      await sleep(surroundings, Math.max(0, Math.min(pauseMs, leftMs())));
    }
    if (doubt !== undefined) throw this.unknown(verb, doubt.cause);
    throw new LockError(
      "contended",
      `cannot ${verb} in ${
        groupPhrase(this.group)
      } at ${this.store.name}: other machines changed ${this.key} on every attempt`,
      "nothing was changed; try again",
    );
  }

  async #look(asksAll: boolean, timeoutMs: number): Promise<Sight> {
    if (!asksAll) return { entry: await this.entry(timeoutMs) };
    return sightOf(await this.store.view(this.#queries(true), { timeoutMs }), true);
  }

  #queries(asksAll: boolean): Query[] {
    return [{ range: exactly(this.key) }, ...(asksAll ? [{ range: exactly(ALL_KEY) }] : [])];
  }

  async #commit(
    sight: Sight,
    next: Semaphore,
    note: Note,
    timeoutMs: number,
    contention?: Contention,
    crowd = 0,
  ): Promise<CommitOutcome> {
    const { entry, all } = sight;
    const ofAll = all === undefined ? [] : [{ key: ALL_KEY, revision: all?.revision ?? null }];
    const value = this.stamp(next, note);
    const outcome = await this.store.commit({
      expect: [{ key: this.key, revision: entry?.revision ?? null }, ...ofAll],
      put: [{ key: this.key, value }],
      remove: contention?.keys ?? [],
      readRefused: contention?.brings(crowd) ? this.#queries(all !== undefined) : [],
    }, { timeoutMs });
    if (outcome.kind !== "refused" && entry === null) this.created = true;
    if (outcome.kind === "committed") {
      contention?.landed();
      this.wrote(value, outcome.revision, sight);
    } else if (outcome.kind === "refused") {
      this.#seen = outcome.found.length > 0 ? sightOf(outcome, all !== undefined) : undefined;
    }
    return outcome;
  }

  /** Says that nobody knows the outcome of `verb`. */
  unknown(verb: string, cause: StoreError): LockError {
    return new LockError(
      "unknown",
      `cannot tell whether ${verb} in ${groupPhrase(this.group)} took effect: ${cause.message}`,
      "the request may have reached the store; check with 'locksmith status' before you continue",
      { cause },
    );
  }
}

/** A mark that no other request has. */
export function newMark(): string {
  return crypto.randomUUID();
}

function sightOf({ found }: View, asksAll: boolean): Sight {
  return { entry: found[0]?.[0] ?? null, ...(asksAll ? { all: found[1]?.[0] ?? null } : {}) };
}
