/**
 * One machine: what it may be doing, what can happen to it, and what it wants done outside. How one follows from another
 * is in `transitions.ts`, who does it in `daemon.ts`.
 *
 * Windows are of the wall clock, which may leap; what lasts (a back-off, the grace) is measured by one that does not.
 */

import type { Need } from "./need.ts";
import type { ActiveStrategy, WindowState } from "./strategy.ts";
import type { LogLevel, Moment } from "./surroundings.ts";

export interface AgentConfig {
  readonly strategy: ActiveStrategy;
  /** How long people who are logged in have, in milliseconds. */
  readonly graceMs: number;
  /** How often a machine that is idle, or waits for its window, looks for a slot that it knows nothing of; milliseconds. */
  readonly idleLookMs: number;
  /** Whether a reboot is allowed at `now`, milliseconds since the epoch. */
  windowAt(now: number): WindowState;
  /** How much of a window must be left to get in line, in milliseconds; absent: what the work before a reboot may take. */
  readonly marginMs?: number;
  /** What is to be done and proved after a boot, before a slot goes back; absent: nothing. */
  readonly afterBoot?: AfterBoot;
  /** The group, as people are told of it. */
  readonly group: string;
  /** The time zone in which people are told of times. */
  readonly zone: string;
}

/** What a machine does after a boot, before it gives its slot back. */
export interface AfterBoot {
  /** Whether hooks of an earlier boot's roll are due. */
  readonly hooksDue: boolean;
  /** How long the machine must have been up, in milliseconds. */
  readonly soakMs: number;
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
  /** Has rebooted, and runs the hooks for after a boot. */
  | { readonly name: "welcoming"; readonly failures: number }
  /** Has rebooted and holds its slot: asks whether its boot is complete, and its checks. */
  | { readonly name: "proving"; readonly failures: number }
  /** It is well, and has to be up for a while. */
  | { readonly name: "soaking"; readonly until: number }
  /** It is not well, and keeps its slot until it is. `hooks`: they failed, and run again. */
  | { readonly name: "unhealthy"; readonly until: number; readonly failures: number; readonly hooks: boolean }
  /** No reboot is needed. */
  | { readonly name: "idle"; readonly until: number }
  /** Holds a slot, and nobody knows whether a reboot is needed. */
  | { readonly name: "awaiting-need"; readonly until: number }
  /** `lookAt`: when to look for a slot that it knows nothing of, by the clock that does not leap. */
  | { readonly name: "awaiting-window"; readonly opensAt: number; readonly lookAt: number }
  /** Asks the host whether it could reboot now and who is logged in, before it gets in line. */
  | { readonly name: "inquiring" }
  /** Waits for a slot, in line, while the window is open and has room for the grace. */
  | { readonly name: "waiting"; readonly closesAt: number }
  /** Gives its place in the line up; a slot may still come. */
  | { readonly name: "leaving" }
  /** Asks the host the same again, when nothing else is in the way. */
  | { readonly name: "checking" }
  /** Holds a slot, and somebody on this host inhibits a shutdown. */
  | { readonly name: "blocked"; readonly until: number }
  /** Somebody is logged in and was told. */
  | { readonly name: "grace"; readonly until: number }
  /** Runs the hooks for before a reboot. */
  | { readonly name: "preparing" }
  /** No reboot after all: runs the hooks for after one, so that what was prepared is taken back. */
  | { readonly name: "undoing"; readonly failures: number }
  | { readonly name: "undo-backoff"; readonly until: number; readonly failures: number }
  | { readonly name: "confirming" }
  /** The reboot call is under way. */
  | { readonly name: "calling" }
  /** The reboot was accepted; the machine is to go down. */
  | { readonly name: "rebooting"; readonly until: number }
  | { readonly name: "cancelling"; readonly failures: number }
  | { readonly name: "cancel-backoff"; readonly until: number; readonly failures: number }
  /** The reboot was refused, or the store failed. */
  | { readonly name: "backing-off"; readonly until: number };

/** What a reboot was for. */
export interface Served {
  readonly fingerprint: string;
  /** Whether the reboot before that one was for the same. */
  readonly repeated: boolean;
}

/** What was seen since the boot of a need that was served. */
interface ServedSince {
  /** Whether there was no need in between. */
  readonly absent: boolean;
  /** Whether the same need counts again. */
  readonly over: boolean;
}

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
  /** What the last reboot was for that this machine made; the same need again would not be met by another. */
  readonly served: Served & ServedSince | null;
  /** Whether the hooks for before a reboot have run, or may have, and those for after one have not. */
  readonly prepared: boolean;
  /** Whether the host has such hooks, as it said last. */
  readonly hasHooks: boolean;
  /** Whether it is known that this machine had a slot when it rebooted. */
  readonly rebooted: boolean;
  /** Whether it is proved that this machine is well after its boot. */
  readonly proved: boolean;
  /** How often in a row its checks said no: each time the next try comes later. */
  readonly refusals: number;
  /** Why a person or a file on this host holds every reboot off, or `null`. */
  readonly heldOff: HoldOff | null;
  /** Why this machine does not reboot again until a person says so, or `null`. */
  readonly stopped: string | null;
  /** Since when a host that has a slot cannot reboot, by the clock that does not leap. */
  readonly blockedSince: number | null;
  /** How much of a window people who are logged in need, in milliseconds. */
  readonly roomMs: number;
  /** A window that is open between these instants is of no use: it has no room for the grace. */
  readonly windowSpent: { readonly from: number; readonly until: number } | null;
  /** How often in a row a slot was lost before it was confirmed: each time the next try comes later. */
  readonly setbacks: number;
  /** The last thing that was said about a wait, so that it is said once and again after a while; and when. */
  readonly said: string;
  readonly saidAt: number;
  /** What the last look found, for the same reason. */
  readonly noted: string;
  readonly notedAt: number;
  /** The shutdown by somebody else that was told of last: an instant, 0 for none. */
  readonly scheduledAt: number;
}

/** Somebody on this host holds reboots off: a file, or a command. */
export interface HoldOff {
  readonly why: string;
  /** Milliseconds since the epoch; `null`: until it is taken back. */
  readonly untilMs: number | null;
}

/** What the machine's own checks say. */
export type Verdict =
  | { readonly kind: "well" }
  | { readonly kind: "ill"; readonly why: string };

/** Who is logged in and has a right to some grace. Not to know is a value of its own: never "nobody". */
export type LoggedIn =
  | { readonly kind: "known"; readonly users: readonly string[] }
  | { readonly kind: "unknown"; readonly why: string };

/** Whether this machine can be rebooted now, as far as can be told before it is. */
export type Clearance =
  | { readonly kind: "clear" }
  /** Somebody inhibits a shutdown: ask again. */
  | { readonly kind: "blocked"; readonly why: string }
  /** Waiting does not help: this user may not, or this machine cannot. */
  | { readonly kind: "impossible"; readonly why: string }
  | { readonly kind: "unknown"; readonly why: string };

/** A shutdown that somebody else has scheduled, as `shutdown -r +5` does. */
export interface ScheduledShutdown {
  /** `reboot`, `poweroff`, `kexec` and so on. */
  readonly type: string;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

/** What the host says before a reboot. */
export interface Inquiry {
  readonly clearance: Clearance;
  readonly loggedIn: LoggedIn;
  readonly scheduled: ScheduledShutdown | null;
  /** Whether its checks let it go; they are not asked where something else is in the way. */
  readonly verdict: Verdict;
  /** How long the hooks before the reboot may take at most, in milliseconds; 0: there are none. */
  readonly hooksMs: number;
  /** How long the checks may take at most, in milliseconds. */
  readonly checksMs: number;
}

export type Event =
  | { readonly kind: "started" }
  /** The time that the state waits for may have come. */
  | { readonly kind: "tick" }
  | { readonly kind: "need"; readonly need: Need }
  /** What the last reboot was for, as this machine remembers it; `null`: nothing, or a person said to forget it. */
  | { readonly kind: "served"; readonly served: Served | null }
  | {
    readonly kind: "recovered";
    readonly slot: Slot | null;
    readonly called: boolean;
    /** There is one from before the boot, or may be for all that this machine remembers, and it was kept as asked. */
    readonly kept?: "known" | "possible";
    /** One from before the boot was given back. */
    readonly returned?: true;
    /** What is to be told of it, if anything. */
    readonly note: string;
    readonly details?: string;
    readonly level?: LogLevel;
  }
  /** Still in line, and why: `details` may change while the reason is the same. */
  | { readonly kind: "in-line"; readonly why: string; readonly details?: string; readonly level?: LogLevel }
  /** `called`: somebody called the reboot under this very slot already. */
  | { readonly kind: "granted"; readonly slot: Slot; readonly called: boolean }
  /** Out of the line, without a slot. */
  | { readonly kind: "left" }
  | { readonly kind: "failed"; readonly why: string; readonly details?: string }
  | { readonly kind: "inquired"; readonly inquiry: Inquiry }
  /** The hooks have run before this daemon was started, for a reboot that has not been. */
  | { readonly kind: "prepared" }
  | { readonly kind: "held-off"; readonly holdOff: HoldOff | null }
  | { readonly kind: "stopped"; readonly why: string | null }
  /** All hooks have done their work. */
  | { readonly kind: "hooked" }
  | { readonly kind: "hook-failed"; readonly why: string }
  /** How it is after the boot, and how long it has been up, in milliseconds. */
  | { readonly kind: "proved"; readonly verdict: Verdict; readonly upMs: number }
  /** `called`: somebody else confirmed this slot before, and may have called the reboot. */
  | { readonly kind: "confirmed"; readonly called: boolean }
  | { readonly kind: "lost" }
  | { readonly kind: "cancelled"; readonly note: string }
  /** The slot was not given back: somebody else confirmed it meanwhile. */
  | { readonly kind: "kept" }
  | { readonly kind: "reboot-accepted" }
  /** `blocked`: somebody inhibits a shutdown, so that asking again soon is of use. */
  | { readonly kind: "reboot-refused"; readonly why: string; readonly blocked?: true }
  | { readonly kind: "reboot-unknown"; readonly why: string };

/** What is to be done outside and answers with an event; `wait` and `leave` have one answer together. */
export type Request =
  /** `keep`: a slot from before the boot is only looked for, and not given back yet. */
  | { readonly kind: "recover"; readonly keep?: true }
  /** Get in line. `granted` is the answer, whenever it comes, or `left` after a `leave`. */
  | { readonly kind: "wait"; readonly reasons: readonly string[] }
  | { readonly kind: "leave" }
  | { readonly kind: "cancel"; readonly slot: Slot }
  /** `phase`: before it gets in line, or with a slot. */
  | { readonly kind: "inquire"; readonly phase: "before" | "granted" }
  /** Runs the hooks. `rebooted`: whether the reboot came that they are the end of. */
  | { readonly kind: "hooks"; readonly when: "pre-reboot"; readonly reasons: readonly string[] }
  | { readonly kind: "hooks"; readonly when: "post-boot"; readonly rebooted: boolean }
  /** Is the boot complete, and do the checks say that the machine is well? */
  | { readonly kind: "prove" }
  | { readonly kind: "confirm"; readonly slot: Slot }
  /** What it is for is to be remembered, then the call to be made, and answered within `timeoutMs`. */
  | { readonly kind: "reboot"; readonly timeoutMs: number; readonly fingerprint: string };

/** What is to be told outside. Nothing comes back. */
export type Notice =
  | {
    readonly kind: "warn-sessions";
    readonly graceMs: number;
    readonly reasons: readonly string[];
  }
  /** Others are told how this machine is after its boot; `null`: well. */
  | { readonly kind: "tell-health"; readonly trouble: string | null }
  /** The need was met: what the last reboot was for can be forgotten. */
  | { readonly kind: "forget-served" }
  | { readonly kind: "log"; readonly level: LogLevel; readonly text: string };

export type Effect = Request | Notice;

export const START: Agent = {
  phase: { name: "recovering", failures: 0 },
  need: { kind: "unknown", why: ["not asked yet"] },
  slot: null,
  called: false,
  recovered: false,
  notBefore: 0,
  served: null,
  prepared: false,
  hasHooks: false,
  rebooted: false,
  proved: false,
  refusals: 0,
  heldOff: null,
  stopped: null,
  blockedSince: null,
  roomMs: 0,
  windowSpent: null,
  setbacks: 0,
  said: "",
  saidAt: 0,
  noted: "",
  notedAt: 0,
  scheduledAt: 0,
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
    case "blocked":
    case "grace":
    case "preparing":
    case "confirming":
      return "reboot-planned";
    case "calling":
    case "rebooting":
      return "rebooting";
    default:
      return "running";
  }
}
