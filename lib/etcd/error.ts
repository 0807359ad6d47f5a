/**
 * What went wrong between here and etcd, in words for the administrator who reads them at three in the morning: which
 * endpoint, why, and what to do. The reasons come from etcd and from the runtime as text; this is the one place that
 * reads that text, and what it does not recognise it passes on as it is. Nothing here does I/O.
 */

import { EtcdCallError, EtcdTimeoutError, GRPC_CODE } from "./transport.ts";
import { StoreError, type StoreErrorKind } from "../store.ts";

/** One failed attempt at one endpoint. */
export interface EtcdFailure {
  readonly kind: StoreErrorKind;
  /** The reason, fit to follow the endpoint and a colon, of which it may be the subject. */
  readonly why: string;
  readonly hint?: string;
  /**
   * What to do next: `stop`, since every endpoint will say the same; ask an `other`; `retry` this one a few times, since a new
   * connection may work, or tell more; or `again` and again, since it will soon be able to answer.
   */
  readonly next: "stop" | "other" | "retry" | "again";
}

/** What was tried, as far as it matters for saying why it failed. */
export interface EtcdAttempt {
  /** `http://...` or `https://...` */
  readonly endpoint: string;
  /** How long this attempt waited, in milliseconds. */
  readonly waitedMs: number;
  readonly hasCa: boolean;
  readonly hasClientCertificate: boolean;
  readonly username?: string;
}

/** The failure behind an error that a call threw. */
export function etcdFailure(error: unknown, attempt: EtcdAttempt): EtcdFailure {
  if (error instanceof EtcdTimeoutError) {
    return {
      kind: "timeout",
      why: `no answer within ${seconds(attempt.waitedMs)}`,
      hint: "etcd there is overloaded, frozen or behind a firewall that drops packets",
      next: "other",
    };
  }
  const details = chain(error);
  const known = error instanceof EtcdCallError
    ? etcdAnswer(error.message, error.code, attempt)
    : tlsFault(details, attempt) ?? networkFault(details, attempt);
  return known ?? { kind: "failed", why: firstLine(details), next: "other" };
}

/** Whether etcd refused a call, and did nothing, because the lease that it names is gone. */
export function isLeaseGone(error: unknown): boolean {
  return error instanceof EtcdCallError && error.message.includes("requested lease not found");
}

/** What etcd itself reported. */
function etcdAnswer(details: string, code: number, attempt: EtcdAttempt): EtcdFailure | undefined {
  if (details.includes("authentication failed, invalid user ID or password")) {
    return {
      kind: "authentication",
      why: `wrong user or password for ${quoted(attempt.username ?? "")}`,
      hint: "check --etcd-username and --etcd-password",
      next: "stop",
    };
  }
  if (details.includes("user name is empty")) {
    return {
      kind: "authentication",
      why: "etcd wants a user and a password, and none were given",
      hint: "give --etcd-username and --etcd-password",
      next: "stop",
    };
  }
  if (details.includes("authentication is not enabled")) {
    return {
      kind: "authentication",
      why: `a user was given (${quoted(attempt.username ?? "")}), but authentication is not enabled in etcd`,
      hint: "leave out --etcd-username and --etcd-password, or enable authentication in etcd",
      next: "stop",
    };
  }
  if (details.includes("invalid auth token") || code === GRPC_CODE.unauthenticated) {
    return { kind: "authentication", why: "etcd no longer accepts the token of this login", next: "again" };
  }
  if (code === GRPC_CODE.permissionDenied || details.includes("etcdserver: permission denied")) {
    const who = attempt.username === undefined ? "this client" : `user ${quoted(attempt.username)}`;
    return {
      kind: "permission",
      why: `permission denied for ${who}`,
      hint: "grant it a role in etcd: `etcdctl role grant-permission ROLE readwrite KEY`",
      next: "stop",
    };
  }
  if (/no leader|leader changed|request timed out|not capable|too many requests/.test(details)) {
    return {
      kind: "unreachable",
      why: firstLine(details),
      hint: "the etcd cluster has no majority, or is electing a leader",
      next: "again",
    };
  }
  return undefined;
}

/** What the TLS layer reported, be it ours or, by an alert, theirs. */
function tlsFault(details: string, attempt: EtcdAttempt): EtcdFailure | undefined {
  const tls = (why: string, hint: string): EtcdFailure => ({ kind: "tls", why, hint, next: "other" });
  if (/UnknownIssuer|self.signed|unable to (get|verify)|CaUsedAsEndEntity|BadSignature/i.test(details)) {
    return attempt.hasCa
      ? tls(
        "its certificate is not signed by a CA given with --etcd-cafile",
        "give the CA that signed the certificate of etcd",
      )
      : tls("its certificate is not signed by a CA known here", "give the CA of etcd with --etcd-cafile");
  }
  if (/NotValidForName|not valid for name|ERR_TLS_CERT_ALTNAME|altnames/i.test(details)) {
    return tls(
      "its certificate is for another name or address",
      "use a name or an address that the certificate holds",
    );
  }
  if (/CertExpired|certificate has expired|\bExpired\b/i.test(details)) {
    return tls("its certificate has expired", "renew the certificate, or check the clock of this machine");
  }
  if (/NotValidYet/i.test(details)) {
    return tls("its certificate is not valid yet", "check the clock of this machine");
  }
  if (/InvalidContentType|corrupt message|wrong version number|packet length too long/i.test(details)) {
    return tls("it does not speak TLS", "write http:// in place of https://");
  }
  if (
    /CertificateRequired|certificate required|bad certificate|BadCertificate|UnknownCA|DecryptError/i.test(
      details,
    )
  ) {
    return attempt.hasClientCertificate
      ? tls(
        "it refuses the client certificate",
        "check --etcd-certfile: is it signed by the CA that etcd trusts?",
      )
      : tls("it wants a client certificate", "give --etcd-certfile and --etcd-keyfile");
  }
  const other = /(invalid peer certificate|received fatal alert|peer is incompatible)[^(]*/i.exec(
    details,
  );
  return other ? tls(`TLS: ${firstLine(other[0])}`, "check the certificates of both sides") : undefined;
}

/** What the network reported. */
function networkFault(details: string, attempt: EtcdAttempt): EtcdFailure | undefined {
  const away = (why: string, hint: string, next: "other" | "retry" = "other"): EtcdFailure => ({
    kind: "unreachable",
    why,
    hint,
    next,
  });
  if (/ECONNREFUSED|connection refused/i.test(details)) {
    return away("connection refused", "is etcd running there? check --endpoint");
  }
  if (/ENOTFOUND|EAI_|Name resolution failed|failed to lookup/i.test(details)) {
    return away("the name cannot be resolved", "check --endpoint and the name service of this machine");
  }
  if (/EHOSTUNREACH|ENETUNREACH|unreachable/i.test(details)) {
    return away("no route to it", "check --endpoint and the network");
  }
  const secure = attempt.endpoint.startsWith("https:");
  if (/handshake eof/i.test(details)) {
    return away(
      "it closed the connection before anything was said",
      "does it speak TLS? if not, write http://",
    );
  }
  if (/reset|broken pipe|closed|body from connection|connection error|SendRequest/i.test(details)) {
    const hint = !secure
      ? "does it speak TLS? then write https://"
      : attempt.hasClientCertificate
      ? "did etcd restart, or does it refuse the client certificate?"
      : "did etcd restart, or does it want a client certificate (--etcd-certfile, --etcd-keyfile)?";
    return away("the connection broke", hint, "retry");
  }
  return undefined;
}

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

/** The messages of an error and of its causes: the runtime hides the reason in the innermost. */
function chain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${chain(error.cause)}`;
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
