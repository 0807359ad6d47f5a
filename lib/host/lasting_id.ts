/**
 * Whether the machine id outlasts a boot. Where `/etc` cannot be written early enough, systemd makes one up in `/run` and
 * mounts it over `/etc/machine-id`; a live system has all of `/etc` in memory. Such a machine comes back from its reboot
 * under another name, and its slot would be held for ever.
 *
 * An id in memory is good all the same where the same one comes again: from the kernel's command line, the firmware, or whoever
 * started the container. What cannot be seen here: an overlay whose upper layer is in memory, and a boot that writes a new
 * id to the disk.
 */

import { MachineError, readKernelFile } from "./identity.ts";
import { runChild } from "./child.ts";

const TIMEOUT_MS = 2_000;
/** File systems in memory, by their numbers in `linux/magic.h`. */
const IN_MEMORY: ReadonlyMap<string, string> = new Map([["1021994", "tmpfs"], ["858458f6", "ramfs"]]);
/** What names a machine at each boot: `systemd.machine_id=`, the firmware's id, `container_uuid=`. */
const SOURCES = ["/proc/cmdline", "/sys/class/dmi/id/product_uuid", "/proc/1/environ"];

/** What is asked of this host. */
export interface Questions {
  /** The type of the file system under a path, as `stat -f` gives it; `undefined`: nobody can tell. */
  fileSystem(path: string): Promise<string | undefined>;
  /** The text of a file of the kernel's; empty where it cannot be read. */
  kernelFile(path: string): Promise<string>;
}

const REAL_QUESTIONS: Questions = {
  async fileSystem(path) {
    const end = await runChild("stat", ["-f", "-L", "-c", "%t", "--", path], { timeoutMs: TIMEOUT_MS });
    return end.kind === "exited" && end.code === 0 ? end.stdout.trim() : undefined;
  },
  kernelFile: (path) => readKernelFile(path).catch(() => ""),
};

/** Throws {@linkcode MachineError} where the machine id `id` of this root is one for this boot only. */
export async function requireLastingId(
  root: string,
  id: string,
  questions: Questions = REAL_QUESTIONS,
): Promise<void> {
  const base = root.replace(/\/+$/, "");
  const file = `${base}/etc/machine-id`;
  const why = await isSame(file, `${base}/run/machine-id`)
    ? "systemd generated it for this boot"
    // below another root the test of a machine may well lie in memory
    : base === ""
    ? await inMemory(file, questions)
    : undefined;
  if (why === undefined) return;
  const sources = await Promise.all(SOURCES.map((path) => questions.kernelFile(path)));
  if (sources.some((text) => text.toLowerCase().replaceAll("-", "").includes(id))) return;
  throw new MachineError(
    "Cannot use this machine-id",
    `${file}: ${why}, so it does not outlast the boot, and a slot would be held forever`,
    "write it to disk: systemd-machine-id-setup --commit; or set the same id at each boot: systemd.machine_id= on the " +
      "kernel command line",
  );
}

async function inMemory(file: string, questions: Questions): Promise<string | undefined> {
  const type = IN_MEMORY.get(await questions.fileSystem(file) ?? "");
  return type === undefined ? undefined : `it is stored in memory (${type})`;
}

/** Whether two paths are the same file, as they are where one is mounted over the other. */
async function isSame(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((path) => Deno.stat(path).catch(() => null)));
  return a !== null && b !== null && a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev;
}
