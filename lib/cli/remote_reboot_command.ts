/** `locksmith reboot` where a server keeps the slots. */

import type { Context } from "./command.ts";
import { foresee } from "./dry_run.ts";
import { rebootMachine, type RebootMethod } from "../host/reboot.ts";
import { DiskLedger } from "../host/ledger.ts";
import { type Machine, machineName } from "../machine.ts";
import { asKnown, openServer } from "./open_server.ts";
import { printError, printWarning } from "./output.ts";
import { rebootUnderServer, type RemoteOutcome } from "../remote_reboot.ts";
import { describeRefusal, RemoteSlot, RemoteSlotError } from "../remote_slot.ts";
import { SlotServerError } from "../slot_server.ts";
import type { FleetLockConfig } from "./fleet_lock_config.ts";

/** Takes a slot, proves it, and calls the reboot. After the boot the daemon gives the slot back. */
export async function rebootAt(
  context: Context<"reboot">,
  server: FleetLockConfig,
  machine: Machine,
  method: RebootMethod,
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
    const outcome = await rebootUnderServer({ slot, reason, dryRun, call: () => rebootMachine(method) });
    return outcome.kind === "rehearsed"
      ? await tellRehearsal(context, method, outcome.fresh)
      : tellOutcome(context, machine, slot, outcome);
  } catch (error) {
    if (!(error instanceof SlotServerError || error instanceof RemoteSlotError)) throw error;
    printError(context, error.message, error.hint);
    return 1;
  }
}

/** Says how a reboot would end that was not called, and gives the exit code. */
export async function tellRehearsal(
  context: Context<"reboot">,
  method: RebootMethod,
  fresh: boolean,
): Promise<number> {
  const foreseen = await foresee(method);
  const slot = fresh ? "the slot was given back" : "the slot it holds is left unchanged";
  if (foreseen.kind === "refused") {
    printError(context, `the reboot would be refused: ${foreseen.why}`, slot);
    return 1;
  }
  context.out(`dry run: this machine would reboot now, ${foreseen.how}; ${slot}\n`);
  return 0;
}

function tellOutcome(
  context: Context<"reboot">,
  { id, hostname }: Machine,
  slot: RemoteSlot,
  outcome: Exclude<RemoteOutcome, { kind: "rehearsed" }>,
): number {
  switch (outcome.kind) {
    case "accepted":
      return 0;
    case "unknown":
      printError(context, `cannot tell whether the reboot was accepted: ${outcome.why}`, "the slot is kept");
      return 1;
    case "refused":
      printError(
        context,
        `the reboot was refused: ${outcome.why}`,
        outcome.slotKept ? "the slot is left unchanged" : "the slot was given back",
      );
      return 1;
    case "lost":
      printError(
        context,
        `this machine no longer holds its slot: somebody unlocked ${
          machineName(id, hostname)
        }; not rebooting`,
      );
      return 1;
    case "no-slot": {
      const { why, details } = describeRefusal(outcome.refusal, context.config.group, slot.name);
      printError(context, `not rebooting: ${why}${details}`);
      return 1;
    }
  }
}
