/**
 * Systems that are updated as a whole, and run what is new after a reboot: rpm-ostree, bootc, systemd-sysupdate, NixOS, Flatcar.
 */

import type { Answer } from "../need.ts";
import type { ChildEnd } from "../host/child.ts";
import {
  answered,
  failure,
  type Ground,
  has,
  hasProgram,
  needed,
  NOT_NEEDED,
  type Source,
  unknown,
} from "./source.ts";

export const RPM_OSTREE: Source = {
  name: "rpm-ostree",
  about: "a deployment of rpm-ostree is staged",
  cost: "program",
  isHere: async (ground) => await has(ground, "/run/ostree-booted") && await hasProgram(ground, "rpm-ostree"),
  ask: async (ground) => readRpmOstree(await ground.run("rpm-ostree", ["status", "--json"])),
};

/** A deployment whose finalization is locked is not applied by a reboot. */
export function readRpmOstree(end: ChildEnd): Answer {
  return withJson("rpm-ostree", end, (status) => {
    const deployments = listOf(status.deployments);
    if (deployments === null) return null;
    const staged = deployments.find((deployment) => deployment.staged === true);
    const booted = deployments.find((deployment) => deployment.booted === true);
    // without a daemon that stages, the first in the list is what the next boot runs
    const next = staged ?? (deployments[0]?.booted === true ? undefined : deployments[0]);
    if (next === undefined) return NOT_NEEDED;
    if (next["finalization-locked"] === true) {
      return unknown("rpm-ostree: the staged deployment is locked; a reboot would not apply it");
    }
    const [version, checksum] = [textOf(next.version) ?? "", textOf(next.checksum) ?? ""];
    const from = textOf(booted?.version);
    return needed(
      [`rpm-ostree: ${version || checksum.slice(0, 12)} is staged${
        from === undefined ? "" : `, ${from} is running`
      }`],
      checksum || version,
    );
  });
}

export const BOOTC: Source = {
  name: "bootc",
  about: "an image of bootc is staged, or a rollback is queued",
  cost: "program",
  isHere: (ground) => hasProgram(ground, "bootc"),
  ask: async (ground) => readBootc(await ground.run("bootc", ["status", "--json", "--format-version=1"])),
};

export function readBootc(end: ChildEnd): Answer {
  return withJson("bootc", end, ({ status }) => {
    if (!isRecord(status)) return null;
    // on a machine that bootc does not manage nothing is booted
    if (status.booted === null || status.booted === undefined) {
      return { kind: "silent", why: "bootc does not manage this machine" };
    }
    if (status.rollbackQueued === true) return needed(["bootc: a rollback is queued"], "rollback");
    const { staged } = status;
    if (staged === null || staged === undefined) return NOT_NEEDED;
    if (!isRecord(staged)) return null;
    if (staged.downloadOnly === true) return NOT_NEEDED;
    const image = isRecord(staged.image) ? staged.image : {};
    const [version, checksum] = [textOf(image.version), textOf(image.imageDigest)];
    return needed(
      [`bootc: ${version ?? checksum?.slice(0, 19) ?? "an image"} is staged`],
      checksum ?? version ?? "staged",
    );
  });
}

/** What it says on stderr, whether or not something newer is installed. */
const SYSUPDATE_VERDICT =
  /^Newest installed version '([^']*)' (is newer than|matches|is older than) booted version '([^']*)'/m;
const SYSUPDATE = "/usr/lib/systemd/systemd-sysupdate";

export const SYSUPDATE_SOURCE: Source = {
  name: "sysupdate",
  about: "systemd-sysupdate has installed a newer version than runs",
  cost: "program",
  isHere: async (ground) =>
    await has(ground, SYSUPDATE) &&
    (await has(ground, "/etc/sysupdate.d") || await has(ground, "/usr/lib/sysupdate.d")),
  ask: async (ground) => {
    const end = await ground.run(SYSUPDATE, ["pending"]);
    if (end.kind !== "exited" || end.signal !== null) return failure("systemd-sysupdate", end);
    const [, newest = "", how = "", booted = ""] = SYSUPDATE_VERDICT.exec(end.stderr) ?? [];
    if (end.code === 0) {
      const what = newest === ""
        ? "a newer version is installed"
        : `${newest} is installed, ${booted} is running`;
      return needed([`systemd-sysupdate: ${what}`], `${booted}>${newest}`);
    }
    // a failure exits with 1 too
    return end.code === 1 && how !== "" ? NOT_NEEDED : failure("systemd-sysupdate", end);
  },
};

const BOOTED = "/run/booted-system";
const NEXT = "/nix/var/nix/profiles/system";
/** What only a boot makes run. */
const PARTS = ["kernel", "initrd", "kernel-modules"];

export const NIXOS: Source = {
  name: "nixos",
  about: "kernel, initrd or modules of the system profile are others than those booted",
  cost: "file",
  files: [NEXT],
  isHere: (ground) => has(ground, "/etc/NIXOS"),
  ask: (ground) =>
    answered("compare the booted system with the system profile", async () => {
      const changed: string[] = [];
      const parts: string[] = [];
      for (const part of PARTS) {
        const [booted, next] = await Promise.all(
          [BOOTED, NEXT].map((at) => targetOf(ground, `${at}/${part}`)),
        );
        if (booted === next) continue;
        changed.push(part);
        parts.push(next ?? "none");
      }
      return changed.length === 0
        ? NOT_NEEDED
        : needed([`NixOS: another ${changed.join(", ")} than the booted one`], parts.join(","));
    }),
};

/** Where a link leads, `null` where there is none. A system without its profile cannot be judged. */
async function targetOf(ground: Ground, path: string): Promise<string | null> {
  const folder = ground.path(path.replace(/\/[^/]*$/, ""));
  await Deno.stat(folder);
  try {
    return await Deno.readLink(ground.path(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

const COMPLETED = "/run/update_engine_autoupdate_completed";

export const FLATCAR: Source = {
  name: "flatcar",
  about: `${COMPLETED} of Flatcar`,
  cost: "file",
  files: [COMPLETED],
  isHere: async (ground) =>
    /^ID=["']?flatcar/m.test(await Deno.readTextFile(ground.path("/etc/os-release")).catch(() => "")),
  ask: async (ground) =>
    await has(ground, COMPLETED) ? needed([`${COMPLETED} exists`], "completed") : NOT_NEEDED,
};

/** The answer in what a program printed as JSON; `null` from `read` means that it is not understood. */
function withJson(
  program: string,
  end: ChildEnd,
  read: (json: Record<string, unknown>) => Answer | null,
): Answer {
  if (end.kind !== "exited" || end.code !== 0 || end.signal !== null) return failure(program, end);
  let json: unknown;
  try {
    json = JSON.parse(end.stdout);
  } catch {
    return unknown(`${program} printed something that is not JSON`);
  }
  return (isRecord(json) ? read(json) : null) ??
    unknown(`${program} printed JSON of another shape than expected`);
}

function listOf(value: unknown): Record<string, unknown>[] | null {
  return Array.isArray(value) && value.every(isRecord) ? value : null;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
