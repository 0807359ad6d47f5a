/**
 * The hand-over of a slot on a real etcd: from a committed release to the next committed grant.
 *
 * Each machine is an agent in this process with all that a machine has of its own: its store (connections, watch stream,
 * lease), its lock and its waiter. They come one after the other to a group whose slots are held by hand, so that the
 * order of arrival is known. Then the hands let go, and each machine in turn is granted a slot, confirms, is away for its
 * reboot, and gives the slot back under a new boot id, by a lock that knows nothing, as after a boot.
 *
 * A commit counts from the moment at which its answer is here. What lies between the answer to a release and the answer
 * to the grant that it makes possible is the hand-over; from the sending of the release on it is what the way of its answer
 * could hide at most.
 */

import { Lock, newMark } from "../../lib/lock.ts";
import type { CommitOutcome, Store, Transaction } from "../../lib/store.ts";
import { openEtcd } from "../../lib/etcd/store.ts";
import { REAL } from "../../lib/surroundings.ts";
import { atMost, grid, median, must, quantile, type Section } from "./page.ts";
import { BenchMachine, GROUP, looked } from "./machine.ts";
import { startEtcd } from "../support/etcd.ts";

/** How long a simulated reboot takes, in milliseconds. */
const REBOOT_MS = 50;
const MACHINES = { few: 20, many: 200 };
const MAX_WIDE = 5;
/** How often the hand-over is measured; the median of each quantile counts. */
const RUNS = 5;
/** How far requests per machine may differ between few and many machines: what a race more or less costs. */
const CONSTANT_WITHIN = 1;

/** What a fleet did to an etcd of its own. */
interface Handover {
  readonly machines: number;
  readonly max: number;
  /** Milliseconds from the answer to a release to the answer to the grant that took the slot. */
  readonly handoversMs: readonly number[];
  /** The same from the sending of the release on. */
  readonly fromSendingMs: readonly number[];
  /** Whether the grants came in the order of arrival. */
  readonly inOrder: boolean;
  /** Requests per machine by kind, from etcd's own count. */
  readonly requests: Readonly<Record<string, number>>;
  /** Writes per machine: transactions that wrote, leases granted and revoked, as the machines' answers tell. */
  readonly writes: number;
  /** Revisions that etcd made, per machine: its own count of transactions that wrote. */
  readonly revisions: number;
}

/** When commits were sent and answered, and what they did. */
class Witness {
  readonly releases: { sentMs: number; answeredMs: number }[] = [];
  readonly grants: { machine: string; answeredMs: number }[] = [];
  writes = 0;

  /** The store of a machine, looked at. */
  watch(store: Store, machine: string): Store {
    return looked(store, {
      lease: async (ttlMs, lost, options) => {
        this.writes++;
        const lease = await store.lease(ttlMs, lost, options);
        return {
          id: lease.id,
          abandon: () => lease.abandon(),
          end: (options) => {
            this.writes++;
            return lease.end(options);
          },
        };
      },
      commit: async (transaction, options) => {
        const sentMs = performance.now();
        const outcome = await store.commit(transaction, options);
        this.#saw(machine, transaction, outcome, sentMs, performance.now());
        return outcome;
      },
    });
  }

  #saw(
    machine: string,
    { put }: Transaction,
    outcome: CommitOutcome,
    sentMs: number,
    answeredMs: number,
  ): void {
    if (outcome.kind === "unknown") throw outcome.cause;
    if (outcome.kind === "refused") return;
    this.writes++;
    // what was done stands in the document
    const what = put.map(({ value }) => /"what":"(\w+)"/.exec(value)?.[1]).find((found) =>
      found !== undefined
    );
    if (what === "grant") this.grants.push({ machine, answeredMs });
    if (what === "release") this.releases.push({ sentMs, answeredMs });
  }
}

/** Measures the hand-over, and what it costs etcd. */
export async function handOvers(progress: (text: string) => void): Promise<Section> {
  const few = await handOver(MACHINES.few, 1);
  const wide: Handover[] = [];
  const runs: Handover[] = [];
  for (let run = 1; run <= RUNS; run++) {
    progress(`hand-over, run ${run} of ${RUNS}`);
    runs.push(await handOver(MACHINES.many, 1));
    wide.push(await handOver(MACHINES.many, MAX_WIDE));
  }
  const all = [few, ...runs, ...wide];
  const usual = (of: (run: Handover) => number) => median(runs.map(of));
  const quantileOf = (runs: readonly Handover[], share: number) =>
    median(runs.map(({ handoversMs }) => quantile(handoversMs, share)));
  const cost = usual(total);
  const kinds = [...new Set(all.flatMap(({ requests }) => Object.keys(requests)))].sort();
  const ms = (values: readonly number[], share: number) => quantile(values, share).toFixed(1);
  return {
    text:
      `Hand-over of a slot on a real etcd with its data in memory (/dev/shm): ${MACHINES.many} machines in one process, each with
its own connections, watch and lease, arrive one after another and are away for ${REBOOT_MS} ms each. Milliseconds from the answer
to a release to the answer to the grant that it makes possible; in brackets, from the moment the release is sent.

${
        grid(
          ["machines", "max", "p50", "p90", "p99", "longest", "granted in order of arrival"],
          all.map(({ machines, max, handoversMs, fromSendingMs, inOrder }) => [
            String(machines),
            String(max),
            ...[0.5, 0.9, 0.99, 1].map((share) => `${ms(handoversMs, share)} (${ms(fromSendingMs, share)})`),
            inOrder ? "yes" : "no",
          ]),
        )
      }
Requests to etcd per machine, from its arrival to the return of its slot, as etcd counts them (for streams, the messages sent
on them), and writes: transactions that wrote, and leases granted or revoked. \`Lease/LeaseKeepAlive\` are keep-alives of a
place in the queue, one per 10 s of waiting. A lease without a place expires 30 s later.

${
        grid(
          ["machines", "max", ...kinds, "total", "without keep-alives", "writes"],
          all.map((run) => [
            String(run.machines),
            String(run.max),
            ...kinds.map((kind) => (run.requests[kind] ?? 0).toFixed(2)),
            (total(run) + (run.requests[SIGN] ?? 0)).toFixed(2),
            total(run).toFixed(2),
            run.writes.toFixed(2),
          ]),
        )
      }`,
    figures: [
      ...[{ max: 1, of: runs }, { max: MAX_WIDE, of: wide }].flatMap(({ max, of }) => [
        atMost(`hand-over of a slot, max ${max}, p50`, quantileOf(of, 0.5), 2, 1, " ms"),
        atMost(`hand-over of a slot, max ${max}, p99`, quantileOf(of, 0.99), 15, 1, " ms"),
      ]),
      must("grants in order of arrival, max 1 and 5", all.every(({ inOrder }) => inOrder)),
      atMost(
        `requests to etcd per machine, ${MACHINES.many} machines, keep-alives included`,
        usual((run) => total(run) + (run.requests[SIGN] ?? 0)),
        12,
        1,
      ),
      atMost(
        `requests per machine, ${MACHINES.many} machines compared with ${MACHINES.few}, without keep-alives`,
        cost - total(few),
        CONSTANT_WITHIN,
        1,
      ),
      atMost("writes to etcd per machine", Math.max(...all.map(({ writes }) => writes)), 5, 1),
      must(
        "etcd made as many revisions as the machines report",
        all.every(({ writes, revisions }) => Math.abs(writes - 1 - revisions) < 1e-9),
      ),
    ],
  };
}

const SIGN = "Lease/LeaseKeepAlive";

/** Requests per machine, signs of life apart, which go with time and not with what happens. */
function total({ requests }: Handover): number {
  return Object.entries(requests).reduce((sum, [kind, count]) => kind === SIGN ? sum : sum + count, 0);
}

/** Lets `machines` go through `max` slots of an etcd of their own. */
export async function handOver(machines: number, max: number): Promise<Handover> {
  await using etcd = await startEtcd();
  const stores: Store[] = [];
  const open = () => {
    const store = openEtcd({ endpoints: [etcd.endpoint] });
    stores.push(store);
    return store;
  };
  try {
    const hand = new Lock(open(), GROUP, REAL, "the bench");
    const hands = Array.from({ length: max }, (_, index) => `hand-${index}`);
    await hand.setMax(max);
    for (const name of hands) await hand.acquire(name, { grant: newMark(), extra: {} });
    const before = await etcd.metrics();
    const witness = new Witness();
    const done: Promise<void>[] = [];
    const names: string[] = [];
    for (let index = 0; index < machines; index++) {
      const machine = new BenchMachine((id) => witness.watch(open(), id), index);
      const asking = machine.ask();
      names.push(machine.id);
      done.push(machine.reboot(REBOOT_MS, asking));
      await Promise.race([asking.waiting, asking.granted]);
    }
    for (const name of hands) await hand.unlock(name);
    await Promise.all(done);
    const after = await etcd.metrics();
    return result(machines, max, names, witness, before, after);
  } finally {
    await Promise.all(stores.map((store) => store.close()));
  }
}

function result(
  machines: number,
  max: number,
  names: readonly string[],
  { releases, grants, writes }: Witness,
  before: string,
  after: string,
): Handover {
  const freed = releases.toSorted((a, b) => a.answeredMs - b.answeredMs);
  const taken = grants.map(({ answeredMs }) => answeredMs).toSorted((a, b) => a - b);
  // the first `max` grants took what hands had let go; each later one what the release of its number gave back
  const pairs = taken.slice(max).map((answeredMs, index) => ({ answeredMs, release: freed[index] }));
  const ms = (moment: (release: (typeof freed)[number]) => number) =>
    pairs.map(({ answeredMs, release }) => release === undefined ? NaN : answeredMs - moment(release));
  const grew = (name: string) => metric(after, name) - metric(before, name);
  return {
    machines,
    max,
    handoversMs: ms(({ answeredMs }) => answeredMs),
    fromSendingMs: ms(({ sentMs }) => sentMs),
    inOrder: grants.every(({ machine }, index) => machine === names[index]),
    requests: requests(before, after, machines, max),
    writes: writes / machines,
    revisions: (grew("etcd_debugging_mvcc_current_revision") - max) / machines,
  };
}

/** Requests per machine by kind: calls, and of the streams what was said on them. */
function requests(before: string, after: string, machines: number, max: number): Record<string, number> {
  const [calls, said] = [methods("grpc_server_started_total"), methods("grpc_server_msg_received_total")];
  const found = new Map<string, number>();
  for (const [count, streams] of [[calls, false], [said, true]] as const) {
    const [first, last] = [count(before), count(after)];
    for (const [method, n] of last) {
      if ((method === "Watch/Watch" || method === "Lease/LeaseKeepAlive") !== streams) continue;
      // the hands let go by a read and a write each
      const byHand = method === "KV/Range" || method === "KV/Txn" ? max : 0;
      const own = n - (first.get(method) ?? 0) - byHand;
      if (own > 0) found.set(method, own / machines);
    }
  }
  return Object.fromEntries(found);
}

/** What a counter of etcd's gRPC says of each method, such as `KV/Range`. */
function methods(counter: string): (text: string) => Map<string, number> {
  const line = new RegExp(
    `^${counter}\\{grpc_method="(\\w+)",grpc_service="etcdserverpb\\.(\\w+)".*\\} (\\S+)$`,
    "gm",
  );
  return (text) => {
    const found = new Map<string, number>();
    for (const [, method, service, count] of text.matchAll(line)) {
      found.set(`${service}/${method}`, Number(count));
    }
    return found;
  };
}

function metric(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
}
