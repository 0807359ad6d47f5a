/**
 * The embedded store with many processes on one host: `lock --wait` of the built program, each a process of its own.
 *
 * A hand holds the one slot while all of them get in line. Then the slot is passed on: each holder's slot is given back here,
 * and the next one's grant is awaited. What lies between the answer to the release and the moment at which the grant can be
 * read is the hand-over. The waiting processes are also watched while nothing happens.
 */

import { Lock, newMark } from "../../lib/lock.ts";
import { openSqlite } from "../../lib/sqlite/store.ts";
import type { Store } from "../../lib/store.ts";
import { REAL } from "../../lib/surroundings.ts";
import { CACHE_DIR } from "../support/executable.ts";
import { until } from "../support/daemon_process.ts";
import { atMost, grid, must, quantile, type Section } from "./page.ts";

const PROCESSES = 50;
const GROUP = "bench";
const HAND = "hand";
const IDLE_SECONDS = 10;
const LIMIT_MS = 60_000;
/** How often it is looked whether the grant can be read, in milliseconds. */
const LOOK_MS = 0.5;

/** Measures hand-overs among {@linkcode PROCESSES} waiting processes, and what they cost while they wait. */
export async function embeddedHandOvers(path: string): Promise<Section> {
  const folder = await Deno.makeTempDir({ prefix: "locksmith-bench-" });
  const store = openSqlite(`${folder}/locks.db`);
  const waiting: Deno.ChildProcess[] = [];
  try {
    const lock = new Lock(store, GROUP, REAL, "the bench");
    await lock.acquire(HAND, { grant: newMark(), extra: {} });
    const names = Array.from(
      { length: PROCESSES },
      (_, index) => `machine-${String(index).padStart(2, "0")}`,
    );
    for (const [index, name] of names.entries()) {
      waiting.push(startWaiting(path, store, name));
      await until(() => lock.readWithQueue(), ({ queue }) => queue.length === index + 1, LIMIT_MS);
    }
    const before = await cpuSeconds(waiting);
    await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1000));
    const idlePercent = (await cpuSeconds(waiting) - before) / IDLE_SECONDS / PROCESSES * 100;

    const handoversMs: number[] = [];
    const order: string[] = [];
    let holder: string = HAND;
    for (let turn = 0; turn < PROCESSES; turn++) {
      await lock.unlock(holder);
      const released = performance.now();
      const next = await nextHolder(lock);
      handoversMs.push(performance.now() - released);
      order.push(next);
      holder = next;
    }
    const codes = await Promise.all(waiting.map(async ({ status }) => (await status).code));
    const ms = (share: number) => quantile(handoversMs, share);
    return {
      text:
        `${PROCESSES} processes of \`lock --wait\` queue for one slot of an embedded store, on this machine's disk. Milliseconds from the
answer to a release to the moment when the next grant can be read.

${
          grid(
            [
              "processes",
              "p50",
              "p90",
              "longest",
              "granted in order of arrival",
              "processor, each, while waiting",
            ],
            [[
              String(PROCESSES),
              ...[0.5, 0.9, 1].map((share) => ms(share).toFixed(1)),
              order.join() === names.join() ? "yes" : "no",
              `${idlePercent.toFixed(2)} %`,
            ]],
          )
        }`,
      figures: [
        atMost(`hand-over on the embedded store, ${PROCESSES} processes, p50`, ms(0.5), 30, 1, " ms"),
        atMost("processor of a process waiting on the embedded store", idlePercent, 0.5, 2, " %"),
        must(
          "embedded store grants in order of arrival, every process exits 0",
          order.join() === names.join() && codes.every((code) => code === 0),
        ),
      ],
    };
  } finally {
    for (const child of waiting) kill(child);
    await store.close();
    await Deno.remove(folder, { recursive: true });
  }
}

function startWaiting(path: string, store: Store, name: string): Deno.ChildProcess {
  return new Deno.Command(path, {
    args: ["lock", name, "--wait", "--group", GROUP, "--endpoint", store.name],
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", USER: "bench", LOCKSMITH_CACHE_DIR: CACHE_DIR },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
}

/** Who holds the slot, once somebody does. */
async function nextHolder(lock: Lock): Promise<string> {
  const deadline = performance.now() + LIMIT_MS;
  while (performance.now() < deadline) {
    const [holder] = (await lock.read()).holders;
    if (holder !== undefined) return holder;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw new Error(`nobody took the slot within ${LIMIT_MS} ms`);
}

/** utime and stime of proc(5) of all of them, in seconds. */
async function cpuSeconds(children: readonly Deno.ChildProcess[]): Promise<number> {
  const ticks = await Promise.all(children.map(async ({ pid }) => {
    const fields = (await Deno.readTextFile(`/proc/${pid}/stat`)).replace(/^.*\) /, "").split(" ");
    return Number(fields[11]) + Number(fields[12]);
  }));
  return ticks.reduce((sum, each) => sum + each, 0) / 100;
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // it has ended
  }
}
