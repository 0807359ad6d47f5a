/** Who keeps the slots of this machine under each strategy, and where they stand in its ledger. */

import type { Config } from "./config.ts";
import { groupLabel } from "../group.ts";
import { type Keeper, LockKeeper, NO_KEEPER } from "../keeper.ts";
import { Account, type Ledger } from "../ledger.ts";
import type { LeftoverOptions } from "../leftovers.ts";
import { Lock } from "../lock.ts";
import type { Machine } from "../machine.ts";
import { asKnown, openServer } from "./open_server.ts";
import { openStore } from "./open_store.ts";
import { RemoteKeeper } from "../remote_keeper.ts";
import { SERVER_PREFIX } from "../remote_slot.ts";
import { BY_DAEMON } from "../semaphore.ts";
import { addressOf } from "./store_address.ts";
import type { Store } from "../store.ts";
import type { ActiveStrategy } from "../strategy.ts";
import type { Log, Surroundings } from "../surroundings.ts";
import { LOOK_INTERVAL_MS } from "../wait.ts";

export interface Keeping {
  readonly keeper: Keeper;
  /** Where the keeper's own slots are; `null`: it has none. */
  readonly own: LeftoverOptions["own"];
  /** The store that it has open. */
  readonly store?: Store;
}

interface Serving {
  readonly config: Config<"daemon">;
  readonly machine: Machine;
  readonly ledger: Ledger;
  readonly surroundings: Surroundings;
  readonly log: Log;
  /** Hears of a bug. */
  failed(error: unknown): void;
}

export async function openKeeper(strategy: ActiveStrategy, serving: Serving): Promise<Keeping> {
  switch (strategy) {
    case "etcd-lock":
      return await overStore(serving);
    case "fleet-lock":
      return await atServer(serving);
    case "reboot":
      return { keeper: NO_KEEPER, own: null };
  }
}

async function overStore(
  { config, machine, ledger, surroundings, log, failed }: Serving,
): Promise<Keeping> {
  const { store: configured, group } = config;
  const lock = new Lock(await openStore(configured), group, surroundings, BY_DAEMON);
  log("info", `group ${groupLabel(group)}: ${lock.key} at ${lock.store.name}`);
  const own = { store: addressOf(configured), group };
  const keeper = new LockKeeper({
    lock,
    machine,
    account: new Account(ledger, own, machine, surroundings),
    priority: config.priority,
    overdueMs: config["hold-overdue"],
    lookMs: LOOK_INTERVAL_MS,
    zone: config.zone,
    failed,
  });
  return { keeper, own, store: lock.store };
}

async function atServer(
  { config: { fleetLock, group, priority }, machine, ledger, surroundings, log, failed }: Serving,
): Promise<Keeping> {
  if (fleetLock === undefined) throw new Error("the strategy fleet-lock without a server");
  const { url: name, id } = fleetLock;
  const known = await asKnown(machine, id);
  log("info", `group ${groupLabel(group)} at ${name}, as ${known.id}`);
  const keeper = new RemoteKeeper({
    server: openServer(fleetLock),
    name,
    machine: known,
    group,
    ...(priority === 0 ? {} : { priority }),
    ledger,
    surroundings,
    failed,
  });
  return { keeper, own: { store: SERVER_PREFIX + name, group, machine: known.id } };
}
