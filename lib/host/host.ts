/**
 * The host of the real daemon: who is logged in, how they are told, how the machine is rebooted, and where its state is
 * published. What fails here is said in the log and never stops a daemon.
 */

import { reasonOf } from "./child.ts";
import type { Coordinator } from "./coordinator.ts";
import type { Host } from "../daemon.ts";
import { type Bus, BusError } from "./bus.ts";
import { formatDuration } from "../duration.ts";
import type { HookRequest } from "./hooks.ts";
import type { Detector } from "../need.ts";
import type { Log, LogLevel } from "../surroundings.ts";
import type { LoggedIn, ScheduledShutdown } from "../agent.ts";
import { scheduledShutdown } from "./logind.ts";
import type { OwnWork } from "./own_work.ts";
import type { RebootMemory } from "./reboot_memory.ts";
import { mayReboot, rebootMachine, type RebootMethod } from "./reboot.ts";
import { listSessions, wall } from "./sessions.ts";

const QUESTION_TIMEOUT_MS = 10_000;
const WALL_TIMEOUT_MS = 10_000;

export interface HostOptions {
  readonly bus: Bus;
  readonly rebootMethod: RebootMethod;
  /** The file in which others read what the daemon is doing. */
  readonly coordinator: Pick<Coordinator, "set">;
  /** What this machine remembers across its boots. */
  readonly memory: RebootMemory;
  /** The checks and hooks of this host. */
  readonly own: Pick<OwnWork, "inquire" | "runHooks" | "prove">;
  readonly strategy: string;
  /** How long people who are logged in have, in milliseconds; with none nobody is looked for. */
  readonly graceMs: number;
  readonly log: Log;
}

export function realHost(
  { bus, rebootMethod, coordinator, memory, own, strategy, graceMs, log }: HostOptions,
): Host {
  return {
    log,
    async inquire(phase) {
      const [clearance, loggedIn, scheduled] = await Promise.all([
        mayReboot(rebootMethod, { timeoutMs: QUESTION_TIMEOUT_MS }),
        graceMs === 0 ? { kind: "known", users: [] } as const : whoIsLoggedIn(bus),
        whatIsScheduled(bus),
      ]);
      // the checks of a machine that cannot go anyway are not asked
      const answer = await own.inquire(phase, clearance.kind === "clear");
      return { clearance, loggedIn, scheduled, ...answer };
    },
    async warn(graceMs, reasons) {
      const message = `locksmith reboots this machine in ${formatDuration(graceMs)}: ${reasons.join("; ")}`;
      const outcome = await wall(message, { timeoutMs: WALL_TIMEOUT_MS });
      if (outcome.kind === "failed") {
        log("warning", `cannot send a message to logged-in users: ${outcome.why}`);
      }
    },
    async reboot(timeoutMs, fingerprint) {
      await memory.rebootingFor(fingerprint);
      return await rebootMachine(rebootMethod, { timeoutMs });
    },
    runHooks: (run: HookRequest) => own.runHooks(run),
    prove: () => own.prove(),
    forgetServed: () => void memory.forget(),
    report(state) {
      // a file that only tells others is no reason to stop
      coordinator.set(strategy, state).catch((error) => log("warning", reasonOf(error)));
    },
  };
}

async function whoIsLoggedIn(bus: Bus): Promise<LoggedIn> {
  const answer = await listSessions(bus, { timeoutMs: QUESTION_TIMEOUT_MS });
  if (answer.kind === "unknown") return answer;
  return { kind: "known", users: [...new Set(answer.sessions.map(({ user }) => user))] };
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
