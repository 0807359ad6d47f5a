/**
 * Daemons in virtual time, on the real rules, over a store in memory: what runs the effects, without anything that it
 * runs them on. Days pass in a moment here; daemon_test.ts has the real ones.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Daemon, type DaemonOptions, type Host, type RebootOutcome } from "../../lib/daemon.ts";
import { LockKeeper } from "../../lib/keeper.ts";
import { Lock } from "../../lib/lock.ts";
import { PLACE_TTL_MS } from "../../lib/queue.ts";
import { REBOOTING } from "../../lib/semaphore.ts";
import type { WindowState } from "../../lib/strategy.ts";
import { LOOK_INTERVAL_MS } from "../../lib/wait.ts";
import { daemonHold, GROUP, HOUR_MS, Line, SOON_MS } from "../support/line.ts";
import { BEGIN_MS, Connection } from "../support/virtual.ts";

const IDLE_LOOK_MS = 900_000;
/** The daemon looks at the clock at least this often. */
const TICK_MS = 30_000;
const DAY_MS = 24 * HOUR_MS;
const NEEDED = {
  kind: "need",
  need: { kind: "needed", reasons: ["a new kernel"], fingerprint: "kernel" },
} as const;
const NOT_NEEDED = { kind: "need", need: { kind: "not-needed" } } as const;

/** From 1:00 to 2:00 UTC. */
function nightly(now: number): WindowState {
  const begin = Math.floor((now - HOUR_MS) / DAY_MS) * DAY_MS + HOUR_MS;
  return now <= begin + HOUR_MS
    ? { open: true, closesAt: begin + HOUR_MS, nextOpensAt: begin + DAY_MS }
    : { open: false, nextOpensAt: begin + DAY_MS };
}

/** A machine with its daemon, or without one while it is down. */
class Box {
  boots = 0;
  /** Instants of its reboot calls. */
  readonly reboots: number[] = [];
  readonly log: string[] = [];
  readonly reported: string[] = [];
  users: readonly string[] = [];
  outcome: RebootOutcome = { kind: "accepted" };
  #stop = new AbortController();
  #marks = 0;
  store: Connection;
  daemon: Daemon;
  keeper!: LockKeeper;

  constructor(readonly line: Line, readonly id: string, readonly options: Partial<DaemonOptions> = {}) {
    this.store = new Connection(line.memory, line.time);
    this.daemon = this.boot();
  }

  /** Comes up, with a daemon, under a new boot id. */
  boot(): Daemon {
    this.boots++;
    return this.start();
  }

  start(): Daemon {
    const { line, id, boots } = this;
    this.store = new Connection(line.memory, line.time);
    this.#stop = new AbortController();
    const host: Host = {
      log: (level, text) => void (level === "debug" || this.log.push(`${level}: ${text}`)),
      inquire: () =>
        Promise.resolve({
          clearance: { kind: "clear" },
          loggedIn: { kind: "known", users: this.users },
          scheduled: null,
          verdict: { kind: "well" },
          hooksMs: 0,
          checksMs: 0,
        }),
      runHooks: () => Promise.resolve({ kind: "hooked" }),
      prove: () => Promise.resolve({ kind: "proved", verdict: { kind: "well" }, upMs: 0 }),
      forgetServed: () => {},
      warn: () => Promise.resolve(),
      report: (state) => void this.reported.push(state),
      reboot: () => {
        this.reboots.push(line.time.now());
        return Promise.resolve(this.outcome);
      },
    };
    this.keeper = new LockKeeper({
      lock: new Lock(this.store, GROUP, line.time, "locksmithd"),
      machine: { id, hostname: `host ${id}`, bootId: `boot ${boots} of ${id}` },
      priority: 0,
      overdueMs: HOUR_MS,
      lookMs: LOOK_INTERVAL_MS,
      newMark: () => `${id} ${boots} ${++this.#marks}`,
      failed: (error) => {
        throw error;
      },
    });
    this.daemon = new Daemon({
      strategy: "etcd-lock",
      graceMs: 300_000,
      idleLookMs: IDLE_LOOK_MS,
      group: GROUP,
      zone: "UTC",
      windowAt: (now) => ({ open: true, closesAt: Infinity, nextOpensAt: now }),
      host,
      surroundings: line.time,
      keeper: this.keeper,
      tickMs: 30_000,
      ...this.options,
    }, this.#stop.signal);
    this.daemon.start();
    return this.daemon;
  }

  /** Its power goes, or it goes down for a reboot. */
  down(): void {
    this.store.dead = true;
    this.#stop.abort();
  }

  /** A signal ends its daemon. */
  stop(): Promise<void> {
    this.#stop.abort();
    return this.keeper.stop();
  }

  get phase(): string {
    return this.daemon.state.phase.name;
  }
}

Deno.test("Daemon reboots a fleet one by one in the order of arrival, and each gives its slot back after its boot", async () => {
  const line = new Line();
  const boxes = ["d", "b", "a", "c", "e"].map((id) => new Box(line, id));
  for (const box of boxes) {
    box.daemon.dispatch(NEEDED);
    await line.time.advance(10);
  }
  for (let second = 0; second < 600; second++) {
    await line.time.advance(1_000);
    for (const box of boxes) {
      if (box.phase === "rebooting" && !box.store.dead) {
        assertEquals(line.semaphore.holds.get(box.id)?.phase, REBOOTING);
        box.down();
        line.time.after(60_000, () => box.boot().dispatch(NOT_NEEDED));
      }
    }
  }
  const order = boxes.flatMap(({ id, reboots }) => reboots.map((at) => ({ id, at }))).sort((x, y) =>
    x.at - y.at
  );
  assertEquals(order.map(({ id }) => id), ["d", "b", "a", "c", "e"]);
  for (const [turn, { at }] of order.entries()) {
    const before = order[turn - 1];
    assert(before === undefined || at - before.at >= 60_000, "two are down at once");
    assert(before === undefined || at - before.at < 62_000, "a slot lies idle");
  }
  assertEquals([line.semaphore.holders, line.queue], [[], []]);
  assertEquals(boxes.map(({ phase }) => phase), Array(5).fill("idle"));
});

Deno.test("Daemon publishes each change of what it is doing, once", async () => {
  const line = new Line();
  const box = new Box(line, "a");
  await line.time.advance(SOON_MS);
  box.daemon.dispatch(NEEDED);
  await line.time.advance(SOON_MS);
  assertEquals(box.reported, ["starting", "running", "reboot-planned", "rebooting"]);
});

Deno.test("Daemon in line leaves it when the window closes, and gets in line when it opens", async () => {
  const line = new Line();
  line.hold("anna");
  const box = new Box(line, "a", { windowAt: nightly });
  await line.time.advance(HOUR_MS / 2);
  box.daemon.dispatch(NEEDED);
  await line.time.advance(HOUR_MS / 2 - 1_000);
  assertEquals([box.phase, line.queue], ["awaiting-window", []]);
  await line.time.advance(1_000 + SOON_MS);
  assertEquals([box.phase, line.queue], ["waiting", ["a"]]);
  await line.time.advance(HOUR_MS - SOON_MS - 1);
  assertEquals(line.queue, ["a"]);
  await line.time.advance(SOON_MS);
  assertEquals([box.phase, line.queue], ["awaiting-window", []]);
  line.unlock("anna");
  await line.time.advance(12 * HOUR_MS);
  assertEquals([box.reboots, line.granted], [[], ["anna"]]);
  await line.time.advance(11 * HOUR_MS + SOON_MS);
  assertEquals(box.reboots.map((at) => at - BEGIN_MS - DAY_MS - HOUR_MS < SOON_MS), [true]);
});

Deno.test("Daemon sees within half a minute that the clock was set, into the window or out of it", async () => {
  const line = new Line();
  line.hold("anna");
  const box = new Box(line, "a", { windowAt: nightly });
  box.daemon.dispatch(NEEDED);
  await line.time.advance(SOON_MS);
  assertEquals(box.phase, "awaiting-window");
  line.time.leap(1.5 * HOUR_MS);
  await line.time.advance(TICK_MS + SOON_MS);
  assertEquals([box.phase, line.queue], ["waiting", ["a"]]);
  line.time.leap(-1.5 * HOUR_MS);
  await line.time.advance(TICK_MS + SOON_MS);
  assertEquals([box.phase, line.queue], ["awaiting-window", []]);
  line.time.leap(365 * DAY_MS);
  await line.time.advance(TICK_MS);
  line.time.leap(-365 * DAY_MS);
  await line.time.advance(HOUR_MS + SOON_MS);
  assertEquals([box.phase, line.queue], ["waiting", ["a"]], "it does not wait for another year");
});

Deno.test("Daemon does not reboot when an administrator unlocked its machine during the grace: it starts over", async () => {
  const line = new Line();
  const box = new Box(line, "a");
  box.users = ["anna"];
  box.daemon.dispatch(NEEDED);
  await line.time.advance(100_000);
  assertEquals([box.phase, line.semaphore.holders], ["grace", ["a"]]);
  line.unlock("a");
  line.hold("anna");
  await line.time.advance(210_000);
  assertEquals([box.phase, box.reboots, line.queue], ["waiting", [], ["a"]]);
  assertEquals(box.log, [
    "info: got a slot in group web (a new kernel)",
    "notice: anna logged in; rebooting in 5 min",
    "warning: this machine no longer holds its slot: somebody unlocked it; starting over",
    "info: a reboot is needed (a new kernel); waiting for a slot: first in line, all slots are held (available: 0): " +
    "anna, taken by hand 5 min 1 s ago by anna@desk, because: a new disk",
  ]);
});

Deno.test("Daemon whose group is frozen during the grace confirms nothing: its slot goes back, and it reboots after the freeze", async () => {
  const line = new Line();
  const box = new Box(line, "a");
  box.users = ["anna"];
  box.daemon.dispatch(NEEDED);
  await line.time.advance(100_000);
  assertEquals([box.phase, line.semaphore.holders], ["grace", ["a"]]);
  const [from, until] = [BEGIN_MS, BEGIN_MS + DAY_MS].map((ms) => new Date(ms).toISOString()) as [
    string,
    string,
  ];
  line.change((semaphore) => ({ ...semaphore, freezes: [{ from, until, name: "sale", extra: {} }] }));
  await line.time.advance(DAY_MS - 100_000 - 1);
  assertEquals([box.reboots, line.semaphore.holders, line.granted], [[], [], ["a"]]);
  assertEquals(box.log.slice(2, 4), [
    "warning: no reboot without a confirmed slot: group web is frozen until 2026-01-02T00:00:00.000Z: sale",
    "info: gave the slot back",
  ]);
  box.users = [];
  await line.time.advance(SOON_MS);
  assertEquals([box.phase, box.reboots.length], ["rebooting", 1]);
});

Deno.test("Daemon that needs nothing finds a slot that it knows nothing of, and gives it back", async () => {
  const line = new Line();
  const box = new Box(line, "a");
  box.daemon.dispatch(NOT_NEEDED);
  await line.time.advance(SOON_MS);
  line.hold("a", { ...daemonHold("a", "boot 1 of a"), since: new Date(BEGIN_MS).toISOString() });
  await line.time.advance(IDLE_LOOK_MS);
  assertEquals([box.phase, line.semaphore.holders], ["idle", []]);
  assertEquals(box.log.slice(-2), [
    "info: giving the slot back: no reboot is needed",
    "info: gave the slot back",
  ]);
});

Deno.test("Daemon whose machine is held by hand says so once in days", async () => {
  const line = new Line();
  line.hold("a");
  const box = new Box(line, "a");
  box.daemon.dispatch(NOT_NEEDED);
  await line.time.advance(3 * DAY_MS);
  assertEquals(box.log, [
    "info: no reboot is needed now",
    "info: this machine's slot was taken by hand (since 2026-01-01T00:00:00.000Z, 0 s ago, by anna@desk, " +
    "because: a new disk); only 'locksmith unlock a --group web' releases it",
  ]);
});

Deno.test("Daemon.stop() resolves when the place in line is given up; a slot that is held stays held", async () => {
  const line = new Line();
  const holder = new Box(line, "holder");
  holder.users = ["anna"];
  holder.daemon.dispatch(NEEDED);
  await line.time.advance(SOON_MS);
  const box = new Box(line, "a");
  box.daemon.dispatch(NEEDED);
  await line.time.advance(SOON_MS);
  assertEquals(line.queue, ["a"]);
  const stopped = box.stop();
  await line.time.advance(10);
  assertEquals(line.queue, []);
  await stopped;
  await holder.stop();
  await line.time.advance(4 * PLACE_TTL_MS);
  assertEquals([line.semaphore.holders, holder.reboots], [["holder"], []]);
  holder.users = [];
  holder.start().dispatch(NEEDED);
  await line.time.advance(SOON_MS);
  assertEquals([holder.phase, holder.reboots.length], ["rebooting", 1], "the next one goes on with it");
});

Deno.test("Daemon goes on through an outage in every state, without a reboot that was not confirmed", async () => {
  const line = new Line();
  line.hold("anna");
  const box = new Box(line, "a");
  box.store.down = true;
  box.daemon.dispatch(NEEDED);
  await line.time.advance(HOUR_MS);
  assertEquals(box.phase, "recovery-backoff");
  box.store.down = false;
  await line.time.advance(60_000);
  assertEquals([box.phase, line.queue], ["waiting", ["a"]]);
  box.store.down = true;
  await line.time.advance(HOUR_MS);
  line.unlock("anna");
  box.users = ["anna"];
  box.store.down = false;
  await line.time.advance(60_000);
  assertEquals(box.phase, "grace");
  box.store.down = true;
  await line.time.advance(HOUR_MS);
  assertEquals([box.phase, box.reboots], ["cancel-backoff", []]);
  box.store.down = false;
  box.users = [];
  await line.time.advance(120_000);
  assertEquals([box.phase, box.reboots.length], ["rebooting", 1]);
  assertEquals(line.semaphore.holds.get("a")?.phase, REBOOTING);
});

Deno.test("Daemon.failed rejects with what an effect must not have thrown", async () => {
  const line = new Line();
  const box = new Box(line, "a");
  await line.time.advance(SOON_MS);
  box.daemon.dispatch({ kind: "confirmed", called: false });
  const error = await assertRejects(() => box.daemon.failed);
  assert(error instanceof Error);
  assertEquals(error.message, "'confirmed' cannot come in the state idle");
});
