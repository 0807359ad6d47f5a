/**
 * Calls to etcd a second, by the program's own way to it, in the clear and over TLS: one connection, and a number of callers
 * each of which reads one key again as soon as it has its answer. etcd and the callers share the machine. In turns with them,
 * a client that knows HTTP/2 and nothing else asks the same: what the runtime and this machine allow.
 */

import { connect } from "node:http2";
import { bytesOf } from "../../lib/etcd/txn.ts";
import { RANGE } from "../../lib/etcd/calls.ts";
import { openEtcd } from "../../lib/etcd/store.ts";
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
  const { rates: clear, bare } = await waysRates(undefined);
  const { rates: secure } = await waysRates(certificates);
  const row = (name: string, rates: readonly number[]) => [name, ...rates.map((rate) => rate.toFixed(0))];
  return {
    text: `Reads of one key per second, by one process over one connection; medians of ${RUNS}.

${
      grid(["", ...CALLERS.map((callers) => `${callers} at once`)], [
        row("without TLS", clear),
        row("over TLS", secure),
        row("without TLS, a client that knows HTTP/2 and nothing else", bare),
        [
          "relative to it, without TLS",
          ...clear.map((rate, index) => `${(rate / (bare[index] ?? NaN)).toFixed(2)} x`),
        ],
      ])
    }`,
    figures: CALLERS.flatMap((callers, index) => {
      const bound = RATES_MIN[callers];
      if (bound === undefined) return [];
      return [atLeast(`calls per second, ${callers} at once, without TLS`, clear[index] ?? NaN, bound, 0)];
    }),
  };
}

/** Calls a second for each number of callers; without TLS also those of a bare client. */
async function waysRates(tls: Certificates | undefined): Promise<{ rates: number[]; bare: number[] }> {
  await using etcd = await startEtcd(tls === undefined ? {} : { tls });
  await etcd.ctl("put", KEY, "1");
  const { ca, client } = tls ?? {};
  const files = ca && client ? { ca: ca.bytes, cert: client.cert.bytes, key: client.key.bytes } : {};
  const store = openEtcd({ endpoints: [etcd.endpoint], ...files });
  await using bare = tls === undefined ? new BareClient(etcd.endpoint) : undefined;
  const read = async () => {
    if (await store.read(KEY, CALL) === null) throw new Error(`there is no ${KEY} in etcd`);
  };
  const ways = [read, ...bare ? [() => bare.read()] : []];
  try {
    for (const way of ways) await callsPerSecond(way, Math.max(...CALLERS), WARM_UP_MS);
    const runs: number[][][] = ways.map(() => []);
    for (let run = 0; run < RUNS; run++) {
      for (const [index, way] of ways.entries()) {
        const rates: number[] = [];
        for (const callers of CALLERS) rates.push(await callsPerSecond(way, callers, RUN_MS));
        runs[index]?.push(rates);
      }
    }
    const [rates = [], ofBare = []] = runs.map((of) =>
      CALLERS.map((_, index) => median(of.map((rates) => rates[index] ?? NaN)))
    );
    return { rates, bare: ofBare };
  } finally {
    await store.close();
  }
}

async function callsPerSecond(read: () => Promise<void>, callers: number, forMs: number): Promise<number> {
  const [startMs, calls] = [performance.now(), { count: 0 }];
  const caller = async () => {
    for (; performance.now() - startMs < forMs; calls.count++) await read();
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return calls.count / (performance.now() - startMs) * 1000;
}

/** Sends the same request over one connection of the runtime's `node:http2`, and takes any answer for one. */
class BareClient implements AsyncDisposable {
  readonly #session;
  readonly #request: Uint8Array;

  constructor(endpoint: string) {
    this.#session = connect(endpoint);
    const message = RANGE.encode({ key: bytesOf(KEY) });
    // not compressed, and of this length: a message of fewer than 256 bytes
    this.#request = Uint8Array.from([0, 0, 0, 0, message.length, ...message]);
  }

  read(): Promise<void> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        ":method": "POST",
        ":path": RANGE.path,
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", reject);
      stream.on("end", resolve);
      stream.resume();
      stream.end(this.#request);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => this.#session.close(resolve));
  }
}
