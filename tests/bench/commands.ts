/** The commands of the built file: time and memory beside etcdctl, and their calls to etcd. */

import { atMost, type Figure, grid, median, must, type Section } from "./page.ts";
import { makeCertificates } from "../support/certificates.ts";
import { type EtcdServer, startEtcd } from "../support/etcd.ts";
import { CACHE_DIR } from "../support/executable.ts";

const RUNS = 21;

/** Runs a command, and prints its wall and processor time in milliseconds and its peak memory in KiB. */
const MEASURE = `
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
took = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(took * 1000, (used.ru_utime + used.ru_stime) * 1000, used.ru_maxrss, code)
`;

/** What a run took. */
export interface Sample {
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly peakMiB: number;
}

/** Runs one to its end. Throws where it does not exit 0. */
export async function measure(words: readonly string[]): Promise<Sample> {
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
