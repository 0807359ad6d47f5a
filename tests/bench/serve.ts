/**
 * `locksmith serve`, the built file, on etcd and on the embedded store: what it refuses, grants and hands over, beside a bare
 * handler and beside the logic of airlock in the same run. Server, store and hosts share the machine's cores.
 */

import { Agent, request as httpRequest } from "node:http";
import { type Certificates, makeCertificates } from "../support/certificates.ts";
import { startEtcd } from "../support/etcd.ts";
import { CACHE_DIR, locksmith } from "../support/executable.ts";
import { startServing } from "../support/serve_process.ts";
import { atLeast, atMost, type Figure, grid, must, quantile, type Section } from "./page.ts";
import { type Polled, Pollers } from "./pollers.ts";
import { startYardstick } from "./yardsticks.ts";

const CLIENTS = 1_000;
const SECONDS = 3;
const WARM_UP_SECONDS = 1;
/** All clients have asked once by then: their places are written. */
const FIRST_SECONDS = 60;
const RATES_MIN = { clear: 20_000, TLS: 15_000 };
/** Of what a bare handler does on the same machine. */
const SHARES_MIN = { clear: 0.5, TLS: 0.4 };
const RACERS = 200;
const RACE_SLOTS = 100;
/** How many take a slot and give it back, each as fast as it can. */
const PAIRING = 16;
const PAIRS_MIN = 500;
const HAND_OVERS = 200;
/** Writes that are synced to learn how fast the disk is. */
const SYNCS = 200;
const AIRLOCK =
  " airlock's logic (read, put if nobody else did, else 500) has the same hosts and the same etcd.";
/** Until a host that asked is in line, in milliseconds. */
const IN_LINE_MS = 20;
const PAIRS = {
  group: "pairs",
  connections: PAIRING,
  paths: "/v1/pre-reboot,/v1/steady-state",
  seconds: SECONDS,
  warmup: WARM_UP_SECONDS,
};

/** A place for slots. */
interface Place {
  readonly name: string;
  readonly endpoint: string;
  /** The same for airlock's logic, which knows etcd alone. */
  readonly etcd?: string;
}

/** Measures a server on the embedded store. Its commits are held against what this machine's disk can make durable. */
export async function servingSqlite(progress: (text: string) => void): Promise<Section> {
  const folder = await Deno.makeTempDir({ prefix: "locksmith-bench-" });
  try {
    const { text, figures } = await serving(
      { name: "SQLite", endpoint: `sqlite:${folder}/locks.db` },
      progress,
    );
    const syncs = syncsPerSecond(`${folder}/synced`);
    return {
      text: `${text}
Every change is durable when it is answered; those that are asked for in the same moment share one sync. This disk syncs
${syncs.toFixed(0)} small writes per second.
`,
      figures,
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** How many small writes a second the disk below a file makes durable, one after the other. */
function syncsPerSecond(path: string): number {
  using file = Deno.openSync(path, { write: true, create: true });
  const page = new Uint8Array(4096);
  const started = performance.now();
  for (let write = 0; write < SYNCS; write++) {
    file.writeSync(page);
    file.syncDataSync();
  }
  return SYNCS / (performance.now() - started) * 1000;
}

/** Measures a server on etcd. */
export async function servingEtcd(progress: (text: string) => void): Promise<Section> {
  await using etcd = await startEtcd();
  return await serving({ name: "etcd", endpoint: etcd.endpoint, etcd: etcd.endpoint }, progress);
}

async function serving(place: Place, progress: (text: string) => void): Promise<Section> {
  await using certificates = await makeCertificates();
  await using pollers = await Pollers.make();
  progress("refusals");
  const refused = await refusals(place, certificates, pollers);
  progress("slots");
  return section({ ...place, refused, granted: await grants(place, pollers) });
}

/** One way of asking, at full speed and paced. */
interface Refused {
  readonly way: keyof typeof RATES_MIN;
  readonly bare: Polled;
  readonly full: Polled;
  readonly paced: Polled;
}

/** {@linkcode CLIENTS} hosts ask again and again for a slot of a full group. */
async function refusals(
  { endpoint }: Place,
  { server: { cert, key }, ca }: Certificates,
  pollers: Pollers,
): Promise<Refused[]> {
  const measured: Refused[] = [];
  for (const way of ["clear", "TLS"] as const) {
    const secure = way === "TLS";
    // the authority signs a certificate for each host
    const signing = secure ? { ca: ca.path, "ca-key": ca.path.replace(/\.pem$/, "-key.pem") } : {};
    const options = { connections: CLIENTS, group: "full", ...signing };
    const run = { ...options, seconds: SECONDS, warmup: WARM_UP_SECONDS };
    const yardstick = await startYardstick("bare", ...secure ? [cert.path, key.path, ca.path] : []);
    let bare: Polled;
    try {
      bare = await pollers.poll(yardstick.url, run);
    } finally {
      await yardstick[Symbol.asyncDispose]();
    }
    await cli("lock", "holder", "--group", "full", "--endpoint", endpoint);
    const tls = ["--tls-cert", cert.path, "--tls-key", key.path, "--client-ca", ca.path];
    await using server = await startServing(["--endpoint", endpoint, ...secure ? tls : []]);
    await pollers.poll(server.url, { ...options, requests: 1, seconds: FIRST_SECONDS });
    const full = await pollers.poll(server.url, run);
    // a queue of a thousand would be measured at full speed, and not the server
    const rate = Math.round(full.answered / full.seconds / 2);
    measured.push({ way, bare, full, paced: await pollers.poll(server.url, { ...run, rate }) });
    await cli("unlock", "holder", "--group", "full", "--endpoint", endpoint);
  }
  return measured;
}

/** What came of races, of pairs, and of hand-overs. */
interface Granted {
  readonly race: Polled;
  readonly pairs: Polled;
  readonly airlockRace: Polled | undefined;
  readonly airlockPairs: Polled | undefined;
  /** From the sending of a release to the next grant, in milliseconds. */
  readonly handOversMs: readonly number[];
}

async function grants({ endpoint, etcd }: Place, pollers: Pollers): Promise<Granted> {
  const race = { group: "race", connections: RACERS, requests: 1, seconds: FIRST_SECONDS };
  await cli("set-max", String(RACE_SLOTS), "--group", "race", "--endpoint", endpoint);
  const pairs = await takeAndGiveBack(endpoint, pollers);
  await using server = await startServing(["--endpoint", endpoint]);
  const ours = {
    race: await pollers.poll(server.url, race),
    pairs,
    handOversMs: await handOvers(server.url),
  };
  if (etcd === undefined) return { ...ours, airlockRace: undefined, airlockPairs: undefined };
  const airlock = async (slots: number, options: Record<string, string | number>) => {
    await using server = await startYardstick("airlock", etcd, String(slots));
    return await pollers.poll(server.url, { ...options, group: "default" });
  };
  const airlockRace = await airlock(RACE_SLOTS, race);
  return { ...ours, airlockRace, airlockPairs: await airlock(RACE_SLOTS + PAIRING, PAIRS) };
}

/** {@linkcode PAIRING} hosts, each of which takes a slot and gives it back, again and again. */
async function takeAndGiveBack(endpoint: string, pollers: Pollers): Promise<Polled> {
  await cli("set-max", String(PAIRING), "--group", PAIRS.group, "--endpoint", endpoint);
  await using server = await startServing(["--endpoint", endpoint]);
  return await pollers.poll(server.url, PAIRS);
}

/** Two hosts hand one slot to each other, and wait for it by `Prefer: wait`. */
async function handOvers(url: string): Promise<number[]> {
  const agent = new Agent({ keepAlive: true });
  const ask = (api: string, id: string, headers = {}): Promise<number> =>
    new Promise((resolve, reject) => {
      const request = httpRequest(`${url}/v1/${api}`, {
        agent,
        method: "POST",
        headers: { "fleet-lock-protocol": "true", ...headers },
      }, (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode ?? 0));
      });
      request.on("error", reject);
      request.end(JSON.stringify({ client_params: { id, group: "handover" } }));
    });
  const tookMs: number[] = [];
  let [holder, waiter] = ["host-a", "host-b"];
  await ask("pre-reboot", holder);
  for (let turn = 0; turn < HAND_OVERS; turn++) {
    const granted = ask("pre-reboot", waiter, { prefer: "wait=60" });
    await new Promise((resolve) => setTimeout(resolve, IN_LINE_MS));
    const sentMs = performance.now();
    const released = ask("steady-state", holder);
    const code = await granted;
    tookMs.push(performance.now() - sentMs);
    if (code !== 200 || await released !== 200) throw new Error(`hand-over ${turn}: ${code}`);
    [holder, waiter] = [waiter, holder];
  }
  agent.destroy();
  return tookMs;
}

async function cli(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(await locksmith(), {
    args,
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", USER: "bench", LOCKSMITH_CACHE_DIR: CACHE_DIR },
    stdin: "null",
  }).output();
  if (!success) throw new Error(`locksmith ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

function perSecond({ answered, seconds }: Polled): number {
  return answered / seconds;
}

function codesOf({ codes }: Polled): string {
  return Object.entries(codes).map(([code, count]) => `${count} x ${code}`).join(", ");
}

interface Measured extends Place {
  readonly refused: readonly Refused[];
  readonly granted: Granted;
}

function section({ name, refused, granted }: Measured): Section {
  const figures: Figure[] = [];
  const refusalRows: string[][] = [];
  const grantRows: string[][] = [];
  for (const { way, bare, full, paced } of refused) {
    const label = `${way === "clear" ? "without TLS" : "TLS, client certificates"}, ${name}`;
    const ratio = perSecond(full) / perSecond(bare);
    figures.push(
      atLeast(`refusals per second, ${label}`, perSecond(full), RATES_MIN[way], 0),
      atLeast(`refusals relative to a bare handler, ${label}`, ratio, SHARES_MIN[way], 2, " x"),
      atMost(`refusals at half of that rate, ${label}, p99`, paced.p99Ms, 20, 1, " ms"),
      must(`every answer is a refusal, ${label}`, Object.keys(full.codes).join() === "409"),
    );
    refusalRows.push([
      label,
      perSecond(full).toFixed(0),
      perSecond(bare).toFixed(0),
      ratio.toFixed(2),
      perSecond(paced).toFixed(0),
      `${paced.p50Ms.toFixed(1)}, ${paced.p99Ms.toFixed(1)}`,
    ]);
  }
  const { race, pairs, airlockRace, airlockPairs, handOversMs } = granted;
  const ms = (share: number) => quantile(handOversMs, share);
  const pairsPerSecond = perSecond(pairs) / 2;
  figures.push(
    must(
      `${RACERS} at once on ${RACE_SLOTS} slots: as many granted, the others refused, ${name}`,
      race.codes["200"] === RACE_SLOTS && race.codes["409"] === RACERS - RACE_SLOTS,
    ),
    ...(name === "SQLite"
      ? [atLeast(`slots taken and given back per second, ${name}`, pairsPerSecond, PAIRS_MIN, 0)]
      : []),
    must(`each of them was granted and released, ${name}`, Object.keys(pairs.codes).join() === "200"),
    atMost(`hand-over to a host that waits by Prefer, ${name}, p50`, ms(0.5), 5, 1, " ms"),
  );
  grantRows.push([
    name,
    codesOf(race),
    pairsPerSecond.toFixed(0),
    [0.5, 0.99].map((share) => ms(share).toFixed(1)).join(", "),
  ]);
  if (airlockRace !== undefined && airlockPairs !== undefined) {
    const { "200": done = 0 } = airlockPairs.codes;
    const rate = done / 2 / airlockPairs.seconds;
    grantRows.push([
      `airlock's logic on ${name}`,
      codesOf(airlockRace),
      `${rate.toFixed(0)} (${codesOf(airlockPairs)})`,
      "has none",
    ]);
  }
  return {
    text:
      `Hosts ask over kept connections, one request at a time on each, as fast as they are answered; one process in C asks
for all of them. It, the server and the store share ${navigator.hardwareConcurrency} cores. ${CLIENTS} hosts poll a full group; over TLS each
has a certificate of its own. The bare handler is \`node:http\` or \`node:https\` of this runtime with the same words to say.
At full speed, ${CLIENTS} requests are under way at every moment; so latency is that at half of the rate, from the moment
when a request was due.

${
        grid([
          "refusals",
          "per second",
          "bare handler",
          "ratio",
          "at a rate of",
          "p50, p99 in ms",
        ], refusalRows)
      }
${RACERS} hosts ask at the same moment for ${RACE_SLOTS} slots; ${PAIRING} take a slot and give it back, again and again, and every
change is durable; two hand one slot to each other and wait by \`Prefer: wait\`, from the sending of the release to the answer
to the grant.${airlockRace === undefined ? "" : AIRLOCK}

${grid(["slots", "the race", "taken and given back per second", "hand-over p50, p99 in ms"], grantRows)}`,
    figures,
  };
}
