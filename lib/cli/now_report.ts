/**
 * Why now is or is not a time to reboot this host: what its daemon says of itself, and what the host and the group answer
 * when they are asked anew. Nothing is changed by it.
 */

import type { Context } from "./command.ts";
import { closing } from "./command.ts";
import type { Clock } from "../description.ts";
import { OwnWork } from "../host/own_work.ts";
import { Bus } from "../host/bus.ts";
import { postponedFile, readHoldOff } from "../host/hold_off.ts";
import { readMachineFile } from "../host/machine_file.ts";
import { readMachine } from "../host/identity.ts";
import { mayReboot } from "../host/reboot.ts";
import { listSessions } from "../host/sessions.ts";
import { rebootMethod } from "./host_commands.ts";
import { Lock } from "../lock.ts";
import { LockError } from "../lock_error.ts";
import type { Machine } from "../machine.ts";
import type { MachineReport } from "../machine_report.ts";
import type { Need } from "../need.ts";
import { openStore } from "./open_store.ts";
import { overdueIn } from "../overdue.ts";
import { table } from "./output.ts";
import {
  type Answer,
  type Circumstance,
  groupCircumstances,
  healthCircumstances,
  holdOffCircumstance,
  hostCircumstances,
  joinedAnswer,
  limitCircumstance,
  needCircumstance,
  notKnown,
  windowCircumstance,
} from "../readiness.ts";
import { StoreError } from "../store.ts";
import type { WindowState } from "../strategy.ts";

const QUESTION_TIMEOUT_MS = 5_000;

/** The shape of `now` in `window --json`. */
export interface NowReport {
  readonly answer: Answer;
  /** In the order in which they are told. */
  readonly circumstances: readonly Circumstance[];
}

/** What stands in the way of a reboot; `null`: no daemon runs on this host, and nothing here reboots it by itself. */
export async function nowReport(context: Context<"window">, window: WindowState): Promise<NowReport | null> {
  const { config: { root, zone }, surroundings } = context;
  const clock: Clock = { now: surroundings.now(), zone };
  const daemon = await readMachineFile(root, clock.now);
  if (daemon === null) return null;
  const machine = await readMachine(root);
  const holdOff = await readHoldOff(root, postponedFile(root, () => {}), { now: clock.now, zone });
  const circumstances = [
    needCircumstance(needOf(daemon), clock.now),
    windowCircumstance(window, clock),
    holdOffCircumstance(holdOff, clock),
    limitCircumstance(daemon.stopped ?? null),
    ...healthCircumstances(daemon.state, daemon.waitsFor),
    ...await askHost(context, machine),
    ...await askGroup(context, machine, daemon, clock),
  ];
  return { answer: joinedAnswer(circumstances), circumstances };
}

function needOf({ need: { kind, reasons, deadline } }: MachineReport): Need {
  const told = deadline === undefined ? {} : { deadline };
  if (kind === "needed") return { kind, reasons, fingerprint: "", ...told };
  return kind === "unknown" ? { kind, why: reasons, ...told } : { kind, ...told };
}

async function askHost(
  { config, surroundings }: Context<"window">,
  machine: Machine,
): Promise<Circumstance[]> {
  const { root, group, ownChecks, sessions: mode, "session-grace": graceMs } = config;
  const bus = new Bus();
  const limit = { timeoutMs: QUESTION_TIMEOUT_MS };
  const [clearance, sessions] = await Promise.all([
    mayReboot(rebootMethod(config, machine), limit),
    listSessions(bus, limit),
  ]);
  const ignored = new Set(config["session-ignore-users"]);
  const loggedIn = sessions.kind === "unknown" ? sessions : {
    kind: "known" as const,
    users: [...new Set(sessions.sessions.map(({ user }) => user))].filter((user) => !ignored.has(user)),
  };
  const own = new OwnWork({
    ...{ root, group, machine, checks: ownChecks, hookTimeoutMs: 0, bootWaitMs: 0, soakMs: 0, surroundings },
    reasons: () => [],
    signal: new AbortController().signal,
    log: () => {},
  });
  const isRoot = Deno.uid() === 0;
  const { verdict } = await own.inquire("before", isRoot);
  const circumstances = hostCircumstances({ verdict, clearance, loggedIn }, { mode, graceMs });
  return isRoot ? circumstances : circumstances.map((each) => {
    return each.what === "checks" ? notKnown("checks", "only root can run them", "run this as root") : each;
  });
}

async function askGroup(
  { config: { store, priority, "hold-overdue": overdueMs }, surroundings }: Context<"window">,
  machine: Machine,
  { strategy, group }: MachineReport,
  clock: Clock,
): Promise<Circumstance[]> {
  if (strategy === "reboot") return [];
  if (strategy === "fleet-lock") {
    return [notKnown("line", "a server keeps the slots, and is asked when one is wanted")];
  }
  try {
    const lock = new Lock(await openStore(store), group, surroundings, "locksmith window");
    return await closing(lock.store, async () => {
      const read = await lock.readWithQueue();
      const { ids: overdue } = await overdueIn(lock.store, group, read.semaphore, clock.now, overdueMs);
      return groupCircumstances(group, machine.id, { ...read, overdue }, { priority, clock });
    });
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof LockError)) throw error;
    return [notKnown("line", error.message, error.hint)];
  }
}

/** For people. */
export function renderNow({ answer, circumstances }: NowReport): string {
  const reasons = circumstances.filter((each) => each.answer === answer).map(({ what }) => what);
  const head = answer === "yes"
    ? "this host may reboot now"
    : answer === "no"
    ? `this host does not reboot now: ${reasons.join(", ")}`
    : `nobody can tell whether this host may reboot now: ${reasons.join(", ")}`;
  const rows = circumstances.map(({ what, answer, why, change = "" }) => [what, answer, why, change]);
  return `${head}\n\n${table([["WHAT", "NOW", "WHY", "WHAT WOULD CHANGE IT"], ...rows])}`;
}
