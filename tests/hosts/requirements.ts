/**
 * What this machine must have and allow before there can be hosts on it: root, packages of Debian, and a kernel that lets
 * root make namespaces, overlays and cgroups, which few containers of builds do.
 */

import { missing, type Needed } from "../support/packages.ts";
import { capture } from "./command.ts";

const LIMIT_MS = 60_000;
/** What must be on this machine to be on a host, and what boots one. */
export const HOST_PACKAGES: readonly Needed[] = [
  { program: "systemd-nspawn", package: "systemd-container" },
  { program: "dbus-daemon", package: "dbus" },
  { program: "ip", package: "iproute2" },
  { program: "login", package: "login" },
  { program: "nsenter", package: "util-linux" },
  { program: "script", package: "bsdutils" },
  { file: "/usr/lib/systemd/systemd", package: "systemd" },
  { file: "/usr/share/pam-configs/systemd", package: "libpam-systemd" },
  { file: "/usr/bin/python3", package: "python3-minimal" },
];
/** What only the long stories need. */
export const LONG_PACKAGES: readonly Needed[] = [
  { file: "/usr/lib/*/faketime/libfaketime.so.1", package: "libfaketime" },
];
/** Everything that a laboratory does to the kernel, in small. */
const TRIAL = `mount -t tmpfs tmpfs /run && mkdir /run/1 /run/2 /run/3 &&
  mount -t overlay -o lowerdir=/,upperdir=/run/1,workdir=/run/2 overlay /run/3 &&
  mount -t cgroup2 cgroup2 /sys/fs/cgroup && mkdir "/sys/fs/cgroup/$1" && rmdir "/sys/fs/cgroup/$1" &&
  ip link add one type veth peer name two && ip link add three type bridge`;

let reason: Promise<string | undefined> | undefined;

/** Why there can be no hosts on this machine; `undefined`: there can. */
export function whyNoHosts(): Promise<string | undefined> {
  return reason ??= look();
}

async function look(): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return "they are containers of Linux";
  if (Deno.uid() !== 0) return "only root may boot containers";
  const lacking = await missing(HOST_PACKAGES);
  if (lacking.length > 0) return `these packages of Debian are missing: ${lacking.join(" ")}`;
  const name = `locksmith-trial-${Deno.pid}`;
  const trial = ["unshare", "--mount", "--propagation", "private", "--net", "sh", "-c", TRIAL, "sh", name];
  const { code, stderr } = await capture(trial, LIMIT_MS);
  return code === 0 ? undefined : `this machine does not let root do it: ${stderr.trim().split("\n").at(-1)}`;
}
