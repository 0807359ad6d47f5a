/**
 * Groups: what they may be called, and under which key of the store each keeps its semaphore. The keys are those of
 * the old locksmith, so that scripts and habits keep working.
 */

import { shellWord } from "./shell_word.ts";

/** Everything that locksmith keeps lies below this. */
export const ROOT = "coreos.com/updateengine/rebootlock/";

/** The keys of all groups but the default one. */
export const GROUPS = { from: `${ROOT}groups/`, to: `${ROOT}groups0` } as const;

/** The longest name of a group, in UTF-16 code units. */
export const GROUP_LENGTH_LIMIT = 256;

/** The name of the group that is used when none is named. */
export const DEFAULT_GROUP = "";

/** What is wrong with the name of a group, or `undefined`. The empty name is the default group. */
export function groupFault(group: string): string | undefined {
  if (group === "." || group === "..") {
    return "a group must not be called . or .., which would point out of the tree of groups";
  }
  if (group.length > GROUP_LENGTH_LIMIT) {
    return `a group's name must not be longer than ${GROUP_LENGTH_LIMIT}`;
  }
  // deno-lint-ignore no-control-regex -- these are what is looked for
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(group)) {
    return "a group's name must not have control characters";
  }
  if (!group.isWellFormed()) return "a group's name must be well-formed Unicode";
  if (group !== "" && group.trim() !== group) return "a group's name must not begin or end with a blank";
  return undefined;
}

/** How a group is called in messages to people. */
export function groupLabel(group: string): string {
  return group === DEFAULT_GROUP ? "(default)" : group;
}

/** What a command line says to speak of a group: ` --group db`; nothing of the default one. */
export function groupFlag(group: string): string {
  return group === DEFAULT_GROUP ? "" : ` --group ${shellWord(group)}`;
}

/** The key of a group's semaphore. */
export function semaphoreKey(group: string): string {
  return `${folder(group)}semaphore`;
}

/** What the keys of a group's queue begin with. */
export function queuePrefix(group: string): string {
  return `${folder(group)}queue/`;
}

function folder(group: string): string {
  return group === DEFAULT_GROUP ? ROOT : `${GROUPS.from}${escapeQuery(group)}/`;
}

/** The group whose semaphore lies at `key`, or `undefined` where the key is none of a semaphore. */
export function groupOfKey(key: string): string | undefined {
  if (!key.endsWith("/semaphore")) return undefined;
  const group = groupOfFolder(key.slice(0, -"semaphore".length));
  return group !== undefined && semaphoreKey(group) === key ? group : undefined;
}

/** The group in whose queue `key` stands, or `undefined` where the key is none of a queue. */
export function groupOfQueueKey(key: string): string | undefined {
  const [, place] = /^(.*\/)queue\/[^/]+\/[^/]+$/s.exec(key) ?? [];
  return place === undefined ? undefined : groupOfFolder(place);
}

function groupOfFolder(path: string): string | undefined {
  if (path === ROOT) return DEFAULT_GROUP;
  const escaped = new RegExp(`^${GROUPS.from}([^/]+)/$`).exec(path)?.[1];
  if (escaped === undefined) return undefined;
  try {
    const group = decodeURIComponent(escaped.replaceAll("+", " "));
    return folder(group) === path && groupFault(group) === undefined ? group : undefined;
  } catch {
    return undefined;
  }
}

/** Escapes as in a URL query, the way of Go's `url.QueryEscape`: a space is `+`, only letters, digits and `-_.~` stay. */
export function escapeQuery(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");
}
