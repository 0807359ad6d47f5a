/**
 * What went wrong between here and etcd, in words for the administrator who reads them at three in the morning: which
 * endpoint, why, and what to do. The reasons come from etcd and from the runtime as text; this is the one place that
 * reads that text, and what it does not recognise it passes on as it is. Nothing here does I/O.
 */

import { CertificateError } from "./certificates.ts";
import { EtcdAnswerError, EtcdTimeoutError } from "./connection.ts";
import { UnsentError } from "./server.ts";
import { ROOT } from "../group.ts";
import { StoreError, type StoreErrorKind } from "../store.ts";

/** One failed attempt at one endpoint. */
export interface EtcdFailure {
  readonly kind: StoreErrorKind;
  /** The reason, fit to follow the endpoint and a colon, of which it may be the subject. */
  readonly why: string;
  readonly hint?: string;
  /**
   * What to do next: `stop`, since every endpoint will say the same; ask an `other`; `retry` this one a few times, since a new
   * connection may work; or `again` and again, since it will soon be able to answer.
   */
  readonly next: "stop" | "other" | "retry" | "again";
  /** Nothing has happened for sure: it never got as far as etcd, or etcd said that it will not do it. */
  readonly certain: boolean;
}

/** What was tried, as far as it matters for saying why it failed. */
export interface EtcdAttempt {
  /** `http://...` or `https://...` */
  readonly endpoint: string;
  readonly username?: string;
}

/** An {@linkcode EtcdFailure} in one line: `$who` and `$user` stand for names, an empty reason for what was reported. */
type Line = readonly [kind: StoreErrorKind, next: EtcdFailure["next"], why: string, hint?: string];

/** The failure behind an error that a call threw. */
export function etcdFailure(error: unknown, attempt: EtcdAttempt): EtcdFailure {
  if (error instanceof UnsentError) {
    const failure = etcdFailure(error.cause, attempt);
    // a connection that cannot be made is not one that broke
    return { ...failure, next: failure.next === "retry" ? "other" : failure.next, certain: true };
  }
  const [line, reported] = diagnosed(error, attempt);
  const [kind, next, why, hint] = line;
  const user = quoted(attempt.username ?? "");
  const who = attempt.username === undefined ? "this client" : `user ${user}`;
  return {
    kind,
    next,
    why: why === "" ? reported : why.replace("$who", () => who).replace("$user", () => user),
    ...hint === undefined ? {} : { hint },
    certain: error instanceof EtcdAnswerError && isRefusal(error),
  };
}

/** What an error means, and how it says it. */
function diagnosed(error: unknown, { endpoint }: EtcdAttempt): [Line, reported: string] {
  if (error instanceof EtcdTimeoutError) {
    return [["timeout", "other", `no answer within ${seconds(error.waitedMs)}`, SILENT], ""];
  }
  if (error instanceof CertificateError) return [["tls", "other", error.message, error.hint], ""];
  const text = chain(error);
  const [lines, reported] = error instanceof EtcdAnswerError
    ? [ANSWERS, error.message.replace(/^etcdserver: /, "")]
    : [endpoint.startsWith("https:") ? REPORTS : [...PLAIN_REPORTS, ...REPORTS], text];
  const [, ...line] = lines.find(([says]) => says.test(text)) ?? [/./, "failed", "other", ""] as const;
  return [line, firstLine(reported)];
}

/** Whether etcd refused a call, and did nothing, because the lease that it names is gone. */
export function isLeaseGone(error: unknown): boolean {
  return error instanceof EtcdAnswerError && error.message.includes("requested lease not found");
}

/**
 * The codes of gRPC with which etcd refuses what it has not done, and will not do: invalid argument, not found,
 * permission denied, resource exhausted, failed precondition, out of range, unimplemented, unauthenticated.
 */
const REFUSALS: readonly number[] = [3, 5, 7, 8, 9, 11, 12, 16];

/** A member that has no leader, or too much to do, says so before it does anything, under codes that promise nothing. */
function isRefusal({ code, message }: EtcdAnswerError): boolean {
  return REFUSALS.includes(code) || /^etcdserver: (no leader|too many requests)$/.test(message);
}

const SILENT = "etcd there is overloaded, frozen or behind a firewall that drops packets";

/** What etcd says, and what that means. */
const ANSWERS: readonly (readonly [says: RegExp, ...Line])[] = [
  [
    /invalid user ID or password/,
    "authentication",
    "stop",
    "wrong user or password for $user",
    "check --etcd-username and --etcd-password",
  ],
  [
    /user name is empty/,
    "authentication",
    "stop",
    "etcd requires a user and a password, and none were given",
    "give --etcd-username and --etcd-password",
  ],
  [
    /authentication is not enabled/,
    "authentication",
    "stop",
    "a user was given ($user), but authentication is not enabled in etcd",
    "leave out --etcd-username and --etcd-password, or enable authentication in etcd",
  ],
  [
    /invalid auth token|revision of auth store is old/,
    "authentication",
    "again",
    "etcd no longer accepts the token of this login",
  ],
  [
    /permission denied/,
    "permission",
    "stop",
    "permission denied for $who",
    `grant its role access in etcd: \`etcdctl role grant-permission ROLE readwrite --prefix=true ${ROOT}\``,
  ],
  [
    /database space exceeded/,
    "failed",
    "stop",
    "its database is full, and it accepts no changes (alarm NOSPACE)",
    "in etcd: `etcdctl compact REVISION`, `etcdctl defrag`, then `etcdctl alarm disarm`",
  ],
  [
    /request is too large|received message larger than max/,
    "failed",
    "stop",
    "the change is larger than etcd accepts",
    "lower max, or raise etcd's --max-request-bytes",
  ],
  [/has been compacted/, "failed", "stop", "the requested revision has been compacted"],
  [/requested lease not found/, "failed", "stop", "the lease is gone"],
  [
    /too many requests/,
    "unreachable",
    "again",
    "it is overloaded (too many requests)",
    "etcd cannot keep up with its requests; check its disk",
  ],
  [
    /no leader|leader changed|request timed out|not capable|server stopped|unhealthy cluster/,
    "unreachable",
    "again",
    "",
    "the etcd cluster has no majority, or is electing a leader",
  ],
  [/unknown (service|method)/, "failed", "other", "", "is that etcd 3.4 or newer?"],
];

/** What the network and the TLS layer report. */
const REPORTS: typeof ANSWERS = [
  [
    /InvalidContentType|corrupt message|wrong version number|packet length too long/i,
    "tls",
    "other",
    "it does not speak TLS",
    "use http:// instead of https://",
  ],
  [/fatal alert|unsupported protocol/i, "tls", "other", "", "check the certificates of both sides"],
  [
    /ECONNREFUSED/,
    "unreachable",
    "other",
    "connection refused",
    "is etcd running there? check --endpoint",
  ],
  [
    /ENOTFOUND|EAI_|getaddrinfo/,
    "unreachable",
    "other",
    "the name cannot be resolved",
    "check --endpoint and the DNS settings of this machine",
  ],
  [
    /EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|unreachable|no route to host/i,
    "unreachable",
    "other",
    "no route to host",
    "check --endpoint and the network",
  ],
  [/ETIMEDOUT/, "timeout", "other", "no answer", SILENT],
  [
    /before secure TLS connection/,
    "unreachable",
    "other",
    "it closed the connection without answering",
    "does it speak TLS? if not, use http://",
  ],
  [
    /ECONNRESET|EPIPE|HTTP2|closed|canceled/,
    "unreachable",
    "retry",
    "the connection broke",
    "did etcd restart?",
  ],
];

/** The same in the clear, where it can have another reason. */
const PLAIN_REPORTS: typeof ANSWERS = [
  [
    /ECONNRESET|EPIPE|HTTP2|closed|canceled/,
    "unreachable",
    "retry",
    "the connection broke",
    "does it speak TLS? if so, use https://",
  ],
];

/** Which kind tells most, when endpoints fail for different reasons. */
const TELLING: readonly StoreErrorKind[] = [
  "permission",
  "authentication",
  "tls",
  "failed",
  "timeout",
  "unreachable",
];

/**
 * One error for an operation that failed at each of these endpoints.
 *
 * @param what what could not be done, with the key: `cannot read "a/b"`
 * @param failures the last failure of each endpoint that was tried, in order
 */
export function etcdStoreError(
  what: string,
  failures: ReadonlyMap<string, EtcdFailure>,
  cause?: unknown,
): StoreError {
  const list = [...failures];
  const worst = TELLING.map((kind) => list.find(([, failure]) => failure.kind === kind)).find((found) =>
    found
  );
  const why = list.map(([endpoint, failure]) => `${endpoint}: ${failure.why}`).join("; ");
  return new StoreError(worst?.[1].kind ?? "failed", `${what}: ${why}`, worst?.[1].hint, { cause });
}

/** What an error says, with what it is made of: of several addresses each has its own. */
function chain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { code?: unknown };
  const parts = error instanceof AggregateError
    ? error.errors
    : error.cause === undefined
    ? []
    : [error.cause];
  return [error.message, code, ...parts.map(chain)].filter((text) => text).join(": ");
}

function firstLine(text: string): string {
  return (text.split("\n")[0] ?? text).trim();
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

function seconds(ms: number): string {
  return `${Math.max(0.1, Math.round(ms / 100) / 10)} s`;
}
