/**
 * A FleetLock server at the other end of HTTP. Granted and released is exactly 200; no redirect is followed and no proxy is
 * used, so that nothing but the server itself can let a machine reboot.
 *
 * Each request has a connection of its own, made by the certificates as they are then, and ends by a deadline whatever
 * comes: connecting, an answer that does not begin, one that does not end, one that is too long. What is no answer throws;
 * what is one and not 200 is a refusal, in the server's own words where it has any.
 */

import type { IncomingMessage } from "node:http";
import { tlsFault, type TlsFiles } from "./tls_fault.ts";
import {
  ANSWER_LIMIT,
  HEADER,
  parseRefusal,
  PRE_REBOOT,
  serializeRequest,
  STEADY_STATE,
} from "./protocol.ts";
import {
  type Patience,
  type Refusal,
  type SlotAnswer,
  type SlotRequest,
  type SlotServer,
  SlotServerError,
} from "../slot_server.ts";

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

/** An answer of HTTP. */
interface Response {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export class FleetLockClient implements SlotServer {
  readonly #url: URL;
  readonly #limits: { readonly connectMs: number; readonly answerMs: number };
  #tls: TlsFiles = {};

  constructor(private readonly options: FleetLockOptions) {
    this.#url = new URL(options.url);
    this.#limits = options.limits ?? { connectMs: CONNECT_MS, answerMs: ANSWER_MS };
  }

  async preReboot(request: SlotRequest, { waitMs, gone }: Patience): Promise<SlotAnswer> {
    const seconds = Math.floor(waitMs / 1000);
    const prefer = seconds > 0 ? { prefer: `wait=${seconds}` } : {};
    const response = await this.#post(
      PRE_REBOOT,
      request,
      prefer,
      this.#limits.answerMs + 1000 * seconds,
      gone,
    );
    return response.status === 200 ? { kind: "granted" } : this.#refusal(response);
  }

  async steadyState(request: SlotRequest, { gone }: Pick<Patience, "gone">): Promise<SlotAnswer> {
    const response = await this.#post(STEADY_STATE, request, {}, this.#limits.answerMs, gone);
    return response.status === 200 ? { kind: "released" } : this.#refusal(response);
  }

  async #post(
    path: string,
    request: SlotRequest,
    headers: Readonly<Record<string, string>>,
    timeoutMs: number,
    gone: AbortSignal,
  ): Promise<Response> {
    const { protocol, hostname, port, pathname } = this.#url;
    const { connectMs } = this.#limits;
    const secure = protocol === "https:";
    const client = await (secure ? import("node:https") : import("node:http"));
    const host = hostname.replace(/^\[|\]$/g, "");
    const body = new TextEncoder().encode(serializeRequest(request));
    const tls = secure ? this.#certificates() : {};
    const givenUp = () => new SlotServerError("unreachable", `${this.options.url}: the request was given up`);
    if (gone.aborted) throw givenUp();
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const sent = client.request({
      host,
      ...(port === "" ? {} : { port: Number(port) }),
      path: pathname.replace(/\/+$/, "") + path,
      method: "POST",
      // one connection, not kept and not shared
      agent: false,
      headers: {
        [HEADER]: "true",
        "content-type": "application/json",
        "content-length": String(body.length),
        accept: "application/json",
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

  #refusal({ status, headers, body }: Response): Refusal {
    const told = parseRefusal(body) ?? byStatus(status, headers.location);
    const hint = HINTS[status];
    const seconds = /^[0-9]{1,6}$/.test(headers["retry-after"] ?? "")
      ? Number(headers["retry-after"])
      : undefined;
    return {
      ...told,
      value: [told.value, ...(hint === undefined ? [] : [hint])].filter((text) => text !== "").join("; "),
      ...(/(?:^|[,;\s])wait\b/i.test(String(headers["preference-applied"] ?? "")) ? { waits: true } : {}),
      ...(seconds === undefined ? {} : { retryMs: 1000 * seconds }),
    };
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

/** What to do about an answer. */
const HINTS: Readonly<Record<number, string>> = {
  401: "check --fleet-lock-token, or the user and the password",
  403: "check --fleet-lock-token, or the user and the password, and --fleet-lock-id",
  404: "is --fleet-lock-url the base URL, without /v1/pre-reboot?",
  405: "is --fleet-lock-url the base URL, without /v1/pre-reboot?",
};

/** What an answer means whose body is none of the protocol. */
function byStatus(status: number, location: string | undefined): Refusal {
  if (status === 429) return { kind: "rate_limited", value: "" };
  if (status === 502 || status === 503 || status === 504) {
    return { kind: "unavailable", value: `a gateway answers ${status}` };
  }
  if (status >= 300 && status < 400) {
    const to = location === undefined ? "" : " to another page";
    return {
      kind: "refused",
      called: `HTTP ${status}`,
      value: `a redirect${to} is no grant and not followed; give the URL of the server itself`,
    };
  }
  const value = status >= 200 && status < 300 ? "only 200 is a grant" : "";
  return { kind: "refused", called: `HTTP ${status}`, value };
}

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
