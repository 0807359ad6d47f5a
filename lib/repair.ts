/**
 * The way back from a document that reading refuses: what can be kept is kept, what contradicts itself is counted,
 * sorted or dropped, and every change is named, so that an administrator decides with both sides before his eyes.
 */

import {
  compareCodePoints,
  FRESH,
  holderFault,
  isCount,
  type Semaphore,
  SemaphoreError,
} from "./semaphore.ts";
import { parseObject, parseSemaphore, serializeSemaphore } from "./document.ts";

/** A mended document, and what was done to it; without changes the document was sound. */
export interface Repair {
  readonly next: Semaphore;
  readonly changes: readonly string[];
}

/**
 * Mends a document: recounts, sorts, drops duplicates and what cannot be read. Throws {@linkcode SemaphoreError}
 * where there is nothing to keep (no JSON object) or no max to go by: then only starting anew helps.
 */
export function repairSemaphore(text: string): Repair {
  const { semaphore: count, max, holders, holds, paused, freezes, changed, ...others } = parseObject(text);
  if (!isCount(max)) throw new SemaphoreError([`"max" cannot be read, so the limit is unknown`]);
  const changes: string[] = [];
  const names = repairHolders(holders, changes);
  const kept = repairHolds(holds, new Set(names), changes);
  const frozen = repairFreezes(freezes, changes);
  const draft = {
    semaphore: max - names.length,
    max,
    holders: names,
    ...(kept ? { holds: kept } : {}),
    ...(frozen.length > 0 ? { freezes: frozen } : {}),
  };
  if (count !== draft.semaphore) {
    changes.push(
      `semaphore: ${
        JSON.stringify(count) ?? "missing"
      } becomes ${draft.semaphore} (max ${max} minus ${names.length} holders)`,
    );
  }
  const readable = changed === undefined || isSound({ ...FRESH_DRAFT, changed });
  if (!readable) changes.push(`changed: ${JSON.stringify(changed)} is dropped (it cannot be read)`);
  const extra = readable && changed !== undefined ? { changed, ...others } : others;
  const withPause = paused === undefined ? draft : { ...draft, paused };
  if (paused !== undefined && !isSound({ ...FRESH_DRAFT, paused })) {
    // who wrote it wanted no new grants: that stays, its unreadable details go
    changes.push(`paused: ${JSON.stringify(paused)} cannot be read; stays paused, without its details`);
    return { next: parseSemaphore(JSON.stringify({ ...draft, paused: {}, ...extra })), changes };
  }
  return { next: parseSemaphore(JSON.stringify({ ...withPause, ...extra })), changes };
}

const FRESH_DRAFT = JSON.parse(serializeSemaphore(FRESH));

function isSound(draft: unknown): boolean {
  try {
    parseSemaphore(JSON.stringify(draft));
    return true;
  } catch (error) {
    if (error instanceof SemaphoreError) return false;
    throw error;
  }
}

function repairHolders(value: unknown, changes: string[]): string[] {
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) {
    throw new SemaphoreError([`"holders" is not a list, so the holders are unknown`]);
  }
  const names: string[] = [];
  for (const name of value) {
    const fault = holderFault(name);
    if (fault !== undefined) changes.push(`holders: ${JSON.stringify(name)} is dropped (${fault})`);
    else if (names.includes(name)) changes.push(`holders: ${JSON.stringify(name)} was listed twice`);
    else names.push(name);
  }
  const sorted = names.toSorted(compareCodePoints);
  if (sorted.some((name, i) => name !== names[i])) changes.push("holders: sorted");
  return sorted;
}

function repairHolds(
  value: unknown,
  holders: ReadonlySet<string>,
  changes: string[],
): Record<string, unknown> | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    changes.push(`holds: ${JSON.stringify(value)} is dropped (not an object)`);
    return undefined;
  }
  const kept: [string, unknown][] = [];
  for (const [id, hold] of Object.entries(value)) {
    if (!holders.has(id)) {
      changes.push(`holds: the details of ${JSON.stringify(id)} are dropped (it is not a holder)`);
    } else if (isSound({ semaphore: 0, max: 1, holders: [id], holds: Object.fromEntries([[id, hold]]) })) {
      kept.push([id, hold]);
    } else {
      changes.push(
        `holds: the details of ${
          JSON.stringify(id)
        } are dropped (they cannot be read); its slot counts as taken by hand`,
      );
    }
  }
  return Object.fromEntries(kept);
}

/** Of a freeze that cannot be read nobody knows when it was to be. */
function repairFreezes(value: unknown, changes: string[]): unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) {
    changes.push(`freezes: ${JSON.stringify(value)} is dropped (not a list)`);
    return [];
  }
  const kept: unknown[] = [];
  for (const freeze of value) {
    if (isSound({ ...FRESH_DRAFT, freezes: [...kept, freeze] })) kept.push(freeze);
    else changes.push(`freezes: ${JSON.stringify(freeze)} is dropped (it cannot be read, or is there twice)`);
  }
  return kept;
}
