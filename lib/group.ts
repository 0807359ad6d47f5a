/**
 * Groups: what they may be called, and under which key of the store each keeps its semaphore. The keys are those of
 * the old locksmith, so that scripts and habits keep working.
 */

import { plainTextFault } from "./plain_text.ts";
import { shellWord } from "./shell_word.ts";
import type { KeyRange } from "./store.ts";

/** Everything that locksmith keeps lies below this. */
export const ROOT = "coreos.com/updateengine/rebootlock/";

/** All of it. */
export const EVERYTHING = { from: ROOT, to: `${ROOT.slice(0, -1)}0` } as const;

/** The keys of all groups but the default one. */
export const GROUPS = { from: `${ROOT}groups/`, to: `${ROOT}groups0` } as const;

/** The longest name of a group, in UTF-16 code units. */
export const GROUP_LENGTH_LIMIT = 256;

/** The name of the group that is used when none is named. */
export const DEFAULT_GROUP = "";

/**
 * Stands for all groups where otherwise one is named: the document under its key holds for every one of them. No group
 * can have this name, nor this key.
 */
export const ALL_GROUPS = "\0all";

/** What is wrong with the name of a group, or `undefined`. The empty name is the default group. */
export function groupFault(group: string): string | undefined {
  if (group === "." || group === "..") {
    return "a group must not be named . or .., which would point outside the tree of groups";
  }
  const fault = plainTextFault(group, "a group's name", GROUP_LENGTH_LIMIT);
  if (fault === undefined && group !== "" && group.trim() !== group) {
    return "a group's name must not begin or end with a blank";
  }
  return fault;
}

/** How a group is called in messages to people. */
export function groupLabel(group: string): string {
  return group === DEFAULT_GROUP ? "(default)" : group === ALL_GROUPS ? "(all)" : group;
}

/** The same with what it is: `group db`, `all groups`. */
export function groupPhrase(group: string): string {
  return group === ALL_GROUPS ? "all groups" : `group ${groupLabel(group)}`;
}

/** What a command line says to speak of a group: ` --group 'a b'`, ` --all`; nothing of the default one. */
export function groupFlag(group: string): string {
  if (group === ALL_GROUPS) return " --all";
  return group === DEFAULT_GROUP ? "" : ` --group ${shellWord(group)}`;
}

/** The key of a group's semaphore. */
export function semaphoreKey(group: string): string {
  return `${folder(group)}semaphore`;
}

/** The key of what holds for all groups. */
export const ALL_KEY = semaphoreKey(ALL_GROUPS);

/** What the keys of a group's queue begin with. */
export function queuePrefix(group: string): string {
  return `${folder(group)}queue/`;
}

/** What the keys of a group's hosts begin with that wait and are away until they ask again. */
export function awayPrefix(group: string): string {
  return `${folder(group)}away/`;
}

/** The keys of those who take turns in changing a group's document. */
export function turnRange(group: string): KeyRange {
  return { from: `${folder(group)}turns/`, to: `${folder(group)}turns0` };
}

function folder(group: string): string {
  if (group === DEFAULT_GROUP) return ROOT;
  return group === ALL_GROUPS ? `${ROOT}all/` : `${GROUPS.from}${escapeQuery(group)}/`;
}

/** The group whose semaphore lies at `key`, or `undefined` where the key is none of a semaphore. */
export function groupOfKey(key: string): string | undefined {
  if (!key.endsWith("/semaphore")) return undefined;
  const group = groupOfFolder(key.slice(0, -"semaphore".length));
  return group !== undefined && semaphoreKey(group) === key ? group : undefined;
}

/** The group for which `key` waits, in the queue or away, or `undefined` where the key is none of a place. */
export function groupOfPlaceKey(key: string): string | undefined {
  const [, place] = /^(.*\/)(?:queue|away)\/[^/]+\/[^/]+$/s.exec(key) ?? [];
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
