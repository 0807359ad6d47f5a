/**
 * All watches of one etcd store on one stream. A listener hears of its key some time after it changed, whenever the
 * stream was made anew, and now and then without a reason, since a watch is a hint: what it says, only a read confirms.
 * Calls that fall together are made once. The stream is kept until the last watch is closed; while no endpoint answers,
 * it is tried again and again, ever more slowly, and nobody is told.
 */

import { type IDuplexStream, type IWatchRequest, type IWatchResponse, WatchClient } from "etcd3/lib/rpc.js";
import type { EtcdTransport } from "./etcd_transport.ts";
import type { Watch } from "./store.ts";

type WatchStream = IDuplexStream<IWatchRequest, IWatchResponse>;
type Key = NonNullable<NonNullable<IWatchRequest["create_request"]>["key"]>;

/** Which server to use; told of each that failed. */
export interface EtcdServers {
  first(): EtcdTransport;
  failed(server: EtcdTransport): void;
}

/** How long a server may take to answer before another is tried. */
const ANSWER_MS = 3_000;
/** A server that said nothing for so long is asked for a sign of life, and has `ANSWER_MS` to give it. */
const SILENCE_MS = 10_000;
/** The wait before a new stream after a failure: the first, and the longest. Each is lengthened by up to a half. */
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 2_000;
/** How often listeners are called without a reason; lengthened by up to a half, so that a fleet does not march in step. */
const REFRESH_MS = 300_000;

/** What a connection tells of. */
interface ConnectionEvents {
  /** The key changed, or may have before its watch began. */
  changed(key: string): void;
  failed(): void;
}

interface Listener {
  readonly changed: () => void;
  timer?: ReturnType<typeof setTimeout>;
  closed: boolean;
}

export class EtcdWatches {
  readonly #servers: EtcdServers;
  readonly #random: () => number;
  readonly #listeners = new Map<string, Set<Listener>>();
  #connection: Connection | undefined;
  #backoffMs = BACKOFF_MIN_MS;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #refresh: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(servers: EtcdServers, random: () => number) {
    this.#servers = servers;
    this.#random = random;
  }

  /** Begins a watch; see {@linkcode Store.watch}. */
  add(key: string, changed: () => void): Watch {
    if (this.#closed) throw new TypeError(`cannot watch ${JSON.stringify(key)}: the store is closed`);
    const listener: Listener = { changed, closed: false };
    const listeners = this.#listeners.get(key) ?? new Set();
    listeners.add(listener);
    this.#listeners.set(key, listeners);
    if (listeners.size === 1) this.#connection?.create(key);
    else this.#tell(listener);
    if (!this.#connection && this.#retry === undefined) this.#connect();
    this.#refresh ??= this.#refreshLater();
    return {
      close: () => {
        listener.closed = true;
        clearTimeout(listener.timer);
        if (!listeners.delete(listener) || listeners.size > 0) return;
        this.#listeners.delete(key);
        if (this.#listeners.size === 0) this.#stop();
        else this.#connection?.cancel(key);
      },
    };
  }

  /** Ends every watch. */
  close(): void {
    this.#closed = true;
    for (const listeners of this.#listeners.values()) {
      for (const listener of listeners) {
        listener.closed = true;
        clearTimeout(listener.timer);
      }
    }
    this.#listeners.clear();
    this.#stop();
  }

  #stop(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#refresh);
    this.#retry = undefined;
    this.#refresh = undefined;
    this.#connection?.end();
    this.#connection = undefined;
  }

  #connect(): void {
    this.#retry = undefined;
    const server = this.#servers.first();
    const connection: Connection = new Connection(server, [...this.#listeners.keys()], {
      changed: (key) => {
        this.#backoffMs = BACKOFF_MIN_MS;
        for (const listener of this.#listeners.get(key) ?? []) this.#tell(listener);
      },
      failed: () => {
        if (this.#connection !== connection) return;
        this.#connection = undefined;
        this.#servers.failed(server);
        this.#retry = setTimeout(() => this.#connect(), this.#backoffMs * (1 + this.#random() / 2));
        this.#backoffMs = Math.min(2 * this.#backoffMs, BACKOFF_MAX_MS);
      },
    });
    this.#connection = connection;
  }

  /** Calls a listener soon, once for all that happens until then. */
  #tell(listener: Listener): void {
    if (listener.closed || listener.timer !== undefined) return;
    listener.timer = setTimeout(() => {
      delete listener.timer;
      listener.changed();
    }, 0);
  }

  #refreshLater(): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      for (const listeners of this.#listeners.values()) {
        for (const listener of listeners) this.#tell(listener);
      }
      this.#refresh = this.#refreshLater();
    }, REFRESH_MS * (1 + this.#random() / 2));
  }
}

/** One stream to one server, from its beginning to its first failure. */
class Connection {
  readonly #events: ConnectionEvents;
  /** Watches that were asked for and are not confirmed; etcd confirms in the order of asking. */
  #pending: string[] = [];
  readonly #ids = new Map<string, string>();
  #stream: WatchStream | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(server: EtcdTransport, keys: readonly string[], events: ConnectionEvents) {
    this.#events = events;
    this.#pending = [...keys];
    this.#expectAnswer();
    new WatchClient(server).watch().then((stream) => {
      if (this.#ended) return stream.cancel();
      this.#stream = stream;
      stream.on("data", (response) => this.#receive(response));
      stream.on("error", () => this.#fail());
      stream.on("end", () => this.#fail());
      for (const key of this.#pending) this.#request(key);
    }).catch(() => this.#fail());
  }

  create(key: string): void {
    this.#pending.push(key);
    this.#expectAnswer();
    if (this.#stream) this.#request(key);
  }

  /** Ends the watch of one key. One that is not confirmed yet is left: nobody listens to it any more. */
  cancel(key: string): void {
    const id = this.#ids.get(key);
    if (id === undefined) return;
    this.#ids.delete(key);
    this.#stream?.write({ cancel_request: { watch_id: id } });
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#deadline);
    clearTimeout(this.#silence);
    this.#stream?.cancel();
  }

  #request(key: string): void {
    this.#stream?.write({ create_request: { key: new TextEncoder().encode(key) as Key } });
  }

  #receive(response: IWatchResponse): void {
    if (this.#ended) return;
    if (this.#pending.length <= (response.created ? 1 : 0)) clearTimeout(this.#deadline);
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#askForLife(), SILENCE_MS);
    if (response.created) {
      const key = this.#pending.shift();
      if (response.canceled || key === undefined) return this.#fail();
      this.#ids.set(key, response.watch_id);
      this.#events.changed(key);
      return;
    }
    if (response.canceled) {
      if ([...this.#ids.values()].includes(response.watch_id)) this.#fail();
      return;
    }
    for (const event of response.events) this.#events.changed(new TextDecoder().decode(event.kv.key));
  }

  #fail(): void {
    if (this.#ended) return;
    this.end();
    this.#events.failed();
  }

  #askForLife(): void {
    this.#stream?.write({ progress_request: {} });
    this.#expectAnswer();
  }

  #expectAnswer(): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#fail(), ANSWER_MS);
  }
}
