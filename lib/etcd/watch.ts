/**
 * All watches of one etcd store on one stream. A listener hears of each change of its key as soon as etcd tells of it;
 * after a broken connection the watch goes on behind the last change that it saw. Only where that place is not known, or
 * etcd has dropped what came after it, the listener hears `missed`; and now and then without a reason, since a watch is a
 * hint. The stream is kept until the last watch is closed; while no endpoint answers, it is tried again and again, ever
 * more slowly, and nobody is told.
 */

import { type IDuplexStream, type IWatchRequest, type IWatchResponse, WatchClient } from "etcd3/lib/rpc.js";
import type { EtcdTransport } from "./transport.ts";
import { bytesOf, entryOf } from "./txn.ts";
import { type Change, isBefore, type Watch } from "../store.ts";

type WatchStream = IDuplexStream<IWatchRequest, IWatchResponse>;

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

/** One watch, over all the connections that it lives through. */
interface Listener {
  readonly key: string;
  readonly tell: (change: Change) => void;
  /** All changes up to this revision were told, or need not be; `undefined`: nobody knows. */
  seen: string | undefined;
  /** Whether a server has confirmed it before. */
  known: boolean;
  closed: boolean;
}

export class EtcdWatches {
  readonly #servers: EtcdServers;
  readonly #random: () => number;
  readonly #listeners = new Set<Listener>();
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
  add(key: string, tell: (change: Change) => void, after?: string): Watch {
    if (this.#closed) throw new TypeError(`cannot watch ${JSON.stringify(key)}: the store is closed`);
    const listener: Listener = { key, tell, seen: after, known: false, closed: false };
    this.#listeners.add(listener);
    this.#connection?.create(listener);
    if (!this.#connection && this.#retry === undefined) this.#connect();
    this.#refresh ??= this.#refreshLater();
    return {
      close: () => {
        listener.closed = true;
        if (!this.#listeners.delete(listener)) return;
        if (this.#listeners.size === 0) this.#stop();
        else this.#connection?.cancel(listener);
      },
    };
  }

  /** Ends every watch. */
  close(): void {
    this.#closed = true;
    for (const listener of this.#listeners) listener.closed = true;
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
    const connection: Connection = new Connection(server, this.#listeners, {
      confirmed: () => {
        this.#backoffMs = BACKOFF_MIN_MS;
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

  #refreshLater(): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      for (const listener of this.#listeners) tellSoon(listener, { kind: "missed" });
      this.#refresh = this.#refreshLater();
    }, REFRESH_MS * (1 + this.#random() / 2));
  }
}

/** In a task of its own, so that a listener that throws does not break the stream of the others. */
function tellSoon(listener: Listener, change: Change): void {
  queueMicrotask(() => {
    if (!listener.closed) listener.tell(change);
  });
}

/** What a connection tells of. */
interface ConnectionEvents {
  /** A watch was confirmed: the server is there. */
  confirmed(): void;
  failed(): void;
}

/** One stream to one server, from its beginning to its first failure. */
class Connection {
  readonly #events: ConnectionEvents;
  /** Watches that were asked for and are not confirmed; etcd confirms in the order of asking. */
  #pending: Listener[] = [];
  readonly #confirmed = new Map<string, Listener>();
  #stream: WatchStream | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(server: EtcdTransport, listeners: Iterable<Listener>, events: ConnectionEvents) {
    this.#events = events;
    this.#pending = [...listeners];
    this.#expectAnswer();
    new WatchClient(server).watch().then((stream) => {
      if (this.#ended) return stream.cancel();
      this.#stream = stream;
      stream.on("data", (response) => this.#receive(response));
      stream.on("error", () => this.#fail());
      stream.on("end", () => this.#fail());
      for (const listener of this.#pending) this.#request(listener);
    }).catch(() => this.#fail());
  }

  create(listener: Listener): void {
    this.#pending.push(listener);
    this.#expectAnswer();
    if (this.#stream) this.#request(listener);
  }

  /** Ends one watch. One that is not confirmed yet is ended when it is. */
  cancel(listener: Listener): void {
    for (const [id, confirmed] of this.#confirmed) {
      if (confirmed !== listener) continue;
      this.#confirmed.delete(id);
      this.#stream?.write({ cancel_request: { watch_id: id } });
    }
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#deadline);
    clearTimeout(this.#silence);
    this.#stream?.cancel();
  }

  #request({ key, seen, known }: Listener): void {
    this.#stream?.write({
      create_request: {
        key: bytesOf(key),
        // etcd catches up only every 100 ms with a watch that begins in the past: a new one begins now, and a commit
        // that came in between is found in the confirmation
        ...seen === undefined || !known ? {} : { start_revision: String(BigInt(seen) + 1n) },
        // keeps the place of a quiet watch ahead of what etcd drops
        progress_notify: true,
      },
    });
  }

  #receive(response: IWatchResponse): void {
    if (this.#ended) return;
    if (this.#pending.length <= (response.created ? 1 : 0)) clearTimeout(this.#deadline);
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#askForLife(), SILENCE_MS);
    if (response.created) return this.#confirm(response);
    // one that no watch is named in, or one that was closed here, only shows that the server lives
    const listener = this.#confirmed.get(response.watch_id);
    if (!listener) return;
    if (response.canceled) return this.#canceled(listener, response);
    // The revision in the head of a response with events is ahead of them when there are more to come.
    if (response.events.length === 0) listener.seen = response.header.revision;
    for (const { type, kv } of response.events) {
      const revision = listener.seen = kv.mod_revision;
      tellSoon(listener, { kind: "changed", entry: type === "Delete" ? null : entryOf(kv), revision });
    }
  }

  #confirm(response: IWatchResponse): void {
    const listener = this.#pending.shift();
    if (response.canceled || listener === undefined) return this.#fail();
    this.#events.confirmed();
    this.#confirmed.set(response.watch_id, listener);
    if (listener.closed) return this.cancel(listener);
    const { revision } = response.header;
    // A server that is behind what another one told was restored from a copy, or lags: it cannot tell what came after.
    if (listener.known && listener.seen !== undefined && isBefore(revision, listener.seen)) {
      this.cancel(listener);
      listener.seen = undefined;
      return this.create(listener);
    }
    const fresh = !listener.known;
    listener.known = true;
    if (listener.seen !== undefined && !(fresh && isBefore(listener.seen, revision))) return;
    listener.seen = revision;
    tellSoon(listener, { kind: "missed" });
  }

  /** etcd ended a watch that is wanted. */
  #canceled(listener: Listener, { watch_id, compact_revision }: IWatchResponse): void {
    this.#confirmed.delete(watch_id);
    if (compact_revision === "0") return this.#fail();
    listener.seen = undefined;
    this.create(listener);
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
