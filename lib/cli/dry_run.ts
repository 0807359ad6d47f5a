/** A reboot that is not called: how it would be done, or why it would be refused right now. */

import type { Host } from "../daemon.ts";
import { formatDuration } from "../duration.ts";
import { BusError } from "../host/bus.ts";
import { blockingInhibitors, describeInhibitor } from "../host/logind.ts";
import type { RebootMethod } from "../host/reboot.ts";

const INHIBITORS_TIMEOUT_MS = 10_000;

export type Foreseen =
  /** `how`: `by logind`. */
  | { readonly kind: "would-reboot"; readonly how: string }
  | { readonly kind: "refused"; readonly why: string };

/** Asks what the reboot call would be told, and calls nothing. Never throws for what happens outside. */
export async function foresee(method: RebootMethod): Promise<Foreseen> {
  if (method.kind === "command") return { kind: "would-reboot", how: `by the command '${method.command}'` };
  try {
    const [blocker] = await blockingInhibitors(method.bus, { timeoutMs: INHIBITORS_TIMEOUT_MS });
    return blocker === undefined
      ? { kind: "would-reboot", how: "by logind" }
      : { kind: "refused", why: `shutdown is inhibited by ${describeInhibitor(blocker)}` };
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    return { kind: "refused", why: `cannot ask logind who inhibits a shutdown: ${error.detail}` };
  }
}

/** A host that is never rebooted by the daemon, and whose people are not alarmed. The log says what would happen. */
export function rehearsing(host: Host, method: RebootMethod): Host {
  return {
    ...host,
    warn(graceMs) {
      host.log("notice", `dry run: those logged in would be told that they have ${formatDuration(graceMs)}`);
      return Promise.resolve();
    },
    async reboot() {
      const foreseen = await foresee(method);
      return {
        kind: "refused",
        why: foreseen.kind === "refused"
          ? foreseen.why
          : `this is a dry run, and this machine would have rebooted now, ${foreseen.how}`,
      };
    },
  };
}
