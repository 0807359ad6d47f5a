/**
 * The endpoints of one etcd, in the order in which they are asked: the one that answered last comes first, one that
 * failed goes to the end. What one of them could not answer is asked of the next until the time is over; a silent endpoint
 * costs a part of that time and not all of it. What may have happened is not asked again, unless asking twice is fine.
 */

import { type CertificateFiles, CurrentCertificates } from "./certificates.ts";
import { type EtcdFailure, etcdFailure, etcdStoreError } from "./error.ts";
import { Pace } from "./pace.ts";
import { EtcdServer } from "./server.ts";
import { StoreError } from "../store.ts";

/** Where etcd is and how to be trusted by it. The files were read by the caller. */
export interface EtcdOptions extends CertificateFiles {
  /** `http://host:port` or `https://host:port`, at least one. The port is 2379 when left out. */
  readonly endpoints: readonly string[];
  /** Reads the files again, which is done before each new connection: certificates are replaced while a daemon runs. */
  readonly reload?: () => CertificateFiles;
  readonly username?: string;
  readonly password?: string;
  /** A number from 0 up to 1: which endpoint comes first, and the jitter of reconnecting. */
  readonly random?: () => number;
}

/** How long a question waits for one endpoint while there are others to ask. */
const FAILOVER_MS = 1_500;
/** The pause before the endpoints are asked again, when one said that it will be able to answer soon; it doubles. */
const PAUSE_MS = { first: 100, last: 1_600 };
/** How often a connection that broke is made anew within a question. */
const RETRIES_MAX = 5;
/** How long they are asked again for that reason: an election of a leader does not last longer, if there can be one. */
const ELECTION_MS = 2_500;
/**
 * With less than this, in milliseconds, or less than this part of the time of a question, nobody is asked once more: that
 * would end with the news that there was no answer, and hide what was answered before.
 */
const LAST_ROUND = { leastMs: 500, leastPart: 0.25 };
/** How often all endpoints are asked at most, within the deadline. */
const ROUNDS_MAX = 100;
const DEFAULT_PORT = 2379;
const PORT_MAX = 65_535;

/** A call failed, and nobody knows whether it was made. */
export class UncertainError extends Error {
  override readonly name = "UncertainError";
  constructor(override readonly cause: StoreError) {
    super(cause.message);
  }
}

/** How to ask. */
export interface Question<T> {
  /** What could not be done if it fails: `cannot read "a/b"`. */
  readonly what: string;
  readonly timeoutMs: number;
  /** Asks one server; the deadline is by the clock of `performance`. */
  readonly call: (server: EtcdServer, deadlineMs: number) => Promise<T>;
  /** Set for a call that must not be made twice, to what nobody can tell then. */
  readonly once?: string;
}

export class EtcdEndpoints {
  /** The endpoints in the order in which they were given, without any secret. */
  readonly name: string;
  readonly #servers: EtcdServer[];
  readonly #options: EtcdOptions;
  readonly #pace: Pace;
  /** The one that answered last. */
  #good: EtcdServer | undefined;
  #closed = false;

  /** @throws {StoreError} when an endpoint is not one, or the certificates cannot be used */
  constructor(options: EtcdOptions, private readonly random: () => number) {
    const { endpoints, username, password = "", reload } = this.#options = options;
    const certificates = new CurrentCertificates(options, reload);
    const login = username === undefined ? undefined : { username, password };
    this.#pace = new Pace(endpoints.length, random);
    const servers = endpoints.map((text) =>
      new EtcdServer(endpointUrl(text), certificates, login, this.#pace)
    );
    if (servers.length === 0) throw new StoreError("failed", "cannot open etcd: no endpoint is given");
    this.name = servers.map(({ url }) => url).join(",");
    const first = Math.floor(random() * servers.length);
    this.#servers = [...servers.slice(first), ...servers.slice(0, first)];
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The server to ask next: the one that answered last, as far as is known. */
  first(): EtcdServer {
    return this.#servers[0] as EtcdServer;
  }

  /**
   * Asks one server after the other until one answers.
   *
   * @throws {StoreError} where nothing can have happened, or asking twice is fine; else {@linkcode UncertainError}
   */
  async ask<T>({ what, timeoutMs, call, once }: Question<T>): Promise<T> {
    if (this.#closed) throw closedError(what);
    const endMs = performance.now() + timeoutMs;
    const leftMs = () => endMs - performance.now();
    const lateMs = endMs - Math.min(LAST_ROUND.leastMs, timeoutMs * LAST_ROUND.leastPart);
    let lastRoundMs: number | undefined;
    const failures = new Map<string, EtcdFailure>();
    let cause: unknown;
    let pauseMs = PAUSE_MS.first;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      let again = false;
      for (let others = this.#servers.length - 1; others >= 0 && leftMs() > 0; others--) {
        const server = this.first();
        const waitMs = others === 0 ? leftMs() : Math.min(leftMs() / (others + 1), FAILOVER_MS);
        try {
          const answer = await call(server, performance.now() + waitMs);
          this.#use(server);
          return answer;
        } catch (error) {
          cause = error;
          const failure = this.failed(server, error);
          failures.set(server.url, failure);
          if (once !== undefined && !failure.certain) {
            throw new UncertainError(etcdStoreError(once, failures, error));
          }
          if (failure.next === "stop" || this.#closed) throw etcdStoreError(what, failures, error);
          again ||= failure.next === "again" || failure.next === "retry" && round < RETRIES_MAX;
        }
      }
      const restMs = pauseMs * (0.5 + this.random());
      lastRoundMs ??= Math.min(lateMs, performance.now() + ELECTION_MS);
      if (!again || performance.now() + restMs > lastRoundMs) break;
      await new Promise((resolve) => setTimeout(resolve, restMs));
      pauseMs = Math.min(2 * pauseMs, PAUSE_MS.last);
    }
    if (failures.size === 0) throw new StoreError("timeout", `${what}: no time was left to ask ${this.name}`);
    throw etcdStoreError(what, failures, cause);
  }

  /** What went wrong at a server, which goes to the end for it unless the others would say the same. */
  failed(server: EtcdServer, error: unknown): EtcdFailure {
    const { username } = this.#options;
    const failure = etcdFailure(error, {
      endpoint: server.url,
      ...username === undefined ? {} : { username },
    });
    const at = this.#servers.indexOf(server);
    if (at >= 0 && failure.next !== "stop") this.#servers.push(...this.#servers.splice(at, 1));
    return failure;
  }

  close(): void {
    this.#closed = true;
    for (const server of this.#servers) server.close();
    this.#pace.close();
  }

  /** One connection is enough: those to other servers end when nothing runs on them any more. */
  #use(server: EtcdServer): void {
    if (server === this.#good) return;
    this.#good = server;
    for (const other of this.#servers) if (other !== server) other.retire();
  }
}

/** What a store says that was closed. */
export function closedError(what: string): StoreError {
  return new StoreError("failed", `${what}: the store is closed`);
}

/** An endpoint as it was written, with its port. Throws {@linkcode StoreError}. */
function endpointUrl(text: string): string {
  const parts = /^(https?):\/\/(\[[0-9A-Fa-f:.%]+\]|[^\s:/?#@\[\]]+)(?::(\d{1,5}))?\/?$/.exec(text);
  const [, scheme, host, port = String(DEFAULT_PORT)] = parts ?? [];
  if (scheme !== undefined && host !== undefined && Number(port) >= 1 && Number(port) <= PORT_MAX) {
    return `${scheme}://${host}:${port}`;
  }
  throw new StoreError(
    "failed",
    `cannot open etcd: ${JSON.stringify(text)} is not an endpoint`,
    "write http://HOST:PORT or https://HOST:PORT",
  );
}
