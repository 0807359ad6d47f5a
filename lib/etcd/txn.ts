/**
 * What the contract of a store says, in the words of etcd: queries as Range requests, a transaction as a Txn, and what
 * comes back as entries and views. Pure.
 *
 * One word is missing in etcd: "no key of the range was created before X, be there keys or not". A comparison of a range
 * holds when it holds for each key, and for a range without keys it is made once, against a revision of 0. So it is
 * written in one of two ways, for a range that has keys or for one that has none, and a refused Txn also answers which
 * ranges have none: a refusal is one only if each range was compared in the way that fits it.
 */

import type {
  ICompare,
  IKeyValue,
  IRangeRequest,
  IRangeResponse,
  IRequestOp,
  ITxnRequest,
  ITxnResponse,
} from "etcd3/lib/rpc.js";
import {
  type Entry,
  type Expectation,
  isOneKey,
  type KeyRange,
  type Query,
  type Transaction,
  type View,
} from "../store.ts";

/** etcd3 types bytes as the Buffer of node; the codec takes any bytes, and loading Buffer costs more than a call. */
type Bytes = NonNullable<IRangeRequest["key"]>;

/** The largest 64-bit integer would do as well: no key was created at a negative revision. */
const BEFORE_ALL = "-1";

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

export function bytesOf(text: string): Bytes {
  return ENCODER.encode(text) as Bytes;
}

export function textOf(bytes: Uint8Array): string {
  return DECODER.decode(bytes);
}

export function entryOf(kv: IKeyValue): Entry {
  return {
    key: textOf(kv.key),
    value: textOf(kv.value),
    revision: kv.mod_revision,
    created: kv.create_revision,
  };
}

export function entriesOf(response: IRangeResponse): Entry[] {
  return response.kvs.map(entryOf);
}

/** All keys that begin with `prefix`. */
export function prefixRequest(prefix: string): IRangeRequest {
  return { key: bytesOf(prefix === "" ? "\0" : prefix), range_end: afterPrefix(prefix) };
}

export function queryRequest({ range, createdBefore, order, descending, limit }: Query): IRangeRequest {
  return {
    ...rangeOf(range),
    ...limit === undefined ? {} : { limit },
    ...order === "created" || descending
      ? {
        sort_target: order === "created" ? "Create" : "Key",
        sort_order: descending ? "Descend" : "Ascend",
      }
      : {},
    ...createdBefore === undefined ? {} : { max_create_revision: before(createdBefore) },
  };
}

/** A Txn that only reads, at one moment. */
export function viewRequest(queries: readonly Query[]): ITxnRequest {
  return { success: queries.map((query) => ({ request_range: queryRequest(query) })) };
}

/** What the queries found; they are the last of the operations that were done, before `behind` others. */
export function viewOf(response: ITxnResponse, queries: readonly Query[], behind = 0): View {
  const first = response.responses.length - queries.length - behind;
  return {
    revision: response.header.revision,
    found: queries.map(({ limit }, index) => {
      const entries = entriesOf(rangeResponse(response, first + index));
      // to etcd a limit of 0 is none
      return limit === undefined ? entries : entries.slice(0, limit);
    }),
  };
}

/** The ranges of a transaction that can be compared in two ways. */
export function openRanges({ expect }: Transaction): KeyRange[] {
  return expect.flatMap((expectation) =>
    "range" in expectation && expectation.noneCreatedBefore !== null ? [expectation.range] : []
  );
}

/**
 * A transaction as one Txn.
 *
 * @param empty for each of {@linkcode openRanges}, whether it is compared as one that has no keys
 */
export function txnRequest(transaction: Transaction, empty: readonly boolean[]): ITxnRequest {
  const reads = (queries: readonly Query[]) =>
    queries.map((query): IRequestOp => ({ request_range: queryRequest(query) }));
  const { read = [], readRefused = read } = transaction;
  let open = 0;
  return {
    compare: transaction.expect.map((expectation) =>
      "range" in expectation && expectation.noneCreatedBefore !== null
        ? rangeCompare(expectation.range, expectation.noneCreatedBefore, empty[open++] ?? false)
        : compare(expectation)
    ),
    success: [
      ...transaction.put.map(({ key, value, lease }): IRequestOp => ({
        request_put: {
          key: bytesOf(key),
          value: bytesOf(value),
          ...lease === undefined ? {} : { lease },
        },
      })),
      ...(transaction.remove ?? []).map((key): IRequestOp => ({
        request_delete_range: { key: bytesOf(key) },
      })),
      ...reads(read),
    ],
    failure: [
      ...reads(readRefused),
      ...openRanges(transaction).map((range): IRequestOp => ({
        request_range: { ...rangeOf(range), limit: 1, keys_only: true },
      })),
    ],
  };
}

/** Which of {@linkcode openRanges} have no keys, as a refused Txn found them. */
export function emptyRanges(response: ITxnResponse, count: number): boolean[] {
  const first = response.responses.length - count;
  return Array.from({ length: count }, (_, index) => rangeResponse(response, first + index).kvs.length === 0);
}

function compare(expectation: Expectation): ICompare {
  if ("range" in expectation) return rangeCompare(expectation.range, "0", true);
  const { key, revision } = expectation;
  return {
    key: bytesOf(key),
    result: "Equal",
    ...revision === null
      ? { target: "Create", create_revision: "0" }
      : { target: "Mod", mod_revision: revision },
  };
}

function rangeCompare(range: KeyRange, noneCreatedBefore: string, empty: boolean): ICompare {
  return {
    ...rangeOf(range),
    target: "Create",
    ...empty
      ? { result: "Equal", create_revision: "0" }
      : { result: "Greater", create_revision: String(BigInt(noneCreatedBefore) - 1n) },
  };
}

function rangeResponse(response: ITxnResponse, index: number): IRangeResponse {
  const found = response.responses[index]?.response_range;
  if (!found) throw new RangeError("etcd answered a transaction with less than was asked");
  return found;
}

/** The last revision before this one; to etcd a bound of 0 is none. */
function before(revision: string): string {
  const last = BigInt(revision) - 1n;
  return last > 0n ? String(last) : BEFORE_ALL;
}

export function rangeOf({ from, to }: KeyRange): { key: Bytes; range_end?: Bytes } {
  // no key is shorter than one byte
  const key = bytesOf(from === "" ? "\0" : from);
  if (isOneKey({ from, to })) return { key };
  // as an end, these two mean something else to etcd; nothing lies between a key and itself
  if (to === "" || to === "\0") return { key, range_end: key };
  return { key, range_end: bytesOf(to) };
}

/** The first key that no longer begins with `prefix`, as etcd wants it: `\0` stands for the end of all keys. */
function afterPrefix(prefix: string): Bytes {
  const bytes = bytesOf(prefix);
  for (let last = bytes.length - 1; last >= 0; last--) {
    const byte = bytes[last] ?? 0xff;
    if (byte < 0xff) return Uint8Array.from([...bytes.subarray(0, last), byte + 1]) as Bytes;
  }
  return bytesOf("\0");
}
