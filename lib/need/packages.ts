/**
 * Package managers that say by themselves whether a reboot is needed: the file of Debian and Ubuntu, `needs-restarting` of
 * dnf and yum, and zypper's file.
 */

import { type Answer, NEED_LEVELS, type NeedLevel } from "../need.ts";
import type { ChildEnd } from "../host/child.ts";
import { whoElseWrites } from "../host/owned_file.ts";
import { readSentinel, sentinelFiles } from "./sentinel.ts";
import {
  answered,
  digest,
  failure,
  type Ground,
  has,
  hasProgram,
  needed,
  NOT_NEEDED,
  type Source,
  unknown,
} from "./source.ts";

const REBOOT_REQUIRED = "/run/reboot-required";
/** What writes that file; a minimal Debian has none of them, and there its absence says nothing. */
const WRITERS = [
  "/usr/share/update-notifier/notify-reboot-required",
  "/etc/kernel/postinst.d/unattended-upgrades",
  "/etc/kernel/postinst.d/reboot-notifier",
];

export const DEBIAN: Source = {
  name: "debian",
  about: `${REBOOT_REQUIRED} and the packages in ${REBOOT_REQUIRED}.pkgs`,
  cost: "file",
  files: [...sentinelFiles(REBOOT_REQUIRED), ...WRITERS],
  isHere: (ground) => has(ground, "/var/lib/dpkg/status"),
  ask: async (ground) => {
    const answer = await readSentinel(ground.path(REBOOT_REQUIRED));
    if (answer.kind !== "not-needed" || await someIsThere(ground, WRITERS)) return answer;
    return { kind: "silent", why: `nothing on this machine writes ${REBOOT_REQUIRED}` };
  },
};

async function someIsThere(ground: Ground, paths: readonly string[]): Promise<boolean> {
  for (const path of paths) if (await has(ground, path)) return true;
  return false;
}

const REBOOT_NEEDED = "/run/reboot-needed";
const PURGE_KERNELS = "/boot/do_purge_kernels";
/** What zypper writes into its file; empty means the first. */
const LEVELS = [...NEED_LEVELS, "none"] as const;

export const ZYPPER: Source = {
  name: "zypper",
  about: `${REBOOT_NEEDED} and ${PURGE_KERNELS} of SUSE`,
  cost: "file",
  files: [REBOOT_NEEDED, PURGE_KERNELS],
  isHere: (ground) => hasProgram(ground, "zypper"),
  ask: (ground) => answered(`look for ${REBOOT_NEEDED}`, () => askZypper(ground)),
};

async function askZypper(ground: Ground): Promise<Answer> {
  const reasons: string[] = [];
  let asked: NeedLevel = "reboot";
  const text = await readIfThere(ground.path(REBOOT_NEEDED));
  if (text !== null) {
    const fault = await whoElseWrites(ground.path(REBOOT_NEEDED));
    if (fault !== null) return unknown(`${REBOOT_NEEDED} exists but cannot be trusted: ${fault}`);
    const level = text.trim() === "" ? LEVELS[0] : LEVELS.find((level) => level === text.trim());
    if (level === undefined) {
      return unknown(`${REBOOT_NEEDED} has '${text.trim().slice(0, 40)}', not one of ${LEVELS.join(", ")}`);
    }
    if (level === "reboot") reasons.push(`${REBOOT_NEEDED} exists`);
    else if (level !== "none") {
      reasons.push(`${REBOOT_NEEDED} asks for a ${level}`);
      asked = level;
    }
  }
  if (await has(ground, PURGE_KERNELS)) {
    reasons.push(`${PURGE_KERNELS}: a kernel was installed`);
    asked = "reboot";
  }
  return reasons.length === 0 ? NOT_NEEDED : needed(reasons, await digest(reasons), { level: asked });
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

export const DNF: Source = {
  name: "dnf",
  about: "'needs-restarting' of dnf 5, dnf 4 or yum",
  cost: "program",
  isHere: async (ground) =>
    await hasProgram(ground, "dnf5") || await hasProgram(ground, "dnf") ||
    await hasProgram(ground, "needs-restarting"),
  ask: async (ground) => {
    if (await hasProgram(ground, "dnf5")) {
      const json = await ground.run("dnf5", ["-C", "needs-restarting", "--json"]);
      const answer = await readDnf5(json);
      if (answer !== null) return answer;
      return await readDnfText("dnf5", await ground.run("dnf5", ["-C", "needs-restarting"]));
    }
    if (await hasProgram(ground, "dnf")) {
      return await readDnfText("dnf", await ground.run("dnf", ["-C", "needs-restarting", "-r"]));
    }
    return await readDnfText("needs-restarting", await ground.run("needs-restarting", ["-r"]));
  },
};

/** What dnf5 says in JSON, from 5.4.1.0 on, the packages by name; `null` where it has no such output, or is not understood. */
export async function readDnf5(end: ChildEnd): Promise<Answer | null> {
  if (end.kind !== "exited") return failure("dnf5", end);
  let report: unknown;
  try {
    report = JSON.parse(end.stdout);
  } catch {
    return null;
  }
  if (!Array.isArray(report)) return null;
  const entry = report.find((entry): entry is Record<string, unknown> => entry?.type === "reboot");
  if (typeof entry?.reboot_required !== "boolean") return null;
  if (!entry.reboot_required) return NOT_NEEDED;
  const { packages } = entry;
  return await neededFor(Array.isArray(packages) ? packages.filter((name) => typeof name === "string") : []);
}

/** Needed for packages, each of which may stand with its version behind a blank. */
async function neededFor(packages: readonly string[]): Promise<Answer> {
  const names = [...new Set(packages.map((name) => name.replace(/ .*/, "")))].sort();
  const reason = `dnf: a reboot is required${names.length === 0 ? "" : ` (${some(names)})`}`;
  return needed([reason], await digest(packages.toSorted()), { packages: names });
}

/**
 * What the text of `needs-restarting` says. Its exit code is 1 for a need as well as for a failure, so a need counts only
 * with the words for it.
 */
export async function readDnfText(program: string, end: ChildEnd): Promise<Answer> {
  if (end.kind !== "exited" || end.signal !== null) return failure(program, end);
  if (end.code === 0) return NOT_NEEDED;
  if (end.code !== 1 || !/^Reboot is required/m.test(end.stdout)) return failure(program, end);
  // `  * kernel`; yum on RHEL 7 says `  gnutls -> 3.3.29-9.el7_6`
  return await neededFor(
    [...end.stdout.matchAll(/^ {2}(?:\* )?(\S+(?: -> \S+)?) *$/gm)].map(([, name = ""]) => name),
  );
}

const NAMED = 5;

function some(names: readonly string[]): string {
  const more = names.length - NAMED;
  return names.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
