/**
 * The operators' door: a store over HTTP, by which every command works from afar. What goes over the wire is
 * `store_wire.ts`; here is who may do what, how much of it, and what becomes of what a client leaves behind.
 *
 * A viewer looks and watches; an operator does all that a store can do, to keys of locksmith's own. A lease lives as long
 * as its client asks for it to be kept alive, and at most its time to live beyond that; one that this server does not
 * know, since it was another or has been started anew, is answered as gone, upon which a client takes its places over.
 */

import type { Answer, Asked, Caller, Door, Role, Route } from "./door.ts";
import { ChangeFeed } from "./change_feed.ts";
import { Quota } from "./quota.ts";
import { auditOf } from "./store_audit.ts";
import { ROOT } from "../group.ts";
import { quoted } from "../plain_text.ts";
import { type KeyRange, type Lease, type Store, StoreError, type Transaction } from "../store.ts";
import {
  type Answers,
  decodeQuestion,
  encodeAnswer,
  encodeRefusal,
  type Questions,
  type Refusal,
  REQUEST_LIMIT,
  STORE_PATH,
  type StoreCall,
  type Timed,
  WireFault,
} from "../store_wire.ts";

/** How many watches and how many leases one credential may have at a time, and all together. */
const EACH_LIMIT = 100;
const TOGETHER_LIMIT = 1_000;
/** The shortest life of a lease, in milliseconds: no store does less. */
const TTL_LEAST_MS = 1_000;
/** How long the end of a lease may take that its client left behind, in milliseconds. */
const END_MS = 10_000;

const LOOKS: readonly Role[] = ["operator", "viewer"];
const ACTS: readonly Role[] = ["operator"];

export interface StoreDoorOptions {
  readonly store: Store;
  /** What all keys begin with that may be read and written; default: all that is locksmith's. */
  readonly within?: string;
}

/** The door to `store`, which stays open when the door is closed. */
export function storeDoor(options: StoreDoorOptions): Door {
  return new StoreDoor(options);
}

/** A question that is not answered, for this reason. */
class NotDone extends Error {
  constructor(readonly status: number, readonly kind: string, readonly refusal: Refusal) {
    super(refusal.message);
  }
}

/** A lease that a client asked for. */
interface Kept {
  readonly lease: Lease;
  readonly owner: string;
  readonly ttlMs: number;
  /** Ends it when its client has been silent for too long. */
  timer?: ReturnType<typeof setTimeout>;
}

class StoreDoor implements Door {
  readonly routes: readonly Route[];
  readonly #store: Store;
  readonly #within: string;
  readonly #feeds = new Set<ChangeFeed>();
  readonly #leases = new Map<string, Kept>();
  readonly #watchQuota = new Quota(EACH_LIMIT, TOGETHER_LIMIT);
  readonly #leaseQuota = new Quota(EACH_LIMIT, TOGETHER_LIMIT);
  #closed = false;

  constructor({ store, within = ROOT }: StoreDoorOptions) {
    this.#store = store;
    this.#within = within;
    this.routes = [
      this.#route("view", LOOKS, async ({ queries, timeoutMs }) => {
        for (const { range } of queries) this.#requireRange(range);
        return said("view", await store.view(queries, { timeoutMs }));
      }),
      this.#route("list", LOOKS, async ({ prefix, timeoutMs }) => {
        this.#requireKey(prefix);
        return said("list", { entries: await store.list(prefix, { timeoutMs }) });
      }),
      this.#route("history", LOOKS, async ({ key, ...options }) => {
        this.#requireKey(key);
        return said("history", await store.history(key, options));
      }),
      this.#route("watch", LOOKS, (question, asked) => this.#watch(question, asked)),
      this.#route("commit", ACTS, ({ transaction, timeoutMs }) => this.#commit(transaction, timeoutMs)),
      this.#route("lease", ACTS, (question, { caller }) => this.#lease(question, caller)),
      this.#route("lease/keep", ACTS, ({ id }, { caller }) => {
        const kept = this.#keptBy(caller, id);
        if (kept !== undefined) this.#renew(id, kept);
        return said("lease/keep", { alive: kept !== undefined });
      }),
      this.#route("lease/end", ACTS, async ({ id, timeoutMs }, { caller }) => {
        await this.#forget(id, this.#keptBy(caller, id))?.end({ timeoutMs });
        return said("lease/end", {});
      }),
    ];
  }

  /** Ends every watch. Leases are no longer kept alive, and not ended: another server may hear of their clients in time. */
  close(): void {
    this.#closed = true;
    for (const feed of this.#feeds) feed.close();
    for (const [id, kept] of this.#leases) this.#forget(id, kept)?.abandon();
  }

  #route<C extends StoreCall>(
    call: C,
    who: readonly Role[],
    answer: (question: Timed<Questions[C]>, asked: Asked) => Answer | Promise<Answer>,
  ): Route {
    return {
      path: STORE_PATH + call,
      methods: ["POST"],
      who,
      bodyLimit: REQUEST_LIMIT,
      answer: async (asked) => {
        try {
          if (this.#closed) throw notDone(503, "stopping", "the server is stopping", "unreachable");
          return await answer(decodeQuestion(call, asked.body), asked);
        } catch (error) {
          return refused(error);
        }
      },
      refusal: (status, kind, value) =>
        refusalAnswer(status, kind, {
          kind: status === 401 ? "authentication" : status === 403 ? "permission" : "failed",
          message: value,
          nothingHappened: kind !== "internal",
        }),
    };
  }

  async #commit(transaction: Transaction, timeoutMs: number): Promise<Answer> {
    const { expect, put, remove = [], read = [], readRefused = [] } = transaction;
    for (const { key } of put) this.#requireKey(key);
    for (const key of remove) this.#requireKey(key);
    for (const expectation of expect) {
      if ("key" in expectation) this.#requireKey(expectation.key);
      else this.#requireRange(expectation.range);
    }
    for (const { range } of [...read, ...readRefused]) this.#requireRange(range);
    const outcome = await this.#store.commit(transaction, { timeoutMs });
    const audit = outcome.kind === "refused" ? undefined : auditOf(transaction);
    const answer = said("commit", outcome);
    if (outcome.kind !== "unknown") return audit === undefined ? answer : { ...answer, audit };
    return {
      ...answer,
      kind: "unknown",
      ...audit === undefined ? {} : { audit: `${audit} (whether it happened is not known)` },
    };
  }

  #watch({ range, after }: Questions["watch"], { caller, gone }: Asked): Answer {
    this.#requireRange(range);
    const owner = nameOf(caller);
    if (!this.#watchQuota.take(owner)) throw tooMany("watches");
    const feed = new ChangeFeed(() => {
      watch.close();
      this.#feeds.delete(feed);
      this.#watchQuota.giveBack(owner);
    });
    this.#feeds.add(feed);
    const watch = this.#store.watch(range, (change) => feed.tell(change), after);
    // who is gone before the answer never reads it
    if (gone.aborted) feed.close();
    else gone.addEventListener("abort", () => feed.close(), { once: true });
    return {
      status: 200,
      headers: {
        "content-type": "text/event-stream",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
      },
      body: feed,
    };
  }

  async #lease({ ttlMs: wanted, timeoutMs }: Timed<Questions["lease"]>, caller: Caller): Promise<Answer> {
    const owner = nameOf(caller);
    const ttlMs = Math.max(TTL_LEAST_MS, wanted);
    if (!this.#leaseQuota.take(owner)) throw tooMany("leases");
    let lost = false;
    let id: string | undefined;
    try {
      const lease = await this.#store.lease(ttlMs, () => {
        lost = true;
        if (id !== undefined) this.#forget(id, this.#leases.get(id));
      }, { timeoutMs });
      id = lease.id;
      const kept: Kept = { lease, owner, ttlMs };
      this.#leases.set(id, kept);
      this.#renew(id, kept);
      if (lost) this.#forget(id, kept);
      else if (this.#closed) this.#forget(id, kept)?.abandon();
      return said("lease", { id });
    } catch (error) {
      this.#leaseQuota.giveBack(owner);
      throw error;
    }
  }

  #renew(id: string, kept: Kept): void {
    clearTimeout(kept.timer);
    kept.timer = setTimeout(() => this.#forget(id, kept)?.end({ timeoutMs: END_MS }), kept.ttlMs);
  }

  #keptBy(caller: Caller, id: string): Kept | undefined {
    const kept = this.#leases.get(id);
    return kept?.owner === nameOf(caller) ? kept : undefined;
  }

  /** It is no business of this door any more. */
  #forget(id: string, kept: Kept | undefined): Lease | undefined {
    if (kept === undefined || this.#leases.get(id) !== kept) return undefined;
    clearTimeout(kept.timer);
    this.#leases.delete(id);
    this.#leaseQuota.giveBack(kept.owner);
    return kept.lease;
  }

  #requireKey(key: string): void {
    if (!key.startsWith(this.#within)) throw outside(key);
  }

  /** What is below a prefix ends, as a range, where the next one begins. */
  #requireRange({ from, to }: KeyRange): void {
    this.#requireKey(from);
    if (!to.startsWith(this.#within) && to !== afterPrefix(this.#within)) throw outside(to);
  }
}

/** Two credentials of one name but of two roles are two. */
function nameOf({ role, name }: Caller): string {
  return `${role}:${name}`;
}

/** The first key behind those that begin with `prefix`, which ends in a slash. */
function afterPrefix(prefix: string): string {
  return `${prefix.slice(0, -1)}0`;
}

function said<A extends keyof Answers>(call: A, answer: Answers[A]): Answer {
  return { status: 200, headers: JSON_HEADERS, body: encodeAnswer(call, answer) };
}

const JSON_HEADERS = { "content-type": "application/json", "cache-control": "no-store" };

function refused(error: unknown): Answer {
  if (error instanceof NotDone) return refusalAnswer(error.status, error.kind, error.refusal);
  if (error instanceof WireFault) {
    const message = `the request cannot be read: ${error.message}`;
    return refusalAnswer(400, "bad_request", { kind: "failed", message, nothingHappened: true });
  }
  if (!(error instanceof StoreError)) throw error;
  const { kind, message, hint } = error;
  return refusalAnswer(503, "unavailable", {
    kind,
    message,
    ...hint === undefined ? {} : { hint },
    nothingHappened: true,
  });
}

function refusalAnswer(status: number, kind: string, refusal: Refusal): Answer {
  return { status, headers: JSON_HEADERS, body: encodeRefusal(refusal), kind };
}

function notDone(status: number, kind: string, message: string, as: Refusal["kind"]): NotDone {
  return new NotDone(status, kind, { kind: as, message, nothingHappened: true });
}

function outside(key: string): NotDone {
  return notDone(403, "forbidden", `${quoted(key)} is no key of locksmith`, "permission");
}

function tooMany(what: string): NotDone {
  return notDone(429, "rate_limited", `too many ${what} at a time (${EACH_LIMIT} a credential)`, "failed");
}
