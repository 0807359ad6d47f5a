/**
 * The semaphore of a group: the document, and the rules by which it changes.
 *
 * Everything here is a pure function of a document and a request. The three fields of the old locksmith
 * (`semaphore`, `max`, `holders`) keep their meaning and their place; `holds` says who, since when and why, and
 * `paused` stops new grants. What a newer version or another program wrote beside them survives every change.
 *
 * A document that contradicts itself is never guessed at: reading refuses it, and `repair.ts` is the way back.
 */

import type { Machine } from "./machine.ts";
import { plainTextFault } from "./plain_text.ts";
import { freezePause, type Pause, pauseInForce, type PlannedFreeze, type Stop, stopOf } from "./pause.ts";

export { endsInMs, type Pause, pauseInForce } from "./pause.ts";

/** What is recorded of a holder. A holder that another program entered may have none of it. */
export interface Hold {
  /** The host name. */
  readonly host?: string;
  /** The boot id under which the slot was taken. A later boot under another id gives the slot back. */
  readonly boot?: string;
  /** {@linkcode FLEET_LOCK} where a server granted it; a hold without this and without a boot was taken by hand. */
  readonly via?: string;
  /** When the slot was granted: an instant, ISO 8601 in UTC. */
  readonly since?: string;
  /** Who asked for it: the daemon, or an administrator and from where. */
  readonly by?: string;
  readonly reason?: string;
  /** How far the machine is: {@linkcode GRANTED} or {@linkcode REBOOTING}; a newer version may know more. */
  readonly phase?: string;
  /** A random mark of the request that took the slot: it tells a lost reply from somebody else's grant. */
  readonly grant?: string;
  /** {@linkcode ON_DISK} where the machine that took it knows its grant again after a boot. */
  readonly memory?: string;
  /** Since when the machine is up again, which holds its slot until it is known to be well: an instant, ISO 8601 in UTC. */
  readonly back?: string;
  /** What is wrong with it since then. */
  readonly trouble?: string;
  /** A random mark of whoever confirmed it, or {@linkcode SHARED}: nobody else knows whether a reboot is under way. */
  readonly confirm?: string;
  /** Fields that this version does not know. */
  readonly extra: Readonly<Record<string, unknown>>;
}

/** The slot is taken. */
export const GRANTED = "granted";
/** The last step before the reboot call was committed. */
export const REBOOTING = "rebooting";
/** The grant is on the disk of the machine that asked for it. */
export const ON_DISK = "disk";
/** Who a daemon is in the record. */
export const BY_DAEMON = "locksmithd";
/** How a host came by its slot that asked a server for it, and who asked in the record. The host itself gives it back. */
export const FLEET_LOCK = "fleet-lock";
/** In the place of a mark: several have confirmed the hold, and nobody knows of the others' reboot calls. */
export const SHARED = "shared";

/** What a request for a slot brings along; when it is granted, the time is added. */
export type NewHold = Omit<Hold, "since" | "grant"> & { readonly grant: string };

/** What the last commit did, and who made it when: so that the revisions a store keeps anyway are a history. */
export interface LastChange {
  /** An instant, ISO 8601 in UTC. */
  readonly at?: string;
  readonly by?: string;
  /** One of {@linkcode ChangeKind}; a newer version may know more. */
  readonly what?: string;
  /** The machine it is about, where it is about one. */
  readonly machine?: string;
  readonly reason?: string;
  readonly extra: Readonly<Record<string, unknown>>;
}

/** What a commit can do. */
export type ChangeKind =
  | "grant"
  | "lock"
  | "confirm"
  | "back"
  | "unhealthy"
  | "release"
  | "cancel"
  | "unlock"
  | "set-max"
  | "pause"
  | "resume"
  | "freeze"
  | "unfreeze"
  | "repair";

/** A document whose count agrees with its list. */
export interface Semaphore {
  /** How many may hold a slot at once. */
  readonly max: number;
  /** Machine ids, in the order of their code points, none twice. */
  readonly holders: readonly string[];
  /** Details, by machine id; only for holders. */
  readonly holds: ReadonlyMap<string, Hold>;
  readonly paused?: Pause;
  /** Times without reboots; none of the same name as another. */
  readonly freezes?: readonly PlannedFreeze[];
  /** Absent where another program, or an older version, wrote last. */
  readonly changed?: LastChange;
  /** Top-level fields that this version does not know. */
  readonly extra: Readonly<Record<string, unknown>>;
}

/** A document or a name that breaks the rules; `faults` names each breach. */
export class SemaphoreError extends Error {
  override readonly name = "SemaphoreError";
  constructor(readonly faults: readonly string[]) {
    super(faults.join("; "));
  }
}

/** The largest max: what a 32-bit program beside us can still count. */
export const MAX_LIMIT = 2 ** 31 - 1;
/** The longest holder's name, in UTF-16 code units. */
export const HOLDER_LENGTH_LIMIT = 256;

/** The document of a group that nobody has used yet: one slot, free. */
export const FRESH: Semaphore = { max: 1, holders: [], holds: new Map(), extra: {} };

/** How many slots are free. Negative after `set-max` below the number of holders, until they are done. */
export function available(semaphore: Semaphore): number {
  return semaphore.max - semaphore.holders.length;
}

/** Whether `value` can be a max. */
export function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_LIMIT;
}

const SURROGATE = /[\ud800-\udfff]/;

/** The order of Go's `sort.Strings`, which the old program used: by bytes of UTF-8, that is by code points. */
export function compareCodePoints(a: string, b: string): number {
  // without surrogates the order of code units is the same
  if (!SURROGATE.test(a) && !SURROGATE.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  const left = Array.from(a, (c) => c.codePointAt(0) ?? 0);
  const right = Array.from(b, (c) => c.codePointAt(0) ?? 0);
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const order = (left[i] ?? 0) - (right[i] ?? 0);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

/** What is wrong with a holder's name, or `undefined`. A name is one line of text without blanks at its ends. */
export function holderFault(name: unknown): string | undefined {
  if (typeof name !== "string") return "a holder's name must be a string";
  if (name.trim() === "") return "a holder's name must not be empty";
  if (name !== name.trim()) return "a holder's name must not begin or end with a blank";
  return plainTextFault(name, "a holder's name", HOLDER_LENGTH_LIMIT);
}

/** What a request for a slot brings along. */
export interface AcquireRequest {
  readonly holder: string;
  /** What shall be recorded of it. */
  readonly hold: Hold;
  /** The document of all groups; a grant has to prove that it is still this one. */
  readonly all: Semaphore;
  /** Milliseconds since the epoch, on the clock of whoever asks. */
  readonly now: number;
}

/** What {@linkcode acquire} found. Only `granted` changes the document. */
export type AcquireDecision =
  | { readonly kind: "granted"; readonly next: Semaphore }
  /** The holder has a slot already; without `hold` nothing is known of it but the name. */
  | { readonly kind: "held"; readonly hold: Hold | undefined }
  | { readonly kind: "full"; readonly available: number }
  /** `all`: not this group alone, but all are. */
  | { readonly kind: "paused"; readonly pause: Pause; readonly all: boolean };

/**
 * Takes a slot. Whether the holder has one already is asked before whether one is free: otherwise a machine whose
 * reply was lost would wait for itself.
 */
export function acquire(
  semaphore: Semaphore,
  { holder, hold, all, now }: AcquireRequest,
): AcquireDecision {
  const fault = holderFault(holder);
  if (fault !== undefined) throw new SemaphoreError([fault]);
  if (semaphore.holders.includes(holder)) return { kind: "held", hold: semaphore.holds.get(holder) };
  const paused = stopOf(semaphore, all, (document) => pauseInForce(document, now));
  if (paused !== undefined) return { kind: "paused", ...paused };
  if (available(semaphore) <= 0) return { kind: "full", available: available(semaphore) };
  const holders = [...semaphore.holders, holder].sort(compareCodePoints);
  return {
    kind: "granted",
    next: { ...semaphore, holders, holds: new Map(semaphore.holds).set(holder, hold) },
  };
}

/** When a request is made, and what counts for all groups then. */
export type Ruled = Pick<AcquireRequest, "all" | "now">;

/** A freeze is in force: no reboot, whatever was granted before. */
export interface FrozenDecision extends Stop {
  readonly kind: "frozen";
}

function frozen(semaphore: Semaphore, { all, now }: Ruled): FrozenDecision | undefined {
  const by = stopOf(semaphore, all, ({ freezes }) => freezePause(freezes, now));
  return by === undefined ? undefined : { kind: "frozen", ...by };
}

/** Whether a hold was taken by hand, or by a program that records nothing: then only by hand it ends. */
export function isByHand(hold: Hold | undefined): boolean {
  return hold?.boot === undefined && hold?.via !== FLEET_LOCK;
}

/** Whose hold a machine finds under its id. */
export type Ownership =
  | { readonly kind: "none" }
  /** Of this boot. `called`: the reboot was confirmed, so it may have been called already. */
  | { readonly kind: "ours"; readonly hold: Hold; readonly grant: string; readonly called: boolean }
  /** Not this machine's to end: taken by hand, through a server without a word of the boot, or by a program that left no grant. */
  | { readonly kind: "by-hand"; readonly hold: Hold | undefined }
  /** Of a boot before this one: the machine has rebooted, and gives it back. */
  | { readonly kind: "earlier-boot"; readonly hold: Hold }
  /** Of another machine with the same id, a clone for example: never ours to end. */
  | { readonly kind: "other-host"; readonly hold: Hold };

/**
 * Whose hold this is, decided the same way by everything that asks.
 *
 * The boot id decides first. Of an earlier boot it is where the machine remembers the grant, whatever it is called now: a
 * renamed host goes on. A grant that its owner has on disk and this machine has not is another's, whatever that is called: a
 * clone took it. Where memory says nothing the host name decides, as far as one is recorded.
 */
export function ownership({ holders, holds }: Semaphore, machine: Machine): Ownership {
  return holders.includes(machine.id) ? ownerOf(holds.get(machine.id), machine) : { kind: "none" };
}

/** The same of a hold that is known to be there. */
export function ownerOf(hold: Hold | undefined, machine: Machine): Exclude<Ownership, { kind: "none" }> {
  if (hold?.boot === undefined) return { kind: "by-hand", hold };
  const { boot, grant } = hold;
  const { grants } = machine;
  if (boot === machine.bootId) {
    if (grant === undefined) return { kind: "by-hand", hold };
    return { kind: "ours", hold, grant, called: hold.phase === REBOOTING };
  }
  if (grant !== undefined && grants?.has(grant) === true) return { kind: "earlier-boot", hold };
  const unknown = grants !== undefined && hold.memory === ON_DISK;
  const otherName = hold.host !== undefined && hold.host !== machine.hostname;
  return { kind: unknown || otherName ? "other-host" : "earlier-boot", hold };
}

/** Names one hold: whose, of which boot, and by which grant. */
export interface HoldProof {
  readonly holder: string;
  /** `undefined`: taken by hand. */
  readonly boot: string | undefined;
  readonly grant: string;
}

/** What a host that asks a server says of itself. */
export interface Told {
  readonly holder: string;
  readonly host?: string | undefined;
  /** Its boot, where it tells. */
  readonly boot?: string | undefined;
}

export type RenewDecision =
  | { readonly kind: "not-held" }
  | { readonly kind: "by-hand"; readonly hold: Hold | undefined }
  /** The hold is the host's; without `next` all that is to be recorded is. */
  | { readonly kind: "held"; readonly next?: Semaphore }
  | FrozenDecision;

/**
 * The holder asks a server for its slot again: it has it, and whoever holds one and asks is about to reboot. A boot that
 * it tells replaces the one that is recorded: the host has rebooted, and has not said yet that it is well.
 */
export function renew(semaphore: Semaphore, { holder, host, boot }: Told, ruled: Ruled): RenewDecision {
  if (!semaphore.holders.includes(holder)) return { kind: "not-held" };
  const hold = semaphore.holds.get(holder);
  if (hold === undefined || isByHand(hold)) return { kind: "by-hand", hold };
  const stop = frozen(semaphore, ruled);
  if (stop !== undefined) return stop;
  const known = boot === undefined || hold.boot === boot;
  if (known && hold.phase === REBOOTING && hold.via === FLEET_LOCK) return { kind: "held" };
  const renewed = {
    ...hold,
    ...(host === undefined || hold.host !== undefined ? {} : { host }),
    ...(boot === undefined ? {} : { boot }),
    via: FLEET_LOCK,
    phase: REBOOTING,
  };
  return { kind: "held", next: { ...semaphore, holds: new Map(semaphore.holds).set(holder, renewed) } };
}

/**
 * The first way in which a hold ends, as a host tells it to a server: it is up and well. Kept are a hold that was taken by
 * hand, and one that a daemon on the same host took in a boot that may still be this one.
 */
export function settle(semaphore: Semaphore, { holder, boot }: Told): EndDecision<"by-hand" | "daemon"> {
  if (!semaphore.holders.includes(holder)) return { kind: "not-held" };
  const hold = semaphore.holds.get(holder);
  if (isByHand(hold)) return { kind: "kept", why: "by-hand", hold };
  const rebooted = boot !== undefined && hold?.boot !== boot;
  return hold?.via === FLEET_LOCK || rebooted
    ? end(semaphore, holder)
    : { kind: "kept", why: "daemon", hold };
}

export type ConfirmDecision =
  /** `called`: somebody else confirmed it before, and may have called the reboot. */
  | { readonly kind: "confirmed"; readonly next: Semaphore; readonly called: boolean }
  /** The hold is not there any more, or it is another one. */
  | { readonly kind: "lost" }
  | FrozenDecision;

/**
 * Marks the hold `rebooting` if it is still the very one that `proof` names. `mark` stands for who confirms it, and is the
 * same at each confirm of theirs.
 */
export function confirm(
  semaphore: Semaphore,
  proof: HoldProof,
  mark: string,
  ruled: Ruled,
): ConfirmDecision {
  const hold = semaphore.holds.get(proof.holder);
  if (hold === undefined || !isProven(hold, proof)) return { kind: "lost" };
  const stop = frozen(semaphore, ruled);
  if (stop !== undefined) return stop;
  const called = hold.phase === REBOOTING && hold.confirm !== mark;
  const confirmed = { ...hold, phase: REBOOTING, confirm: called ? SHARED : mark };
  const holds = new Map(semaphore.holds).set(proof.holder, confirmed);
  return { kind: "confirmed", next: { ...semaphore, holds }, called };
}

function isProven(hold: Hold, { boot, grant }: HoldProof): boolean {
  return hold.boot === boot && hold.grant === grant;
}

/** How the end of a hold was decided, and why it was kept. Only `released` changes the document. */
export type EndDecision<Why = never> =
  | { readonly kind: "released"; readonly next: Semaphore; readonly hold: Hold | undefined }
  | { readonly kind: "not-held" }
  | { readonly kind: "kept"; readonly why: Why; readonly hold: Hold | undefined };

export type ReleaseDecision = EndDecision<
  Extract<Ownership, { kind: "ours" | "by-hand" | "other-host" }>
>;

/** First of three ways in which a hold ends: its machine has rebooted since. {@linkcode settle} is the same through a server. */
export function release(semaphore: Semaphore, machine: Machine): ReleaseDecision {
  const owner = ownership(semaphore, machine);
  if (owner.kind === "none") return { kind: "not-held" };
  return owner.kind === "earlier-boot"
    ? end(semaphore, machine.id)
    : { kind: "kept", why: owner, hold: owner.hold };
}

export type CancelDecision = EndDecision<"another-grant" | "rebooting">;

/**
 * Second way: its owner does not want it any more. Kept where somebody else than `mark` has confirmed it: a reboot of
 * theirs may be under way.
 */
export function cancel(
  semaphore: Semaphore,
  proof: HoldProof,
  mark: string | undefined,
): CancelDecision {
  if (!semaphore.holders.includes(proof.holder)) return { kind: "not-held" };
  const hold = semaphore.holds.get(proof.holder);
  if (hold === undefined || !isProven(hold, proof)) return { kind: "kept", why: "another-grant", hold };
  if (hold.phase === REBOOTING && (mark === undefined || hold.confirm !== mark)) {
    return { kind: "kept", why: "rebooting", hold };
  }
  return end(semaphore, proof.holder);
}

/** Third way, and there is no other: an administrator says so. */
export function unlock(semaphore: Semaphore, holder: string): EndDecision {
  return semaphore.holders.includes(holder) ? end(semaphore, holder) : { kind: "not-held" };
}

function end(semaphore: Semaphore, holder: string): EndDecision {
  const holds = new Map(semaphore.holds);
  holds.delete(holder);
  const holders = semaphore.holders.filter((name) => name !== holder);
  return { kind: "released", next: { ...semaphore, holders, holds }, hold: semaphore.holds.get(holder) };
}

/** Sets how many may hold a slot at once. Below the number of holders it frees nobody: see {@linkcode available}. */
export function setMax(semaphore: Semaphore, max: number): Semaphore {
  if (!isCount(max)) throw new SemaphoreError([`max is ${max}, not a whole number from 0 to ${MAX_LIMIT}`]);
  return { ...semaphore, max };
}

/** Stops new grants; who holds a slot goes on. A group that is paused already gets the new reason. */
export function pause(semaphore: Semaphore, paused: Pause): Semaphore {
  return { ...semaphore, paused };
}

/** Allows grants again. */
export function resume({ paused: _, ...semaphore }: Semaphore): Semaphore {
  return semaphore;
}

/** Whether a hold that a boot is to end has lasted longer than `limitMs`. `now` in milliseconds since the epoch. */
export function isOverdue(hold: Hold | undefined, now: number, limitMs: number): boolean {
  if (isByHand(hold) || hold?.since === undefined) return false;
  return now - Temporal.Instant.from(hold.since).epochMilliseconds > limitMs;
}

/** The machines whose reboot takes longer than `limitMs`. `now` in milliseconds since the epoch. */
export function overdueHolders({ holders, holds }: Semaphore, now: number, limitMs: number): string[] {
  return holders.filter((id) => isOverdue(holds.get(id), now, limitMs));
}
