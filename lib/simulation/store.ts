/**
 * A store at the other end of a simulated network: every call takes time, and what happens to it on the way is decided
 * by {@linkcode Network}. The server is a {@linkcode Memory} that loses nothing it has committed.
 *
 * A lease lives as long as its process does and gets through; signs of life are not sent one by one, so that a wait costs
 * a simulation nothing. What a dead process had sent still arrives.
 */

import type { Memory } from "./memory.ts";
import {
  type CallOptions,
  type Change,
  type CommitOutcome,
  type Lease,
  type Store,
  StoreError,
  type Transaction,
  type Watch,
} from "../store.ts";
import type { Process } from "./virtual_time.ts";

/** What happens to a call. Times in milliseconds. */
export interface Fate {
  readonly requestMs: number;
  readonly replyMs: number;
  /** What never arrives. */
  readonly lost?: "request" | "reply";
  /** The request arrives a second time, so much later. */
  readonly againMs?: number;
}

export type CallKind = "read" | "commit" | "lease";

/** What lies between a process and the store. */
export interface Network {
  /** Of a call that `process` makes. */
  fate(process: Process, kind: CallKind): Fate;
  /** Of a change that a watch tells: after how many milliseconds it is told, each time; none: never. */
  tell(process: Process): readonly number[];
  /** Whether the server answers, and if not, why. */
  outage(): string | undefined;
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
    private readonly memory: Memory,
    private readonly process: Process,
    private readonly network: Network,
    private readonly witness: Witness,
  ) {}

  read(key: string, { timeoutMs }: CallOptions) {
    return this.#ask("read", timeoutMs, () => this.memory.read(key));
  }

  list(prefix: string, { timeoutMs }: CallOptions) {
    const range = { from: prefix, to: `${prefix}\uffff` };
    return this.#ask("read", timeoutMs, () => [...this.memory.view([{ range }]).found[0] ?? []]);
  }

  view(queries: Parameters<Store["view"]>[0], { timeoutMs }: CallOptions) {
    return this.#ask("read", timeoutMs, () => this.memory.view(queries));
  }

  history(key: string, { timeoutMs }: CallOptions) {
    return this.#ask("read", timeoutMs, () => this.memory.history(key));
  }

  async commit(transaction: Transaction, { timeoutMs }: CallOptions): Promise<CommitOutcome> {
    try {
      return await this.#ask(
        "commit",
        timeoutMs,
        () => this.witness.arrives(this.process, transaction, () => this.memory.commit(transaction)),
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
      const id = this.memory.lease();
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
        this.process.time.after(ttlMs, () => this.memory.endLease(id));
        return this.#ask("lease", options.timeoutMs, () => this.memory.endLease(id)).catch(() => {});
      },
      abandon: () => {
        ended = true;
        this.process.time.after(ttlMs, () => this.memory.endLease(id));
      },
    };
  }

  watch(key: string, listener: (change: Change) => void, after?: string): Watch {
    let open = true;
    const tell = (change: Change) => {
      for (const ms of this.network.tell(this.process)) {
        this.process.time.after(ms, () => this.process.run(() => open && listener(change)));
      }
    };
    let inner: Watch | undefined;
    const request = this.process.time.after(this.network.fate(this.process, "read").requestMs, () => {
      if (!open) return;
      if (after === undefined) tell({ kind: "missed" });
      inner = this.memory.watch(key, tell, after ?? this.memory.revision);
    });
    const watch = {
      close: () => {
        open = false;
        request.cancel();
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
      const { process, network, witness } = this;
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
        const outage = network.outage();
        if (outage !== undefined) {
          if (answer) process.time.after(replyMs, () => fail(new StoreError("unreachable", outage)));
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
