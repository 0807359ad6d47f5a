/** What all that look at the machine share: to look now and then, and to know again what was seen. */

import { pause } from "../host/child.ts";

/** How often files are looked at, in milliseconds: what appears is noticed, and told, within a second. */
const FILE_INTERVAL_MS = 800;

/**
 * Looks every `recheckMs` (0.8 s) until `signal` aborts, and tells each answer that is another than the one before. All that
 * look in a process do so at the same moments, so that it wakes once for them.
 */
export async function watchByLooking<T>(
  look: () => Promise<T>,
  signal: AbortSignal,
  listener: (answer: T) => void,
  recheckMs = FILE_INTERVAL_MS,
): Promise<void> {
  let last = "";
  while (!signal.aborted) {
    const answer = await look();
    if (signal.aborted) return;
    const text = JSON.stringify(answer);
    if (text !== last) listener(answer);
    last = text;
    await pause(recheckMs - performance.now() % recheckMs, signal);
  }
}

/** Sixteen hexadecimal digits of the texts' SHA-256: a fingerprint of what is too long for one. */
export async function digest(texts: readonly string[]): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(texts));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex().slice(0, 16);
}
