/**
 * One watch over HTTP: a stream of events that is opened again whenever it ends or falls silent, until the watch is
 * closed. The server says `missed` when a new one has begun.
 */

import type { HttpConnection } from "./connection.ts";
import { backoffMs } from "../backoff.ts";
import type { Change, KeyRange, Watch } from "../store.ts";
import { decodeChange, HEARTBEAT_MS, WireFault } from "../store_wire.ts";

/** The pause before a new stream after one ended or could not be opened. */
const PAUSE_MS = { first: 200, last: 5_000 };
/** How long there may be silence: two heartbeats, and some. */
const SILENCE_MS = 2 * HEARTBEAT_MS + 5_000;
/** When what the server refused is asked for again; lengthened by up to a half. */
const REFUSED_MS = 300_000;
/** The longest event, in UTF-16 code units. */
const EVENT_LIMIT = 16 * 1024 * 1024;

/** See {@linkcode Store.watch}. */
export function watchHttp(
  connection: HttpConnection,
  range: KeyRange,
  listener: (change: Change) => void,
  after: string | undefined,
): Watch {
  const closing = new AbortController();
  let failures = 0;
  /** Where it begins, until it has begun once: what came while there was none is missed. */
  let from = after;
  let told = false;
  const tell = (change: Change) => {
    if (!closing.signal.aborted) queueMicrotask(() => !closing.signal.aborted && listener(change));
  };
  /** Reads one stream to its end; gives the pause before the next. */
  const turn = async (): Promise<number> => {
    const silence = new AbortController();
    const hear = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    hear();
    try {
      const question = { range, ...from === undefined ? {} : { after: from } };
      const reply = await connection.openWatch(question, AbortSignal.any([closing.signal, silence.signal]));
      if ("failure" in reply) {
        if (!reply.failure.refused) return backoffMs(++failures, PAUSE_MS, Math.random());
        const error = connection.error(`cannot watch ${JSON.stringify(range.from)}`, reply);
        if (!told) tell({ kind: "refused", error });
        told = true;
        return REFUSED_MS * (1 + Math.random() / 2);
      }
      for await (const change of events(reply.answer, hear)) {
        failures = 0;
        from = undefined;
        told = false;
        if (change !== undefined) tell(change);
      }
    } catch (error) {
      // the stream broke; what is no event of ours comes from somebody else
      if (!(error instanceof TypeError || error instanceof DOMException || error instanceof WireFault)) {
        throw error;
      }
    } finally {
      clearTimeout(timer);
    }
    return backoffMs(++failures, PAUSE_MS, Math.random());
  };
  const run = async () => {
    while (!closing.signal.aborted && !connection.closed) {
      const pauseMs = await turn();
      if (closing.signal.aborted || connection.closed) return;
      await pause(pauseMs, closing.signal);
    }
  };
  run();
  return { close: () => closing.abort() };
}

/** Resolves after so long, or when `signal` aborts. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}

/** The events of a stream; `undefined` for a comment. `hear` is called whenever anything comes. */
async function* events(response: Response, hear: () => void): AsyncGenerator<Change | undefined> {
  const type = response.headers.get("content-type") ?? "";
  if (!type.startsWith("text/event-stream") || response.body === null) {
    await response.body?.cancel();
    throw new WireFault("the answer is no stream of events");
  }
  let rest = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    hear();
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > EVENT_LIMIT) throw new WireFault("an event is too long");
    for (const line of lines) {
      if (line.startsWith("data: ")) yield decodeChange(line.slice("data: ".length));
      else if (line.startsWith(":")) yield undefined;
    }
  }
}
