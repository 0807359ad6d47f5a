/**
 * One server of etcd: the connection to it, made when it is first needed and anew when it broke, the login, and the calls.
 *
 * All that this process wants of the server goes over one connection. A call is made once; only one that etcd refused
 * because the login is no longer good is made again after another login. What fails before a request could leave is
 * told apart from what fails later, since then nothing can have happened.
 */

import { AUTHENTICATE, type Call } from "./calls.ts";
import { certificateFault, type CurrentCertificates } from "./certificates.ts";
import { type Answer, Connection, EtcdAnswerError, EtcdTimeoutError, type Exchange } from "./connection.ts";
import type { Pace } from "./pace.ts";

/** How to be let in. */
export interface Login {
  readonly username: string;
  readonly password: string;
}

/** What was asked for did not get as far as etcd; `cause` says why. */
export class UnsentError extends Error {
  override readonly name = "UnsentError";
  constructor(override readonly cause: Error) {
    super(cause.message);
  }
}

/** What a stream tells. */
export interface StreamEvents<Response> {
  message(response: Response): void;
  /** Comes last, and once, unless the stream was cancelled. `undefined`: etcd ended it. */
  ended(error: Error | undefined): void;
}

/** A call that goes on, with requests of its own. */
export interface Stream<Request> {
  send(request: Request): void;
  cancel(): void;
}

/** How often a call is made again with a new login: users may be changed while it is on its way. */
const LOGINS_MAX = 3;
/** How long a login may take, for all that wait for it, in milliseconds. */
const LOGIN_MS = 5_000;

export class EtcdServer {
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  /** Why the last attempt to connect failed. */
  #fault: Error | undefined;
  /** Of the connection that is in use: another one may lead to an etcd that never answers to this token. */
  #token: string | undefined;
  #authenticating: Promise<string> | undefined;
  #closed = false;

  constructor(
    /** `http://host:port` or `https://host:port`. */
    readonly url: string,
    private readonly certificates: CurrentCertificates,
    private readonly login: Login | undefined,
    private readonly pace: Pace,
  ) {}

  /**
   * Makes one call. Rejects with {@linkcode UnsentError}, {@linkcode EtcdAnswerError}, {@linkcode EtcdTimeoutError}, or
   * what broke the connection.
   *
   * @param deadlineMs by the clock of `performance`
   */
  async call<Request, Response>(
    call: Call<Request, Response>,
    request: Request,
    deadlineMs: number,
  ): Promise<Response> {
    for (let login = 0;; login++) {
      const { connection, token, metadata } = await this.#ready(deadlineMs);
      try {
        return call.decode(await connection.call(call.path, metadata, call.encode(request), deadlineMs));
      } catch (error) {
        if (token === undefined || login === LOGINS_MAX || !isStaleLogin(error)) throw error;
        this.#forget(token);
      }
    }
  }

  /**
   * Opens a stream. Rejects as {@linkcode call}.
   *
   * @param anew whether to log in again before, since etcd may have forgotten the login
   */
  async stream<Request, Response>(
    call: Call<Request, Response>,
    events: StreamEvents<Response>,
    { deadlineMs = Infinity, anew = false } = {},
  ): Promise<Stream<Request>> {
    if (anew) this.#token = undefined;
    const { connection, metadata } = await this.#ready(deadlineMs);
    const answer: Answer = {
      message: (bytes) => events.message(call.decode(bytes)),
      ended: (error) => events.ended(error),
    };
    const exchange: Exchange = connection.exchange(call.path, metadata, answer);
    return { send: (request) => exchange.send(call.encode(request)), cancel: () => exchange.cancel() };
  }

  /** Whether it has to be logged in to. */
  get hasLogin(): boolean {
    return this.login !== undefined;
  }

  /** Another server is used from now on. */
  retire(): void {
    this.#connection?.retire();
    this.#connection = undefined;
  }

  /** The connection is not to be used again: nothing comes through it. */
  drop(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  /** Ends every call and stream. */
  close(): void {
    this.#closed = true;
    this.drop();
  }

  /** All that a call needs beforehand. Rejects with {@linkcode UnsentError}. */
  async #ready(deadlineMs: number) {
    try {
      const connection = this.#connection?.usable
        ? this.#connection
        : await inTime(this.#connect(), deadlineMs, () => this.#fault);
      if (this.login === undefined) return { connection, token: undefined, metadata: {} };
      const token = this.#token ?? await inTime(this.#authenticate(connection, this.login), deadlineMs);
      return { connection, token, metadata: { token } };
    } catch (error) {
      throw new UnsentError(error as Error);
    }
  }

  #connect(): Promise<Connection> {
    const connecting = this.#connecting ??= this.#open().finally(() => this.#connecting = undefined);
    connecting.catch(() => {}); // told to who waits, if anybody still does
    return connecting;
  }

  async #open(): Promise<Connection> {
    await this.pace.turn();
    if (this.#closed) throw new Error("the store is closed");
    const certificates = this.url.startsWith("https:") ? this.certificates.read() : {};
    try {
      const connection = await Connection.open(this.url, certificates);
      this.#fault = undefined;
      this.pace.succeeded();
      if (this.#closed) connection.close();
      this.#token = undefined;
      return this.#connection = connection;
    } catch (error) {
      this.pace.failed();
      throw this.#fault = await certificateFault(error as Error, this.url, certificates);
    }
  }

  #authenticate(connection: Connection, { username, password }: Login): Promise<string> {
    const authenticating = this.#authenticating ??= (async () => {
      const request = AUTHENTICATE.encode({ name: username, password });
      const answer = await connection.call(AUTHENTICATE.path, {}, request, performance.now() + LOGIN_MS);
      const { token } = AUTHENTICATE.decode(answer);
      if (this.#connection === connection) this.#token = token;
      return token;
    })().finally(() => this.#authenticating = undefined);
    authenticating.catch(() => {});
    return authenticating;
  }

  /** Another call may have logged in anew meanwhile. */
  #forget(token: string): void {
    if (this.#token === token) this.#token = undefined;
  }
}

/** Whether etcd refused something, and did nothing, because it does not accept the login any more. */
export function isStaleLogin(error: unknown): boolean {
  return error instanceof EtcdAnswerError &&
    /invalid auth token|revision of auth store is old/.test(error.message);
}

/** The outcome, if it comes in time; else the reason that is known, or that there was no answer. */
async function inTime<T>(
  outcome: Promise<T>,
  deadlineMs: number,
  reason: () => Error | undefined = () => undefined,
): Promise<T> {
  if (deadlineMs === Infinity) return await outcome;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const leftMs = Math.max(0, deadlineMs - performance.now());
  const timer = setTimeout(
    () => reject(reason() ?? new EtcdTimeoutError(leftMs)),
    leftMs,
  );
  try {
    return await Promise.race([outcome, late]);
  } finally {
    clearTimeout(timer);
  }
}
