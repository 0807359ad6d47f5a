/**
 * Whether this machine's boot is complete, as systemd sees it, and how long the machine has been up.
 *
 * Where units are required by boot-complete.target, and somebody wants that target, it is the machine's own test of its boot
 * and has to be reached. Elsewhere the start has to be over, with units that failed or without: they are told, and whether one
 * of them is needed is for a check to say. A machine without systemd has nothing to wait for.
 */

import type { Verdict } from "../agent.ts";
import { describeDuration } from "../description.ts";
import { enumerate } from "../enumeration.ts";
import { plainLine } from "../plain_text.ts";
import { type Log, sleep, type Surroundings } from "../surroundings.ts";
import { type ChildEnd, runChild } from "./child.ts";
import { readKernelFile } from "./identity.ts";
import { isThere } from "./regular_file.ts";

export interface BootOptions {
  readonly root: string;
  /** How long the start may take, in milliseconds; 0: it is not asked about. */
  readonly waitMs: number;
  readonly surroundings: Surroundings;
  readonly log: Log;
}

const QUESTION_LIMIT_MS = 10_000;
/** How often a start that is not over is asked about, in milliseconds. */
const INTERVAL_MS = 2_000;
/** What every boot requires, and no test of one. */
const USUAL: readonly string[] = ["sysinit.target", "basic.target"];

/** Whether systemd runs the machine: sd_booted(3). Never throws. */
export async function isBootedBySystemd(root: string): Promise<boolean> {
  return await isThere(`${root.replace(/\/+$/, "")}/run/systemd/system`).catch(() => false);
}

export class BootSuccess {
  readonly #startedMs: number;
  #degraded = "";

  constructor(private readonly options: BootOptions) {
    this.#startedMs = options.surroundings.elapsed();
  }

  /** Waits until the boot is complete, or failed, or the time for it is over. Never throws. */
  async verdict(): Promise<Verdict> {
    const { root, waitMs, surroundings } = this.options;
    if (waitMs === 0 || !await isBootedBySystemd(root)) return { kind: "well" };
    while (true) {
      const found = await this.#look();
      if (found.kind !== "not-yet") return found;
      if (surroundings.elapsed() - this.#startedMs >= waitMs) {
        const why = `the boot is not complete after ${describeDuration(waitMs)}: ${found.why}`;
        return { kind: "ill", why: `${why}${await jobs()}` };
      }
      await sleep(surroundings, INTERVAL_MS);
    }
  }

  /**
   * How long this system has been up, in milliseconds: since its last soft reboot, and of a container since it was started, whose
   * kernel has been up for longer. Never throws.
   */
  async upMs(): Promise<number> {
    const { root, surroundings } = this.options;
    // what can be told in any case
    const ownMs = surroundings.elapsed() - this.#startedMs;
    const text = await readKernelFile(`${root.replace(/\/+$/, "")}/proc/uptime`).catch(() => "");
    const kernelMs = Number.parseFloat(text) * 1000;
    if (!(kernelMs >= ownMs)) return ownMs;
    if (!await isBootedBySystemd(root)) return kernelMs;
    const { UnitsLoadStartTimestampMonotonic: loaded } = await properties("UnitsLoadStartTimestampMonotonic");
    return Math.max(ownMs, kernelMs - Number(loaded ?? 0) / 1000);
  }

  async #look(): Promise<Verdict | { readonly kind: "not-yet"; readonly why: string }> {
    const gate = await properties("ActiveState,Requires,RequiredBy,WantedBy", "boot-complete.target");
    const tests = words(gate["Requires"]).filter((unit) => !USUAL.includes(unit));
    if (tests.length > 0 && words(gate["RequiredBy"]).concat(words(gate["WantedBy"])).length > 0) {
      if (gate["ActiveState"] === "active") return { kind: "well" };
      const failed = (await failedUnits()).filter((unit) => tests.includes(unit));
      if (failed.length === 0) {
        return {
          kind: "not-yet",
          why: `boot-complete.target is ${gate["ActiveState"]}, it requires ${enumerate(tests)}`,
        };
      }
      return { kind: "ill", why: `boot-complete.target is not reached: ${enumerate(failed)} failed` };
    }
    const end = await systemctl("is-system-running");
    const state = end.kind === "exited" ? end.stdout.trim() : "";
    switch (state) {
      case "running":
        return { kind: "well" };
      case "degraded":
        this.#tellDegraded(await failedUnits());
        return { kind: "well" };
      case "maintenance":
        return { kind: "ill", why: "systemd is in rescue or emergency mode" };
      case "stopping":
        return { kind: "ill", why: "the machine is shutting down" };
      default:
        return {
          kind: "not-yet",
          why: state === "" ? `systemctl does not answer${fault(end)}` : `it is ${state}`,
        };
    }
  }

  #tellDegraded(failed: readonly string[]): void {
    const text = `the boot is complete, with units that failed: ${enumerate(failed)}`;
    if (text !== this.#degraded) this.options.log("warning", text);
    this.#degraded = text;
  }
}

function systemctl(...args: readonly string[]): Promise<ChildEnd> {
  // as root it asks process 1 itself, and needs no bus
  return runChild("sh", ["-c", 'exec systemctl "$@"', "sh", ...args], {
    timeoutMs: QUESTION_LIMIT_MS,
    env: { LC_ALL: "C.UTF-8", SYSTEMD_COLORS: "0" },
  });
}

/** Properties by name, of a unit or of systemd itself; empty where it does not answer. */
async function properties(names: string, ...units: readonly string[]): Promise<Record<string, string>> {
  const end = await systemctl("show", `--property=${names}`, ...units);
  if (end.kind !== "exited" || end.code !== 0) return {};
  return Object.fromEntries(
    end.stdout.split("\n").map((line) => {
      const [name = "", ...value] = line.split("=");
      return [name, value.join("=")];
    }),
  );
}

async function failedUnits(): Promise<readonly string[]> {
  const end = await systemctl("list-units", "--state=failed", "--plain", "--no-legend", "--no-pager");
  return end.kind === "exited" ? firstWords(end.stdout) : [];
}

/** `; jobs: a.service, b.service`: what the start waits for. */
async function jobs(): Promise<string> {
  const end = await systemctl("list-jobs", "--no-legend", "--no-pager");
  const waiting = end.kind === "exited"
    ? end.stdout.split("\n").flatMap((line) => line.trim().split(/\s+/)[1] ?? [])
    : [];
  return waiting.length === 0 ? "" : `; it waits for ${enumerate(waiting)} (systemctl list-jobs)`;
}

function firstWords(text: string): string[] {
  return text.split("\n").flatMap((line) => line.trim().split(/\s+/)[0] || []);
}

function words(text: string | undefined): string[] {
  return (text ?? "").split(" ").filter((word) => word !== "");
}

function fault(end: ChildEnd): string {
  if (end.kind !== "exited") return "";
  const said = plainLine(end.stderr.trim(), 120);
  return said === "" ? "" : `: ${said}`;
}
