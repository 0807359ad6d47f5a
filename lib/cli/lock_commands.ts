/**
 * Slots by hand: taken at once or by waiting in line, and given back. A plain `lock` passes the queue over: it is an
 * administrator's.
 */

import {
  checkHolder,
  type Context,
  holderOf,
  limitOperands,
  option,
  reasonOption,
  withLock,
} from "./command.ts";
import { resolveHoldOverdue, resolvePriority } from "./config.ts";
import { DurationError, parseDuration } from "../duration.ts";
import { type Lock, newMark } from "../lock.ts";
import type { NewHold } from "../semaphore.ts";
import type { Wait } from "./lock_wait.ts";
import { readHostname } from "../host/identity.ts";
import { tellRefusal } from "./refusal.ts";

export function lock(context: Context): Promise<number> {
  limitOperands(context, 1);
  checkHolder(context);
  const wait = waitOption(context);
  return withLock(context, async (lock) => {
    const holder = await holderOf(context);
    const own = context.line.positionals.length === 0;
    const hold = {
      ...(own ? { host: await readHostname(context.root) } : {}),
      by: lock.by,
      ...reasonOption(context),
      grant: newMark(),
      extra: {},
    };
    if (wait === undefined) return await lockNow(context, lock, holder, hold);
    // other commands, and a lock that does not wait, start without it
    const { LockByWaiting } = await import("./lock_wait.ts");
    return await new LockByWaiting(context, lock, holder, hold, wait).run();
  });
}

async function lockNow(context: Context, lock: Lock, holder: string, hold: NewHold): Promise<number> {
  const since = new Date(context.surroundings.now()).toISOString();
  const host = hold.host === undefined ? {} : { host: hold.host };
  const decision = await lock.acquire(holder, { ...host, since, ...hold });
  return decision.kind === "granted" ? 0 : await tellRefusal(context, lock, decision);
}

/** What `--wait` says, or `undefined` where it is not given; adds to the faults. */
function waitOption(context: Context): Wait | undefined {
  const { settings, line } = context;
  const text = option(context, "wait");
  if (text === undefined) {
    if (line.options.has("priority")) settings.faults.push("--priority is of use with --wait only");
    return undefined;
  }
  const [id] = line.positionals;
  if (text === "" && id !== undefined && isDuration(id)) {
    settings.faults.push(
      `--wait takes a value by '=' only, and '${id}' would be a machine id: did you mean --wait=${id}?`,
    );
  }
  const limitMs = text === "" ? undefined : limitOf(text, settings.faults);
  // what has a fault is told before anything starts, and not used
  return { limitMs, priority: resolvePriority(settings) ?? 0, overdueMs: resolveHoldOverdue(settings) ?? 0 };
}

function limitOf(text: string, faults: string[]): number | undefined {
  try {
    const limitMs = parseDuration(text);
    if (limitMs >= 0) return limitMs;
    faults.push(`--wait: '${text}' is negative`);
  } catch (error) {
    if (!(error instanceof DurationError)) throw error;
    faults.push(`--wait: ${error.message}`);
  }
  return undefined;
}

function isDuration(text: string): boolean {
  try {
    parseDuration(text);
    return true;
  } catch (error) {
    if (error instanceof DurationError) return false;
    throw error;
  }
}

export function unlock(context: Context): Promise<number> {
  limitOperands(context, 1);
  checkHolder(context);
  return withLock(context, async (lock) => {
    const decision = await lock.unlock(await holderOf(context));
    if (decision.kind === "released") return 0;
    context.err("Error unlocking: holder does not exist\n");
    return 1;
  });
}
