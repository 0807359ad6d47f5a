/** A reboot that is not called: how it would be done, or why it would be refused right now. */

import type { Host } from "../daemon.ts";
import { describeDuration } from "../description.ts";
import { FOLDERS } from "../host/run_parts.ts";
import { mayReboot, type RebootMethod } from "../host/reboot.ts";

const QUESTION_TIMEOUT_MS = 10_000;

export type Foreseen =
  /** `how`: `by logind`. */
  | { readonly kind: "would-reboot"; readonly how: string }
  | { readonly kind: "refused"; readonly why: string };

/** Asks what the reboot call would be told, and calls nothing. Never throws for what happens outside. */
export async function foresee(method: RebootMethod): Promise<Foreseen> {
  const clearance = await mayReboot(method, { timeoutMs: QUESTION_TIMEOUT_MS });
  if (clearance.kind !== "clear") return { kind: "refused", why: clearance.why };
  const how = method.kind === "command" ? `by the command '${method.command}'` : "by logind";
  return { kind: "would-reboot", how };
}

/**
 * A host that is never rebooted by the daemon, whose people are not alarmed and on which no hook runs. The log says what would
 * happen.
 */
export function rehearsing(host: Host, method: RebootMethod): Host {
  return {
    ...host,
    warn(graceMs) {
      host.log(
        "notice",
        `dry run: people logged in would be warned that they have ${describeDuration(graceMs)}`,
      );
      return Promise.resolve();
    },
    runHooks({ when }) {
      host.log("notice", `dry run: the hooks of ${FOLDERS[when]} would run`);
      return Promise.resolve({ kind: "hooked" });
    },
    async reboot() {
      const foreseen = await foresee(method);
      return {
        kind: "refused",
        why: foreseen.kind === "refused"
          ? foreseen.why
          : `this is a dry run; this machine would have rebooted now, ${foreseen.how}`,
      };
    },
  };
}
