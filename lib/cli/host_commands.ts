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
import { groupLabel } from "../group.ts";
import { type Lock, newGrant } from "../lock.ts";
import { readMachine } from "../host/identity.ts";
import { printError, printHint, table } from "./output.ts";
import { rebootMachine, type RebootMethod } from "../host/reboot.ts";
import { describeHold } from "./report.ts";
import { GRANTED } from "../semaphore.ts";
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
    const slot = await take(context, lock, machine);
    if (slot === undefined) return 1;
    if (slot.grant !== undefined) {
      const proof = { holder: machine.id, boot: machine.bootId, grant: slot.grant };
      if ((await lock.confirm(proof)).kind === "lost") {
        printError(
          context,
          `the slot of ${machine.id} is not ours any more, somebody unlocked it; not rebooting`,
        );
        return 1;
      }
    }
    return await callReboot(context, lock, machine, slot);
  });
}

/** The slot under which this machine reboots: `grant` is missing where somebody took it by hand, and it stays so. */
interface Taken {
  readonly grant?: string;
  readonly byHand: boolean;
}

async function take(context: Context, lock: Lock, machine: Machine): Promise<Taken | undefined> {
  const grant = newGrant();
  const now = context.surroundings.now();
  const reason = option(context, "reason");
  const decision = await lock.acquire(machine.id, {
    host: machine.hostname,
    boot: machine.bootId,
    since: new Date(now).toISOString(),
    by: `${lock.by} (locksmith reboot)`,
    ...(reason === undefined ? {} : { reason }),
    phase: GRANTED,
    grant,
    extra: {},
  });
  switch (decision.kind) {
    case "granted":
      return { grant, byHand: false };
    case "held": {
      const { hold } = decision;
      const details = describeHold(hold, now);
      if (hold?.boot === undefined) {
        printHint(
          context,
          `rebooting under the slot taken by hand${details}; give it back afterwards: locksmith unlock ${machine.id}`,
        );
        return { byHand: true };
      }
      if (hold.boot === machine.bootId && hold.grant !== undefined) {
        return { grant: hold.grant, byHand: false };
      }
      context.err("Error locking: holder exists\n");
      printHint(
        context,
        `the slot is from another boot${details}; the daemon gives it back, or 'locksmith unlock ${machine.id}'`,
      );
      return undefined;
    }
    case "full":
      context.err(`Error locking: semaphore is at ${decision.available}\n`);
      printHint(
        context,
        `group ${groupLabel(lock.group)} is full; 'locksmith status --verbose' shows who holds it`,
      );
      return undefined;
    case "paused":
      context.err("Error locking: group is paused\n");
      printHint(
        context,
        `no slots are granted in group ${groupLabel(lock.group)}${describeHold(decision.pause, now)}`,
      );
      return undefined;
  }
}

async function callReboot(context: Context, lock: Lock, machine: Machine, slot: Taken): Promise<number> {
  const outcome = await rebootMachine(rebootMethod(context, machine, lock.group));
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
    case "refused": {
      const kept = slot.grant === undefined
        ? "kept"
        : (await lock.release(machine.id, { kind: "cancelled", boot: machine.bootId, grant: slot.grant }))
          .kind;
      printError(
        context,
        `the reboot was refused: ${outcome.why}`,
        kept === "released" ? "the slot was given back" : "the slot stays as it was",
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
