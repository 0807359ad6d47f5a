/** Freezes of a group are planned, and taken back: each is one change of the document by the lock. */

import type { Lock } from "./lock.ts";
import { freezesAhead, type PlannedFreeze } from "./pause.ts";
import type { Semaphore } from "./semaphore.ts";

/** So many freezes a group has ahead of it at most. */
export const FREEZES_LIMIT = 100;

/** What planning a freeze came to. `full`: there are too many, and nothing was changed. */
export interface Planned {
  /** The one of the same name in whose place it came. */
  readonly before: PlannedFreeze | undefined;
  readonly semaphore: Semaphore;
  readonly full: boolean;
}

/**
 * Plans a freeze, in the place of one of the same name; those that are over go. Throws {@linkcode StoreError},
 * {@linkcode LockError}.
 */
export function planFreeze(lock: Lock, freeze: PlannedFreeze): Promise<Planned> {
  const { name } = freeze;
  let before: PlannedFreeze | undefined;
  return lock.change("freeze", (current, _, inDoubt) => {
    const found = current.freezes?.find((one) => one.name === name);
    // the freeze that is there may be what nobody heard of
    if (!(inDoubt && found?.since === freeze.since && found?.by === freeze.by)) before = found;
    const others = (current.freezes ?? []).filter((one) => one !== found);
    const freezes = freezesAhead([...others, freeze], lock.surroundings.now());
    const full = freezes.length > FREEZES_LIMIT;
    const semaphore = full ? current : { ...current, freezes };
    return {
      decision: { before, semaphore, full },
      ...(full ? {} : { next: semaphore }),
      note: { what: "freeze", reason: name },
    };
  });
}

/** Takes a freeze back. Returns it, and the names of all that there were. Throws {@linkcode StoreError}, {@linkcode LockError}. */
export function takeFreezeBack(
  lock: Lock,
  name: string,
): Promise<{ readonly before: PlannedFreeze | undefined; readonly names: readonly string[] }> {
  let ended: PlannedFreeze | undefined;
  return lock.change("unfreeze", (current) => {
    const { freezes = [], ...rest } = current;
    const found = freezes.find((freeze) => freeze.name === name);
    ended = found ?? ended;
    const left = freezes.filter((freeze) => freeze !== found);
    return {
      decision: { before: ended, names: freezes.map(({ name }) => name) },
      ...(found === undefined ? {} : { next: left.length === 0 ? rest : { ...rest, freezes: left } }),
      note: { what: "unfreeze", reason: name },
    };
  });
}
