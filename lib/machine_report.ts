/**
 * What the daemon of a machine is doing, as it publishes it on its host for `status` and other programs: JSON that they may
 * rely on, and the lines of it for people. Pure.
 */

import type { Agent, Phase } from "./agent.ts";
import { describeDistance, describeInstant, describePast } from "./description.ts";
import type { Deadline, NeedLevel } from "./need.ts";
import type { WindowState } from "./strategy.ts";
import type { Moment } from "./surroundings.ts";

/** Instants are ISO 8601 in UTC. What is not known of something is not there. */
export interface MachineReport {
  readonly machine: string;
  readonly host: string;
  readonly boot: string;
  readonly group: string;
  readonly strategy: string;
  /** When this was written: a daemon that is alive does so every minute. */
  readonly at: string;
  readonly state: Phase["name"];
  /** Since when it is in this state, and until when if that has an end. */
  readonly since: string;
  readonly until?: string;
  readonly slot: boolean;
  readonly need: {
    readonly kind: "needed" | "not-needed" | "unknown";
    readonly since?: string;
    readonly level?: NeedLevel;
    /** Why it is needed, or why nobody knows. */
    readonly reasons: readonly string[];
    /** A date before which a reboot should come, needed or not, and what ends then. */
    readonly deadline?: Deadline;
  };
  /** What the reboot waits for, in words. */
  readonly waitsFor?: string;
  /** Who holds reboots off; without `until`: until it is taken back. */
  readonly heldOff?: { readonly why: string; readonly until?: string };
  /** Why it does not reboot until somebody runs `locksmith reset`. */
  readonly stopped?: string;
  readonly window: { readonly open: boolean; readonly opensAt?: string; readonly closesAt?: string };
}

/** What the report says beside the state of the agent. */
export interface MachineFacts {
  readonly machine: string;
  readonly host: string;
  readonly boot: string;
  readonly group: string;
  readonly strategy: string;
  /** When it came into its state, and since when a reboot is needed, in milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly needSinceMs: number | undefined;
  readonly window: WindowState;
}

/** States in which the last word about a wait is what the machine waits for. */
const WAITS: ReadonlySet<Phase["name"]> = new Set([
  "awaiting-window",
  "waiting",
  "blocked",
  "backing-off",
  "recovery-backoff",
  "cancel-backoff",
  "undo-backoff",
  "unhealthy",
]);

export function machineReport(
  { phase, slot, need, said, heldOff, stopped }: Agent,
  { sinceMs, needSinceMs, window, ...facts }: MachineFacts,
  { now, elapsed }: Pick<Moment, "now" | "elapsed">,
): MachineReport {
  const until = "opensAt" in phase
    ? phase.opensAt
    : "closesAt" in phase
    ? undefined
    : "until" in phase && phase.name !== "idle"
    ? now + phase.until - elapsed
    : undefined;
  const inForce = heldOff !== null && (heldOff.untilMs ?? Infinity) > now;
  return {
    ...facts,
    at: instant(now),
    state: phase.name,
    since: instant(sinceMs),
    ...known("until", until),
    slot: slot !== null,
    need: {
      kind: need.kind,
      ...(need.kind === "needed" ? known("since", needSinceMs) : {}),
      ...(need.kind === "needed" ? { level: need.level ?? "reboot" } : {}),
      reasons: need.kind === "needed" ? need.reasons : need.kind === "unknown" ? need.why : [],
      ...(need.deadline === undefined ? {} : { deadline: need.deadline }),
    },
    ...(WAITS.has(phase.name) && said !== "" ? { waitsFor: said } : {}),
    ...(inForce ? { heldOff: { why: heldOff.why, ...known("until", heldOff.untilMs ?? undefined) } } : {}),
    ...(stopped === null ? {} : { stopped }),
    window: window.open
      ? { open: true, ...known("closesAt", window.closesAt) }
      : { open: false, ...known("opensAt", window.nextOpensAt) },
  };
}

function known<K extends string>(name: K, ms: number | undefined): { readonly [N in K]?: string } {
  const told = ms === undefined || !Number.isFinite(ms) ? {} : { [name]: instant(ms) };
  return told as { readonly [N in K]?: string };
}

/** Whole seconds: the two clocks that make an instant do not agree on less. */
function instant(ms: number): string {
  return new Date(Math.round(ms / 1000) * 1000).toISOString().replace(".000Z", "Z");
}

/** How a state is told where no word about a wait says more. */
const WORDS: Readonly<Record<Phase["name"], string>> = {
  "recovering": "looks which slot it holds",
  "recovery-backoff": "cannot find out which slot it holds",
  "welcoming": "has rebooted and runs its post-boot hooks",
  "proving": "is being checked after its boot",
  "soaking": "is well after its boot; its slot goes back",
  "unhealthy": "is not well after its boot",
  "idle": "nothing to do",
  "awaiting-need": "holds a slot, and nobody knows whether a reboot is needed",
  "awaiting-window": "waits for its window",
  "inquiring": "is about to get in line",
  "waiting": "waits for a slot",
  "leaving": "leaves the line",
  "checking": "holds a slot and is about to reboot",
  "blocked": "holds a slot and cannot reboot now",
  "grace": "reboots when the people logged in have had their time",
  "preparing": "runs its pre-reboot hooks",
  "undoing": "takes back what its pre-reboot hooks did",
  "undo-backoff": "cannot take back what its pre-reboot hooks did",
  "confirming": "is about to reboot",
  "calling": "is rebooting",
  "rebooting": "is rebooting",
  "cancelling": "gives its slot back",
  "cancel-backoff": "cannot give its slot back",
  "backing-off": "tries again later",
};

/** The report for people, without what it is put under; instants on the clock of `zone`. */
export function describeMachine(report: MachineReport, now: number, zone: string): string[] {
  const { need, state, until, waitsFor, heldOff, stopped } = report;
  const at = (text: string) => {
    const ms = Date.parse(text);
    return `${describeInstant(ms, zone)}, ${describeDistance(ms - now)}`;
  };
  const lines: string[] = [];
  if (need.kind === "needed") {
    const sinceMs = Date.parse(need.since ?? "");
    const since = Number.isNaN(sinceMs)
      ? ""
      : ` since ${describeInstant(sinceMs, zone)}, ${describePast(now - sinceMs)}`;
    const level = need.level === undefined || need.level === "reboot" ? "" : ` (a ${need.level} would do)`;
    lines.push(`a reboot is needed${since}${level}: ${need.reasons.join("; ")}`);
  } else if (need.kind === "unknown") {
    lines.push(`unknown whether a reboot is needed: ${need.reasons.join("; ")}`);
  } else lines.push("no reboot is needed");
  if (stopped !== undefined) lines.push(stopped);
  if (heldOff !== undefined) lines.push(heldOff.why);
  if (need.kind !== "needed" && state === "idle") return lines;
  // what holds it off is what it waits for
  if (heldOff !== undefined && state === "awaiting-window") return lines;
  if (stopped !== undefined && state === "idle") return lines;
  const end = until === undefined ? "" : `; until ${at(until)}`;
  lines.push(`${waitsFor?.replace(/^this machine /, "") ?? WORDS[state]}${end}`);
  return lines;
}

/** The report that a text holds; `null`: it is none. */
export function parseMachineReport(value: unknown): MachineReport | null {
  const { at, state, group, boot, need, window } = Object(value);
  const texts = [at, state, group, boot, Object(need).kind].every((text) => typeof text === "string");
  const sound = texts && !Number.isNaN(Date.parse(at)) && Array.isArray(Object(need).reasons);
  return sound && typeof window === "object" && window !== null ? value as MachineReport : null;
}
