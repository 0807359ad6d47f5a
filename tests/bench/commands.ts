/** The built file as it is used: time and memory of its commands beside etcdctl, their calls to etcd, idle daemons. */

import { atMost, type Figure, grid, median, must, type Section } from "./page.ts";
import { startBus, type TestBus } from "../support/bus.ts";
import { makeCertificates } from "../support/certificates.ts";
import { type EtcdServer, startEtcd } from "../support/etcd.ts";
import { CACHE_DIR } from "../support/executable.ts";

const RUNS = 21;
const IDLE_SECONDS = 30;
/** How long a daemon may settle before it counts as idle. */
const SETTLE_MS = 5_000;
/** A place in line is kept alive three times in 30 s, and 30 s may begin a moment before such a sign. */
const SIGNS_MAX = 4;

/** The most that an idle daemon may hold of memory, in MiB. */
const IDLE_MIB_MAX = 52;

/** Runs a command, and prints its wall and processor time in milliseconds and its peak memory in KiB. */
const MEASURE = `
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
took = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(took * 1000, (used.ru_utime + used.ru_stime) * 1000, used.ru_maxrss, code)
`;

interface Sample {
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly peakMiB: number;
}

async function measure(words: readonly string[]): Promise<Sample> {
  const { stdout } = await new Deno.Command("/usr/bin/python3", {
    args: ["-c", MEASURE, ...words],
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", LOCKSMITH_CACHE_DIR: CACHE_DIR, ETCDCTL_API: "3", USER: "bench" },
    stdin: "null",
  }).output();
  const [wallMs = NaN, cpuMs = NaN, kib = NaN, code] = new TextDecoder().decode(stdout).trim().split(" ")
    .map(Number);
  if (code !== 0) throw new Error(`'${words.join(" ")}' exited with ${code}`);
  return { wallMs, cpuMs, peakMiB: kib / 1024 };
}

/** Several commands, one after the other, as one. */
async function measureAll(commands: readonly (readonly string[])[]): Promise<Sample> {
  const samples: Sample[] = [];
  for (const words of commands) samples.push(await measure(words));
  return {
    wallMs: samples.reduce((sum, { wallMs }) => sum + wallMs, 0),
    cpuMs: samples.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    peakMiB: Math.max(...samples.map(({ peakMiB }) => peakMiB)),
  };
}

/** Commands, and those of etcdctl that ask as much of etcd. */
interface Pair {
  readonly name: string;
  readonly words: readonly (readonly string[])[];
  readonly beside: readonly (readonly string[])[];
  /** What the ratio of them may be, by wall and by processor time. */
  readonly limit?: number;
}

/** The commands in turns, each beside an etcdctl of its own, so that what disturbs one disturbs the other. */
export async function commandTimes(path: string): Promise<Section> {
  await using certificates = await makeCertificates();
  await using clear = await startEtcd();
  await using secure = await startEtcd({ tls: certificates });
  const { ca, client: { cert, key } } = certificates;
  const locksmith = (command: readonly string[]) => [path, ...command, "--endpoint", clear.endpoint];
  const etcdctl = (...command: string[]) => ["etcdctl", "--endpoints", clear.endpoint, ...command];
  const pairs: readonly Pair[] = [
    { name: "version", words: [[path, "version"]], beside: [etcdctl("get", "nothing")], limit: 1.7 },
    { name: "status", words: [locksmith(["status"])], beside: [etcdctl("get", "nothing")], limit: 4 },
    {
      name: "status over TLS",
      words: [[
        ...[path, "status", "--endpoint", secure.endpoint, "--etcd-cafile", ca.path],
        ...["--etcd-certfile", cert.path, "--etcd-keyfile", key.path],
      ]],
      beside: [[
        ...["etcdctl", "--endpoints", secure.endpoint, "--cacert", ca.path, "--cert", cert.path],
        ...["--key", key.path, "get", "nothing"],
      ]],
      limit: 5,
    },
    {
      name: "lock, unlock",
      words: [locksmith(["lock", "A"]), locksmith(["unlock", "A"])],
      beside: [etcdctl("put", "bench", "1"), etcdctl("del", "bench")],
    },
  ];
  // what they compile on their way is there when the first is measured, as on a host
  for (const { words, beside } of pairs) for (const side of [words, beside, words]) await measureAll(side);
  const rows: string[][] = [];
  const figures: Figure[] = [];
  for (const { name, words, beside, limit } of pairs) {
    const [ours, theirs]: [Sample[], Sample[]] = [[], []];
    for (let run = 0; run < RUNS; run++) {
      ours.push(await measureAll(words));
      theirs.push(await measureAll(beside));
    }
    const ratio = (of: (sample: Sample) => number) =>
      median(ours.map((sample, run) => of(sample) / of(theirs[run] as Sample)));
    const [wall, cpu] = [ratio(({ wallMs }) => wallMs), ratio(({ cpuMs }) => cpuMs)];
    const row = (name: string, samples: readonly Sample[], ratios: readonly number[]) => [
      name,
      `${median(samples.map(({ wallMs }) => wallMs)).toFixed(1)} ms`,
      `${median(samples.map(({ cpuMs }) => cpuMs)).toFixed(1)} ms`,
      `${median(samples.map(({ peakMiB }) => peakMiB)).toFixed(0)} MiB`,
      ratios.map((ratio) => ratio.toFixed(2)).join(", "),
    ];
    rows.push(row(name, ours, [wall, cpu]));
    rows.push(row(
      beside.map((words) => `etcdctl ${words.find((word) => /^(?:get|put|del)$/.test(word))}`).join(", "),
      theirs,
      [1, 1],
    ));
    if (limit !== undefined) {
      figures.push(atMost(`\`${name}\` relative to \`etcdctl get\`, wall`, wall, limit, 2, " x"));
      figures.push(atMost(`\`${name}\` relative to \`etcdctl get\`, processor`, cpu, limit, 2, " x"));
    }
  }
  const { size } = await Deno.stat(path);
  return {
    text: `Time and memory of whole processes of the executable (${
      (size / 2 ** 20).toFixed(1)
    } MiB), medians of ${RUNS}, each
compared with an etcdctl run right after it. The ratios, of wall and of processor time, are medians too.

${grid(["command", "wall", "processor", "peak memory", "ratios to etcdctl"], rows)}`,
    figures,
  };
}

/** What each command may ask of etcd when nobody else is there, in a group that there is. */
const CALLS: readonly { readonly words: string[]; readonly calls: Record<string, number> }[] = [
  { words: ["status"], calls: { "KV/Txn": 1 } },
  { words: ["status", "--verbose"], calls: { "KV/Txn": 1 } },
  { words: ["status", "--json"], calls: { "KV/Txn": 1 } },
  { words: ["groups"], calls: { "KV/Range": 1 } },
  { words: ["lock", "A"], calls: { "KV/Txn": 2 } },
  { words: ["unlock", "A"], calls: { "KV/Range": 1, "KV/Txn": 1 } },
  { words: ["lock", "A", "--wait"], calls: { "KV/Txn": 3 } },
  { words: ["set-max", "2"], calls: { "KV/Range": 1, "KV/Txn": 1 } },
];

/** Calls that each command makes to etcd, and whether it wrote, from etcd's own count. */
export async function commandCalls(path: string): Promise<Section> {
  await using etcd = await startEtcd();
  await measure([path, "set-max", "1", "--endpoint", etcd.endpoint]);
  const rows: string[][] = [];
  const figures: Figure[] = [];
  for (const { words, calls } of CALLS) {
    const [before, revision] = [await etcd.requests(), await revisionOf(etcd)];
    await measure([path, ...words, "--endpoint", etcd.endpoint]);
    const after = await etcd.requests();
    const made = Object.keys(after)
      .map((name) => [name, (after[name] ?? 0) - (before[name] ?? 0)] as const)
      .filter(([, count]) => count > 0);
    const writes = await revisionOf(etcd) - revision;
    const name = words.join(" ");
    rows.push([name, made.map(([method, count]) => `${count} ${method}`).join(", "), String(writes)]);
    const reads = words[0] === "status" || words[0] === "groups";
    figures.push(must(
      `\`${name}\` costs etcd ${
        Object.entries(calls).map(([method, count]) => `${count} ${method}`).join(" and ")
      } at most, ${reads ? "and no write" : "and one write"}`,
      made.every(([method, count]) => count <= (calls[method] ?? 0)) && writes <= (reads ? 0 : 1),
    ));
  }
  return {
    text: `Calls to etcd, and writes, as etcd counts them:\n\n${grid(["command", "calls", "writes"], rows)}`,
    figures,
  };
}

async function revisionOf(etcd: EtcdServer): Promise<number> {
  return Number(/^etcd_debugging_mvcc_current_revision (\S+)$/m.exec(await etcd.metrics())?.[1]);
}

/** Memory, processor time and calls of daemons that have nothing to do: one that needs no reboot, one that waits. */
export async function idleDaemons(path: string): Promise<Section> {
  await using bus = await startBus();
  const resting = await idle(path, bus, false);
  const waiting = await idle(path, bus, true);
  const row = (name: string, { rssMiB, cpuPercent, calls }: Idle) => [
    name,
    `${rssMiB.toFixed(1)} MiB`,
    `${cpuPercent.toFixed(2)} %`,
    calls.length === 0 ? "none" : calls.map(([method, count]) => `${count} ${method}`).join(", "),
  ];
  const count = ({ calls }: Idle) => calls.reduce((sum, [, count]) => sum + count, 0);
  return {
    text:
      `Daemons with nothing to do, over ${IDLE_SECONDS} s. A waiting one has a watch open and sends three keep-alives in
30 s for its place in the queue; one that needs no reboot makes no calls to etcd.

${
        grid(["daemon", "resident", "processor", "calls to etcd"], [
          row("needs no reboot", resting),
          row("waits, first in line", waiting),
        ])
      }`,
    figures: [
      atMost("idle daemon, no reboot needed, resident", resting.rssMiB, IDLE_MIB_MAX, 1, " MiB"),
      atMost(
        `idle daemon, no reboot needed over ${IDLE_SECONDS} s, processor`,
        resting.cpuPercent,
        0.2,
        2,
        " %",
      ),
      atMost(`idle daemon, no reboot needed over ${IDLE_SECONDS} s, calls to etcd`, count(resting), 0, 0),
      atMost("waiting daemon with one watch, resident", waiting.rssMiB, IDLE_MIB_MAX, 1, " MiB"),
      atMost(`waiting daemon over ${IDLE_SECONDS} s, processor`, waiting.cpuPercent, 0.2, 2, " %"),
      atMost(
        `waiting daemon over ${IDLE_SECONDS} s, keep-alives of its place`,
        count(waiting),
        SIGNS_MAX,
        0,
      ),
    ],
  };
}

interface Idle {
  readonly rssMiB: number;
  readonly cpuPercent: number;
  readonly calls: readonly (readonly [string, number])[];
}

/** A daemon that waits, where one is needed, for a slot that somebody else holds. */
async function idle(path: string, bus: TestBus, needed: boolean): Promise<Idle> {
  await using etcd = await startEtcd();
  const root = await Deno.makeTempDir();
  try {
    for (const dir of ["etc", "run", "proc/sys/kernel/random"]) {
      await Deno.mkdir(`${root}/${dir}`, { recursive: true });
    }
    await Deno.writeTextFile(`${root}/etc/machine-id`, "69d27b356a94476da859461d3a3bc6fd\n");
    await Deno.writeTextFile(`${root}/proc/sys/kernel/random/boot_id`, `${crypto.randomUUID()}\n`);
    if (needed) await Deno.writeTextFile(`${root}/run/reboot-required`, "");
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

async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await Deno.readTextFile(`/proc/${pid}/stat`)).replace(/^.*\) /, "").split(" ");
  // utime and stime of proc(5), in ticks of 10 ms
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function residentMiB(pid: number): Promise<number> {
  const kib = /^VmRSS:\s+(\d+)/m.exec(await Deno.readTextFile(`/proc/${pid}/status`))?.[1];
  return Number(kib) / 1024;
}
