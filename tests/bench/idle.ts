/** Daemons of the built file that have nothing to do: one that needs no reboot, one that waits, one that asks all sources. */

import { measure } from "./commands.ts";
import { atMost, grid, type Section } from "./page.ts";
import { SOURCES } from "../../lib/need/sources.ts";
import { startBus, type TestBus } from "../support/bus.ts";
import { startEtcd } from "../support/etcd.ts";
import { CACHE_DIR } from "../support/executable.ts";

const IDLE_SECONDS = 30;
/** How long a daemon may settle before it counts as idle. */
const SETTLE_MS = 5_000;
/** A place in line is kept alive three times in 30 s, and 30 s may begin a moment before such a sign. */
const SIGNS_MAX = 4;

/** The most that an idle daemon may hold of memory, in MiB; one that asks every source, too. */
const IDLE_MIB_MAX = 52;
const ALL_MIB_MAX = 58;
/** The most that it may take of a processor, in percent. */
const IDLE_CPU_MAX = 0.2;

/** Every source that there is, with a file and a program of the host's own. Most of the systems are not here. */
const ALL_SOURCES = [...SOURCES.map(({ name }) => name), "file:/run/own-need", "command:false"];

/** Their memory, processor time and calls to etcd. They idle side by side. */
export async function idleDaemons(path: string): Promise<Section> {
  await using bus = await startBus();
  const [resting, waiting, asking] = await Promise.all([
    idle(path, bus, false),
    idle(path, bus, true),
    idle(path, bus, false, ["--need", ALL_SOURCES.join(",")]),
  ]);
  const row = (name: string, { rssMiB, cpuPercent, calls }: Idle) => [
    name,
    `${rssMiB.toFixed(1)} MiB`,
    `${cpuPercent.toFixed(2)} %`,
    calls.length === 0 ? "none" : calls.map(([method, count]) => `${count} ${method}`).join(", "),
  ];
  const count = ({ calls }: Idle) => calls.reduce((sum, [, count]) => sum + count, 0);
  const cpu = (name: string, { cpuPercent }: Idle) =>
    atMost(`${name} over ${IDLE_SECONDS} s, processor`, cpuPercent, IDLE_CPU_MAX, 2, " %");
  return {
    text:
      `Daemons with nothing to do, over ${IDLE_SECONDS} s, side by side. A waiting one has a watch open and sends
three keep-alives in 30 s for its place in the queue; one that needs no reboot makes no calls to etcd. The last one asks
all ${ALL_SOURCES.length} sources of a need, whether their systems are there or not.

${
        grid(["daemon", "resident", "processor", "calls to etcd"], [
          row("needs no reboot", resting),
          row("waits, first in line", waiting),
          row("asks every source", asking),
        ])
      }`,
    figures: [
      atMost("idle daemon, no reboot needed, resident", resting.rssMiB, IDLE_MIB_MAX, 1, " MiB"),
      cpu("idle daemon, no reboot needed", resting),
      atMost(`idle daemon, no reboot needed over ${IDLE_SECONDS} s, calls to etcd`, count(resting), 0, 0),
      atMost("waiting daemon with one watch, resident", waiting.rssMiB, IDLE_MIB_MAX, 1, " MiB"),
      cpu("waiting daemon", waiting),
      atMost(
        `waiting daemon over ${IDLE_SECONDS} s, keep-alives of its place`,
        count(waiting),
        SIGNS_MAX,
        0,
      ),
      atMost("idle daemon that asks every source, resident", asking.rssMiB, ALL_MIB_MAX, 1, " MiB"),
      cpu("idle daemon that asks every source", asking),
    ],
  };
}

interface Idle {
  readonly rssMiB: number;
  readonly cpuPercent: number;
  readonly calls: readonly (readonly [string, number])[];
}

/** A daemon that waits, where a reboot is needed, for a slot that somebody else holds. */
async function idle(
  path: string,
  bus: TestBus,
  needed: boolean,
  options: readonly string[] = [],
): Promise<Idle> {
  await using etcd = await startEtcd();
  const root = await Deno.makeTempDir();
  try {
    for (const dir of ["etc", "run", "proc/sys/kernel/random"]) {
      await Deno.mkdir(`${root}/${dir}`, { recursive: true });
    }
    await Deno.writeTextFile(`${root}/etc/machine-id`, "69d27b356a94476da859461d3a3bc6fd\n");
    await Deno.writeTextFile(`${root}/proc/sys/kernel/random/boot_id`, `${crypto.randomUUID()}\n`);
    await addKernel(root);
    if (needed) await Deno.writeTextFile(`${root}/run/reboot-required`, "");
    await measure([path, "lock", "A", "--endpoint", etcd.endpoint]);
    const child = new Deno.Command(path, {
      args: ["daemon", "--endpoint", etcd.endpoint, "--root", root, "--reboot-command", "false", ...options],
      clearEnv: true,
      env: { PATH: "/usr/bin:/bin", LOCKSMITH_CACHE_DIR: CACHE_DIR, DBUS_SYSTEM_BUS_ADDRESS: bus.address },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    try {
      const log = child.stderr.pipeThrough(new TextDecoderStream());
      for await (const text of log.values({ preventCancel: true })) {
        if (!needed || text.includes("waiting for a slot")) break;
      }
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      const [before, callsBefore] = [await cpuSeconds(child.pid), await etcd.requests()];
      await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1_000));
      const [after, callsAfter] = [await cpuSeconds(child.pid), await etcd.requests()];
      return {
        rssMiB: await residentMiB(child.pid),
        cpuPercent: (after - before) / IDLE_SECONDS * 100,
        calls: Object.entries(callsAfter)
          .map(([method, count]) => [method, count - (callsBefore[method] ?? 0)] as const)
          .filter(([, count]) => count > 0),
      };
    } finally {
      child.kill("SIGTERM");
      await child.status;
      await child.stderr.cancel().catch(() => {});
    }
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** The kernel that runs and one that is older, for the source that compares them. */
async function addKernel(root: string): Promise<void> {
  await Deno.writeTextFile(`${root}/proc/sys/kernel/osrelease`, "6.1.0-2-amd64\n");
  await Deno.writeTextFile(`${root}/proc/stat`, `btime ${Math.floor(Date.now() / 1000)}\n`);
  for (const version of ["6.1.0-1-amd64", "6.1.0-2-amd64"]) {
    await Deno.mkdir(`${root}/lib/modules/${version}`, { recursive: true });
    for (const file of ["modules.dep", "vmlinuz"]) {
      await Deno.writeTextFile(`${root}/lib/modules/${version}/${file}`, "");
    }
  }
}

async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await Deno.readTextFile(`/proc/${pid}/stat`)).replace(/^.*\) /, "").split(" ");
  // utime and stime of proc(5), in ticks of 10 ms
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function residentMiB(pid: number): Promise<number> {
  const kib = /^VmRSS:\s+(\d+)/m.exec(await Deno.readTextFile(`/proc/${pid}/status`))?.[1];
  return Number(kib) / 1024;
}
