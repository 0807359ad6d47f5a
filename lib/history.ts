/**
 * What happened to a group, told from the documents that a store still has of it.
 *
 * One revision is one document. What happened is the difference between a document and the one before it; its field
 * `changed` says what it was meant to be, who made it and when. A program that does not know that field leaves none, or
 * carries along the one that it found: what it did is told all the same, and when and by whom is not known. Pure.
 */

import {
  FRESH,
  type Hold,
  isByHand,
  type LastChange,
  REBOOTING,
  type Semaphore,
  SemaphoreError,
} from "./semaphore.ts";
import type { PlannedFreeze } from "./pause.ts";
import { isBefore, type PastChange } from "./store.ts";
import { parseSemaphore } from "./document.ts";

/**
 * What an event can be: what a commit of ours is recorded as, and beside that `ended` (a hold is gone, and nobody
 * recorded how), `edited` (another program changed what no rule speaks of), `unreadable` (no sound document) and
 * `removed` (the key is gone). What a newer version records is told by its name.
 */
export type EventKind = string;

/** Something that happened. What is not known of it is not there. */
export interface PastEvent {
  readonly revision: string;
  readonly what: EventKind;
  /** An instant, ISO 8601 in UTC. */
  readonly at?: string;
  readonly by?: string;
  readonly machine?: string;
  readonly host?: string;
  readonly reason?: string;
  /** When a freeze begins. */
  readonly from?: string;
  /** When a pause or a freeze ends by itself. */
  readonly until?: string;
  /** The new max and what it was; of `set-max` only, the old one where it is known. */
  readonly max?: number;
  readonly oldMax?: number;
  /** Why a document cannot be read. */
  readonly fault?: string;
}

/**
 * The events of the changes, in their order. `complete` says that the first of them made the key; else it is only what
 * the others are compared to, and of what it did itself there is just what it says.
 */
export function pastEvents(changes: readonly PastChange[], complete: boolean): PastEvent[] {
  const events: PastEvent[] = [];
  let known: Semaphore | undefined = complete ? FRESH : undefined;
  for (const { revision, entry } of changes) {
    if (entry === null) {
      events.push({ revision, what: "removed" });
      known = FRESH;
      continue;
    }
    try {
      const next = parseSemaphore(entry.value);
      events.push(...difference(known, next).map((event) => ({ revision, ...event })));
      known = next;
    } catch (error) {
      if (!(error instanceof SemaphoreError)) throw error;
      // the next sound one is compared to the last sound one: what differs was lost or mended in between
      events.push({ revision, what: "unreadable", fault: error.message });
    }
  }
  return events;
}

/**
 * The events of a group with those of all groups among them, by their revisions: the latter as `pause-all`, `resume-all` and so on.
 */
export function withEventsOfAll(events: readonly PastEvent[], ofAll: readonly PastEvent[]): PastEvent[] {
  const marked = ofAll.map((event) => ({ ...event, what: `${event.what}-all` }));
  return [...events, ...marked].sort((a, b) => compareRevisions(a.revision, b.revision));
}

function compareRevisions(a: string, b: string): number {
  return a === b ? 0 : isBefore(a, b) ? -1 : 1;
}

/**
 * Those since a moment, in milliseconds since the epoch. One whose time nobody knows is dropped only where something that
 * is known to be earlier came after it.
 */
export function eventsSince(events: readonly PastEvent[], since: number): PastEvent[] {
  const last = events.findLastIndex(({ at }) => at !== undefined && epochMs(at) < since);
  return events.filter(({ at }, index) => at === undefined ? index > last : epochMs(at) >= since);
}

/** Milliseconds since the epoch. */
export function epochMs(instant: string): number {
  return Temporal.Instant.from(instant).epochMilliseconds;
}

type Told = Omit<PastEvent, "revision">;

/** What made `after` of `before`; `before` is `undefined` where nobody knows it any more. */
function difference(before: Semaphore | undefined, after: Semaphore): Told[] {
  const record = isCarriedAlong(before?.changed, after.changed) ? undefined : after.changed;
  const told = before === undefined ? [] : [
    ...lostHolds(before, after, record),
    ...newHolds(before, after, record),
    ...maxChange(before, after, record),
    ...pauseChange(before, after, record),
    ...freezeChanges(before, after, record),
  ];
  if (record?.what !== undefined && !told.some(({ what }) => isSame(what, record.what))) {
    // a repair stands before what it changed; and so does what changes nothing, such as a max that was set once more
    told.unshift(recorded(record.what, before, after, record));
  }
  if (told.length > 0 || before === undefined) return told;
  return [stamped("edited", record)];
}

/** A slot can be taken by hand through the line, and at once by who reboots: the hold says which it is. */
function isSame(told: EventKind, recorded: string | undefined): boolean {
  return told === recorded || (TAKING.includes(told) && recorded !== undefined && TAKING.includes(recorded));
}

const TAKING = ["grant", "lock"];

/** Whether a program that does not know the field `changed` kept the one that it found. */
function isCarriedAlong(before: LastChange | undefined, after: LastChange | undefined): boolean {
  return before !== undefined && after !== undefined && before.at === after.at && before.by === after.by &&
    before.what === after.what && before.machine === after.machine;
}

/** Holds that are gone, or another's by now. */
function lostHolds(before: Semaphore, after: Semaphore, record: LastChange | undefined): Told[] {
  const still = new Set(after.holders);
  return before.holders.filter((id) => !still.has(id) || isAnother(before, after, id)).map(
    (id) => {
      const ways = ["release", "cancel", "unlock"];
      const way = record?.machine === id && record.what !== undefined && ways.includes(record.what)
        ? record.what
        : "ended";
      return { ...stamped(way, record), ...about(id, before.holds.get(id), record) };
    },
  );
}

function newHolds(before: Semaphore, after: Semaphore, record: LastChange | undefined): Told[] {
  const already = new Set(before.holders);
  return after.holders.flatMap((id): Told[] => {
    const hold = after.holds.get(id);
    // a hold that did not change is read as the same one
    if (hold !== undefined && hold === before.holds.get(id)) return [];
    if (!already.has(id) || isAnother(before, after, id)) {
      const what = isByHand(hold) ? "lock" : "grant";
      // an older version records a hold and no change
      const own = record ?? { at: hold?.since, by: hold?.by };
      return [{ ...stamped(what, own), ...about(id, hold, { machine: id, reason: hold?.reason }) }];
    }
    const then = before.holds.get(id);
    if (hold?.trouble !== undefined && hold.trouble !== then?.trouble) {
      return [{ ...stamped("unhealthy", record), ...about(id, hold, record) }];
    }
    if (hold?.back !== undefined && (then?.back === undefined || then.trouble !== undefined)) {
      return [{ ...stamped("back", record), ...about(id, hold, record) }];
    }
    if (hold?.phase !== REBOOTING || before.holds.get(id)?.phase === REBOOTING) return [];
    return [{ ...stamped("confirm", record), ...about(id, hold, record) }];
  });
}

/** Whether the same machine holds its slot by another grant now. */
function isAnother(before: Semaphore, after: Semaphore, id: string): boolean {
  const [then, now] = [before.holds.get(id), after.holds.get(id)];
  return then !== now && then?.grant !== undefined && now?.grant !== undefined && then.grant !== now.grant;
}

function maxChange(before: Semaphore, after: Semaphore, record: LastChange | undefined): Told[] {
  if (before.max === after.max) return [];
  const reason = record?.what === "set-max" ? reasonOf(record) : {};
  return [{ ...stamped("set-max", record), ...reason, max: after.max, oldMax: before.max }];
}

function pauseChange(before: Semaphore, after: Semaphore, record: LastChange | undefined): Told[] {
  const { paused } = after;
  if (paused === undefined) {
    if (before.paused === undefined) return [];
    return [{ ...stamped("resume", record), ...(record?.what === "resume" ? reasonOf(record) : {}) }];
  }
  const same = before.paused !== undefined &&
    (["since", "by", "reason", "until"] as const).every((field) => before.paused?.[field] === paused[field]);
  if (same) return [];
  return [{
    ...stamped("pause", record ?? { at: paused.since, by: paused.by }),
    ...reasonOf(paused),
    ...(paused.until === undefined ? {} : { until: paused.until }),
  }];
}

/** Freezes that were planned, or taken back. One that was over went by itself, when another change was made. */
function freezeChanges(before: Semaphore, after: Semaphore, record: LastChange | undefined): Told[] {
  const key = ({ name, from, until }: PlannedFreeze) => JSON.stringify([name, from, until]);
  const [then, now] = [before.freezes ?? [], after.freezes ?? []];
  const [old, fresh] = [new Set(then.map(key)), new Set(now.map(key))];
  const names = new Set(now.map(({ name }) => name));
  const isOver = ({ until }: PlannedFreeze) =>
    record?.at !== undefined && epochMs(until) <= epochMs(record.at);
  return [
    ...then.filter((freeze) => !fresh.has(key(freeze)) && !names.has(freeze.name) && !isOver(freeze))
      .map(({ name }) => ({ ...stamped("unfreeze", record), reason: name })),
    ...now.filter((freeze) => !old.has(key(freeze))).map((freeze) => ({
      ...stamped("freeze", record ?? { at: freeze.since, by: freeze.by }),
      reason: freeze.name,
      from: freeze.from,
      until: freeze.until,
    })),
  ];
}

/** What a document says of itself, where no difference shows it. */
function recorded(
  what: string,
  before: Semaphore | undefined,
  after: Semaphore,
  record: LastChange,
): Told {
  const { machine } = record;
  const oldMax = before === undefined ? {} : { oldMax: before.max };
  return {
    ...stamped(what, record),
    ...(machine === undefined ? {} : about(machine, after.holds.get(machine), record)),
    ...reasonOf(record),
    ...(what === "set-max" ? { max: after.max, ...oldMax } : {}),
  };
}

function reasonOf({ reason }: { readonly reason?: string | undefined }): { readonly reason?: string } {
  return reason === undefined ? {} : { reason };
}

/** When and by whom, as far as it is known. */
function stamped(
  what: EventKind,
  record: { readonly at?: string | undefined; readonly by?: string | undefined } | undefined,
): Told {
  return {
    what,
    ...(record?.at === undefined ? {} : { at: record.at }),
    ...(record?.by === undefined ? {} : { by: record.by }),
  };
}

/** The machine with its host, and the reason if the record is about this machine. */
function about(
  machine: string,
  hold: Hold | undefined,
  record: { readonly machine?: string | undefined; readonly reason?: string | undefined } | undefined,
) {
  const reason = record?.machine === machine ? record.reason : undefined;
  return {
    machine,
    ...(hold?.host === undefined ? {} : { host: hold.host }),
    ...(reason === undefined ? {} : { reason }),
  };
}
