/**
 * Canonical Livepatch patches the running kernel, until a date: then Ubuntu's next kernel must have been booted. That is a
 * deadline, and never a need.
 *
 * The shape of its status: https://documentation.ubuntu.com/landscape/reference/api/rest-api-endpoints/livepatch
 */

import type { ChildEnd } from "../host/child.ts";
import type { Answer } from "../need.ts";
import { failure, has, type Source, unknown } from "./source.ts";

/** The client is a snap, and snaps are not on the path of services. */
const CLIENT = "/snap/bin/canonical-livepatch";

export const LIVEPATCH: Source = {
  name: "livepatch",
  about: "until when Canonical Livepatch covers the running kernel: a deadline, never a need",
  cost: "program",
  isHere: (ground) => has(ground, CLIENT),
  ask: async (ground) => readLivepatch(await ground.run(CLIENT, ["status", "--format", "json"])),
};

/** What the client says of the kernel that runs. */
export function readLivepatch(end: ChildEnd): Answer {
  if (end.kind !== "exited") return failure("canonical-livepatch", end);
  if (end.code !== 0 || end.signal !== null) {
    // older clients say so on stdout
    return /^Machine is not enabled/m.test(end.stdout + end.stderr)
      ? { kind: "silent", why: "Livepatch is not enabled on this machine" }
      : failure("canonical-livepatch", end);
  }
  let report: unknown;
  try {
    report = JSON.parse(end.stdout);
  } catch {
    return unknown("canonical-livepatch printed something that is not JSON");
  }
  const status: unknown = Object(report).Status;
  const running = Array.isArray(status) ? status.find((each) => Object(each).Running === true) : undefined;
  const { Kernel, Supported, UpgradeRequiredDate } = Object(running);
  if (typeof Kernel !== "string") return unknown("canonical-livepatch says nothing of the running kernel");
  const kernel = `kernel ${Kernel.replace(/[^\x21-\x7e]/g, "?")}`;
  const until = dateOf(UpgradeRequiredDate);
  switch (Supported) {
    case "supported":
    case "kernel-upgrade-required": {
      const covered = Supported === "supported";
      if (until !== null) {
        return { kind: "silent", deadline: { until, why: `end of Livepatch for ${kernel}` } };
      }
      return {
        kind: "silent",
        why: covered
          ? `Livepatch covers ${kernel}; it names no end`
          : `Livepatch no longer covers ${kernel}; install the newest one and reboot`,
      };
    }
    case "kernel-end-of-life":
    case "unsupported":
      return { kind: "silent", why: `Livepatch does not cover ${kernel}` };
    default:
      return unknown(`canonical-livepatch cannot tell whether it covers ${kernel}`);
  }
}

/** The date of `2027-10-02` or `2027-10-02T00:00:00Z`; `null`: there is none. */
function dateOf(value: unknown): string | null {
  const [, date] = typeof value === "string"
    ? /^([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T.*)?$/.exec(value) ?? []
    : [];
  return date === undefined || Number.isNaN(Date.parse(date)) ? null : date;
}
