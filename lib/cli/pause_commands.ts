/**
 * `pause` and `resume`, of one group or of all: no slots are granted until somebody resumes, or until the time that was given.
 * Who holds a slot already is named, for nothing takes it away.
 */

import { clockOf, type Context, reasonOption, withLock } from "./command.ts";
import { type Clock, describeHold, describeHolders, endOfPause } from "../description.ts";
import { formatDuration } from "../duration.ts";
import { ALL_GROUPS, groupFlag, groupLabel, groupPhrase } from "../group.ts";
import { type GroupReading, readGroups } from "../groups.ts";
import { type Lock, LockError } from "../lock.ts";
import { oneLine, type Output, printError, printHint } from "./output.ts";
import { pauseInForce, type Semaphore } from "../semaphore.ts";
import { StoreError } from "../store.ts";
import { tellCreated, tellNotStored } from "./unknown_group.ts";

/** Stops new grants. */
export function pause(context: Context<"pause">): Promise<number> {
  return withLock(context, async (lock) => {
    const now = context.surroundings.now();
    const lastsMs = context.config.for;
    const until = lastsMs === undefined ? undefined : new Date(now + lastsMs).toISOString();
    const { before, semaphore } = await lock.pause({
      since: new Date(now).toISOString(),
      by: lock.by,
      ...reasonOption(context),
      ...(until === undefined ? {} : { until }),
      extra: {},
    });
    const till = lastsMs === undefined ? "" : ` for ${formatDuration(lastsMs)}, until ${until}`;
    context.out(`${subject(lock.group)} paused${till}: no new slots are granted\n`);
    const replaced = pauseInForce({ ...(before ? { paused: before } : {}) }, now);
    if (replaced !== undefined) {
      printHint(context, `this pause replaces the earlier one${describeHold(replaced, clockOf(context))}`);
    }
    if (lock.group === ALL_GROUPS) await tellHoldersOfAll(context, lock, now);
    else {
      tellHolders(context, semaphore, "", now);
      await tellCreated(context, lock);
    }
    return 0;
  });
}

/** Lets slots be granted again. */
export function resume(context: Context<"resume">): Promise<number> {
  return withLock(context, async (lock) => {
    const clock = clockOf(context);
    const { before } = await lock.resume(context.config.reason);
    if (before !== undefined) {
      const details = describeHold(before, clock);
      context.out(
        oneLine(`${subject(lock.group)} resumed: slots are granted again; this ended the pause${details}`) +
          "\n",
      );
    } else if (lock.group === ALL_GROUPS) {
      context.out("there is no pause of all groups: nothing to resume\n");
    } else {
      context.out(`${groupPhrase(lock.group)} is not paused: nothing to resume\n`);
      if (await lock.entry() === null) await tellNotStored(context, lock.store, lock.group);
    }
    await tellFreeze(context, lock, clock);
    await tellOtherPauses(context, lock, clock);
    return 0;
  });
}

function subject(group: string): string {
  return group === ALL_GROUPS ? "all groups are" : `${groupPhrase(group)} is`;
}

function tellHolders(output: Output, semaphore: Semaphore, where: string, now: number): void {
  const { holders } = semaphore;
  if (holders.length === 0) return;
  printHint(
    output,
    `machines that hold a slot${where} may still reboot: ${describeHolders(semaphore, holders, now)}`,
  );
}

/** Who holds a slot in any group. That all are paused is done and said already. */
async function tellHoldersOfAll(output: Output, lock: Lock, now: number): Promise<void> {
  try {
    const { groups } = await readGroups(lock.store);
    for (const { group, semaphore } of groups) {
      if (semaphore instanceof LockError) printError(output, semaphore.message, semaphore.hint);
      else tellHolders(output, semaphore, ` in group ${groupLabel(group)}`, now);
    }
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    printHint(output, `cannot find out who still holds a slot: ${error.message}`);
  }
}

/** A freeze stays, whoever resumes. */
async function tellFreeze(output: Output, lock: Lock, clock: Clock): Promise<void> {
  const pause = pauseInForce(await lock.read(), clock.now);
  if (pause === undefined) return;
  const flag = lock.group === ALL_GROUPS ? " --all" : groupFlag(lock.group);
  printHint(output, `${subject(lock.group)} frozen${describeHold(pause, clock)}; ${endOfPause(pause, flag)}`);
}

/** After a group was resumed, whether all are still paused; and after all were, which groups still are. */
async function tellOtherPauses(output: Output, lock: Lock, clock: Clock): Promise<void> {
  if (lock.group !== ALL_GROUPS) {
    const pause = pauseInForce(await lock.readAll(), clock.now);
    if (pause === undefined) return;
    printHint(
      output,
      `all groups are ${pause.frozen ? "frozen" : "paused"}${describeHold(pause, clock)}; ${
        endOfPause(pause, " --all")
      }`,
    );
    return;
  }
  const { groups } = await readGroups(lock.store);
  const paused = groups.filter(({ semaphore }: GroupReading) =>
    !(semaphore instanceof LockError) && pauseInForce(semaphore, clock.now) !== undefined
  );
  if (paused.length === 0) return;
  printHint(output, `still paused: ${paused.map(({ group }) => groupLabel(group)).join(", ")}`);
}
