/**
 * A store at the other end of a simulated network: every call takes time, and what happens to it on the way is decided
 * by {@linkcode Network}. The {@linkcode Server} may be away for a while; it loses nothing it has committed.
 *
 * A lease lives as long as its process does and gets through; signs of life are not sent one by one, so that a wait costs
 * a simulation nothing. What a dead process had sent still arrives.
 */

import type { Memory } from "./memory.ts";
import type { Timer } from "../surroundings.ts";
import {
  type CallOptions,
  type Change,
  type CommitOutcome,
  type HistoryOptions,
  type KeyRange,
  type Lease,
  type Store,
  StoreError,
  type Transaction,
  type Watch,
} from "../store.ts";
import type { Process, VirtualTime } from "./virtual_time.ts";

/** What happens to a call. Times in milliseconds. */
export interface Fate {
  readonly requestMs: number;
  readonly replyMs: number;
  /** What never arrives. */
  readonly lost?: "request" | "reply";
  /** The request arrives a second time, so much later. */
  readonly againMs?: number;
}

/** What is asked of the store; and `slot`, of a server that keeps slots. */
export type CallKind = "read" | "commit" | "lease" | "watch" | "slot";

/** What lies between a process and the store. */
export interface Network {
  /** Of a call that `process` makes. */
  fate(process: Process, kind: CallKind): Fate;
  /** Of a change that a watch tells: after how many milliseconds it is told, each time; none: never. */
  tell(process: Process): readonly number[];
}

/** A store that comes back is found again by every watch of its own within so many milliseconds. */
export const RECONNECT_MS = 2_400;

/** The store as its clients meet it: a memory that may be away for a while. */
export class Server {
  #backAt = 0;
  /** Who hears of the next time that it goes away: what is open on a connection. */
  readonly #connected = new Set<() => void>();
  #met: () => void = () => {};

  constructor(readonly memory: Memory, private readonly time: VirtualTime) {}

  /** Goes away for `ms` milliseconds. `met` is called once, when the first call or watch meets that, if any does. */
  leave(ms: number, met: () => void): void {
    let first = true;
    this.#met = () => {
      if (first) met();
      first = false;
    };
    this.#backAt = Math.max(this.#backAt, this.time.elapsed + ms);
    for (const cut of [...this.#connected]) {
      this.#met();
      cut();
    }
  }

  /** It is there again, if it was away. */
  comeBack(): void {
    this.#backAt = this.time.elapsed;
  }

  /** When it is there, by the time of the simulation: now, or later. */
  get backAt(): number {
    return Math.max(this.#backAt, this.time.elapsed);
  }

  /** Whether it is away; who asks has met that. */
  isAway(): boolean {
    const away = this.#backAt > this.time.elapsed;
    if (away) this.#met();
    return away;
  }

  /** Calls `cut` when it goes away, until that is given up. */
  connect(cut: () => void): { close(): void } {
    this.#connected.add(cut);
    return { close: () => this.#connected.delete(cut) };
  }
}

/** What looks on. */
export interface Witness {
  /** Something is about to be sent, or was answered: a moment at which a process may die. */
  checkpoint(process: Process): void;
  /** A transaction arrived; `apply` commits it. */
  arrives(process: Process, transaction: Transaction, apply: () => CommitOutcome): CommitOutcome;
  leased(process: Process, lease: string, ttlMs: number, lost: () => void): void;
  unknown(): void;
}

export class SimulatedStore implements Store {
  readonly name = "simulated";
  readonly #watches = new Set<Watch>();

  constructor(
    private readonly server: Server,
    private readonly process: Process,
    private readonly network: Network,
    private readonly witness: Witness,
  ) {}

  read(key: string, { timeoutMs }: CallOptions) {
    return this.#ask("read", timeoutMs, () => this.server.memory.read(key));
  }

  list(prefix: string, { timeoutMs }: CallOptions) {
    const range = { from: prefix, to: `${prefix}\uffff` };
    return this.#ask("read", timeoutMs, () => [...this.server.memory.view([{ range }]).found[0] ?? []]);
  }

  view(queries: Parameters<Store["view"]>[0], { timeoutMs }: CallOptions) {
    return this.#ask("read", timeoutMs, () => this.server.memory.view(queries));
  }

  history(key: string, { timeoutMs, last }: HistoryOptions) {
    return this.#ask("read", timeoutMs, () => this.server.memory.history(key, last));
  }

  async commit(transaction: Transaction, { timeoutMs }: CallOptions): Promise<CommitOutcome> {
    try {
      return await this.#ask(
        "commit",
        timeoutMs,
        () => this.witness.arrives(this.process, transaction, () => this.server.memory.commit(transaction)),
      );
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.witness.unknown();
      return { kind: "unknown", cause: error };
    }
  }

  async lease(ttlMs: number, lost: () => void, { timeoutMs }: CallOptions): Promise<Lease> {
    let owned = false;
    let gone = false;
    let ended = false;
    const tell = () => this.process.run(() => ended || lost());
    const id = await this.#ask("lease", timeoutMs, () => {
      const id = this.server.memory.lease();
      this.witness.leased(this.process, id, ttlMs, () => {
        gone = true;
        if (owned) tell();
      });
      return id;
    });
    owned = true;
    // one that went before its owner heard of it is lost as soon as the owner has it
    if (gone) this.process.time.after(0, tell);
    return {
      id,
      end: (options) => {
        ended = true;
        // nobody says any more that it lives, whether or not the server hears of its end
        this.process.time.after(ttlMs, () => this.server.memory.endLease(id));
        return this.#ask("lease", options.timeoutMs, () => this.server.memory.endLease(id)).catch(() => {});
      },
      abandon: () => {
        ended = true;
        this.process.time.after(ttlMs, () => this.server.memory.endLease(id));
      },
    };
  }

  watch(range: KeyRange, listener: (change: Change) => void, after?: string): Watch {
    let open = true;
    const tell = (change: Change) => {
      for (const ms of this.network.tell(this.process)) {
        this.process.time.after(ms, () => this.process.run(() => open && listener(change)));
      }
    };
    let inner: Watch | undefined;
    let request: Timer;
    const { server, process, network } = this;
    /** Of a watch that is cut off, nobody knows what it missed. */
    const begin = (from: string | undefined) => {
      if (!open) return;
      if (server.isAway()) return again();
      if (from === undefined) tell({ kind: "missed" });
      inner = server.memory.watch(range, tell, from ?? server.memory.revision);
    };
    const again = () => {
      inner?.close();
      inner = undefined;
      request.cancel();
      const backMs = server.backAt - process.time.elapsed;
      const soonMs = process.surroundings.random() * RECONNECT_MS;
      request = process.time.after(backMs + soonMs, () => begin(undefined));
    };
    request = process.time.after(network.fate(process, "watch").requestMs, () => begin(after));
    const connection = server.connect(again);
    const watch = {
      close: () => {
        open = false;
        request.cancel();
        connection.close();
        inner?.close();
        this.#watches.delete(watch);
      },
    };
    this.#watches.add(watch);
    return watch;
  }

  close(): Promise<void> {
    this.#watches.forEach((watch) => watch.close());
    return Promise.resolve();
  }

  #ask<T>(kind: CallKind, timeoutMs: number, apply: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const { server, process, network, witness } = this;
      witness.checkpoint(process);
      if (!process.alive) return;
      const { requestMs, replyMs, lost, againMs } = network.fate(process, kind);
      const fail = (reason: StoreError) => {
        timer.cancel();
        process.run(() => {
          witness.checkpoint(process);
          process.run(() => reject(reason));
        });
      };
      const timer = process.time.after(
        timeoutMs,
        () => fail(new StoreError("timeout", `simulated: no answer within ${timeoutMs} ms`)),
      );
      if (lost === "request") return;
      const arrive = (answer: boolean) => {
        if (server.isAway()) {
          const away = new StoreError("unreachable", "simulated: the store is away");
          if (answer) process.time.after(replyMs, () => fail(away));
          return;
        }
        const result = apply();
        if (!answer || lost === "reply") return;
        process.time.after(replyMs, () =>
          process.run(() => {
            timer.cancel();
            witness.checkpoint(process);
            process.run(() => resolve(result));
          }));
      };
      process.time.after(requestMs, () => arrive(true));
      if (againMs !== undefined) process.time.after(requestMs + againMs, () => arrive(false));
    });
  }
}
