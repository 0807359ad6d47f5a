/**
 * What this machine must have and allow before there can be hosts on it: root, packages of Debian, and a kernel that lets
 * root make namespaces, overlays and cgroups, which few containers of builds do.
 */

import { capture } from "./command.ts";

const LIMIT_MS = 10_000;
/** A program that is needed, and the package of Debian that has it. */
const PROGRAMS: readonly { readonly program: string; readonly package: string }[] = [
  { program: "systemd-nspawn", package: "systemd-container" },
  { program: "nsenter", package: "util-linux" },
  { program: "ip", package: "iproute2" },
  { program: "script", package: "bsdutils" },
  { program: "login", package: "login" },
];
/** What must be on this machine to be on a host, and the package that has it. */
const FILES: readonly { readonly file: string; readonly package: string }[] = [
  { file: "/usr/lib/systemd/systemd", package: "systemd" },
  { file: "/usr/bin/dbus-daemon", package: "dbus" },
  { file: "/usr/share/pam-configs/systemd", package: "libpam-systemd" },
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

/** The packages that hosts need and this machine lacks. */
export async function missingPackages(): Promise<string[]> {
  if (Deno.build.os !== "linux") return [];
  const missing: string[] = [];
  for (const { program, package: name } of PROGRAMS) {
    const { code } = await capture(["sh", "-c", 'command -v "$1"', "sh", program], LIMIT_MS);
    if (code !== 0) missing.push(name);
  }
  for (const { file, package: name } of FILES) {
    if (!await Deno.stat(file).then(() => true, () => false)) missing.push(name);
  }
  return missing;
}

async function look(): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return "they are containers of Linux";
  if (Deno.uid() !== 0) return "only root may boot containers";
  const missing = await missingPackages();
  if (missing.length > 0) return `these packages of Debian are missing: ${missing.join(" ")}`;
  const name = `locksmith-trial-${Deno.pid}`;
  const trial = ["unshare", "--mount", "--propagation", "private", "--net", "sh", "-c", TRIAL, "sh", name];
  const { code, stderr } = await capture(trial, LIMIT_MS);
  return code === 0 ? undefined : `this machine does not let root do it: ${stderr.trim().split("\n").at(-1)}`;
}
