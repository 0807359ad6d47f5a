/**
 * How often this system was soft-rebooted since its kernel started: systemd 254 and later replace all of userspace and keep
 * the kernel, its boot id and /run. A boot is told from another by the kernel's boot id and this count.
 *
 * systemd tells the count from 256 on. Of 254 and 255 it is told by the moment at which they began to load their units: the
 * moments that were seen in this boot are recorded in /run, which a soft reboot keeps. Before 254, and without systemd, there
 * is no soft reboot. A systemd that is there and does not answer is an error, never a zero: another count than before looks
 * like a reboot.
 */

import { runChild } from "./child.ts";
import { OwnedFileError, readOwned, writeOwned } from "./owned_file.ts";
import { isThere } from "./regular_file.ts";

/** Where it is looked. */
export interface Places {
  /** Is there where systemd is process 1: sd_booted(3). */
  readonly booted: string;
  /** Where the moments that were seen are recorded. */
  readonly record: string;
  /** The program `systemctl`. */
  readonly systemctl: string;
}

export const PLACES: Places = {
  booted: "/run/systemd/system",
  record: "/run/locksmith/soft-reboots",
  systemctl: "systemctl",
};

const TIMEOUT_MS = 5000;
const PROPERTIES = "SoftRebootsCount,Version,UnitsLoadStartTimestampMonotonic";
/** What sh says of a program that is not there. */
const NOT_FOUND = 127;

/** The count in the boot with this id of the kernel's. Throws an `Error` that says why it cannot be told. */
export async function softReboots(bootId: string, places: Places = PLACES): Promise<number> {
  if (!await isThere(places.booted)) return 0;
  // as root it asks process 1 itself, and needs no bus
  const end = await runChild("sh", ["-c", `exec "$0" show --property=${PROPERTIES}`, places.systemctl], {
    timeoutMs: TIMEOUT_MS,
    env: { LC_ALL: "C.UTF-8" },
  });
  if (end.kind === "exited" && end.code === NOT_FOUND) return 0;
  if (end.kind !== "exited" || end.code !== 0) {
    const why = end.kind === "exited"
      ? end.stderr.trim().split("\n").at(-1) || `exit code ${end.code}`
      : end.kind === "not-started"
      ? end.why
      : `no answer within ${TIMEOUT_MS} ms`;
    throw new Error(`systemctl show: ${why}`);
  }
  const values = new Map(
    end.stdout.split("\n").map((line) => {
      const [name = "", value = ""] = line.split("=", 2);
      return [name, value];
    }),
  );
  const count = values.get("SoftRebootsCount") ?? "";
  if (/^\d+$/.test(count)) return Number(count);
  const version = Number.parseInt(values.get("Version") ?? "", 10);
  const moment = values.get("UnitsLoadStartTimestampMonotonic") ?? "";
  return version >= 254 && /^\d+$/.test(moment) ? await countMoments(bootId, moment, places.record) : 0;
}

/** How many other moments were seen in this boot before `moment`. */
async function countMoments(bootId: string, moment: string, record: string): Promise<number> {
  const text = await readOwned(record) ?? "";
  const [recordedBoot, ...seen] = text.trim().split(" ");
  const moments = recordedBoot === bootId ? seen : [];
  const index = moments.indexOf(moment);
  if (index >= 0) return index;
  try {
    const line = [bootId, ...moments, moment].join(" ");
    await writeOwned(record, `${line}\n`, { mode: 0o644, durable: false });
  } catch (error) {
    // who may not write only looks; a /run that cannot be written is told by those who need it
    if (!(error instanceof OwnedFileError)) throw error;
  }
  return moments.length;
}
