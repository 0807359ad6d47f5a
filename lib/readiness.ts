/**
 * Why now is or is not a time to reboot a machine: everything that its daemon would weigh, each with its answer, and with
 * what would change a no. Pure: the facts come in, words come out.
 */

import type { HoldOff, Inquiry, LoggedIn, Phase } from "./agent.ts";
import { describeDeadline } from "./deadline.ts";
import {
  type Clock,
  describeDistance,
  describeDuration,
  describeHold,
  describeHolders,
  describeInstant,
} from "./description.ts";
import { groupFlag, groupLabel } from "./group.ts";
import type { Need } from "./need.ts";
import type { PlannedFreeze } from "./pause.ts";
import { available, endsInMs, pauseInForce } from "./semaphore.ts";
import { shellWord } from "./shell_word.ts";
import type { SessionMode } from "./session_mode.ts";
import type { Seen } from "./status.ts";
import type { WindowState } from "./strategy.ts";

/** Whether something lets the machine reboot now. */
export type Answer = "yes" | "no" | "unknown";

/** One thing that a reboot depends on. */
export interface Circumstance {
  readonly what: string;
  readonly answer: Answer;
  readonly why: string;
  /** What would change a no, where something would. */
  readonly change?: string;
}

/** Whether all of them let it; what is unknown lets nothing. */
export function joinedAnswer(circumstances: readonly Circumstance[]): Answer {
  const answers = circumstances.map(({ answer }) => answer);
  return answers.includes("no") ? "no" : answers.includes("unknown") ? "unknown" : "yes";
}

/** What cannot be found out. */
export function notKnown(what: string, why: string, change?: string): Circumstance {
  return { what, answer: "unknown", why, ...(change === undefined ? {} : { change }) };
}

export function needCircumstance(need: Need, now: number): Circumstance {
  const what = "need";
  const deadline = need.deadline === undefined ? "" : `; ${describeDeadline(need.deadline, now)}`;
  switch (need.kind) {
    case "needed":
      return { what, answer: "yes", why: need.reasons.join("; ") + deadline };
    case "not-needed":
      return {
        what,
        answer: "no",
        why: `no reboot is needed${deadline}`,
        change: "an update that needs one, or 'locksmith send-need-reboot'",
      };
    case "unknown":
      return notKnown(what, need.why.join("; ") + deadline, "'locksmith needs-reboot' says more");
  }
}

export function windowCircumstance(window: WindowState, { now, zone = "UTC" }: Clock): Circumstance {
  const at = (ms: number) => `${describeInstant(ms, zone)}, ${describeDistance(ms - now)}`;
  const what = "window";
  if (window.open) {
    const why = window.closesAt === Infinity ? "always open" : `open, closes ${at(window.closesAt)}`;
    return { what, answer: "yes", why };
  }
  const change = window.nextOpensAt === Infinity
    ? "nothing is known to open it; change the windows or freezes"
    : `opens ${at(window.nextOpensAt)}`;
  return { what, answer: "no", why: window.why ?? "closed", change };
}

export function holdOffCircumstance(holdOff: HoldOff | null, { now, zone = "UTC" }: Clock): Circumstance {
  const what = "held off";
  if (holdOff === null) return { what, answer: "yes", why: "by nobody on this host" };
  const { why, untilMs } = holdOff;
  const change = untilMs === null
    ? "whoever set it takes it back"
    : `ends by itself ${describeInstant(untilMs, zone)}, ${describeDistance(untilMs - now)}`;
  return { what, answer: "no", why, change };
}

/** What the daemon says of the machine after its last boot: `state` is its phase, `why` what it waits for. */
export function healthCircumstances(state: Phase["name"], why: string | undefined): Circumstance[] {
  if (!["welcoming", "proving", "soaking", "unhealthy"].includes(state)) return [];
  const change = "it gives its slot back once it is well, and reboots no sooner";
  return [{ what: "health", answer: "no", why: why ?? "it is being checked after its boot", change }];
}

/** `stopped`: why the machine does not reboot again until a person says so, or `null`. */
export function limitCircumstance(stopped: string | null): Circumstance {
  const what = "limits";
  return stopped === null
    ? { what, answer: "yes", why: "none is reached" }
    : { what, answer: "no", why: stopped, change: "'locksmith reset'" };
}

/** How people who are logged in are treated; `graceMs` in milliseconds. */
export interface Courtesy {
  readonly mode: SessionMode;
  readonly graceMs: number;
}

/** What the host says: its checks, who inhibits a shutdown, and who is logged in. */
export function hostCircumstances(
  { verdict, clearance, loggedIn }: Pick<Inquiry, "verdict" | "clearance" | "loggedIn">,
  courtesy: Courtesy,
): Circumstance[] {
  return [
    verdict.kind === "well"
      ? { what: "checks", answer: "yes", why: "none says no" }
      : { what: "checks", answer: "no", why: verdict.why, change: "they are asked again by themselves" },
    clearance.kind === "clear"
      ? { what: "inhibitors", answer: "yes", why: "nobody inhibits a shutdown" }
      : clearance.kind === "unknown"
      ? notKnown("inhibitors", clearance.why)
      : {
        what: "inhibitors",
        answer: "no",
        why: clearance.why,
        ...(clearance.kind === "blocked" ? { change: "it ends; 'systemd-inhibit --list' shows all" } : {}),
      },
    sessionsCircumstance(loggedIn, courtesy),
  ];
}

function sessionsCircumstance(loggedIn: LoggedIn, { mode, graceMs }: Courtesy): Circumstance {
  const what = "sessions";
  if (mode === "ignore") return { what, answer: "yes", why: "people who are logged in are ignored" };
  const grace = graceMs === 0 ? "without grace" : `with ${describeDuration(graceMs)} of grace`;
  if (loggedIn.kind === "unknown") {
    if (mode === "wait") return notKnown(what, loggedIn.why);
    return { what, answer: "yes", why: `${loggedIn.why}: as if somebody were logged in, ${grace}` };
  }
  const { users } = loggedIn;
  if (users.length === 0) return { what, answer: "yes", why: "nobody is logged in" };
  const who = `${users.join(", ")} logged in`;
  return mode === "wait"
    ? { what, answer: "no", why: who, change: "they log out" }
    : { what, answer: "yes", why: `${who}: ${grace}` };
}

/** What the group says to this machine, whose priority is `priority`: whether grants are paused, and whether a slot is free. */
export function groupCircumstances(
  group: string,
  machine: string,
  { semaphore, all, queue, overdue }: Seen,
  { priority, clock }: { readonly priority: number; readonly clock: Clock },
): Circumstance[] {
  const { now } = clock;
  const pauses = [[all, " --all", "all groups are paused"], [
    semaphore,
    groupFlag(group),
    `group ${groupLabel(group)} is paused`,
  ]] as const;
  const paused = pauses.flatMap(([document, flag, text]): Circumstance[] => {
    const pause = pauseInForce(document, now);
    if (pause === undefined) return [];
    const ends = endsInMs(pause, now) === Infinity ? "" : ", or it ends by itself";
    const why = `${pause.frozen ? text.replace("paused", "frozen") : text}${describeHold(pause, clock)}`;
    const command = pause.frozen
      ? `locksmith freeze remove${flag} ${shellWord(pause.reason ?? "")}`
      : `locksmith resume${flag}`;
    return [{ what: "pause", answer: "no", why, change: `'${command}'${ends}` }];
  });
  const freezes = [semaphore, all].flatMap(({ freezes = [] }) => freezes);
  const pause = paused[0] ??
    { what: "pause", answer: "yes", why: `grants are not paused${nextFreeze(freezes, clock)}` };
  return [pause, lineCircumstance(machine, { semaphore, queue, overdue }, { priority, now })];
}

/** `; the next freeze is Christmas, from Sun 2026-12-20 00:00 +01:00`. */
function nextFreeze(freezes: readonly PlannedFreeze[], { now, zone = "UTC" }: Clock): string {
  const [next] = freezes.map(({ from, name }) => ({ fromMs: Date.parse(from), name }))
    .filter(({ fromMs }) => fromMs > now)
    .sort((a, b) => a.fromMs - b.fromMs);
  return next === undefined
    ? ""
    : `; the next freeze is ${next.name}, from ${describeInstant(next.fromMs, zone)}`;
}

function lineCircumstance(
  machine: string,
  { semaphore, queue, overdue }: Pick<Seen, "semaphore" | "queue" | "overdue">,
  { priority, now }: { readonly priority: number; readonly now: number },
): Circumstance {
  const what = "line";
  const { holders, max } = semaphore;
  if (holders.includes(machine)) return { what, answer: "yes", why: "this machine holds a slot" };
  const place = queue.findIndex((each) => each.machine === machine);
  const before = place >= 0 ? place : queue.filter((each) => each.priority >= priority).length;
  const free = available(semaphore);
  const slots = `${Math.max(0, free)} of ${max} slots free`;
  if (free > before) return { what, answer: "yes", why: slots };
  const ahead = before === 0 ? "" : `, ${before} in line before this machine`;
  if (free > 0) return { what, answer: "no", why: slots + ahead, change: "those before it go first" };
  const who = holders.length === 0
    ? "max is 0"
    : `held by ${describeHolders(semaphore, holders, now, overdue)}`;
  return {
    what,
    answer: "no",
    why: `no slot is free${ahead}: ${who}`,
    change: holders.length === 0
      ? "'locksmith set-max'"
      : "a slot is given back, or 'locksmith unlock' ends it",
  };
}
