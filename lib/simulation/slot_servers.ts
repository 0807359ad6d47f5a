/**
 * Servers of slots in a simulated fleet, each a process of its own, and the network between them and the hosts.
 *
 * A request travels on a connection and ends with it: when its sender has given up or died, one that has not arrived never
 * does, and one that has is not waited for any more. A reply can be lost; then its sender waits in vain. A server that dies
 * takes its connections with it, and what it had sent to the store still arrives there.
 */

import type { Actor } from "./actor.ts";
import type { Answered, Judge } from "./judge.ts";
import {
  type Patience,
  type SlotAnswer,
  type SlotRequest,
  type SlotServer,
  SlotServerError,
} from "../slot_server.ts";
import type { Network } from "./store.ts";
import type { Process, Random, VirtualTime } from "./virtual_time.ts";

/** A service on a process. */
export interface Service {
  readonly slots: SlotServer;
  close(): void;
}

/** What the servers stand in. */
export interface Hall {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly network: Network;
  readonly judge: Judge;
  start(): Service & { readonly process: Process };
  /** The process of a server died. */
  died(process: Process): void;
  /** A process is about to send something, or has its answer. */
  checkpoint(process: Process): void;
  /** Hears of what no part of the program should have thrown. */
  failed(error: unknown): void;
}

/** How long a host waits for an answer that is not told to wait, in milliseconds. */
const ANSWER_MS = 15_000;
/** How long a server takes to notice that a host is gone, at most; milliseconds. */
const NOTICE_MS = 60_000;
/** How long after its server died a request may still have an effect, in milliseconds. */
const LANDING_MS = 3 * 60_000;

interface Running extends Service {
  readonly process: Process;
  /** What ends a request, by the request. */
  readonly connections: Set<() => void>;
}

export class SlotServers {
  /** By their place; `undefined`: it is down. */
  readonly #running: (Running | undefined)[] = [];
  /** Of each host's process, what ends its connections. */
  readonly #open = new Map<Process, Set<() => void>>();

  constructor(private readonly hall: Hall, private readonly count: number) {}

  /** Starts every server. */
  start(): void {
    for (let place = 0; place < this.count; place++) this.#start(place);
  }

  /** One of the servers dies, and is started again after `awayMs`. Returns whether there was one. */
  crash(awayMs: number): boolean {
    const { time, random } = this.hall;
    const places = [...this.#running.keys()].filter((place) => this.#running[place] !== undefined);
    if (places.length === 0) return false;
    const place = random.pick(places);
    const server = this.#running[place];
    this.#running[place] = undefined;
    server?.process.kill();
    for (const cut of server?.connections ?? []) cut();
    server?.close();
    if (server !== undefined) this.hall.died(server.process);
    time.after(awayMs, () => this.#start(place));
    return true;
  }

  /** The process of a host ended: servers notice, sooner or later. */
  ended(process: Process): void {
    const { time, random } = this.hall;
    for (const end of this.#open.get(process) ?? []) time.after(random.between(0, NOTICE_MS), end);
    this.#open.delete(process);
  }

  /** The servers, as a process of a host asks them: whichever it happens to reach. */
  client(process: Process, actor: Exclude<Actor, { machine?: undefined }>): SlotServer {
    const ask = (
      verb: Answered["verb"],
      { group }: SlotRequest,
      { waitMs, gone }: Patience,
      act: (slots: SlotServer, gone: AbortSignal) => Promise<SlotAnswer>,
    ) => this.#ask(process, this.hall.judge.asks(actor, verb, group), waitMs, gone, act);
    return {
      preReboot: (request: SlotRequest, patience: Patience) =>
        ask(
          "pre-reboot",
          request,
          patience,
          (slots, gone) => slots.preReboot(request, { ...patience, gone }),
        ),
      steadyState: (request: SlotRequest, { gone }: Pick<Patience, "gone">) =>
        ask(
          "steady-state",
          request,
          { waitMs: 0, gone },
          (slots, gone) => slots.steadyState(request, { gone }),
        ),
    };
  }

  #start(place: number): void {
    this.#running[place] = { ...this.hall.start(), connections: new Set() };
  }

  #ask(
    process: Process,
    asked: Answered,
    waitMs: number,
    gone: AbortSignal,
    act: (slots: SlotServer, gone: AbortSignal) => Promise<SlotAnswer>,
  ): Promise<SlotAnswer> {
    const { time, random, network, checkpoint } = this.hall;
    return new Promise((resolve, reject) => {
      checkpoint(process);
      if (!process.alive) return;
      const { requestMs, replyMs, lost } = network.fate(process, "slot");
      const connection = new AbortController();
      const own = this.#open.get(process) ?? new Set();
      this.#open.set(process, own);
      let over = false;
      const end = (tell: () => void) => {
        if (over) return;
        over = true;
        timer.cancel();
        gone.removeEventListener("abort", giveUp);
        own.delete(cut);
        cut();
        process.run(() => {
          checkpoint(process);
          process.run(tell);
        });
      };
      // a reason of its own, for the one that the runtime makes costs more than a request
      const cut = () => connection.abort("the connection ended");
      const fail = (kind: SlotServerError["kind"], why: string) =>
        end(() => reject(new SlotServerError(kind, `simulated: ${why}`)));
      const giveUp = () => fail("unreachable", "the request was given up");
      const timer = time.after(ANSWER_MS + waitMs, () => fail("timeout", "no answer in time"));
      own.add(cut);
      gone.addEventListener("abort", giveUp);
      if (gone.aborted) return giveUp();
      if (lost === "request") return;
      time.after(requestMs, () => {
        if (over || !process.alive) return;
        const there = this.#running.filter((server) => server !== undefined);
        if (there.length === 0) return void time.after(replyMs, () => fail("unreachable", "nobody listens"));
        const server = random.pick(there);
        const settled = asked.arrives();
        const reset = () => {
          time.after(LANDING_MS, settled);
          time.after(random.between(1, 15), () => fail("unreachable", "the connection was closed"));
        };
        server.connections.add(reset);
        act(server.slots, connection.signal).then((answer) => {
          settled();
          server.connections.delete(reset);
          if (!server.process.alive || over || lost === "reply") return;
          time.after(replyMs, () =>
            process.run(() =>
              end(() => {
                asked.told(answer.kind);
                resolve("value" in answer ? { ...answer, waits: true } : answer);
              })
            ));
        }, (error) => server.process.alive && this.hall.failed(error));
      });
    });
  }
}
