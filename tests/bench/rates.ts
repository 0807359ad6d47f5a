/**
 * Calls to etcd a second, by the program's own way to it, in the clear and over TLS: one connection, and a number of callers
 * each of which reads one key again as soon as it has its answer. etcd and the callers share the machine.
 */

import { openEtcd } from "../../lib/etcd/store.ts";
import type { Store } from "../../lib/store.ts";
import { type Certificates, makeCertificates } from "../support/certificates.ts";
import { startEtcd } from "../support/etcd.ts";
import { atLeast, grid, median, type Section } from "./page.ts";

/** How many call at once. */
const CALLERS = [1, 8, 50];
/** What each number of them has to reach in the clear, in calls a second. */
const RATES_MIN: Readonly<Record<number, number>> = { 1: 2_500, 50: 8_000 };
/** How often each is measured, in turns; the median counts. */
const RUNS = 5;
const RUN_MS = 1_000;
const WARM_UP_MS = 500;
const KEY = "bench";
const CALL = { timeoutMs: 5_000 };

/** Measures both ways. */
export async function callRates(): Promise<Section> {
  await using certificates = await makeCertificates();
  const [clear, secure] = [await waysRates(undefined), await waysRates(certificates)];
  const row = (name: string, rates: readonly number[]) => [name, ...rates.map((rate) => rate.toFixed(0))];
  return {
    text: `Reads of one key per second, by one process over one connection; medians of ${RUNS}.

${
      grid(["", ...CALLERS.map((callers) => `${callers} at once`)], [
        row("without TLS", clear),
        row("over TLS", secure),
      ])
    }`,
    figures: CALLERS.flatMap((callers, index) => {
      const bound = RATES_MIN[callers];
      if (bound === undefined) return [];
      return [atLeast(`calls per second, ${callers} at once, without TLS`, clear[index] ?? NaN, bound, 0)];
    }),
  };
}

/** Calls a second for each number of callers. */
async function waysRates(tls: Certificates | undefined): Promise<number[]> {
  await using etcd = await startEtcd(tls === undefined ? {} : { tls });
  await etcd.ctl("put", KEY, "1");
  const { ca, client } = tls ?? {};
  const files = ca && client ? { ca: ca.bytes, cert: client.cert.bytes, key: client.key.bytes } : {};
  const store = openEtcd({ endpoints: [etcd.endpoint], ...files });
  try {
    await callsPerSecond(store, Math.max(...CALLERS), WARM_UP_MS);
    const runs: number[][] = [];
    for (let run = 0; run < RUNS; run++) {
      const rates: number[] = [];
      for (const callers of CALLERS) rates.push(await callsPerSecond(store, callers, RUN_MS));
      runs.push(rates);
    }
    return CALLERS.map((_, index) => median(runs.map((rates) => rates[index] ?? NaN)));
  } finally {
    await store.close();
  }
}

async function callsPerSecond(store: Store, callers: number, forMs: number): Promise<number> {
  const [startMs, calls] = [performance.now(), { count: 0 }];
  const caller = async () => {
    for (; performance.now() - startMs < forMs; calls.count++) {
      if (await store.read(KEY, CALL) === null) throw new Error(`there is no ${KEY} in etcd`);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return calls.count / (performance.now() - startMs) * 1000;
}
