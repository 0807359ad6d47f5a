/** `locksmith reboot` where a server keeps the slots. */

import type { Context } from "./command.ts";
import { rebootMachine, type RebootMethod } from "../host/reboot.ts";
import { DiskLedger } from "../host/ledger.ts";
import type { Machine } from "../machine.ts";
import type { ManualHooks } from "../manual_reboot.ts";
import { asKnown, openServer } from "./open_server.ts";
import { printError, printWarning } from "./output.ts";
import { tellEnd, tellRehearsal } from "./reboot_outcome.ts";
import { rebootUnderServer, type RemoteOutcome } from "../remote_reboot.ts";
import { describeRefusal, RemoteSlot, RemoteSlotError } from "../remote_slot.ts";
import { SlotServerError } from "../slot_server.ts";
import type { FleetLockConfig } from "./fleet_lock_config.ts";

/** Takes a slot, proves it, and calls the reboot. After the boot the daemon gives the slot back. */
export async function rebootAt(
  context: Context<"reboot">,
  server: FleetLockConfig,
  machine: Machine,
  { method, ...hooks }: { readonly method: RebootMethod; readonly hooks?: ManualHooks },
): Promise<number> {
  const { root, group, reason, "dry-run": dryRun } = context.config;
  const slot = new RemoteSlot({
    server: openServer(server),
    name: server.url,
    machine: await asKnown(machine, server.id),
    group,
    ledger: new DiskLedger(root, (_, text) => printWarning(context, text)),
    surroundings: context.surroundings,
  });
  try {
    const outcome = await rebootUnderServer({
      slot,
      reason,
      dryRun,
      ...hooks,
      call: () => rebootMachine(method),
    });
    return outcome.kind === "rehearsed"
      ? await tellRehearsal(context, method, outcome.fresh)
      : tellOutcome(context, machine, slot, outcome);
  } catch (error) {
    if (!(error instanceof SlotServerError || error instanceof RemoteSlotError)) throw error;
    printError(context, error.message, error.hint);
    return 1;
  }
}

function tellOutcome(
  context: Context<"reboot">,
  machine: Machine,
  slot: RemoteSlot,
  outcome: Exclude<RemoteOutcome, { kind: "rehearsed" }>,
): number {
  if (outcome.kind !== "no-slot") return tellEnd(context, machine, outcome);
  const { why, details } = describeRefusal(outcome.refusal, context.config.group, slot.name);
  printError(context, `not rebooting: ${why}${details}`);
  return 1;
}
