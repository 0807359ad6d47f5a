/** What could not be done with the lock, and the reading of a document that may be corrupt. */

import { parseSemaphore } from "./document.ts";
import { groupFlag } from "./group.ts";
import { type Semaphore, SemaphoreError } from "./semaphore.ts";
import type { Entry, Store } from "./store.ts";

/**
 * What could not be done with the lock. `unknown`: it may have happened; only a look can tell. `contended`: others
 * won every swap. `document`: the key holds something that is no sound semaphore.
 */
export class LockError extends Error {
  override readonly name = "LockError";
  constructor(
    readonly kind: "unknown" | "contended" | "document",
    message: string,
    readonly hint: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The document in an entry of `group`. Throws {@linkcode LockError} of kind `document`. */
export function parseEntry(entry: Entry, group: string, store: Pick<Store, "name">): Semaphore {
  try {
    return parseSemaphore(entry.value);
  } catch (error) {
    if (error instanceof SemaphoreError) throw documentError(entry, group, store, error);
    throw error;
  }
}

function documentError(
  entry: Entry,
  group: string,
  store: Pick<Store, "name">,
  error: SemaphoreError,
): LockError {
  return new LockError(
    "document",
    `${entry.key} at ${store.name} is corrupt (left unchanged): ${error.message}`,
    `see what a repair would do: locksmith repair --dry-run${groupFlag(group)}`,
    { cause: error },
  );
}
