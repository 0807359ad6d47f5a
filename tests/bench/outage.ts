/**
 * What machines that wait in line do while their etcd is away, and how soon the first of them has a slot when it is back.
 *
 * Two outages, at the same time, each of an etcd of its own: one is killed and started again, and still knows who is in
 * line; one cannot be reached for so long that every place is gone. Machines reach etcd through a proxy, which counts their
 * attempts to connect. The slot that they wait for is given back while nobody can hear of it, or as soon as etcd is back.
 */

import { openEtcd } from "../../lib/etcd/store.ts";
import { Lock, newMark } from "../../lib/lock.ts";
import { REAL } from "../../lib/surroundings.ts";
import { startEtcd } from "../support/etcd.ts";
import { startProxy } from "../support/proxy.ts";
import { BenchMachine, GROUP } from "./machine.ts";
import { atMost, grid, type Section } from "./page.ts";

const MACHINES = 20;
const AWAY_MS = 45_000;
const HAND = "hand";
const ATTEMPTS_MAX = 0.5;
const FIRST_GRANT_MAX_S = 2;
const CONNECTIONS_MAX = 2;

type Kind = "killed" | "cut off";

interface Outage {
  readonly kind: Kind;
  /** Attempts to connect, a second and machine, while etcd was away. */
  readonly attempts: number;
  /** From the moment at which etcd is back to the first grant. */
  readonly firstGrantSeconds: number;
  /** Connections when all have found back, a machine. */
  readonly connections: number;
}

/** Plays the outages. */
export async function outages(): Promise<Section> {
  const all = await Promise.all([outage("killed"), outage("cut off")]);
  return {
    text: `${MACHINES} machines queue for one slot while etcd is away for ${
      AWAY_MS / 1000
    } s: killed and started again, or cut off for so
long that their places expire. Attempts to connect per second and machine, as a proxy counts them; time from etcd's return
to the first grant; connections per machine once all are back.

${
      grid(
        ["etcd was", "attempts", "first grant after", "connections"],
        all.map(({ kind, attempts, firstGrantSeconds, connections }) => [
          kind,
          attempts.toFixed(2),
          `${firstGrantSeconds.toFixed(2)} s`,
          connections.toFixed(2),
        ]),
      )
    }`,
    figures: [
      atMost(
        "attempts to connect while etcd is away, per second and machine",
        Math.max(...all.map(({ attempts }) => attempts)),
        ATTEMPTS_MAX,
        2,
      ),
      atMost(
        `first grant after an outage of ${AWAY_MS / 1000} s`,
        Math.max(...all.map(({ firstGrantSeconds }) => firstGrantSeconds)),
        FIRST_GRANT_MAX_S,
        2,
        " s",
      ),
      atMost(
        "connections per machine after an outage",
        Math.max(...all.map(({ connections }) => connections)),
        CONNECTIONS_MAX,
        2,
      ),
    ],
  };
}

async function outage(kind: Kind): Promise<Outage> {
  await using etcd = await startEtcd();
  await using proxy = startProxy(Number(new URL(etcd.endpoint).port));
  const direct = openEtcd({ endpoints: [etcd.endpoint] });
  const fleet = Array.from(
    { length: MACHINES },
    (_, index) => new BenchMachine(() => openEtcd({ endpoints: [`http://127.0.0.1:${proxy.port}`] }), index),
  );
  try {
    const lock = new Lock(direct, GROUP, REAL, "the bench");
    await lock.acquire(HAND, { grant: newMark(), extra: {} });
    const asking = fleet.map((machine) => machine.ask(() => {}));
    await Promise.all(asking.map(({ waiting }) => waiting));
    const before = proxy.cameMs.length;
    if (kind === "killed") await etcd.kill();
    else {
      proxy.cut();
      await lock.unlock(HAND);
    }
    await new Promise((resolve) => setTimeout(resolve, AWAY_MS));
    const attempts = (proxy.cameMs.length - before) / MACHINES / (AWAY_MS / 1000);
    if (kind === "killed") await etcd.start();
    else proxy.mend();
    const backMs = performance.now();
    if (kind === "killed") await lock.unlock(HAND);
    await Promise.race(asking.map(({ granted }) => granted));
    const firstGrantSeconds = (performance.now() - backMs) / 1000;
    await Promise.all(fleet.map(({ store }) => store.read(GROUP, { timeoutMs: 10_000 })));
    return { kind, attempts, firstGrantSeconds, connections: proxy.connections / MACHINES };
  } finally {
    await Promise.all([direct, ...fleet.map(({ store }) => store)].map((store) => store.close()));
  }
}
