/**
 * The queue of a group: who waits for a slot, and who comes before whom.
 *
 * A place is a key of its own, under a lease: it is gone soon after its machine is. Places are ordered by priority, the
 * higher first, and within a priority by the commit that made them. The priority stands in the key, so that everybody
 * of a higher one is a range of keys, and everybody earlier of the same is what such a range held before; a store can
 * hold a commit to either.
 *
 * A host that asks a server from time to time and was away meanwhile keeps its rank: its place then stands before those of
 * its priority that came later (`polling.ts`). While it is away it has a place beside the queue, which stops nobody. Pure.
 */

import { awayPrefix, escapeQuery, queuePrefix } from "./group.ts";
import { type Entry, type Expectation, isBefore, type KeyRange, type Query } from "./store.ts";

/** Priorities go from minus this to this. */
export const PRIORITY_LIMIT = 100;
/** How long a place outlives the last sign of life of its machine, in milliseconds. */
export const PLACE_TTL_MS = 30_000;

/** What is recorded of a place, for people; the rules need its key and its entry alone. */
export interface PlaceDetails {
  readonly host?: string;
  readonly boot?: string;
  /** When it was taken: an instant, ISO 8601 in UTC. */
  readonly since?: string;
  readonly by?: string;
  readonly reason?: string;
}

/** A place in the queue, or beside it. */
export interface Place extends PlaceDetails {
  readonly machine: string;
  readonly priority: number;
  /** Its host is not there; it asks from time to time. */
  readonly away?: true;
  /** A slot is kept for it all the same. */
  readonly kept?: true;
}

/** What the key of a place says. */
export interface PlaceKey {
  /** Whether it stands beside the queue. */
  readonly beside: boolean;
  readonly machine: string;
  readonly priority: number;
  /** The rank that it was given; else it has that of its creation. */
  readonly rank?: string;
  /** Whether it is one of several that a machine can have: somebody waits by hand. */
  readonly request: boolean;
}

/**
 * The key of a machine's place. A machine's daemon has one, which the next daemon takes over; who waits by hand has one
 * for each request, which `request` marks, so that nobody takes a place away from another.
 */
export function placeKey(group: string, priority: number, machine: string, request?: string): string {
  const suffix = request === undefined ? "" : `@${escapeQuery(request)}`;
  return `${classPrefix(group, priority)}${escapeQuery(machine)}${suffix}`;
}

/** The key of a place with the rank that its machine had before; without one, with that of its creation, beside the queue. */
export function rankedKey(
  { beside, machine, priority, rank }: Omit<PlaceKey, "request">,
  group: string,
): string {
  const prefix = beside ? awayPrefix(group) : queuePrefix(group);
  return `${prefix}${rankClass(priority, rank)}/${escapeQuery(machine)}`;
}

/** The keys of the places beside the queue. */
export function awayRange(group: string): KeyRange {
  return below(awayPrefix(group));
}

/** Everybody in the queue of a higher priority, and of those of this one with a rank of their own everybody before `rank`. */
export function beforeRange(group: string, priority: number, rank: string): KeyRange {
  return { from: queuePrefix(group), to: `${queuePrefix(group)}${rankClass(priority, rank)}/` };
}

/** The keys of the whole queue. */
export function queueRange(group: string): KeyRange {
  return below(queuePrefix(group));
}

/** Whether anybody of a higher priority is there: one of them is enough. */
export function higherQuery(group: string, priority: number): Query {
  return { range: higherRange(group, priority), limit: 1 };
}

/**
 * What is wanted of the queue to know who is before a place: {@linkcode predecessor} reads the answers. A store reads all
 * of a priority for it, so it is asked only when the place before is gone.
 */
export function predecessorQueries(group: string, priority: number, created: string): Query[] {
  return [
    higherQuery(group, priority),
    { range: classRange(group, priority), createdBefore: created, ...LAST },
  ];
}

/** The same in the transaction that makes the place: its own, the newest of its priority, is in the last answer. */
export function arrivalQueries(group: string, priority: number): Query[] {
  return [higherQuery(group, priority), { range: classRange(group, priority), ...LAST, limit: 2 }];
}

/**
 * Who stands before the place that `key` and `created` name. `same`: the very next before it of its own priority; once
 * there is none, there never will be. `higher`: one of those of a higher priority.
 */
export function predecessor(
  answers: readonly (readonly Entry[])[],
  key: string,
  created: string,
): { readonly same: Entry | undefined; readonly higher: Entry | undefined } {
  const [higher = [], same = []] = answers;
  return {
    same: same.find((entry) => entry.key !== key && isBefore(entry.created, created)),
    higher: higher[0],
  };
}

/** What must be true for the place that this entry is to be the first in line, still. */
export function firstInLine(group: string, priority: number, place: Entry): Expectation[] {
  return [
    { key: place.key, revision: place.revision },
    { range: classRange(group, priority), noneCreatedBefore: place.created },
    { range: higherRange(group, priority), noneCreatedBefore: null },
  ];
}

/** Writes what is recorded of a place. */
export function serializePlace(details: PlaceDetails & { readonly state?: typeof KEPT }): string {
  return JSON.stringify(details);
}

/** The state of a place whose host is away and for which a slot is kept. */
export const KEPT = "kept";
const DETAILS = ["host", "boot", "since", "by", "reason", "state"] as const;

/**
 * The places that these entries of {@linkcode queueRange} and {@linkcode awayRange} are, the first in line first. What is
 * no place of ours is left out; details that cannot be read are not there.
 */
export function readQueue(group: string, entries: readonly Entry[]): Place[] {
  return entries
    .flatMap((entry) => {
      const known = lately.get(entry);
      const place = known?.group === group ? known.place : readPlace(group, entry);
      if (known?.group !== group) lately.set(entry, { group, place });
      return place === undefined ? [] : [place];
    })
    .sort((a, b) => b.place.priority - a.place.priority || (isBefore(a.rank, b.rank) ? -1 : 1))
    .map(({ place }) => place);
}

/** Who looks again and again at a copy of thousands sees mostly the same entries: each is read once. */
const lately = new WeakMap<Entry, { readonly group: string; readonly place: ReturnType<typeof readPlace> }>();

/** The place that an entry is, and its rank: the lower comes first within a priority. */
export function readPlace(
  group: string,
  { key, value, created }: Entry,
): { readonly place: Place; readonly rank: string; readonly key: PlaceKey } | undefined {
  const parts = readPlaceKey(group, key);
  if (parts === undefined) return undefined;
  const { machine, priority, beside, rank } = parts;
  const { state, ...details } = readDetails(value);
  const kept = !beside && state === KEPT;
  const place: Place = {
    machine,
    priority,
    ...details,
    ...(beside || kept ? { away: true } : {}),
    ...(kept ? { kept } : {}),
  };
  return { place, rank: rank ?? created, key: parts };
}

function readPlaceKey(group: string, key: string): PlaceKey | undefined {
  const beside = key.startsWith(awayPrefix(group));
  const prefix = beside ? awayPrefix(group) : queuePrefix(group);
  if (!key.startsWith(prefix)) return undefined;
  const [, level, rank, escaped = "", request] =
    /^([0-9]{3})(?:!([0-9]{20}))?\/([^/@]+)(@[^/]*)?$/.exec(key.slice(prefix.length)) ?? [];
  if (level === undefined) return undefined;
  try {
    return {
      beside,
      machine: decodeURIComponent(escaped.replaceAll("+", " ")),
      priority: PRIORITY_LIMIT - Number(level),
      ...(rank === undefined ? {} : { rank: rank.replace(/^0+(?=.)/, "") }),
      request: request !== undefined,
    };
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}

function readDetails(text: string): PlaceDetails & { readonly state?: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return {};
  }
  if (typeof value !== "object" || value === null) return {};
  const known = Object.entries(value).filter(([name, content]) =>
    DETAILS.some((detail) => detail === name) && typeof content === "string" &&
    (name !== "since" || !Number.isNaN(Date.parse(content)))
  );
  return Object.fromEntries(known);
}

const LAST = { order: "created", descending: true, limit: 1 } as const;

/** The higher a priority, the earlier its keys. */
function classPrefix(group: string, priority: number): string {
  return `${queuePrefix(group)}${rankClass(priority)}/`;
}

/** Whoever has a rank of its own comes before the others of its priority: `!` comes before `/`. */
function rankClass(priority: number, rank?: string): string {
  const level = String(PRIORITY_LIMIT - priority).padStart(3, "0");
  return rank === undefined ? level : `${level}!${rank.padStart(20, "0")}`;
}

/** Everybody of a priority who has no rank of its own. */
export function classRange(group: string, priority: number): KeyRange {
  return below(classPrefix(group, priority));
}

function higherRange(group: string, priority: number): KeyRange {
  return { from: queuePrefix(group), to: classPrefix(group, priority) };
}

/** All keys that begin with a prefix that ends in a slash. */
function below(prefix: string): KeyRange {
  // `0` comes next after `/`
  return { from: prefix, to: `${prefix.slice(0, -1)}0` };
}
