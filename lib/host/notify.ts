/**
 * Tells systemd that the daemon has started, sd_notify(3): `systemctl start` of a unit with `Type=notify` waits for that,
 * and fails when the daemon ends before, because its configuration is at fault.
 *
 * The message is a datagram on a Unix socket, which the runtime cannot send; systemd's own `systemd-notify` does. It speaks
 * with a process id of its own: the unit needs `NotifyAccess=all`.
 */

import { runChild } from "./child.ts";
import type { Log } from "../surroundings.ts";

const VARIABLE = "NOTIFY_SOCKET";
const TIMEOUT_MS = 5_000;

/**
 * Sends `READY=1`, once; without `$NOTIFY_SOCKET` nobody waits, and nothing is sent. Later children do not find the
 * variable: busctl would report its own failures as those of the daemon. Never throws: what fails is told, and systemd,
 * which then waits in vain, ends the daemon after `TimeoutStartSec=`.
 */
export async function notifyReady(log: Log): Promise<void> {
  const socket = Deno.env.get(VARIABLE);
  if (!socket) return;
  Deno.env.delete(VARIABLE);
  const end = await runChild("systemd-notify", ["--ready"], {
    env: { [VARIABLE]: socket, LC_ALL: "C.UTF-8" },
    timeoutMs: TIMEOUT_MS,
  });
  if (end.kind === "exited" && end.code === 0) return;
  const why = end.kind === "not-started"
    ? end.why
    : end.kind === "exited"
    ? end.stderr.trim() || `exit ${end.code}`
    : `it did not end within ${TIMEOUT_MS} ms`;
  log("warning", `cannot tell systemd that the daemon has started: systemd-notify: ${why}`);
}
