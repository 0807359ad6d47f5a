/**
 * Slots by hand: taken at once or by waiting in line, and given back. A plain `lock` passes the queue over: it is an
 * administrator's.
 */

import { clockOf, type Context, holderOf, reasonOption, withLock } from "./command.ts";
import { describeHolder, describeHolders } from "../description.ts";
import { DEFAULT_GROUP, groupFlag, groupLabel } from "../group.ts";
import { readGroups } from "../groups.ts";
import { findHolder } from "../holder.ts";
import { type Lock, LockError, newMark } from "../lock.ts";
import { machineName } from "../machine.ts";
import { shellWord } from "../shell_word.ts";
import { oneLine, printHint } from "./output.ts";
import type { NewHold } from "../semaphore.ts";
import { StoreError } from "../store.ts";
import { readHostname } from "../host/identity.ts";
import { tellRefusal } from "./refusal.ts";
import { tellCreated, tellNotStored } from "./unknown_group.ts";

export function lock(context: Context<"lock">): Promise<number> {
  const { wait: limitMs, priority, "hold-overdue": overdueMs, root } = context.config;
  return withLock(context, async (lock) => {
    const holder = await holderOf(context);
    const own = context.operands.length === 0;
    const hold = {
      ...(own ? { host: await readHostname(root) } : {}),
      by: lock.by,
      ...reasonOption(context),
      grant: newMark(),
      extra: {},
    };
    if (limitMs === undefined) return await lockNow(context, lock, holder, hold);
    // other commands, and a lock that does not wait, start without it
    const { LockByWaiting } = await import("./lock_wait.ts");
    return await new LockByWaiting(context, lock, holder, hold, { limitMs, priority, overdueMs }).run();
  });
}

async function lockNow(context: Context<"lock">, lock: Lock, holder: string, hold: NewHold): Promise<number> {
  const since = new Date(context.surroundings.now()).toISOString();
  const host = hold.host === undefined ? {} : { host: hold.host };
  const decision = await lock.acquire(holder, { ...host, since, ...hold });
  if (decision.kind !== "granted") return await tellRefusal(context, lock, holder, decision);
  await tellCreated(context, lock);
  return 0;
}

export function unlock(context: Context<"unlock">): Promise<number> {
  return withLock(context, async (lock) => {
    const word = await holderOf(context);
    const decision = await lock.unlock(word, context.config.reason);
    if (decision.kind === "released") return 0;
    return await unlockMeant(context, lock, word);
  });
}

/** Ends the hold of the one holder that `word` means; else says who holds, and leaves everything unchanged. */
async function unlockMeant(context: Context<"unlock">, lock: Lock, word: string): Promise<number> {
  const entry = await lock.entry();
  const semaphore = lock.parse(entry);
  const { now } = clockOf(context);
  const meant = findHolder(semaphore, word);
  if (meant.kind === "one") {
    const decision = await lock.unlock(meant.id, context.config.reason);
    if (decision.kind === "released") {
      printHint(context, `gave back the slot of ${describeHolder(meant.id, decision.hold, now)}`);
      return 0;
    }
  }
  if (meant.kind === "several") {
    context.err(`Error unlocking: several holders fit ${oneLine(word)}\n`);
    for (const id of meant.ids) {
      printHint(context, `${id}: ${describeHolder(id, semaphore.holds.get(id), now)}`);
    }
    printHint(context, "name one of them by its machine id; nothing was changed");
    return 1;
  }
  context.err("Error unlocking: holder does not exist\n");
  const elsewhere = await holdersElsewhere(lock, word);
  for (const { group, name, unlock } of elsewhere) {
    printHint(context, `${name} holds a slot in group ${groupLabel(group)}: ${unlock}`);
  }
  if (elsewhere.length > 0) return 1;
  if (entry === null) await tellNotStored(context, lock.store, lock.group);
  else {
    const { holders } = semaphore;
    const held = holders.length === 0 ? "nobody" : describeHolders(semaphore, holders, now);
    printHint(context, `slots in group ${groupLabel(lock.group)} are held by ${held}`);
  }
  return 1;
}

/** The holders of other groups that `word` means. Who may not look there is told nothing. */
async function holdersElsewhere(
  { store, group: own }: Lock,
  word: string,
): Promise<{ readonly group: string; readonly name: string; readonly unlock: string }[]> {
  const { groups } = await readGroups(store).catch((error) => {
    if (error instanceof StoreError) return { groups: [] };
    throw error;
  });
  return groups.flatMap(({ group, semaphore }) => {
    if (group === own || semaphore instanceof LockError) return [];
    const meant = findHolder(semaphore, word);
    const ids = meant.kind === "one" ? [meant.id] : meant.kind === "several" ? meant.ids : [];
    const flag = group === DEFAULT_GROUP ? " --group ''" : groupFlag(group);
    return ids.map((id) => ({
      group,
      name: machineName(id, semaphore.holds.get(id)?.host),
      unlock: `locksmith unlock ${shellWord(meant.kind === "one" ? word : id)}${flag}`,
    }));
  });
}
