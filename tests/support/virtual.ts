/**
 * Time that goes on when a test says so, and a store in it.
 *
 * {@linkcode Virtual} is the surroundings of a program under test, by the clock of the simulation. {@linkcode Connection} is
 * a machine's connection to a store in memory: each call takes a little of that time, and can be made to fail in each way
 * that the contract of a store leaves open.
 */

import type { Memory } from "../../lib/simulation/memory.ts";
import { VirtualTime } from "../../lib/simulation/virtual_time.ts";
import {
  type CallOptions,
  type Change,
  type CommitOutcome,
  type Entry,
  exactly,
  type History,
  type HistoryOptions,
  isOneKey,
  type KeyRange,
  type Lease,
  type Query,
  type Store,
  StoreError,
  type Transaction,
  type View,
  type Watch,
} from "../../lib/store.ts";
import type { Surroundings, Timer } from "../../lib/surroundings.ts";

/** Where the wall clock of a test begins. */
export const BEGIN_MS = Date.UTC(2026, 0, 1);
/** What has not ended after so long never ends. */
const ENDLESS_MS = 24 * 3_600_000;

export class Virtual implements Surroundings {
  readonly #time = new VirtualTime();
  #wall = BEGIN_MS;

  /** `random`: what chance says; in the middle unless told. */
  constructor(readonly random: () => number = () => 0.5) {}

  now(): number {
    return this.#wall + this.#time.elapsed;
  }

  elapsed(): number {
    return this.#time.elapsed;
  }

  after(ms: number, run: () => void): Timer {
    return this.#time.after(ms, run);
  }

  /** Somebody sets the wall clock. */
  leap(ms: number): void {
    this.#wall += ms;
  }

  /** Lets `ms` milliseconds go by, and all that is due in them happen. */
  async advance(ms: number): Promise<void> {
    await this.#time.run(() => false, this.#time.elapsed + ms);
  }

  /** What `call` comes to, while time goes on for as long as that takes. */
  async ended<T>(call: Promise<T>): Promise<T> {
    let over = false;
    const end = () => over = true;
    call.then(end, end);
    if (!await this.#time.run(() => over, this.#time.elapsed + ENDLESS_MS)) throw new Error("it never ends");
    return await call;
  }
}

/** What happens to a commit instead of what should. */
export type Fate =
  /** It never arrives, and nobody answers; `then`: what happens before anybody looks. */
  | { readonly kind: "request-lost"; readonly then?: () => void }
  /** It happens, and the answer is lost; `then`: the same. */
  | { readonly kind: "reply-lost"; readonly then?: () => void }
  /** Nobody answers, and it happens so much later. */
  | { readonly kind: "late"; readonly byMs: number }
  /** Somebody else does this first. */
  | { readonly kind: "overtaken"; readonly by: () => void }
  /** It is as if somebody else had been faster. */
  | { readonly kind: "refused" };

/** What happens to the events of watches. */
export type WatchFate = "told" | "dropped" | "twice" | { readonly lateByMs: number };

/** One machine's connection to a store that several share. */
export class Connection implements Store {
  readonly name = "memory";
  /** How long a call takes, in milliseconds. One that takes longer than it may is not answered. */
  callMs = 1;
  #down = false;
  /** What watches say that were asked for while nobody answered. */
  readonly #late = new Set<() => void>();
  /** The machine lost its power: no call of it ends any more, no lease is kept alive. */
  dead = false;
  /** Of its next commits, the first for the next. */
  readonly fates: (Fate | undefined)[] = [];
  watchFate: WatchFate = "told";
  /** Every call that it made, by kind, as `commit put a/key`. */
  readonly calls: string[] = [];
  /** How long each of them was allowed to take, in milliseconds. */
  readonly deadlines: number[] = [];
  readonly #leases = new Map<string, () => void>();

  constructor(readonly memory: Memory, private readonly time: Virtual) {}

  /** Whether nobody answers. */
  get down(): boolean {
    return this.#down;
  }
  set down(down: boolean) {
    this.#down = down;
    if (down) return;
    for (const begin of this.#late) begin();
    this.#late.clear();
  }

  /** Kinds of the calls since this was asked last. */
  takeCalls(): string[] {
    return this.calls.splice(0).map((call) => call.split(" ")[0] ?? "");
  }

  /** The store believes that its leases are gone, though they live on for their time. */
  loseLeases(): void {
    for (const lost of [...this.#leases.values()]) lost();
  }

  /** The store ends its leases; the connection learns of it at the next sign of life. */
  expireLeases(): void {
    for (const id of this.#leases.keys()) this.memory.endLease(id);
  }

  async read(key: string, options: CallOptions): Promise<Entry | null> {
    return (await this.#call(`read ${key}`, options, () => this.memory.read(key)));
  }

  list(prefix: string, options: CallOptions): Promise<Entry[]> {
    const range = { from: prefix, to: `${prefix}\uffff` };
    return this.#call(`list ${prefix}`, options, () => [...this.memory.view([{ range }]).found[0] ?? []]);
  }

  view(queries: readonly Query[], options: CallOptions): Promise<View> {
    return this.#call("view", options, () => this.memory.view(queries));
  }

  history(key: string, options: HistoryOptions): Promise<History> {
    return this.#call(`history ${key}`, options, () => this.memory.history(key, options.last));
  }

  async commit(transaction: Transaction, options: CallOptions): Promise<CommitOutcome> {
    const fate = this.fates.shift();
    const written = transaction.put.map(({ key }) => key).join(" ");
    const act = (): CommitOutcome => {
      switch (fate?.kind) {
        case "request-lost":
          fate.then?.();
          return lost();
        case "reply-lost":
          this.memory.commit(transaction);
          fate.then?.();
          return lost();
        case "overtaken":
          fate.by();
          return this.memory.commit(transaction);
        case "late":
          this.time.after(fate.byMs, () => this.memory.commit(transaction));
          return lost();
        case "refused":
          return { kind: "refused", ...this.memory.view(transaction.readRefused ?? transaction.read ?? []) };
        case undefined:
          return this.memory.commit(transaction);
      }
    };
    try {
      return await this.#call(`commit put ${written}`, options, act);
    } catch (error) {
      if (error instanceof StoreError) return { kind: "unknown", cause: error };
      throw error;
    }
  }

  async lease(ttlMs: number, lost: () => void, options: CallOptions): Promise<Lease> {
    const id = await this.#call("lease", options, () => this.memory.lease());
    let expiry = this.time.after(ttlMs, () => this.memory.endLease(id));
    let heard = this.time.elapsed();
    let beat: Timer;
    const stop = () => {
      beat.cancel();
      this.#leases.delete(id);
    };
    const lose = () => {
      stop();
      lost();
    };
    const keepAlive = () => {
      if (!this.memory.lives(id)) return lose();
      if (!this.down) {
        expiry.cancel();
        expiry = this.time.after(ttlMs, () => this.memory.endLease(id));
        heard = this.time.elapsed();
      } else if (this.time.elapsed() - heard >= ttlMs) return lose();
      beat = this.time.after(ttlMs / 3, () => !this.dead && keepAlive());
    };
    beat = this.time.after(ttlMs / 3, () => !this.dead && keepAlive());
    this.#leases.set(id, lose);
    return {
      id,
      end: async (options) => {
        stop();
        try {
          await this.#call("end", options, () => this.memory.endLease(id));
        } catch (error) {
          if (!(error instanceof StoreError)) throw error;
        }
      },
      abandon: stop,
    };
  }

  watch(range: KeyRange, listener: (change: Change) => void, after?: string): Watch {
    this.calls.push(`watch ${isOneKey(range) ? range.from : `${range.from}..${range.to}`}`);
    let open = true;
    const tell = (change: Change) => queueMicrotask(() => open && !this.dead && listener(change));
    const watch = this.memory.watch(range, (change) => {
      if (this.down) return;
      if (typeof this.watchFate === "object") this.time.after(this.watchFate.lateByMs, () => tell(change));
      else if (this.watchFate !== "dropped") tell(change);
      if (this.watchFate === "twice") tell(change);
    }, after ?? this.memory.revision);
    const begin = () => tell({ kind: "missed" });
    if (after === undefined && this.down) this.#late.add(begin);
    else if (after === undefined) begin();
    return {
      close: () => {
        open = false;
        watch.close();
      },
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The entry of a key, without any call. */
  peek(key: string): Entry | null {
    return this.memory.view([{ range: exactly(key) }]).found[0]?.[0] ?? null;
  }

  #call<T>(what: string, { timeoutMs }: CallOptions, act: () => T): Promise<T> {
    this.calls.push(what);
    this.deadlines.push(timeoutMs);
    if (timeoutMs <= 0) throw new Error(`${what} without a deadline`);
    return new Promise((resolve, reject) => {
      this.time.after(Math.min(this.callMs, timeoutMs), () => {
        if (this.dead) return;
        try {
          if (this.down) throw away();
          if (this.callMs > timeoutMs) throw late();
          resolve(act());
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}

function away(): StoreError {
  return new StoreError("unreachable", "memory: nobody answers");
}

function late(): StoreError {
  return new StoreError("timeout", "memory: no answer in time");
}

function lost(): CommitOutcome {
  return { kind: "unknown", cause: late() };
}
