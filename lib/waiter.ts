/**
 * One machine's wait for a slot: from the first request to the grant, or until it gives up.
 *
 * A free slot that nobody waits for is taken by one commit. Else the machine takes a place in the queue and watches one
 * key: the place before its own, or when it is the first the semaphore. The commit that grants removes the place, and
 * proves that the place was still there, that nobody stood before it, and that the semaphore is what it was thought to
 * be; so nothing that a watch tells has to be true, and a grant goes out without another read.
 *
 * It goes on by itself whatever fails, until it was told how it ended: `granted`, `left`, or `held` by hand. An outcome
 * that nobody knows is looked at until it is known; who leaves with a grant in doubt first makes sure that it can never
 * happen.
 */

import { CALL_TIMEOUT_MS, type Lock, LockError } from "./lock.ts";
import {
  arrivalQueries,
  firstInLine,
  PLACE_TTL_MS,
  placeKey,
  predecessor,
  predecessorQueries,
  queueRange,
  serializePlace,
} from "./queue.ts";
import { describeHold } from "./cli/report.ts";
import { acquire, type Hold, overdueHolders, REBOOTING, type Semaphore } from "./semaphore.ts";
import {
  type Change,
  type Entry,
  exactly,
  type Expectation,
  isBefore,
  type Lease,
  type Query,
  StoreError,
  type View,
  type Watch,
} from "./store.ts";

/** The pause after the store failed grows from the first to the last of these, in milliseconds, with jitter. */
const FAILURE_PAUSE_MS = { first: 250, last: 30_000 };

/** What is wanted. */
export interface WaitRequest {
  readonly holder: string;
  /**
   * What is to be recorded of the slot. `grant` must be new for every request. Without `boot` it is a request by hand:
   * a slot that the holder has already then ends the wait.
   */
  readonly hold: Omit<Hold, "since"> & { readonly grant: string };
  readonly priority: number;
  /** From how long on a hold is said to be overdue, in milliseconds. */
  readonly overdueMs: number;
  /** How long to rely on a watch before looking all the same, in milliseconds; lengthened by up to a half. */
  readonly lookMs: number;
}

/** A good {@linkcode WaitRequest.lookMs}: what a missed event costs at most, against what looking costs a store. */
export const LOOK_INTERVAL_MS = 5 * 60_000;

/** What a waiter tells. After `granted`, `left` and `held` nothing comes any more. */
export type WaitNews =
  /** `called`: a reboot was called under this very slot already. */
  | { readonly kind: "granted"; readonly grant: string; readonly called: boolean }
  /** The holder has a slot by another hand. */
  | { readonly kind: "held"; readonly hold: Hold | undefined }
  | { readonly kind: "left" }
  /** Still waiting, for another reason than before; `error`: what does not work is tried again. */
  | { readonly kind: "waiting"; readonly why: string; readonly error?: StoreError | LockError };

/** What is known of the store at one moment. */
interface Knowledge {
  readonly revision: string;
  readonly document: Entry | null;
  readonly place: Entry | null;
  /** Somebody who stands before us; before we have a place, anybody. */
  readonly before: Entry | undefined;
}

/** Why a wait for a change ended. */
type Wake = { readonly kind: "document"; readonly entry: Entry | null; readonly revision: string } | {
  readonly kind: "look";
};

export class Waiter {
  readonly #key: string;
  #lease: Lease | undefined;
  /** Our place as we made it. Another revision of it is from before this process, or from a lost reply. */
  #place: Entry | undefined;
  #watch: { readonly key: string; readonly watch: Watch } | undefined;
  /** What came meanwhile and was not looked at yet. */
  #wake: Wake | undefined;
  #woken: (() => void) | undefined;
  /** A grant was sent, and nobody knows whether it happened or still will. */
  #inDoubt = false;
  /** A slot was asked for without a place. */
  #tried = false;
  /** A grant is on its way, and its answer too. */
  #granting = false;
  #leaving = false;
  #failures = 0;
  #said = "";

  /** Does nothing before {@linkcode start}. */
  constructor(
    private readonly lock: Lock,
    private readonly request: WaitRequest,
    private readonly listener: (news: WaitNews) => void,
  ) {
    const { holder, hold, priority } = request;
    this.#key = placeKey(lock.group, priority, holder, hold.boot === undefined ? hold.grant : undefined);
  }

  /** Begins to wait. Resolves after the last news; rejects for a bug only. */
  async start(): Promise<void> {
    let known: Knowledge | undefined;
    let news: WaitNews | undefined;
    while (news === undefined) {
      const leaving = this.#leaving;
      try {
        const next: Knowledge | WaitNews = leaving
          ? await this.#leave()
          : await this.#turn(known ?? await this.#look());
        if ("kind" in next) news = next;
        else known = next;
        this.#failures = 0;
      } catch (error) {
        if (!(error instanceof StoreError || error instanceof LockError)) throw error;
        known = undefined;
        this.#say(`cannot get in line, trying again: ${error.message}`, error);
        await this.#pause(leaving);
      }
      if (this.#leaving) known = undefined;
    }
    this.#watch?.watch.close();
    this.#lease?.abandon();
    this.listener(news);
  }

  /** Gives the place up. Sooner or later the listener hears `left`; or `granted`, if that came first. */
  leave(): void {
    this.#leaving = true;
    this.#wakeUp({ kind: "look" });
  }

  /** Whether a grant may have happened, or may still happen, that the listener did not hear of. */
  get inDoubt(): boolean {
    return this.#inDoubt || this.#granting;
  }

  /** One decision on what is known: the end, or what is known after something has changed. */
  async #turn(known: Knowledge): Promise<Knowledge | WaitNews> {
    const { holder } = this.request;
    const semaphore = this.lock.parse(known.document);
    if (semaphore.holders.includes(holder)) return await this.#holding(known, semaphore);
    if (known.place === null) {
      this.#place = undefined;
      if (!this.#tried && known.before === undefined && this.#next(semaphore) !== undefined) {
        // once: where many come at the same time, all but one are refused, and a line is what they need
        this.#tried = true;
        const nobody: Expectation = { range: queueRange(this.lock.group), noneCreatedBefore: null };
        return await this.#grant(known, semaphore, [nobody]);
      }
      return await this.#enqueue(known);
    }
    // by another process of this machine, before us: it stands in the same place of the line
    if (known.place.revision !== this.#place?.revision) return await this.#enqueue(known);
    if (known.before !== undefined) {
      this.#say(`in line behind another machine${this.#overdue(semaphore)}`);
      return await this.#changed(known, known.before.key);
    }
    if (this.#next(semaphore) === undefined) {
      this.#say(`first in line, ${obstacle(semaphore)}${this.#overdue(semaphore)}`);
      return await this.#changed(known, this.lock.key);
    }
    return await this.#grant(
      known,
      semaphore,
      firstInLine(this.lock.group, this.request.priority, known.place),
    );
  }

  /** The document with a slot for us, or `undefined` where none is to be had. */
  #next(semaphore: Semaphore): Semaphore | undefined {
    const since = new Date(this.lock.surroundings.now()).toISOString();
    const decision = acquire(semaphore, {
      holder: this.request.holder,
      hold: { ...this.request.hold, since },
    });
    return decision.kind === "granted" ? decision.next : undefined;
  }

  async #grant(
    known: Knowledge,
    semaphore: Semaphore,
    guards: readonly Expectation[],
  ): Promise<Knowledge | WaitNews> {
    const { holder, hold } = this.request;
    const next = this.#next(semaphore);
    if (next === undefined) throw new Error("a grant without a free slot");
    const reason = hold.reason === undefined ? {} : { reason: hold.reason };
    this.#granting = true;
    const outcome = await this.lock.store.commit({
      expect: [{ key: this.lock.key, revision: known.document?.revision ?? null }, ...guards],
      put: [{
        key: this.lock.key,
        value: this.lock.stamp(next, { what: "grant", machine: holder, ...reason }),
      }],
      remove: known.place === null ? [] : [this.#key],
      read: this.#queries(),
    }, { timeoutMs: CALL_TIMEOUT_MS }).finally(() => this.#granting = false);
    if (outcome.kind === "committed") {
      this.lock.saw(outcome.found[0]?.[0] ?? null);
      return { kind: "granted", grant: hold.grant, called: false };
    }
    if (outcome.kind === "refused") return this.#known(outcome);
    this.#inDoubt = true;
    throw outcome.cause;
  }

  /** Takes a place; takes over the one that an earlier process of this machine left. */
  async #enqueue(known: Knowledge): Promise<Knowledge> {
    const { lock, request } = this;
    const lease = this.#lease ??= await lock.store.lease(PLACE_TTL_MS, () => this.#lost(lease), {
      timeoutMs: CALL_TIMEOUT_MS,
    });
    const { host, boot, by, reason } = request.hold;
    const value = known.place?.value ?? serializePlace({
      ...(host === undefined ? {} : { host }),
      ...(boot === undefined ? {} : { boot }),
      since: new Date(lock.surroundings.now()).toISOString(),
      ...(by === undefined ? {} : { by }),
      ...(reason === undefined ? {} : { reason }),
    });
    const outcome = await lock.store.commit({
      expect: [{ key: this.#key, revision: known.place?.revision ?? null }],
      put: [{ key: this.#key, value, lease: lease.id }],
      read: [
        { range: exactly(lock.key) },
        { range: exactly(this.#key) },
        ...arrivalQueries(lock.group, request.priority),
      ],
    }, { timeoutMs: CALL_TIMEOUT_MS });
    if (outcome.kind === "unknown") throw outcome.cause;
    if (outcome.kind === "committed") {
      // a lease that was lost meanwhile is not to be relied on
      this.#place = this.#lease === lease ? outcome.found[1]?.[0] : undefined;
      // one that was taken over is not the newest of its priority: ask for what is before it
      return known.place === null ? this.#known(outcome) : await this.#look();
    }
    // the lease is gone, or the place just went
    lease.abandon();
    this.#lease = undefined;
    return await this.#look();
  }

  /** The place may still be there, with nobody to keep it alive: it is to be taken over under another lease. */
  #lost(lease: Lease): void {
    if (this.#lease !== lease) return;
    this.#lease = undefined;
    this.#place = undefined;
    this.#wakeUp({ kind: "look" });
  }

  /** The holder has a slot, by this request or by another. */
  async #holding(known: Knowledge, semaphore: Semaphore): Promise<Knowledge | WaitNews> {
    const { holder, hold: wanted } = this.request;
    const hold = semaphore.holds.get(holder);
    if (hold?.grant === wanted.grant) {
      this.lock.saw(known.document);
      return { kind: "granted", grant: wanted.grant, called: hold.phase === REBOOTING };
    }
    if (wanted.boot === undefined) {
      await this.#giveUpPlace();
      return { kind: "held", hold };
    }
    if (hold?.boot === wanted.boot && hold.grant !== undefined) {
      await this.#giveUpPlace();
      return { kind: "granted", grant: hold.grant, called: hold.phase === REBOOTING };
    }
    // of this boot, and without a grant to show, it cannot be ours to use or to end
    const byHand = hold?.boot === undefined || hold.boot === wanted.boot;
    if (!byHand && (hold.host === undefined || hold.host === wanted.host)) {
      // a grant of an earlier boot that came late
      await this.lock.release(holder, { kind: "rebooted", boot: wanted.boot });
      return await this.#look();
    }
    // nobody shall stand behind a machine that waits for somebody's hand
    await this.#giveUpPlace();
    const details = describeHold(hold);
    this.#say(
      byHand
        ? `this machine's slot was taken by hand${details}; 'locksmith unlock ${holder}' ends that`
        : `machine id ${holder} holds a slot under another boot id and host ${hold.host}${details}; do two machines share this id?`,
    );
    return await this.#changed(known, this.lock.key);
  }

  /** Gives the place up, and knows that no grant will come any more, or that it came. */
  async #leave(): Promise<WaitNews> {
    const { holder, hold } = this.request;
    await this.#giveUpPlace();
    const { document, place } = await this.#look();
    // without a grant in doubt there is none to look for, and a document that cannot be read is none of our business
    const held = this.#inDoubt ? this.lock.parse(document).holds.get(holder) : undefined;
    if (held?.grant === hold.grant) {
      this.lock.saw(document);
      return { kind: "granted", grant: hold.grant, called: held.phase === REBOOTING };
    }
    if (place !== null) {
      // its lease could not be ended, or it is one that an earlier process left
      const outcome = await this.lock.store.commit({
        expect: [{ key: this.#key, revision: place.revision }],
        put: [],
        remove: [this.#key],
      }, { timeoutMs: CALL_TIMEOUT_MS });
      if (outcome.kind === "unknown") throw outcome.cause;
      if (outcome.kind === "refused") return await this.#leave();
    }
    if (this.#inDoubt) {
      const decision = await this.lock.withdraw(holder, hold.boot, hold.grant);
      if (decision.kind === "kept") throw new Error("a withdrawal cannot be kept");
    }
    return { kind: "left" };
  }

  async #giveUpPlace(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    this.#place = undefined;
    await lease?.end({ timeoutMs: CALL_TIMEOUT_MS });
  }

  async #look(): Promise<Knowledge> {
    return this.#known(await this.lock.store.view(this.#queries(), { timeoutMs: CALL_TIMEOUT_MS }));
  }

  #queries(): Query[] {
    const { group, key } = this.lock;
    const before = this.#place === undefined
      ? [{ range: queueRange(group), limit: 1 }]
      : predecessorQueries(group, this.request.priority, this.#place.created);
    return [{ range: exactly(key) }, { range: exactly(this.#key) }, ...before];
  }

  #known({ revision, found: [document = [], place = [], ...before] }: View): Knowledge {
    return {
      revision,
      document: document[0] ?? null,
      place: place[0] ?? null,
      before: this.#place === undefined
        ? before[0]?.[0]
        : predecessor(before, this.#key, this.#place.created),
    };
  }

  /** What is known after the next change of `key`; what came since `known` counts. */
  async #changed(known: Knowledge, key: string): Promise<Knowledge> {
    if (this.#watch?.key !== key) {
      this.#watch?.watch.close();
      this.#wake = undefined;
      this.#watch = {
        key,
        watch: this.lock.store.watch(key, (change) => this.#hear(key, change), known.revision),
      };
    }
    const pause = this.request.lookMs * (1 + this.lock.surroundings.random() / 2);
    const timer = this.lock.surroundings.after(pause, () => this.#wakeUp({ kind: "look" }));
    try {
      while (!this.#leaving) {
        const wake = await this.#nextWake();
        if (this.#leaving) break;
        if (wake.kind === "look") return await this.#look();
        if (isBefore(known.revision, wake.revision)) {
          return { ...known, revision: wake.revision, document: wake.entry };
        }
      }
      return known;
    } finally {
      timer.cancel();
    }
  }

  #hear(key: string, change: Change): void {
    if (change.kind === "refused") {
      return this.#say(`waiting, and looking only now and then: ${change.error.message}`, change.error);
    }
    if (key === this.lock.key && change.kind === "changed") {
      this.#wakeUp({ kind: "document", entry: change.entry, revision: change.revision });
    } else if (change.kind === "missed" || change.entry === null) this.#wakeUp({ kind: "look" });
  }

  /** The newest of what comes counts, but what asks for a look is not forgotten. */
  #wakeUp(wake: Wake): void {
    const before = this.#wake;
    const older = before?.kind === "document" && wake.kind === "document" &&
      isBefore(wake.revision, before.revision);
    if (before?.kind !== "look" && !older) this.#wake = wake;
    this.#woken?.();
  }

  async #nextWake(): Promise<Wake> {
    while (this.#wake === undefined) {
      await new Promise<void>((resolve) => this.#woken = resolve);
    }
    const wake = this.#wake;
    this.#wake = undefined;
    return wake;
  }

  /** After a failure: later each time, with jitter, but not for longer than it takes to be told to leave meanwhile. */
  async #pause(leaving: boolean): Promise<void> {
    const { surroundings } = this.lock;
    const limit = Math.min(FAILURE_PAUSE_MS.last, FAILURE_PAUSE_MS.first * 2 ** Math.min(this.#failures, 10));
    this.#failures++;
    if (this.#leaving !== leaving) return;
    await new Promise<void>((resolve) => {
      const timer = surroundings.after(limit * (0.5 + surroundings.random() / 2), resolve);
      this.#woken = () => {
        if (this.#leaving === leaving) return;
        timer.cancel();
        resolve();
      };
    });
  }

  #overdue(semaphore: Semaphore): string {
    const late = overdueHolders(semaphore, this.lock.surroundings.now(), this.request.overdueMs);
    if (late.length === 0) return "";
    const named = late.map((id) => `${id}${describeHold(semaphore.holds.get(id))}`);
    return `; overdue: ${named.join(", ")}`;
  }

  #say(why: string, error?: StoreError | LockError): void {
    if (why === this.#said || this.#leaving) return;
    this.#said = why;
    this.listener({ kind: "waiting", why, ...(error === undefined ? {} : { error }) });
  }
}

/** Why a semaphore grants nothing. */
function obstacle(semaphore: Semaphore): string {
  return semaphore.paused
    ? `the group is paused${describeHold(semaphore.paused)}`
    : `all slots are held (available: ${semaphore.max - semaphore.holders.length})`;
}
