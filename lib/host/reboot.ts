/**
 * Doing it: the reboot itself, by logind or by a command of the operator's.
 *
 * Every attempt ends within its deadline as accepted, refused or unknown. "Refused" is said only when the machine is
 * known to stay up: logind was not asked or said no, or the command ended by itself with a failure. A command that does
 * not end in time is killed with all that it started in its group, so that no reboot comes later than was allowed,
 * and counts as unknown.
 */
import { OPERATORS_ENVIRONMENT, runChild } from "./child.ts";
import type { Bus } from "./bus.ts";
import { canReboot, nobodyInhibits, plain, reboot } from "./logind.ts";
import type { Clearance } from "../agent.ts";
import type { RebootOutcome } from "../daemon.ts";

/** How this machine is rebooted. */
export type RebootMethod =
  & {
    /** Whether it goes on although somebody blocks a shutdown. */
    readonly ignoreInhibitors?: boolean;
  }
  & (
    | { readonly kind: "logind"; readonly bus: Bus }
    | {
      readonly kind: "command";
      /** By which logind is asked who blocks a shutdown, where one runs. */
      readonly bus: Bus;
      /** A line for `sh -c`. */
      readonly command: string;
      /** Set for the command, beside what it inherits. */
      readonly env: Readonly<Record<string, string>>;
    }
  );

/** How long an attempt may take unless told otherwise. */
export const REBOOT_TIMEOUT_MS = 90_000;
const QUESTION_TIMEOUT_MS = 10_000;

/** Reboots this machine. `timeoutMs` bounds the attempt as a whole. Never throws for what happens outside. */
export async function rebootMachine(
  method: RebootMethod,
  options: { readonly timeoutMs?: number } = {},
): Promise<RebootOutcome> {
  const timeoutMs = options.timeoutMs ?? REBOOT_TIMEOUT_MS;
  const startedMs = performance.now();
  const limitMs = Math.min(QUESTION_TIMEOUT_MS, Math.ceil(timeoutMs / 2));
  const clearance = await mayReboot(method, { timeoutMs: limitMs });
  if (clearance.kind === "blocked") return { kind: "refused", why: clearance.why, blocked: true };
  if (clearance.kind !== "clear") return { kind: "refused", why: clearance.why };
  const leftMs = Math.max(1, Math.floor(timeoutMs - (performance.now() - startedMs)));
  const { ignoreInhibitors = false } = method;
  return await (method.kind === "logind"
    ? reboot(method.bus, { timeoutMs: leftMs, ignoreInhibitors })
    : rebootByCommand(method.command, method.env, leftMs, timeoutMs));
}

/**
 * Whether a reboot could be called now, to be asked before a slot is taken: one who cannot go must not keep others from
 * going. Of a command of the operator's nothing more can be told before it is run than who blocks a shutdown. `timeoutMs`
 * bounds the question. Never throws.
 */
export async function mayReboot(
  method: RebootMethod,
  options: { readonly timeoutMs: number },
): Promise<Clearance> {
  const { ignoreInhibitors = false } = method;
  if (method.kind === "logind") return await canReboot(method.bus, { ...options, ignoreInhibitors });
  return ignoreInhibitors ? { kind: "clear" } : await nobodyInhibits(method.bus, options);
}

/**
 * Writing to us after we are gone must not stop a command that ends this very process on its way, hence the trap; it is
 * inherited, as an ignored signal, by what the line starts.
 */
const WRAPPER = `trap "" PIPE
${OPERATORS_ENVIRONMENT}exec sh -c "$1"`;

/**
 * A `systemctl reboot` in the command means a reboot: not the soft one that it becomes by itself where /run/nextroot
 * exists, which loads no new kernel, and not the kexec that it becomes where a kernel is loaded.
 */
const WHOLE_REBOOT = { SYSTEMCTL_SKIP_AUTO_SOFT_REBOOT: "1", SYSTEMCTL_SKIP_AUTO_KEXEC: "1" };

async function rebootByCommand(
  command: string,
  env: Readonly<Record<string, string>>,
  leftMs: number,
  allowedMs: number,
): Promise<RebootOutcome> {
  const end = await runChild("sh", ["-c", WRAPPER, "sh", command], {
    env: { ...WHOLE_REBOOT, ...env },
    timeoutMs: leftMs,
    ownGroup: true,
  });
  if (end.kind === "not-started") return { kind: "refused", why: `cannot run sh: ${end.why}` };
  if (end.kind !== "exited") {
    return {
      kind: "unknown",
      why: `the reboot command did not end within ${allowedMs} ms and was killed`,
    };
  }
  if (end.signal !== null) return { kind: "unknown", why: `the reboot command was ended by ${end.signal}` };
  if (end.code === 0) return { kind: "accepted" };
  const last = end.stderr.split("\n").map(plain).filter((line) => line !== "").at(-1);
  return {
    kind: "refused",
    why: `the reboot command exited with ${end.code}${last === undefined ? "" : `: ${last}`}`,
  };
}
