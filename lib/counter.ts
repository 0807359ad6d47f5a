/**
 * What a server does for one host of a group at a time: answers from what it knows, grants, renews and ends its slot.
 *
 * What is refused is refused by what the server knows of the store, without a call to it. A grant is proved by the store
 * (`grant.ts`). A slot that was granted to somebody who is gone by then, and was told nothing, is given back.
 */

import { Granter } from "./grant.ts";
import type { GroupRules } from "./group_rules.ts";
import type { KeptSlots } from "./kept_slots.ts";
import { type Lock, LockError } from "./lock.ts";
import type { Mirror } from "./mirror.ts";
import type { Guest, Places } from "./places.ts";
import { type Gate, gateAt } from "./schedule.ts";
import { SeenDocument } from "./seen_document.ts";
import { cancel, endsInMs, type Hold, pauseInForce, renew, type Semaphore, settle } from "./semaphore.ts";
import { fullRefusal, gateRefusal, pauseRefusal, type Refusal } from "./slot_refusal.ts";
import type { SlotAnswer } from "./slot_server.ts";

/** How often one request looks again at most because what it rested on has changed. */
const ROUND_LIMIT = 20;

/** What a server hears of its own doings. */
export interface SlotObserver {
  granted(group: string, id: string): void;
  /** `hold`: as it was. */
  released(group: string, id: string, hold: Hold | undefined): void;
}

export interface CounterOptions {
  readonly lock: Lock;
  readonly mirror: Mirror;
  /** The document of all groups. */
  readonly all: SeenDocument;
  readonly observer: SlotObserver;
  rules(): GroupRules;
  newMark(): string;
}

/** What came of a try to take a slot: `held` by another request, or `undefined` where there is none now. */
export type Taken = SlotAnswer | "held" | undefined;

export class Counter {
  readonly #document: SeenDocument;
  readonly #granter: Granter;
  /** What rests on the document is done one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly options: CounterOptions,
    private readonly places: Places,
    kept: KeptSlots,
  ) {
    const { lock, mirror, all, newMark } = options;
    this.#document = new SeenDocument(lock.key, lock.group, lock, mirror, (before, after, at) => {
      places.line.granted(before, after, at);
    });
    this.#granter = new Granter(lock, { own: this.#document, all }, places, kept, newMark);
  }

  /** The mirror has another document. */
  refresh(): void {
    this.#document.refresh();
  }

  /** The document, if it and that of all groups can be read. */
  get semaphore(): Semaphore | undefined {
    const { semaphore } = this.#document;
    return semaphore instanceof LockError || this.options.all.semaphore instanceof LockError
      ? undefined
      : semaphore;
  }

  get gate(): Gate {
    return gateAt(this.options.rules(), this.options.lock.surroundings.now());
  }

  /** In how long the documents or the gate allow or forbid something by themselves, in milliseconds. */
  get changesInMs(): number {
    const { lock: { surroundings }, all } = this.options;
    const now = surroundings.now();
    const pauses = [this.#document.semaphore, all.semaphore].flatMap((semaphore) => {
      const pause = semaphore instanceof LockError ? undefined : pauseInForce(semaphore, now);
      return pause === undefined ? [] : [endsInMs(pause, now)];
    });
    // a window is open at its last moment, too
    return Math.min(this.gate.until - now + 1, ...pauses);
  }

  /** Whether a host has a slot, as far as is known. */
  holds({ id }: Pick<Guest, "id">): boolean {
    const { semaphore } = this.#document;
    return !(semaphore instanceof LockError) && semaphore.holders.includes(id);
  }

  /** Whether the documents allow a slot for this holder, as far as is known. */
  hasSlotFor(holder: string): boolean {
    return this.#granter.obstacle(holder) === undefined;
  }

  /** Whether it looks as if this host could have a slot now. */
  mayHave(guest: Guest): boolean {
    return this.#granter.mayHave(guest);
  }

  /** Does `work` when nothing else is done with the document. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** An answer that needs no place in line; `undefined`: there is no slot for the host now. */
  async answer(guest: Guest, isOff: () => boolean): Promise<SlotAnswer | undefined> {
    const { lock } = this.options;
    for (let round = 0; round < ROUND_LIMIT; round++) {
      const fault = this.#fault();
      if (fault !== undefined) return fault;
      if (this.holds(guest)) {
        const answer = await this.inTurn(() => this.renew(guest));
        if (answer !== undefined) return answer;
      }
      const { gate } = this;
      if (!gate.open) return gateRefusal(lock.group, gate, lock.surroundings.now());
      if (!this.mayHave(guest)) return undefined;
      const taken = await this.inTurn(() => this.take(guest, isOff));
      if (taken !== "held") return taken;
    }
    return { kind: "unavailable", value: "others change the group all the time; ask again" };
  }

  /** Why a host has no slot now, if all slots are taken and that is all there is to say; `undefined`: see {@linkcode answer}. */
  refused(guest: Guest): SlotAnswer | undefined {
    if (this.#fault() !== undefined || !this.gate.open || this.holds(guest)) return undefined;
    const obstacle = this.#granter.obstacle(guest.id);
    return obstacle === undefined ? undefined : this.#obstructed(guest, obstacle);
  }

  /** Why a host has no slot now. */
  refusal(guest: Guest): Refusal {
    const fault = this.#fault();
    if (fault !== undefined) return fault;
    const { lock: { group, surroundings } } = this.options;
    const { gate } = this;
    if (!gate.open) return gateRefusal(group, gate, surroundings.now());
    return this.#obstructed(guest, this.#granter.obstacle(guest.id));
  }

  /** Why a host has no slot while the gate is open: an obstacle, or others come before it. */
  #obstructed(guest: Guest, obstacle: ReturnType<Granter["obstacle"]>): Refusal {
    const { lock: { group, surroundings } } = this.options;
    const now = surroundings.now();
    const { places: { line } } = this;
    const { semaphore } = this.#document;
    if (semaphore instanceof LockError) throw semaphore;
    const standing = this.places.standing(guest);
    const where = standing && { place: line.position(standing), of: line.length };
    return obstacle !== undefined && !(obstacle instanceof LockError) && obstacle.kind === "paused"
      ? pauseRefusal(group, obstacle.pause, obstacle.all, where, now)
      : fullRefusal(group, semaphore, line.first, where, now);
  }

  /** The holder asks again. `undefined`: it holds no slot any more. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  async renew({ id: holder, request: { host, boot } }: Guest): Promise<SlotAnswer | undefined> {
    const { lock, all } = this.options;
    const decision = await lock.change("confirm", (current, entry, _, ofAll) => {
      this.#document.found(entry);
      const decision = renew(current, { holder, host, boot }, { all: ofAll, now: lock.surroundings.now() });
      const next = decision.kind === "held" && decision.next !== undefined ? { next: decision.next } : {};
      return { decision, ...next, note: { what: "confirm", machine: holder } };
    }, { guess: { entry: this.#document.entry, all: all.entry }, asksAll: true });
    switch (decision.kind) {
      case "held":
        return { kind: "granted" };
      case "by-hand":
        return {
          kind: "held_by_hand",
          value: "the slot of this host was taken by hand; only 'locksmith unlock' gives it back",
        };
      case "frozen":
        return pauseRefusal(lock.group, decision.pause, decision.all, undefined, lock.surroundings.now());
      case "not-held":
        return undefined;
    }
  }

  /**
   * Takes a slot for a host, unless `isOff` says that it does not want it any more; gives it back where that is so by then.
   * Throws {@linkcode StoreError}, {@linkcode LockError}.
   */
  async take(guest: Guest, isOff: () => boolean): Promise<Taken> {
    const outcome = await this.#granter.take(guest, isOff);
    switch (outcome.kind) {
      case "held":
        return "held";
      case "not-now":
        return undefined;
      case "unknown":
        return { kind: "unavailable", value: outcome.cause.message };
      case "granted":
        if (isOff() && await this.#givesBack(guest.id, outcome.grant)) return undefined;
        delete guest.rank;
        this.options.observer.granted(this.options.lock.group, guest.id);
        return { kind: "granted" };
    }
  }

  /** The host is well: ends its hold, and makes sure that no grant of ours comes after it. Throws {@linkcode StoreError}, {@linkcode LockError}. */
  async settle(id: string, boot: string | undefined): Promise<void> {
    const { lock, observer } = this.options;
    const fence = this.#granter.inDoubt(id);
    let ended: { readonly hold: Hold | undefined } | undefined;
    const decision = await lock.change("release", (current, entry, inDoubt) => {
      this.#document.found(entry);
      const decision = settle(current, { holder: id, boot });
      // a try of ours that nobody heard of may have been what ended it
      ended = decision.kind === "released" ? { hold: decision.hold } : inDoubt ? ended : undefined;
      const next = decision.kind === "released" ? decision.next : fence ? current : undefined;
      return { decision, ...(next === undefined ? {} : { next }), note: { what: "release", machine: id } };
    }, { guess: { entry: this.#document.entry } });
    // whoever waits for the slot need not wait for the mirror
    this.#document.found(lock.seen ?? null);
    this.#granter.settled(id);
    if (ended !== undefined && decision.kind !== "kept") observer.released(lock.group, id, ended.hold);
  }

  /** Gives back a slot that nobody was told of. Whether that was so. */
  async #givesBack(holder: string, grant: string): Promise<boolean> {
    const decision = await this.options.lock.change("cancel", (current) => {
      const boot = current.holds.get(holder)?.boot;
      const decision = cancel(current, { holder, boot, grant }, undefined);
      const next = decision.kind === "released" ? { next: decision.next } : {};
      return { decision, ...next, note: { what: "cancel", machine: holder } };
    });
    return decision.kind !== "kept";
  }

  /** Why nothing can be said of the group. */
  #fault(): Refusal | undefined {
    const { mirror: { state }, all } = this.options;
    if (state.kind !== "current") {
      return { kind: "unavailable", value: state.error?.message ?? "the store has not been read yet" };
    }
    const { semaphore } = this.#document;
    if (semaphore instanceof LockError) return { kind: "corrupt", value: semaphore.message };
    if (all.semaphore instanceof LockError) return { kind: "corrupt", value: all.semaphore.message };
    return undefined;
  }
}
