/**
 * Everybody who waits for a slot of one group, in the queue and beside it, as far as a server knows: who stands where, and
 * how often somebody was passed over.
 *
 * It is fed with entries as they come, from a mirror or from commits of the server's own, in any order: what is older than
 * what is known of a key is dropped. Nothing here asks a store, and nothing rests on it alone: a commit proves it.
 */

import { comesBefore } from "./polling.ts";
import { type Place, type PlaceKey, readPlace } from "./queue.ts";
import type { Semaphore } from "./semaphore.ts";
import { type Entry, isBefore } from "./store.ts";

/** A place, and what is known around it. */
export interface Standing {
  readonly entry: Entry;
  readonly place: Place;
  readonly key: PlaceKey;
  readonly priority: number;
  readonly rank: string;
}

/** A key as it was seen last, or that it is gone, by the commit `at`. */
interface Sight {
  readonly standing: Standing | undefined;
  readonly at: string;
}

export class Line {
  readonly #sights = new Map<string, Sight>();
  /** Keys that are gone, with who stood there: until the mirror is beyond that. */
  readonly #gone = new Map<string, { readonly standing: Standing; readonly at: string }>();
  readonly #byMachine = new Map<string, Set<string>>();
  /** All of them, and those in the queue, the first in line first. */
  readonly #all: Standing[] = [];
  readonly #queue: Standing[] = [];
  readonly #passed = new Map<string, number>();

  constructor(readonly group: string) {}

  /** A key has this entry, or none, since the commit `at`. */
  apply(key: string, entry: Entry | null, at: string): void {
    const before = this.#sights.get(key);
    if (before === undefined ? entry === null : isBefore(at, before.at)) return;
    const known = before?.standing?.entry;
    if (known !== undefined && known.revision === entry?.revision) return;
    const read = entry === null ? undefined : readPlace(this.group, entry);
    const standing = read === undefined || entry === null
      ? undefined
      : { entry, place: read.place, key: read.key, priority: read.place.priority, rank: read.rank };
    if (before?.standing !== undefined) this.#leave(before.standing);
    if (standing !== undefined) this.#enter(standing);
    else if (before?.standing !== undefined) this.#gone.set(key, { standing: before.standing, at });
    this.#sights.set(key, { standing, at });
    const gone = before?.standing?.place.machine;
    if (gone !== undefined && !this.#byMachine.has(gone)) this.#passed.delete(gone);
  }

  /** What is older than the commit `revision` is known to everybody. */
  forgetBefore(revision: string): void {
    for (const [key, { at }] of this.#gone) {
      if (!isBefore(at, revision)) continue;
      this.#gone.delete(key);
      if (this.#sights.get(key)?.standing === undefined) this.#sights.delete(key);
    }
  }

  /** All keys that are known to be there. */
  get keys(): string[] {
    return this.#all.map(({ entry: { key } }) => key);
  }

  get length(): number {
    return this.#all.length;
  }

  /** Everybody, the first in line first. */
  get everybody(): readonly Standing[] {
    return this.#all;
  }

  /** Those in the queue, the first in line first. */
  get queue(): readonly Standing[] {
    return this.#queue;
  }

  /** The first in the queue. */
  get first(): Standing | undefined {
    return this.#queue[0];
  }

  /** How many of them are away. */
  get kept(): number {
    let kept = 0;
    for (const { place } of this.#queue) if (place.kept) kept++;
    return kept;
  }

  /** The oldest in the queue of a priority that have the rank of their creation. */
  oldestOf(priority: number): Standing | undefined {
    return this.#queue.find((standing) => standing.priority === priority && standing.key.rank === undefined);
  }

  /** The places of a machine, without those that somebody took by hand. */
  of(machine: string): Standing[] {
    const standings: Standing[] = [];
    for (const key of this.#byMachine.get(machine) ?? []) {
      const standing = this.#sights.get(key)?.standing;
      if (standing !== undefined) standings.push(standing);
    }
    return standings;
  }

  at(key: string): Standing | undefined {
    return this.#sights.get(key)?.standing;
  }

  /** The place in line, from 1 on. */
  position(standing: Standing): number {
    return placeOf(this.#all, standing) + 1;
  }

  /** How often a machine was passed over while it was away. */
  passedOver(machine: string): number {
    return this.#passed.get(machine) ?? 0;
  }

  /** Slots were granted, by the commit `at`: counts those who came before and were passed over. */
  granted(before: Semaphore, after: Semaphore, at: string): void {
    const held = new Set(before.holders);
    for (const machine of after.holders) {
      if (held.has(machine)) continue;
      this.#passed.delete(machine);
      const of = this.#foremost(machine, at);
      for (const standing of this.#all) {
        const { machine: other } = standing.place;
        const away = standing.key.beside || standing.place.kept === true;
        if (!away || other === machine) continue;
        const earlier = of === undefined ? isBefore(standing.rank, at) : comesBefore(standing, of);
        if (earlier) this.#passed.set(other, this.passedOver(other) + 1);
      }
    }
  }

  /** Where a machine stands, or stood until the commit `at`. */
  #foremost(machine: string, at: string): Standing | undefined {
    const found = this.of(machine);
    for (const { standing, at: left } of this.#gone.values()) {
      if (left === at && standing.place.machine === machine) found.push(standing);
    }
    return found.sort((a, b) => comesBefore(a, b) ? -1 : 1)[0];
  }

  #enter(standing: Standing): void {
    this.#all.splice(placeOf(this.#all, standing), 0, standing);
    if (!standing.key.beside) this.#queue.splice(placeOf(this.#queue, standing), 0, standing);
    if (standing.key.request) return;
    const { machine } = standing.place;
    const keys = this.#byMachine.get(machine);
    if (keys === undefined) this.#byMachine.set(machine, new Set([standing.entry.key]));
    else keys.add(standing.entry.key);
  }

  #leave(standing: Standing): void {
    this.#all.splice(placeOf(this.#all, standing), 1);
    if (!standing.key.beside) this.#queue.splice(placeOf(this.#queue, standing), 1);
    const { machine } = standing.place;
    const keys = this.#byMachine.get(machine);
    keys?.delete(standing.entry.key);
    if (keys?.size === 0) this.#byMachine.delete(machine);
  }
}

/** How many of a sorted list come before a place. */
function placeOf(list: readonly Standing[], standing: Standing): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = list[middle];
    const before = other !== undefined && (comesBefore(other, standing) ||
      !comesBefore(standing, other) && other.entry.key < standing.entry.key);
    if (before) low = middle + 1;
    else high = middle;
  }
  return low;
}
