/**
 * gRPC to one etcd server, for the service clients of etcd3: over the HTTP/2 that the runtime has built in, since the
 * library that etcd3 brings along for it costs a command several times what its question to etcd costs.
 *
 * A call ends by its deadline and is made once; only a call that etcd refused because a login had expired is made again,
 * after a new login. A connection that failed or fell silent is not used again. No proxy is used, whatever the
 * environment says, where the program may set NO_PROXY. HTTP trailers cannot be read here: a call whose answer is missing
 * fails without the reason, which etcd sends in the header when there is no answer.
 *
 * Calls that follow each other closely take turns on a few connections. The runtime's sockets hold a small packet back
 * while another is not acknowledged (Nagle's algorithm, which cannot be turned off here). After each answer of etcd there
 * is one: the reply to the ping by which its gRPC measures the line, which nothing answers, so that the kernel of the
 * server takes 40 ms to acknowledge it. On a connection that was just used a call would take that long. For the same reason
 * a long request is sent in pieces.
 */

import type { ICallable, IDuplexStream } from "etcd3/lib/rpc.js";
import { etcdMethod, type Message, type Method } from "./codec.ts";

/** How to reach a server and be let in. */
export interface EtcdAccess {
  /** `http://host:port` or `https://host:port`. */
  readonly url: string;
  readonly host: string;
  /** PEM texts. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly username?: string;
  readonly password?: string;
}

/** The status codes of gRPC that are told apart. */
export const GRPC_CODE = {
  unknown: 2,
  permissionDenied: 7,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** An answer of etcd, or of whatever is there, that is an error. */
export class EtcdCallError extends Error {
  override readonly name = "EtcdCallError";
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

/** A call that was given up because its time was over. */
export class EtcdTimeoutError extends Error {
  override readonly name = "EtcdTimeoutError";
}

/** Options of a call, as etcd3 passes them on. */
interface Call {
  /** Epoch milliseconds. */
  readonly deadline?: number;
}

/** A call without a deadline of its own: leases, when etcd3 makes them. */
const CALL_MS = 5_000;
/** How long a connection rests after a call: the delay of acknowledgements, and the way. */
const REST_MS = 50;
/** How many connections there are to one server at most, and for how long all but the first are kept when idle. */
const CONNECTIONS_MAX = 8;
const IDLE_MS = 5_000;
/**
 * The runtime sends a piece of 1024 bytes or more in two packets, and the second then waits for the acknowledgement of the
 * first, 40 ms; smaller pieces that are there at once go out together, whatever their sum.
 */
const PIECE_MAX = 1000;
const FRAME_HEAD = 5;
/** No answer of etcd is longer: it takes requests up to 1.5 MB, and lists are of documents of a few kB. */
const FRAME_MAX = 64 * 1024 * 1024;

/** Makes one connection, and makes it anew when it was idle for long. */
interface Connection {
  readonly client: Deno.HttpClient;
  /** When a call on it last began or ended, by the clock of `performance`. */
  usedMs: number;
}

export class EtcdTransport implements ICallable<EtcdTransport> {
  readonly callOptionsFactory = undefined;
  readonly #access: EtcdAccess;
  #connections: Connection[] = [];
  #token: Promise<string> | undefined;
  readonly #running = new Set<AbortController>();

  constructor(access: EtcdAccess) {
    this.#access = access;
    // Certificates that cannot be used are found now, and not at three in the morning.
    this.#rested();
  }

  /** Makes one call. Throws {@linkcode EtcdCallError}, {@linkcode EtcdTimeoutError}, or what the network reports. */
  async exec<T>(service: string, name: string, request: unknown, options: Call = {}): Promise<T> {
    const method = etcdMethod(service, name);
    const deadline = options.deadline ?? Date.now() + CALL_MS;
    for (let attempt = 0;; attempt++) {
      let login: Promise<string> | undefined;
      try {
        const token = await this.#login(deadline);
        login = this.#token;
        return await this.#unary(method, request as Message, deadline, token) as T;
      } catch (error) {
        if (!(error instanceof EtcdCallError)) this.#drop();
        const expired = error instanceof EtcdCallError && error.message.includes("invalid auth token");
        if (!expired || attempt > 0) throw error;
        // Another call may have logged in anew meanwhile.
        if (this.#token === login) this.#token = undefined;
      }
    }
  }

  /** Lends what makes streams to the watch and lease clients of etcd3. */
  async withConnection<R>(
    _service: string,
    run: (
      lent: { resource: EtcdTransport; client: never; metadata: never },
    ) => Promise<R> | R,
  ): Promise<R> {
    const token = await this.#login(Date.now() + CALL_MS);
    const client = {
      watch: () => this.#stream(etcdMethod("Watch", "watch"), token),
      leaseKeepAlive: () => this.#stream(etcdMethod("Lease", "leaseKeepAlive"), token),
    };
    // The types are those of another gRPC library, of which nothing but the two methods is used.
    return await run({ resource: this, client: client as never, metadata: undefined as never });
  }

  /** The connection is not to be used again: it broke, or nothing comes through it. The login may have expired too. */
  markFailed(): void {
    this.#drop();
    this.#token = undefined;
  }

  /** Ends every call and stream. */
  close(): void {
    for (const call of this.#running) call.abort();
    this.#drop();
  }

  /** What broke one connection is likely to have broken the others. */
  #drop(): void {
    for (const { client } of this.#connections) client.close();
    this.#connections = [];
  }

  /** A connection on which nothing holds a call back, if there is one or can be. */
  #rested(): Connection {
    const now = performance.now();
    const rested = this.#connections.find(({ usedMs }) => now - usedMs >= REST_MS);
    if (rested) return rested;
    if (this.#connections.length === CONNECTIONS_MAX) {
      return this.#connections.reduce((one, other) => other.usedMs < one.usedMs ? other : one);
    }
    const connection = { client: this.#open(this.#connections.length > 0), usedMs: -Infinity };
    this.#connections.push(connection);
    return connection;
  }

  #open(further: boolean): Deno.HttpClient {
    const { host, ca, cert, key } = this.#access;
    return withoutProxy(host, () =>
      Deno.createHttpClient({
        http1: false,
        http2: true,
        ...further ? { poolIdleTimeout: IDLE_MS } : {},
        ...ca === undefined ? {} : { caCerts: [ca] },
        ...cert === undefined || key === undefined ? {} : { cert, key },
      }));
  }

  async #login(deadline: number): Promise<string | undefined> {
    const { username, password } = this.#access;
    if (username === undefined) return undefined;
    const login = this.#token ??= this.#unary(
      etcdMethod("Auth", "authenticate"),
      { name: username, password: password ?? "" },
      deadline,
      undefined,
    ).then((response) => String(response.token));
    try {
      return await login;
    } catch (error) {
      if (this.#token === login) this.#token = undefined;
      throw error;
    }
  }

  async #unary(
    method: Method,
    request: Message,
    deadline: number,
    token: string | undefined,
  ): Promise<Message> {
    const leftMs = Math.max(1, Math.ceil(deadline - Date.now()));
    const call = new AbortController();
    this.#running.add(call);
    const timer = setTimeout(() => call.abort(new EtcdTimeoutError(`no answer within ${leftMs} ms`)), leftMs);
    try {
      const headers = { ...headersOf(token), "grpc-timeout": `${Math.min(leftMs, 99_999_999)}m` };
      const body = inPieces(frame(method.encode(request)));
      const connection = this.#rested();
      const response = await this.#fetch(connection, method, headers, body, call.signal);
      const answer = unframe(new Uint8Array(await response.arrayBuffer())).messages[0];
      connection.usedMs = performance.now();
      if (!answer) throw new EtcdCallError(GRPC_CODE.unknown, "an answer without a message");
      return method.decode(answer);
    } catch (error) {
      throw call.signal.aborted ? call.signal.reason : error;
    } finally {
      clearTimeout(timer);
      this.#running.delete(call);
    }
  }

  /** Throws {@linkcode EtcdCallError} for an answer that is an error. */
  async #fetch(
    connection: Connection,
    method: Method,
    headers: Record<string, string>,
    body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
    signal: AbortSignal,
  ): Promise<Response> {
    connection.usedMs = performance.now();
    const response = await fetch(`${this.#access.url}${method.path}`, {
      method: "POST",
      headers,
      body,
      signal,
      redirect: "manual",
      client: connection.client,
    });
    const status = response.headers.get("grpc-status");
    if (status !== null && status !== "0") {
      await response.body?.cancel();
      throw new EtcdCallError(Number(status), decodedMessage(response.headers.get("grpc-message") ?? ""));
    }
    if (!response.headers.get("content-type")?.startsWith("application/grpc")) {
      await response.body?.cancel();
      throw new EtcdCallError(GRPC_CODE.unknown, `not etcd: it answers HTTP status ${response.status}`);
    }
    return response;
  }

  #stream(method: Method, token: string | undefined): IDuplexStream<unknown, unknown> {
    // A server that was cut off from the others then ends the stream, in place of falling silent.
    const headers = { ...headersOf(token), hasleader: "true" };
    const call = new AbortController();
    this.#running.add(call);
    const connection = this.#rested();
    const stream = new DuplexStream(method, () => {
      connection.usedMs = performance.now();
      this.#running.delete(call);
      call.abort();
    });
    const respond = async () => {
      const response = await this.#fetch(connection, method, headers, stream.body, call.signal);
      let rest = new Uint8Array();
      for await (const chunk of response.body ?? []) {
        // what arrives is answered too, by that ping and others: the call that follows from it goes elsewhere
        connection.usedMs = performance.now();
        const received = unframe(concat(rest, chunk));
        rest = received.rest;
        for (const message of received.messages) stream.emit("data", method.decode(message));
      }
    };
    respond().then(() => stream.emit("end"), (error) => stream.emit("error", error)).finally(() => {
      this.#running.delete(call);
    });
    return stream;
  }
}

type Listener = (item: never) => void;

/** What etcd3 expects of a stream in both directions. */
class DuplexStream implements IDuplexStream<unknown, unknown> {
  readonly body: ReadableStream<Uint8Array>;
  readonly #method: Method;
  readonly #cancel: () => void;
  readonly #listeners = new Map<string, Listener[]>();
  #requests: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(method: Method, cancel: () => void) {
    this.#method = method;
    this.#cancel = cancel;
    this.body = new ReadableStream({
      start: (controller) => {
        this.#requests = controller;
      },
      cancel: () => {
        this.#requests = undefined;
      },
    });
  }

  on(event: string, listener: Listener): this {
    this.#listeners.set(event, [...this.#listeners.get(event) ?? [], listener]);
    return this;
  }

  emit(event: string, item?: unknown): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(item as never);
  }

  /** What is written after the stream ended is lost: its end is told by an event. */
  write(request: unknown): void {
    this.#requests?.enqueue(frame(this.#method.encode(request as Message)));
  }

  end(): void {
    this.#requests?.close();
    this.#requests = undefined;
  }

  /** Ends both directions; nothing is told of it. */
  cancel(): void {
    this.#listeners.clear();
    this.#cancel();
    this.end();
  }
}

/**
 * The runtime takes proxies from the environment and offers no other way to do without than the list of exceptions there,
 * which it reads while a client is made. Where the program may not touch that list, it is as the environment says.
 */
function withoutProxy<T>(host: string, make: () => T): T {
  const name = "NO_PROXY";
  if (Deno.permissions.querySync({ name: "env", variable: name }).state !== "granted") return make();
  const before = Deno.env.get(name);
  Deno.env.set(name, host.replace(/^\[|\]$/g, ""));
  try {
    return make();
  } finally {
    if (before === undefined) Deno.env.delete(name);
    else Deno.env.set(name, before);
  }
}

function headersOf(token: string | undefined): Record<string, string> {
  return {
    "content-type": "application/grpc",
    te: "trailers",
    ...token === undefined ? {} : { token },
  };
}

/** A message with its head: one byte that says it is not compressed, and four of length. */
function frame(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const framed = new Uint8Array(FRAME_HEAD + message.length);
  new DataView(framed.buffer).setUint32(1, message.length);
  framed.set(message, FRAME_HEAD);
  return framed;
}

/** The messages that are there in full, and the bytes after them. */
function unframe(bytes: Uint8Array<ArrayBuffer>): { messages: Uint8Array[]; rest: Uint8Array<ArrayBuffer> } {
  const messages: Uint8Array[] = [];
  let at = 0;
  while (bytes.length - at >= FRAME_HEAD) {
    const head = new DataView(bytes.buffer, bytes.byteOffset + at, FRAME_HEAD);
    const length = head.getUint32(1);
    if (head.getUint8(0) !== 0 || length > FRAME_MAX) {
      throw new EtcdCallError(GRPC_CODE.internal, "an answer that is not gRPC, or is compressed");
    }
    if (bytes.length - at < FRAME_HEAD + length) break;
    messages.push(bytes.subarray(at + FRAME_HEAD, at + FRAME_HEAD + length));
    at += FRAME_HEAD + length;
  }
  return { messages, rest: bytes.subarray(at) };
}

/** A body that goes out in one packet, see {@linkcode PIECE_MAX}. */
function inPieces(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
  if (bytes.length <= PIECE_MAX) return bytes;
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += PIECE_MAX) {
        controller.enqueue(bytes.subarray(at, at + PIECE_MAX));
      }
      controller.close();
    },
  });
}

function concat(first: Uint8Array<ArrayBuffer>, second: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (first.length === 0) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** `grpc-message` is percent-encoded, and need not be well formed. */
function decodedMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
