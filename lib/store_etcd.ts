/**
 * The store on etcd v3, through the client `etcd3`.
 *
 * A read is one linearizable Range, a commit one Txn. A read that fails is tried at the next endpoint, and all of it
 * ends by the deadline of the call; a silent endpoint costs a part of the time and not all of it. A commit is tried
 * once: repeating a swap that had landed would report it as refused. Whatever ends it without an answer is `unknown`,
 * and the endpoint that failed moves to the end, so that a repeat goes elsewhere.
 *
 * The calls are made by the service clients of etcd3. Its pool, which retries, breaks circuits and attaches watches anew by
 * itself, is left out for that reason: what is tried next is decided here.
 */

import { type ICompare, type IRangeRequest, type IRangeResponse, KVClient } from "etcd3/lib/rpc.js";
import { type EtcdFailure, etcdFailure, etcdStoreError } from "./etcd_error.ts";
import { EtcdTransport } from "./etcd_transport.ts";
import { EtcdWatches } from "./etcd_watch.ts";
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

/** How long a read waits for one endpoint while there are others to ask. */
const FAILOVER_MS = 1500;
/** How long a read waits before it asks the endpoints again, when one said that it will be able to answer soon. */
const RETRY_MS = 100;
/** How often a connection that broke is made anew within a read. */
const RETRIES_MAX = 5;
/** How often a read asks all endpoints at most, within its deadline. */
const ROUNDS_MAX = 100;
const DEFAULT_PORT = 2379;
const PORT_MAX = 65_535;

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
    const endpoints = options.endpoints.map((url) => openEndpoint(url, options));
    if (endpoints.length === 0) throw new StoreError("failed", "cannot open etcd: no endpoint is given");
    this.name = endpoints.map((endpoint) => endpoint.url).join(",");
    const first = Math.floor(random() * endpoints.length);
    this.#endpoints = [...endpoints.slice(first), ...endpoints.slice(0, first)];
    this.#watches = new EtcdWatches({
      first: () => this.#first().transport,
      failed: (transport) => {
        transport.markFailed();
        const endpoint = this.#endpoints.find((candidate) => candidate.transport === transport);
        if (endpoint) this.#demote(endpoint);
      },
    }, random);
  }

  async read(key: string, options: CallOptions): Promise<Entry | null> {
    const response = await this.#range(
      { key: bytesOf(key) },
      `cannot read ${JSON.stringify(key)}`,
      options,
    );
    return entries(response)[0] ?? null;
  }

  async list(prefix: string, options: CallOptions): Promise<Entry[]> {
    const range = { key: bytesOf(prefix === "" ? "\0" : prefix), range_end: afterPrefix(prefix) };
    return entries(await this.#range(range, `cannot list ${JSON.stringify(prefix)}`, options));
  }

  async commit(transaction: Transaction, options: CallOptions): Promise<CommitOutcome> {
    const keys = transaction.put.map(({ key }) => JSON.stringify(key)).join(", ");
    const what = `cannot tell whether the change of ${keys} was made`;
    if (this.#closed) return { kind: "unknown", cause: closedError(what) };
    const request = {
      compare: transaction.expect.map(({ key, revision }): ICompare => ({
        key: bytesOf(key),
        result: "Equal",
        ...revision === null
          ? { target: "Create", create_revision: "0" }
          : { target: "Mod", mod_revision: revision },
      })),
      success: transaction.put.map(({ key, value }) => ({
        request_put: { key: bytesOf(key), value: bytesOf(value) },
      })),
    };
    const endpoint = this.#first();
    try {
      const response = await endpoint.kv.txn(request, { deadline: Date.now() + options.timeoutMs });
      if (!response.succeeded) return { kind: "refused" };
      return { kind: "committed", revision: response.header.revision };
    } catch (error) {
      const failure = this.#failure(endpoint, error, options.timeoutMs);
      if (failure.kind === "permission" || failure.kind === "authentication") {
        throw etcdStoreError(`cannot change ${keys}`, new Map([[endpoint.url, failure]]), error);
      }
      return { kind: "unknown", cause: etcdStoreError(what, new Map([[endpoint.url, failure]]), error) };
    }
  }

  watch(key: string, changed: () => void): Watch {
    return this.#watches.add(key, changed);
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#watches.close();
    for (const endpoint of this.#endpoints) endpoint.transport.close();
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
          return await endpoint.kv.range(request, { deadline: Date.now() + waitMs });
        } catch (error) {
          cause = error;
          const failure = this.#failure(endpoint, error, waitMs);
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

/** One server. */
interface Endpoint {
  readonly url: string;
  readonly transport: EtcdTransport;
  readonly kv: KVClient;
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
      ...scheme === "https" && ca ? { ca: text(ca) } : {},
      ...scheme === "https" && cert && key ? { cert: text(cert), key: text(key) } : {},
      ...username === undefined ? {} : { username, password: password ?? "" },
    });
    return { url: `${scheme}://${host}:${port}`, transport, kv: new KVClient(transport) };
  } catch (error) {
    throw new StoreError(
      "tls",
      `cannot use the certificates for ${url}: ${error instanceof Error ? error.message : String(error)}`,
      "check --etcd-cafile, --etcd-certfile and --etcd-keyfile",
      { cause: error },
    );
  }
}

function entries(response: IRangeResponse): Entry[] {
  return response.kvs.map((kv) => ({
    key: text(kv.key),
    value: text(kv.value),
    revision: kv.mod_revision,
  }));
}

/** The first key that no longer begins with `prefix`, as etcd wants it: `\0` stands for the end of all keys. */
function afterPrefix(prefix: string): Bytes {
  const bytes = bytesOf(prefix);
  for (let last = bytes.length - 1; last >= 0; last--) {
    const byte = bytes[last] ?? 0xff;
    if (byte < 0xff) return Uint8Array.from([...bytes.subarray(0, last), byte + 1]) as Bytes;
  }
  return bytesOf("\0");
}

/** The TLS layer passes over what it cannot read, and fails later for a reason that misleads. */
function checkPem(what: string, bytes: Uint8Array | undefined, label: string): void {
  if (
    bytes === undefined || new RegExp(`-----BEGIN [A-Z ]*${label}-----`).test(text(bytes))
  ) return;
  throw new StoreError("tls", `cannot use the ${what} for etcd: the file holds no ${label} in PEM form`);
}

/** etcd3 types bytes as the Buffer of node; the codec takes any bytes, and loading Buffer costs more than a call. */
type Bytes = NonNullable<IRangeRequest["key"]>;

function bytesOf(text: string): Bytes {
  return new TextEncoder().encode(text) as Bytes;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function closedError(what: string): StoreError {
  return new StoreError("failed", `${what}: the store is closed`);
}
