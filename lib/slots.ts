/**
 * The server of slots: hosts that have no access to a store ask it for slots of a group and give them back, beside daemons
 * and administrators who use the same store themselves.
 *
 * It keeps no state of its own that would be missed: documents and places are in the store, and any number of servers stand
 * side by side on one. What only looks is answered from a mirror of the store, which costs the store nothing however many
 * hosts there are; what grants or ends a slot is a commit. All waiting hosts together cost two leases.
 *
 * Where the store can, what is decided builds on what was decided just before, while neither lasts yet; no host is told
 * of anything before it does. Should it not come to last, all that is known here is forgotten, as if the server had
 * been killed and started again.
 */

import type { SlotObserver } from "./counter.ts";
import { Desk } from "./desk.ts";
import { Footing } from "./footing.ts";
import { ALL_GROUPS, ALL_KEY, groupFault, groupOfKey, groupOfPlaceKey, groupPhrase } from "./group.ts";
import { ANY_GROUP, type KnownGroups } from "./group_rules.ts";
import { Lock, LockError, newMark } from "./lock.ts";
import type { Mirror, MirrorNews } from "./mirror.ts";
import type { Footings } from "./places.ts";
import { POLL_PLACE_TTL_MS } from "./polling.ts";
import { awayRange, PLACE_TTL_MS, queueRange } from "./queue.ts";
import { SeenDocument } from "./seen_document.ts";
import type { Patience, SlotAnswer, SlotRequest, SlotServer } from "./slot_server.ts";
import { type AheadStore, type Store, StoreError } from "./store.ts";
import type { Surroundings, Timer } from "./surroundings.ts";

export interface SlotsOptions {
  readonly store: Store;
  readonly mirror: Mirror;
  readonly surroundings: Surroundings;
  /** Who makes the changes, for the record. */
  readonly by: string;
  /** Which groups there are; default: all that somebody asks for. */
  readonly groups?: KnownGroups;
  /** How long a place is kept for a host that does not ask, in milliseconds. */
  readonly placeTtlMs?: number;
  readonly observer?: SlotObserver;
  /** A mark that no other request has. */
  newMark?(): string;
  /** Hears of a bug. */
  failed(error: unknown): void;
}

/** In so many parts of the life of a place it is looked whose are to be given up. */
const SWEEPS = 10;
const UNOBSERVED: SlotObserver = { granted() {}, released() {} };

/** What all desks stand on. */
interface Ground {
  readonly store: Store;
  /** The same store, where it answers before what it did lasts. */
  readonly ahead: AheadStore | undefined;
  readonly all: SeenDocument;
  readonly footings: Footings;
}

export class Slots implements SlotServer {
  readonly #desks = new Map<string, Desk>();
  #ground: Ground;
  readonly #placeTtlMs: number;
  readonly #groups: KnownGroups;
  readonly #subscription: { close(): void };
  #sweep: Timer | undefined;
  #closed = false;

  constructor(private readonly options: SlotsOptions) {
    const { mirror, placeTtlMs = POLL_PLACE_TTL_MS, groups = ANY_GROUP } = options;
    this.#placeTtlMs = placeTtlMs;
    this.#groups = groups;
    this.#ground = this.#newGround();
    this.#subscription = mirror.subscribe((news) => this.#hear(news));
    this.#sweepLater();
  }

  /** How many hosts wait for an answer. */
  get waiting(): number {
    let waiting = 0;
    for (const desk of this.#desks.values()) waiting += desk.waiting;
    return waiting;
  }

  preReboot(request: SlotRequest, patience: Patience): Promise<SlotAnswer> {
    const known = patience.waitMs <= 0 ? this.refusedAgain(request) : undefined;
    if (known !== undefined) return Promise.resolve(known);
    return this.#answered(request, (desk) => desk.preReboot(request, patience));
  }

  refusedAgain(request: SlotRequest): SlotAnswer | undefined {
    const { group } = request;
    if (this.#closed || this.options.mirror.state.kind === "empty") return undefined;
    return this.#groups.rulesOf(group) === undefined
      ? undefined
      : this.#desks.get(group)?.refusedAgain(request);
  }

  steadyState(request: SlotRequest): Promise<SlotAnswer> {
    return this.#answered(request, (desk) => desk.steadyState(request));
  }

  /** What {@linkcode SlotsOptions.groups} says is different now. */
  rulesChanged(): void {
    this.#desks.forEach((desk) => desk.pump());
  }

  /** Answers everybody who waits. What they have in line stays for as long as a lease does: another server takes it over. */
  close(): void {
    this.#closed = true;
    this.#sweep?.cancel();
    this.#subscription.close();
    this.#leaveGround();
  }

  #newGround(): Ground {
    const { options: { mirror, surroundings, by } } = this;
    const ahead = this.options.store.ahead?.(() => {
      this.#leaveGround();
      if (!this.#closed) this.#ground = this.#newGround();
    });
    const store = ahead ?? this.options.store;
    const lost = () => this.#desks.forEach((desk) => desk.leaseLost());
    return {
      store,
      ahead,
      all: new SeenDocument(ALL_KEY, ALL_GROUPS, new Lock(store, ALL_GROUPS, surroundings, by), mirror),
      footings: {
        present: new Footing(store, PLACE_TTL_MS, lost),
        away: new Footing(store, this.#placeTtlMs, lost),
      },
    };
  }

  #leaveGround(): void {
    const { present, away } = this.#ground.footings;
    for (const desk of this.#desks.values()) desk.close();
    this.#desks.clear();
    present.abandon();
    away.abandon();
  }

  async #answered({ group }: SlotRequest, ask: (desk: Desk) => Promise<SlotAnswer>): Promise<SlotAnswer> {
    if (this.#closed) return { kind: "unavailable", value: "this server is stopping; ask again" };
    if (groupFault(group) !== undefined || this.#groups.rulesOf(group) === undefined) {
      return { kind: "unknown_group", value: `there is no ${groupPhrase(group)} here` };
    }
    const { mirror } = this.options;
    if (mirror.state.kind === "empty") {
      return { kind: "unavailable", value: mirror.state.error?.message ?? "the store has not been read yet" };
    }
    const { ahead } = this.#ground;
    try {
      const answer = await ask(this.#desk(group));
      await ahead?.lasting();
      return answer;
    } catch (error) {
      if (error instanceof LockError && error.kind === "document") {
        return { kind: "corrupt", value: error.message };
      }
      if (error instanceof LockError || error instanceof StoreError) {
        return { kind: "unavailable", value: error.message };
      }
      throw error;
    }
  }

  #desk(group: string): Desk {
    const known = this.#desks.get(group);
    if (known !== undefined) return known;
    const { mirror, surroundings, by, failed } = this.options;
    const { store, all, footings } = this.#ground;
    const desk = new Desk({
      lock: new Lock(store, group, surroundings, by),
      mirror,
      all,
      footings,
      placeTtlMs: this.#placeTtlMs,
      observer: this.#observer(),
      rules: () => this.#groups.rulesOf(group) ?? { windows: [], freezes: [] },
      newMark: this.options.newMark ?? newMark,
      failed,
    });
    this.#desks.set(group, desk);
    this.#read(desk);
    return desk;
  }

  /** Hears of what lasts. */
  #observer(): SlotObserver {
    const { observer = UNOBSERVED } = this.options;
    const { ahead } = this.#ground;
    if (ahead === undefined) return observer;
    const once = (tell: () => void) => ahead.lasting().then(tell, () => {});
    return {
      granted: (...of) => void once(() => observer.granted(...of)),
      released: (...of) => void once(() => observer.released(...of)),
    };
  }

  /** Takes all places of a group from the mirror. */
  #read(desk: Desk): void {
    const { mirror } = this.options;
    const { group } = desk.line;
    const { revision } = mirror;
    const entries = [...mirror.entries(queueRange(group)), ...mirror.entries(awayRange(group))];
    const there = new Set(entries.map(({ key }) => key));
    for (const key of desk.line.keys) if (!there.has(key)) desk.placeChanged(key, null, revision);
    for (const entry of entries) desk.placeChanged(entry.key, entry, revision);
    desk.documentChanged();
  }

  #hear(news: MirrorNews): void {
    const { mirror } = this.options;
    switch (news.kind) {
      case "changed": {
        const { key, entry, revision } = news;
        if (key === ALL_KEY) {
          this.#ground.all.refresh();
          this.#desks.forEach((desk) => desk.pump());
          return;
        }
        const group = groupOfKey(key);
        if (group !== undefined) return this.#desks.get(group)?.documentChanged();
        const desk = this.#desks.get(groupOfPlaceKey(key) ?? ALL_GROUPS);
        desk?.placeChanged(key, entry, revision);
        return desk?.line.forgetBefore(mirror.revision);
      }
      case "reread":
        this.#ground.all.refresh();
        return this.#desks.forEach((desk) => this.#read(desk));
      case "state":
        return this.#desks.forEach((desk) => desk.pump());
    }
  }

  #sweepLater(): void {
    this.#sweep = this.options.surroundings.after(this.#placeTtlMs / SWEEPS, () => {
      for (const [group, desk] of this.#desks) {
        desk.sweep();
        if (desk.empty) this.#desks.delete(group);
      }
      this.#sweepLater();
    });
  }
}
