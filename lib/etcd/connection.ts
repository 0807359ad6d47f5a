/**
 * One HTTP/2 connection to a server, by what the runtime has of node, and gRPC on it: messages in frames, and how a call
 * ended in the trailers.
 *
 * A connection is there when the server has said its first word: one that is taken and left in silence, or refuses our
 * certificate, is none. Every address of a name is tried. A call ends by its deadline; then the server is asked for a sign
 * of life, and a connection that brings none is closed, with all that waits on it. Nothing is made again here, and a
 * connection that ended is not made anew.
 */

import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";
import type { Writable } from "node:stream";
import { setImmediate } from "node:timers";
import { Deadlines } from "./deadlines.ts";

/** PEM texts: whom to trust, and what to show. */
export interface Certificates {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Codes of gRPC for what is no answer of etcd. */
const CODE = { unknown: 2, internal: 13 };

/** An answer of etcd, or of whatever is there, that is an error. */
export class EtcdAnswerError extends Error {
  override readonly name = "EtcdAnswerError";
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

/** There was no answer in time. */
export class EtcdTimeoutError extends Error {
  override readonly name = "EtcdTimeoutError";
  constructor(readonly waitedMs: number) {
    super(`no answer within ${Math.ceil(waitedMs)} ms`);
  }
}

/** Where what a call is answered goes. */
export interface Answer {
  /** One message, as bytes. */
  message(bytes: Uint8Array): void;
  /** Comes last, and once, unless the call was cancelled. `undefined`: it ended well. */
  ended(error: Error | undefined): void;
}

/** A call that goes on. */
export interface Exchange {
  /** Sends one message. What is sent after the end is lost: the end is told. */
  send(bytes: Uint8Array): void;
  /** Sends the last message. */
  finish(bytes: Uint8Array): void;
  /** Ends it in both directions; nothing is told any more. */
  cancel(): void;
}

/** How long a server has to be there and to say its first word, in milliseconds. */
const CONNECT_MS = 2_000;
/** How long one address of a name is waited for before the next is tried. */
const ADDRESS_MS = 300;
/** How long a server has to give a sign of life. */
const PROBE_MS = 1_500;
/** How much of an answer may be on its way before any of it was taken, in bytes. */
const WINDOW = 4 * 1024 * 1024;
/** NGHTTP2_CANCEL */
const CANCEL = 8;
const HEAD = 5;
const MIB = 1024 * 1024;
/** No answer of etcd is longer: it takes requests up to 1.5 MiB, and lists are of documents of a few KiB. */
const MESSAGE_MAX = 64 * MIB;

let loaded: Promise<
  readonly [typeof import("node:http2"), typeof import("node:net"), typeof import("node:tls")]
>;

/** Loads HTTP/2 when it is first used: that takes longer than anything else a command does. */
function modules(secure: boolean): typeof loaded {
  if (loaded === undefined && secure) {
    // The runtime's TLS gathers chance for 25 ms before its first handshake. Making a key does that too, in a thread
    // beside this one.
    crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]).catch(() => {});
  }
  return loaded ??= Promise.all([import("node:http2"), import("node:net"), import("node:tls")]);
}

export class Connection {
  readonly #session: ClientHttp2Session;
  readonly #socket: Writable;
  readonly #deadlines = new Deadlines();
  /** Whether what is sent is being gathered. */
  #gathering = false;
  #usable = true;
  /** What broke it. */
  #fault: Error | undefined;
  #probing = false;
  /** Calls that have not ended. */
  #running = 0;
  #retired = false;

  private constructor(session: ClientHttp2Session, socket: Writable) {
    this.#session = session;
    this.#socket = socket;
    session.on("goaway", () => this.#usable = false);
    session.on("close", () => this.#usable = false);
    session.on("error", (error) => {
      this.#usable = false;
      this.#fault = error;
    });
  }

  /**
   * Connects. Rejects with {@linkcode EtcdTimeoutError}, or with what the network or the TLS layer reports.
   *
   * @param url `http://host:port` or `https://host:port`
   */
  static async open(url: string, certificates: Certificates): Promise<Connection> {
    const { protocol, hostname, port } = new URL(url);
    const secure = protocol === "https:";
    const [http2, net, tls] = await modules(secure);
    const host = hostname.replace(/^\[|\]$/g, "");
    const to = { host, port: Number(port), autoSelectFamilyAttemptTimeout: ADDRESS_MS };
    return await new Promise((resolve, reject) => {
      const socket = secure
        ? tls.connect({
          ...to,
          ...certificates,
          ...net.isIP(host) ? {} : { servername: host },
          ALPNProtocols: ["h2"],
        })
        : net.connect(to);
      const fail = (error: Error) => {
        clearTimeout(timer);
        // The runtime crashes where this happens while it hands over what arrived.
        setTimeout(() => socket.destroy(), 0);
        reject(error);
      };
      const timer = setTimeout(() => fail(new EtcdTimeoutError(CONNECT_MS)), CONNECT_MS);
      socket.on("error", fail);
      socket.once("close", () => fail(new Error("connection closed")));
      socket.once(secure ? "secureConnect" : "connect", () => {
        const session = http2.connect(url, {
          createConnection: () => socket,
          settings: { enablePush: false, initialWindowSize: WINDOW },
        });
        const connection = new Connection(session, socket);
        session.once("error", fail);
        session.once("close", () => fail(new Error("connection closed")));
        // before the session's own: what it answers by itself, such as a ping, leaves with the next call
        socket.prependListener("data", () => connection.#gather());
        session.once("remoteSettings", () => {
          clearTimeout(timer);
          session.setLocalWindowSize(WINDOW);
          resolve(connection);
        });
      });
    });
  }

  /** Whether calls can be made on it, as far as is known. */
  get usable(): boolean {
    return this.#usable;
  }

  /**
   * A call of one request and one answer. Rejects with {@linkcode EtcdAnswerError}, {@linkcode EtcdTimeoutError}, or what
   * broke the connection.
   *
   * @param deadlineMs by the clock of `performance`
   */
  call(
    path: string,
    metadata: Readonly<Record<string, string>>,
    request: Uint8Array,
    deadlineMs: number,
  ): Promise<Uint8Array> {
    const leftMs = Math.max(1, Math.ceil(deadlineMs - performance.now()));
    return new Promise((resolve, reject) => {
      let answer: Uint8Array | undefined;
      const exchange = this.exchange(path, { ...metadata, "grpc-timeout": `${leftMs}m` }, {
        message: (bytes) => answer ??= bytes,
        ended: (error) => {
          this.#deadlines.met(deadline);
          if (error) reject(error);
          else if (answer) resolve(answer);
          else reject(new EtcdAnswerError(CODE.unknown, "an answer without a message"));
        },
      });
      const late = () => {
        exchange.cancel();
        this.#probe();
        reject(new EtcdTimeoutError(leftMs));
      };
      const deadline = { atMs: performance.now() + leftMs, late };
      this.#deadlines.add(deadline);
      exchange.finish(request);
    });
  }

  /** A call with any number of requests and answers. Throws when the connection has just ended. */
  exchange(path: string, metadata: Readonly<Record<string, string>>, answer: Answer): Exchange {
    this.#gather();
    const stream = this.#session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      // a member that has no leader, or loses it, then says so at once
      hasleader: "true",
      ...metadata,
    });
    this.#running++;
    const messages = new Messages();
    let running = true;
    let status: IncomingHttpHeaders | undefined;
    let fault: Error | undefined;
    const end = (error: Error | undefined) => {
      if (!running) return;
      running = false;
      answer.ended(error);
    };
    const cancel = () => {
      running = false;
      stream.close(CANCEL);
    };
    stream.on("response", (headers) => {
      if (headers["grpc-status"] !== undefined) status = headers;
      const type = String(headers["content-type"] ?? "");
      if (type.startsWith("application/grpc")) return;
      end(
        new EtcdAnswerError(CODE.unknown, `not etcd: it answers HTTP status ${headers[":status"]}`),
      );
      cancel();
    });
    stream.on("data", (chunk: Uint8Array) => {
      try {
        for (const message of messages.take(chunk)) if (running) answer.message(message);
      } catch (error) {
        // the header is told of after what follows it, and may tell more
        setTimeout(() => {
          end(error as Error);
          cancel();
        }, 0);
      }
    });
    stream.on("trailers", (headers) => status = headers);
    stream.on("end", () => status && end(answered(status)));
    stream.on("error", (error) => fault = error);
    stream.on("close", () => {
      if (--this.#running === 0 && this.#retired) this.close();
      end(status ? answered(status) : this.#fault ?? fault ?? new Error("connection closed"));
    });
    return {
      send: (bytes) => void (stream.writable && stream.write(framed(bytes))),
      finish: (bytes) => void stream.end(framed(bytes)),
      cancel,
    };
  }

  /** Ends the connection as soon as nothing runs on it; no new calls are made on it. */
  retire(): void {
    this.#usable = false;
    this.#retired = true;
    if (this.#running === 0) this.close();
  }

  /** Ends the connection, and with it every call on it. */
  close(): void {
    this.#usable = false;
    // The runtime crashes where a session is destroyed while it hands over what arrived.
    setTimeout(() => this.#session.destroy(), 0);
  }

  /** What is sent in this turn of the event loop leaves in one piece: a call is made of three, and each costs a system call. */
  #gather(): void {
    if (this.#gathering) return;
    this.#gathering = true;
    this.#socket.cork();
    setImmediate(() => {
      this.#gathering = false;
      this.#socket.uncork();
    });
  }

  /** Closes a connection that nothing comes through any more. */
  #probe(): void {
    if (this.#probing || !this.#usable) return;
    this.#probing = true;
    const timer = setTimeout(() => this.close(), PROBE_MS);
    this.#session.ping(() => {
      clearTimeout(timer);
      this.#probing = false;
    });
  }
}

/** The messages in the bytes of an answer. */
class Messages {
  #chunks: Uint8Array[] = [];
  #length = 0;
  /** So many bytes are needed before there is another message, or its length is known. */
  #needed = HEAD;

  /** The messages that are complete with these bytes. Throws {@linkcode EtcdAnswerError}. */
  take(chunk: Uint8Array): Uint8Array[] {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    const messages: Uint8Array[] = [];
    if (this.#length < this.#needed) return messages;
    let rest = joined(this.#chunks, this.#length);
    this.#needed = HEAD;
    while (rest.length >= HEAD) {
      const end = HEAD + messageLength(rest);
      this.#needed = end;
      if (rest.length < end) break;
      messages.push(rest.subarray(HEAD, end));
      rest = rest.subarray(end);
      this.#needed = HEAD;
    }
    this.#chunks = [rest];
    this.#length = rest.length;
    return messages;
  }
}

/** What the head of a message says: one byte of whether it is compressed, and four of how long it is. */
function messageLength(bytes: Uint8Array): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  const refuse = (why: string) => new EtcdAnswerError(CODE.internal, why);
  if (bytes[0] === 1) throw refuse("a compressed answer, though none was requested");
  if (bytes[0] !== 0) throw refuse("an answer that is not gRPC");
  if (length <= MESSAGE_MAX) return length;
  throw refuse(
    `an answer of ${Math.ceil(length / MIB)} MiB is longer than the limit of ${MESSAGE_MAX / MIB} MiB`,
  );
}

function framed(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEAD + message.length);
  new DataView(bytes.buffer).setUint32(1, message.length);
  bytes.set(message, HEAD);
  return bytes;
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  if (chunks.length === 1 && chunks[0]) return chunks[0];
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** How a call ended, by what stands in the trailers, or where there was no answer in the header. */
function answered(status: IncomingHttpHeaders): EtcdAnswerError | undefined {
  const code = Number(status["grpc-status"]);
  if (code === 0) return undefined;
  return new EtcdAnswerError(code, decoded(String(status["grpc-message"] ?? "")));
}

/** `grpc-message` is percent-encoded, and need not be well formed. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
