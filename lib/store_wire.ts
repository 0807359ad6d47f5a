/**
 * A store over HTTP, as it travels: what {@linkcode Store} is asked and answers, as JSON. Both sides read it here: the server
 * holds what it is asked to limits, the client takes nothing for an answer that it cannot read to the end. Pure.
 *
 * Each call is a POST of one object to a path of its own below {@linkcode STORE_PATH}; its answer is 200 and one object,
 * or another code and a {@linkcode Refusal}. A watch is answered by server-sent events, each of one {@linkcode Change}.
 */

import {
  type Change,
  type CommitOutcome,
  type Entry,
  type Expectation,
  type History,
  type KeyRange,
  type Query,
  StoreError,
  type StoreErrorKind,
  type Transaction,
  type View,
} from "./store.ts";

export const STORE_PATH = "/store/v1/";
/** The calls, by the last part of their paths. */
export type StoreCall =
  | "view"
  | "list"
  | "commit"
  | "lease"
  | "lease/keep"
  | "lease/end"
  | "watch"
  | "history";

/** The longest body of a request, in bytes. */
export const REQUEST_LIMIT = 4 * 1024 * 1024;
/** The longest key and the longest value, in UTF-16 code units; etcd takes requests of 1.5 MiB. */
const KEY_LIMIT = 8_192;
const VALUE_LIMIT = 1_500_000;
/** How many expectations, writes, removals and queries a request may have: as many operations as etcd takes. */
const LIST_LIMIT = 128;
/** The longest that a server lets a store take, and that a lease may live without a sign of life, in milliseconds. */
export const TIMEOUT_LIMIT_MS = 60_000;
const TTL_LIMIT_MS = 3_600_000;
/** The most that can be asked for of the changes of a key. */
const LAST_LIMIT = 1_000_000_000;
/** How often a server says something on a watch of which there is nothing to tell, in milliseconds. */
export const HEARTBEAT_MS = 15_000;

/** What is not as the two sides agreed; the message says where, and what is allowed. */
export class WireFault extends Error {
  override readonly name = "WireFault";
}

/** What each call is asked. */
export interface Questions {
  readonly view: { readonly queries: readonly Query[] };
  readonly list: { readonly prefix: string };
  readonly commit: { readonly transaction: Transaction };
  readonly lease: { readonly ttlMs: number };
  readonly "lease/keep": { readonly id: string };
  readonly "lease/end": { readonly id: string };
  readonly watch: { readonly range: KeyRange; readonly after?: string };
  readonly history: { readonly key: string; readonly last?: number };
}

/** A question, and how long the store may take for it, in milliseconds. */
export type Timed<Question> = Question & { readonly timeoutMs: number };

/** What each call is answered, but for a watch. */
export interface Answers {
  readonly view: View;
  readonly list: { readonly entries: readonly Entry[] };
  readonly commit: CommitOutcome;
  readonly lease: { readonly id: string };
  /** `alive: false`: nobody knows it, or it is gone. */
  readonly "lease/keep": { readonly alive: boolean };
  readonly "lease/end": Readonly<Record<never, never>>;
  readonly history: History;
}

/** Why a call was not done. */
export interface Refusal {
  readonly kind: StoreErrorKind;
  readonly message: string;
  readonly hint?: string;
  /** Whether it is certain that nothing happened. */
  readonly nothingHappened: boolean;
}

/** The body of a request. */
export function encodeQuestion<C extends StoreCall>(question: Questions[C], timeoutMs?: number): string {
  return JSON.stringify({ ...question, timeoutMs });
}

/** The body of an answer. */
export function encodeAnswer<A extends keyof Answers>(call: A, answer: Answers[A]): string {
  if (call !== "commit" || !("cause" in answer)) return JSON.stringify(answer);
  const { kind, cause } = answer;
  return JSON.stringify({ kind, cause: wordsOf(cause) });
}

export function encodeRefusal(refusal: Refusal): string {
  return JSON.stringify({ error: refusal });
}

/** One event of a watch. */
export function encodeChange(change: Change): string {
  return `data: ${
    JSON.stringify(change.kind === "refused" ? { kind: "refused", error: wordsOf(change.error) } : change)
  }\n\n`;
}

function wordsOf({ kind, message, hint }: StoreError): object {
  return { kind, message, hint };
}

/** Reads what a call is asked. Throws {@linkcode WireFault}. */
export function decodeQuestion<C extends StoreCall>(call: C, body: Uint8Array): Timed<Questions[C]> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    throw new WireFault("the body is not UTF-8");
  }
  const fields = object(parse(text), "the body");
  const { timeoutMs = TIMEOUT_LIMIT_MS } = fields;
  return { ...QUESTIONS[call](fields), timeoutMs: number(timeoutMs, "timeoutMs", TIMEOUT_LIMIT_MS) };
}

/** Reads the answer to a call. Throws {@linkcode WireFault}. */
export function decodeAnswer<A extends keyof Answers>(call: A, text: string): Answers[A] {
  return ANSWERS[call](object(parse(text), "the answer"));
}

/** Reads why a call was not done; `undefined` where the text says nothing of the kind. */
export function decodeRefusal(text: string): Refusal | undefined {
  try {
    const { error } = object(parse(text), "the answer");
    const fields = object(error, "error");
    return { ...words(fields), nothingHappened: boolean(fields["nothingHappened"], "nothingHappened") };
  } catch (error) {
    if (error instanceof WireFault) return undefined;
    throw error;
  }
}

/** Reads one event of a watch, without its `data: `. Throws {@linkcode WireFault}. */
export function decodeChange(text: string): Change {
  const { kind, ...rest } = object(parse(text), "the event");
  switch (kind) {
    case "missed":
      return { kind };
    case "refused":
      return { kind, error: storeError(rest["error"]) };
    case "changed":
      return { kind, key: key(rest["key"], "key"), ...pastChange(rest, "the event") };
    default:
      throw new WireFault("the event is of no known kind");
  }
}

type Fields = Readonly<Record<string, unknown>>;

const QUESTIONS: { readonly [C in StoreCall]: (fields: Fields) => Questions[C] } = {
  view: ({ queries }) => ({ queries: list(queries, "queries", query) }),
  list: ({ prefix }) => ({ prefix: key(prefix, "prefix") }),
  commit: (fields) => ({ transaction: transaction(object(fields["transaction"], "transaction")) }),
  lease: ({ ttlMs }) => ({ ttlMs: number(ttlMs, "ttlMs", TTL_LIMIT_MS) }),
  "lease/keep": ({ id }) => ({ id: leaseId(id, "id") }),
  "lease/end": ({ id }) => ({ id: leaseId(id, "id") }),
  watch: ({ range: keys, after }) => ({
    range: range(keys, "range"),
    ...after === undefined ? {} : { after: revision(after, "after") },
  }),
  history: ({ key: name, last }) => ({
    key: key(name, "key"),
    ...last === undefined ? {} : { last: number(last, "last", LAST_LIMIT) },
  }),
};

const ANSWERS: { readonly [A in keyof Answers]: (fields: Fields) => Answers[A] } = {
  view,
  list: ({ entries }) => ({ entries: list(entries, "entries", entry, Infinity) }),
  commit: (fields) => {
    const { kind, cause } = fields;
    if (kind === "unknown") return { kind, cause: storeError(cause) };
    if (kind === "committed" || kind === "refused") return { kind, ...view(fields) };
    throw new WireFault("the answer is of no known kind");
  },
  lease: ({ id }) => ({ id: leaseId(id, "id") }),
  "lease/keep": ({ alive }) => ({ alive: boolean(alive, "alive") }),
  "lease/end": () => ({}),
  history: ({ changes, complete, leftOut }) => ({
    changes: list(changes, "changes", (item, at) => pastChange(object(item, at), at), Infinity),
    complete: boolean(complete, "complete"),
    ...leftOut === undefined || !boolean(leftOut, "leftOut") ? {} : { leftOut: true },
  }),
};

function view(fields: Fields): View {
  return {
    revision: revision(fields["revision"], "revision"),
    found: list(fields["found"], "found", (entries, at) => list(entries, at, entry, Infinity)),
  };
}

function transaction({ expect, put, remove, read, readRefused }: Fields): Transaction {
  const written = {
    expect: list(expect, "expect", expectation),
    put: list(put, "put", (item, at) => {
      const { key: name, value, lease } = object(item, at);
      return {
        key: key(name, `${at}.key`),
        value: string(value, `${at}.value`, VALUE_LIMIT),
        ...lease === undefined ? {} : { lease: leaseId(lease, `${at}.lease`) },
      };
    }),
    ...remove === undefined ? {} : { remove: list(remove, "remove", key) },
    ...read === undefined ? {} : { read: list(read, "read", query) },
    ...readRefused === undefined ? {} : { readRefused: list(readRefused, "readRefused", query) },
  };
  const keys = [...written.put.map(({ key }) => key), ...written.remove ?? []];
  if (new Set(keys).size < keys.length) throw new WireFault("put and remove name a key twice");
  return written;
}

function expectation(item: unknown, at: string): Expectation {
  const fields = object(item, at);
  const orNull = (name: string) => fields[name] === null ? null : revision(fields[name], `${at}.${name}`);
  return "range" in fields
    ? { range: range(fields["range"], `${at}.range`), noneCreatedBefore: orNull("noneCreatedBefore") }
    : { key: key(fields["key"], `${at}.key`), revision: orNull("revision") };
}

function query(item: unknown, at: string): Query {
  const { range: keys, createdBefore, order, descending, limit } = object(item, at);
  if (order !== undefined && order !== "key" && order !== "created") {
    throw new WireFault(`${at}.order is neither key nor created`);
  }
  return {
    range: range(keys, `${at}.range`),
    ...createdBefore === undefined ? {} : { createdBefore: revision(createdBefore, `${at}.createdBefore`) },
    ...order === undefined ? {} : { order },
    ...descending === undefined ? {} : { descending: boolean(descending, `${at}.descending`) },
    ...limit === undefined ? {} : { limit: number(limit, `${at}.limit`, Number.MAX_SAFE_INTEGER) },
  };
}

function range(item: unknown, at: string): KeyRange {
  const { from, to } = object(item, at);
  return { from: key(from, `${at}.from`), to: key(to, `${at}.to`) };
}

function entry(item: unknown, at: string): Entry {
  const { key: name, value, revision: last, created } = object(item, at);
  return {
    key: string(name, `${at}.key`, Infinity),
    value: string(value, `${at}.value`, Infinity),
    revision: revision(last, `${at}.revision`),
    created: revision(created, `${at}.created`),
  };
}

function pastChange(
  { revision: number, entry: item }: Fields,
  at: string,
): { readonly revision: string; readonly entry: Entry | null } {
  return {
    revision: revision(number, `${at}.revision`),
    entry: item === null ? null : entry(item, `${at}.entry`),
  };
}

function storeError(item: unknown): StoreError {
  const { kind, message, hint } = words(object(item, "error"));
  return new StoreError(kind, message, hint);
}

const KINDS: readonly StoreErrorKind[] = [
  "unreachable",
  "timeout",
  "tls",
  "authentication",
  "permission",
  "failed",
];

function words({ kind, message, hint }: Fields): Omit<Refusal, "nothingHappened"> {
  return {
    // a newer server may have kinds of its own
    kind: KINDS.find((known) => known === kind) ?? "failed",
    message: string(message, "message", Infinity),
    ...hint === undefined ? {} : { hint: string(hint, "hint", Infinity) },
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new WireFault("the body is not JSON");
  }
}

function object(value: unknown, at: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    // JSON has no other objects
    return value as Fields;
  }
  throw new WireFault(`${at} is not an object`);
}

function list<T>(
  value: unknown,
  at: string,
  item: (value: unknown, at: string) => T,
  limit: number = LIST_LIMIT,
): T[] {
  if (!Array.isArray(value)) throw new WireFault(`${at} is not a list`);
  if (value.length > limit) throw new WireFault(`${at} has ${value.length} items; allowed: ${limit}`);
  return value.map((one, index) => item(one, `${at}[${index}]`));
}

function string(value: unknown, at: string, limit: number): string {
  if (typeof value !== "string") throw new WireFault(`${at} is not a text`);
  if (value.length > limit) {
    throw new WireFault(`${at} has ${value.length} characters; allowed: ${limit}`);
  }
  return value;
}

function key(value: unknown, at: string): string {
  return string(value, at, KEY_LIMIT);
}

function revision(value: unknown, at: string): string {
  if (typeof value === "string" && /^[0-9]{1,20}$/.test(value)) return value;
  throw new WireFault(`${at} is not a revision`);
}

function leaseId(value: unknown, at: string): string {
  if (typeof value === "string" && /^[\w.:-]{1,64}$/.test(value)) return value;
  throw new WireFault(`${at} is not a lease`);
}

function boolean(value: unknown, at: string): boolean {
  if (typeof value === "boolean") return value;
  throw new WireFault(`${at} is neither true nor false`);
}

function number(value: unknown, at: string, limit: number): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= limit) return value;
  throw new WireFault(`${at} is not a whole number from 0 to ${limit}`);
}
