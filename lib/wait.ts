/**
 * One machine's wait for a slot, as a rule: from what is known of the store to the next move. Pure; `waiter.ts` carries
 * the moves out.
 *
 * A free slot that nobody waits for is taken by one commit. Otherwise the machine takes a place in the queue and watches
 * one key: the place before its own, or the document when it is the first. Whoever is held by other hands stands aside,
 * so that nobody waits behind it.
 */

import { ALL_KEY } from "./group.ts";
import type { LockError } from "./lock.ts";
import type { Machine } from "./machine.ts";
import {
  acquire,
  type AcquireDecision,
  endsInMs,
  type Hold,
  type NewHold,
  ownerOf,
  REBOOTING,
  type Semaphore,
} from "./semaphore.ts";
import type { Entry, StoreError } from "./store.ts";

/** What is wanted. */
export interface WaitRequest {
  /** The machine that waits; by hand, only the name of the holder. A slot that is held by hand already ends that wait. */
  readonly waits: Machine | { readonly id: string; readonly bootId?: undefined };
  /** What is to be recorded of the slot. `grant` must be new for every request. */
  readonly hold: NewHold;
  readonly priority: number;
  /** From how long on a hold is said to be overdue, in milliseconds. */
  readonly overdueMs: number;
  /** How long to rely on a watch before looking all the same, in milliseconds; lengthened by up to a half. */
  readonly lookMs: number;
}

/** A good {@linkcode WaitRequest.lookMs}: what a missed event costs at most, against what looking costs a store. */
export const LOOK_INTERVAL_MS = 5 * 60_000;

/** Why there is no slot yet. */
export type Obstacle =
  /** Others stand before it. */
  | { readonly kind: "behind" }
  | Extract<AcquireDecision, { kind: "full" | "paused" }>
  /** The machine is held by hand, or by another machine with its id. */
  | { readonly kind: "by-hand"; readonly hold: Hold | undefined }
  | { readonly kind: "other-host"; readonly hold: Hold };

/** How a wait ended. */
export type LastNews =
  /** `called`: the reboot was confirmed under this very slot already. */
  | { readonly kind: "granted"; readonly grant: string; readonly called: boolean }
  /** Asked by hand, the holder has a slot already. */
  | { readonly kind: "held"; readonly hold: Hold | undefined }
  | { readonly kind: "left" };

/** What a waiter tells. Nothing comes after {@linkcode LastNews}. */
export type WaitNews =
  | LastNews
  /** Still waiting, for another reason than before, or with other machines overdue. */
  | {
    readonly kind: "waiting";
    readonly obstacle: Obstacle;
    readonly overdue: readonly string[];
    /** The document of that moment. */
    readonly semaphore: Semaphore;
  }
  /** Something does not work, and is tried again. */
  | { readonly kind: "failing"; readonly error: StoreError | LockError };

/** What is known of the store at one moment. */
export interface Known {
  readonly revision: string;
  readonly document: Entry | null;
  readonly semaphore: Semaphore;
  /** The document of all groups. */
  readonly all: Entry | null;
  readonly allGroups: Semaphore;
  /** Our place, whichever process made it. */
  readonly place: Entry | null;
  /** Somebody who stands before us; while we have no place, anybody. */
  readonly before: Entry | undefined;
}

/** What the waiter itself has done so far. */
export interface Standing {
  /** Its place as it made it. Another revision of it is from before this process, or from a lost reply. */
  readonly place: Entry | undefined;
  /** Whether it asked for a slot before. */
  readonly asked: boolean;
}

export type Move =
  /** It is over. */
  | { readonly kind: "finish"; readonly news: LastNews }
  /** Commit `next`, and with it leave `place`; `null`: the queue is empty, and must still be. */
  | { readonly kind: "grant"; readonly next: Semaphore; readonly place: Entry | null }
  /** Take a place, or take over the one that an earlier process of this machine left. */
  | { readonly kind: "line-up" }
  /** Give back the hold of an earlier boot, a grant that came late. */
  | { readonly kind: "give-back"; readonly machine: Machine }
  /** Keep the place, and wait for a change of the key `watch`; `null`: of the document. */
  | { readonly kind: "stay"; readonly watch: string | null; readonly obstacle: Obstacle }
  /** Give the place up, and wait for a change of the document. */
  | { readonly kind: "stand-aside"; readonly obstacle: Obstacle };

/** The next move. `now` in milliseconds since the epoch. */
export function nextMove(known: Known, standing: Standing, request: WaitRequest, now: number): Move {
  const { waits: { id: holder }, hold } = request;
  const { semaphore, allGroups: all, place, before } = known;
  const since = new Date(now).toISOString();
  const decision = acquire(semaphore, { holder, hold: { ...hold, since }, all, now });
  if (decision.kind === "held") return heldMove(semaphore, request);
  if (place === null) {
    // once: where many come at the same time, all but one are refused, and a queue is what they need
    const mayAsk = !standing.asked && before === undefined;
    return mayAsk && decision.kind === "granted"
      ? { kind: "grant", next: decision.next, place: null }
      : { kind: "line-up" };
  }
  if (place.revision !== standing.place?.revision) return { kind: "line-up" };
  if (before !== undefined) return { kind: "stay", watch: before.key, obstacle: { kind: "behind" } };
  if (decision.kind === "granted") return { kind: "grant", next: decision.next, place };
  const watch = decision.kind === "paused" && decision.all ? ALL_KEY : null;
  return { kind: "stay", watch, obstacle: decision };
}

/** In how many milliseconds an obstacle is gone by itself, without anybody writing; `Infinity`: never. */
export function passesInMs(obstacle: Obstacle, now: number): number {
  return obstacle.kind === "paused" ? Math.max(0, endsInMs(obstacle.pause, now)) : Infinity;
}

/** The holder has a slot, by this request or by another. */
function heldMove(semaphore: Semaphore, { waits, hold: wanted }: WaitRequest): Move {
  const hold = semaphore.holds.get(waits.id);
  if (hold?.grant === wanted.grant) {
    return { kind: "finish", news: grantedNews(semaphore, waits.id, wanted.grant) };
  }
  if (waits.bootId === undefined) return { kind: "finish", news: { kind: "held", hold } };
  const owner = ownerOf(hold, waits);
  switch (owner.kind) {
    case "ours":
      return { kind: "finish", news: { kind: "granted", grant: owner.grant, called: owner.called } };
    case "earlier-boot":
      return { kind: "give-back", machine: waits };
    case "by-hand":
    case "other-host":
      return { kind: "stand-aside", obstacle: owner };
  }
}

/** The news of a grant that is in the document. */
export function grantedNews({ holds }: Semaphore, holder: string, grant: string): LastNews {
  return { kind: "granted", grant, called: holds.get(holder)?.phase === REBOOTING };
}
