/**
 * One machine of a benchmark, with all that a machine has of its own: its store (connection, watch, lease), its lock and
 * its waiter. Many of them run in one process.
 */

import { Lock, newMark } from "../../lib/lock.ts";
import { GRANTED, type NewHold } from "../../lib/semaphore.ts";
import type { Store } from "../../lib/store.ts";
import { REAL } from "../../lib/surroundings.ts";
import { LOOK_INTERVAL_MS } from "../../lib/wait.ts";
import { Waiter } from "../../lib/waiter.ts";

export const GROUP = "bench";

/** A machine that asks for a slot. */
export interface Asking {
  /** Resolves when it was told to wait. */
  readonly waiting: Promise<void>;
  /** Resolves when it has a slot, and rejects where it will have none. */
  readonly granted: Promise<void>;
}

export class BenchMachine {
  readonly id: string;
  readonly store: Store;
  readonly hold: NewHold;
  readonly #before: Lock;

  constructor(open: (id: string) => Store, index: number) {
    this.id = `machine-${String(index).padStart(4, "0")}`;
    this.store = open(this.id);
    this.#before = this.#lock();
    this.hold = {
      host: `${this.id}.example.org`,
      boot: crypto.randomUUID(),
      by: this.#before.by,
      reason: "an update",
      phase: GRANTED,
      grant: newMark(),
      extra: {},
    };
  }

  /** Asks for a slot, in line if need be. `failing` hears what fails on the way; without it, that is an error. */
  ask(failing?: (error: Error) => void): Asking {
    const request = {
      waits: this.#machine(this.hold.boot ?? ""),
      hold: this.hold,
      priority: 0,
      overdueMs: Infinity,
      lookMs: LOOK_INTERVAL_MS,
    };
    const { promise: waiting, resolve: wait } = Promise.withResolvers<void>();
    const { promise: granted, resolve: grant, reject } = Promise.withResolvers<void>();
    const waiter = new Waiter(this.#before, request, (news) => {
      if (news.kind === "failing") (failing ?? reject)(news.error);
      else if (news.kind === "waiting") wait();
      else if (news.kind === "granted") grant();
      else reject(new Error(`${this.id} was told: ${news.kind}`));
    });
    waiter.start().catch(reject);
    return { waiting, granted };
  }

  /** The last step before its reboot. */
  async confirm(): Promise<void> {
    const { boot, grant } = this.hold;
    const { kind } = await this.#before.confirm({ holder: this.id, boot, grant }, newMark());
    if (kind !== "confirmed") throw new Error(`${this.id} lost its slot`);
  }

  /** Gives its slot back after the boot, by a lock that knows nothing. */
  async giveBack(): Promise<void> {
    const { kind } = await this.#lock().release(this.#machine(crypto.randomUUID()));
    if (kind !== "released") throw new Error(`${this.id} cannot give its slot back: ${kind}`);
  }

  /** All of it: asks, confirms, is away for its reboot, and gives its slot back. */
  async reboot(rebootMs: number, { granted }: Asking = this.ask()): Promise<void> {
    await granted;
    await this.confirm();
    await new Promise((resolve) => setTimeout(resolve, rebootMs));
    await this.giveBack();
  }

  #lock(): Lock {
    return new Lock(this.store, GROUP, REAL, "locksmithd");
  }

  #machine(bootId: string) {
    return { id: this.id, bootId, hostname: `${this.id}.example.org` };
  }
}

/** A store that is looked at: `over` is asked in its place. */
export function looked(store: Store, over: Partial<Store>): Store {
  return {
    name: store.name,
    read: (key, options) => store.read(key, options),
    list: (prefix, options) => store.list(prefix, options),
    view: (queries, options) => store.view(queries, options),
    commit: (transaction, options) => store.commit(transaction, options),
    lease: (ttlMs, lost, options) => store.lease(ttlMs, lost, options),
    history: (key, options) => store.history(key, options),
    watch: (range, listener, after) => store.watch(range, listener, after),
    close: () => store.close(),
    ...over,
  };
}
