/** Who acts in a simulated fleet, as the judge sees them. */

import type { Cared } from "./care.ts";

/** Who sent a transaction. */
export type Actor =
  | { readonly kind: "administrator"; readonly machine?: undefined }
  /** A server of slots, for whichever host has asked it. */
  | { readonly kind: "server"; readonly machine?: undefined }
  /** A daemon, or a person who reboots the machine by a command on it; under the boot in which it was started. */
  | { readonly kind: "daemon" | "person"; readonly machine: Suspect; readonly boot: string };

/** What the judge knows of a machine. */
export interface Suspect extends Cared {
  readonly group: string;
  /** Whether a reboot was called that has yet to come, or may have. */
  readonly goingDown: boolean;
}

/** Whoever acts on a machine, in one of its boots. */
export type Own = Extract<Actor, { readonly boot: string }>;

/** How an actor is called. */
export function nameOf(actor: Actor): string {
  return actor.machine?.id ?? (actor.kind === "server" ? "a server" : "an administrator");
}
