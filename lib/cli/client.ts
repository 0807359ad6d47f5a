/**
 * The commands of an administrator on one group: look at its semaphore and its queue, set max, repair its document.
 * Slots by hand are in `lock_commands.ts`, pauses in `pause_commands.ts`, all groups in `groups_command.ts`.
 *
 * What the old locksmith printed is printed byte for byte; more, where there is more to say, stands in lines of its
 * own on stderr.
 */

import { type Context, withLock } from "./command.ts";
import { ALL_GROUPS } from "../group.ts";
import { describeMachine, type MachineReport } from "../machine_report.ts";
import { readMachineFile } from "../host/machine_file.ts";
import { overdueIn } from "../overdue.ts";
import { oneLine, printError, printHint } from "./output.ts";
import { zoneOfHost } from "./process.ts";
import { statusText, verboseStatusText } from "./report.ts";
import { statusJson } from "../status.ts";
import { FRESH, isCount, MAX_LIMIT, type Semaphore, SemaphoreError } from "../semaphore.ts";
import { repairSemaphore } from "../repair.ts";
import { parseSemaphore, serializeSemaphore } from "../document.ts";
import { describeDuration, describeHolders } from "../description.ts";
import { roomHint } from "../etcd/room.ts";
import { tellCreated, tellNotStored } from "./unknown_group.ts";

export async function status(context: Context<"status">): Promise<number> {
  const { checking } = context.config;
  if (checking !== null) return await (await import("./status_check.ts")).checkGroup(context, checking);
  if (context.config.watch) return await (await import("./status_watch.ts")).watchStatus(context);
  const { json, verbose, "hold-overdue": overdueMs } = context.config;
  const { screen } = context;
  return await withLock(context, async (lock) => {
    const now = context.surroundings.now();
    const read = await lock.readWithQueue(json || verbose ? undefined : 1);
    const { semaphore } = read;
    const { ids: overdue, afterMs } = await overdueIn(lock.store, lock.group, semaphore, now, overdueMs);
    const seen = { ...read, overdue };
    const machine = await thisMachine(context, lock.group, now);
    const told = machine === null ? [] : describeMachine(machine, now, zoneOfHost());
    if (json) {
      const own = machine === null ? {} : { machine };
      context.out(`${JSON.stringify({ ...statusJson(lock.group, seen, now), ...own })}\n`);
    } else if (!verbose) context.out(statusText(seen, now, screen));
    else if (screen === undefined) context.out(verboseStatusText(seen, now));
    else context.out((await import("./screen_report.ts")).statusOn(screen, seen, now));
    if (verbose && !json && told.length > 0) {
      context.out(`\n${told.map((line) => `This machine: ${oneLine(line)}\n`).join("")}`);
    }
    if (!seen.stored) await tellNotStored(context, lock.store, lock.group);
    if (json || verbose) return 0;
    for (const line of told) printHint(context, `this machine: ${line}`);
    if (overdue.length > 0) {
      const text = `overdue (rebooting for more than ${describeDuration(afterMs)}): ${
        describeHolders(semaphore, overdue, now)
      }`;
      printHint(context, text);
    }
    // the lines above are the old program's, with ids alone
    const others = semaphore.holders.filter((id) => !overdue.includes(id));
    if (screen !== undefined && others.length > 0) {
      printHint(context, `held by ${describeHolders(semaphore, others, now)}`);
    }
    return 0;
  });
}

/** What the daemon of this host is doing, where it is of this group; `null`: none is. */
async function thisMachine(
  { config: { root } }: Context<"status">,
  group: string,
  now: number,
): Promise<MachineReport | null> {
  const report = await readMachineFile(root, now);
  return report?.group === group ? report : null;
}

export async function setMax(context: Context<"set-max">): Promise<number> {
  const [text, ...more] = context.operands;
  if (text === undefined || more.length > 0) {
    context.err("New maximum value must be set.\n");
    printHint(context, "give one number: locksmith set-max 2");
    return 1;
  }
  const max = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!isCount(max)) {
    context.err(`Invalid maximum value: ${oneLine(text)}\n`);
    printHint(context, `a whole number from 0 to ${MAX_LIMIT}: how many machines may reboot at once`);
    return 1;
  }
  return await withLock(context, async (lock) => {
    const { oldMax } = await lock.setMax(max, context.config.reason);
    context.out(`Old-Max: ${oldMax}\nMax: ${max}\n`);
    await tellCreated(context, lock);
    const room = context.config.store.kind === "etcd" ? roomHint(max) : undefined;
    if (room !== undefined) printHint(context, room);
    return 0;
  });
}

export function repair(context: Context<"repair">): Promise<number> {
  return withLock(context, async (lock) => {
    const entry = await lock.entry();
    if (entry === null) {
      context.out(`${lock.key} does not exist: there is nothing to repair\n`);
      if (lock.group !== ALL_GROUPS) await tellNotStored(context, lock.store, lock.group);
      return 0;
    }
    const repaired = repairText(entry.value, context.config.reset);
    if ("fault" in repaired) {
      printError(
        context,
        `cannot repair ${lock.key}: ${repaired.fault}`,
        "--reset starts over with max 1 and no holders",
      );
      return 1;
    }
    if (repaired.changes.length === 0) {
      context.out(`${lock.key} is sound: there is nothing to repair\n`);
      return 0;
    }
    context.out(
      `Key:    ${lock.key}\nBefore: ${oneLine(entry.value)}\nAfter:  ${serializeSemaphore(repaired.next)}\n`,
    );
    for (const change of repaired.changes) context.out(`- ${oneLine(change)}\n`);
    if (context.config["dry-run"]) return 0;
    if (!context.config.yes && !(context.interactive && globalThis.confirm("Write it?"))) {
      printError(context, `${lock.key} was left unchanged`, "--yes writes what is shown");
      return 1;
    }
    if (await lock.replace(entry, repaired.next)) {
      context.out("Written\n");
      return 0;
    }
    printError(
      context,
      `${lock.key} changed in the meantime and was left unchanged`,
      "check again: 'locksmith repair --dry-run'",
    );
    return 1;
  });
}

function repairText(
  value: string,
  reset: boolean,
): { next: Semaphore; changes: readonly string[] } | { fault: string } {
  if (reset) return { next: FRESH, changes: ["everything is dropped; it starts over"] };
  try {
    parseSemaphore(value);
    return { next: FRESH, changes: [] };
  } catch (error) {
    if (!(error instanceof SemaphoreError)) throw error;
  }
  try {
    return repairSemaphore(value);
  } catch (error) {
    if (error instanceof SemaphoreError) return { fault: error.message };
    throw error;
  }
}
