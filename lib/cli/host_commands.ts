/** The commands that act on this host: reboot it under the lock, try the chain without an update, show its windows. */

import { type Context, reasonOption, withLock } from "./command.ts";
import type { Config } from "./config.ts";
import { Bus, BusError } from "../host/bus.ts";
import { foresee } from "./dry_run.ts";
import { groupLabel } from "../group.ts";
import { type Lock, newGrant } from "../lock.ts";
import { readMachine } from "../host/identity.ts";
import { printError, printHint, printWarning } from "./output.ts";
import { rebootMachine, type RebootMethod } from "../host/reboot.ts";
import { describeHold } from "./report.ts";
import { GRANTED } from "../semaphore.ts";
import { sendNeedReboot } from "../need/update_engine.ts";
import { renderWindowReport, windowReport } from "./window_report.ts";
import type { Machine } from "../machine.ts";

const SIGNAL_TIMEOUT_MS = 9_000;

/** Takes a slot, proves it, and calls the reboot. After the boot the daemon gives the slot back. */
export async function reboot(context: Context<"reboot">): Promise<number> {
  for (const warning of context.warnings) printWarning(context, warning);
  if (Deno.uid() !== 0) {
    context.err("Must be root to initiate reboot.\n");
    return 1;
  }
  return await withLock(context, async (lock) => {
    const machine = await readMachine(context.config.root);
    const slot = await take(context, lock, machine);
    if (slot === undefined) return 1;
    if (context.config["dry-run"]) return await rehearse(context, lock, machine, slot);
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
  /** Whether it was taken just now, by this command. */
  readonly fresh: boolean;
}

async function take(context: Context<"reboot">, lock: Lock, machine: Machine): Promise<Taken | undefined> {
  const grant = newGrant();
  const now = context.surroundings.now();
  const decision = await lock.acquire(machine.id, {
    host: machine.hostname,
    boot: machine.bootId,
    since: new Date(now).toISOString(),
    by: `${lock.by} (locksmith reboot)`,
    ...reasonOption(context),
    phase: GRANTED,
    grant,
    extra: {},
  });
  switch (decision.kind) {
    case "granted":
      return { grant, fresh: true };
    case "held": {
      const { hold } = decision;
      const details = describeHold(hold, now);
      if (hold?.boot === undefined) {
        printHint(
          context,
          `rebooting under the slot taken by hand${details}; give it back afterwards: locksmith unlock ${machine.id}`,
        );
        return { fresh: false };
      }
      if (hold.boot === machine.bootId && hold.grant !== undefined) {
        return { grant: hold.grant, fresh: false };
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

/** Everything but the call. A slot that was there before stays untouched: its confirmation would mark it as rebooting. */
async function rehearse(
  context: Context<"reboot">,
  lock: Lock,
  machine: Machine,
  { grant, fresh }: Taken,
): Promise<number> {
  const foreseen = await foresee(rebootMethod(context.config, machine));
  if (grant !== undefined && fresh) {
    const proof = { boot: machine.bootId, grant };
    const { kind } = await lock.confirm({ holder: machine.id, ...proof });
    await lock.release(machine.id, { kind: "cancelled", ...proof });
    if (kind === "lost") {
      printError(context, "the reboot would not be called: somebody unlocked this machine meanwhile");
      return 1;
    }
  }
  const slot = fresh ? "the slot was given back" : "the slot it holds is left unchanged";
  if (foreseen.kind === "refused") {
    printError(context, `the reboot would be refused: ${foreseen.why}`, slot);
    return 1;
  }
  context.out(`dry run: this machine would reboot now, ${foreseen.how}; ${slot}\n`);
  return 0;
}

async function callReboot(
  context: Context<"reboot">,
  lock: Lock,
  machine: Machine,
  slot: Taken,
): Promise<number> {
  const outcome = await rebootMachine(rebootMethod(context.config, machine));
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
export function rebootMethod(
  { "reboot-command": command, group, root }: Pick<Config<"daemon">, "reboot-command" | "group" | "root">,
  machine: Machine,
): RebootMethod {
  if (command === undefined) return { kind: "logind", bus: new Bus() };
  return {
    kind: "command",
    command,
    env: { LOCKSMITH_MACHINE_ID: machine.id, LOCKSMITH_GROUP: group, LOCKSMITH_ROOT: root },
  };
}

export async function needReboot(context: Context<"send-need-reboot">): Promise<number> {
  try {
    await sendNeedReboot(new Bus(), { timeoutMs: SIGNAL_TIMEOUT_MS });
    return 0;
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    printError(
      context,
      error.message,
      "the signal goes over the system bus of D-Bus; is this host running one?",
    );
    return 1;
  }
}

export function showWindow({ config, surroundings, out }: Context<"window">): Promise<number> {
  const { window, zone, moment, count, json } = config;
  if (window === null) {
    out(
      json
        ? `${JSON.stringify({ open: true, toStartSeconds: 0, windows: [] })}\n`
        : "no reboot window is configured: reboots are allowed at any time\n",
    );
    return Promise.resolve(0);
  }
  const now = Temporal.Instant.fromEpochMilliseconds(surroundings.now()).toZonedDateTimeISO(zone);
  const report = windowReport(window.window, moment ?? now, count);
  out(json ? `${JSON.stringify(report)}\n` : renderWindowReport(report, window.window, zone));
  return Promise.resolve(0);
}
