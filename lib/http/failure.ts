/**
 * Why a request to a server was not answered as it should be, in words for the administrator who reads them: what the
 * network and the TLS layer report, what the server refused, and what somebody else answered in its place. The one place
 * that reads the runtime's texts. Nothing here does I/O.
 */

import { plainLine, quoted } from "../plain_text.ts";
import type { StoreErrorKind } from "../store.ts";
import { decodeRefusal } from "../store_wire.ts";

/** Why there is no answer. */
export interface HttpFailure {
  readonly kind: StoreErrorKind;
  /** The reason, fit to follow the server's name and a colon. */
  readonly why: string;
  readonly hint?: string;
  /** Nothing has happened for sure: the request was never taken, or refused. */
  readonly certain: boolean;
  /** Whether the server itself refused it: to ask again soon is of no use. */
  readonly refused?: boolean;
}

/** An answer that is none. */
export interface ForeignAnswer {
  readonly status: number;
  readonly location: string | null;
  readonly text: string;
}

type Line = readonly [kind: StoreErrorKind, why: string, hint?: string];

const IS_IT = "is a locksmith server there? check --server, its port and its path";

/** What happens before a request is taken, so that it is certain that nothing happened. */
const BEFORE: readonly (readonly [says: RegExp, ...Line])[] = [
  [/Connection refused/, "unreachable", "connection refused", "is the server running there? check --server"],
  [
    /dns error/,
    "unreachable",
    "the name cannot be resolved",
    "check --server and the DNS settings of this machine",
  ],
  [/unreachable|No route/i, "unreachable", "no route to host", "check --server and the network"],
  [/InvalidContentType/, "tls", "it does not speak TLS", "use http:// instead of https://, if that is meant"],
  [
    /CaUsedAsEndEntity/,
    "tls",
    "its certificate is one of a CA, not of a server",
    "make one with basicConstraints=CA:FALSE; the server's documentation has the command",
  ],
  [
    /UnknownIssuer/,
    "tls",
    "its certificate is not signed by a CA that is trusted here",
    "name the CA that signed it with --server-cafile",
  ],
  [
    /certificate expired|: Expired/,
    "tls",
    "its certificate has expired",
    "renew it, or correct the clock of this machine",
  ],
  [
    /not valid yet|NotValidYet/,
    "tls",
    "its certificate is not valid yet",
    "is the clock of this machine right?",
  ],
  [
    /not valid for name|NotValidForName/,
    "tls",
    "its certificate is for another name or address",
    "use a name or an address that is in the certificate",
  ],
  [
    /CertificateRequired/,
    "tls",
    "it requires a client certificate",
    "give --server-certfile and --server-keyfile",
  ],
  [
    /fatal alert: (?:\w*Certificate\w*|UnknownCA|DecryptError|AccessDenied)/,
    "tls",
    "it refuses the client certificate",
    "check --server-certfile: is it signed by the CA that the server trusts?",
  ],
  [/fatal alert|invalid peer certificate/, "tls", "", "check the certificates of both sides"],
  [
    /are blocked/,
    "failed",
    "this port is reserved for another protocol",
    "let the server listen on another one",
  ],
  [/client error \(Connect\)/, "unreachable", "", "check --server"],
];

/** What may happen after it was taken. */
const AFTER: typeof BEFORE = [
  [
    /invalid HTTP version/,
    "unreachable",
    "it does not speak HTTP",
    "does it speak TLS? if so, use https://",
  ],
  [
    /close_notify|closed|reset|reading a body/i,
    "unreachable",
    "the connection broke",
    "did the server restart? does it trust the client certificate, if there is one?",
  ],
];

/** What the error says that `fetch` threw, or the reading of its answer. */
export function networkFailure(error: unknown): HttpFailure {
  const text = chain(error);
  const before = BEFORE.find(([says]) => says.test(text));
  const [, kind, why, hint] = before ?? AFTER.find(([says]) => says.test(text)) ??
    ([/./, "failed", ""] as [RegExp, ...Line]);
  return {
    kind,
    why: why === "" ? plainLine(text.replace(/^.*client error \(\w+\): /, ""), 300) : why,
    ...hint === undefined ? {} : { hint },
    certain: before !== undefined,
  };
}

export function timeoutFailure(waitedMs: number): HttpFailure {
  return {
    kind: "timeout",
    why: `no answer within ${Math.max(0.1, Math.round(waitedMs / 100) / 10)} s`,
    hint: "the server there is overloaded, frozen or behind a firewall that drops packets",
    certain: false,
  };
}

/** What an answer means that is not the one that was hoped for. `shows`: what the request showed of itself. */
export function answerFailure(
  { status, location, text }: ForeignAnswer,
  shows: { readonly token: boolean; readonly cert: boolean },
): HttpFailure {
  const refusal = decodeRefusal(text);
  if (refusal !== undefined) {
    const { kind, message, hint, nothingHappened } = refusal;
    const what = status === 401
      ? shows.token
        ? "check --server-token-file: the server does not know this token (any more)"
        : "give --server-token-file, or --server-certfile and --server-keyfile"
      : status === 403
      ? "it takes an operator's credential to change something, and a viewer's to look"
      : hint && `on the server: ${hint}`;
    return {
      kind,
      why: plainLine(message, 1_000),
      ...what === undefined ? {} : { hint: plainLine(what, 1_000) },
      certain: nothingHappened,
      refused: status < 500 && status !== 429,
    };
  }
  if (status >= 300 && status < 400) {
    const to = location === null
      ? ""
      : ` to ${quoted(location.replace(/[?#].*$/s, "").replace(/\/\/.*@/, "//"))}`;
    return { kind: "failed", why: `it redirects${to}`, hint: IS_IT, certain: true };
  }
  if (status === 401 || status === 403 || status === 407) {
    const hint = "this answer is not locksmith's: what stands before the server wants a login of its own";
    return { kind: "permission", why: `it answered ${status}`, hint, certain: true };
  }
  if (status === 502 || status === 503 || status === 504) {
    const hint = "this answer is not locksmith's: what stands before the server cannot reach it";
    return { kind: "unreachable", why: `it answered ${status}`, hint, certain: false };
  }
  return {
    kind: "failed",
    why: status === 200 ? "its answer is not that of a locksmith server" : `it answered ${status}`,
    hint: IS_IT,
    certain: NEVER_TAKEN.includes(status),
  };
}

/** Codes by which an intermediary, or a server of another kind, has refused a request before anything came of it. */
const NEVER_TAKEN: readonly number[] = [400, 404, 405, 410, 411, 413, 414, 415, 421, 426, 429, 431, 501];

/** What an error says, with what it is made of. */
function chain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${chain(error.cause)}`;
}
