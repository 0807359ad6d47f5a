/**
 * Slots by hand: taken at once or by waiting in line, and given back. A plain `lock` passes the queue over: it is an
 * administrator's.
 */

import { type Context, holderOf, reasonOption, withLock } from "./command.ts";
import { type Lock, newMark } from "../lock.ts";
import type { NewHold } from "../semaphore.ts";
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
  if (decision.kind !== "granted") return await tellRefusal(context, lock, decision);
  await tellCreated(context, lock);
  return 0;
}

export function unlock(context: Context<"unlock">): Promise<number> {
  return withLock(context, async (lock) => {
    const decision = await lock.unlock(await holderOf(context), context.config.reason);
    if (decision.kind === "released") return 0;
    context.err("Error unlocking: holder does not exist\n");
    if (await lock.entry() === null) await tellNotStored(context, lock.store, lock.group);
    return 1;
  });
}
