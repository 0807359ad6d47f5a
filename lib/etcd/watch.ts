/**
 * All watches of one etcd store on one stream. A listener hears of each change of its keys as soon as etcd tells of it. A
 * watch always begins at the present, the first time and after each break of the connection, and says `missed` when it has
 * begun, unless nothing was committed since the revision that it was to begin behind: so who waits also hears that etcd
 * is back. Now and then it says so without a reason, since a watch is a hint.
 *
 * The stream is kept until the last watch is closed. While no endpoint answers, it is tried again and again. What etcd
 * refuses is told once, and tried again after minutes.
 */

import type { IWatchRequest, IWatchResponse } from "etcd3/lib/rpc.js";
import { WATCH } from "./calls.ts";
import { EtcdAnswerError, EtcdTimeoutError } from "./connection.ts";
import type { EtcdEndpoints } from "./endpoints.ts";
import { etcdStoreError } from "./error.ts";
import { type EtcdServer, isStaleLogin, type Stream } from "./server.ts";
import { entryOf, rangeOf, textOf } from "./txn.ts";
import { type Change, isBefore, isOneKey, type KeyRange, type Watch } from "../store.ts";

/** How long a server may take to answer before another is tried. */
const ANSWER_MS = 3_000;
/** A server that said nothing for so long is asked for a sign of life, and has `ANSWER_MS` to give it. */
const SILENCE_MS = 10_000;
/** The pause before a new stream after one broke: the first, and the longest. Each is lengthened by up to a half. */
const PAUSE_MS = { first: 100, last: 1_000 };
/** How often listeners are called without a reason, and what was refused is tried again; lengthened by up to a half. */
const REFRESH_MS = 300_000;

/** One watch, over all the connections that it lives through. */
interface Listener {
  readonly range: KeyRange;
  readonly tell: (change: Change) => void;
  /** The revision behind which it begins, until it has begun. */
  after: string | undefined;
  /** etcd has said that it will not do it. */
  refused: boolean;
  closed: boolean;
}

export class EtcdWatches {
  readonly #listeners = new Set<Listener>();
  #connection: Connection | undefined;
  #pauseMs = PAUSE_MS.first;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #refresh: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(private readonly endpoints: EtcdEndpoints, private readonly random: () => number) {}

  /** Begins a watch; see {@linkcode Store.watch}. */
  add(range: KeyRange, tell: (change: Change) => void, after?: string): Watch {
    if (this.#closed) throw new TypeError(`cannot watch ${named(range)}: the store is closed`);
    const listener: Listener = { range, tell, after, refused: false, closed: false };
    this.#listeners.add(listener);
    this.#connection?.create(listener);
    if (!this.#connection && this.#retry === undefined) this.#connect(false);
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

  #connect(anew: boolean): void {
    this.#retry = undefined;
    const server = this.endpoints.first();
    const connection: Connection = new Connection(server, this.#listeners, anew, {
      begun: () => {
        this.#pauseMs = PAUSE_MS.first;
      },
      refused: (listener, error) => this.#refuse(server, [listener], error),
      failed: (error, again) => {
        if (this.#connection !== connection) return;
        this.#connection = undefined;
        // all hear of it when there is another
        for (const listener of this.#listeners) listener.after = undefined;
        // it may have forgotten the login, and nobody else
        if (again) return this.#connect(true);
        const { next } = this.endpoints.failed(server, error);
        if (next === "stop") return this.#refuse(server, this.#listeners, error);
        this.#retry = setTimeout(() => this.#connect(false), this.#pauseMs * (1 + this.random() / 2));
        this.#pauseMs = Math.min(2 * this.#pauseMs, PAUSE_MS.last);
      },
    });
    this.#connection = connection;
  }

  /** Tells once why there is no watch. */
  #refuse(server: EtcdServer, listeners: Iterable<Listener>, cause: Error): void {
    const failures = new Map([[server.url, this.endpoints.failed(server, cause)]]);
    for (const listener of listeners) {
      if (listener.refused) continue;
      listener.refused = true;
      const error = etcdStoreError(`cannot watch ${named(listener.range)}`, failures, cause);
      tellSoon(listener, { kind: "refused", error });
    }
  }

  #refreshLater(): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      for (const listener of this.#listeners) {
        tellSoon(listener, { kind: "missed" });
        if (listener.refused) this.#connection?.create(listener);
      }
      if (!this.#connection && this.#retry === undefined) this.#connect(false);
      this.#refresh = this.#refreshLater();
    }, REFRESH_MS * (1 + this.random() / 2));
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
  /** A watch has begun: the server is there. */
  begun(): void;
  /** etcd said that it will not do this one. */
  refused(listener: Listener, error: Error): void;
  /** It is over; `again`: another login may help. */
  failed(error: Error, again: boolean): void;
}

/** One stream to one server, from its beginning to its first failure. */
class Connection {
  /** Watches that were asked for and have not begun; etcd begins them in the order of asking. */
  #pending: Listener[];
  readonly #begun = new Map<string, Listener>();
  #stream: Stream<IWatchRequest> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(
    private readonly server: EtcdServer,
    listeners: Iterable<Listener>,
    private readonly anew: boolean,
    private readonly events: ConnectionEvents,
  ) {
    this.#pending = [...listeners];
    server.stream(WATCH, {
      message: (response) => this.#receive(response),
      ended: (error) => this.#fail(error ?? new Error("connection closed")),
    }, { anew }).then((stream) => {
      if (this.#ended) return stream.cancel();
      this.#stream = stream;
      for (const listener of this.#pending) this.#request(listener);
    }).catch((error) => this.#fail(error));
  }

  create(listener: Listener): void {
    this.#pending.push(listener);
    if (this.#stream) this.#request(listener);
  }

  /** Ends one watch. One that has not begun yet is ended when it has. */
  cancel(listener: Listener): void {
    for (const [id, begun] of this.#begun) {
      if (begun !== listener) continue;
      this.#begun.delete(id);
      this.#stream?.send({ cancel_request: { watch_id: id } });
    }
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#deadline);
    clearTimeout(this.#silence);
    this.#stream?.cancel();
  }

  #request({ range }: Listener): void {
    this.#stream?.send({ create_request: rangeOf(range) });
    this.#expectAnswer();
  }

  #receive(response: IWatchResponse): void {
    if (this.#ended) return;
    if (this.#pending.length <= (response.created ? 1 : 0)) clearTimeout(this.#deadline);
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#askForLife(), SILENCE_MS);
    if (response.created) return this.#begin(response);
    // one that no watch is named in, or one that was closed here, only shows that the server lives
    const listener = this.#begun.get(response.watch_id);
    if (!listener) return;
    if (response.canceled) return this.#fail(canceled(response));
    for (const { type, kv } of response.events) {
      const entry = type === "Delete" ? null : entryOf(kv);
      tellSoon(listener, { kind: "changed", key: textOf(kv.key), entry, revision: kv.mod_revision });
    }
  }

  #begin(response: IWatchResponse): void {
    const listener = this.#pending.shift();
    if (listener === undefined) return this.#fail(canceled(response));
    if (response.canceled) return this.#refused(listener, canceled(response));
    this.events.begun();
    this.#begun.set(response.watch_id, listener);
    if (listener.closed) return this.cancel(listener);
    const { after } = listener;
    listener.after = undefined;
    listener.refused = false;
    if (after === undefined || isBefore(after, response.header.revision)) {
      tellSoon(listener, { kind: "missed" });
    }
  }

  /** To some versions of etcd a login that is no longer good is one that has no permission. */
  #refused(listener: Listener, error: Error): void {
    if (this.server.hasLogin && !this.anew) return this.#fail(error, true);
    if (isStaleLogin(error)) return this.#fail(error);
    this.events.refused(listener, error);
  }

  #fail(error: Error, again = false): void {
    if (this.#ended) return;
    this.end();
    this.events.failed(error, again);
  }

  #askForLife(): void {
    this.#stream?.send({ progress_request: {} });
    this.#expectAnswer();
  }

  #expectAnswer(): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      this.server.drop();
      this.#fail(new EtcdTimeoutError(ANSWER_MS));
    }, ANSWER_MS);
  }
}

/** For messages. */
function named(range: KeyRange): string {
  const from = JSON.stringify(range.from);
  return isOneKey(range) ? from : `the keys from ${from} to ${JSON.stringify(range.to)}`;
}

/** Why etcd ended a watch. */
function canceled({ cancel_reason }: IWatchResponse): EtcdAnswerError {
  const reason = cancel_reason.replace(/^rpc error: code = \w+ desc = /, "");
  return new EtcdAnswerError(0, reason === "" ? "etcd ended the watch" : reason);
}
