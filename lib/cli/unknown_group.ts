/**
 * What is said of a group for which nothing is stored: most likely its name is mistyped, so the names that are there are
 * told. Of the default group of a store in which nothing is at all nothing is said: every store begins like that.
 */

import { DEFAULT_GROUP, groupLabel } from "../group.ts";
import { readGroups } from "../groups.ts";
import type { Lock } from "../lock.ts";
import { type Output, printHint, printWarning } from "./output.ts";
import { type Store, StoreError } from "../store.ts";
import { suggest, suggestInstead } from "../suggest.ts";

/** How long a store may take to tell its groups, in milliseconds: the command is done already. */
const TIMEOUT_MS = 1_000;
/** How many names are told where none is near. */
const NAMES_LIMIT = 5;

/** Says that nothing is stored for `group`, and what else there is. */
export async function tellNotStored(output: Output, store: Store, group: string): Promise<void> {
  const others = await otherGroups(store, group);
  if (group === DEFAULT_GROUP && others.length === 0) return;
  const near = suggest(group, others);
  const rest = near !== undefined ? `did you mean '${near}'?` : describeGroups(others);
  printHint(output, `nothing is stored for group ${groupLabel(group)}; ${rest}`);
}

/** Says that a command made the group of this lock, if it did: a group may be made by a typing error. */
export async function tellCreated(output: Output, lock: Lock): Promise<void> {
  if (!lock.created) return;
  const others = await otherGroups(lock.store, lock.group);
  if (lock.group === DEFAULT_GROUP && others.length === 0) return;
  const text = `group ${groupLabel(lock.group)} is new: nothing was stored for it before`;
  const near = suggestInstead(lock.group, others);
  if (near === undefined) printHint(output, text);
  else {
    printWarning(output, `${text}; did you mean '${near}'?`);
    printHint(output, `'locksmith groups --remove ${lock.group}' removes it`);
  }
}

/** The other groups that the store knows of; none where it does not say. */
async function otherGroups(store: Store, group: string): Promise<string[]> {
  try {
    const { groups } = await readGroups(store, TIMEOUT_MS);
    return groups.map(({ group }) => group).filter((other) => other !== group);
  } catch (error) {
    if (error instanceof StoreError) return [];
    throw error;
  }
}

function describeGroups(groups: readonly string[]): string {
  if (groups.length === 0) return "nor for any other";
  const more = groups.length - NAMES_LIMIT;
  const names = groups.slice(0, NAMES_LIMIT).map(groupLabel).join(", ");
  return `existing groups: ${names}${more > 0 ? ` and ${more} more` : ""}`;
}
