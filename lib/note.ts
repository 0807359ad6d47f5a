/** What a commit is recorded as, in the document that it writes. */

import type { ChangeKind } from "./semaphore.ts";

/** See {@linkcode LastChange}. */
export interface Note {
  readonly what: ChangeKind;
  readonly machine?: string;
  readonly reason?: string;
}

export function noteOf(what: ChangeKind, machine?: string, reason?: string): Note {
  return {
    what,
    ...(machine === undefined ? {} : { machine }),
    ...(reason === undefined ? {} : { reason }),
  };
}
