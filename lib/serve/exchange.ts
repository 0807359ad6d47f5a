/**
 * One request and its answer: reads the body up to its limit, asks the route, and writes what comes back, a stream no
 * faster than it is read. Nothing of a failure but its request id reaches the caller.
 */

import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Answer, Asked, Caller, Route } from "./door.ts";

/** The server's own refusals: why, for programs. */
export type RefusalKind =
  | "bad_request"
  | "unauthenticated"
  | "forbidden"
  | "not_found"
  | "method_not_allowed"
  | "timeout"
  | "too_large"
  | "rate_limited"
  | "unavailable"
  | "internal";

/** A refusal in the words of the route, or in a line of text. */
export function refusal(
  route: Route | undefined,
  status: number,
  kind: RefusalKind,
  value: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  const worded = route?.refusal?.(status, kind, value) ??
    { status, kind, headers: { "content-type": "text/plain; charset=utf-8" }, body: `${value}\n` };
  return { ...worded, kind: worded.kind ?? kind, headers: { ...worded.headers, ...headers } };
}

/** What it takes to answer a request. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly route: Route;
  readonly path: string;
  readonly search: string;
  readonly caller: Caller;
  readonly address: string;
  readonly requestId: string;
  /** Why the route is not asked: answered without waiting for the body. */
  readonly refused?: Answer | undefined;
}

/** How an exchange ended: with what answer, or that nobody waited for it any more. */
export type Outcome = { readonly answer: Answer; readonly error?: unknown } | "gone";

/** Running: can be ended from outside. */
export interface Running {
  /** Ends a stream; aborts what the route was told to look at. What the route answers after it is still sent. */
  end(): void;
}

/** So much is read of a body that nobody wants, in bytes. */
const DISCARD_MAX = 1024 * 1024;

/** Answers; calls `done` once, when the answer was handed over or nobody waits for it. */
export function exchange(given: Exchange, done: (outcome: Outcome) => void): Running {
  const { request, response, route } = given;
  const asked = new Question(given);
  let over = false;
  const finish = (outcome: Outcome) => {
    if (over) return;
    over = true;
    done(outcome);
  };
  const send = (answer: Answer) => {
    if (response.destroyed || over) return finish("gone");
    const { body } = answer;
    if (body !== undefined && typeof body !== "string" && !(body instanceof Uint8Array)) {
      if (request.method === "HEAD") {
        writeWhole({ ...answer, body: "" }, given);
      } else {
        stream(answer, body, given, asked).then(
          () => finish({ answer }),
          (error) => finish({ answer, error }),
        );
        return;
      }
    } else writeWhole(answer, given);
    finish({ answer });
  };
  const fail = (error: unknown) => {
    const answer = refusal(
      route,
      500,
      "internal",
      `internal error; the log has it as request ${given.requestId}`,
    );
    if (!response.headersSent && !response.destroyed) writeWhole(answer, given);
    finish({ answer, error });
  };
  const answer = () => {
    try {
      const answered = route.answer(asked);
      if (!(answered instanceof Promise)) return send(answered);
      response.on("close", () => {
        if (response.writableFinished) return;
        asked.end();
        finish("gone");
      });
      answered.then(send).catch(fail);
    } catch (error) {
      fail(error);
    }
  };
  if (given.refused !== undefined) {
    discardBody(request);
    send(given.refused);
  } else {
    readBody(given, asked, answer, (refused) => refused === "gone" ? finish("gone") : send(refused));
  }
  return { end: () => asked.end() };
}

/** Reads the body, if there may be one, and goes on; or says why not. */
function readBody(
  { request, response, route }: Exchange,
  asked: Question,
  go: () => void,
  stop: (answer: Answer | "gone") => void,
): void {
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  if (encoding === undefined && (length === undefined || length === "0")) return go();
  const limit = route.bodyLimit ?? 0;
  const chunks: Uint8Array[] = [];
  let size = 0;
  let stopped = false;
  const refuse = () => {
    stopped = true;
    request.removeAllListeners("data");
    discardBody(request);
    const text = limit === 0 ? "no body is expected here" : `the body is longer than ${limit} bytes`;
    stop(refusal(route, 413, "too_large", text, { connection: "close" }));
  };
  if (Number(length) > limit) return refuse();
  // its sender may wait for a word before it sends the body (RFC 9110, 10.1.1)
  if (request.headers.expect !== undefined) response.writeContinue();
  request.on("data", (chunk: Uint8Array) => {
    size += chunk.length;
    if (size > limit) refuse();
    else chunks.push(chunk);
  });
  request.on("end", () => {
    if (stopped) return;
    stopped = true;
    asked.body = joined(chunks, size);
    go();
  });
  // the connection broke, or was cut because it was too slow
  request.on("error", () => {
    if (!stopped) stop("gone");
    stopped = true;
  });
}

/** Reads what nobody wants, so that its sender gets to read the answer; not for ever. */
function discardBody(request: IncomingMessage): void {
  let size = 0;
  request.on("error", () => {});
  request.on("data", (chunk: Uint8Array) => {
    size += chunk.length;
    if (size > DISCARD_MAX) request.destroy();
  });
}

function joined(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const [first = EMPTY] = chunks;
  if (chunks.length <= 1) return first;
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

const EMPTY = new Uint8Array();

/**
 * Header by header and the body in one call: then `node:http` writes both at once, as one text, where the body is one. With
 * `writeHead` before it they would be two writes, gathered by a cork that is only pulled when the turn is over.
 */
function writeWhole(
  { status, headers, body = "" }: Answer,
  { request, response, requestId }: Exchange,
): void {
  const whole = typeof body === "string" || body instanceof Uint8Array ? body : "";
  response.statusCode = status;
  response.setHeader("x-request-id", requestId);
  for (const name in headers) response.setHeader(name, headers[name] ?? "");
  // an answer to HEAD has none by itself
  if (request.method === "HEAD" && status !== 204) {
    response.setHeader("content-length", Buffer.byteLength(whole));
  }
  response.end(whole);
}

/** Writes a stream, and waits whenever its reader is behind. */
async function stream(
  { status, headers }: Answer,
  body: AsyncIterable<string>,
  { response, requestId }: Exchange,
  asked: Question,
): Promise<void> {
  response.writeHead(status, { "x-request-id": requestId, ...headers });
  response.flushHeaders();
  const iterator = body[Symbol.asyncIterator]();
  const ended = new Promise<"ended">((resolve) => {
    if (asked.gone.aborted) resolve("ended");
    else asked.gone.addEventListener("abort", () => resolve("ended"));
  });
  response.on("close", () => asked.end());
  try {
    while (!asked.gone.aborted) {
      const next = await Promise.race([iterator.next(), ended]);
      if (next === "ended" || next.done) break;
      if (response.write(next.value)) continue;
      await Promise.race([new Promise((resolve) => response.once("drain", resolve)), ended]);
    }
  } finally {
    // not awaited: one that waits for something would never come back
    iterator.return?.().catch(() => {});
    response.end();
  }
}

/** What the route is given. What costs something is made when it is asked for. */
class Question implements Asked {
  body: Uint8Array = EMPTY;
  /** A field, since doors take it out of what they are asked. */
  readonly header = (name: string): string | undefined => {
    const value = this.given.request.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  };
  #query: URLSearchParams | undefined;
  #gone: AbortController | undefined;
  #ended = false;

  constructor(private readonly given: Exchange) {}

  get method(): string {
    return this.given.request.method ?? "";
  }
  get path(): string {
    return this.given.path;
  }
  get query(): URLSearchParams {
    return this.#query ??= new URLSearchParams(this.given.search);
  }
  get caller(): Caller {
    return this.given.caller;
  }
  get address(): string {
    return this.given.address;
  }
  get requestId(): string {
    return this.given.requestId;
  }
  get gone(): AbortSignal {
    this.#gone ??= new AbortController();
    if (this.#ended || this.given.response.destroyed) this.#gone.abort();
    return this.#gone.signal;
  }
  end(): void {
    this.#ended = true;
    this.#gone?.abort();
  }
}
