/**
 * What a transaction of an operator changes, as one line for the audit: what is recorded in the documents that it writes,
 * and whose places in the queue it takes or gives up. The record's `by` is the client's word; whose credential it was, the
 * server says beside it. Pure.
 */

import { parseSemaphore } from "../document.ts";
import { ALL_GROUPS, ALL_KEY, groupOfKey, groupOfPlaceKey, groupPhrase } from "../group.ts";
import { plainLine } from "../plain_text.ts";
import { SemaphoreError } from "../semaphore.ts";
import type { Transaction } from "../store.ts";

/** The longest line, in characters. */
const LENGTH_LIMIT = 1_000;

/** `set-max in group web, max 2, by ann@laptop: more capacity`; `undefined` where nothing is written. */
export function auditOf({ put, remove = [] }: Transaction): string | undefined {
  const parts = [
    ...put.map(({ key, value }) => written(key, value)),
    ...remove.map(removed),
  ];
  return parts.length === 0 ? undefined : plainLine(parts.join("; "), LENGTH_LIMIT);
}

function written(key: string, value: string): string {
  const group = groupAt(key);
  if (group === undefined) return placeAt(key, "queue") ?? `write ${key}`;
  try {
    const { max, changed } = parseSemaphore(value);
    const { what = "edit", machine, by, reason } = changed ?? {};
    return `${what} in ${groupPhrase(group)}` + (what === "set-max" ? `, max ${max}` : "") +
      (machine === undefined ? "" : `, machine ${machine}`) + (by === undefined ? "" : `, by ${by}`) +
      (reason === undefined ? "" : `: ${reason}`);
  } catch (error) {
    if (!(error instanceof SemaphoreError)) throw error;
    return `write what is no semaphore to ${groupPhrase(group)}`;
  }
}

function removed(key: string): string {
  const group = groupAt(key);
  return group === undefined
    ? placeAt(key, "leave the queue") ?? `remove ${key}`
    : `remove ${groupPhrase(group)}`;
}

function groupAt(key: string): string | undefined {
  return key === ALL_KEY ? ALL_GROUPS : groupOfKey(key);
}

/** `queue in group web, place 100/m1`. */
function placeAt(key: string, what: string): string | undefined {
  const group = groupOfPlaceKey(key);
  if (group === undefined) return undefined;
  return `${what} in ${groupPhrase(group)}, place ${key.split("/").slice(-2).join("/")}`;
}
