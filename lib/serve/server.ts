/**
 * The server in front of all doors: listens, finds the route, asks who it is and whether they may, holds them to their
 * rates and to the limits of time and size, answers, and logs. A request may wait for as long as its door likes: only
 * what a caller sends has a deadline.
 *
 * It stops gracefully: what runs is finished within a bound, what waits is answered at once, streams end.
 */

import {
  createServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from "node:http";
import type { Socket } from "node:net";
import type { Server as TlsServer, TLSSocket } from "node:tls";
import type { Access, ClientCertificate, Identity } from "./access.ts";
import { certificateNames } from "./certificate_names.ts";
import type { Answer, Caller, Door, Route } from "./door.ts";
import { isByForeignName, isForeign } from "./browser.ts";
import { exchange, refusal, type RefusalKind, type Running } from "./exchange.ts";
import { Journal } from "./journal.ts";
import { LIMITS, type Limits, RATES, type Rates } from "./limits.ts";
import { formatListenAddress, type ListenAddress } from "./listen_address.ts";
import { quoted } from "../plain_text.ts";
import { type Bucket, Buckets } from "./rate.ts";
import { allowed, Router, targetOf } from "./router.ts";
import type { Log, Surroundings } from "../surroundings.ts";
import { reasonOf } from "../system_error.ts";
import { Turns } from "./turns.ts";
import { tlsContext, type TlsFiles } from "./tls_files.ts";

export interface ServerOptions {
  readonly access: Access;
  readonly surroundings: Surroundings;
  readonly log: Log;
  /** Whether lines of the level `debug` are wanted: a line for each request costs something. */
  readonly debug?: boolean;
  /** Absent: in the clear. */
  readonly tls?: TlsFiles;
  readonly limits?: Partial<Limits>;
  readonly rates?: Partial<Rates>;
  /**
   * Answers by whatever name it is asked for, also where nobody needs a credential: something else keeps strangers out.
   * Default: then it answers to the names and addresses of this host alone.
   */
  readonly byAnyName?: boolean;
}

export interface Server {
  /** Listens at one more address; gives it with the port that it got. Throws what the system reports. */
  listen(address: ListenAddress): Promise<ListenAddress>;
  /** Certificates for the connections that come from now on. Throws, and keeps those it has, where they cannot be used. */
  renew(files: TlsFiles): void;
  /** Stops within the bound of {@linkcode Limits.stopMs}. Stopping twice is fine. */
  stop(): Promise<void>;
}

/** A server for `doors`. Throws {@linkcode TypeError} where two of them want the same path. */
export function serveDoors(doors: readonly Door[], options: ServerOptions): Server {
  return new DoorServer(doors, options);
}

/** What is known of a connection. */
interface Connection {
  readonly address: string;
  readonly turns: Turns<readonly [IncomingMessage, ServerResponse]>;
  /** Who asked last, by which header, under which version of the access. */
  known?: {
    readonly authorization: string | undefined;
    readonly version: object;
    readonly identity: Identity;
    readonly bucket: Bucket | undefined;
  };
  certificate?: ClientCertificate | undefined;
  /** Where a request has begun whose body is not read yet: how a cut is to be worded. */
  route?: Route | undefined;
  cut?: boolean;
}

interface Active {
  readonly running: Running;
  readonly connection: Connection;
  readonly authorization: string | undefined;
}

const HEADER_ID = /^[A-Za-z0-9._:/+=@-]{1,128}$/;
const TLS_HANDSHAKE_MS = 10_000;
/** How often connections are looked at for what is over their time, in milliseconds. */
const CHECK_MS = 1_000;

class DoorServer implements Server {
  readonly #router: Router;
  readonly #servers = new Set<HttpServer>();
  readonly #connections = new Map<Socket, Connection>();
  readonly #active = new Set<Active>();
  readonly #limits: Limits;
  readonly #rates: Rates;
  readonly #credentials: Buckets;
  readonly #addresses: Buckets;
  readonly #journal: Journal;
  readonly #idPrefix = crypto.randomUUID().slice(0, 8);
  readonly #access: { close(): void } | undefined;
  #idCount = 0;
  #tls: TlsFiles | undefined;
  #stopping: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(private readonly doors: readonly Door[], private readonly options: ServerOptions) {
    this.#router = new Router(doors);
    this.#limits = { ...LIMITS, ...options.limits };
    this.#rates = { ...RATES, ...options.rates };
    this.#tls = options.tls;
    const { elapsed } = options.surroundings;
    this.#journal = new Journal(options.log, options.surroundings, options.debug ?? false);
    this.#credentials = new Buckets(elapsed);
    this.#addresses = new Buckets(elapsed);
    this.#access = options.access.subscribe?.(() => this.#endTheUnknown());
  }

  async listen(address: ListenAddress): Promise<ListenAddress> {
    const { headerBytes, headerMs, requestMs, idleMs } = this.#limits;
    const settings = {
      maxHeaderSize: headerBytes,
      headersTimeout: headerMs,
      requestTimeout: requestMs,
      keepAliveTimeout: idleMs,
      connectionsCheckingInterval: CHECK_MS,
      noDelay: true,
    };
    const answer = (request: IncomingMessage, response: ServerResponse) => {
      // one that was not taken is being closed
      const turns = this.#connections.get(request.socket)?.turns;
      if (turns?.add([request, response]) === false) request.socket.destroy();
    };
    let server: HttpServer;
    if (this.#tls === undefined) {
      server = createServer(settings, answer);
      server.on("connection", (socket: Socket) => this.#connect(socket));
    } else {
      const https = await import("node:https");
      const secure = https.createServer({
        ...settings,
        ...tlsContext(this.#tls),
        requestCert: this.#tls.clientCa !== undefined,
        // who has none may have a token; one that does not hold is refused with an answer
        rejectUnauthorized: false,
        handshakeTimeout: TLS_HANDSHAKE_MS,
        minVersion: "TLSv1.2",
      }, answer);
      secure.on("secureConnection", (socket: Socket) => this.#connect(socket));
      secure.on(
        "tlsClientError",
        (error: Error) => this.#journal.debug(`TLS handshake failed: ${reasonOf(error)}`),
      );
      server = secure;
    }
    server.on("clientError", (error: Error & { code?: string }, socket: Socket) => this.#cut(error, socket));
    server.on("checkContinue", answer);
    const where = address.kind === "unix"
      ? { path: address.path }
      : { host: address.host, port: address.port };
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(where, () => {
        server.off("error", reject);
        resolve();
      });
    });
    server.on("error", (error: Error) => {
      this.options.log("error", `${formatListenAddress(address)}: ${reasonOf(error)}`);
    });
    this.#servers.add(server);
    const bound = server.address();
    if (address.kind === "unix" || bound === null || typeof bound === "string") return address;
    return { ...address, port: bound.port };
  }

  renew(files: TlsFiles): void {
    const context = tlsContext(files);
    // https servers are tls servers
    for (const server of this.#servers) (server as unknown as TlsServer).setSecureContext(context);
    this.#tls = files;
  }

  stop(): Promise<void> {
    return this.#stopping ??= this.#stop();
  }

  async #stop(): Promise<void> {
    this.#access?.close();
    const closed = [...this.#servers].map((server) =>
      new Promise<void>((resolve) => server.close(() => resolve()))
    );
    const drained = new Promise<void>((resolve) => this.#drained = resolve);
    const { surroundings } = this.options;
    const late = new Promise<void>((resolve) => surroundings.after(this.#limits.stopMs, resolve));
    const doors = this.doors.map((door) => door.close?.());
    for (const { running } of this.#active) running.end();
    if (this.#active.size === 0) this.#drained?.();
    await Promise.race([Promise.all([drained, ...doors]), late]);
    for (const server of this.#servers) server.closeIdleConnections();
    // an answer that was just handed over may still be on its way out
    const last = new Promise<void>((resolve) => surroundings.after(LAST_WORDS_MS, resolve));
    await Promise.race([Promise.all(closed), last]);
    for (const socket of this.#connections.keys()) socket.destroy();
    await Promise.race([Promise.all(closed), late]);
  }

  #connect(socket: Socket): void {
    if (this.#connections.size >= this.#limits.connections) {
      socket.destroy();
      return;
    }
    const connection: Connection = {
      address: (socket.remoteAddress ?? NO_ADDRESS).replace(/^::ffff:/, ""),
      turns: new Turns((asked) => this.#answer(connection, ...asked)),
    };
    this.#connections.set(socket, connection);
    socket.on("close", () => this.#connections.delete(socket));
  }

  #answer(connection: Connection, request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const given = request.headers["x-request-id"];
    const requestId = typeof given === "string" && HEADER_ID.test(given)
      ? given
      : `${this.#idPrefix}-${(this.#idCount++).toString(36)}`;
    const { path, search } = targetOf(request.url ?? "");
    const found = this.#router.find(path);
    const route = found ?? NOWHERE;
    const authorization = request.headers.authorization;
    const { identity, bucket } = this.#identify(connection, socket, authorization);
    const caller = identity.kind === "known" || identity.kind === "nobody" ? identity.caller : NOBODY;
    const refused = this.#refuse(request, connection, { identity, bucket, route });
    const active: { -readonly [K in keyof Active]?: Active[K] } = { connection, authorization };
    connection.route = route;
    let over = false;
    const running = exchange({
      request,
      response,
      route,
      refused: refused?.answer,
      path,
      search,
      caller,
      address: connection.address,
      requestId,
    }, (outcome) => {
      over = true;
      connection.route = undefined;
      if (active.running !== undefined && this.#active.delete(active as Active)) {
        if (this.#active.size === 0) this.#drained?.();
      }
      this.#journal.tell({
        method: request.method ?? "",
        path,
        caller,
        address: connection.address,
        requestId,
        outcome,
        why: refused?.why,
      });
      connection.turns.done(outcome === "gone" || outcome.answer.headers?.["connection"] === "close");
    });
    if (over) return;
    active.running = running;
    this.#active.add(active as Active);
    if (this.#stopping !== undefined) running.end();
  }

  /** Who asks; remembered for the connection, since most ask again and again by the same. */
  #identify(
    connection: Connection,
    socket: Socket,
    authorization: string | undefined,
  ): { identity: Identity; bucket: Bucket | undefined } {
    const { access } = this.options;
    const { known } = connection;
    if (known !== undefined && known.version === access.version && known.authorization === authorization) {
      return known;
    }
    if (!("certificate" in connection)) connection.certificate = this.#certificateOf(socket);
    const identity = access.identify({ authorization, certificate: connection.certificate });
    const bucket = identity.kind === "known" ? this.#bucketOf(identity.caller) : undefined;
    connection.known = { authorization, version: access.version, identity, bucket };
    return { identity, bucket };
  }

  #certificateOf(socket: Socket): ClientCertificate | undefined {
    if (this.#tls?.clientCa === undefined) return undefined;
    // with TLS every socket is one of these
    const secure = socket as TLSSocket;
    const { authorized, authorizationError } = secure;
    const certificate = secure.getPeerCertificate();
    if (certificate === null || Object.keys(certificate ?? {}).length === 0) return undefined;
    const known = certificateNames(certificate.raw, certificate.subject?.CN);
    if (authorized) return known;
    const expired = Date.parse(certificate.valid_to) < this.options.surroundings.now();
    return {
      ...known,
      fault: expired ? "it has expired" : `the client CA did not sign it (${authorizationError})`,
    };
  }

  /** `undefined`: no credential tells them apart, and nobody is held back. */
  #bucketOf({ role, name, ids }: Caller): Bucket | undefined {
    if (name === "anonymous") return undefined;
    const { host, shared, person } = this.#rates;
    const rate = role !== "host" ? person : ids === undefined ? shared : host;
    return this.#credentials.of(`${role} ${name}`, rate);
  }

  /** Why a request is not for its route to answer, or `undefined`. */
  #refuse(
    request: IncomingMessage,
    { address }: Connection,
    { identity, bucket, route }: { identity: Identity; bucket: Bucket | undefined; route: Route },
  ): { readonly answer: Answer; readonly why?: string } | undefined {
    const { method = "", headers: { authorization } } = request;
    const refuse = (
      status: number,
      kind: RefusalKind,
      value: string,
      { why, headers }: { why?: string; headers?: Record<string, string> } = {},
    ) => ({ answer: refusal(route, status, kind, value, headers), ...(why === undefined ? {} : { why }) });
    if (this.#stopping !== undefined) {
      return refuse(503, "unavailable", "the server is stopping; ask again", {
        headers: { connection: "close" },
      });
    }
    const now = this.options.surroundings.elapsed();
    const failed = identity.kind !== "known";
    const seconds = (failed ? this.#addresses.of(address, this.#rates.address) : bucket)?.take(now) ?? 0;
    if (seconds > 0) {
      const headers = { "retry-after": `${seconds}` };
      return refuse(429, "rate_limited", `too many requests; ask again in ${seconds} s`, { headers });
    }
    if (identity.kind === "known" && identity.anybody && this.#isMisled(request, address)) {
      return refuse(403, "forbidden", ANOTHER_NAME, {
        why: `asked for as ${quoted(request.headers.host ?? "")}`,
      });
    }
    if (route === NOWHERE) return refuse(404, "not_found", "there is nothing here");
    // what hosts ask needs a header that no page of another site can send
    const ofHosts = route.who !== "anyone" && route.who.includes("host");
    if (authorization === undefined && !ofHosts && isForeign(request)) {
      return refuse(403, "forbidden", "a page of another site may not change anything here");
    }
    if (route.who !== "anyone") {
      if (identity.kind === "unavailable") {
        return refuse(503, "unavailable", "cannot find out who you are at the moment; ask again", identity);
      }
      if (identity.kind !== "known") {
        const why = identity.kind === "refused" ? identity.why : "no credential";
        const headers = { "www-authenticate": `Bearer realm="locksmith"` };
        const text = identity.kind === "refused" ? "the credential is not valid" : "a credential is needed";
        return refuse(401, "unauthenticated", text, { why, headers });
      }
      const { role, name } = identity.caller;
      if (role !== "operator" && (role === undefined || !route.who.includes(role))) {
        const text = `the credential ${quoted(name)} has the role ${role}, and this is for ${
          [...new Set([...route.who, "operator"])].join(", ")
        }`;
        return refuse(403, "forbidden", text, { why: `not allowed for the role ${role}` });
      }
    }
    const methods = allowed(route);
    if (methods === undefined) return undefined;
    const headers = { allow: methods.join(", ") };
    if (!methods.includes(method)) {
      return refuse(405, "method_not_allowed", `use ${methods.join(" or ")}`, { headers });
    }
    if (method === "OPTIONS" && !route.methods?.includes("OPTIONS")) {
      return { answer: { status: 204, headers } };
    }
    return undefined;
  }

  /** Whether a browser may have been led here under a name of somebody else. No browser comes by a socket of this host. */
  #isMisled({ headers: { host } }: IncomingMessage, address: string): boolean {
    return !this.options.byAnyName && address !== NO_ADDRESS && isByForeignName(host);
  }

  /** What was sent is no request, or came too slowly: says so, and ends the connection. */
  #cut(error: Error & { code?: string }, socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection?.cut || !socket.writable || error.code === "ECONNRESET" || error.code === "EPIPE") {
      socket.destroy();
      return;
    }
    if (connection !== undefined) connection.cut = true;
    const [status, kind, text]: [string, RefusalKind, string] = error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? ["408 Request Timeout", "timeout", "the request took too long"]
      : error.code === "HPE_HEADER_OVERFLOW"
      ? ["431 Request Header Fields Too Large", "too_large", "the headers are too long"]
      : ["400 Bad Request", "bad_request", "this is not HTTP"];
    const { headers, body } = refusal(connection?.route, parseInt(status), kind, text);
    const type = headers?.["content-type"] ?? "text/plain";
    const bytes = typeof body === "string" ? body : `${text}\n`;
    const length = new TextEncoder().encode(bytes).length;
    socket.end(
      `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\ncontent-length: ${length}\r\nconnection: close\r\n\r\n${bytes}`,
      () => socket.destroy(),
    );
    this.#journal.debug(`${connection?.address ?? "?"}: ${status} ${text}`);
  }

  /** Who lost the credential, while a request of theirs waits or streams, gets no more of it. */
  #endTheUnknown(): void {
    for (const { running, connection, authorization } of this.#active) {
      const { access } = this.options;
      const { known, certificate } = connection;
      if (known?.identity.kind !== "known" || known.authorization !== authorization) continue;
      const { caller } = known.identity;
      const now = access.identify({ authorization, certificate });
      if (now.kind !== "known" || now.caller.role !== caller.role || now.caller.name !== caller.name) {
        running.end();
      }
    }
  }
}

const LAST_WORDS_MS = 200;
/** In place of the address of who comes by a socket of this host. */
const NO_ADDRESS = "unix";
const ANOTHER_NAME =
  "anybody may do everything here, so this server answers to localhost and to addresses alone; make a " +
  "token (locksmith token add), or start it with --insecure where something else keeps strangers out";
const NOBODY: Caller = { role: undefined, name: "unknown" };
const NOWHERE: Route = {
  path: "",
  who: "anyone",
  answer: () => refusal(undefined, 404, "not_found", "there is nothing here"),
};
