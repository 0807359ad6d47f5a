/**
 * Storms on a real etcd: many machines that want the same document at the same moment. All give back their slots after a power
 * cut, all reboot at once on as many slots as there are machines, all confirm at once.
 *
 * Each machine has a connection of its own, over which it has looked before; all of them run in this one process, so that
 * their own work is in the figures too. What fails is counted, and is not repeated.
 */

import { serializeSemaphore } from "../../lib/document.ts";
import { openEtcd } from "../../lib/etcd/store.ts";
import { Lock } from "../../lib/lock.ts";
import { type Hold, REBOOTING } from "../../lib/semaphore.ts";
import { Random } from "../../lib/simulation/virtual_time.ts";
import type { Store } from "../../lib/store.ts";
import { REAL } from "../../lib/surroundings.ts";
import { type EtcdServer, startEtcd } from "../support/etcd.ts";
import { BenchMachine, GROUP, looked } from "./machine.ts";
import { oldReturn, oldRollOut } from "./old_locksmith.ts";
import { atMost, grid, median, must, type Section } from "./page.ts";

/** How many give back their slots at the same moment, and in how many seconds all are to be done. */
const RETURNS = [[100, 1], [200, 2.5], [400, 8]] as const;
/** How many reboot at once on as many slots, how long each is away, and in how many seconds all are to be done. */
const REBOOTS = [[200, 50, 1.5], [1_000, 2_000, 20]] as const;
const CONFIRMS = 50;
const REFUSED_MAX = 150;
const CONNECTIONS_MAX = 2;
/** How often each storm that is over soon is measured; the median counts, and every failure. */
const RUNS = 3;
const LONG_STORM = 1_000;
const SEED = 1;
/** How often connections are counted, in milliseconds. */
const LOOK_MS = 500;

interface Storm {
  readonly seconds: number;
  /** Machines that did not do it. */
  readonly failed: number;
  /** Swaps that others came before. */
  readonly refused: number;
  /** The most connections to etcd at any time, a machine. */
  readonly connections: number;
}

/** Lets the storms loose, each on an etcd of its own. */
export async function storms(progress: (text: string) => void): Promise<Section> {
  const returns = [];
  for (const [machines, bound] of RETURNS) {
    progress(`${machines} machines give back their slots at the same moment`);
    returns.push({ machines, bound, runs: await several(RUNS, () => returning(machines)) });
  }
  const reboots = [];
  for (const [machines, rebootMs, bound] of REBOOTS) {
    progress(`${machines} machines reboot on ${machines} slots at the same moment`);
    const runs = await several(machines < LONG_STORM ? RUNS : 1, () => rebooting(machines, rebootMs));
    reboots.push({ machines, rebootMs, bound, runs });
  }
  progress(`${CONFIRMS} machines confirm at the same moment`);
  const confirms = await several(RUNS, () => confirming(CONFIRMS));
  const seconds = (runs: readonly Storm[]) => median(runs.map((run) => run.seconds));
  const failed = (runs: readonly Storm[]) => runs.reduce((sum, run) => sum + run.failed, 0);
  const refused = (runs: readonly Storm[]) => median(runs.map((run) => run.refused));
  const all = [...returns, ...reboots];
  const row = (what: string, machines: number, runs: readonly Storm[], old: string) => [
    what,
    String(machines),
    `${seconds(runs).toFixed(2)} s (${runs.map((run) => run.seconds.toFixed(2)).join(", ")})`,
    String(failed(runs)),
    String(refused(runs)),
    old,
  ];
  return {
    text:
      `Many machines change the same document at the same moment, on a real etcd with its data in memory (/dev/shm): all of them in
one process, each with a connection of its own that it has used before. Time from that moment to the last answer, median of
${RUNS} runs, each run in brackets; machines that failed in any run; refused swaps, median. For comparison, the old
program's logic, simulated in the same run, on an etcd that always answers within 4 ms.

${
        grid(
          ["storm", "machines", "took", "failed", "refused swaps", "the old program's logic"],
          [
            ...returns.map(({ machines, runs }) => {
              const old = oldReturn(machines, new Random(SEED));
              return row("give back their slots", machines, runs, oldText(old.totalMs, old.lostSwaps));
            }),
            ...reboots.map(({ machines, rebootMs, runs }) => {
              const old = oldRollOut({ machines, max: machines, rebootMs }, new Random(SEED));
              const what = `reboot on as many slots, away for ${rebootMs} ms`;
              return row(what, machines, runs, oldText(old.totalMs, old.lostSwaps));
            }),
            row("confirm", CONFIRMS, confirms, "has no confirm"),
          ],
        )
      }`,
    figures: [
      ...returns.map(({ machines, bound, runs }) =>
        atMost(`${machines} machines give back their slots at the same moment`, seconds(runs), bound, 2, " s")
      ),
      ...reboots.map(({ machines, rebootMs, bound, runs }) =>
        atMost(
          `${machines} machines reboot on ${machines} slots, away for ${rebootMs} ms`,
          seconds(runs),
          bound,
          2,
          " s",
        )
      ),
      must("no machine failed in any of these storms", all.every(({ runs }) => failed(runs) === 0)),
      atMost(`refused swaps when ${CONFIRMS} machines confirm at once`, refused(confirms), REFUSED_MAX, 0),
      atMost(
        "connections to etcd per machine, at the height of these storms",
        Math.max(...all.flatMap(({ runs }) => runs.map((run) => run.connections))),
        CONNECTIONS_MAX,
        2,
      ),
    ],
  };
}

function oldText(totalMs: number, lostSwaps: number): string {
  return `${(totalMs / 1000).toFixed(0)} s, ${lostSwaps} lost swaps`;
}

async function several(times: number, measure: () => Promise<Storm>): Promise<Storm[]> {
  const runs: Storm[] = [];
  while (runs.length < times) runs.push(await measure());
  return runs;
}

/** All hold a slot from before a power cut, and give it back. */
export function returning(machines: number): Promise<Storm> {
  return storm(machines, { phase: REBOOTING }, (machine) => machine.giveBack());
}

/** All ask for a slot of which there is one for each, confirm, are away, and give it back. */
export function rebooting(machines: number, rebootMs: number): Promise<Storm> {
  return storm(machines, null, (machine) => machine.reboot(rebootMs, machine.ask(() => {})));
}

/** All were granted a slot, and take the last step before the reboot. */
export function confirming(machines: number): Promise<Storm> {
  return storm(machines, {}, (machine) => machine.confirm());
}

/**
 * Lets `machines` do the same thing at the same moment, in a group that has a slot for each.
 *
 * @param held what stands in the holds of all of them; `null`: they hold nothing
 */
async function storm(
  machines: number,
  held: Partial<Hold> | null,
  act: (machine: BenchMachine) => Promise<void>,
): Promise<Storm> {
  await using etcd = await startEtcd();
  const refusals = { count: 0 };
  const fleet = Array.from(
    { length: machines },
    (_, index) => new BenchMachine(() => counting(openEtcd({ endpoints: [etcd.endpoint] }), refusals), index),
  );
  try {
    await prepare(etcd, fleet, held);
    for (const { store } of fleet) await store.read(GROUP, { timeoutMs: 5_000 });
    const connections = new Connections(etcd.endpoint);
    const began = performance.now();
    const outcomes = await Promise.allSettled(fleet.map(act));
    const seconds = (performance.now() - began) / 1000;
    const failures = outcomes.flatMap((outcome) => outcome.status === "rejected" ? [outcome.reason] : []);
    for (const [index, failure] of failures.entries()) if (index < 3) console.error(String(failure));
    return {
      seconds,
      failed: failures.length,
      refused: refusals.count,
      connections: await connections.most() / machines,
    };
  } finally {
    await Promise.all(fleet.map(({ store }) => store.close()));
  }
}

/** Writes the document of the group, as whoever administers it would have. */
async function prepare(
  etcd: EtcdServer,
  fleet: readonly BenchMachine[],
  held: Partial<Hold> | null,
): Promise<void> {
  const store = openEtcd({ endpoints: [etcd.endpoint] });
  try {
    const lock = new Lock(store, GROUP, REAL, "the bench");
    const since = new Date().toISOString();
    const holds = new Map(
      held === null ? [] : fleet.map(({ id, hold }) => [id, { ...hold, since, ...held }] as const),
    );
    const document = { max: fleet.length, holders: [...holds.keys()], holds, extra: {} };
    const put = [{ key: lock.key, value: serializeSemaphore(document) }];
    await store.commit({ expect: [], put }, { timeoutMs: 5_000 });
  } finally {
    await store.close();
  }
}

/** A store whose refused swaps are counted. */
function counting(store: Store, refusals: { count: number }): Store {
  return looked(store, {
    commit: async (transaction, options) => {
      const outcome = await store.commit(transaction, options);
      if (outcome.kind === "refused") refusals.count++;
      return outcome;
    },
  });
}

/** The connections of this host to a server, looked at from now on. */
class Connections {
  readonly #port: string;
  readonly #timer: ReturnType<typeof setInterval>;
  #most = 0;

  constructor(endpoint: string) {
    this.#port = Number(new URL(endpoint).port).toString(16).toUpperCase().padStart(4, "0");
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** The most that there were at a time. */
  async most(): Promise<number> {
    clearInterval(this.#timer);
    await this.#look();
    return this.#most;
  }

  async #look(): Promise<void> {
    // of each socket: its number, its own address, the other one, and its state (proc(5)): 01 is established
    const sockets = (await Deno.readTextFile("/proc/net/tcp")).split("\n");
    const count = sockets.filter((line) => {
      const [, , other, state] = line.trim().split(/\s+/);
      return state === "01" && other?.endsWith(`:${this.#port}`);
    }).length;
    this.#most = Math.max(this.#most, count);
  }
}
