/**
 * The past of one key, as far as etcd has kept it: told by a watch that begins at the first revision and ends at the last
 * that the key has now. Where etcd has dropped the beginning (a compaction), it begins with what the key was then, and is
 * not complete: an earlier life of the key may be gone without a trace.
 */

import type { IKeyValue, IWatchRequest, IWatchResponse } from "etcd3/lib/rpc.js";
import { RANGE, WATCH } from "./calls.ts";
import { EtcdAnswerError, EtcdTimeoutError } from "./connection.ts";
import type { EtcdEndpoints } from "./endpoints.ts";
import type { EtcdServer, Stream } from "./server.ts";
import { bytesOf, entryOf } from "./txn.ts";
import { type CallOptions, type History, isBefore, type PastChange } from "../store.ts";

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

/** See {@linkcode Store.history}. */
export async function etcdHistory(
  endpoints: EtcdEndpoints,
  key: string,
  { timeoutMs }: CallOptions,
): Promise<History> {
  return await endpoints.ask({
    what: `cannot read the history of ${JSON.stringify(key)}`,
    timeoutMs,
    call: (server, deadlineMs) => historyAt(server, key, deadlineMs),
  });
}

async function historyAt(server: EtcdServer, key: string, deadlineMs: number): Promise<History> {
  const past = { changes: new Array<PastChange>(), cut: false };
  const { changes } = past;
  const last = (await server.call(RANGE, { key: bytesOf(key) }, deadlineMs)).kvs[0]?.mod_revision ?? null;
  let from = "1";
  for (let compactions = 0;; compactions++) {
    const compacted = await replay(server, { key, from, last, deadlineMs, past });
    if (compacted === null) {
      return { changes: past.changes, complete: compactions === 0 && !past.cut };
    }
    if (compactions === COMPACTIONS_MAX) throw dropped(compactions);
    const then = await server.call(RANGE, { key: bytesOf(key), revision: compacted }, deadlineMs);
    changes.length = 0;
    changes.push(...then.kvs.map((kv) => changeOf("Put", kv)));
    if (last !== null && changes.at(-1)?.revision === last) return { changes, complete: false };
    from = String(BigInt(compacted) + 1n);
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
