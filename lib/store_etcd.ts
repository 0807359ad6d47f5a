/**
 * The store on etcd v3, through the client `etcd3`.
 *
 * A read is one linearizable Range, a commit one Txn. A read that fails is tried at the next endpoint, and all of it
 * ends by the deadline of the call; a silent endpoint costs a part of the time and not all of it. A commit is tried
 * once: repeating a swap that had landed would report it as refused. Whatever ends it without an answer is `unknown`,
 * and the endpoint that failed moves to the end, so that a repeat goes elsewhere.
 *
 * The parts of etcd3 that retry, break circuits and re-attach watches by themselves are left out for that reason: each
 * endpoint has a connection pool of its own, of one host, and what is tried next is decided here.
 */

import { Buffer } from "node:buffer";
import net from "node:net";
import tls from "node:tls";
import { noop } from "cockatiel";
import { ConnectionPool } from "etcd3/lib/connection-pool.js";
import { type ICompare, type IRangeRequest, type IRangeResponse, KVClient } from "etcd3/lib/rpc.js";
import { type EtcdFailure, etcdFailure, etcdStoreError, EtcdTimeout } from "./etcd_error.ts";
import { type EtcdConnector, EtcdWatches } from "./etcd_watch.ts";
import {
  type CallOptions,
  type CommitOutcome,
  type Entry,
  type Store,
  StoreError,
  type Transaction,
  type Watch,
} from "./store.ts";

/** Where etcd is and how to be trusted by it. The files were read by the caller. */
export interface EtcdOptions {
  /** `http://host:port` or `https://host:port`, at least one. The port is 2379 when left out. */
  readonly endpoints: readonly string[];
  /** The CAs that may have signed the certificate of etcd, PEM. Without it, those that the runtime knows. */
  readonly ca?: Uint8Array;
  /** The client certificate, PEM; together with `key`. */
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
  readonly username?: string;
  readonly password?: string;
  /** A number from 0 up to 1: which endpoint comes first, and the jitter of reconnecting. */
  readonly random?: () => number;
}

/** How long a read waits for one endpoint while there are others to ask. */
const FAILOVER_MS = 1500;
/** How long a read waits before it asks the endpoints again, when one said that it will be able to answer soon. */
const RETRY_MS = 100;
/** How often a read asks all endpoints at most, within its deadline. */
const ROUNDS_MAX = 100;
/** gRPC ends a call at its deadline; this much later the call is given up without it. */
const GRACE_MS = 100;
const DEFAULT_PORT = 2379;

/** etcd closes connections that send pings more often than every 5 s. */
const CHANNEL_OPTIONS = {
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 3_000,
  "grpc.enable_http_proxy": 0,
  "grpc.enable_channelz": 0,
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
} as const;

allowAddressesAsServerNames();

/**
 * Opens a store on etcd. Connects at the first call.
 *
 * @throws {StoreError} when an endpoint is not one, or the certificates cannot be used
 */
export function openEtcd(options: EtcdOptions): Store {
  return new EtcdStore(options);
}

class EtcdStore implements Store {
  readonly name: string;
  readonly #endpoints: Endpoint[];
  readonly #options: EtcdOptions;
  readonly #watches: EtcdWatches;
  #closed = false;

  constructor(options: EtcdOptions) {
    const random = options.random ?? Math.random;
    this.#options = options;
    checkPem("CA", options.ca, "CERTIFICATE");
    checkPem("client certificate", options.cert, "CERTIFICATE");
    checkPem("key of the client certificate", options.key, "PRIVATE KEY");
    const endpoints = options.endpoints.map((url) => new Endpoint(url, options));
    if (endpoints.length === 0) throw new StoreError("failed", "cannot open etcd: no endpoint is given");
    this.name = endpoints.map((endpoint) => endpoint.url).join(",");
    const first = Math.floor(random() * endpoints.length);
    this.#endpoints = [...endpoints.slice(first), ...endpoints.slice(0, first)];
    this.#watches = new EtcdWatches({
      first: () => this.#endpoints[0] as Endpoint,
      failed: (connector) => {
        const endpoint = this.#endpoints.find((candidate) => candidate === connector);
        if (endpoint === undefined) return;
        endpoint.forgetLogin();
        this.#demote(endpoint);
      },
    }, random);
  }

  async read(key: string, options: CallOptions): Promise<Entry | null> {
    const response = await this.#range(
      { key: Buffer.from(key) },
      `cannot read ${JSON.stringify(key)}`,
      options,
    );
    return entries(response)[0] ?? null;
  }

  async list(prefix: string, options: CallOptions): Promise<Entry[]> {
    const range = { key: Buffer.from(prefix === "" ? "\0" : prefix), range_end: afterPrefix(prefix) };
    return entries(await this.#range(range, `cannot list ${JSON.stringify(prefix)}`, options));
  }

  async commit(transaction: Transaction, options: CallOptions): Promise<CommitOutcome> {
    const keys = [...new Set(transaction.put.map((put) => put.key))].map((key) => JSON.stringify(key)).join(
      ", ",
    );
    const what = `cannot tell whether the change of ${keys} was made`;
    if (this.#closed) {
      return { kind: "unknown", cause: closedError(what) };
    }
    const request = {
      compare: transaction.expect.map(({ key, revision }): ICompare => ({
        key: Buffer.from(key),
        result: "Equal",
        ...revision === null
          ? { target: "Create", create_revision: "0" }
          : { target: "Mod", mod_revision: revision },
      })),
      success: transaction.put.map(({ key, value }) => ({
        request_put: { key: Buffer.from(key), value: Buffer.from(value) },
      })),
    };
    const endpoint = this.#first();
    try {
      const response = await endpoint.call(options.timeoutMs, (kv, call) => kv.txn(request, call));
      if (!response.succeeded) return { kind: "refused" };
      return { kind: "committed", revision: response.header.revision };
    } catch (error) {
      const failure = this.#failure(endpoint, error, options.timeoutMs);
      return { kind: "unknown", cause: etcdStoreError(what, new Map([[endpoint.url, failure]]), error) };
    }
  }

  watch(key: string, changed: () => void): Watch {
    return this.#watches.add(key, changed);
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#watches.close();
    for (const endpoint of this.#endpoints) endpoint.close();
    return Promise.resolve();
  }

  async #range(request: IRangeRequest, what: string, { timeoutMs }: CallOptions): Promise<IRangeResponse> {
    if (this.#closed) throw closedError(what);
    const started = performance.now();
    const leftMs = () => timeoutMs - (performance.now() - started);
    const failures = new Map<string, EtcdFailure>();
    let cause: unknown;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      let again = false;
      for (let others = this.#endpoints.length - 1; others >= 0 && leftMs() > 0; others--) {
        const endpoint = this.#first();
        const left = leftMs();
        const waitMs = others === 0 ? left : Math.min(left / (others + 1), FAILOVER_MS);
        try {
          return await endpoint.call(waitMs, (kv, call) => kv.range(request, call));
        } catch (error) {
          cause = error;
          const failure = this.#failure(endpoint, error, waitMs);
          failures.set(endpoint.url, failure);
          if (failure.next === "stop" || this.#closed) throw etcdStoreError(what, failures, error);
          again ||= failure.next === "again";
        }
      }
      if (!again || leftMs() <= RETRY_MS) break;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    if (failures.size === 0) throw new StoreError("timeout", `${what}: no time was left to ask ${this.name}`);
    throw etcdStoreError(what, failures, cause);
  }

  /** The endpoint to ask next: the one that answered last, as far as is known. */
  #first(): Endpoint {
    return this.#endpoints[0] as Endpoint;
  }

  #demote(endpoint: Endpoint): void {
    const at = this.#endpoints.indexOf(endpoint);
    if (at >= 0) this.#endpoints.push(...this.#endpoints.splice(at, 1));
  }

  #failure(endpoint: Endpoint, error: unknown, waitedMs: number): EtcdFailure {
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
}

/** One server, with a connection that is made when needed. */
class Endpoint implements EtcdConnector {
  readonly url: string;
  readonly #host: string;
  readonly #options: EtcdOptions;
  #pool: ConnectionPool;
  #kv: KVClient;
  /** When the login that a call may begin with has to be over, in epoch milliseconds. */
  #loginDeadline = 0;

  constructor(url: string, options: EtcdOptions) {
    const parts = /^(https?):\/\/(\[[0-9A-Fa-f:.%]+\]|[^\s:/?#@\[\]]+)(?::(\d{1,5}))?\/?$/.exec(url);
    if (!parts) {
      throw new StoreError(
        "failed",
        `cannot open etcd: ${JSON.stringify(url)} is not an endpoint`,
        "write http://HOST:PORT or https://HOST:PORT",
      );
    }
    this.#host = `${parts[2]}:${parts[3] ?? DEFAULT_PORT}`;
    this.url = `${parts[1]}://${this.#host}`;
    this.#options = options;
    this.#pool = this.#open();
    this.#kv = new KVClient(this.#pool);
  }

  /** A call of the key-value service, over after `timeoutMs`, whatever happens. */
  async call<T>(
    timeoutMs: number,
    run: (kv: KVClient, call: { deadline: number }) => Promise<T>,
  ): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    this.#loginDeadline = deadline;
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      return await Promise.race([
        run(this.#kv, { deadline }),
        new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(new EtcdTimeout("no answer")), timeoutMs + GRACE_MS);
        }),
      ]);
    } finally {
      clearTimeout(timer);
    }
  }

  withWatchClient<T>(timeoutMs: number, run: Parameters<EtcdConnector["withWatchClient"]>[1]): Promise<T> {
    this.#loginDeadline = Date.now() + timeoutMs;
    return this.#pool.withConnection(
      "Watch",
      ({ client, metadata }) => run(client, metadata.clone()),
    ) as Promise<T>;
  }

  /** A token may have expired: the next call logs in anew. */
  forgetLogin(): void {
    if (this.#options.username === undefined) return;
    this.#pool.close();
    this.#pool = this.#open();
    this.#kv = new KVClient(this.#pool);
  }

  close(): void {
    this.#pool.close();
  }

  #open(): ConnectionPool {
    const { ca, cert, key, username, password } = this.#options;
    const secure = this.url.startsWith("https:");
    try {
      return new ConnectionPool({
        hosts: [this.url],
        ...secure && (ca || cert)
          ? {
            credentials: {
              // The type asks for it; where it is missing, gRPC takes the CAs that the runtime knows.
              rootCertificate: (ca ? Buffer.from(ca) : undefined) as Buffer,
              ...cert && key ? { privateKey: Buffer.from(key), certChain: Buffer.from(cert) } : {},
            },
          }
          : {},
        ...username === undefined ? {} : { auth: { username, password: password ?? "" } },
        defaultCallOptions: (context) => context.isStream ? {} : { deadline: this.#loginDeadline },
        grpcOptions: CHANNEL_OPTIONS,
        faultHandling: { host: () => noop, global: noop },
      });
    } catch (error) {
      throw new StoreError(
        "tls",
        `cannot use the certificates for ${this.url}: ${
          error instanceof Error ? error.message : String(error)
        }`,
        "check --etcd-cafile, --etcd-certfile and --etcd-keyfile",
        { cause: error },
      );
    }
  }
}

function entries(response: IRangeResponse): Entry[] {
  return response.kvs.map((kv) => ({
    key: kv.key.toString(),
    value: kv.value.toString(),
    revision: kv.mod_revision,
  }));
}

/** The first key that no longer begins with `prefix`, as etcd wants it: `\0` stands for the end of all keys. */
function afterPrefix(prefix: string): Buffer {
  const bytes = Buffer.from(prefix);
  for (let last = bytes.length - 1; last >= 0; last--) {
    const byte = bytes[last] ?? 0xff;
    if (byte < 0xff) return Buffer.from([...bytes.subarray(0, last), byte + 1]);
  }
  return Buffer.from([0]);
}

/** The TLS layer passes over what it cannot read, and fails later for a reason that misleads. */
function checkPem(what: string, bytes: Uint8Array | undefined, label: string): void {
  if (
    bytes === undefined || new RegExp(`-----BEGIN [A-Z ]*${label}-----`).test(Buffer.from(bytes).toString())
  ) return;
  throw new StoreError("tls", `cannot use the ${what} for etcd: the file holds no ${label} in PEM form`);
}

function closedError(what: string): StoreError {
  return new StoreError("failed", `${what}: the store is closed`);
}

/**
 * Lets gRPC connect to `https://<address>`: it passes the address as the server name, which the TLS layer of the runtime
 * refuses. Without a server name the certificate is still checked against the address.
 */
function allowAddressesAsServerNames(): void {
  const connect = tls.connect as (...args: unknown[]) => tls.TLSSocket;
  Object.assign(tls, {
    connect(...args: unknown[]): tls.TLSSocket {
      const [options, ...rest] = args;
      if (typeof options === "object" && options !== null && "servername" in options) {
        const { servername, ...others } = options;
        if (typeof servername === "string" && net.isIP(servername) !== 0) return connect(others, ...rest);
      }
      return connect(...args);
    },
  });
}
