/**
 * How the machines of a simulated fleet are prepared for their reboots and looked after when they are back: what their
 * hosts do for it, and what must never break about it (I8).
 */

import type { Inquiry, Verdict } from "../agent.ts";
import type { Host } from "../daemon.ts";
import { type Hold, REBOOTING } from "../semaphore.ts";
import type { Care, Computer } from "./computer.ts";
import type { Faults } from "./faults.ts";

/** What the care for a machine needs of the fleet that it is in. */
export interface CareOptions {
  readonly faults: Faults;
  /** The clock of the simulation, in milliseconds. */
  elapsed(): number;
  /** Does `value` after so many milliseconds of the process that cares. */
  later<T>(ms: number, value: () => T): Promise<T>;
  /** Does what may be struck. */
  touched<T>(work: () => T): T;
}

const NO_CARE: Care = { hooksMs: 0, checksMs: 0, soakMs: 0 };

/** Whether hooks of an earlier boot are due on a machine. */
export function areHooksDue({ preparedIn, boot }: Computer): boolean {
  return preparedIn !== undefined && preparedIn !== boot;
}

/** What a host does for its machine. */
export function careFor(
  machine: Computer,
  { faults, elapsed, later, touched }: CareOptions,
): Pick<Host, "inquire" | "runHooks" | "prove"> {
  const { hooksMs, checksMs, soakMs, ...limits } = machine.config.care ?? NO_CARE;
  const { hooksLimitMs = hooksMs, checksLimitMs = checksMs } = limits;
  const verdict = (): Verdict => {
    const said = machine.config.care && faults.verdict?.(machine) || { kind: "well" };
    machine.allowed = said.kind === "well";
    return said;
  };
  return {
    inquire: () =>
      touched(() =>
        later(faults.hostMs(machine) + checksMs, () =>
          touched((): Inquiry => {
            const room = { hooksMs: hooksLimitMs, checksMs: checksLimitMs };
            return { ...faults.inquiry(machine), verdict: verdict(), ...room };
          }))
      ),
    runHooks: ({ when }) =>
      touched(() => {
        if (when === "pre-reboot") machine.preparedIn = machine.boot;
        return later(hooksMs, () => {
          const outcome = touched(() => faults.hooks?.(machine) ?? { kind: "hooked" } as const);
          if (when === "post-boot" && outcome.kind === "hooked") machine.preparedIn = undefined;
          return outcome;
        });
      }),
    prove: () =>
      touched(() =>
        later(checksMs, () => {
          // whole, as a clock shows it: else the rest of a soak could be too short to pass at all
          const upMs = Math.round(elapsed() - machine.upSinceMs);
          const proved = { kind: "proved", verdict: touched(verdict), upMs } as const;
          if (proved.verdict.kind === "well" && upMs >= soakMs) machine.wellAt = machine.boots;
          return proved;
        })
      ),
  };
}

/** What the judge knows of how a machine is cared for. */
export interface Cared {
  readonly id: string;
  readonly boot: string;
  readonly config: { readonly care?: Care };
  readonly preparedIn: string | undefined;
  isWellSince(boot: string): boolean;
  readonly allowed: boolean;
}

/** What is wrong with a reboot call of a machine that has care; `undefined`: nothing. */
export function rebootFault({ id, boot, config: { care }, preparedIn, allowed }: Cared): string | undefined {
  if (care === undefined) return undefined;
  if (care.hooksMs > 0 && preparedIn !== boot) {
    return `${id} calls the reboot, and its hooks have not prepared it`;
  }
  return allowed ? undefined : `${id} calls the reboot, and its checks said no`;
}

/**
 * What is wrong with a slot that its machine, or in its name a server, gives back after the boot in which it was taken;
 * `undefined`: nothing. The request may come long after it was made, and after another boot.
 */
export function returnFault(machine: Cared, { boot = "", phase }: Hold): string | undefined {
  // under a grant that came after its asker had gone no machine went down
  return machine.config.care === undefined || phase !== REBOOTING || machine.isWellSince(boot)
    ? undefined
    : `${machine.id} gave its slot back before it was known to be well`;
}

/** Whether all that changed of a hold is what its machine says of itself after the boot that it is in now. */
export function tellsHealth(boot: string, was: Hold | undefined, is: Hold | undefined): boolean {
  if (was === undefined || is?.back === undefined || was.boot === boot) return false;
  return JSON.stringify(withoutHealth(was)) === JSON.stringify(withoutHealth(is));
}

function withoutHealth({ back: _, trouble: __, ...rest }: Hold): Hold {
  return rest;
}
