/**
 * The commands that act on this host: reboot it under the lock, try the chain without an update, show its windows and
 * its configuration.
 */

import {
  administrator,
  type Context,
  flag,
  limitOperands,
  option,
  throwFaults,
  UsageError,
  withLock,
} from "./command.ts";
import { resolveText, resolveWindow, type WindowConfig } from "./config.ts";
import { Bus, BusError } from "../host/bus.ts";
import { type Lock, newMark } from "../lock.ts";
import { readMachine } from "../host/identity.ts";
import { printError, printHint, table } from "./output.ts";
import { rebootMachine, type RebootMethod } from "../host/reboot.ts";
import { describeHold, describeOtherHost } from "../description.ts";
import { type ManualOutcome, rebootByHand } from "../manual_reboot.ts";
import { tellRefusal } from "./refusal.ts";
import { below, CONFIGURABLE, DEFAULTS } from "./settings.ts";
import { OwnedFileError } from "../host/owned_file.ts";
import { leaveRequest, REQUEST_FILE } from "../need/request.ts";
import { sendNeedReboot } from "../need/update_engine.ts";
import { atOption, machineZone, windowOption, zoneOption } from "./window_options.ts";
import { MAX_REPORT_COUNT, renderWindowReport, windowReport } from "./window_report.ts";
import type { Machine } from "../machine.ts";

const SIGNAL_TIMEOUT_MS = 9_000;

/** Takes a slot, proves it, and calls the reboot. After the boot the daemon gives the slot back. */
export async function reboot(context: Context): Promise<number> {
  limitOperands(context, 0);
  if (Deno.uid() !== 0) {
    throwFaults(context.settings.faults);
    context.err("Must be root to initiate reboot.\n");
    return 1;
  }
  return await withLock(context, async (lock) => {
    const machine = await readMachine(context.root);
    const outcome = await rebootByHand({
      lock,
      machine,
      reason: option(context, "reason"),
      newMark,
      underHand: (hold) =>
        printHint(
          context,
          `rebooting under the slot taken by hand${
            describeHold(hold, context.surroundings.now())
          }; give it back afterwards: locksmith unlock ${machine.id}`,
        ),
      call: () => rebootMachine(rebootMethod(context, machine, lock.group)),
    });
    return await tellOutcome(context, lock, machine, outcome);
  });
}

/** Says how a reboot ended, and gives the exit code. */
async function tellOutcome(
  context: Context,
  lock: Lock,
  machine: Machine,
  outcome: ManualOutcome,
): Promise<number> {
  switch (outcome.kind) {
    case "accepted":
      return 0;
    case "unknown":
      printError(
        context,
        `nobody can tell whether the reboot was accepted: ${outcome.why}`,
        "the slot is kept",
      );
      return 1;
    case "refused":
      printError(
        context,
        `the reboot was refused: ${outcome.why}`,
        outcome.slotKept ? "the slot stays as it was" : "the slot was given back",
      );
      return 1;
    case "lost":
      printError(
        context,
        `the slot of ${machine.id} is not ours any more, somebody unlocked it; not rebooting`,
      );
      return 1;
    case "no-slot":
      return await tellRefusal(context, lock, outcome.decision);
    case "not-ours": {
      const { kind, hold } = outcome.owner;
      context.err("Error locking: holder exists\n");
      printHint(
        context,
        kind === "earlier-boot"
          ? `the slot is from an earlier boot${
            describeHold(hold, context.surroundings.now())
          }; the daemon gives it back, or 'locksmith unlock ${machine.id}'`
          : describeOtherHost(hold, machine.id),
      );
      return 1;
    }
  }
}

/** How this host is rebooted, by its configuration. */
export function rebootMethod(context: Context, machine: Machine, group: string): RebootMethod {
  const command = resolveText(context.settings, "reboot-command");
  if (command === undefined) return { kind: "logind", bus: new Bus() };
  return {
    kind: "command",
    command,
    env: { LOCKSMITH_MACHINE_ID: machine.id, LOCKSMITH_GROUP: group, LOCKSMITH_ROOT: context.root },
  };
}

/** Leaves the word where only root can, and sends update-engine's signal for others who listen to it. */
export async function needReboot(context: Context): Promise<number> {
  limitOperands(context, 0);
  throwFaults(context.settings.faults);
  const { bootId: boot } = await readMachine(context.root);
  const since = new Date(context.surroundings.now()).toISOString();
  try {
    await leaveRequest(below(context.root, REQUEST_FILE), { boot, since, by: await administrator(context) });
  } catch (error) {
    if (!(error instanceof OwnedFileError)) throw error;
    printError(context, error.message, Deno.uid() === 0 ? undefined : "only root can ask for a reboot");
    return 1;
  }
  // nobody need hear the signal, and there need be no bus
  await sendNeedReboot(new Bus(), { timeoutMs: SIGNAL_TIMEOUT_MS }).catch((error) => {
    if (!(error instanceof BusError)) throw error;
  });
  return 0;
}

export function showWindow(context: Context): Promise<number> {
  limitOperands(context, 0);
  const { settings } = context;
  const config = windowOf(context);
  const zone = config?.zone ?? zoneOption(context);
  const at = atOption(context, zone);
  const count = countOption(context);
  throwFaults(settings.faults);
  if (config === undefined || at === undefined) throw new UsageError(["the configuration cannot be used"]);
  const json = flag(context, "json");
  if (config === null) {
    context.out(
      json
        ? `${JSON.stringify({ open: true, toStartSeconds: 0, windows: [] })}\n`
        : "no reboot window is configured: reboots are allowed at any time\n",
    );
    return Promise.resolve(0);
  }
  const report = windowReport(config.window, at, count);
  context.out(json ? `${JSON.stringify(report)}\n` : renderWindowReport(report, config.window, zone));
  return Promise.resolve(0);
}

/** The window named on the command line, or the one of this host. */
function windowOf(context: Context): WindowConfig | null | undefined {
  const { settings } = context;
  const given = option(context, "start") ?? option(context, "length");
  return given === undefined
    ? resolveWindow(settings, () => machineZone(context))
    : windowOption(context, "start");
}

function countOption(context: Context): number {
  const text = option(context, "count") ?? "5";
  const count = /^\d+$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > MAX_REPORT_COUNT) {
    context.settings.faults.push(`--count: '${text}' is not a number from 1 to ${MAX_REPORT_COUNT}`);
  }
  return count;
}

/** Every setting with its value and the place that it came from. */
export function config(context: Context): Promise<number> {
  limitOperands(context, 0);
  throwFaults(context.settings.faults);
  const rows = CONFIGURABLE.map(({ name }) => {
    const setting = context.settings.values.get(name);
    const value = setting?.values.join(",") ?? DEFAULTS.get(name) ?? "";
    return {
      name,
      value: name === "etcd-password" && value !== "" ? "(hidden)" : value,
      origin: setting?.origin ?? "default",
    };
  });
  if (flag(context, "json")) context.out(`${JSON.stringify(rows)}\n`);
  else {context.out(
      table([
        ["NAME", "VALUE", "FROM"],
        ...rows.map(({ name, value, origin }) => [name, value || "-", origin]),
      ]),
    );}
  return Promise.resolve(0);
}
