/**
 * Who keeps the slots of the machines of a simulated fleet: the lock over the store, or a server of slots. Here what is real
 * of either is put on a simulated process: the keeper of the daemon, what it left elsewhere, and a person's reboot.
 */

import type { Computer } from "./computer.ts";
import type { RebootOutcome } from "../daemon.ts";
import { type Keeper, LockKeeper } from "../keeper.ts";
import { Account } from "../ledger.ts";
import { Leftovers } from "../leftovers.ts";
import { Lock } from "../lock.ts";
import type { Machine } from "../machine.ts";
import { rebootByHand } from "../manual_reboot.ts";
import { RemoteKeeper } from "../remote_keeper.ts";
import { RemoteLeftovers } from "../remote_leftovers.ts";
import { rebootUnderServer } from "../remote_reboot.ts";
import { RemoteSlot, type RemoteSlotOptions, SERVER_PREFIX } from "../remote_slot.ts";
import type { SlotServer } from "../slot_server.ts";
import type { Store } from "../store.ts";
import type { Log } from "../surroundings.ts";
import type { Process } from "./virtual_time.ts";

/** What the only store of a fleet, and its servers, are called in ledgers. */
const STORE = "simulated";

export interface KeepingOptions {
  readonly lookMs: number;
  readonly idleLookMs: number;
  /** Whether machines may come back in another group, and so have to remember where they were. */
  readonly mayMove: boolean;
  /** The store, as a process reaches it. */
  store(process: Process): Store;
  /** The servers of slots, as a process asks them. */
  server(process: Process): SlotServer;
  /** Hears of a bug. */
  failed(process: Process, error: unknown): void;
}

export class Keeping {
  #marks = 0;
  readonly #newMark = () => `mark-${++this.#marks}`;

  constructor(private readonly options: KeepingOptions) {}

  /** Of a daemon. */
  keeper(machine: Computer, process: Process): Keeper {
    const { lookMs } = this.options;
    const failed = (error: unknown) => this.options.failed(process, error);
    const { priority, asksServer } = machine.config;
    if (asksServer) return new RemoteKeeper({ ...this.#remote(machine, process), priority, failed });
    return new LockKeeper({
      lock: new Lock(this.options.store(process), machine.group, process.surroundings, "locksmithd"),
      machine: identity(machine),
      ...this.#remembering(machine, process),
      priority,
      overdueMs: Infinity,
      lookMs,
      newMark: this.#newMark,
      failed,
    });
  }

  /** Looks after what a machine has where its daemon does not look: in the group that it was in before. */
  leftovers(
    machine: Computer,
    process: Process,
    signal: AbortSignal,
    log: Log,
    isWell: (() => Promise<boolean>) | undefined,
  ): void {
    const { group, config: { asksServer }, ledger } = machine;
    const shared = {
      machine: identity(machine),
      ledger,
      surroundings: process.surroundings,
      log,
      ...(isWell === undefined ? {} : { isWell }),
    };
    const store = asksServer ? undefined : this.options.store(process);
    new Leftovers({
      ...shared,
      own: { store: asksServer ? SERVER_PREFIX + STORE : STORE, group },
      configured: store === undefined ? null : STORE,
      withStore: (_, work) => work(store ?? null),
      remote: new RemoteLeftovers({
        ...shared,
        ids: [machine.id],
        open: () => this.options.server(process),
      }),
      by: "locksmithd",
      lookMs: this.options.idleLookMs,
    }).run(signal).catch((error) => this.options.failed(process, error));
  }

  /** A person's reboot, by a command beside the daemon. */
  async rebootByHand(machine: Computer, process: Process, call: () => Promise<RebootOutcome>): Promise<void> {
    if (machine.config.asksServer) {
      const slot = new RemoteSlot(this.#remote(machine, process));
      await rebootUnderServer({ slot, dryRun: false, call });
      return;
    }
    await rebootByHand({
      lock: new Lock(this.options.store(process), machine.group, process.surroundings, "admin"),
      machine: identity(machine),
      ...this.#remembering(machine, process),
      dryRun: false,
      newMark: this.#newMark,
      underHand: () => {},
      call,
    });
  }

  #remote(machine: Computer, process: Process): RemoteSlotOptions {
    const { group, ledger } = machine;
    return {
      server: this.options.server(process),
      name: STORE,
      machine: identity(machine),
      group,
      ledger,
      surroundings: process.surroundings,
      newMark: this.#newMark,
    };
  }

  #remembering(machine: Computer, { surroundings }: Process): { account?: Account } {
    if (!this.options.mayMove) return {};
    const { ledger, group } = machine;
    return { account: new Account(ledger, { store: STORE, group }, identity(machine), surroundings) };
  }
}

function identity({ id, boot }: Computer): Machine {
  return { id, bootId: boot, hostname: id };
}
