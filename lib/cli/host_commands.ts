/** The commands that act on this host: reboot it under the lock, try the chain without an update. */

import { administrator, clockOf, type Context, withLock } from "./command.ts";
import type { Config } from "./config.ts";
import { Bus, BusError } from "../host/bus.ts";
import { DiskLedger } from "../host/ledger.ts";
import { Account } from "../ledger.ts";
import { type Lock, newMark } from "../lock.ts";
import { readMachine } from "../host/identity.ts";
import { requireLastingId } from "../host/lasting_id.ts";
import { addressOf } from "./store_address.ts";
import { printError, printHint, printWarning } from "./output.ts";
import { manualHooks } from "./manual_hooks.ts";
import { rebootAt } from "./remote_reboot_command.ts";
import { tellEnd, tellRehearsal } from "./reboot_outcome.ts";
import { rebootMachine, type RebootMethod } from "../host/reboot.ts";
import { describeHold, describeOtherHost, describeTaking } from "../description.ts";
import { type ManualOutcome, rebootByHand } from "../manual_reboot.ts";
import { tellRefusal } from "./refusal.ts";
import { OwnedFileError, removeOwned } from "../host/owned_file.ts";
import { REBOOTS_FILE } from "../host/reboot_limit.ts";
import { MEMORY_FILE } from "../host/reboot_memory.ts";
import { leaveRequest, REQUEST_FILE } from "../need/request.ts";
import { below } from "./settings.ts";
import { sendNeedReboot } from "../need/update_engine.ts";
import type { Machine } from "../machine.ts";
import { groupFlag } from "../group.ts";
import { tellCreated } from "./unknown_group.ts";

const SIGNAL_TIMEOUT_MS = 9_000;

/** Takes a slot, proves it, and calls the reboot. After the boot the daemon gives the slot back. */
export async function reboot(context: Context<"reboot">): Promise<number> {
  for (const warning of context.warnings) printWarning(context, warning);
  if (Deno.uid() !== 0) {
    context.err("Must be root to initiate reboot.\n");
    return 1;
  }
  const { root, reason, fleetLock, underFleetLock, cancel, force } = context.config;
  const { cancelReboot, whyHeldOff } = await import("./postpone_command.ts");
  if (cancel) return await cancelReboot(context);
  const heldOff = force ? null : await whyHeldOff(context);
  if (heldOff !== null) {
    printError(context, `${heldOff}; not rebooting`, "--force reboots all the same");
    return 1;
  }
  const machine = await readMachine(root);
  await requireLastingId(root, machine.id);
  const method = rebootMethod(context.config, machine);
  const hooks = await manualHooks(context, machine);
  if (hooks === null) return 1;
  const how = { method, ...hooks };
  if (underFleetLock && fleetLock !== undefined) return await rebootAt(context, fleetLock, machine, how);
  return await withLock(context, async (lock) => {
    const ledger = new DiskLedger(root, (_, text) => printWarning(context, text));
    const place = { store: addressOf(context.config.store), group: lock.group };
    const outcome = await rebootByHand({
      lock,
      machine,
      account: new Account(ledger, place, machine, context.surroundings),
      reason,
      dryRun: context.config["dry-run"],
      newMark,
      taken: () => tellCreated(context, lock),
      underHand: (hold) =>
        printHint(
          context,
          `rebooting under the slot that ${describeTaking(hold)}${
            describeHold(hold, clockOf(context))
          }; give it back afterwards: locksmith unlock ${machine.id}${groupFlag(lock.group)}`,
        ),
      ...hooks,
      call: () => rebootMachine(method),
    });
    return outcome.kind === "rehearsed"
      ? await tellRehearsal(context, method, outcome.fresh)
      : await tellOutcome(context, lock, machine, outcome);
  });
}

/** Says how a reboot ended, and gives the exit code. */
async function tellOutcome(
  context: Context<"reboot">,
  lock: Lock,
  machine: Machine,
  outcome: Exclude<ManualOutcome, { kind: "rehearsed" }>,
): Promise<number> {
  switch (outcome.kind) {
    case "no-slot":
      return await tellRefusal(context, lock, machine.id, outcome.decision);
    case "not-ours": {
      const { kind, hold } = outcome.owner;
      const clock = clockOf(context);
      const other = describeOtherHost(hold, { ...machine, group: lock.group }, clock);
      context.err("Error locking: holder exists\n");
      printHint(
        context,
        kind === "earlier-boot"
          ? `the slot is from an earlier boot${
            describeHold(hold, clock)
          }; the daemon gives it back, or run 'locksmith unlock ${machine.id}${groupFlag(lock.group)}'`
          : other.why + other.details,
      );
      return 1;
    }
    default:
      return tellEnd(context, machine, outcome);
  }
}

/** How this host is rebooted, by its configuration. */
export function rebootMethod(
  { "reboot-command": command, "ignore-inhibitors": ignoreInhibitors, group, root }: Pick<
    Config<"daemon">,
    "reboot-command" | "ignore-inhibitors" | "group" | "root"
  >,
  machine: Machine,
): RebootMethod {
  const bus = new Bus();
  if (command === undefined) return { kind: "logind", bus, ignoreInhibitors };
  return {
    kind: "command",
    bus,
    ignoreInhibitors,
    command,
    env: { LOCKSMITH_MACHINE_ID: machine.id, LOCKSMITH_GROUP: group, LOCKSMITH_ROOT: root },
  };
}

/** Leaves the word where only root can, and sends update-engine's signal for others who listen to it. */
export async function needReboot(context: Context<"send-need-reboot">): Promise<number> {
  const { root } = context.config;
  const { bootId: boot } = await readMachine(root);
  const since = new Date(context.surroundings.now()).toISOString();
  try {
    await leaveRequest(below(root, REQUEST_FILE), { boot, since, by: await administrator(root) });
  } catch (error) {
    if (!(error instanceof OwnedFileError)) throw error;
    printError(context, error.message, Deno.uid() === 0 ? undefined : "only root can request a reboot");
    return 1;
  }
  // nobody need hear the signal, and there need be no bus
  await sendNeedReboot(new Bus(), { timeoutMs: SIGNAL_TIMEOUT_MS }).catch((error) => {
    if (!(error instanceof BusError)) throw error;
  });
  return 0;
}

/** Makes the daemon forget what the last reboot was for, and how many there were. */
export async function reset(context: Context<"reset">): Promise<number> {
  const { root } = context.config;
  try {
    const known = await removeOwned(below(root, MEMORY_FILE));
    const counted = await removeOwned(below(root, REBOOTS_FILE));
    if (known) context.out("this host may reboot again for the same need as last time\n");
    if (counted) context.out("the count of this host's reboots begins anew\n");
    if (!known && !counted) context.out("no earlier reboot is on record: nothing to reset\n");
    return 0;
  } catch (error) {
    if (!(error instanceof OwnedFileError)) throw error;
    printError(context, error.message, Deno.uid() === 0 ? undefined : "only root can reset it");
    return 1;
  }
}
