/**
 * Who this machine is: its machine id, the identity of its current boot, and its host name, each read from below a root
 * directory so that several machines can be played on one.
 *
 * The machine id names holders and the boot's identity proves reboots, so both are checked and an absent or malformed one
 * is an error, never a guess. The identity is the kernel's boot id, and after soft reboots `+` and their number behind
 * it. The host name is for people alone and never an error.
 */
import type { Machine } from "../machine.ts";
import { readRegularFile } from "./regular_file.ts";
import { reasonOf, runChild } from "./child.ts";
import { PLACES, type Places, softReboots } from "./soft_reboot.ts";

/** A machine id or boot id could not be read. The message begins with `summary` and goes on with file and reason. */
export class MachineError extends Error {
  override readonly name = "MachineError";
  constructor(readonly summary: string, readonly detail: string, readonly hint: string) {
    super(`${summary}: ${detail}`);
  }
}

const NOT_AN_ID = "0".repeat(32);
const KERNEL_FILE_TIMEOUT_MS = 2000;

/** All three. Throws {@linkcode MachineError}. */
export async function readMachine(root: string): Promise<Machine> {
  const [id, bootId, hostname] = await Promise.all([
    readMachineId(root),
    readBootIdentity(root),
    readHostname(root),
  ]);
  return { id, bootId, hostname };
}

/** The machine id from `<root>/etc/machine-id`. Throws {@linkcode MachineError}. */
export function readMachineId(root: string): Promise<string> {
  return Promise.try(machineIdBelow, root);
}

function machineIdBelow(root: string): string {
  const file = below(root, "/etc/machine-id");
  const hint = "systemd-machine-id-setup writes one";
  const fault = (why: string) => new MachineError("Cannot read machine-id", `${file}: ${why}`, hint);
  let text: string;
  try {
    text = new TextDecoder().decode(readRegularFile(file)).trim();
  } catch (error) {
    throw fault(reasonOf(error));
  }
  if (text === "") throw fault("it is empty");
  if (text === "uninitialized") throw fault("it says 'uninitialized': the first boot has not finished");
  if (!/^[0-9a-f]{32}$/.test(text)) {
    throw fault(`not 32 lowercase hexadecimal digits: ${JSON.stringify(text.slice(0, 64))}`);
  }
  if (text === NOT_AN_ID) throw fault("it is all zeros");
  return text;
}

/**
 * What tells this boot from every other, a soft reboot included: `<boot id>`, or `<boot id>+2` after two of those. Of another
 * root than `/` no systemd can be asked. Throws {@linkcode MachineError}.
 */
export async function readBootIdentity(root: string, places: Places = PLACES): Promise<string> {
  const bootId = await readBootId(root);
  if (below(root, "/") !== "/") return bootId;
  try {
    return bootIdentity(bootId, await softReboots(bootId, places));
  } catch (error) {
    throw new MachineError(
      "Cannot tell how often this machine was soft-rebooted",
      reasonOf(error),
      "without it no reboot can be proven; does 'systemctl show' work?",
    );
  }
}

/** The identity of the boot with this id of the kernel's after so many soft reboots. */
export function bootIdentity(bootId: string, softReboots: number): string {
  return softReboots === 0 ? bootId : `${bootId}+${softReboots}`;
}

/** The kernel's boot id, from `<root>/proc/sys/kernel/random/boot_id`. Throws {@linkcode MachineError}. */
export async function readBootId(root: string): Promise<string> {
  const file = below(root, "/proc/sys/kernel/random/boot_id");
  const fault = (why: string) =>
    new MachineError("Cannot read boot id", `${file}: ${why}`, "without it no reboot can be proven");
  let text: string;
  try {
    text = (await readKernelFile(file)).trim();
  } catch (error) {
    throw fault(reasonOf(error));
  }
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) {
    throw fault(`not a UUID: ${JSON.stringify(text.slice(0, 64))}`);
  }
  return text;
}

/** The host name: `<root>/etc/hostname` below another root than `/`, else the system's. Never throws. */
export async function readHostname(root: string): Promise<string> {
  const fromFile = () => {
    const lines = new TextDecoder().decode(readRegularFile(below(root, "/etc/hostname"))).split("\n");
    return lines.map((line) => line.trim()).find((line) => line !== "" && !line.startsWith("#")) ?? "";
  };
  const fromSystem = () => Deno.hostname();
  for (const ask of below(root, "/") === "/" ? [fromSystem, fromFile] : [fromFile, fromSystem]) {
    const name = await Promise.try(ask).catch(() => "");
    // deno-lint-ignore no-control-regex -- a name goes into documents and onto terminals
    if (name !== "") return name.replace(/[\x00-\x20\x7f]/g, "?").slice(0, 253);
  }
  return "unknown";
}

/** For how long the kernel has been running, in milliseconds. Below another root than `/` by its `/proc/uptime`, if there is one. */
export async function readUptimeMs(root: string): Promise<number> {
  const seconds = below(root, "/") === "/"
    ? NaN
    : Number.parseFloat(await readKernelFile(below(root, "/proc/uptime")).catch(() => ""));
  return (Number.isFinite(seconds) ? seconds : Deno.osUptime()) * 1000;
}

/**
 * A small file that the kernel makes up (below `/proc`). The runtime lets only a program with every permission open
 * one, so that one with fewer asks the shell, which it may run. Throws an `Error` that says why.
 */
export async function readKernelFile(file: string): Promise<string> {
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
  }
  const end = await runChild("sh", ["-c", 'exec cat -- "$1"', "sh", file], {
    timeoutMs: KERNEL_FILE_TIMEOUT_MS,
  });
  if (end.kind === "exited" && end.code === 0) return end.stdout;
  if (end.kind === "exited") {
    throw new Error(end.stderr.trim().replace(/^cat: .*?: /, "") || `exit ${end.code}`);
  }
  throw new Error(end.kind === "not-started" ? end.why : `no answer within ${KERNEL_FILE_TIMEOUT_MS} ms`);
}

/** `path` below `root`, without doubled slashes. */
function below(root: string, path: string): string {
  return `${root}${path}`.replace(/\/{2,}/g, "/");
}
