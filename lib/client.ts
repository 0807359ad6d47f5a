/**
 * The commands of an administrator: look at a semaphore, take and give back slots by hand, set max, mend a document.
 *
 * What the old locksmith printed is printed byte for byte; more, where there is more to say, stands in lines of its
 * own on stderr.
 */

import {
  closing,
  type Context,
  flag,
  limitOperands,
  option,
  throwFaults,
  UsageError,
  withLock,
} from "./command.ts";
import { resolveStore } from "./config.ts";
import { groupLabel } from "./group.ts";
import { LockError, newGrant, readGroups } from "./lock.ts";
import { readHost, readMachineId } from "./machine.ts";
import { openStore } from "./open_store.ts";
import { oneLine, printError, printHint } from "./output.ts";
import { describeHold, groupsText, statusJson, statusText, verboseStatusText } from "./report.ts";
import {
  type AcquireDecision,
  FRESH,
  holderFault,
  isCount,
  parseSemaphore,
  type Semaphore,
  SemaphoreError,
  serializeSemaphore,
} from "./semaphore.ts";
import { repairSemaphore } from "./repair.ts";

export function status(context: Context): Promise<number> {
  limitOperands(context, 0);
  return withLock(context, async (lock) => {
    const semaphore = await lock.read();
    if (flag(context, "json")) context.out(`${JSON.stringify(statusJson(lock.group, semaphore))}\n`);
    else if (flag(context, "verbose")) context.out(verboseStatusText(semaphore, context.surroundings.now()));
    else context.out(statusText(semaphore));
    return 0;
  });
}

export async function groups(context: Context): Promise<number> {
  limitOperands(context, 0);
  const config = resolveStore(context.settings, context.readFile);
  throwFaults(context.settings.faults);
  if (config === undefined) throw new UsageError(["the configuration cannot be used"]);
  const store = await openStore(config);
  return await closing(store, async () => {
    const readings = await readGroups(store);
    const sound = readings.flatMap(({ group, semaphore }) =>
      semaphore instanceof LockError ? [] : [{ group, semaphore }]
    );
    if (flag(context, "json")) {
      context.out(`${JSON.stringify(sound.map(({ group, semaphore }) => statusJson(group, semaphore)))}\n`);
    } else {
      context.out(groupsText(sound));
    }
    const broken = readings.flatMap(({ semaphore }) => semaphore instanceof LockError ? [semaphore] : []);
    for (const error of broken) printError(context, error.message, error.hint);
    return broken.length > 0 ? 1 : 0;
  });
}

export function lock(context: Context): Promise<number> {
  limitOperands(context, 1);
  checkHolder(context);
  return withLock(context, async (lock) => {
    const own = context.line.positionals.length === 0;
    const holder = await holderOf(context);
    const decision = await lock.acquire(holder, {
      ...(own ? { host: await readHost(context.root) } : {}),
      since: new Date(context.surroundings.now()).toISOString(),
      by: lock.by,
      ...reasonOption(context),
      grant: newGrant(),
      extra: {},
    });
    if (decision.kind === "granted") return 0;
    return notLocked(context, decision, await lock.read().catch(() => undefined), lock.group);
  });
}

/** Says why there is no slot, in the old words first. */
function notLocked(
  context: Context,
  decision: Exclude<AcquireDecision, { kind: "granted" }>,
  semaphore: Semaphore | undefined,
  group: string,
): number {
  const now = context.surroundings.now();
  switch (decision.kind) {
    case "held":
      context.err("Error locking: holder exists\n");
      printHint(context, `it has a slot already${describeHold(decision.hold, now)}`);
      return 1;
    case "full": {
      context.err(`Error locking: semaphore is at ${decision.available}\n`);
      const holders = semaphore?.holders.map((id) => id + describeHold(semaphore.holds.get(id), now)) ?? [];
      if (holders.length > 0) {
        printHint(context, `group ${groupLabel(group)} is full, held by ${holders.join(", ")}`);
      } else {printHint(
          context,
          `group ${groupLabel(group)} has no slots at all; 'locksmith set-max' gives it some`,
        );}
      return 1;
    }
    case "paused":
      context.err("Error locking: group is paused\n");
      printHint(
        context,
        `no slots are granted in group ${groupLabel(group)}${describeHold(decision.pause, now)}`,
      );
      return 1;
  }
}

export function unlock(context: Context): Promise<number> {
  limitOperands(context, 1);
  checkHolder(context);
  return withLock(context, async (lock) => {
    const decision = await lock.release(await holderOf(context), { kind: "administrator" });
    if (decision.kind === "released") return 0;
    context.err("Error unlocking: holder does not exist\n");
    return 1;
  });
}

export async function setMax(context: Context): Promise<number> {
  const { positionals } = context.line;
  const [text] = positionals;
  if (text === undefined || positionals.length !== 1) {
    context.err("New maximum value must be set.\n");
    printHint(context, "one number: locksmith set-max 2");
    return 1;
  }
  const max = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!isCount(max)) {
    context.err(`Invalid maximum value: ${oneLine(text)}\n`);
    printHint(context, "the number of machines that may reboot at once, 0 or more");
    return 1;
  }
  return await withLock(context, async (lock) => {
    const { oldMax } = await lock.setMax(max);
    context.out(`Old-Max: ${oldMax}\nMax: ${max}\n`);
    return 0;
  });
}

export function repair(context: Context): Promise<number> {
  limitOperands(context, 0);
  return withLock(context, async (lock) => {
    const entry = await lock.entry();
    if (entry === null) {
      context.out(`${lock.key} does not exist: there is nothing to mend\n`);
      return 0;
    }
    const mended = mend(entry.value, flag(context, "reset"));
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
    if (flag(context, "dry-run")) return 0;
    if (!flag(context, "yes") && !(context.interactive && confirm("Write it?"))) {
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

/** An empty or unprintable machine id is asked for wrongly. */
function checkHolder({ line, settings }: Context): void {
  const [id] = line.positionals;
  const fault = id === undefined ? undefined : holderFault(id);
  if (fault !== undefined) settings.faults.push(`machine id ${JSON.stringify(id)}: ${fault}`);
}

/** The machine that a command speaks of: the one named, or this one. Throws {@linkcode MachineError}. */
async function holderOf({ line, root }: Context): Promise<string> {
  return line.positionals[0] ?? await readMachineId(root);
}

function reasonOption(context: Context): { reason?: string } {
  const reason = option(context, "reason");
  return reason === undefined ? {} : { reason };
}
