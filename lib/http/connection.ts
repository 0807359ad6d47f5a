/**
 * Requests to one server. A commit is sent once; what may come twice goes over a kept connection. Redirects are not
 * followed, and nothing is taken for an answer but what the server's own door says: a proxy or another program in its
 * place is told as such.
 */

import { CurrentAccess, type HttpAccess, UnusableError } from "./access.ts";
import { answerFailure, type HttpFailure, networkFailure, timeoutFailure } from "./failure.ts";
import { StoreError } from "../store.ts";
import {
  type Answers,
  decodeAnswer,
  encodeQuestion,
  type Questions,
  STORE_PATH,
  type StoreCall,
  TIMEOUT_LIMIT_MS,
  WireFault,
} from "../store_wire.ts";

export interface HttpOptions extends HttpAccess {
  /** `https://lock.example.net`, with the path below which the server's own begin, if there is one. */
  readonly url: string;
  /** Reads the files again. */
  readonly reload?: () => HttpAccess;
}

/** An answer, or why there is none. */
export type Reply<T> = { readonly answer: T } | { readonly failure: HttpFailure; readonly cause?: unknown };

/** The longest answer, in bytes. */
const ANSWER_LIMIT = 64 * 1024 * 1024;
/** How much of an answer is read that is none. */
const FOREIGN_LIMIT = 64 * 1024;
/** The share of the deadline that is the server's: so that it can still say what it waited for. */
const SERVER_SHARE = 0.9;

export class HttpConnection {
  readonly name: string;
  readonly #access: CurrentAccess;
  readonly #closing = new AbortController();

  constructor({ url, reload, ...access }: HttpOptions) {
    this.name = url.replace(/\/+$/, "");
    this.#access = new CurrentAccess(access, reload);
  }

  /** One question. */
  async ask<C extends keyof Answers>(
    call: C,
    question: Questions[C],
    timeoutMs: number,
  ): Promise<Reply<Answers[C]>> {
    const serverMs = Math.ceil(Math.min(TIMEOUT_LIMIT_MS, timeoutMs * SERVER_SHARE));
    const body = encodeQuestion<C>(question, serverMs);
    const deadline = AbortSignal.timeout(Math.max(0, timeoutMs));
    const sent = await this.#send(call, body, deadline);
    if ("failure" in sent) return deadline.aborted ? { failure: timeoutFailure(timeoutMs) } : sent;
    try {
      const text = await readText(sent.answer, ANSWER_LIMIT);
      if (text !== undefined) return { answer: decodeAnswer(call, text) };
    } catch (cause) {
      if (deadline.aborted) return { failure: timeoutFailure(timeoutMs), cause };
      // half an answer says nothing of what was done
      if (!(cause instanceof WireFault)) {
        return { failure: { ...networkFailure(cause), certain: false }, cause };
      }
    }
    return { failure: answerFailure({ status: 200, location: null, text: "" }, this.#access.shows) };
  }

  /** A request whose answer goes on until `signal` aborts or the connection is gone. */
  async openWatch(question: Questions["watch"], signal: AbortSignal): Promise<Reply<Response>> {
    return await this.#send("watch", encodeQuestion<"watch">(question), signal);
  }

  /** The error of what could not be done. */
  error(
    what: string,
    { failure, cause }: { readonly failure: HttpFailure; readonly cause?: unknown },
  ): StoreError {
    return new StoreError(failure.kind, `${what} at ${this.name}: ${failure.why}`, failure.hint, { cause });
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Ends what is under way. */
  close(): void {
    if (this.closed) return;
    this.#closing.abort();
    this.#access.close();
  }

  /** The beginning of an answer of 200, whose body is still to be read. */
  async #send(call: StoreCall, body: string, signal: AbortSignal): Promise<Reply<Response>> {
    if (this.closed) {
      return { failure: { kind: "failed", why: "the store is closed", certain: true } };
    }
    try {
      const { client, headers } = this.#access.get(call === "commit");
      const response = await fetch(this.name + STORE_PATH + call, {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        body,
        client,
        redirect: "manual",
        signal: AbortSignal.any([signal, this.#closing.signal]),
      });
      if (response.status === 200) return { answer: response };
      const text = await readText(response, FOREIGN_LIMIT) ?? "";
      const { status } = response;
      if (status === 401) this.#access.doubt();
      const answer = { status, location: response.headers.get("location"), text };
      return { failure: answerFailure(answer, this.#access.shows) };
    } catch (cause) {
      const failure = this.closed
        ? { kind: "failed", why: "the store was closed", certain: false } as const
        : cause instanceof UnusableError
        ? { kind: "tls", why: cause.message, hint: cause.hint, certain: true } as const
        : networkFailure(cause);
      if (failure.kind === "tls") this.#access.doubt();
      return { failure, cause };
    }
  }
}

/** The body as a text; `undefined` where it is longer than `limit` bytes, or is no UTF-8. */
async function readText(response: Response, limit: number): Promise<string | undefined> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let length = 0;
  for await (const bytes of response.body ?? []) {
    length += bytes.length;
    if (length > limit) return undefined;
    try {
      text += decoder.decode(bytes, { stream: true });
    } catch {
      return undefined;
    }
  }
  return text;
}
