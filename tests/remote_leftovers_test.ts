/** Slots that a machine asked servers for where its daemon does not ask: stories in virtual time. */

import { assertEquals, assertMatch } from "@std/assert";
import type { Taken } from "../lib/ledger.ts";
import { Leftovers } from "../lib/leftovers.ts";
import { RemoteLeftovers } from "../lib/remote_leftovers.ts";
import { VirtualLedger } from "../lib/simulation/computer.ts";
import { FakeSlotServer } from "./support/slot_server.ts";
import { Virtual } from "./support/virtual.ts";

const MACHINE = { id: "a", bootId: "b2", hostname: "web1" };
const OWN = { store: "fleet-lock:http://new", group: "web", machine: "a" };

/** A machine that comes back under another configuration, and the server that it asked before. */
class World {
  readonly time = new Virtual();
  readonly ledger = new VirtualLedger();
  readonly server = new FakeSlotServer(this.time);
  readonly log: string[] = [];

  /** It asked, and has a slot. */
  async taken(entry: Partial<Taken> = {}): Promise<void> {
    const taken: Taken = {
      grant: `g${this.ledger.entries?.length ?? 0}`,
      machine: "a",
      boot: "b1",
      since: "2026-01-01T00:00:00Z",
      store: "fleet-lock:http://old",
      group: "web",
      phase: "confirmed",
      ...entry,
    };
    await this.ledger.remember(taken);
    this.server.holders.add(taken.machine);
  }

  /** Looks until nothing is left to be looked for, or for so long. */
  async run(limitMs: number, own: typeof OWN | null = OWN): Promise<void> {
    const log = (level: string, text: string) => void this.log.push(`${level}: ${text}`);
    const shared = { machine: MACHINE, ledger: this.ledger, surroundings: this.time, log };
    const stop = new AbortController();
    const running = new Leftovers({
      ...shared,
      own,
      configured: null,
      withStore: (name) => Promise.reject(new Error(`${name} is no store`)),
      remote: new RemoteLeftovers({ ...shared, ids: ["a", "z"], open: () => this.server }),
      by: "locksmithd",
      lookMs: 15 * 60_000,
    }).run(stop.signal);
    await this.time.advance(limitMs);
    stop.abort();
    await this.time.ended(running);
  }
}

const HOUR_MS = 3_600_000;

Deno.test("RemoteLeftovers gives back what was taken in another group, at another server, under another id or strategy, and looks once more", async () => {
  const elsewhere: [Partial<Taken>, typeof OWN | null][] = [
    [{}, OWN],
    [{ store: OWN.store, group: "db" }, OWN],
    [{ store: OWN.store, machine: "z" }, OWN],
    [{}, null],
  ];
  for (const [entry, own] of elsewhere) {
    const world = new World();
    await world.taken(entry);
    await world.run(2 * HOUR_MS, own);
    assertEquals([world.server.holders.size, world.ledger.entries], [0, []]);
    assertMatch(
      world.log.join(),
      /^info: this machine has rebooted; gave back the slot in group \S+ at http:\/\/\w+$/,
    );
    assertEquals(world.server.asked.length, 2);
  }
});

Deno.test("RemoteLeftovers tries again until the server acknowledges, and says once what is in the way", async () => {
  const world = new World();
  await world.taken();
  world.server.away = true;
  await world.run(5 * HOUR_MS);
  assertEquals(world.log, [
    "warning: cannot give back a slot in group web at http://old, trying again: http://lock: connection refused",
  ]);
  world.server.away = false;
  await world.run(2 * HOUR_MS);
  assertEquals([world.server.holders.size, world.ledger.entries], [0, []]);
});

Deno.test("RemoteLeftovers gives back a slot of this boot, unless a reboot may have been called under it, and leaves that of an id that is not its own", async () => {
  const granted = new World();
  await granted.taken({ boot: "b2", phase: "granted" });
  await granted.run(2 * HOUR_MS);
  assertEquals(granted.server.holders.size, 0);
  for (const entry of [{ boot: "b2" }, { machine: "other" }]) {
    const world = new World();
    await world.taken(entry);
    await world.run(2 * HOUR_MS);
    assertEquals([world.server.asked, world.server.holders.size, world.ledger.entries?.length], [[], 1, 1]);
    assertEquals(world.log.length, 1);
  }
});
