/**
 * A fleet in memory behind the page's doors, for tests: what the store has is written by hand, and nothing else acts on it.
 */

import { ALL_GROUPS, EVERYTHING, queuePrefix, semaphoreKey } from "../../lib/group.ts";
import { serializeSemaphore } from "../../lib/document.ts";
import type { Mirror, MirrorNews, MirrorState } from "../../lib/mirror.ts";
import { type PlaceDetails, placeKey, serializePlace } from "../../lib/queue.ts";
import { FRESH, type Hold, type LastChange, type Semaphore } from "../../lib/semaphore.ts";
import type { Answer, Asked, Caller, Door } from "../../lib/serve/door.ts";
import { Fleet, type FleetSources } from "../../lib/serve/fleet.ts";
import { Operations } from "../../lib/serve/operations.ts";
import { PageDoor } from "../../lib/serve/page_door.ts";
import { Memory } from "../../lib/simulation/memory.ts";
import { type Entry, type KeyRange, type Store, StoreError } from "../../lib/store.ts";
import { formatListenAddress } from "../../lib/serve/listen_address.ts";
import { Router } from "../../lib/serve/router.ts";
import { serveDoors } from "../../lib/serve/server.ts";
import { REAL, type Surroundings } from "../../lib/surroundings.ts";

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;

/** A mirror that is as new as its memory, and away when a test says so. */
export class TestMirror implements Mirror {
  #state: MirrorState = { kind: "current" };
  readonly #listeners = new Set<(news: MirrorNews) => void>();
  #kept: { entries(range: KeyRange): readonly Entry[] } | undefined;

  constructor(readonly memory: Memory, private readonly now: () => number) {}

  get state(): MirrorState {
    return this.#state;
  }

  get revision(): string {
    return this.memory.revision;
  }

  /** The store is away, or back. */
  set away(away: boolean) {
    const error = new StoreError("unreachable", "https://etcd1:2379: connection refused");
    const all = this.entries({ from: "", to: "\uffff" });
    this.#kept = away
      ? { entries: ({ from, to }) => all.filter(({ key }) => key >= from && key < to) }
      : undefined;
    this.#state = away ? { kind: "behind", since: this.now(), error } : { kind: "current" };
    this.tell({ kind: "state" });
  }

  readonly range = EVERYTHING;

  entry(key: string): Entry | null {
    return this.memory.read(key);
  }

  entries(range: KeyRange): readonly Entry[] {
    return this.#kept?.entries(range) ?? this.memory.view([{ range }]).found[0] ?? [];
  }

  subscribe(listener: (news: MirrorNews) => void): { close(): void } {
    this.#listeners.add(listener);
    return { close: () => this.#listeners.delete(listener) };
  }

  tell(news: MirrorNews): void {
    for (const listener of this.#listeners) listener(news);
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
}

/** Who knows which tokens in tests. */
export const TOKENS: Readonly<Record<string, Caller>> = {
  "token-of-anna": { role: "operator", name: "anna" },
  "token-of-vera": { role: "viewer", name: "vera" },
  "token-of-web1": { role: "host", name: "web1" },
  "token-of-otto": { role: "operator", name: "otto", groups: new Set(["web"]) },
};

/** What a test chooses of its site. */
export interface SiteOptions {
  readonly surroundings: Surroundings;
  readonly openingsOf?: FleetSources["openingsOf"];
  readonly listed?: FleetSources["listed"];
  readonly secure?: boolean;
  /** A store over the memory. */
  store(memory: Memory): Store;
}

export class Site {
  readonly memory = new Memory();
  readonly mirror: TestMirror;
  readonly store: Store;
  readonly fleet: Fleet;
  readonly operations: Operations;
  readonly page: PageDoor;
  readonly revoked = new Set<string>();

  constructor(readonly options: SiteOptions) {
    const { surroundings, openingsOf, listed, secure = false } = options;
    this.mirror = new TestMirror(this.memory, () => surroundings.now());
    this.store = this.#telling(options.store(this.memory));
    this.fleet = new Fleet({
      mirror: this.mirror,
      store: this.store,
      surroundings,
      overdueMs: HOUR_MS,
      ...(openingsOf === undefined ? {} : { openingsOf }),
      ...(listed === undefined ? {} : { listed }),
    });
    this.operations = new Operations(this.store, surroundings);
    this.page = new PageDoor({
      fleet: this.fleet,
      operations: this.operations,
      surroundings,
      secure,
      judge: (token) => this.revoked.has(token) ? undefined : TOKENS[token],
    });
  }

  /** Commits also tell the mirror. */
  #telling(store: Store): Store {
    const told = Object.create(store) as Store;
    told.commit = async (transaction, options) => {
      const before = new Map(transaction.put.map(({ key }) => [key, this.memory.read(key)]));
      const outcome = await store.commit(transaction, options);
      for (const [key, was] of before) this.#tell(key, was);
      return outcome;
    };
    for (const method of ["read", "list", "view", "history", "lease", "watch", "close"] as const) {
      Object.defineProperty(told, method, { value: (store[method] as () => unknown).bind(store) });
    }
    return told;
  }

  #tell(key: string, before: Entry | null): void {
    const { revision } = this.memory;
    this.mirror.tell({ kind: "changed", key, entry: this.memory.read(key), before, revision });
  }

  /** Writes the document of a group, with what is recorded of the change. */
  write(
    group: string,
    change: (before: Semaphore) => Semaphore,
    changed: Omit<LastChange, "extra"> = {},
  ): void {
    const key = group === ALL_GROUPS ? semaphoreKey(ALL_GROUPS) : semaphoreKey(group);
    const before = this.#documents.get(key) ?? FRESH;
    const next = change(before);
    this.#documents.set(key, next);
    this.put(key, serializeSemaphore({ ...next, changed: { ...changed, extra: {} } }));
  }
  readonly #documents = new Map<string, Semaphore>();

  put(key: string, value: string): void {
    const before = this.memory.read(key);
    this.memory.commit({ expect: [], put: [{ key, value }] });
    this.#tell(key, before);
  }

  grant(group: string, id: string, hold: Omit<Hold, "extra"> & { readonly since: string }): void {
    this.write(group, (before) => ({
      ...before,
      holders: [...before.holders, id].sort(),
      holds: new Map(before.holds).set(id, { grant: `${id}${hold.since}`, ...hold, extra: {} }),
    }), {
      at: hold.since,
      by: hold.by ?? "locksmithd",
      what: hold.boot === undefined ? "lock" : "grant",
      machine: id,
    });
  }

  end(group: string, id: string, at: string, what = "release"): void {
    this.write(group, (before) => {
      const holds = new Map(before.holds);
      holds.delete(id);
      return { ...before, holders: before.holders.filter((one) => one !== id), holds };
    }, { at, by: "locksmithd", what, machine: id });
  }

  wait(group: string, id: string, details: PlaceDetails, priority = 0): void {
    this.put(placeKey(group, priority, id), serializePlace(details));
  }

  leave(group: string, id: string, priority = 0): void {
    const key = placeKey(group, priority, id);
    const before = this.memory.read(key);
    this.memory.commit({ expect: [], put: [], remove: [key] });
    this.#tell(key, before);
  }

  queueLength(group: string): number {
    return this.memory.view([{ range: { from: queuePrefix(group), to: `${queuePrefix(group)}\uffff` } }])
      .found[0]
      ?.length ?? 0;
  }
}

/** One request to a door, as its server would put it. */
export interface Request {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly caller?: Caller;
  readonly gone?: AbortSignal;
}

export const ANYBODY: Caller = { role: "operator", name: "anonymous" };

/** Asks a door without any network. */
export async function ask(door: Door, target: string, request: Request = {}): Promise<Answer> {
  const { method = "GET", headers = {}, body = "", caller = ANYBODY, gone } = request;
  const url = new URL(target, "http://lock.example:8080");
  const asked: Asked = {
    method,
    path: url.pathname,
    query: url.searchParams,
    header: (name) => ({ host: url.host, ...headers })[name],
    body: new TextEncoder().encode(body),
    caller,
    address: "127.0.0.1",
    requestId: "1",
    gone: gone ?? new AbortController().signal,
  };
  const route = new Router([door]).find(url.pathname);
  if (route === undefined) return { status: 404 };
  if (route.methods !== undefined && !route.methods.includes(method)) return { status: 405 };
  return await route.answer(asked);
}

/** Serves doors over HTTP on this host, to whoever comes as `caller`. */
export async function listen(
  doors: readonly Door[],
  caller: Caller = ANYBODY,
  port = 0,
): Promise<AsyncDisposable & { readonly url: string }> {
  const server = serveDoors(doors, {
    access: { version: {}, identify: () => ({ kind: "known", caller }) },
    surroundings: REAL,
    log: () => {},
  });
  const address = await server.listen({ kind: "tcp", host: "127.0.0.1", port });
  return { url: `http://${formatListenAddress(address)}`, [Symbol.asyncDispose]: () => server.stop() };
}
