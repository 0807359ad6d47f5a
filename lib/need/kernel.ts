/**
 * The kernel that runs, beside the kernels that are installed; and needrestart(1), which compares them as well, and the
 * processor's microcode.
 *
 * A kernel counts only if it was installed since the boot: whoever booted an older one on purpose, or pinned it, is not
 * told to reboot for ever. Where the running kernel's modules are gone, nothing that is not loaded already can be loaded.
 */

import type { Answer } from "../need.ts";
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

const MODULES = "/lib/modules";
/** The clock of the file system and that of the boot may differ by this much, in milliseconds. */
const SLACK_MS = 60_000;

export const KERNEL: Source = {
  name: "kernel",
  about: "a kernel was installed since the boot, or the modules of the running one are gone",
  cost: "file",
  files: [MODULES],
  isHere: (ground) => has(ground, MODULES),
  ask: (ground) => answered("compare kernels", () => compareKernels(ground)),
};

async function compareKernels(ground: Ground): Promise<Answer> {
  const { release: running, bootedMs } = await runningKernel(ground);
  const installed = await kernelsIn(ground);
  if (installed === null) return unknown(`${MODULES} does not exist: a container, or a kernel of its own`);
  if (!installed.includes(running)) {
    const [newest] = installed.toSorted(compareVersions).reverse();
    return newest === undefined ? unknown(`no kernel below ${MODULES}`) : needed(
      [`the modules of the running kernel ${running} are gone; installed: ${newest}`],
      `${running}>${newest}`,
    );
  }
  const [newest] = installed
    .filter((version) => flavourOf(version) === flavourOf(running) && compareVersions(version, running) >= 0)
    .sort(compareVersions).reverse();
  if (newest === undefined) return NOT_NEEDED;
  const sinceMs = await installedMs(ground, newest);
  if (sinceMs === null || sinceMs <= bootedMs + SLACK_MS) return NOT_NEEDED;
  return newest === running
    ? needed([`kernel ${running} was replaced since the boot`], `${running}@${Math.floor(sinceMs / 1000)}`)
    : needed([`kernel ${newest} is installed, ${running} is running`], `${running}>${newest}`);
}

/** The versions that have modules; `null` where nothing has. Throws what the system reports. */
async function kernelsIn(ground: Ground): Promise<string[] | null> {
  const versions: string[] = [];
  try {
    for await (const { name } of Deno.readDir(ground.path(MODULES))) {
      if (await has(ground, `${MODULES}/${name}/modules.dep`)) versions.push(name);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
  return versions;
}

/** When the image of a kernel came to lie where it is: a package keeps the time of its making, but not the change's. */
async function installedMs(ground: Ground, version: string): Promise<number | null> {
  for (
    const path of [
      `/boot/vmlinuz-${version}`,
      `${MODULES}/${version}/vmlinuz`,
      `${MODULES}/${version}/modules.builtin`,
    ]
  ) {
    try {
      return (await Deno.stat(ground.path(path))).ctime?.getTime() ?? null;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return null;
}

/**
 * The kernel that runs, and when it booted, in milliseconds since the epoch. The runtime tells both; the files below `/proc`,
 * which it lets nobody read who may not do everything, are for another root.
 */
async function runningKernel(
  ground: Ground,
): Promise<{ readonly release: string; readonly bootedMs: number }> {
  if (ground.path("/") === "/") {
    return { release: Deno.osRelease(), bootedMs: Date.now() - 1000 * Deno.osUptime() };
  }
  const release = (await Deno.readTextFile(ground.path("/proc/sys/kernel/osrelease"))).trim();
  return { release, bootedMs: await bootTimeMs(ground) };
}

async function bootTimeMs(ground: Ground): Promise<number> {
  const seconds = /^btime ([0-9]+)$/m.exec(await Deno.readTextFile(ground.path("/proc/stat")))?.[1];
  if (seconds === undefined) throw new Error("/proc/stat does not tell when the machine booted");
  return 1000 * Number(seconds);
}

/** What a version says beside its numbers: `amd64`, `cloud-amd64`, `el9.x86_64`; another flavour is no newer kernel. */
function flavourOf(version: string): string {
  return version.replace(/[0-9]+/g, "").replace(/[-._+~]+/g, "-");
}

/** By the numbers in them, the larger the newer. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [numbersIn(a), numbersIn(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const order = (left[i] ?? 0) - (right[i] ?? 0);
    if (order !== 0) return order;
  }
  return a < b ? -1 : a > b ? 1 : 0;
}

function numbersIn(version: string): number[] {
  // the architecture has numbers as well
  const withoutArchitecture = version.replace(
    /(?:x86_64|aarch64|amd64|arm64|i[3-6]86|ppc64(?:le|el)?|s390x|riscv64|armv7.*)$/,
    "",
  );
  return (withoutArchitecture.match(/[0-9]+/g) ?? []).map(Number);
}

export const NEEDRESTART: Source = {
  name: "needrestart",
  about: "needrestart finds a newer kernel or microcode",
  cost: "program",
  isHere: (ground) => hasProgram(ground, "needrestart"),
  ask: async (ground) => {
    // batch mode; kernel, and microcode
    const end = await ground.run("needrestart", ["-b", "-k", "-w"]);
    return end.kind === "exited" && end.code === 0 && end.signal === null
      ? readNeedrestart(end.stdout)
      : failure("needrestart", end);
  },
};

/** The answers of needrestart's batch mode, as its README.batch.md defines them. */
export function readNeedrestart(output: string): Answer {
  const fields = new Map(
    output.split("\n").flatMap((line) => {
      const [, name, value] = /^NEEDRESTART-([A-Z]+): ?(.*)$/.exec(line.trimEnd()) ?? [];
      return name === undefined ? [] : [[name, value ?? ""] as const];
    }),
  );
  const [kernel, microcode] = [fields.get("KSTA"), fields.get("UCSTA")];
  const reasons: string[] = [];
  const parts: string[] = [];
  if (kernel === "2" || kernel === "3") {
    const [running = "?", expected = "?"] = [fields.get("KCUR"), fields.get("KEXP")];
    reasons.push(
      expected === running
        ? `kernel ${running} was replaced since the boot`
        : `kernel ${expected} is installed, ${running} is running`,
    );
    parts.push(`${running}>${expected}`);
  }
  if (microcode === "2") {
    const [current = "?", expected = "?"] = [fields.get("UCCUR"), fields.get("UCEXP")];
    reasons.push(`microcode ${expected} is installed, ${current} is in use`);
    parts.push(`microcode:${current}>${expected}`);
  }
  if (reasons.length > 0) return needed(reasons, parts.join(","));
  if (kernel === "1" || (kernel === undefined && microcode === "1")) return NOT_NEEDED;
  return unknown(
    kernel === "0"
      ? "needrestart cannot tell which kernel is installed"
      : "needrestart said nothing of the kernel",
  );
}
