/**
 * Servers of slots side by side over one store in memory, in virtual time, and hosts that ask them: by polls, or by requests
 * that are kept.
 */

import { assert } from "@std/assert";
import { parseSemaphore, serializeSemaphore } from "../../lib/document.ts";
import { ROOT, semaphoreKey } from "../../lib/group.ts";
import type { KnownGroups } from "../../lib/group_rules.ts";
import { Lock } from "../../lib/lock.ts";
import { StoreMirror } from "../../lib/mirror.ts";
import { awayRange, type Place, queueRange, readQueue } from "../../lib/queue.ts";
import { FRESH, type Semaphore } from "../../lib/semaphore.ts";
import { Memory } from "../../lib/simulation/memory.ts";
import type { SlotAnswer, SlotRequest } from "../../lib/slot_server.ts";
import { Slots } from "../../lib/slots.ts";
import type { KeyRange } from "../../lib/store.ts";
import { Connection, Virtual } from "./virtual.ts";

export const MINUTE_MS = 60_000;
/** What follows from an event has happened by then. */
export const SOON_MS = 100;

const EVERYTHING: KeyRange = { from: ROOT, to: `${ROOT.slice(0, -1)}0` };

/** A request that is kept. */
export interface Waiting {
  /** What came of it, as soon as something has. */
  readonly said: SlotAnswer | undefined;
  readonly answer: Promise<SlotAnswer>;
  /** The connection breaks. */
  hangUp(): void;
}

/** One server, with its own connection to the store. */
export class Server {
  readonly slots: Slots;
  readonly mirror: StoreMirror;
  readonly granted: string[] = [];
  readonly released: string[] = [];

  constructor(
    private readonly service: Service,
    readonly store: Connection,
    groups: KnownGroups | undefined,
  ) {
    this.mirror = new StoreMirror(store, EVERYTHING, service.time);
    this.slots = new Slots({
      store,
      mirror: this.mirror,
      surroundings: service.time,
      by: "locksmith serve",
      ...(groups === undefined ? {} : { groups }),
      observer: {
        granted: (_, id) => this.granted.push(id),
        released: (_, id) => this.released.push(id),
      },
      failed: (error) => service.bugs.push(error),
    });
  }

  /** A host asks for a slot: the kind of the answer. */
  async poll(id: string, request: Partial<SlotRequest> = {}): Promise<string> {
    return (await this.ask(id, request)).kind;
  }

  ask(id: string, request: Partial<SlotRequest> = {}): Promise<SlotAnswer> {
    const { time } = this.service;
    const patience = { waitMs: 0, gone: new AbortController().signal };
    return time.ended(this.slots.preReboot({ id, group: "web", ...request }, patience));
  }

  /** A host asks, and waits for its answer. */
  wait(id: string, waitMs = 20 * MINUTE_MS, request: Partial<SlotRequest> = {}): Waiting {
    const gone = new AbortController();
    let said: SlotAnswer | undefined;
    const answer = this.slots.preReboot({ id, group: "web", ...request }, { waitMs, gone: gone.signal });
    answer.then((kind) => said = kind);
    return {
      get said() {
        return said;
      },
      answer,
      hangUp: () => gone.abort(),
    };
  }

  steady(id: string, request: Partial<SlotRequest> = {}): Promise<SlotAnswer> {
    return this.service.time.ended(this.slots.steadyState({ id, group: "web", ...request }));
  }
}

export class Service {
  readonly time = new Virtual();
  readonly memory = new Memory();
  readonly bugs: unknown[] = [];
  readonly #key = semaphoreKey("web");

  constructor(max = 1) {
    this.memory.commit({
      expect: [],
      put: [{ key: this.#key, value: serializeSemaphore({ ...FRESH, max }) }],
    });
    this.memory.watch({ from: this.#key, to: `${this.#key}\0` }, () => {
      const { holders, max } = this.semaphore;
      assert(holders.length <= max, `${holders} hold ${max} slots`);
    }, this.memory.revision);
  }

  connection(): Connection {
    return new Connection(this.memory, this.time);
  }

  /** A server that has its copy of the store. */
  async server(groups?: KnownGroups): Promise<Server> {
    const server = new Server(this, this.connection(), groups);
    await this.time.ended(server.mirror.ready());
    return server;
  }

  /** The lock of somebody who uses the store himself. */
  lock(by = "root on lab"): Lock {
    return new Lock(this.connection(), "web", this.time, by);
  }

  get semaphore(): Semaphore {
    return parseSemaphore(this.memory.read(this.#key)?.value ?? "");
  }

  get holders(): readonly string[] {
    return this.semaphore.holders;
  }

  /** Everybody in line, the first first: `a`, `a away`, `a kept`. */
  get line(): string[] {
    const { found } = this.memory.view([{ range: queueRange("web") }, { range: awayRange("web") }]);
    return readQueue("web", found.flat()).map(({ machine, away, kept }: Place) => {
      return machine + (kept ? " kept" : away ? " away" : "");
    });
  }
}
