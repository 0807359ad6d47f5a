/**
 * systemd-logind: who keeps this machine from shutting down, and the call that reboots it.
 *
 * A reboot call ends in one of three ways: accepted, refused (the machine stays up, and `why` says why), or unknown (nobody
 * answered after the call was made, or a shutdown is under way: the machine may be going down). Unknown is never
 * folded into either of the others.
 */
import type { RebootOutcome } from "../daemon.ts";
import { type Bus, BusError, type Method } from "./bus.ts";

const SERVICE = "org.freedesktop.login1";
const INTERFACE = "org.freedesktop.login1.Manager";

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

/** `apt (uid 0, pid 123): upgrading`, for people. */
export function describeInhibitor({ who, why, uid, pid }: Inhibitor): string {
  return `${who} (uid ${uid}, pid ${pid}): ${why}`;
}

/** Calls `Reboot(false)`: honours nothing by itself, so ask {@linkcode blockingInhibitors} before. Never throws. */
export async function reboot(bus: Bus, options: { readonly timeoutMs: number }): Promise<RebootOutcome> {
  try {
    await bus.call(managerMethod("Reboot"), "b", ["false"], options);
    return { kind: "accepted" };
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    // logind's refusal of a second shutdown while a first is under way: the machine does go down.
    const underWay = /already .*in progress/i.test(error.detail);
    const unknown = error.kind === "timeout" || error.kind === "lost" || underWay;
    return { kind: unknown ? "unknown" : "refused", why: `logind: ${error.detail}` };
  }
}

/** A reply of another shape than documented. */
export function malformed(member: string, reply: unknown): BusError {
  const detail = `a reply of another shape than documented: ${JSON.stringify(reply)?.slice(0, 120)}`;
  return new BusError("failed", `cannot call ${member} of ${SERVICE}: ${detail}`, detail);
}

/** Text that others wrote, fit for one line of a log. */
export function plain(text: unknown): string {
  // deno-lint-ignore no-control-regex -- these are what must not reach a terminal
  return `${text}`.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g, " ").trim().slice(0, 200);
}
