/**
 * `deno task bench`: measures the built file beside etcdctl in one run, and writes docs/benchmarks.md.
 *
 * Ratios within one run are what to look at: the machine, and what else it does, changes the rest. Each figure stands
 * beside its bound; one that misses it makes the run exit 1.
 */

import { startEtcd } from "./etcd.ts";
import { startBus } from "./bus.ts";
import { CACHE_DIR, locksmith } from "./executable.ts";

const RUNS = 21;
const IDLE_SECONDS = 30;
const PAGE = new URL("../docs/benchmarks.md", import.meta.url);

/** Runs a command, and prints its wall time in milliseconds and its peak memory in KiB. */
const MEASURE = `
import os, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
took = time.perf_counter() - start
print(took * 1000, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, code)
`;

interface Sample {
  readonly ms: number;
  readonly peakMiB: number;
}

interface Figure {
  readonly what: string;
  readonly value: string;
  readonly bound: string;
  readonly holds: boolean;
}

async function measure(words: readonly string[]): Promise<Sample> {
  const { stdout } = await new Deno.Command("/usr/bin/python3", {
    args: ["-c", MEASURE, ...words],
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", LOCKSMITH_CACHE_DIR: CACHE_DIR, ETCDCTL_API: "3", USER: "bench" },
    stdin: "null",
  }).output();
  const [ms = NaN, kib = NaN, code = NaN] = new TextDecoder().decode(stdout).trim().split(" ").map(Number);
  if (code !== 0) throw new Error(`'${words.join(" ")}' exited with ${code}`);
  return { ms, peakMiB: kib / 1024 };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

interface Row {
  readonly name: string;
  readonly ms: number;
  readonly peakMiB: number;
  readonly ratio: number;
}

/** The commands in turns, each beside an etcdctl of its own, so that what disturbs one disturbs the other. */
async function commands(path: string, endpoint: string): Promise<Row[]> {
  const etcdctl = ["etcdctl", "--endpoints", endpoint];
  const own = ["--endpoint", endpoint];
  const pairs: { name: string; words: string[][]; beside: string[][] }[] = [
    { name: "version", words: [[path, "version"]], beside: [[...etcdctl, "get", "nothing"]] },
    { name: "status", words: [[path, "status", ...own]], beside: [[...etcdctl, "get", "nothing"]] },
    {
      name: "lock, unlock",
      words: [[path, "lock", "A", ...own], [path, "unlock", "A", ...own]],
      beside: [[...etcdctl, "put", "bench", "1"], [...etcdctl, "del", "bench"]],
    },
  ];
  const total = async (commands: readonly string[][]) => {
    const samples: Sample[] = [];
    for (const words of commands) samples.push(await measure(words));
    return {
      ms: samples.reduce((sum, { ms }) => sum + ms, 0),
      peakMiB: Math.max(...samples.map(({ peakMiB }) => peakMiB)),
    };
  };
  const rows: Row[] = [];
  for (const { name, words, beside } of pairs) {
    await total(words);
    const [ours, theirs]: [Sample[], Sample[]] = [[], []];
    for (let run = 0; run < RUNS; run++) {
      ours.push(await total(words));
      theirs.push(await total(beside));
    }
    const [ms, besideMs] = [median(ours.map(({ ms }) => ms)), median(theirs.map(({ ms }) => ms))];
    rows.push({ name, ms, peakMiB: median(ours.map(({ peakMiB }) => peakMiB)), ratio: ms / besideMs });
    const what = beside.map((words) => words.slice(0, 1).concat(words[3] ?? "").join(" ")).join(", ");
    rows.push({ name: what, ms: besideMs, peakMiB: median(theirs.map(({ peakMiB }) => peakMiB)), ratio: 1 });
  }
  return rows;
}

/** Calls that each command makes to etcd, from etcd's own count. */
async function requests(path: string): Promise<[string, string][]> {
  await using etcd = await startEtcd();
  const rows: [string, string][] = [];
  for (const words of [["status"], ["groups"], ["lock", "A"], ["unlock", "A"], ["set-max", "2"]]) {
    const before = await etcd.requests();
    await measure([path, ...words, "--endpoint", etcd.endpoint]);
    const after = await etcd.requests();
    const calls = Object.keys(after).map((name) => [name, (after[name] ?? 0) - (before[name] ?? 0)] as const);
    rows.push([
      words.join(" "),
      calls.filter(([, n]) => n > 0).map(([name, n]) => `${n} ${name}`).join(", "),
    ]);
  }
  return rows;
}

/** Memory and processor time of a daemon that waits: it needs a reboot, all slots are held, one watch is open. */
async function idle(path: string): Promise<{ rssMiB: number; cpuPercent: number; requests: number }> {
  await using etcd = await startEtcd();
  await using bus = await startBus();
  const root = await Deno.makeTempDir();
  try {
    for (const dir of ["etc", "run", "proc/sys/kernel/random"]) {
      await Deno.mkdir(`${root}/${dir}`, { recursive: true });
    }
    await Deno.writeTextFile(`${root}/etc/machine-id`, "69d27b356a94476da859461d3a3bc6fd\n");
    await Deno.writeTextFile(`${root}/proc/sys/kernel/random/boot_id`, `${crypto.randomUUID()}\n`);
    await Deno.writeTextFile(`${root}/run/reboot-required`, "");
    await measure([path, "lock", "A", "--endpoint", etcd.endpoint]);
    const child = new Deno.Command(path, {
      args: ["daemon", "--endpoint", etcd.endpoint, "--root", root, "--reboot-command", "false"],
      clearEnv: true,
      env: { PATH: "/usr/bin:/bin", LOCKSMITH_CACHE_DIR: CACHE_DIR, DBUS_SYSTEM_BUS_ADDRESS: bus.address },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    try {
      const log = child.stderr.pipeThrough(new TextDecoderStream());
      for await (const text of log.values({ preventCancel: true })) {
        if (text.includes("waiting for a slot")) break;
      }
      await new Promise((resolve) => setTimeout(resolve, 5_000));
      const [before, callsBefore] = [await cpuSeconds(child.pid), await countRequests(etcd)];
      await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1_000));
      const [after, callsAfter] = [await cpuSeconds(child.pid), await countRequests(etcd)];
      return {
        rssMiB: await residentMiB(child.pid),
        cpuPercent: (after - before) / IDLE_SECONDS * 100,
        requests: callsAfter - callsBefore,
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

async function countRequests(etcd: { requests(): Promise<Record<string, number>> }): Promise<number> {
  return Object.values(await etcd.requests()).reduce((sum, count) => sum + count, 0);
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

function grid(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |\n`;
  return line(head) + line(head.map(() => "---")) + rows.map(line).join("");
}

function page(
  rows: readonly Row[],
  calls: readonly [string, string][],
  figures: readonly Figure[],
  sizeMiB: number,
): string {
  return `# Benchmarks

Made by \`deno task bench\` on ${Deno.build.arch} ${Deno.build.os}, ${navigator.hardwareConcurrency} cores, Deno ${Deno.version.deno}. Wall
time and memory of whole processes of the built file (${
    sizeMiB.toFixed(1)
  } MiB), medians of ${RUNS}, each beside an etcdctl of its own
in the same run: trust the ratios.

${
    grid(
      ["command", "wall", "peak memory", "ratio to etcdctl"],
      rows.map((
        { name, ms, peakMiB, ratio },
      ) => [name, `${ms.toFixed(1)} ms`, `${peakMiB.toFixed(0)} MiB`, ratio.toFixed(2)]),
    )
  }
Calls to etcd, from etcd's own count:

${grid(["command", "calls"], calls)}
Figures and their bounds:

${
    grid(
      ["figure", "measured", "bound", ""],
      figures.map(({ what, value, bound, holds }) => [what, value, bound, holds ? "holds" : "MISSED"]),
    )
  }`;
}

async function main(): Promise<number> {
  const path = await locksmith();
  await using etcd = await startEtcd();
  const rows = await commands(path, etcd.endpoint);
  const calls = await requests(path);
  const { rssMiB, cpuPercent, requests: polls } = await idle(path);
  const ratio = (name: string) => rows.find((row) => row.name === name)?.ratio ?? NaN;
  const atMost = (what: string, value: number, bound: number, digits: number, unit = "") => ({
    what,
    value: `${value.toFixed(digits)}${unit}`,
    bound: `<= ${bound}${unit}`,
    holds: value <= bound,
  });
  const figures: Figure[] = [
    atMost("status beside etcdctl get, wall", ratio("status"), 5, 2, " x"),
    atMost("version beside etcdctl get, wall", ratio("version"), 2.5, 2, " x"),
    atMost("waiting daemon with one watch, resident", rssMiB, 55, 1, " MiB"),
    atMost(`waiting daemon over ${IDLE_SECONDS} s, processor`, cpuPercent, 0.2, 2, " %"),
    atMost(`waiting daemon over ${IDLE_SECONDS} s, calls to etcd`, polls, 1, 0),
  ];
  const text = page(rows, calls, figures, (await Deno.stat(path)).size / 2 ** 20);
  await Deno.writeTextFile(PAGE, text);
  console.log(text);
  return figures.every(({ holds }) => holds) ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
