/**
 * One machine's wait for a slot: from the first request to the grant, or until it gives up.
 *
 * What to do next is decided in `wait.ts`; here it is done. The commit that grants removes the place, and proves that the
 * place was still there, that nobody stood before it, and that the semaphore is what it was thought to be; so nothing that
 * a watch tells has to be true, and a grant goes out without another read.
 *
 * It goes on by itself whatever fails, until it was told how it ended. An outcome that nobody knows is looked at until it
 * is known; who leaves with a grant in doubt first makes sure that it can never happen.
 */

import { backoffMs } from "./backoff.ts";
import { ALL_GROUPS, ALL_KEY } from "./group.ts";
import { CALL_TIMEOUT_MS, type Lock, LockError } from "./lock.ts";
import { Mailbox } from "./mailbox.ts";
import {
  arrivalQueries,
  firstInLine,
  higherQuery,
  PLACE_TTL_MS,
  placeKey,
  predecessor,
  predecessorQueries,
  queueRange,
  serializePlace,
} from "./queue.ts";
import { REMIND_MS } from "./seldom.ts";
import { overdueHolders } from "./semaphore.ts";
import {
  type Entry,
  exactly,
  type Expectation,
  isBefore,
  type Lease,
  StoreError,
  type View,
} from "./store.ts";
import {
  grantedNews,
  type Known,
  type LastNews,
  type Move,
  nextMove,
  passesInMs,
  type WaitNews,
  type WaitRequest,
} from "./wait.ts";

/** The pause after the store failed, in milliseconds. A watch that is back ends it. */
const FAILURE_PAUSE_MS = { first: 250, last: 30_000 };

/** A lease, and the place in line that it keeps: they live and die together. */
interface Foothold {
  readonly lease: Lease;
  /** As this process made it. */
  readonly place?: Entry;
  /** The next before it of its own priority; `null`: there is none, and never will be; absent: to be looked for. */
  readonly before?: Entry | null;
}

/** What became of the grant that was last sent. Of one that nobody knows of, another may be sent. */
type GrantState = "unsent" | "sent" | "refused" | "unknown";

export class Waiter {
  readonly #key: string;
  readonly #mailbox: Mailbox;
  #foothold: Foothold | undefined;
  #grantState: GrantState = "unsent";
  #leaving = false;
  #failures = 0;
  #said = { mark: "", at: 0 };

  /** Does nothing before {@linkcode start}. */
  constructor(
    private readonly lock: Lock,
    private readonly request: WaitRequest,
    private readonly listener: (news: WaitNews) => void,
  ) {
    const { waits, hold, priority } = request;
    this.#key = placeKey(lock.group, priority, waits.id, waits.bootId === undefined ? hold.grant : undefined);
    this.#mailbox = new Mailbox(
      lock.store,
      (error) => this.#say({ kind: "failing", error }, error.message),
    );
  }

  /** Begins to wait. Resolves after the last news; rejects for a bug only. */
  async start(): Promise<void> {
    let known: Known | undefined;
    let last: LastNews | undefined;
    while (last === undefined) {
      const leaving = this.#leaving;
      try {
        const next: Known | LastNews = leaving
          ? await this.#leave()
          : await this.#carryOut(known ?? await this.#look());
        if ("kind" in next) last = next;
        else known = next;
        this.#failures = 0;
      } catch (error) {
        if (!(error instanceof StoreError || error instanceof LockError)) throw error;
        known = undefined;
        this.#say({ kind: "failing", error }, error.message);
        await this.#backOff(leaving);
      }
      if (this.#leaving) known = undefined;
    }
    this.#mailbox.close();
    this.#foothold?.lease.abandon();
    this.listener(last);
  }

  /** Gives the place up. Sooner or later the listener hears `left`; or `granted`, if that came first. */
  leave(): void {
    this.#leaving = true;
    this.#mailbox.ask();
  }

  /** Whether a grant may have happened, or may still happen, that the listener did not hear of. */
  get inDoubt(): boolean {
    return this.#grantState === "sent" || this.#grantState === "unknown";
  }

  /** Makes the next move: to what is known after it, or to the end. */
  async #carryOut(known: Known): Promise<Known | LastNews> {
    const { lock, request } = this;
    const standing = { place: this.#foothold?.place, asked: this.#grantState !== "unsent" };
    const move = nextMove(known, standing, request, lock.surroundings.now());
    switch (move.kind) {
      case "finish":
        lock.saw({ entry: known.document, all: known.all });
        if (known.place !== null) await this.#giveUpPlace();
        return move.news;
      case "grant":
        return await this.#grant(known, move);
      case "line-up":
        return await this.#lineUp(known);
      case "give-back":
        await lock.release(move.machine);
        return await this.#look();
      case "stand-aside":
        await this.#giveUpPlace();
        this.#tellObstacle(known, move);
        return await this.#changed(known, lock.key);
      case "stay":
        this.#tellObstacle(known, move);
        return await this.#changed(
          known,
          move.watch ?? lock.key,
          passesInMs(move.obstacle, lock.surroundings.now()),
        );
    }
  }

  async #grant(
    known: Known,
    { next, place }: Extract<Move, { kind: "grant" }>,
  ): Promise<Known | LastNews> {
    const { lock, request: { waits, hold, priority } } = this;
    const reason = hold.reason === undefined ? {} : { reason: hold.reason };
    const guards: Expectation[] = place === null
      ? [{ range: queueRange(lock.group), noneCreatedBefore: null }]
      : firstInLine(lock.group, priority, place);
    // an earlier one that nobody knows of may still come, whatever becomes of this one
    const otherwise = this.#grantState === "unknown" ? "unknown" : "refused";
    this.#grantState = "sent";
    const value = lock.stamp(next, { what: "grant", machine: waits.id, ...reason });
    const outcome = await lock.store.commit({
      expect: [
        { key: lock.key, revision: known.document?.revision ?? null },
        { key: ALL_KEY, revision: known.all?.revision ?? null },
        ...guards,
      ],
      put: [{ key: lock.key, value }],
      remove: place === null ? [] : [this.#key],
      readRefused: this.#lookQueries(),
    }, { timeoutMs: CALL_TIMEOUT_MS }).catch((error) => {
      this.#grantState = otherwise;
      throw error;
    });
    this.#grantState = outcome.kind === "unknown" ? "unknown" : otherwise;
    if (outcome.kind === "unknown") throw outcome.cause;
    if (outcome.kind === "refused") return await this.#understood(outcome);
    lock.wrote(value, outcome.revision, { entry: known.document, all: known.all });
    return { kind: "granted", grant: hold.grant, called: false };
  }

  /** Takes a place, or takes over the one that an earlier process of this machine left. */
  async #lineUp(known: Known): Promise<Known> {
    const { lock, request } = this;
    const lease = this.#foothold?.lease ?? await this.#lease();
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
        { range: exactly(ALL_KEY) },
        ...arrivalQueries(lock.group, request.priority),
      ],
    }, { timeoutMs: CALL_TIMEOUT_MS });
    if (outcome.kind === "unknown") throw outcome.cause;
    if (outcome.kind === "refused") {
      // the lease is gone, or the place just went
      lease.abandon();
      this.#foothold = undefined;
      return await this.#look();
    }
    const place = outcome.found[1]?.[0];
    // a lease that was lost meanwhile is not to be relied on
    if (this.#foothold?.lease !== lease || place === undefined) return await this.#look();
    this.#foothold = { lease, place };
    // a place that was taken over is not the newest of its priority: ask for what is before it
    return known.place === null ? this.#known(outcome) : await this.#look();
  }

  async #lease(): Promise<Lease> {
    const { store } = this.lock;
    const lease: Lease = await store.lease(PLACE_TTL_MS, () => {
      // the place may still be there, with nobody to keep it: it is taken over under another lease
      if (this.#foothold?.lease !== lease) return;
      this.#foothold = undefined;
      this.#mailbox.ask();
    }, { timeoutMs: CALL_TIMEOUT_MS });
    this.#foothold = { lease };
    return lease;
  }

  /** Gives the place up, and knows that no grant will come any more, or that it came. */
  async #leave(): Promise<LastNews> {
    const { lock, request: { waits, hold: { boot, grant } } } = this;
    await this.#giveUpPlace();
    const queries = [{ range: exactly(lock.key) }, { range: exactly(this.#key) }];
    const { found } = await lock.store.view(queries, { timeoutMs: CALL_TIMEOUT_MS });
    const [document, place] = [found[0]?.[0] ?? null, found[1]?.[0] ?? null];
    // without a grant in doubt there is none to look for, and a document that cannot be read is none of our business
    const semaphore = this.inDoubt ? lock.parse(document) : undefined;
    if (semaphore?.holds.get(waits.id)?.grant === grant) {
      lock.saw({ entry: document });
      return grantedNews(semaphore, waits.id, grant);
    }
    if (place !== null) {
      // its lease could not be ended, or it is one that an earlier process left
      const outcome = await lock.store.commit({
        expect: [{ key: this.#key, revision: place.revision }],
        put: [],
        remove: [this.#key],
      }, { timeoutMs: CALL_TIMEOUT_MS });
      if (outcome.kind === "unknown") throw outcome.cause;
      if (outcome.kind === "refused") return await this.#leave();
    }
    if (this.inDoubt) {
      const decision = await lock.cancel({ holder: waits.id, boot, grant }, { fence: true });
      // it happened after all, and somebody confirmed it
      if (decision.kind === "kept" && decision.why === "rebooting") {
        return { kind: "granted", grant, called: true };
      }
    }
    return { kind: "left" };
  }

  async #giveUpPlace(): Promise<void> {
    const lease = this.#foothold?.lease;
    this.#foothold = undefined;
    await lease?.end({ timeoutMs: CALL_TIMEOUT_MS });
  }

  async #look(): Promise<Known> {
    const view = await this.lock.store.view(this.#lookQueries(), { timeoutMs: CALL_TIMEOUT_MS });
    return await this.#understood(view);
  }

  /** By exact keys where they are known: a range costs a store as much as there are machines in line. */
  #lookQueries() {
    const { lock: { group, key }, request: { priority } } = this;
    const { place, before } = this.#foothold ?? {};
    return [
      { range: exactly(key) },
      { range: exactly(this.#key) },
      { range: exactly(ALL_KEY) },
      ...place === undefined
        ? [{ range: queueRange(group), limit: 1 }]
        : before === undefined
        ? predecessorQueries(group, priority, place.created)
        : before === null
        ? [higherQuery(group, priority)]
        : [{ range: exactly(before.key) }],
    ];
  }

  /** What an answer to {@linkcode #lookQueries} says; where the place before is gone, another look says who is there now. */
  async #understood(view: View): Promise<Known> {
    const foothold = this.#foothold;
    const { before, place } = foothold ?? {};
    if (foothold === undefined || place === undefined || !before) return this.#known(view);
    const found = view.found[3]?.[0];
    if (found?.created === before.created) return this.#knownWith(view, found);
    this.#foothold = { lease: foothold.lease, place };
    return await this.#look();
  }

  /** What an answer with the predecessors says, and keeps who they are. */
  #known(view: View): Known {
    const foothold = this.#foothold;
    const place = foothold?.place;
    const answers = view.found.slice(3);
    if (foothold === undefined || place === undefined) return this.#knownWith(view, answers[0]?.[0]);
    const { same, higher } = predecessor(answers, this.#key, place.created);
    // who is the first of its priority stays it
    this.#foothold = { ...foothold, before: foothold.before === null ? null : same ?? null };
    return this.#knownWith(view, same ?? higher);
  }

  #knownWith({ revision, found }: View, before: Entry | undefined): Known {
    const { lock } = this;
    const [document, place, all] = [found[0]?.[0] ?? null, found[1]?.[0] ?? null, found[2]?.[0] ?? null];
    return {
      revision,
      document,
      semaphore: lock.parse(document),
      all,
      allGroups: lock.parse(all, ALL_GROUPS),
      place,
      before,
    };
  }

  /** What is known after the next change of `key`, or after `mostMs`; what came since `known` counts. */
  async #changed(known: Known, key: string, mostMs = Infinity): Promise<Known> {
    const { lock: { surroundings }, request } = this;
    this.#mailbox.watch(key, known.revision);
    const restMs = Math.min(request.lookMs * (1 + surroundings.random() / 2), mostMs);
    const timer = surroundings.after(restMs, () => this.#mailbox.ask());
    try {
      while (!this.#leaving) {
        const mail = await this.#mailbox.take();
        if (this.#leaving) break;
        if (mail.kind === "look") return await this.#look();
        // a key whose lease expired may be gone without a commit that says so
        const gone = mail.entry === null && mail.revision === known.revision;
        if (!gone && !isBefore(known.revision, mail.revision)) continue;
        if (key === this.lock.key) {
          const { revision, entry: document } = mail;
          return { ...known, revision, document, semaphore: this.lock.parse(document) };
        }
        // of all groups another document was looked away from meanwhile
        if (key === ALL_KEY) return await this.#look();
        // one that went and came again is behind, and what told of its going may have been overtaken
        if (mail.entry !== null && mail.entry.created === known.before?.created) continue;
        if (this.#foothold?.before?.key === key) {
          const { before: _, ...foothold } = this.#foothold;
          this.#foothold = foothold;
        }
        return await this.#look();
      }
      return known;
    } finally {
      timer.cancel();
    }
  }

  /** After a failure: until the next try is due, a watch has news or is back, or it is told to leave. */
  async #backOff(leaving: boolean): Promise<void> {
    const { surroundings, key } = this.lock;
    this.#failures++;
    if (this.#leaving !== leaving) return;
    // who began without the store has no watch yet that could tell when it is back; one failure alone is no absence
    if (this.#failures > 1 && !this.#mailbox.watches) this.#mailbox.watch(key);
    const pauseMs = backoffMs(this.#failures, FAILURE_PAUSE_MS, surroundings.random());
    await new Promise<void>((resolve) => {
      const timer = surroundings.after(pauseMs, resolve);
      this.#mailbox.arrival().then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  #tellObstacle({ semaphore }: Known, { obstacle }: Extract<Move, { kind: "stay" | "stand-aside" }>): void {
    const overdue = overdueHolders(semaphore, this.lock.surroundings.now(), this.request.overdueMs);
    this.#say({ kind: "waiting", obstacle, overdue, semaphore }, JSON.stringify([obstacle, overdue]));
  }

  /** Tells news, unless the very same was told a while ago. */
  #say(news: WaitNews, mark: string): void {
    const at = this.lock.surroundings.elapsed();
    const known = mark === this.#said.mark && at - this.#said.at < REMIND_MS;
    if (known || this.#leaving) return;
    this.#said = { mark, at };
    this.listener(news);
  }
}
