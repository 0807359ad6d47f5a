/**
 * The commands of an administrator: look at a semaphore and its queue, set max, pause and resume, mend a document.
 * Slots by hand are in `lock_commands.ts`.
 *
 * What the old locksmith printed is printed byte for byte; more, where there is more to say, stands in lines of its
 * own on stderr.
 */

import { closing, type Context, reasonOption, withLock } from "./command.ts";
import { formatDuration } from "../duration.ts";
import { groupLabel } from "../group.ts";
import { LockError } from "../lock.ts";
import { openStore } from "./open_store.ts";
import { oneLine, printError, printHint } from "./output.ts";
import { groupsText, statusJson, statusText, verboseStatusText } from "./report.ts";
import { FRESH, isCount, MAX_LIMIT, overdueHolders, type Semaphore, SemaphoreError } from "../semaphore.ts";
import { repairSemaphore } from "../repair.ts";
import { parseSemaphore, serializeSemaphore } from "../document.ts";
import { readGroups } from "../groups.ts";
import { roomHint } from "../etcd/room.ts";
import { describeHold, describeHolders } from "../description.ts";

export function status(context: Context<"status">): Promise<number> {
  const { json, verbose, "hold-overdue": overdueMs } = context.config;
  return withLock(context, async (lock) => {
    const now = context.surroundings.now();
    if (json || verbose) {
      const { semaphore, queue } = await lock.readWithQueue();
      const seen = { semaphore, queue, overdue: overdueHolders(semaphore, now, overdueMs) };
      context.out(
        json ? `${JSON.stringify(statusJson(lock.group, seen, now))}\n` : verboseStatusText(seen, now),
      );
      return 0;
    }
    const semaphore = await lock.read();
    context.out(statusText(semaphore, now));
    const late = overdueHolders(semaphore, now, overdueMs);
    if (late.length > 0) {
      printHint(
        context,
        `overdue, longer than ${formatDuration(overdueMs)} at their reboot: ${
          describeHolders(semaphore, late, now)
        }`,
      );
    }
    return 0;
  });
}

export async function groups(context: Context<"groups">): Promise<number> {
  const { json, "hold-overdue": overdueMs } = context.config;
  const store = await openStore(context.config.store);
  return await closing(store, async () => {
    const readings = await readGroups(store);
    const now = context.surroundings.now();
    const sound = readings.flatMap(({ group, semaphore, queue }) =>
      semaphore instanceof LockError
        ? []
        : [{ group, semaphore, queue, overdue: overdueHolders(semaphore, now, overdueMs) }]
    );
    if (json) {
      context.out(`${JSON.stringify(sound.map((seen) => statusJson(seen.group, seen, now)))}\n`);
    } else {
      context.out(groupsText(sound));
    }
    const broken = readings.flatMap(({ semaphore }) => semaphore instanceof LockError ? [semaphore] : []);
    for (const error of broken) printError(context, error.message, error.hint);
    return broken.length > 0 ? 1 : 0;
  });
}

/** Stops new grants of the group. */
export function pause(context: Context<"pause">): Promise<number> {
  return withLock(context, async (lock) => {
    const now = context.surroundings.now();
    const { before, semaphore } = await lock.pause({
      since: new Date(now).toISOString(),
      by: lock.by,
      ...reasonOption(context),
      extra: {},
    });
    context.out(`group ${groupLabel(lock.group)} is paused: no new slots are granted\n`);
    if (before !== undefined) {
      printHint(context, `it was paused already${describeHold(before, now)}; what counts now is this pause`);
    }
    if (semaphore.holders.length > 0) {
      printHint(
        context,
        `who holds a slot goes on: ${describeHolders(semaphore, semaphore.holders, now)}`,
      );
    }
    return 0;
  });
}

/** Lets the group grant slots again. */
export function resume(context: Context<"resume">): Promise<number> {
  return withLock(context, async (lock) => {
    const { before } = await lock.resume();
    const label = groupLabel(lock.group);
    if (before === undefined) context.out(`group ${label} is not paused: there is nothing to resume\n`);
    else {
      const details = describeHold(before, context.surroundings.now());
      context.out(
        oneLine(`group ${label} is resumed: slots are granted again; it was paused${details}`) + "\n",
      );
    }
    return 0;
  });
}

export async function setMax(context: Context<"set-max">): Promise<number> {
  const [text, ...more] = context.operands;
  if (text === undefined || more.length > 0) {
    context.err("New maximum value must be set.\n");
    printHint(context, "one number: locksmith set-max 2");
    return 1;
  }
  const max = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!isCount(max)) {
    context.err(`Invalid maximum value: ${oneLine(text)}\n`);
    printHint(context, `a whole number from 0 to ${MAX_LIMIT}: how many machines may reboot at once`);
    return 1;
  }
  return await withLock(context, async (lock) => {
    const { oldMax } = await lock.setMax(max);
    context.out(`Old-Max: ${oldMax}\nMax: ${max}\n`);
    const room = context.config.store.kind === "etcd" ? roomHint(max) : undefined;
    if (room !== undefined) printHint(context, room);
    return 0;
  });
}

export function repair(context: Context<"repair">): Promise<number> {
  return withLock(context, async (lock) => {
    const entry = await lock.entry();
    if (entry === null) {
      context.out(`${lock.key} does not exist: there is nothing to mend\n`);
      return 0;
    }
    const mended = mend(entry.value, context.config.reset);
    if ("fault" in mended) {
      printError(
        context,
        `cannot mend ${lock.key}: ${mended.fault}`,
        "--reset starts it anew with max 1 and no holders",
      );
      return 1;
    }
    if (mended.changes.length === 0) {
      context.out(`${lock.key} is sound: there is nothing to mend\n`);
      return 0;
    }
    context.out(
      `Key:    ${lock.key}\nBefore: ${oneLine(entry.value)}\nAfter:  ${serializeSemaphore(mended.next)}\n`,
    );
    for (const change of mended.changes) context.out(`- ${oneLine(change)}\n`);
    if (context.config["dry-run"]) return 0;
    if (!context.config.yes && !(context.interactive && globalThis.confirm("Write it?"))) {
      printError(context, `${lock.key} was left as it is`, "--yes writes what is shown");
      return 1;
    }
    if (await lock.replace(entry, mended.next)) {
      context.out("Written\n");
      return 0;
    }
    printError(
      context,
      `${lock.key} changed meanwhile, and was left as it is`,
      "look again: 'locksmith repair --dry-run'",
    );
    return 1;
  });
}

function mend(
  value: string,
  reset: boolean,
): { next: Semaphore; changes: readonly string[] } | { fault: string } {
  if (reset) return { next: FRESH, changes: ["everything in it is dropped, it starts anew"] };
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
