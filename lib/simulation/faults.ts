/** What may go wrong in a simulated fleet, as the fleet asks for it; and a good day, on which nothing does. */

import type { Inquiry, Verdict } from "../agent.ts";
import type { Computer } from "./computer.ts";
import type { HookOutcome, RebootOutcome } from "../daemon.ts";
import type { Network } from "./store.ts";
import type { Process } from "./virtual_time.ts";

/** What becomes of a reboot call. */
export interface RebootFate {
  readonly outcome: RebootOutcome;
  /** When the answer comes, in milliseconds. */
  readonly answerMs: number;
  /** When the machine goes down, in milliseconds from the call; `null`: it does not. */
  readonly downMs: number | null;
}

/** What goes wrong. */
export interface Faults extends Network {
  /** Something is about to happen to `machine`: may strike it, through the fleet. */
  checkpoint(machine: Computer): void;
  reboot(machine: Computer): RebootFate;
  /** How long the machine takes to answer who is logged in, and to tell them; milliseconds. */
  hostMs(machine: Computer): number;
  /** Whether it could reboot, and who is logged in. */
  inquiry(machine: Computer): Inquiry;
  /** What the checks of a machine say. Without this they let it go. */
  verdict?(machine: Computer): Verdict;
  /** Whether its hooks do their work. Without this they do. */
  hooks?(machine: Computer): HookOutcome;
  /** The group that a machine is configured for when it boots. Without this none ever changes, and nobody looks elsewhere. */
  group?(machine: Computer): string;
  /** A swap of a process was refused. */
  refused(process: Process): void;
}

/** Nothing is in the way of a reboot, and nobody is logged in. */
export const CLEAR: Inquiry = {
  clearance: { kind: "clear" },
  loggedIn: { kind: "known", users: [] },
  scheduled: null,
  verdict: { kind: "well" },
  hooksMs: 0,
  checksMs: 0,
};

/** A good day: calls take a millisecond or two, and everybody does as told. */
export const NO_FAULTS: Faults = {
  fate: () => ({ requestMs: 1, replyMs: 1 }),
  tell: () => [1],
  checkpoint: () => {},
  reboot: () => ({ outcome: { kind: "accepted" }, answerMs: 10, downMs: 20 }),
  hostMs: () => 10,
  inquiry: () => CLEAR,
  refused: () => {},
};
