/**
 * The semaphore of a group: the document, and the rules by which it changes.
 *
 * Everything here is a pure function of a document and a request. The three fields of the old locksmith
 * (`semaphore`, `max`, `holders`) keep their meaning and their place; `holds` says who, since when and why, and
 * `paused` stops new grants. What a newer version or another program wrote beside them survives every change.
 *
 * A document that contradicts itself is never guessed at: reading refuses it, and `repair.ts` is the way back.
 */

/** What is recorded of a holder. A holder that another program entered may have none of it. */
export interface Hold {
  /** The host name, for people. */
  readonly host?: string;
  /**
   * The boot id under which the slot was taken. A later boot under another id gives the slot back. A hold without
   * one was taken by hand, and only by hand it ends.
   */
  readonly boot?: string;
  /** When the slot was granted: an instant, ISO 8601 in UTC. */
  readonly since?: string;
  /** Who asked for it: the daemon, or an administrator and from where. */
  readonly by?: string;
  readonly reason?: string;
  /** How far the machine is: {@linkcode GRANTED} or {@linkcode REBOOTING}; a newer version may know more. */
  readonly phase?: string;
  /** A random mark of the request that took the slot: it tells a lost reply from somebody else's grant. */
  readonly grant?: string;
  /** Fields that this version does not know. */
  readonly extra: Readonly<Record<string, unknown>>;
}

/** The slot is taken. */
export const GRANTED = "granted";
/** The last step before the reboot call was committed. */
export const REBOOTING = "rebooting";

/** Why and since when no new slot is granted. */
export interface Pause {
  readonly since?: string;
  readonly by?: string;
  readonly reason?: string;
  readonly extra: Readonly<Record<string, unknown>>;
}

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
  | "release"
  | "cancel"
  | "unlock"
  | "set-max"
  | "pause"
  | "resume"
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

// ---------------------------------------------------------------------------------------------- reading and writing

const HOLD_FIELDS = ["host", "boot", "since", "by", "reason", "phase", "grant"] as const;
const PAUSE_FIELDS = ["since", "by", "reason"] as const;
const CHANGE_FIELDS = ["at", "by", "what", "machine", "reason"] as const;
/** Fields that hold an instant. */
const INSTANT_FIELDS: readonly string[] = ["since", "at"];

/**
 * Reads a document. Throws {@linkcode SemaphoreError} with every fault of a document that is not a semaphore or that
 * contradicts itself.
 */
export function parseSemaphore(text: string): Semaphore {
  if (lastParsed?.text !== text) lastParsed = { text, semaphore: parseAnew(text) };
  return lastParsed.semaphore;
}

/** Who reads a document mostly has just written it, or read it before; a document of many holds takes long to read. */
let lastParsed: { readonly text: string; readonly semaphore: Semaphore } | undefined;

function parseAnew(text: string): Semaphore {
  const { semaphore: count, max, holders, holds, paused, changed, ...extra } = parseObject(text);
  const faults: string[] = [];
  if (!isCount(max)) faults.push(`"max" is ${show(max)}, not a whole number from 0 to ${MAX_LIMIT}`);
  const names = readHolders(holders, faults);
  if (isCount(max) && names !== undefined && count !== max - names.length) {
    faults.push(
      `"semaphore" is ${show(count)}, but max ${max} less ${names.length} holders is ${max - names.length}`,
    );
  }
  const details = readHolds(holds, new Set(names), faults);
  const pause = readOptional(paused, PAUSE_FIELDS, `"paused"`, faults);
  const last = readOptional(changed, CHANGE_FIELDS, `"changed"`, faults);
  if (faults.length > 0 || !isCount(max) || names === undefined) throw new SemaphoreError(faults);
  return {
    max,
    holders: names,
    holds: details,
    ...(pause ? { paused: pause } : {}),
    ...(last ? { changed: last } : {}),
    extra,
  };
}

/**
 * Writes a document, and checks it before: a rule that made a wrong one is a bug, and must not reach the store.
 */
export function serializeSemaphore(semaphore: Semaphore): string {
  const { max, holders, holds, paused, changed, extra } = semaphore;
  const text = JSON.stringify({
    semaphore: available(semaphore),
    max,
    holders,
    ...(holds.size > 0 ? { holds: fromEntries([...holds].map(([id, hold]) => [id, flat(hold)])) } : {}),
    ...(paused ? { paused: flat(paused) } : {}),
    ...(changed ? { changed: flat(changed) } : {}),
    ...extra,
  });
  parseSemaphore(text);
  return text;
}

/** The JSON object in `text`, numbers that a double cannot hold kept as they are. Throws {@linkcode SemaphoreError}. */
export function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = UNUSUAL_NUMBER.test(text) ? JSON.parse(text, keepNumbers) : JSON.parse(text);
  } catch (error) {
    throw new SemaphoreError([`it is not JSON (${error instanceof Error ? error.message : error})`]);
  }
  if (!isObject(value)) throw new SemaphoreError([`it is ${show(value)}, not a JSON object`]);
  return value;
}

/** Whether a text may have a number that is not written as a double would be; most have none, and read faster without. */
const UNUSUAL_NUMBER = /(?:"\s*:|[,[])\s*(?:-0|-?[0-9]*(?:[0-9]{16}|[0-9][.eE]))/;

/** A number whose digits a double would change stays the text it was, so that a rewrite does not alter it. */
function keepNumbers(_key: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source;
  if (typeof value !== "number" || source === undefined || String(value) === source) return value;
  return Number.isFinite(value) && Number(source) === value && !/\d{16}/.test(source)
    ? value
    : rawJson(source);
}

/** `JSON.rawJSON` (ECMAScript proposal "JSON.parse source text access"), which the type library does not have yet. */
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

function readHolders(value: unknown, faults: string[]): string[] | undefined {
  // the old program wrote null for an empty list
  const list = value ?? [];
  if (!Array.isArray(list)) {
    faults.push(`"holders" is ${show(value)}, not a list`);
    return undefined;
  }
  const names: string[] = [];
  for (const name of list) {
    const fault = holderFault(name);
    if (fault !== undefined) faults.push(`"holders" has ${show(name)}: ${fault}`);
    else names.push(name);
  }
  for (let i = 1; i < names.length; i++) {
    const order = compareCodePoints(names[i - 1] ?? "", names[i] ?? "");
    if (order === 0) faults.push(`"holders" has ${show(names[i])} twice`);
    if (order > 0) {
      faults.push(`"holders" is not sorted: ${show(names[i - 1])} stands before ${show(names[i])}`);
    }
  }
  return names.length === list.length ? names : undefined;
}

function readHolds(value: unknown, holders: ReadonlySet<string>, faults: string[]): Map<string, Hold> {
  const holds = new Map<string, Hold>();
  if (value === undefined) return holds;
  if (!isObject(value)) {
    faults.push(`"holds" is ${show(value)}, not an object`);
    return holds;
  }
  for (const [id, hold] of Object.entries(value)) {
    if (!holders.has(id)) faults.push(`"holds" has ${show(id)}, which is not among "holders"`);
    const record = readRecord(hold, HOLD_FIELDS, `"holds" of ${show(id)}`, faults);
    if (record) holds.set(id, record);
  }
  return holds;
}

function readOptional<Field extends string>(
  value: unknown,
  fields: readonly Field[],
  what: string,
  faults: string[],
) {
  return value === undefined ? undefined : readRecord(value, fields, what, faults);
}

/** An object of optional texts, some of which are instants; other fields go to `extra`. */
function readRecord<Field extends string>(
  value: unknown,
  fields: readonly Field[],
  what: string,
  faults: string[],
): { [F in Field]?: string } & { extra: Record<string, unknown> } | undefined {
  if (!isObject(value)) {
    faults.push(`${what} is ${show(value)}, not an object`);
    return undefined;
  }
  const known: { [F in Field]?: string } = {};
  const extra: [string, unknown][] = [];
  for (const [name, content] of Object.entries(value)) {
    const field = fields.find((field) => field === name);
    if (field === undefined) extra.push([name, content]);
    else if (typeof content !== "string") faults.push(`"${name}" in ${what} is ${show(content)}, not a text`);
    else if (INSTANT_FIELDS.includes(name) && !isInstant(content)) {
      faults.push(`"${name}" in ${what} is ${show(content)}, not a time such as 2015-05-21T23:00:00Z`);
    } else known[field] = content;
  }
  return { ...known, extra: fromEntries(extra) };
}

/** Like `Object.fromEntries`, typed for what {@linkcode Object.entries} gives. Keeps a key called `__proto__`. */
function fromEntries(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  return Object.fromEntries(entries);
}

/** A record as it is written: what is known, and beside it what is not. */
export function flat<T extends { readonly extra: Readonly<Record<string, unknown>> }>(
  { extra, ...known }: T,
) {
  return { ...known, ...extra };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether `value` can be a max. */
export function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_LIMIT;
}

/** As we write them: no need to ask further. */
const USUAL_INSTANT =
  /^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$/;

function isInstant(text: string): boolean {
  if (USUAL_INSTANT.test(text)) return true;
  try {
    Temporal.Instant.from(text);
    return true;
  } catch {
    return false;
  }
}

/** A value in a message: as JSON, and short. */
function show(value: unknown): string {
  const text = value === undefined ? "missing" : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
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
  if (typeof name !== "string") return "a holder's name is a text";
  if (name.trim() === "") return "a holder's name must not be empty";
  if (name !== name.trim()) return "a holder's name must not begin or end with a blank";
  if (name.length > HOLDER_LENGTH_LIMIT) {
    return `a holder's name must not be longer than ${HOLDER_LENGTH_LIMIT}`;
  }
  // deno-lint-ignore no-control-regex -- these are what is looked for
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(name)) {
    return "a holder's name must not have control characters";
  }
  if (!name.isWellFormed()) return "a holder's name must be well-formed Unicode";
  return undefined;
}

// ------------------------------------------------------------------------------------------------------------ rules

/** What a request for a slot brings along: the holder's name and what shall be recorded of it. */
export interface AcquireRequest {
  readonly holder: string;
  readonly hold: Hold;
}

/** What {@linkcode acquire} found. Only `granted` changes the document. */
export type AcquireDecision =
  | { readonly kind: "granted"; readonly next: Semaphore }
  /** The holder has a slot already; without `hold` nothing is known of it but the name. */
  | { readonly kind: "held"; readonly hold: Hold | undefined }
  | { readonly kind: "full"; readonly available: number }
  | { readonly kind: "paused"; readonly pause: Pause };

/**
 * Takes a slot. Whether the holder has one already is asked before whether one is free: otherwise a machine whose
 * reply was lost would wait for itself.
 */
export function acquire(semaphore: Semaphore, { holder, hold }: AcquireRequest): AcquireDecision {
  const fault = holderFault(holder);
  if (fault !== undefined) throw new SemaphoreError([fault]);
  if (semaphore.holders.includes(holder)) return { kind: "held", hold: semaphore.holds.get(holder) };
  if (semaphore.paused) return { kind: "paused", pause: semaphore.paused };
  if (available(semaphore) <= 0) return { kind: "full", available: available(semaphore) };
  const holders = [...semaphore.holders, holder].sort(compareCodePoints);
  return {
    kind: "granted",
    next: { ...semaphore, holders, holds: new Map(semaphore.holds).set(holder, hold) },
  };
}

/** Names one hold of one machine: its grant, or for a hold without one the lack of it. */
export interface HoldProof {
  readonly holder: string;
  readonly boot: string;
  readonly grant: string;
}

export type ConfirmDecision =
  | { readonly kind: "confirmed"; readonly next: Semaphore }
  /** The hold is not there any more, or it is another one. */
  | { readonly kind: "lost" };

/** Marks the hold `rebooting` if it is still the very one that `proof` names. */
export function confirm(semaphore: Semaphore, proof: HoldProof): ConfirmDecision {
  const hold = semaphore.holds.get(proof.holder);
  if (!hold || hold.grant !== proof.grant || hold.boot !== proof.boot) return { kind: "lost" };
  const holds = new Map(semaphore.holds).set(proof.holder, { ...hold, phase: REBOOTING });
  return { kind: "confirmed", next: { ...semaphore, holds } };
}

/** On what ground a hold shall end. There are three, and no other. */
export type ReleaseGround =
  /** The machine has booted anew: its boot id is `boot` now. */
  | { readonly kind: "rebooted"; readonly boot: string }
  /** The owner does not want its slot any more. */
  | { readonly kind: "cancelled"; readonly boot: string; readonly grant: string }
  /** An administrator said so. */
  | { readonly kind: "administrator" };

export type ReleaseDecision =
  | { readonly kind: "released"; readonly next: Semaphore; readonly hold: Hold | undefined }
  | { readonly kind: "not-held" }
  | {
    readonly kind: "kept";
    readonly why: "by-hand" | "same-boot" | "another-grant";
    readonly hold: Hold | undefined;
  };

/** Gives the slot of `holder` back, if `ground` is true of it. */
export function release(semaphore: Semaphore, holder: string, ground: ReleaseGround): ReleaseDecision {
  if (!semaphore.holders.includes(holder)) return { kind: "not-held" };
  const hold = semaphore.holds.get(holder);
  const why = releaseObstacle(hold, ground);
  if (why !== undefined) return { kind: "kept", why, hold };
  const holds = new Map(semaphore.holds);
  holds.delete(holder);
  const holders = semaphore.holders.filter((name) => name !== holder);
  return { kind: "released", next: { ...semaphore, holders, holds }, hold };
}

function releaseObstacle(hold: Hold | undefined, ground: ReleaseGround) {
  if (ground.kind === "administrator") return undefined;
  // nothing recorded that a reboot could disprove: somebody entered it by hand
  if (hold?.boot === undefined) return "by-hand";
  if (ground.kind === "rebooted") return hold.boot === ground.boot ? "same-boot" : undefined;
  return hold.boot === ground.boot && hold.grant === ground.grant ? undefined : "another-grant";
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
  if (hold?.boot === undefined || hold.since === undefined) return false;
  return now - Temporal.Instant.from(hold.since).epochMilliseconds > limitMs;
}

/** The machines whose reboot takes longer than `limitMs`. `now` in milliseconds since the epoch. */
export function overdueHolders({ holders, holds }: Semaphore, now: number, limitMs: number): string[] {
  return holders.filter((id) => isOverdue(holds.get(id), now, limitMs));
}
