/** `locksmith groups`: every group with its figures, and the end of one that nobody uses any more. */

import { administrator, clockOf, closing, type Context } from "./command.ts";
import { describeHold, describeHolders } from "../description.ts";
import { groupFlag, groupLabel } from "../group.ts";
import { readGroups } from "../groups.ts";
import { Lock, LockError } from "../lock.ts";
import { openStore } from "./open_store.ts";
import { overdueIn } from "../overdue.ts";
import { printError, printHint } from "./output.ts";
import { groupsText } from "./report.ts";
import { faultyGroupJson, statusJson } from "../status.ts";
import { FRESH, pauseInForce } from "../semaphore.ts";
import { type Removal, removeGroup } from "../removal.ts";
import { tellNotStored } from "./unknown_group.ts";

export async function groups(context: Context<"groups">): Promise<number> {
  const { store: config, removal, root, checking } = context.config;
  if (checking !== null) return await (await import("./status_check.ts")).checkGroups(context, checking);
  const store = await openStore(config);
  return await closing(store, async () => {
    if (removal === undefined) return await list(context, store);
    const lock = new Lock(store, removal, context.surroundings, await administrator(root));
    return await tellRemoval(context, lock, await removeGroup(lock));
  });
}

async function list(context: Context<"groups">, store: Lock["store"]): Promise<number> {
  const { json, "hold-overdue": overdueMs } = context.config;
  const reading = await readGroups(store);
  const now = context.surroundings.now();
  const all = reading.all instanceof LockError ? FRESH : reading.all;
  const seen = await Promise.all(reading.groups.map(async ({ group, semaphore, stored, queue }) => {
    if (semaphore instanceof LockError) return { group, error: semaphore, queue };
    const { ids: overdue } = await overdueIn(store, group, semaphore, now, overdueMs);
    return { group, semaphore, all, stored, queue, overdue };
  }));
  if (json) {
    const shown = seen.map((one) =>
      "error" in one
        ? faultyGroupJson(one.group, one.error.message, one.queue, now)
        : statusJson(one.group, one, now)
    );
    context.out(`${JSON.stringify(shown)}\n`);
  } else {
    const sound = seen.flatMap((one) => "error" in one ? [] : [one]);
    const { screen } = context;
    context.out(
      screen === undefined
        ? groupsText(sound, now)
        : (await import("./screen_report.ts")).groupsOn(screen, sound, now),
    );
  }
  const pause = pauseInForce(all, now);
  if (pause !== undefined && !json) {
    printHint(context, `all groups are paused${describeHold(pause, clockOf(context))}`);
  }
  const broken = [reading.all, ...reading.groups.map(({ semaphore }) => semaphore)].filter((one) =>
    one instanceof LockError
  );
  for (const error of broken) printError(context, error.message, error.hint);
  return broken.length > 0 ? 1 : 0;
}

/** Says what became of the group, and gives the exit code. */
async function tellRemoval(
  context: Context<"groups">,
  { group, store }: Lock,
  removal: Removal,
): Promise<number> {
  const label = groupLabel(group);
  const clock = clockOf(context);
  const { now } = clock;
  switch (removal.kind) {
    case "removed": {
      const { semaphore } = removal;
      const pause = pauseInForce(semaphore, now);
      const paused = pause === undefined ? "" : `, paused${describeHold(pause, clock)}`;
      context.out(`group ${label} removed; it had max ${semaphore.max}${paused}\n`);
      return 0;
    }
    case "not-stored":
      printError(context, `cannot remove group ${label}: nothing is stored for it`);
      await tellNotStored(context, store, group);
      return 1;
    case "held": {
      const { semaphore } = removal;
      const holders = describeHolders(semaphore, semaphore.holders, now);
      printError(
        context,
        `cannot remove group ${label}: held by ${holders}`,
        `wait until nobody holds a slot, or see 'locksmith help unlock'`,
      );
      return 1;
    }
    case "waited-for": {
      const [first, ...more] = removal.queue;
      const others = more.length === 0 ? "" : ` and ${more.length} more`;
      const who = first === undefined ? "somebody" : `${first.host ?? first.machine}${others}`;
      printError(
        context,
        `cannot remove group ${label}: ${who} is waiting for a slot`,
        `see the queue: locksmith status --verbose${groupFlag(group)}`,
      );
      return 1;
    }
  }
}
