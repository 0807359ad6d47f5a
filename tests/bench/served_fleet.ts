/**
 * What a server costs while nothing changes, and how soon its page is seen: the built file, idle, and with thousands of hosts
 * that wait for a slot by `Prefer: wait`, on etcd, which counts the calls.
 */

import { Browser } from "../serve/browser.ts";
import { type EtcdServer, startEtcd } from "../support/etcd.ts";
import { until } from "../support/daemon_process.ts";
import { startServing } from "../support/serve_process.ts";
import { atMost, grid, median, must, type Section } from "./page.ts";
import { Pollers } from "./pollers.ts";

const WAITING = 5_000;
const WATCHED_SECONDS = 20;
/**
 * Until a server is at rest, in milliseconds: what the arrival of thousands left behind the runtime sweeps up once it has
 * had nothing to do for a while.
 */
const REST_MS = 40_000;
const LIMIT_MS = 90_000;
const PAINTS = 5;
const MIB = 1024 * 1024;

/** Measures a server, idle and with {@linkcode WAITING} hosts. */
export async function servedFleet(progress: (text: string) => void): Promise<Section> {
  await using etcd = await startEtcd();
  await using pollers = await Pollers.make();
  await using server = await startServing(["--endpoint", etcd.endpoint]);
  progress("an idle server");
  const idle = await atRest(server.pid, etcd);
  progress(`${WAITING} hosts come`);
  await pollers.poll(server.url, { group: "web", prefix: "holder-", connections: 1, requests: 1 });
  const hosts = { group: "web", connections: WAITING, header: "prefer: wait=1500", seconds: 1500 };
  const came = performance.now();
  await using _waiting = pollers.hold(server.url, hosts);
  await until(
    () => gauge(server.url, "locksmith_group_queue_length"),
    (length) => length === WAITING,
    LIMIT_MS,
  );
  const cameSeconds = (performance.now() - came) / 1000;
  progress("they wait");
  const waiting = await atRest(server.pid, etcd);
  progress("the page");
  const page = await paint(server.url);
  const row = (name: string, { mib, percent, calls }: Rest) => [
    name,
    `${mib.toFixed(0)} MiB`,
    `${percent.toFixed(2)} %`,
    Object.entries(calls).map(([call, count]) => `${count} ${call}`).join(", ") || "none",
  ];
  const callsOf = ({ calls }: Rest) => Object.values(calls).reduce((sum, count) => sum + count, 0);
  return {
    text:
      `A server on etcd without hosts, and with ${WAITING} that wait for the same slot, each over a connection of its own;
over ${WATCHED_SECONDS} s in which nothing changes, ${
        REST_MS / 1000
      } s after they came. All ${WAITING} were in line after ${cameSeconds.toFixed(1)} s.

${
        grid(["server", "resident", "processor", "calls to etcd"], [
          row("idle", idle),
          row(`${WAITING} wait`, waiting),
        ])
      }
Its page in Chromium on the same machine, with that line: first paint after ${
        page.paintMs.toFixed(0)
      } ms, the median of
${PAINTS}; ${(page.bytes / 1024).toFixed(1)} KiB in all.
`,
    figures: [
      atMost("idle server, resident", idle.mib, 70, 1, " MiB"),
      atMost(`server with ${WAITING} waiting hosts, resident`, waiting.mib, 200, 1, " MiB"),
      atMost(`server with ${WAITING} waiting hosts, processor`, waiting.percent, 5, 2, " %"),
      // two leases are kept alive, and the mirror looks whether the store is there
      atMost(`calls to etcd over ${WATCHED_SECONDS} s for ${WAITING} waiting hosts`, callsOf(waiting), 20, 0),
      must("a host that waits costs etcd no call", callsOf(waiting) - callsOf(idle) < WATCHED_SECONDS / 2),
      atMost("first paint of the page", page.paintMs, 300, 0, " ms"),
      atMost("the page, with all that it loads", page.bytes / 1024, 60, 1, " KiB"),
    ],
  };
}

/** A server while nothing changes. */
interface Rest {
  readonly mib: number;
  readonly percent: number;
  /** To etcd, by method. */
  readonly calls: Readonly<Record<string, number>>;
}

async function atRest(pid: number, etcd: EtcdServer): Promise<Rest> {
  await pause(REST_MS);
  const [before, callsBefore] = [await cpuSeconds(pid), await etcd.requests()];
  await pause(WATCHED_SECONDS * 1000);
  const [after, callsAfter] = [await cpuSeconds(pid), await etcd.requests()];
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const calls = Object.entries(callsAfter).map(([call, count]) => [call, count - (callsBefore[call] ?? 0)]);
  return {
    mib: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024 / MIB,
    percent: (after - before) / WATCHED_SECONDS * 100,
    calls: Object.fromEntries(calls.filter(([, count]) => count !== 0)),
  };
}

/** First paint, and what was loaded for it. */
async function paint(url: string): Promise<{ readonly paintMs: number; readonly bytes: number }> {
  await using browser = await Browser.open();
  const paints: number[] = [];
  let bytes = 0;
  for (let turn = 0; turn < PAINTS; turn++) {
    const page = await browser.page();
    await page.open(`${url}/?group=web`);
    paints.push(
      await page.value<number>(`new Promise((resolve) => new PerformanceObserver((list) => {
        resolve(list.getEntries()[0].startTime);
      }).observe({ type: "paint", buffered: true }))`),
    );
    bytes = Math.max(bytes, page.bytes);
    await page.close();
  }
  return { paintMs: median(paints), bytes };
}

/** A figure that the server tells of its only group. */
async function gauge(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)`, "m").exec(text)?.[1] ?? NaN);
}

/** utime and stime of proc(5), in seconds. */
async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await Deno.readTextFile(`/proc/${pid}/stat`)).replace(/^.*\) /, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
