/**
 * The phases of a reboot in which something can happen to a host, and how a test finds it in one: by the semaphore, the
 * queue and the daemon's coordinator.conf, never by what it logs.
 */

import { GRANTED, REBOOTING } from "../../lib/semaphore.ts";
import { until } from "../support/daemon_process.ts";
import type { Fleet } from "./fleet.ts";
import type { Host } from "./host.ts";

const COORDINATOR = "/run/update-engine/coordinator.conf";
/** Who holds the only slot, so that a host has to wait. */
export const ANOTHER = "another";
/** So long is a shutdown held up at most by who only wants it delayed; 5 s would be the default. */
export const DELAYS_LAST = {
  "/etc/systemd/logind.conf.d/delays.conf": "[Login]\nInhibitDelayMaxSec=60s\n",
};
const DELAY_UNIT = "delay";

/** Its daemon stands in line. */
export async function standsInLine({ lock }: Fleet, { id }: Host): Promise<void> {
  await until(() => lock.queue(), (machines) => machines.includes(id));
}

/** It has a slot, and those who are logged in have been told. */
export async function isInGrace({ lock }: Fleet, host: Host): Promise<void> {
  await lock.until(({ holds }) => holds.get(host.id)?.phase === GRANTED);
  await until(() => coordinatorState(host), (state) => state === "reboot-planned");
}

/** The slot is confirmed and logind has accepted the reboot, which waits for {@linkcode delayShutdown}. */
export async function goesDown({ lock }: Fleet, host: Host): Promise<void> {
  await lock.until(({ holds }) => holds.get(host.id)?.phase === REBOOTING);
  const scheduled = ["busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1"];
  await until(
    () => host.run(...scheduled, "org.freedesktop.login1.Manager", "PreparingForShutdown"),
    (text) => text.trim() === "b true",
  );
}

/** What its daemon tells other programs that it is doing. */
export async function coordinatorState(host: Host): Promise<string> {
  const { stdout } = await host.capture("cat", COORDINATOR);
  return /^STATE=(.*)$/m.exec(stdout)?.[1] ?? "";
}

/** Holds every shutdown of the host up, with {@linkcode DELAYS_LAST} for long enough. */
export async function delayShutdown(host: Host): Promise<void> {
  await host.detach(
    DELAY_UNIT,
    ...[
      "systemd-inhibit",
      "--what=shutdown",
      "--mode=delay",
      "--who=backup",
      "--why=writing",
      "sleep",
      "infinity",
    ],
  );
  await until(() => host.run("systemd-inhibit", "--list", "--no-pager"), (text) => text.includes("backup"));
}

/** Lets the shutdown go on. */
export async function letShutdownGoOn(host: Host): Promise<void> {
  await host.run("systemctl", "stop", DELAY_UNIT);
}
