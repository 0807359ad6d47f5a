/**
 * The document of a semaphore: reading and writing its JSON.
 *
 * Fields that this version does not know, and numbers that a double cannot hold, survive a rewrite as they were. A
 * document is checked when it is read and again before it is written; one that contradicts itself is refused with every
 * fault, never guessed at. `repair.ts` is the way back.
 */

import {
  available,
  compareCodePoints,
  type Hold,
  holderFault,
  isCount,
  MAX_LIMIT,
  type Semaphore,
  SemaphoreError,
} from "./semaphore.ts";
import { holdText, type Parts, type ReadHold, takeApart } from "./document_text.ts";
import type { PlannedFreeze } from "./pause.ts";

const HOLD_FIELDS = [
  "host",
  "boot",
  "via",
  "since",
  "by",
  "reason",
  "phase",
  "grant",
  "memory",
  "back",
  "trouble",
  "confirm",
] as const;
const PAUSE_FIELDS = ["since", "by", "reason", "until"] as const;
const FREEZE_FIELDS = ["from", "until", "name", "by", "since"] as const;
const CHANGE_FIELDS = ["at", "by", "what", "machine", "reason"] as const;
/** Fields that hold an instant. */
const INSTANT_FIELDS: readonly string[] = ["since", "at", "until", "back", "from"];

/**
 * Reads a document. Throws {@linkcode SemaphoreError} with every fault of a document that is not a semaphore or that
 * contradicts itself.
 */
export function parseSemaphore(text: string): Semaphore {
  if (text.length < LONG_TEXT) return parseShort(text);
  if (lastParsed?.text !== text) lastParsed = { text, ...parseLong(text, lastParsed?.read) };
  return lastParsed.semaphore;
}

/** From how many characters on a document is worth remembering: a short one, such as that of all groups, drives none out. */
const LONG_TEXT = 2_000;
/**
 * Who reads a document mostly has just written it, or read it before, or one that differs by a hold; a document of many
 * holds takes long to check.
 */
let lastParsed: { readonly text: string } & ReturnType<typeof parseLong> | undefined;

/** So many short documents are remembered: those of the groups that somebody changes now. */
const SHORT_MAX = 16;
const shortParsed = new Map<string, Semaphore>();

function parseShort(text: string): Semaphore {
  const known = shortParsed.get(text);
  if (known !== undefined) return known;
  const semaphore = parseAnew(text);
  for (const oldest of shortParsed.keys()) {
    if (shortParsed.size < SHORT_MAX) break;
    shortParsed.delete(oldest);
  }
  shortParsed.set(text, semaphore);
  return semaphore;
}

function parseAnew(text: string): Semaphore {
  const { holds, ...others } = parseObject(text);
  return assembled(others, (names, faults) => readHolds(holds, names, faults));
}

/** `known`: the holds of a document that was read before; they are not checked again where they still stand there. */
function parseLong(
  text: string,
  known: readonly ReadHold[] = [],
): { readonly semaphore: Semaphore; readonly read: readonly ReadHold[] } {
  const parts = takeApart(text, known);
  const rest = parts && restOf(parts);
  if (rest === undefined) return { semaphore: parseAnew(text), read: [] };
  const read: ReadHold[] = [];
  const sound = new Set(known.map(({ id }) => id));
  const semaphore = assembled({ ...rest, holders: parts?.holders }, (names, faults) => {
    for (const part of parts?.holds ?? []) {
      const one = "text" in part ? part : readHold(...part, faults);
      if (one === undefined) continue;
      if (!names.has(one.id)) faults.push(notHeld(one.id));
      read.push(one);
    }
    return new Map(read.map(({ id, hold }) => [id, hold]));
  }, sound);
  return { semaphore, read };
}

/** What else stands there; `undefined`: not as we write it, since it is no JSON, or has the same field twice. */
function restOf(parts: Parts): Record<string, unknown> | undefined {
  try {
    const rest = parseObject(parts.rest);
    return "holders" in rest || "holds" in rest ? undefined : rest;
  } catch (error) {
    if (error instanceof SemaphoreError) return undefined;
    throw error;
  }
}

/** A hold that is not known yet. Its text is a copy, which does not keep the whole document in memory. */
function readHold(id: string, value: unknown, faults: string[]): ReadHold | undefined {
  const hold = readRecord(value, HOLD_FIELDS, nameOf(id), faults);
  return hold && { id, hold, text: holdText(id, hold, flat) };
}

/**
 * The semaphore of the fields of a document, but for the holds, which `holdsOf` reads. `sound`: names that were checked before.
 * Throws {@linkcode SemaphoreError}.
 */
function assembled(
  { semaphore: count, max, holders, paused, freezes, changed, ...extra }: Record<string, unknown>,
  holdsOf: (names: ReadonlySet<string>, faults: string[]) => Map<string, Hold>,
  sound: ReadonlySet<unknown> = new Set(),
): Semaphore {
  const faults: string[] = [];
  if (!isCount(max)) faults.push(`"max" is ${show(max)}, not a whole number from 0 to ${MAX_LIMIT}`);
  const names = readHolders(holders, sound, faults);
  if (isCount(max) && names !== undefined && count !== max - names.length) {
    faults.push(
      `"semaphore" is ${show(count)}, but max ${max} minus ${names.length} holders is ${max - names.length}`,
    );
  }
  const details = holdsOf(new Set(names), faults);
  const pause = readOptional(paused, PAUSE_FIELDS, `"paused"`, faults);
  const frozen = readFreezes(freezes, faults);
  const last = readOptional(changed, CHANGE_FIELDS, `"changed"`, faults);
  if (faults.length > 0 || !isCount(max) || names === undefined) throw new SemaphoreError(faults);
  return {
    max,
    holders: names,
    holds: details,
    ...(pause ? { paused: pause } : {}),
    ...(frozen.length > 0 ? { freezes: frozen } : {}),
    ...(last ? { changed: last } : {}),
    extra,
  };
}

/**
 * Writes a document, and checks it before: a rule that made a wrong one is a bug, and must not reach the store.
 */
export function serializeSemaphore(semaphore: Semaphore): string {
  const { max, holders, holds, paused, freezes = [], changed, extra } = semaphore;
  const head = JSON.stringify({ semaphore: available(semaphore), max, holders }).slice(0, -1);
  const details = [...holds].map(([id, hold]) => holdText(id, hold, flat)).join();
  const tail = JSON.stringify({
    ...(paused ? { paused: flat(paused) } : {}),
    ...(freezes.length > 0 ? { freezes: freezes.map(flat) } : {}),
    ...(changed ? { changed: flat(changed) } : {}),
    ...extra,
  }).slice(1);
  const text = `${head}${details === "" ? "" : `,"holds":{${details}}`}${tail === "}" ? "" : ","}${tail}`;
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

function readHolders(
  value: unknown,
  sound: ReadonlySet<unknown>,
  faults: string[],
): string[] | undefined {
  // the old program wrote null for an empty list
  const list = value ?? [];
  if (!Array.isArray(list)) {
    faults.push(`"holders" is ${show(value)}, not a list`);
    return undefined;
  }
  const names: string[] = [];
  for (const name of list) {
    const fault = sound.has(name) ? undefined : holderFault(name);
    if (fault !== undefined) faults.push(`"holders" has ${show(name)}: ${fault}`);
    else names.push(name);
  }
  for (let i = 1; i < names.length; i++) {
    const order = compareCodePoints(names[i - 1] ?? "", names[i] ?? "");
    if (order === 0) faults.push(`"holders" has ${show(names[i])} twice`);
    if (order > 0) {
      faults.push(`"holders" is not sorted: ${show(names[i - 1])} comes before ${show(names[i])}`);
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
    if (!holders.has(id)) faults.push(notHeld(id));
    const record = readRecord(hold, HOLD_FIELDS, nameOf(id), faults);
    if (record) holds.set(id, record);
  }
  return holds;
}

function nameOf(id: string): string {
  return `"holds" of ${show(id)}`;
}

function notHeld(id: string): string {
  return `"holds" has ${show(id)}, which is not in "holders"`;
}

function readFreezes(value: unknown, faults: string[]): PlannedFreeze[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) {
    faults.push(`"freezes" is ${show(value)}, not a list`);
    return [];
  }
  const names = new Set<string>();
  return value.flatMap((one, index) => {
    const what = `"freezes" no. ${index + 1}`;
    const before = faults.length;
    const record = readRecord(one, FREEZE_FIELDS, what, faults);
    if (record === undefined || faults.length > before) return [];
    const { from, until, name } = record;
    if (from === undefined || until === undefined || name === undefined) {
      faults.push(`${what} is ${show(one)}, without "from", "until" or "name"`);
      return [];
    }
    if (Temporal.Instant.compare(from, until) >= 0) {
      faults.push(`${what} ends before it begins: ${show(one)}`);
    }
    if (names.has(name)) faults.push(`"freezes" has ${show(name)} twice`);
    names.add(name);
    return [{ ...record, from, until, name }];
  });
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
    else if (typeof content !== "string") {
      faults.push(`"${name}" in ${what} is ${show(content)}, not a string`);
    } else if (INSTANT_FIELDS.includes(name) && !isInstant(content)) {
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
