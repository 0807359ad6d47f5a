/**
 * The places that a server keeps in line for the hosts of one group.
 *
 * A host that waits for its answer has a place in the queue, under a lease that ends soon after this process. A host that
 * asks from time to time has one beside the queue, under a lease of the length that its place outlives its last question.
 * From one to the other it takes its rank along, and another server takes a place over by writing it under a lease of its own.
 *
 * Nothing here grants: that is `desk.ts`.
 */

import type { Footing } from "./footing.ts";
import type { Line, Standing } from "./line.ts";
import { CALL_TIMEOUT_MS, type Lock } from "./lock.ts";
import { mayReturn } from "./polling.ts";
import { KEPT, type PlaceDetails, rankedKey, serializePlace } from "./queue.ts";
import { FLEET_LOCK } from "./semaphore.ts";
import type { SlotRequest } from "./slot_server.ts";
import { exactly, type Expectation, isBefore, type Transaction } from "./store.ts";

/** So many places a group has at most: whoever comes beyond that is refused, and has none. */
const LINE_LIMIT = 20_000;

/** A host that asked this server for a slot, as long as it stands in line here. */
export interface Guest {
  readonly id: string;
  /** What it asked last. */
  request: SlotRequest;
  /** When it was heard of last, on the clock that is never set back, in milliseconds. */
  seenMs: number;
  /** Whether it waits for an answer now. */
  present: boolean;
  /** Its rank, so that it outlives a lease. */
  rank?: { readonly priority: number; readonly rank: string };
  /** The revision of its place as this server wrote it; absent: another did, or it may be gone. */
  own?: string | undefined;
  /** How many writes of its place are under way. */
  writing: number;
  /** Its place is written by one after the other. */
  turn: Promise<void>;
}

/** What keeps places. */
export interface Footings {
  /** For hosts that are there. */
  readonly present: Footing;
  /** For hosts that are away. */
  readonly away: Footing;
}

export class Places {
  constructor(
    private readonly lock: Lock,
    readonly line: Line,
    private readonly footings: Footings,
  ) {}

  /** Where a host stands in line that asked a server: one that is in the queue comes before one that is not. */
  standing({ id, request: { priority = 0 } }: Pick<Guest, "id" | "request">): Standing | undefined {
    let found: Standing | undefined;
    for (const standing of this.of(id)) {
      if (standing.priority !== priority) continue;
      if (found === undefined || found.key.beside && !standing.key.beside) found = standing;
    }
    return found;
  }

  /** All places of a host that asks servers. */
  of(id: string): Standing[] {
    return this.line.of(id).filter(({ place }) => place.by === FLEET_LOCK);
  }

  /** Whether a place is as this server wrote it. */
  isOwn(guest: Guest, standing: Standing | undefined): boolean {
    return standing !== undefined && guest.own === standing.entry.revision;
  }

  /** Whether nothing has to be written for a host that only asks now and then. */
  isSettled(guest: Guest): boolean {
    const standing = this.standing(guest);
    if (standing === undefined) return this.line.length >= LINE_LIMIT;
    return this.isOwn(guest, standing) || !standing.key.beside && standing.place.kept === undefined;
  }

  /** Gives a host the place that it is to have: in the queue if it is present, else beside it. Throws {@linkcode StoreError}. */
  keep(guest: Guest): Promise<void> {
    return this.#write(guest, () => guest.present ? this.#forPresent(guest) : this.#forAway(guest));
  }

  /** A host is gone that waited for its answer, or no slot is kept for it any more: its place goes beside the queue. Throws {@linkcode StoreError}. */
  standAside(guest: Guest): Promise<void> {
    return this.#write(guest, () => {
      const standing = this.standing(guest);
      const stays = guest.present || standing === undefined || standing.key.beside ||
        !this.isOwn(guest, standing);
      return stays ? undefined : this.#moved(standing, { beside: true });
    });
  }

  /** Puts the place of a host that is away into the queue: a slot is kept for it. Throws {@linkcode StoreError}. */
  keepSlot(guest: Guest): Promise<void> {
    return this.#write(guest, () => {
      const standing = this.standing(guest);
      const stays = guest.present || standing?.key.beside !== true || !this.isOwn(guest, standing);
      return stays ? undefined : this.#moved(standing, { beside: false, kept: true });
    });
  }

  /** Gives up every place of a host. Throws {@linkcode StoreError}. */
  async giveUp(id: string, guest: Guest | undefined): Promise<void> {
    const remove = () => {
      const standings = this.of(id);
      return standings.length === 0 ? undefined : { change: { ...NOTHING, remove: keysOf(standings) } };
    };
    if (guest !== undefined) return await this.#write(guest, remove);
    const write = remove();
    if (write !== undefined) await this.#commit(write);
  }

  #forPresent(guest: Guest): Write | undefined {
    const standing = this.standing(guest);
    if (standing === undefined) return this.#new(guest);
    if (!standing.key.beside) {
      const settled = this.isOwn(guest, standing) && standing.place.kept === undefined;
      return settled ? undefined : this.#takenOver(guest, standing);
    }
    if (this.mayReturn(standing)) return this.#moved(standing, { beside: false }, guest);
    return this.isOwn(guest, standing) ? undefined : this.#takenOver(guest, standing);
  }

  #forAway(guest: Guest): Write | undefined {
    if (this.isSettled(guest)) return undefined;
    const standing = this.standing(guest);
    return standing === undefined ? this.#new(guest) : this.#takenOver(guest, standing);
  }

  /** Whether a place beside the queue may be put into it: nobody older stands there without a rank of its own. */
  mayReturn({ priority, rank }: Pick<Standing, "priority" | "rank">): boolean {
    const oldest = this.line.oldestOf(priority);
    return oldest === undefined || !isBefore(oldest.rank, rank);
  }

  #new(guest: Guest): Write | undefined {
    const { id: machine, request } = guest;
    if (this.line.length >= LINE_LIMIT) return undefined;
    const priority = request.priority ?? 0;
    const rank = guest.rank?.priority === priority ? guest.rank.rank : undefined;
    const ranked = rank === undefined ? {} : { rank };
    const inQueue = { beside: false, machine, priority, ...ranked };
    const free = this.line.at(rankedKey(inQueue, this.line.group)) === undefined;
    const enters = guest.present && free && (rank === undefined || this.mayReturn({ priority, rank }));
    const key = rankedKey({ ...inQueue, beside: !enters }, this.line.group);
    const { host, boot, reason } = request;
    return this.#putting(
      key,
      {
        ...(host === undefined ? {} : { host }),
        ...(boot === undefined ? {} : { boot }),
        since: new Date(this.lock.surroundings.now()).toISOString(),
        by: FLEET_LOCK,
        ...(reason === undefined ? {} : { reason }),
      },
      enters,
      {
        expect: [
          { key, revision: null },
          ...(enters && rank !== undefined ? mayReturn(this.line.group, priority, rank) : []),
        ],
        remove: keysOf(this.of(machine)),
      },
    );
  }

  /** The same place under a lease of ours. A slot that is kept is kept no more where the host is there. */
  #takenOver(guest: Guest, { entry: { key, revision }, key: { beside }, place }: Standing): Write {
    const kept = place.kept === true && !guest.present;
    return this.#putting(key, place, guest.present && !beside, { expect: [{ key, revision }] }, kept);
  }

  #moved(
    { entry, key: { machine }, priority, rank, place }: Standing,
    { beside, kept = false }: { readonly beside: boolean; readonly kept?: boolean },
    guest?: Guest,
  ): Write {
    const key = rankedKey({ beside, machine, priority, rank }, this.line.group);
    return this.#putting(key, place, guest !== undefined, {
      expect: [
        { key: entry.key, revision: entry.revision },
        { key, revision: null },
        ...(beside ? [] : mayReturn(this.line.group, priority, rank)),
      ],
      remove: keysOf(this.of(machine)).filter((other) => other !== key),
    }, kept);
  }

  #putting(
    key: string,
    { host, boot, since, by, reason }: PlaceDetails,
    present: boolean,
    { expect, remove = [] }: { readonly expect: readonly Expectation[]; readonly remove?: readonly string[] },
    kept = false,
  ): Write {
    const value = serializePlace({
      ...(host === undefined ? {} : { host }),
      ...(boot === undefined ? {} : { boot }),
      ...(since === undefined ? {} : { since }),
      ...(by === undefined ? {} : { by }),
      ...(reason === undefined ? {} : { reason }),
      ...(kept ? { state: KEPT } : {}),
    });
    const footing = present ? this.footings.present : this.footings.away;
    return { change: { expect, put: [], remove }, put: { key, value, footing } };
  }

  /** Writes the place of a host, one thing after the other. */
  #write(guest: Guest, plan: () => Write | undefined): Promise<void> {
    guest.writing++;
    const work = guest.turn.then(async () => {
      const write = plan();
      if (write === undefined) return;
      const standing = await this.#commit(write);
      if (standing === undefined) return;
      guest.own = standing.entry.revision;
      guest.rank = { priority: standing.priority, rank: standing.rank };
    }).finally(() => guest.writing--);
    guest.turn = work.catch(() => {});
    return work;
  }

  /** The place that was put, if the store did it. One that refuses shows soon what else is there. */
  async #commit({ change, put }: Write): Promise<Standing | undefined> {
    const { store } = this.lock;
    const puts = put === undefined ? [] : [{ ...put, lease: await put.footing.id() }];
    const outcome = await store.commit({
      ...change,
      put: puts.map(({ key, value, lease }) => ({ key, value, lease })),
      read: puts.map(({ key }) => ({ range: exactly(key) })),
    }, { timeoutMs: CALL_TIMEOUT_MS });
    if (outcome.kind === "unknown") throw outcome.cause;
    const found = outcome.found[0]?.[0] ?? null;
    if (put !== undefined) this.line.apply(put.key, found, outcome.revision);
    if (outcome.kind === "refused") return undefined;
    for (const key of change.remove ?? []) this.line.apply(key, null, outcome.revision);
    return put === undefined ? undefined : this.line.at(put.key);
  }
}

/** A change of places, and the place that is put under a lease which may have to be taken first. */
interface Write {
  readonly change: Transaction;
  readonly put?: { readonly key: string; readonly value: string; readonly footing: Footing };
}

const NOTHING: Transaction = { expect: [], put: [] };

function keysOf(standings: readonly Standing[]): string[] {
  return standings.map(({ entry }) => entry.key);
}
