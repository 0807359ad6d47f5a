/**
 * The past of one key, as far as etcd has kept it: told by a watch that begins at the first revision and ends at the last
 * that the key has now. Where etcd has dropped the beginning (a compaction), it begins with what the key was then, and is
 * not complete: an earlier life of the key may be gone without a trace.
 *
 * Where only the newest changes are wanted, the revision of the first of them is looked for: etcd counts the changes of a
 * key, and tells the count at any revision without the value.
 */

import type { IKeyValue, IWatchRequest, IWatchResponse } from "etcd3/lib/rpc.js";
import { RANGE, WATCH } from "./calls.ts";
import { EtcdAnswerError, EtcdTimeoutError } from "./connection.ts";
import type { EtcdEndpoints } from "./endpoints.ts";
import type { EtcdServer, Stream } from "./server.ts";
import { bytesOf, entryOf } from "./txn.ts";
import { type History, type HistoryOptions, isBefore, type PastChange } from "../store.ts";

/** How many changes are kept at most; older ones are dropped. */
const CHANGES_MAX = 10_000;
/** How often etcd may drop the beginning while it is being read. */
const COMPACTIONS_MAX = 3;
/**
 * Of a key that is gone nobody knows which change is the last. etcd reads its past in rounds of 100 ms; when nothing has
 * come for three of them, it is asked for its progress, and what has not come before the answer is not there. (Since
 * 3.4.25 and 3.5.8 the answer waits for the rounds by itself.)
 */
const QUIET_MS = 300;
/** How often the first of the newest changes is looked for. Half of the revisions that come into question go each time. */
const LOOKS_MAX = 64;
/** The code of gRPC for a revision that was compacted. */
const OUT_OF_RANGE = 11;

/** See {@linkcode Store.history}. */
export async function etcdHistory(
  endpoints: EtcdEndpoints,
  key: string,
  { timeoutMs, last }: HistoryOptions,
): Promise<History> {
  return await endpoints.ask({
    what: `cannot read the history of ${JSON.stringify(key)}`,
    timeoutMs,
    call: (server, deadlineMs) => historyAt(server, { key, wanted: last, deadlineMs }),
  });
}

interface Asked {
  readonly key: string;
  /** So many of the newest changes will do; `undefined`: all. */
  readonly wanted: number | undefined;
  /** By the clock of `performance`. */
  readonly deadlineMs: number;
}

async function historyAt(server: EtcdServer, { key, wanted, deadlineMs }: Asked): Promise<History> {
  const past = { changes: new Array<PastChange>(), cut: false };
  const { changes } = past;
  const now = (await server.call(RANGE, { key: bytesOf(key), keys_only: true }, deadlineMs)).kvs[0];
  const last = now?.mod_revision ?? null;
  const begin = now === undefined || wanted === undefined || Number(now.version) <= wanted
    ? null
    : await beginOfLast(server, now, wanted, deadlineMs);
  let from = begin ?? "1";
  for (let compactions = 0;; compactions++) {
    const compacted = await replay(server, { key, from, last, deadlineMs, past });
    if (compacted === null) {
      if (compactions === 0 && begin !== null) return { changes, complete: false, leftOut: true };
      return { changes, complete: compactions === 0 && !past.cut };
    }
    if (compactions === COMPACTIONS_MAX) throw dropped(compactions);
    const then = await server.call(RANGE, { key: bytesOf(key), revision: compacted }, deadlineMs);
    changes.length = 0;
    changes.push(...then.kvs.map((kv) => changeOf("Put", kv)));
    if (last !== null && changes.at(-1)?.revision === last) return { changes, complete: false };
    from = String(BigInt(compacted) + 1n);
  }
}

/**
 * The revision of the change that is `wanted`th from the end, or of one a little before it. Looks where it should be if
 * the changes came evenly, and in the middle every other time, since they need not have.
 *
 * @param now the key as it is, changed more often than that
 */
async function beginOfLast(
  server: EtcdServer,
  now: IKeyValue,
  wanted: number,
  deadlineMs: number,
): Promise<string> {
  if (wanted === 1) return now.mod_revision;
  const first = Number(now.version) - wanted + 1;
  let before = { revision: Number(now.create_revision), version: 1 };
  let after = { revision: Number(now.mod_revision), version: Number(now.version) };
  for (let look = 0; look < LOOKS_MAX && after.revision - before.revision > 1; look++) {
    const share = look % 2 === 1 ? 0.5 : (first - before.version) / (after.version - before.version);
    const inside = Math.floor(before.revision + share * (after.revision - before.revision));
    const revision = Math.min(Math.max(inside, before.revision + 1), after.revision - 1);
    const then = await changeAt(server, now, revision, deadlineMs);
    if (then === null) before = { revision, version: before.version };
    else if (then.version > first) after = then;
    else if (first - then.version <= wanted / 4) return String(then.revision);
    else before = { revision, version: then.version };
  }
  return String(before.revision);
}

/** The last change of the key at a revision, and the how manieth it was; `null`: etcd has dropped that. */
async function changeAt(
  server: EtcdServer,
  { key }: IKeyValue,
  revision: number,
  deadlineMs: number,
): Promise<{ readonly revision: number; readonly version: number } | null> {
  try {
    const request = { key, revision: String(revision), keys_only: true };
    const then = (await server.call(RANGE, request, deadlineMs)).kvs[0];
    return then === undefined ? null : { revision: Number(then.mod_revision), version: Number(then.version) };
  } catch (error) {
    if (error instanceof EtcdAnswerError && error.code === OUT_OF_RANGE) return null;
    throw error;
  }
}

interface Replay {
  readonly key: string;
  /** The first revision that is wanted. */
  readonly from: string;
  /** The last one; `null`: the key is gone. */
  readonly last: string | null;
  /** By the clock of `performance`. */
  readonly deadlineMs: number;
  /** Is added to; `cut` when it becomes too long. */
  readonly past: { readonly changes: PastChange[]; cut: boolean };
}

/** Reads the changes of a key. `null` when it has them all, else the first revision that etcd still has. */
async function replay(server: EtcdServer, wanted: Replay): Promise<string | null> {
  const { key, from, last, deadlineMs, past } = wanted;
  const { changes } = past;
  const { promise, resolve, reject } = Promise.withResolvers<string | null>();
  promise.catch(() => {}); // it may be over before it is waited for
  const leftMs = Math.max(0, deadlineMs - performance.now());
  const late = setTimeout(() => reject(new EtcdTimeoutError(leftMs)), leftMs);
  let quiet: ReturnType<typeof setTimeout> | undefined;
  let asked = false;
  const expectQuiet = () => {
    clearTimeout(quiet);
    asked = false;
    quiet = setTimeout(() => {
      asked = true;
      stream?.send({ progress_request: {} });
    }, QUIET_MS);
  };
  const isGone = () => (changes.at(-1)?.entry ?? null) === null;
  const message = (response: IWatchResponse) => {
    if (response.canceled) {
      return response.compact_revision === "0"
        ? reject(new EtcdAnswerError(0, response.cancel_reason))
        : resolve(response.compact_revision);
    }
    for (const { type, kv } of response.events) {
      if (last !== null && isBefore(last, kv.mod_revision)) break;
      changes.push(changeOf(type, kv));
      if (changes.length <= CHANGES_MAX) continue;
      changes.shift();
      past.cut = true;
    }
    const end = changes.at(-1)?.revision;
    if (last !== null && end !== undefined && !isBefore(end, last)) return resolve(null);
    if (last !== null) return;
    if (asked && response.events.length === 0 && isGone()) resolve(null);
    else expectQuiet();
  };
  const ended = (error: Error | undefined) => reject(error ?? new Error("connection closed"));
  let stream: Stream<IWatchRequest> | undefined;
  try {
    stream = await server.stream(WATCH, { message, ended }, { deadlineMs });
    // in parts: one message with a long past could be larger than any that is taken
    stream.send({ create_request: { key: bytesOf(key), start_revision: from, fragment: true } });
    return await promise;
  } finally {
    clearTimeout(late);
    clearTimeout(quiet);
    stream?.cancel();
  }
}

function changeOf(type: string, kv: IKeyValue): PastChange {
  return { revision: kv.mod_revision, entry: type === "Delete" ? null : entryOf(kv) };
}

function dropped(times: number): EtcdAnswerError {
  return new EtcdAnswerError(0, `etcd compacted what was being read, ${times} times`);
}
