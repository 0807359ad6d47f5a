/**
 * Requests to a FleetLock server over HTTP, each on a connection of its own, made by the certificates as they are then. No
 * redirect is followed and no proxy is used. Each ends by a deadline whatever comes: connecting, an answer that does not
 * begin, one that does not end, one that is too long. What is no answer throws.
 */

import type { IncomingMessage } from "node:http";
import { ANSWER_LIMIT } from "./protocol.ts";
import { SlotServerError } from "../slot_server.ts";
import { tlsFault, type TlsFiles } from "./tls_fault.ts";

/** How this machine shows who it is. */
export type Login =
  | { readonly kind: "password"; readonly user: string; readonly password: string }
  | { readonly kind: "token"; readonly token: string };

export interface FleetLockOptions {
  /** The base URL without a user, a query and a last slash: `https://lock.example.net/fleet`. */
  readonly url: string;
  readonly login?: Login;
  /** PEM texts, as they are now. May throw: then what was there before is used. */
  readonly tls?: () => TlsFiles;
  /** In place of {@linkcode CONNECT_MS} and {@linkcode ANSWER_MS}. */
  readonly limits?: { readonly connectMs: number; readonly answerMs: number };
}

/** How long connecting may take, and how long an answer that nobody told to wait, in milliseconds. */
export const CONNECT_MS = 5_000;
export const ANSWER_MS = 15_000;
/** After how much silence a connection that waits is looked after, in milliseconds. */
const KEEP_ALIVE_MS = 15_000;

/** What is sent. */
export interface HttpRequest {
  readonly method: string;
  /** Below the base URL. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly gone: AbortSignal;
  /** How much longer than usual the answer may take, in milliseconds. */
  readonly waitMs?: number;
}

/** An answer of HTTP. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export class HttpServer {
  readonly #url: URL;
  readonly #limits: { readonly connectMs: number; readonly answerMs: number };
  #tls: TlsFiles = {};

  constructor(private readonly options: FleetLockOptions) {
    this.#url = new URL(options.url);
    this.#limits = options.limits ?? { connectMs: CONNECT_MS, answerMs: ANSWER_MS };
  }

  /** Sends one. Throws {@linkcode SlotServerError} if no answer came. */
  async send({ method, path, headers, body: text, gone, waitMs = 0 }: HttpRequest): Promise<HttpResponse> {
    const { protocol, hostname, port, pathname } = this.#url;
    const { connectMs } = this.#limits;
    const timeoutMs = this.#limits.answerMs + waitMs;
    const secure = protocol === "https:";
    const client = await (secure ? import("node:https") : import("node:http"));
    const host = hostname.replace(/^\[|\]$/g, "");
    const body = new TextEncoder().encode(text);
    const tls = secure ? this.#certificates() : {};
    const givenUp = () => new SlotServerError("unreachable", `${this.options.url}: the request was given up`);
    if (gone.aborted) throw givenUp();
    const { promise, resolve, reject } = Promise.withResolvers<HttpResponse>();
    const sent = client.request({
      host,
      ...(port === "" ? {} : { port: Number(port) }),
      path: pathname.replace(/\/+$/, "") + path,
      method,
      // one connection, not kept and not shared
      agent: false,
      headers: {
        "content-length": String(body.length),
        ...headers,
        ...authorization(this.options.login),
      },
      ...tls,
    });
    const end = (error: Error) => {
      reject(error);
      sent.destroy();
    };
    const late = (ms: number, what: string) =>
      end(new SlotServerError("timeout", `${this.options.url}: ${what} within ${ms / 1000} s`));
    const abort = () => end(givenUp());
    const connecting = setTimeout(() => late(connectMs, "no connection"), connectMs);
    const deadline = setTimeout(() => late(timeoutMs, "no answer"), timeoutMs);
    gone.addEventListener("abort", abort);
    sent.once(
      "socket",
      (socket) => socket.once(secure ? "secureConnect" : "connect", () => clearTimeout(connecting)),
    );
    sent.setSocketKeepAlive(true, KEEP_ALIVE_MS);
    sent.on("error", reject);
    sent.once("response", (response) => {
      clearTimeout(connecting);
      readBody(response).then(
        (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        end,
      );
    });
    sent.end(body);
    try {
      return await promise;
    } catch (error) {
      throw error instanceof SlotServerError ? error : await this.#fault(error as Error, tls);
    } finally {
      clearTimeout(connecting);
      clearTimeout(deadline);
      gone.removeEventListener("abort", abort);
      sent.destroy();
    }
  }

  /** The certificates for the next connection. Files that are just being replaced leave those that were there. */
  #certificates(): TlsFiles {
    try {
      this.#tls = this.options.tls?.() ?? {};
    } catch {
      // the next connection looks again
    }
    return this.#tls;
  }

  async #fault(error: Error & { readonly code?: string }, tls: TlsFiles): Promise<SlotServerError> {
    const { url } = this.options;
    if (this.#url.protocol === "https:") {
      const fault = await tlsFault(error, this.#url, tls);
      if (fault !== undefined) {
        return new SlotServerError("tls", `${url}: ${fault.why}`, fault.hint, { cause: error });
      }
    }
    if (error.code?.startsWith("HPE_")) {
      return new SlotServerError("protocol", `${url}: what answers does not speak HTTP`, "is it https://?", {
        cause: error,
      });
    }
    if (error instanceof AnswerError) return new SlotServerError("protocol", `${url}: ${error.message}`);
    return new SlotServerError(
      "unreachable",
      `${url}: ${WHY[error.code ?? ""] ?? error.message}`,
      undefined,
      {
        cause: error,
      },
    );
  }
}

/** What the network reports, in words. */
const WHY: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection was closed before an answer came",
  ENOTFOUND: "the host name cannot be resolved",
  EAI_AGAIN: "the host name cannot be resolved now",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "the network cannot be reached",
  ETIMEDOUT: "no connection in time",
};

/** What came is no answer. */
class AnswerError extends Error {}

/** The body of an answer; rejects for one that breaks off or is too long. */
function readBody(response: IncomingMessage): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  response.on("data", (bytes: Uint8Array) => {
    length += bytes.length;
    if (length > ANSWER_LIMIT) {
      reject(new AnswerError(`its answer is longer than ${ANSWER_LIMIT / 1024} KiB`));
    } else text += decoder.decode(bytes, { stream: true });
  });
  response.once("end", () => resolve(text));
  const broken = () => reject(new AnswerError("its answer breaks off"));
  response.once("error", broken);
  response.once("close", broken);
  return promise;
}

function authorization(login: Login | undefined): { authorization?: string } {
  switch (login?.kind) {
    case undefined:
      return {};
    case "token":
      return { authorization: `Bearer ${login.token}` };
    case "password":
      return {
        authorization: `Basic ${new TextEncoder().encode(`${login.user}:${login.password}`).toBase64()}`,
      };
  }
}
