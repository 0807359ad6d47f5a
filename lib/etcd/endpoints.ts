/**
 * The endpoints of one etcd, in the order in which they are asked: the one that answered last comes first, one that
 * failed goes to the end. A question that any member can answer is asked at the next one when the first fails, until its
 * time is over; a silent endpoint costs a part of that time and not all of it.
 */

import { KVClient, LeaseClient } from "etcd3/lib/rpc.js";
import { type EtcdFailure, etcdFailure, etcdStoreError } from "./error.ts";
import { textOf } from "./txn.ts";
import { EtcdTransport } from "./transport.ts";
import { StoreError } from "../store.ts";

/** Where etcd is and how to be trusted by it. The files were read by the caller. */
export interface EtcdOptions {
  /** `http://host:port` or `https://host:port`, at least one. The port is 2379 when left out. */
  readonly endpoints: readonly string[];
  /** CAs that may have signed the certificate of etcd, PEM, beside those that the runtime knows. */
  readonly ca?: Uint8Array;
  /** The client certificate, PEM; together with `key`. */
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
  readonly username?: string;
  readonly password?: string;
  /** A number from 0 up to 1: which endpoint comes first, and the jitter of reconnecting. */
  readonly random?: () => number;
}

/** One server. */
export interface Endpoint {
  readonly url: string;
  readonly transport: EtcdTransport;
  readonly kv: KVClient;
  readonly lease: LeaseClient;
}

/** How long a question waits for one endpoint while there are others to ask. */
const FAILOVER_MS = 1500;
/** How long it waits before it asks the endpoints again, when one said that it will be able to answer soon. */
const RETRY_MS = 100;
/** How often a connection that broke is made anew within a question. */
const RETRIES_MAX = 5;
/** How often all endpoints are asked at most, within the deadline. */
const ROUNDS_MAX = 100;
const DEFAULT_PORT = 2379;
const PORT_MAX = 65_535;

export class EtcdEndpoints {
  /** The endpoints in the order in which they were given, without any secret. */
  readonly name: string;
  readonly #endpoints: Endpoint[];
  readonly #options: EtcdOptions;
  #closed = false;

  /** @throws {StoreError} when an endpoint is not one, or the certificates cannot be used */
  constructor(options: EtcdOptions, random: () => number) {
    this.#options = options;
    checkPem("CA", options.ca, "CERTIFICATE");
    checkPem("client certificate", options.cert, "CERTIFICATE");
    checkPem("key of the client certificate", options.key, "PRIVATE KEY");
    const endpoints = options.endpoints.map((url) => openEndpoint(url, options));
    if (endpoints.length === 0) throw new StoreError("failed", "cannot open etcd: no endpoint is given");
    this.name = endpoints.map((endpoint) => endpoint.url).join(",");
    const first = Math.floor(random() * endpoints.length);
    this.#endpoints = [...endpoints.slice(first), ...endpoints.slice(0, first)];
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The endpoint to ask next: the one that answered last, as far as is known. */
  first(): Endpoint {
    return this.#endpoints[0] as Endpoint;
  }

  /**
   * Makes a call that may be made more than once, at one endpoint after the other, until one answers.
   *
   * @param what what could not be done if it fails: `cannot read "a/b"`
   * @param call makes it at one endpoint; the deadline is in epoch milliseconds
   * @throws {StoreError}
   */
  async ask<T>(
    what: string,
    timeoutMs: number,
    call: (endpoint: Endpoint, deadline: number) => Promise<T>,
  ): Promise<T> {
    if (this.#closed) throw closedError(what);
    const started = performance.now();
    const leftMs = () => timeoutMs - (performance.now() - started);
    const failures = new Map<string, EtcdFailure>();
    let cause: unknown;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      let again = false;
      for (let others = this.#endpoints.length - 1; others >= 0 && leftMs() > 0; others--) {
        const endpoint = this.first();
        const left = leftMs();
        const waitMs = others === 0 ? left : Math.min(left / (others + 1), FAILOVER_MS);
        try {
          return await call(endpoint, Date.now() + waitMs);
        } catch (error) {
          cause = error;
          const failure = this.failure(endpoint, error, waitMs);
          failures.set(endpoint.url, failure);
          if (failure.next === "stop" || this.#closed) throw etcdStoreError(what, failures, error);
          again ||= failure.next === "again" || failure.next === "retry" && round < RETRIES_MAX;
        }
      }
      if (!again || leftMs() <= RETRY_MS) break;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    if (failures.size === 0) throw new StoreError("timeout", `${what}: no time was left to ask ${this.name}`);
    throw etcdStoreError(what, failures, cause);
  }

  /** What went wrong at an endpoint, which goes to the end for it. */
  failure(endpoint: Endpoint, error: unknown, waitedMs: number): EtcdFailure {
    this.#demote(endpoint);
    const { ca, cert, username } = this.#options;
    return etcdFailure(error, {
      endpoint: endpoint.url,
      waitedMs,
      hasCa: ca !== undefined,
      hasClientCertificate: cert !== undefined,
      ...username === undefined ? {} : { username },
    });
  }

  /** A stream broke or fell silent: neither its connection nor its login is used again. */
  failed(transport: EtcdTransport): void {
    transport.markFailed();
    const endpoint = this.#endpoints.find((candidate) => candidate.transport === transport);
    if (endpoint) this.#demote(endpoint);
  }

  close(): void {
    this.#closed = true;
    for (const endpoint of this.#endpoints) endpoint.transport.close();
  }

  #demote(endpoint: Endpoint): void {
    const at = this.#endpoints.indexOf(endpoint);
    if (at >= 0) this.#endpoints.push(...this.#endpoints.splice(at, 1));
  }
}

/** What a store says that was closed. */
export function closedError(what: string): StoreError {
  return new StoreError("failed", `${what}: the store is closed`);
}

function openEndpoint(url: string, options: EtcdOptions): Endpoint {
  const parts = /^(https?):\/\/(\[[0-9A-Fa-f:.%]+\]|[^\s:/?#@\[\]]+)(?::(\d{1,5}))?\/?$/.exec(url);
  const [, scheme, host, port = String(DEFAULT_PORT)] = parts ?? [];
  if (scheme === undefined || host === undefined || Number(port) < 1 || Number(port) > PORT_MAX) {
    throw new StoreError(
      "failed",
      `cannot open etcd: ${JSON.stringify(url)} is not an endpoint`,
      "write http://HOST:PORT or https://HOST:PORT",
    );
  }
  const { ca, cert, key, username, password } = options;
  try {
    const transport = new EtcdTransport({
      url: `${scheme}://${host}:${port}`,
      host,
      ...scheme === "https" && ca ? { ca: textOf(ca) } : {},
      ...scheme === "https" && cert && key ? { cert: textOf(cert), key: textOf(key) } : {},
      ...username === undefined ? {} : { username, password: password ?? "" },
    });
    return {
      url: `${scheme}://${host}:${port}`,
      transport,
      kv: new KVClient(transport),
      lease: new LeaseClient(transport),
    };
  } catch (error) {
    throw new StoreError(
      "tls",
      `cannot use the certificates for ${url}: ${error instanceof Error ? error.message : String(error)}`,
      "check --etcd-cafile, --etcd-certfile and --etcd-keyfile",
      { cause: error },
    );
  }
}

/** The TLS layer passes over what it cannot read, and fails later for a reason that misleads. */
function checkPem(what: string, bytes: Uint8Array | undefined, label: string): void {
  if (
    bytes === undefined || new RegExp(`-----BEGIN [A-Z ]*${label}-----`).test(textOf(bytes))
  ) return;
  throw new StoreError("tls", `cannot use the ${what} for etcd: the file holds no ${label} in PEM form`);
}
