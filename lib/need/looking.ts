/** What all that look at the machine share: to look now and then, and to know again what was seen. */

import { pause } from "../host/child.ts";
import { signOf } from "../host/regular_file.ts";

/** How often files are looked at, in milliseconds: what appears is noticed, and told, within a second. */
const FILE_INTERVAL_MS = 800;

/** How often a whole look is taken although the files seem unchanged, in milliseconds. */
const WHOLE_LOOK_MS = 30_000;

export interface LookingOptions {
  /** How often is looked, in milliseconds; 0.8 s. */
  readonly recheckMs?: number;
  /**
   * What the answer depends on: while none of these files appears, changes or goes, a whole look is taken only every 30 s, for
   * it costs a hundred times as much. Absent: each look is a whole one.
   */
  readonly paths?: readonly string[] | undefined;
}

/**
 * Looks until `signal` aborts, and tells each answer that is another than the one before. All that look in a process do so
 * at the same moments, so that it wakes once for them.
 */
export async function watchByLooking<T>(
  look: () => Promise<T>,
  signal: AbortSignal,
  listener: (answer: T) => void,
  { recheckMs = FILE_INTERVAL_MS, paths }: LookingOptions = {},
): Promise<void> {
  let last = "";
  let signs = "";
  let lookedMs = -Infinity;
  while (!signal.aborted) {
    const now = paths?.map(signOf).join(" ");
    if (now === undefined || now !== signs || performance.now() - lookedMs >= WHOLE_LOOK_MS) {
      signs = now ?? "";
      lookedMs = performance.now();
      const answer = await look();
      if (signal.aborted) return;
      const text = JSON.stringify(answer);
      if (text !== last) listener(answer);
      last = text;
    }
    await pause(recheckMs - performance.now() % recheckMs, signal);
  }
}

/** Sixteen hexadecimal digits of the texts' SHA-256: a fingerprint of what is too long for one. */
export async function digest(texts: readonly string[]): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(texts));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex().slice(0, 16);
}
