/**
 * One machine: what it may be doing, what can happen to it, and what it wants done outside. How one follows from another
 * is in `transitions.ts`, who does it in `daemon.ts`.
 *
 * Windows are of the wall clock, which may leap; what lasts (a back-off, the grace) is measured by one that does not.
 */

import type { Need } from "./need.ts";
import type { WindowState } from "./strategy.ts";
import type { LogLevel, Moment } from "./surroundings.ts";

export interface AgentConfig {
  readonly strategy: "etcd-lock" | "reboot";
  /** How long people who are logged in have, in milliseconds. */
  readonly graceMs: number;
  /** How often a machine that is idle, or waits for its window, looks for a slot that it knows nothing of; milliseconds. */
  readonly idleLookMs: number;
  /** Whether a reboot is allowed at `now`, milliseconds since the epoch. */
  windowAt(now: number): WindowState;
}

/** The daemon's own hold: what it has to show when it confirms or cancels. */
export interface Slot {
  readonly grant: string;
}

/** What the machine is doing. `until` is by the clock that does not leap, `opensAt` and `closesAt` by the wall clock. */
export type Phase =
  /** Looks which slot this machine has: one from before the boot is to be given back, one may have been unlocked. */
  | { readonly name: "recovering"; readonly failures: number }
  | { readonly name: "recovery-backoff"; readonly until: number; readonly failures: number }
  /** No reboot is needed. */
  | { readonly name: "idle"; readonly until: number }
  /** Holds a slot, and nobody knows whether a reboot is needed. */
  | { readonly name: "awaiting-need"; readonly until: number }
  /** `lookAt`: when to look for a slot that it knows nothing of, by the clock that does not leap. */
  | { readonly name: "awaiting-window"; readonly opensAt: number; readonly lookAt: number }
  /** Waits for a slot, in line, while the window is open. */
  | { readonly name: "waiting"; readonly closesAt: number }
  /** Gives its place in the line up; a slot may still come. */
  | { readonly name: "leaving" }
  /** Asks who is logged in. */
  | { readonly name: "checking" }
  /** Somebody is logged in and was told. */
  | { readonly name: "grace"; readonly until: number }
  | { readonly name: "confirming" }
  /** The reboot call is under way. */
  | { readonly name: "calling" }
  /** The reboot was accepted; the machine is to go down. */
  | { readonly name: "rebooting"; readonly until: number }
  | { readonly name: "cancelling"; readonly failures: number }
  | { readonly name: "cancel-backoff"; readonly until: number; readonly failures: number }
  /** The reboot was refused, or the store failed. */
  | { readonly name: "backing-off"; readonly until: number };

export interface Agent {
  readonly phase: Phase;
  readonly need: Need;
  /** The slot that this daemon has, as far as it knows. */
  readonly slot: Slot | null;
  /** Whether a reboot call was accepted, or may have been: then the slot stays, whatever comes. */
  readonly called: boolean;
  /** Whether it is known since the start which slot this machine has. */
  readonly recovered: boolean;
  /** Not to be tried before this, by the clock that does not leap. */
  readonly notBefore: number;
  /** A window that is open between these instants is of no use: it has no room for the grace. */
  readonly windowSpent: { readonly from: number; readonly until: number } | null;
  /** How often in a row a slot was lost before it was confirmed: each time the next try comes later. */
  readonly setbacks: number;
  /** The last thing that was said about a wait, so that it is said once. */
  readonly said: string;
  /** What the last look found, for the same reason. */
  readonly noted: string;
}

export type Event =
  | { readonly kind: "started" }
  /** The time that the state waits for may have come. */
  | { readonly kind: "tick" }
  | { readonly kind: "need"; readonly need: Need }
  | {
    readonly kind: "recovered";
    readonly slot: Slot | null;
    readonly called: boolean;
    readonly note: string;
  }
  /** Still in line, and why. */
  | { readonly kind: "in-line"; readonly why: string }
  /** `called`: somebody called the reboot under this very slot already. */
  | { readonly kind: "granted"; readonly slot: Slot; readonly called: boolean }
  /** Out of the line, without a slot. */
  | { readonly kind: "left" }
  | { readonly kind: "failed"; readonly why: string }
  | { readonly kind: "sessions"; readonly users: readonly string[] }
  /** `called`: somebody else confirmed this slot before, and may have called the reboot. */
  | { readonly kind: "confirmed"; readonly called: boolean }
  | { readonly kind: "lost" }
  | { readonly kind: "cancelled"; readonly note: string }
  /** The slot was not given back: somebody else confirmed it meanwhile. */
  | { readonly kind: "kept" }
  | { readonly kind: "reboot-accepted" }
  | { readonly kind: "reboot-refused"; readonly why: string }
  | { readonly kind: "reboot-unknown"; readonly why: string };

/** What is to be done outside and answers with an event; `wait` and `leave` have one answer together. */
export type Request =
  | { readonly kind: "recover" }
  /** Get in line. `granted` is the answer, whenever it comes, or `left` after a `leave`. */
  | { readonly kind: "wait"; readonly reasons: readonly string[] }
  | { readonly kind: "leave" }
  | { readonly kind: "cancel"; readonly slot: Slot }
  | { readonly kind: "ask-sessions" }
  | { readonly kind: "confirm"; readonly slot: Slot }
  /** `timeoutMs`: the call is to be made, and answered, within this time. */
  | { readonly kind: "reboot"; readonly timeoutMs: number };

/** What is to be told outside. Nothing comes back. */
export type Notice =
  | {
    readonly kind: "warn-sessions";
    readonly users: readonly string[];
    readonly graceMs: number;
    readonly reasons: readonly string[];
  }
  | { readonly kind: "log"; readonly level: LogLevel; readonly text: string };

export type Effect = Request | Notice;

export const START: Agent = {
  phase: { name: "recovering", failures: 0 },
  need: { kind: "unknown", why: ["not asked yet"] },
  slot: null,
  called: false,
  recovered: false,
  notBefore: 0,
  windowSpent: null,
  setbacks: 0,
  said: "",
  noted: "",
};

/** In how many milliseconds the state wants a `tick`; `Infinity` where it waits for something else. */
export function dueIn({ phase }: Agent, { now, elapsed }: Pick<Moment, "now" | "elapsed">): number {
  switch (phase.name) {
    case "awaiting-window":
      return Math.min(phase.opensAt - now, phase.lookAt - elapsed);
    case "waiting":
      // the end is inclusive
      return phase.closesAt + 1 - now;
    default:
      return "until" in phase ? phase.until - elapsed : Infinity;
  }
}

/** What `coordinator.conf` says of a state. */
export function coordinatorState(
  { phase, called, recovered }: Agent,
): "starting" | "running" | "reboot-planned" | "rebooting" {
  switch (phase.name) {
    case "recovering":
    case "recovery-backoff":
      return called ? "rebooting" : recovered ? "running" : "starting";
    case "checking":
    case "grace":
    case "confirming":
      return "reboot-planned";
    case "calling":
    case "rebooting":
      return "rebooting";
    default:
      return "running";
  }
}
