/**
 * Everything that goes wrong in a history: how often each call, event and reboot is struck, and what comes by the clock.
 * Each history has a mixture of its own, from its seed. A fault counts when it struck somebody, and not before.
 */

import type { Inquiry, Verdict } from "../../lib/agent.ts";
import type { HookOutcome } from "../../lib/daemon.ts";
import { ALL_GROUPS, semaphoreKey } from "../../lib/group.ts";
import { type Lock, LockError } from "../../lib/lock.ts";
import { planFreeze } from "../../lib/planned_freezes.ts";
import { PLACE_TTL_MS } from "../../lib/queue.ts";
import type { Computer } from "../../lib/simulation/computer.ts";
import { CLEAR, type Faults, type RebootFate } from "../../lib/simulation/faults.ts";
import type { Fleet, FleetConfig, Happening } from "../../lib/simulation/fleet.ts";
import type { CallKind, Fate } from "../../lib/simulation/store.ts";
import type { Process, Random } from "../../lib/simulation/virtual_time.ts";
import { RemoteSlotError } from "../../lib/remote_slot.ts";
import { SlotServerError } from "../../lib/slot_server.ts";
import { StoreError } from "../../lib/store.ts";
import { STORMS, Storms } from "./storms.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The kinds of faults, as the report counts them. */
export const FAULT_KINDS = [
  "daemon crashed",
  "machine lost power",
  "process stood still",
  "request lost",
  "reply lost",
  "reply lost of a commit",
  "message late",
  "commit arrived twice",
  "swap refused",
  "store restarted",
  "server of slots crashed",
  "machine cut off",
  "watch event late",
  "watch event doubled",
  "watch event lost",
  "history compacted",
  "lease expired",
  "clock leapt",
  "reboot refused",
  "reboot unanswered",
  "reboot never came",
  "reboot slow",
  "host question hung",
  "administrator unlocked",
  "person rebooted by hand",
  "shutdown inhibited",
  "group changed over a boot",
  "check said no",
  "hook failed",
  "administrator locked by hand",
  "administrator set max",
  "administrator paused",
  "administrator paused for a while",
  "administrator paused all",
  "administrator planned a freeze",
  ...STORMS,
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

type Rate =
  | "crash"
  | "power"
  | "loss"
  | "late"
  | "twice"
  | "refuse"
  | "expire"
  | "watch"
  | "compact"
  | "reboot"
  | "host"
  | "inhibit"
  | "move"
  | "ill"
  | "hook";

/** Everything that goes wrong. Storms come on top: see {@linkcode Storms}. */
export class Mischief implements Faults {
  readonly counts = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>;
  readonly #rates: Readonly<Record<Rate, number>>;
  #fleet: Fleet | undefined;
  #storms: Storms | undefined;
  #active = true;
  #calmUntil = 0;
  readonly #cutOff = new Map<Process, { readonly untilMs: number; met: boolean }>();
  /** Whose swap is bound to be refused. */
  readonly #overtaken = new Set<Process>();

  readonly #groups: readonly string[];

  readonly #hasServers: boolean;

  constructor(private readonly random: Random, { max, servers }: FleetConfig) {
    this.#groups = [...max.keys()];
    this.#hasServers = servers !== undefined;
    const rate = (most: number) => random.chance(0.4) ? 0 : random.between(0, most);
    this.#rates = {
      crash: rate(0.03),
      power: rate(0.003),
      loss: rate(0.1),
      late: rate(0.15),
      twice: rate(0.1),
      refuse: rate(0.15),
      expire: rate(0.2),
      watch: rate(0.4),
      compact: rate(0.2),
      reboot: rate(0.5),
      host: rate(0.3),
      inhibit: rate(0.3),
      move: rate(0.5),
      ill: rate(0.4),
      hook: rate(0.4),
    };
  }

  begin(fleet: Fleet, trace: (line: string) => void): void {
    this.#fleet = fleet;
    this.#storms = new Storms(fleet, this.random, this, (line) => trace(`${fleet.time.elapsed} ${line}`));
  }

  get storms(): Storms {
    if (this.#storms === undefined) throw new Error("there is no fleet yet");
    return this.#storms;
  }

  observe(machine: Computer, what: Happening): void {
    this.#storms?.observe(machine, what);
  }

  /** From now on all is well. */
  end(): void {
    this.#active = false;
    this.storms.end();
    this.#world.server.comeBack();
    this.#cutOff.clear();
  }

  /** Nothing strikes for so long. */
  calm(ms: number): void {
    this.#calmUntil = Math.max(this.#calmUntil, this.#world.time.elapsed + ms);
    this.#cutOff.clear();
  }

  get #strikes(): boolean {
    return this.#active && this.#world.time.elapsed >= this.#calmUntil;
  }

  /** Draws what comes by the clock, and not by what somebody does. */
  schedule(untilMs: number): void {
    const { random } = this;
    const fleet = this.#world;
    const now = (most: number, strike: () => void) => {
      if (random.chance(0.4)) return;
      for (let left = random.integer(1, most); left > 0; left--) {
        fleet.time.after(random.between(0, untilMs), () => this.#strikes && strike());
      }
    };
    const machine = () => random.pick(fleet.machines);
    now(3, () => this.#strike("machine lost power", fleet.losePower(machine())));
    now(4, () => this.#strike("daemon crashed", fleet.crash(machine())));
    now(3, () => {
      this.#strike("process stood still", fleet.freeze(machine(), random.between(SECOND, 3 * MINUTE)));
    });
    now(3, () => {
      fleet.server.leave(random.between(SECOND, 40 * SECOND), () => this.count("store restarted"));
    });
    now(4, () => this.#cut(machine()));
    if (this.#hasServers) {
      now(4, () => this.#crashServer());
      // a command and the daemon beside it have to find out about each other by their ledger alone
      now(6, () => {
        const up = fleet.machines.filter(({ up, config }) => up && config.asksServer);
        if (up.length > 0) this.#rebootByHand(random.pick(up)).catch(this.#atHome);
      });
    }
    now(4, () => this.#strike("lease expired", fleet.expire(machine())));
    now(3, () => {
      this.count("clock leapt");
      machine().leapClock(Math.round(random.between(-1, 1) * random.pick([HOUR, DAY])));
    });
    now(8, () => this.#administrator(random.pick([...new Set(fleet.machines.map(({ group }) => group))])));
  }

  fate(process: Process, kind: CallKind): Fate {
    const { random } = this;
    const busyMs = kind === "watch" || kind === "slot" ? 0 : this.storms.called(process);
    const usual = { requestMs: busyMs + random.between(1, 15), replyMs: random.between(1, 15) };
    if (!this.#strikes) return usual;
    if (kind === "watch") return { ...usual, requestMs: this.#watchMs(usual.requestMs) };
    const cut = this.#cutOff.get(process);
    if (cut !== undefined && this.#world.time.elapsed < cut.untilMs) {
      if (!cut.met) this.count("machine cut off");
      cut.met = true;
      return { ...usual, lost: random.chance(0.7) ? "request" : "reply" };
    }
    if (random.chance(this.#rates.loss)) {
      const lost = random.pick(["request", "reply"] as const);
      this.count(lost === "request" ? "request lost" : "reply lost");
      if (lost === "reply" && kind === "commit") this.count("reply lost of a commit");
      return { ...usual, lost };
    }
    if (random.chance(this.#rates.late)) {
      this.count("message late");
      if (kind === "commit" || kind === "slot") this.#strikeMeanwhile(process);
      return { requestMs: this.#lateMs(), replyMs: usual.replyMs };
    }
    if (kind === "commit" && random.chance(this.#rates.expire)) {
      // at the worst moment: while somebody is about to give a slot back or to take one
      const waiting = this.#world.machines.filter(({ daemon }) => daemon?.state.phase.name === "waiting");
      if (waiting.length > 0) this.#strike("lease expired", this.#world.expire(random.pick(waiting)));
    }
    if (kind === "slot" && random.chance(this.#rates.crash)) {
      this.#world.time.after(random.between(0, 60), () => this.#strikes && this.#crashServer());
    }
    this.#overtaken.delete(process);
    if (kind === "commit" && random.chance(this.#rates.refuse)) {
      // somebody writes the documents again as they are: who read them before has lost the swap
      this.#touch();
      this.#overtaken.add(process);
    }
    if (kind === "commit" && random.chance(this.#rates.twice)) {
      this.count("commit arrived twice");
      return { ...usual, againMs: random.between(0, 30 * SECOND) };
    }
    return usual;
  }

  refused(process: Process): void {
    this.storms.refused();
    if (this.#overtaken.delete(process)) this.count("swap refused");
  }

  tell(): readonly number[] {
    const { random } = this;
    const soon = random.between(1, 15);
    if (!this.#strikes || !random.chance(this.#rates.watch)) return [soon];
    switch (random.integer(0, 2)) {
      case 0:
        this.count("watch event lost");
        return [];
      case 1:
        this.count("watch event doubled");
        return [soon, random.between(1, MINUTE)];
      default:
        this.count("watch event late");
        return [random.between(SECOND, 10 * MINUTE)];
    }
  }

  checkpoint(machine: Computer): void {
    if (!this.#strikes) return;
    if (this.random.chance(this.#rates.crash)) {
      this.#strike("daemon crashed", this.#world.crash(machine));
    } else if (this.random.chance(this.#rates.power)) {
      this.#strike("machine lost power", this.#world.losePower(machine));
    }
  }

  reboot(machine: Computer): RebootFate {
    const { random } = this;
    const usual: RebootFate = {
      outcome: { kind: "accepted" },
      answerMs: random.between(5, 500),
      downMs: random.between(0, 5 * SECOND),
    };
    if (!this.#strikes || !random.chance(this.#rates.reboot)) return usual;
    switch (random.integer(0, 3)) {
      case 0:
        this.count("reboot refused");
        return {
          outcome: { kind: "refused", why: "inhibited", ...(random.chance(0.5) ? { blocked: true } : {}) },
          answerMs: usual.answerMs,
          downMs: null,
        };
      case 1:
        this.count("reboot unanswered");
        return {
          outcome: { kind: "unknown", why: "no answer" },
          answerMs: random.between(SECOND, 5 * MINUTE),
          downMs: random.chance(0.5) ? random.between(0, 20 * MINUTE) : null,
        };
      case 2:
        this.count("reboot never came");
        return { ...usual, downMs: null };
      default: {
        this.count("reboot slow");
        const downMs = random.between(MINUTE, 20 * MINUTE);
        // somebody who sees that it is still up helps
        if (random.chance(0.3)) {
          const { boots } = machine;
          this.#world.time.after(random.between(0, downMs), () => {
            if (this.#strikes && machine.up && machine.boots === boots) {
              this.#rebootByHand(machine).catch(this.#atHome);
            }
          });
        }
        return { ...usual, downMs };
      }
    }
  }

  async #rebootByHand(machine: Computer): Promise<void> {
    this.count("person rebooted by hand");
    await this.#world.rebootByHand(machine);
  }

  /** An administrator reads the message, and goes home. */
  readonly #atHome = (error: unknown): void => {
    const known = [StoreError, LockError, SlotServerError, RemoteSlotError];
    if (!known.some((kind) => error instanceof kind)) this.#world.crashes.push(error);
  };

  hostMs(): number {
    if (!this.#strikes || !this.random.chance(this.#rates.host)) return this.random.between(5, 50);
    this.count("host question hung");
    return this.random.between(SECOND, 20 * SECOND);
  }

  inquiry(): Inquiry {
    if (!this.#strikes) return CLEAR;
    const { random } = this;
    const loggedIn: Inquiry["loggedIn"] = random.chance(0.1)
      ? { kind: "unknown", why: "no answer" }
      : { kind: "known", users: random.chance(0.5) ? ["core"] : [] };
    if (!random.chance(this.#rates.inhibit)) return { ...CLEAR, loggedIn };
    this.count("shutdown inhibited");
    return { ...CLEAR, loggedIn, clearance: { kind: "blocked", why: "an upgrade is under way" } };
  }

  verdict(): Verdict {
    if (!this.#strikes || !this.random.chance(this.#rates.ill)) return { kind: "well" };
    this.count("check said no");
    return { kind: "ill", why: "degraded" };
  }

  hooks(): HookOutcome {
    if (!this.#strikes || !this.random.chance(this.#rates.hook)) return { kind: "hooked" };
    this.count("hook failed");
    return { kind: "hook-failed", why: "exit 1" };
  }

  group({ group, boots }: Computer): string {
    const others = this.#groups.filter((other) => other !== group);
    if (boots === 1 || others.length === 0 || !this.#strikes || !this.random.chance(this.#rates.move)) {
      return group;
    }
    this.count("group changed over a boot");
    return this.random.pick(others);
  }

  /** A machine does not reach the store, or is not heard; its leases end meanwhile if it takes long. */
  #cut(machine: Computer): void {
    const { process } = machine;
    if (process === undefined) return;
    const ms = this.random.between(SECOND, 2 * MINUTE);
    this.#cutOff.set(process, { untilMs: this.#world.time.elapsed + ms, met: false });
    if (ms > PLACE_TTL_MS) {
      this.#world.time.after(PLACE_TTL_MS, () => machine.process === process && this.#world.expire(machine));
    }
  }

  /** While a commit is on its way, what it was sent for is over: it arrives all the same. */
  #strikeMeanwhile(process: Process): void {
    const { random } = this;
    const fleet = this.#world;
    const machine = fleet.machines.find((machine) => machine.process === process);
    if (machine === undefined || random.chance(0.4)) return;
    const strikes = [
      () => this.#strike("machine lost power", fleet.losePower(machine)),
      () => this.#strike("daemon crashed", fleet.crash(machine)),
      () => fleet.need(machine, false),
    ];
    fleet.time.after(random.between(0, 6 * SECOND), () => this.#strikes && random.pick(strikes)());
  }

  #crashServer(): void {
    const awayMs = this.random.between(SECOND, this.random.pick([10 * SECOND, 5 * MINUTE]));
    this.#strike("server of slots crashed", this.#world.crashServer(awayMs));
  }

  #lateMs(): number {
    const { random } = this;
    return random.between(1, random.pick([500, 8 * SECOND, 2 * MINUTE]));
  }

  /** When a watch begins that was asked for: it may be late, and the store may have forgotten by then where it begins. */
  #watchMs(usualMs: number): number {
    const { random } = this;
    if (random.chance(this.#rates.compact)) {
      this.count("history compacted");
      this.#touch();
      this.#world.memory.compact();
    }
    if (!random.chance(this.#rates.late)) return usualMs;
    this.count("message late");
    return this.#lateMs();
  }

  #touch(): void {
    const { memory, machines } = this.#world;
    for (const key of new Set(machines.map(({ group }) => semaphoreKey(group)))) {
      const value = memory.read(key)?.value;
      if (value !== undefined) memory.commit({ expect: [], put: [{ key, value }] });
    }
  }

  #administrator(group: string): void {
    const { random } = this;
    const fleet = this.#world;
    const lock = fleet.administrate(group);
    const { holders } = fleet.judge.document(group);
    const act = async () => {
      switch (random.integer(0, 10)) {
        case 5: {
          const up = fleet.machines.filter((machine) => machine.group === group && machine.up);
          if (up.length === 0) return;
          return await this.#rebootByHand(random.pick(up));
        }
        case 0: {
          if (holders.length === 0) return;
          const { kind } = await lock.unlock(random.pick(holders));
          return this.#strike("administrator unlocked", kind === "released");
        }
        case 1: {
          const { id } = random.pick(fleet.machines.filter((machine) => machine.group === group));
          const byHand = { by: "admin", grant: `by-hand-${fleet.time.elapsed}`, extra: {} };
          const { kind } = await lock.acquire(id, byHand);
          return this.#strike("administrator locked by hand", kind === "granted");
        }
        case 2: {
          const max = random.integer(0, 3);
          const { oldMax } = await lock.setMax(max);
          return this.#strike("administrator set max", oldMax !== max);
        }
        case 3:
          return await this.#pause(lock, "administrator paused");
        case 6:
        case 7:
          return await this.#pause(fleet.administrate(ALL_GROUPS), "administrator paused all");
        case 8:
          await fleet.administrate(ALL_GROUPS).resume();
          return;
        case 9:
          return await this.#freeze(random.chance(0.5) ? lock : fleet.administrate(ALL_GROUPS));
        default:
          await lock.resume();
      }
    };
    act().catch(this.#atHome);
  }

  /** One that is on already, or comes soon. */
  async #freeze(lock: Lock): Promise<void> {
    const { random } = this;
    const from = this.#world.now + random.between(-MINUTE, HOUR);
    const freeze = { from, until: from + random.between(2 * MINUTE, 2 * HOUR) };
    await planFreeze(lock, {
      from: new Date(freeze.from).toISOString(),
      until: new Date(freeze.until).toISOString(),
      name: random.pick(["sale", "audit"]),
      by: "admin",
      extra: {},
    });
    this.count("administrator planned a freeze");
  }

  async #pause(lock: Lock, kind: FaultKind): Promise<void> {
    const { random } = this;
    const until = random.chance(0.5) ? undefined : this.#world.now + random.between(MINUTE, 2 * HOUR);
    const { before } = await lock.pause({
      by: "admin",
      ...(until === undefined ? {} : { until: new Date(until).toISOString() }),
      extra: {},
    });
    if (before !== undefined) return;
    this.count(kind);
    if (until !== undefined) this.count("administrator paused for a while");
  }

  get #world(): Fleet {
    if (this.#fleet === undefined) throw new Error("there is no fleet yet");
    return this.#fleet;
  }

  count(kind: FaultKind): void {
    this.counts[kind]++;
  }

  #strike(kind: FaultKind, struck: boolean): void {
    if (struck) this.count(kind);
  }
}
