/**
 * systemd-logind: who keeps this machine from shutting down, what is scheduled, and the call that reboots it.
 *
 * A reboot call ends in one of three ways: accepted, refused (the machine stays up, and `why` says why; `blocked` where
 * somebody inhibits it, so that asking again soon is of use), or unknown (nobody answered after the call was made, or a
 * shutdown is under way: the machine may be going down). Unknown is never folded into either of the others.
 */
import type { Clearance, ScheduledShutdown } from "../agent.ts";
import type { RebootOutcome } from "../daemon.ts";
import { type Bus, BusError, type BusErrorKind, type Method } from "./bus.ts";

const SERVICE = "org.freedesktop.login1";
const INTERFACE = "org.freedesktop.login1.Manager";

const MAX_INHIBITORS_NAMED = 3;
/** What logind says to a call that an inhibitor blocks: up to 256, in 257, and from 258 on. */
const INHIBITED = /(access|operation) denied( to root)? due to active block inhibitor/i;

/** A method of logind's manager. */
export function managerMethod(member: string): Method {
  return { service: SERVICE, path: "/org/freedesktop/login1", interface: INTERFACE, member };
}

/** Somebody who does not want the machine to shut down. */
export interface Inhibitor {
  readonly who: string;
  readonly why: string;
  readonly uid: number;
  readonly pid: number;
}

/**
 * Those who block a shutdown: mode `block`, and `shutdown` among what they inhibit. (`delay` is logind's to honour;
 * `block-weak` does not bind root.) Throws `BusError`.
 */
export async function blockingInhibitors(
  bus: Bus,
  options: { readonly timeoutMs: number },
): Promise<Inhibitor[]> {
  const [list] = await bus.call(managerMethod("ListInhibitors"), "", [], options);
  if (!Array.isArray(list)) throw malformed("ListInhibitors", list);
  return list.flatMap((entry: unknown): Inhibitor[] => {
    if (!Array.isArray(entry)) throw malformed("ListInhibitors", list);
    const [what, who, why, mode, uid, pid] = entry as unknown[];
    if (mode !== "block" || !`${what}`.split(":").includes("shutdown")) return [];
    return [{ who: plain(who), why: plain(why), uid: Number(uid), pid: Number(pid) }];
  });
}

/** `shutdown is inhibited by apt (uid 0, pid 123): upgrading`, for people; the first few are named. */
export function describeInhibitors(inhibitors: readonly Inhibitor[]): string {
  const named = inhibitors.slice(0, MAX_INHIBITORS_NAMED).map(describeInhibitor).join("; ");
  const more = inhibitors.length - MAX_INHIBITORS_NAMED;
  return `shutdown is inhibited by ${named === "" ? "somebody" : named}${
    more > 0 ? `; and ${more} more` : ""
  }`;
}

/** `apt (uid 0, pid 123): upgrading`. */
export function describeInhibitor({ who, why, uid, pid }: Inhibitor): string {
  return `${who} (uid ${uid}, pid ${pid}): ${why}`;
}

/** How a reboot is asked for. */
export interface RebootOptions {
  readonly timeoutMs: number;
  /** Whether those who block a shutdown are passed over. */
  readonly ignoreInhibitors?: boolean;
}

/**
 * Asks logind, in two questions, whether it would reboot this machine for us: who blocks a shutdown (up to 256 logind
 * itself passes over them for root), and `CanReboot`. Never throws.
 */
export async function canReboot(bus: Bus, options: RebootOptions): Promise<Clearance> {
  const endMs = performance.now() + options.timeoutMs;
  const ignore = options.ignoreInhibitors ?? false;
  try {
    const blockers = ignore ? [] : await blockingInhibitors(bus, options);
    if (blockers.length > 0) return { kind: "blocked", why: describeInhibitors(blockers) };
    const timeoutMs = Math.max(1, Math.floor(endMs - performance.now()));
    const [answer] = await bus.call(managerMethod("CanReboot"), "", [], { timeoutMs });
    if (typeof answer !== "string") throw malformed("CanReboot", answer);
    const clearance = clearanceOf(answer);
    // those are passed over by the call itself, or it says what is missing
    return clearance.kind === "blocked" && ignore ? { kind: "clear" } : clearance;
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    return {
      kind: "unknown",
      why: `cannot ask logind whether this machine can be rebooted: ${error.detail}`,
    };
  }
}

/**
 * Whether nobody blocks a shutdown, for who reboots without logind. Where there is no logind there is nobody who could.
 * Never throws.
 */
export async function nobodyInhibits(bus: Bus, options: { readonly timeoutMs: number }): Promise<Clearance> {
  try {
    const blockers = await blockingInhibitors(bus, options);
    return blockers.length > 0 ? { kind: "blocked", why: describeInhibitors(blockers) } : { kind: "clear" };
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    if (NOBODY_THERE.has(error.kind)) return { kind: "clear" };
    const why =
      `cannot ask logind who inhibits a shutdown: ${error.detail}; --ignore-inhibitors does not ask`;
    return { kind: "unknown", why };
  }
}

/** What a bus says where no logind runs. */
const NOBODY_THERE: ReadonlySet<BusErrorKind> = new Set(["no-busctl", "no-bus", "no-service"]);

/** What an answer of `CanReboot` means to us, who cannot type a password. Pure. */
export function clearanceOf(answer: string): Clearance {
  switch (answer) {
    case "inhibited":
    case "inhibitor-blocked":
    case "challenge-inhibitor-blocked":
      return { kind: "blocked", why: describeInhibitors([]) };
    case "no":
      return { kind: "impossible", why: "logind does not let this user reboot the machine" };
    case "challenge":
      return {
        kind: "impossible",
        why: "logind asks for a password before this user may reboot the machine",
      };
    case "na":
      return { kind: "impossible", why: "logind says that this machine cannot be rebooted" };
    default:
      // "yes"; what a newer logind may say beside it is for its Reboot() to judge
      return { kind: "clear" };
  }
}

/** What is scheduled; we never schedule anything, so it is somebody else's. `null`: nothing. Throws {@linkcode BusError}. */
export async function scheduledShutdown(
  bus: Bus,
  options: { readonly timeoutMs: number },
): Promise<ScheduledShutdown | null> {
  const get = { ...managerMethod("Get"), interface: "org.freedesktop.DBus.Properties" };
  const [reply] = await bus.call(get, "ss", [INTERFACE, "ScheduledShutdown"], options);
  const value = typeof reply === "object" && reply !== null && "data" in reply ? reply.data : reply;
  if (!Array.isArray(value)) throw malformed("ScheduledShutdown", reply);
  const [type, atMicros] = value as unknown[];
  if (typeof type !== "string" || typeof atMicros !== "number") throw malformed("ScheduledShutdown", reply);
  return type === "" ? null : { type: plain(type), atMs: atMicros / 1000 };
}

/**
 * Calls `Reboot(false)`: up to 256 it honours nothing by itself, so ask {@linkcode canReboot} before. From 257 on it is
 * refused while somebody blocks a shutdown; who passes over them then calls once more with a flag for that, which polkit
 * must allow. Never throws.
 */
export async function reboot(bus: Bus, options: RebootOptions): Promise<RebootOutcome> {
  const endMs = performance.now() + options.timeoutMs;
  const leftMs = () => Math.max(1, Math.floor(endMs - performance.now()));
  try {
    await bus.call(managerMethod("Reboot"), "b", ["false"], options);
    return { kind: "accepted" };
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    if (!INHIBITED.test(error.detail)) return refusal(error);
    if (options.ignoreInhibitors) return await rebootAllTheSame(bus, leftMs);
    const why = describeInhibitors(await inhibitorsIfTold(bus, leftMs()));
    return { kind: "refused", why, blocked: true };
  }
}

/** `SD_LOGIND_SKIP_INHIBITORS`, systemd 257 and later. */
const SKIP_INHIBITORS = "16";
/** What polkit is asked before it. */
const SKIP_ACTION = "org.freedesktop.login1.reboot-ignore-inhibit";

async function rebootAllTheSame(bus: Bus, leftMs: () => number): Promise<RebootOutcome> {
  try {
    await bus.call(managerMethod("RebootWithFlags"), "t", [SKIP_INHIBITORS], { timeoutMs: leftMs() });
    return { kind: "accepted" };
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    const outcome = refusal(error);
    if (outcome.kind !== "refused") return outcome;
    const blockers = describeInhibitors(await inhibitorsIfTold(bus, leftMs()));
    const why =
      `${blockers}; --ignore-inhibitors needs a polkit rule that allows ${SKIP_ACTION} (${outcome.why})`;
    return { kind: "refused", why, blocked: true };
  }
}

async function inhibitorsIfTold(bus: Bus, timeoutMs: number): Promise<Inhibitor[]> {
  return await blockingInhibitors(bus, { timeoutMs }).catch((fault) => {
    if (fault instanceof BusError) return [];
    throw fault;
  });
}

function refusal(error: BusError): RebootOutcome {
  // logind's refusal of a second shutdown while a first is under way: the machine does go down.
  const underWay = /already .*in progress/i.test(error.detail);
  const unknown = error.kind === "timeout" || error.kind === "lost" || underWay;
  return { kind: unknown ? "unknown" : "refused", why: `logind: ${error.detail}` };
}

/** A reply of another shape than documented. */
export function malformed(member: string, reply: unknown): BusError {
  const detail = `an unexpected reply: ${JSON.stringify(reply)?.slice(0, 120)}`;
  return new BusError("failed", `cannot call ${member} of ${SERVICE}: ${detail}`, detail);
}

/** Text that others wrote, fit for one line of a log. */
export function plain(text: unknown): string {
  // deno-lint-ignore no-control-regex -- these are what must not reach a terminal
  return `${text}`.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g, " ").trim().slice(0, 200);
}
