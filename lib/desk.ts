/**
 * Where a server serves the hosts of one group: who asks is answered, who waits is granted a slot in turn, who is away is
 * passed over, and not too often (`polling.ts`).
 *
 * Nobody who waits costs the store anything meanwhile: all that is to be seen is seen in the mirror. Whatever the store
 * could not do for a waiting host is tried again until its time is over.
 */

import { backoffMs } from "./backoff.ts";
import { Counter, type CounterOptions } from "./counter.ts";
import { KeptSlots } from "./kept_slots.ts";
import { Line, type Standing } from "./line.ts";
import { LockError } from "./lock.ts";
import { type Footings, type Guest, Places } from "./places.ts";
import { comesBefore } from "./polling.ts";
import { available } from "./semaphore.ts";
import type { Patience, SlotAnswer, SlotRequest } from "./slot_server.ts";
import { type Entry, StoreError } from "./store.ts";
import type { Timer } from "./surroundings.ts";

/** How long the place of a host that was told to ask again stays in the queue, unless its turn comes, in milliseconds. */
export const RETURN_MS = 5_000;
/** The pause after the store failed, in milliseconds. */
const FAILURE_PAUSE_MS = { first: 250, last: 10_000 };
/** The longest time without a look at the clock while somebody waits, in milliseconds: people set it. */
const LOOK_MS = 5 * 60_000;

export interface DeskOptions extends CounterOptions {
  readonly footings: Footings;
  /** How long a place is kept for a host that does not ask, in milliseconds. */
  readonly placeTtlMs: number;
  /** Hears of a bug. */
  failed(error: unknown): void;
}

/** A request that is kept until there is an answer. */
class Wait {
  readonly answer: Promise<SlotAnswer>;
  #resolve: (answer: SlotAnswer) => void = () => {};
  over = false;

  constructor() {
    this.answer = new Promise((resolve) => this.#resolve = resolve);
  }

  end(answer: SlotAnswer): void {
    this.over = true;
    this.#resolve(answer);
  }
}

/** A host as the desk knows it. */
interface Visitor extends Guest {
  wait?: Wait | undefined;
  /** Until its place leaves the queue. */
  leaving?: Timer | undefined;
}

export class Desk {
  readonly line: Line;
  readonly #counter: Counter;
  readonly #places: Places;
  readonly #kept: KeptSlots;
  readonly #visitors = new Map<string, Visitor>();
  /** Those of them that wait for an answer in line. */
  readonly #waiting = new Set<Visitor>();
  /** Those of them that could not return to the queue yet. */
  readonly #beside = new Set<Visitor>();
  #pumping = false;
  #again = false;
  #failures = 0;
  #alarm: Timer | undefined;
  #closed = false;

  constructor(private readonly options: DeskOptions) {
    const { lock, footings } = options;
    this.line = new Line(lock.group);
    this.#places = new Places(lock, this.line, footings);
    this.#kept = new KeptSlots(this.line);
    this.#counter = new Counter(options, this.#places, this.#kept);
  }

  /** How many hosts wait for an answer. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether nobody is known here. */
  get empty(): boolean {
    return this.#visitors.size === 0 && !this.#pumping;
  }

  /** The document changed. */
  documentChanged(): void {
    this.#counter.refresh();
    this.pump();
  }

  /** A place changed, by the commit `at`. */
  placeChanged(key: string, entry: Entry | null, at: string): void {
    const before = this.line.at(key);
    this.line.apply(key, entry, at);
    const after = this.line.at(key);
    const visitor = this.#visitors.get((after ?? before)?.place.machine ?? "");
    if (visitor?.writing === 0) this.#placeOf(visitor, after);
    this.pump();
  }

  /** What stood under a lease may be gone. */
  leaseLost(): void {
    for (const visitor of this.#visitors.values()) visitor.own = undefined;
    for (const visitor of this.#waiting) this.#keepPlace(visitor);
  }

  /**
   * What a host is told that asks again, where that is known without the store, and nothing has to be done for it: most of
   * all that is asked while the slots are taken, so it costs no promise either.
   */
  refusedAgain(request: SlotRequest): SlotAnswer | undefined {
    const known = this.#visitors.get(request.id);
    if (known === undefined || known.wait !== undefined || this.#closed) return undefined;
    const visitor = this.#visit(request);
    const answer = this.#counter.refused(visitor);
    return answer === undefined || this.#places.isSettled(visitor) ? answer : undefined;
  }

  async preReboot(request: SlotRequest, patience: Patience): Promise<SlotAnswer> {
    const { waitMs } = patience;
    const visitor = this.#visit(request);
    if (waitMs <= 0) return await this.#asked(visitor, () => patience.gone.aborted);
    const { gone } = patience;
    const wait = new Wait();
    visitor.wait?.end({ kind: "full", value: "the same host asked again" });
    visitor.wait = wait;
    visitor.leaving?.cancel();
    const timer = this.#after(waitMs, () => wait.end(this.#counter.refusal(visitor)));
    const leave = () => wait.end(unavailable("the connection is gone"));
    gone.addEventListener("abort", leave);
    if (gone.aborted) leave();
    try {
      return await this.#waited(visitor, wait);
    } finally {
      wait.over = true;
      timer.cancel();
      gone.removeEventListener("abort", leave);
      if (visitor.wait === wait) this.#leave(visitor);
    }
  }

  async steadyState({ id, boot }: SlotRequest): Promise<SlotAnswer> {
    const visitor = this.#visitors.get(id);
    visitor?.wait?.end({ kind: "full", value: "the same host says that it is well" });
    await this.#counter.inTurn(async () => {
      if (visitor !== undefined) delete visitor.rank;
      await this.#places.giveUp(id, visitor);
      await this.#counter.settle(id, boot);
    });
    if (visitor?.wait?.over !== false) this.#visitors.delete(id);
    this.pump();
    return { kind: "released" };
  }

  /** Looks who can be granted a slot; once more, where it is at it already. */
  pump(): void {
    this.#again = true;
    if (this.#pumping || this.#closed) return;
    this.#pumping = true;
    this.#counter.inTurn(async () => {
      while (this.#again && !this.#closed) {
        this.#again = false;
        await this.#serve();
      }
    }).catch(this.options.failed).finally(() => {
      this.#pumping = false;
      if (this.#again) this.pump();
    });
  }

  /** Gives up the places of hosts that were not heard of for too long. */
  sweep(): void {
    const nowMs = this.options.lock.surroundings.elapsed();
    for (const [id, visitor] of this.#visitors) {
      const heard = visitor.wait !== undefined || nowMs - visitor.seenMs < this.options.placeTtlMs;
      if (heard || visitor.writing > 0) continue;
      this.#visitors.delete(id);
      if (!this.#places.isOwn(visitor, this.#places.standing(visitor))) continue;
      // what cannot be removed now is at the next look
      this.#places.giveUp(id, visitor).catch((error) =>
        this.#troubled(error, () => this.#visitors.set(id, visitor))
      );
    }
    this.pump();
  }

  close(): void {
    this.#closed = true;
    this.#alarm?.cancel();
    for (const { wait, leaving } of this.#visitors.values()) {
      leaving?.cancel();
      wait?.end(unavailable("this server is going down; ask again"));
    }
  }

  #visit(request: SlotRequest): Visitor {
    const { id } = request;
    const seenMs = this.options.lock.surroundings.elapsed();
    const visitor: Visitor = this.#visitors.get(id) ??
      { id, request, seenMs, present: false, writing: 0, turn: Promise.resolve() };
    this.#visitors.set(id, visitor);
    visitor.request = request;
    visitor.seenMs = seenMs;
    return visitor;
  }

  /** A host that only asks now and then; refused, it keeps its place. */
  async #asked(visitor: Visitor, isOff: () => boolean): Promise<SlotAnswer> {
    const answer = await this.#counter.answer(visitor, isOff);
    if (answer !== undefined) return answer;
    if (!this.#places.isSettled(visitor)) await this.#places.keep(visitor);
    return this.#counter.refusal(visitor);
  }

  /** A host that waits: its answer, and until then a place in line. */
  async #waited(visitor: Visitor, wait: Wait): Promise<SlotAnswer> {
    while (!wait.over) {
      const answer = await this.#counter.answer(visitor, () => wait.over);
      if (wait.over) break;
      if (answer === undefined) {
        visitor.present = true;
        this.#waiting.add(visitor);
        this.#keepPlace(visitor);
        break;
      }
      // nobody stands in line while the window is closed, and all of them wait for it
      if (answer.kind !== "closed") return answer;
      await this.#opening(wait);
    }
    return await wait.answer;
  }

  /** Waits until the gate may have opened, or the wait is over. */
  async #opening(wait: Wait): Promise<void> {
    const { gate } = this.#counter;
    if (gate.open) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#after(Math.min(LOOK_MS, gate.until - this.options.lock.surroundings.now()), resolve);
    await Promise.race([promise, wait.answer]);
    timer.cancel();
  }

  // ------------------------------------------------------------------------------------------------- those who wait

  /** A host does not wait for its answer any more. */
  #leave(visitor: Visitor): void {
    visitor.wait = undefined;
    visitor.present = false;
    visitor.seenMs = this.options.lock.surroundings.elapsed();
    this.#waiting.delete(visitor);
    this.#beside.delete(visitor);
    if (!this.#closed) this.#standAside(visitor);
  }

  /** Its place leaves the queue, unless the host is back by then. */
  #standAside(visitor: Visitor, failures = 0): void {
    visitor.leaving?.cancel();
    visitor.leaving = this.#after(failures === 0 ? RETURN_MS : this.#pauseMs(failures), () => {
      if (visitor.present || this.#closed) return;
      this.#places.standAside(visitor).catch((error) =>
        this.#troubled(error, () => this.#standAside(visitor, failures + 1))
      );
    });
  }

  /** Gives a waiting host its place, as often as it takes. */
  #keepPlace(visitor: Visitor, failures = 0): void {
    if (!visitor.present || this.#closed) return;
    const again = () => {
      this.#after(this.#pauseMs(failures + 1), () => this.#keepPlace(visitor, failures + 1));
    };
    this.#places.keep(visitor).then(() => {
      const standing = this.#places.standing(visitor);
      if (visitor.present && standing?.key.beside) this.#beside.add(visitor);
      else this.#beside.delete(visitor);
      // what the store has is another by now than what was known
      if (visitor.present && !this.#places.isOwn(visitor, standing) && !this.#counter.holds(visitor)) again();
      this.pump();
    }).catch((error) => this.#troubled(error, again));
  }

  /** The place of a host is another now, by another hand. */
  #placeOf(visitor: Visitor, standing: Standing | undefined): void {
    if (!visitor.present) return;
    if (this.#places.standing(visitor) === undefined) {
      if (!this.#counter.holds(visitor)) this.#keepPlace(visitor);
    } else if (standing !== undefined && !standing.key.beside && visitor.own !== undefined) {
      if (this.#places.isOwn(visitor, standing)) return;
      visitor.wait?.end({ kind: "full", value: "the same host asked another server" });
    }
  }

  /** Grants what is to be granted to those who wait, the first in line first. */
  async #serve(): Promise<void> {
    const counter = this.#counter;
    const { mirror } = this.options;
    const { semaphore } = counter;
    if (mirror.state.kind !== "current" || semaphore === undefined) return;
    for (const id of semaphore.holders) await this.#tellHolder(this.#visitors.get(id));
    const { gate } = counter;
    if (!gate.open) { for (const visitor of this.#waiting) visitor.wait?.end(counter.refusal(visitor)); }
    await this.#passOver();
    while (gate.open && !this.#closed) {
      const next = this.#next();
      const wait = next?.wait;
      if (next === undefined || wait === undefined || wait.over || !counter.mayHave(next)) break;
      const taken = await counter.take(next, () => wait.over).catch((error) => this.#later(error));
      if (taken === undefined) break;
      this.#failures = 0;
      if (taken === "held") await this.#tellHolder(next);
      else this.#end(next, taken);
    }
    for (const visitor of this.#beside) {
      const standing = this.#places.standing(visitor);
      const may = visitor.writing === 0 && standing !== undefined && this.#places.mayReturn(standing);
      if (may) this.#keepPlace(visitor);
    }
    this.#keepSlot();
    this.#alarm?.cancel();
    const wakesInMs = Math.min(this.#waiting.size > 0 ? LOOK_MS : Infinity, this.#kept.changesInMs);
    if (wakesInMs === Infinity) return;
    this.#alarm = this.#after(Math.min(wakesInMs, counter.changesInMs), () => this.pump());
  }

  /** A free slot does not wait for a host that was told to ask again, and has not yet. */
  async #passOver(): Promise<void> {
    for (let { first } = this.line; first !== undefined; first = this.line.first) {
      const visitor = this.#visitors.get(first.place.machine);
      const absent = visitor !== undefined && !visitor.present && this.#places.isOwn(visitor, first) &&
        first.place.kept === undefined && this.#counter.hasSlotFor(visitor.id);
      if (!absent) return;
      await this.#places.standAside(visitor).catch((error) => this.#later(error));
      if (this.line.first === first) return;
    }
  }

  /** The first of those who wait here and stand where they can be granted a slot. */
  #next(): Visitor | undefined {
    // past hosts that are away: the grant says whether one may
    const first = this.line.queue.find(({ place }) => place.kept === undefined);
    const visitor = this.#visitors.get(first?.place.machine ?? "");
    let next = visitor !== undefined && this.#waiting.has(visitor) ? visitor : undefined;
    let best = first;
    for (const visitor of this.#beside) {
      const standing = this.#places.standing(visitor);
      if (standing === undefined || best !== undefined && comesBefore(best, standing)) continue;
      [next, best] = [visitor, standing];
    }
    return next;
  }

  /** Tells a host that waits of the slot that it has by another way. */
  async #tellHolder(visitor: Visitor | undefined): Promise<void> {
    if (visitor === undefined || !this.#waiting.has(visitor)) return;
    const answer = await this.#counter.renew(visitor).catch((error) => this.#later(error));
    if (answer !== undefined) this.#end(visitor, answer);
  }

  #end(visitor: Visitor, answer: SlotAnswer): void {
    visitor.wait?.end(answer);
    this.#waiting.delete(visitor);
    this.#beside.delete(visitor);
  }

  /** Has slots kept for those who were passed over too often, as long as the budget for it lasts. */
  #keepSlot(): void {
    const { surroundings } = this.options.lock;
    const { semaphore } = this.#counter;
    if (semaphore === undefined) return;
    const [first] = this.line.everybody;
    const may = first !== undefined && this.#counter.gate.open &&
      this.#counter.hasSlotFor(first.place.machine);
    this.#kept.free(may ? available(semaphore) : 0, semaphore.max, surroundings.elapsed());
    const own = (standing: Standing | undefined) => {
      const visitor = standing && this.#visitors.get(standing.place.machine);
      return visitor?.writing === 0 && this.#places.isOwn(visitor, standing) ? visitor : undefined;
    };
    const moves = this.#kept.spent
      ? this.#kept.inQueue.map((standing) => [own(standing), "standAside"] as const)
      : [[own(this.#kept.next(surroundings.now())), "keepSlot"] as const];
    for (const [visitor, move] of moves) {
      if (visitor !== undefined) {
        this.#places[move](visitor).catch((error) => this.#troubled(error, () => {}));
      }
    }
  }

  // ------------------------------------------------------------------------------------------------------------ means

  #after(ms: number, run: () => void): Timer {
    return this.options.lock.surroundings.after(ms, run);
  }

  #pauseMs(failures: number): number {
    return backoffMs(failures, FAILURE_PAUSE_MS, this.options.lock.surroundings.random());
  }

  /** The store failed for those who wait: they are looked at again. */
  #later(error: unknown): undefined {
    this.#troubled(error, () => this.#after(this.#pauseMs(++this.#failures), () => this.pump()));
  }

  /** What fails because of the store is tried again; everything else is a bug. */
  #troubled(error: unknown, again: () => void): void {
    if (error instanceof StoreError || error instanceof LockError) again();
    else this.options.failed(error);
  }
}

function unavailable(value: string): SlotAnswer {
  return { kind: "unavailable", value };
}
