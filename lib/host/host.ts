/**
 * The host of the real daemon: who is logged in, how they are told, how the machine is rebooted, and where its state is
 * published. What fails here is said in the log and never stops a daemon.
 */

import { reasonOf } from "./child.ts";
import type { Coordinator } from "./coordinator.ts";
import type { Host, RebootOutcome } from "../daemon.ts";
import { type Bus, BusError } from "./bus.ts";
import type { HookRequest } from "./hooks.ts";
import type { Detector } from "../need.ts";
import type { Log, LogLevel } from "../surroundings.ts";
import type { Clearance, Event, HoldOff, LoggedIn, ScheduledShutdown } from "../agent.ts";
import { enumerate } from "../enumeration.ts";
import { scheduledShutdown } from "./logind.ts";
import type { OwnWork } from "./own_work.ts";
import type { RebootLimit } from "./reboot_limit.ts";
import type { RebootMemory } from "./reboot_memory.ts";
import { mayReboot, rebootMachine, type RebootMethod } from "./reboot.ts";
import type { SessionMessages } from "./session_messages.ts";
import type { SessionMode } from "../session_mode.ts";
import { listSessions, wall } from "./sessions.ts";

const QUESTION_TIMEOUT_MS = 10_000;
const WALL_TIMEOUT_MS = 10_000;

/** Who is looked for. */
export interface SessionRules {
  readonly mode: SessionMode;
  /** How long people have to log out, in milliseconds; with none nobody is looked for where they are to be told. */
  readonly graceMs: number;
  /** Users who do not count. */
  readonly ignored: ReadonlySet<string>;
}

export interface HostOptions {
  readonly bus: Bus;
  readonly rebootMethod: RebootMethod;
  /** The file in which others read what the daemon is doing. */
  readonly coordinator: Pick<Coordinator, "set">;
  /** What this machine remembers across its boots. */
  readonly memory: RebootMemory;
  /** The checks and hooks of this host. */
  readonly own: Pick<OwnWork, "inOtherHands" | "inquire" | "runHooks" | "prove">;
  readonly limit: RebootLimit;
  readonly strategy: string;
  readonly sessions: SessionRules;
  readonly messages: SessionMessages;
  /** Who holds reboots off now. */
  heldOff(): Promise<HoldOff | null>;
  /** Something that the daemon is to know has been found out. */
  tell(event: Event): void;
  /** Makes sure that everybody can see that the reboot is being called. */
  calling(): Promise<void>;
  readonly log: Log;
}

export function realHost(options: HostOptions): Host {
  const { bus, rebootMethod, coordinator, limit, own, strategy, sessions, messages, log } = options;
  return {
    log,
    async inquire(phase) {
      const stopped = await mayNotYet(options);
      const [clearance, loggedIn, scheduled] = await Promise.all([
        stopped ?? mayReboot(rebootMethod, { timeoutMs: QUESTION_TIMEOUT_MS }),
        sessions.mode === "ignore" || (sessions.mode === "warn" && sessions.graceMs === 0)
          ? NOBODY
          : whoIsLoggedIn(bus, sessions.ignored),
        whatIsScheduled(bus),
      ]);
      // whoever is waited for need not be told
      const waits = sessions.mode === "wait";
      const now = waits && clearance.kind === "clear" ? untilNobodyIsLoggedIn(loggedIn) : clearance;
      // the checks of a machine that cannot go anyway are not asked
      const answer = await own.inquire(phase, now.kind === "clear");
      return { clearance: now, loggedIn: waits ? NOBODY : loggedIn, scheduled, ...answer };
    },
    warn: (graceMs, reasons) => messages.announce(graceMs, reasons),
    async reboot(timeoutMs, fingerprint) {
      const startedMs = performance.now();
      const refused = await refusedAtLast(options, timeoutMs);
      if (refused !== null) return refused;
      const unwritten = await limit.rebooting();
      if (unwritten !== null) return { kind: "refused", why: unwritten };
      await options.memory.rebootingFor(fingerprint);
      const leftMs = Math.max(1, Math.floor(timeoutMs - (performance.now() - startedMs)));
      const outcome = await rebootMachine(rebootMethod, { timeoutMs: leftMs });
      if (outcome.kind === "refused") await limit.refused();
      return outcome;
    },
    runHooks: (run: HookRequest) => own.runHooks(run),
    prove: () => own.prove(),
    forgetServed: () => void options.memory.forget(),
    report(state) {
      // a file that only tells others is no reason to stop
      coordinator.set(strategy, state).catch((error) => log("warning", reasonOf(error)));
    },
  };
}

const NOBODY: LoggedIn = { kind: "known", users: [] };

/**
 * Whether this machine has rebooted too often, or too many reboots would go unnoticed, or another process is about to reboot
 * it; `null`: none of these.
 */
async function mayNotYet({ limit, own, tell }: HostOptions): Promise<Clearance | null> {
  const why = await limit.weigh();
  if (why === null) {
    const other = await own.inOtherHands();
    return other === null ? null : { kind: "blocked", why: other };
  }
  const stopped = await limit.stopped();
  if (stopped !== null) tell({ kind: "stopped", why: stopped });
  return { kind: "impossible", why };
}

/** What somebody may have said since the machine was asked last. */
async function refusedAtLast(options: HostOptions, timeoutMs: number): Promise<RebootOutcome | null> {
  const { bus, sessions, calling, heldOff, tell } = options;
  // first, so that who holds it off now either sees that it is too late or is seen
  await calling();
  const holdOff = await heldOff();
  if (holdOff !== null) {
    tell({ kind: "held-off", holdOff });
    return { kind: "refused", why: holdOff.why };
  }
  if (sessions.mode !== "wait") return null;
  const limitMs = Math.min(QUESTION_TIMEOUT_MS, Math.ceil(timeoutMs / 4));
  const clearance = untilNobodyIsLoggedIn(await whoIsLoggedIn(bus, sessions.ignored, limitMs));
  return clearance.kind === "clear" ? null : { kind: "refused", why: clearance.why, blocked: true };
}

function untilNobodyIsLoggedIn(loggedIn: LoggedIn): Exclude<Clearance, { kind: "impossible" }> {
  if (loggedIn.kind === "unknown") return loggedIn;
  const { users } = loggedIn;
  if (users.length === 0) return { kind: "clear" };
  return { kind: "blocked", why: `${enumerate(users)} ${users.length === 1 ? "is" : "are"} logged in` };
}

/** Shows a message on every terminal; resolves to why it could not. */
export async function showOnTerminals(message: string): Promise<string | null> {
  const outcome = await wall(message, { timeoutMs: WALL_TIMEOUT_MS });
  return outcome.kind === "failed" ? outcome.why : null;
}

async function whoIsLoggedIn(
  bus: Bus,
  ignored: ReadonlySet<string>,
  timeoutMs = QUESTION_TIMEOUT_MS,
): Promise<LoggedIn> {
  const answer = await listSessions(bus, { timeoutMs });
  if (answer.kind === "unknown") return answer;
  const users = new Set(answer.sessions.map(({ user }) => user));
  return { kind: "known", users: [...users].filter((user) => !ignored.has(user)) };
}

/** What somebody else has scheduled is news and no reason to wait: without an answer there is none. */
async function whatIsScheduled(bus: Bus): Promise<ScheduledShutdown | null> {
  try {
    return await scheduledShutdown(bus, { timeoutMs: QUESTION_TIMEOUT_MS });
  } catch (error) {
    if (error instanceof BusError) return null;
    throw error;
  }
}

/**
 * The detectors, with a log: why one cannot know is a warning, why one has nothing to ask is news; each is told once, for
 * the answer of another would cover it.
 */
export function told(detectors: ReadonlyMap<string, Detector>, log: Log): ReadonlyMap<string, Detector> {
  return new Map([...detectors].map(([name, detect]): [string, Detector] => {
    let said = "";
    const say = (level: LogLevel, text: string) => {
      if (text !== said && text !== "") log(level, text);
      said = text;
    };
    return [name, (signal, listener) =>
      detect(signal, (answer) => {
        if (answer.kind === "unknown") {
          say("warning", `${name} cannot tell whether a reboot is needed: ${answer.why.join("; ")}`);
        } else if (answer.kind === "silent" && answer.why !== undefined) {
          say("info", `${name} is not asked: ${answer.why}`);
        } else {
          say("info", "");
        }
        listener(answer);
      })];
  }));
}
