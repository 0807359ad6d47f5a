/**
 * A fleet in virtual time: machines that reboot, daemons that crash, a store behind a network, all on the real rules.
 * The daemon, the agent, the waiter, the lock and the windows are those of the program; what they stand on (the clock,
 * chance, the network, the machines) is made here, and is the same for the same seed to the last event.
 *
 * What goes wrong is decided by {@linkcode Faults}. What must never
 * happen is watched by a {@linkcode Judge}.
 */

import { Daemon, type Host, type RebootOutcome } from "../daemon.ts";
import { semaphoreKey } from "../group.ts";
import { Computer, type MachineConfig } from "./computer.ts";
import type { Faults } from "./faults.ts";
import type { LogLevel, Surroundings } from "../surroundings.ts";
import { Keeping } from "./keeping.ts";
import { type Service, SlotServers } from "./slot_servers.ts";
import type { SlotServer } from "../slot_server.ts";
import { CALL_LIMIT_MS } from "../course.ts";
import { Lock } from "../lock.ts";
import type { Need } from "../need.ts";
import { FRESH, setMax } from "../semaphore.ts";
import { Server, SimulatedStore, type Witness } from "./store.ts";
import type { Actor } from "./actor.ts";
import { Judge } from "./judge.ts";
import type { Store } from "../store.ts";
import { Memory } from "./memory.ts";
import { areHooksDue, careFor } from "./care.ts";
import { type Schedule, windowStates } from "../schedule.ts";
import type { WindowState } from "../strategy.ts";
import { Process, type Random, VirtualTime } from "./virtual_time.ts";
import { serializeSemaphore } from "../document.ts";

export interface FleetConfig {
  readonly machines: readonly MachineConfig[];
  /** How many of each group may reboot at once. */
  readonly max: ReadonlyMap<string, number>;
  /** When it begins, in milliseconds since the epoch. */
  readonly startMs: number;
  /** See {@linkcode DaemonOptions}: how often the machines look without a reason. */
  readonly lookMs: number;
  readonly idleLookMs: number;
  readonly tickMs: number;
  /** The servers that keep slots for the machines which ask one: how many, and the service that each runs over its store. */
  readonly servers?: {
    readonly count: number;
    serve(store: Store, surroundings: Surroundings, failed: (error: unknown) => void): Service;
  };
}

/** What happened to a machine, for a timeline. */
export type Happening = "needs" | "granted" | "down" | "up" | "released";
export type Observer = (machine: Computer, what: Happening, elapsedMs: number) => void;

/** How long a daemon that crashed is away, and how long one takes to tell whether a reboot is needed, in milliseconds. */
const RESTART_MS = { from: 100, to: 20_000 };
const DETECT_MS = 100;

export class Fleet {
  readonly time = new VirtualTime();
  readonly memory = new Memory();
  readonly server = new Server(this.memory, this.time);
  readonly judge: Judge;
  readonly machines: readonly Computer[];
  /** What no part of the program should have thrown. */
  readonly crashes: unknown[] = [];
  unknownOutcomes = 0;
  reboots = 0;
  readonly #actors = new WeakMap<Process, Actor>();
  readonly #machines = new WeakMap<Process, Computer>();
  /** Of each process: which leases, and what to do when one is lost. */
  readonly #leases = new Map<Process, { readonly id: string; readonly ttlMs: number; lost(): void }[]>();
  readonly #windows = new Map<Schedule, (now: number) => WindowState>();
  readonly #slotServers: SlotServers | undefined;
  readonly #keeping: Keeping;

  constructor(
    private readonly config: FleetConfig,
    private readonly random: Random,
    private readonly faults: Faults,
    private readonly observe: Observer = () => {},
    private readonly trace: ((line: string) => void) | undefined = undefined,
  ) {
    this.machines = config.machines.map((machine) => new Computer(machine));
    const byId = new Map(this.machines.map((machine) => [machine.id, machine]));
    this.judge = new Judge(
      this.memory,
      (id) => byId.get(id),
      ({ machine }) => {
        const { leastClockOffMs = 0, mostClockOffMs = 0 } = byId.get(machine?.id ?? "") ?? {};
        return { earliest: this.now + leastClockOffMs, latest: this.now + mostClockOffMs };
      },
    );
    for (const [group, max] of config.max) {
      const key = semaphoreKey(group);
      const value = serializeSemaphore(setMax(FRESH, max));
      this.memory.commit({ expect: [], put: [{ key, value }] });
    }
    const { servers } = config;
    this.#slotServers = servers && new SlotServers({
      time: this.time,
      random,
      network: faults,
      judge: this.judge,
      start: () => {
        const process = new Process(this.time, random, () => this.now);
        this.#actors.set(process, { kind: "server" });
        const failed = (error: unknown) => process.alive && this.crashes.push(error);
        return { process, ...servers.serve(this.#store(process), process.surroundings, failed) };
      },
      died: (process) => this.#endLeases(process),
      checkpoint: (process) => this.#checkpoint(process),
      failed: (error) => this.crashes.push(error),
    }, servers.count);
    this.#keeping = new Keeping({
      lookMs: config.lookMs,
      idleLookMs: config.idleLookMs,
      mayMove: faults.group !== undefined,
      store: (process) => this.#store(process),
      server: (process) => this.#remote(process),
      failed: (process, error) => process.alive && this.crashes.push(error),
    });
  }

  /** The servers of slots, as a process of a machine asks them. */
  #remote(process: Process): SlotServer {
    const actor = this.#actors.get(process);
    if (actor?.machine === undefined || this.#slotServers === undefined) {
      throw new Error("a machine asks a server, and there is none");
    }
    return this.#slotServers.client(process, actor);
  }

  /** What the clock shows that nobody tampered with, in milliseconds since the epoch. */
  get now(): number {
    return Math.floor(this.config.startMs + this.time.elapsed);
  }

  /** Starts every server and every machine. */
  start(): void {
    this.#slotServers?.start();
    for (const machine of this.machines) this.boot(machine);
  }

  /** A machine needs a reboot from now on, or does not any more. */
  need(machine: Computer, needed: boolean): void {
    if (machine.needed === needed) return;
    machine.needed = needed;
    if (needed) this.observe(machine, "needs", this.time.elapsed);
    this.#tellNeed(machine);
  }

  /** The daemon of a machine dies, and is started again some time later. Returns whether there was one, like what follows. */
  crash(machine: Computer): boolean {
    if (machine.process === undefined) return false;
    this.trace?.(`${this.time.elapsed} ${machine.id}: the daemon crashes`);
    this.judge.dies(machine);
    this.#end(machine);
    const { boots } = machine;
    this.time.after(this.random.between(RESTART_MS.from, RESTART_MS.to), () => {
      if (machine.up && machine.boots === boots && machine.process === undefined) this.#startDaemon(machine);
    });
    return true;
  }

  /** A machine loses power, and is up again after `awayMs` milliseconds. */
  losePower(machine: Computer, awayMs: number = machine.config.rebootMs): boolean {
    if (!machine.up) return false;
    this.trace?.(`${this.time.elapsed} ${machine.id}: loses power`);
    this.judge.dies(machine);
    const { needed } = machine;
    this.#goDown(machine, awayMs);
    // what was to be applied by an orderly reboot may still be
    machine.needed = needed && this.random.chance(0.5);
    return true;
  }

  /** The daemon of a machine stands still for a while; what it holds by a sign of life may be lost meanwhile. */
  freeze(machine: Computer, ms: number): boolean {
    const { process } = machine;
    if (process === undefined) return false;
    this.trace?.(`${this.time.elapsed} ${machine.id}: stands still for ${Math.round(ms)} ms`);
    process.freeze(ms);
    for (const lease of this.#leases.get(process) ?? []) {
      if (ms > lease.ttlMs) this.time.after(lease.ttlMs, () => this.#lose(lease));
    }
    return true;
  }

  /** The leases of a machine end although it is well. */
  expire(machine: Computer): boolean {
    if (machine.process === undefined) return false;
    const leases = this.#leases.get(machine.process)?.filter(({ id }) => this.memory.lives(id)) ?? [];
    for (const lease of leases) this.#lose(lease);
    return leases.length > 0;
  }

  /** One of the servers that keep slots dies, and is back after `awayMs` milliseconds. */
  crashServer(awayMs: number): boolean {
    this.trace?.(`${this.time.elapsed} a server of slots dies`);
    return this.#slotServers?.crash(awayMs) ?? false;
  }

  /** The machine that a process runs on, if it is a daemon's. */
  machineOf(process: Process): Computer | undefined {
    return this.#machines.get(process);
  }

  /** A person reboots a machine, whatever its window, by a command beside its daemon. */
  async rebootByHand(machine: Computer): Promise<void> {
    const process = new Process(this.time, this.random, () => this.now + machine.clockOffMs);
    this.#actors.set(process, { kind: "person", machine, boot: machine.boot });
    machine.commands.add(process);
    await this.#keeping.rebootByHand(
      machine,
      process,
      () => this.#callReboot(machine, process, CALL_LIMIT_MS.most),
    );
  }

  /** A store for an administrator, and the lock of a group over it. */
  administrate(group: string): Lock {
    const process = new Process(this.time, this.random, () => this.now);
    this.#actors.set(process, { kind: "administrator" });
    return new Lock(this.#store(process), group, process.surroundings, "admin");
  }

  /** Lets time pass: see {@linkcode VirtualTime.run}. Ends early when something happened that must not. */
  async run(done: () => boolean, limitMs: number): Promise<boolean> {
    await this.time.run(
      () => this.crashes.length > 0 || this.judge.violations.length > 0 || done(),
      limitMs,
    );
    return done();
  }

  /** Whether the window of a machine is open by its own clock, and until when. */
  windowAt(machine: Computer, now: number): WindowState {
    return this.#windowOf(machine.config.schedule, now);
  }

  private boot(machine: Computer): void {
    machine.boots++;
    machine.up = true;
    machine.upSinceMs = this.time.elapsed;
    machine.goingDown = false;
    machine.group = this.faults.group?.(machine) ?? machine.group;
    this.trace?.(
      `${this.time.elapsed} ${machine.id}: is up, boot ${machine.boots}, group '${machine.group}'`,
    );
    if (machine.boots > 1) this.observe(machine, "up", this.time.elapsed);
    this.#startDaemon(machine);
  }

  #startDaemon(machine: Computer): void {
    const process = new Process(this.time, this.random, () => this.now + machine.clockOffMs);
    const stop = new AbortController();
    this.#actors.set(process, { kind: "daemon", machine, boot: machine.boot });
    this.#machines.set(process, machine);
    const { config: { care }, preparedIn } = machine;
    const hooksDue = areHooksDue(machine);
    const host = this.#host(machine, process);
    const daemon = new Daemon({
      strategy: machine.config.asksServer ? "fleet-lock" : "etcd-lock",
      graceMs: machine.config.graceMs,
      idleLookMs: this.config.idleLookMs,
      tickMs: this.config.tickMs,
      group: machine.group,
      zone: zoneOf(machine.config.schedule),
      windowAt: (now) => this.#windowOf(machine.config.schedule, now),
      ...(care === undefined ? {} : { afterBoot: { hooksDue, soakMs: care.soakMs } }),
      surroundings: process.surroundings,
      keeper: this.#keeping.keeper(machine, process),
      host,
    }, stop.signal);
    machine.process = process;
    machine.daemon = daemon;
    machine.stop = stop;
    daemon.failed.catch((error) => process.alive && this.crashes.push(error));
    if (preparedIn !== undefined && !hooksDue) daemon.dispatch({ kind: "prepared" });
    daemon.start();
    if (this.faults.group !== undefined) {
      this.#keeping.leftovers(machine, process, stop.signal, (level, text) => {
        this.#log(machine, process, level, text);
      }, care && (async () => (await host.prove(), machine.wellAt === machine.boots)));
    }
    process.surroundings.after(DETECT_MS, () => this.#tellNeed(machine));
  }

  #log(machine: Computer, process: Process, level: LogLevel, text: string): void {
    if (process.alive) this.trace?.(`${this.time.elapsed} ${machine.id}: ${level}: ${text}`);
    this.#checkpoint(process);
  }

  #tellNeed(machine: Computer): void {
    const need: Need = machine.needed
      ? { kind: "needed", reasons: ["update"], fingerprint: "update" }
      : { kind: "not-needed" };
    machine.process?.run(() => machine.daemon?.dispatch({ kind: "need", need }));
  }

  #host(machine: Computer, process: Process): Host {
    const later = <T>(ms: number, value: () => T) =>
      new Promise<T>((resolve) => process.surroundings.after(ms, () => resolve(value())));
    const touched = <T>(work: () => T): T => {
      this.#checkpoint(process);
      return work();
    };
    return {
      ...careFor(machine, { faults: this.faults, elapsed: () => this.time.elapsed, later, touched }),
      warn: () => touched(() => later(this.faults.hostMs(machine), () => {})),
      forgetServed: () => {},
      reboot: (timeoutMs) => touched(() => this.#callReboot(machine, process, timeoutMs)),
      report: () => this.#checkpoint(process),
      log: (level, text) => this.#log(machine, process, level, text),
    };
  }

  async #callReboot(machine: Computer, process: Process, timeoutMs: number): Promise<RebootOutcome> {
    if (!process.alive) return await new Promise(() => {});
    const open = this.windowAt(machine, this.now + machine.clockOffMs).open;
    const actor = this.#actors.get(process);
    if (actor?.machine === undefined) throw new Error("a reboot of nobody");
    this.judge.rebootCalled(actor, open);
    const { outcome, answerMs, downMs } = this.faults.reboot(machine);
    if (downMs !== null) {
      machine.goingDown = true;
      const { boots } = machine;
      this.time.after(downMs, () => {
        if (machine.up && machine.boots === boots) {
          this.judge.goesDown(machine);
          this.reboots++;
          this.#goDown(machine, machine.config.rebootMs);
        }
      });
    }
    const late: RebootOutcome = { kind: "unknown", why: `no answer within ${timeoutMs} ms` };
    const answer = answerMs <= timeoutMs ? outcome : late;
    return await new Promise((resolve) =>
      process.surroundings.after(Math.min(answerMs, timeoutMs), () => {
        this.#checkpoint(process);
        process.run(() => resolve(answer));
      })
    );
  }

  #goDown(machine: Computer, awayMs: number): void {
    this.trace?.(`${this.time.elapsed} ${machine.id}: goes down`);
    this.observe(machine, "down", this.time.elapsed);
    this.#end(machine);
    for (const command of machine.commands) {
      command.kill();
      this.#slotServers?.ended(command);
    }
    machine.commands.clear();
    machine.up = false;
    machine.needed = false;
    if (awayMs < Infinity) this.time.after(awayMs, () => this.boot(machine));
  }

  #end(machine: Computer): void {
    const { process } = machine;
    machine.process = undefined;
    // a reason of its own, for the one that the runtime makes costs more than a daemon does
    machine.stop?.abort("the daemon ended");
    if (process === undefined) return;
    process.kill();
    this.#slotServers?.ended(process);
    this.#endLeases(process);
  }

  #endLeases(process: Process): void {
    for (const lease of this.#leases.get(process) ?? []) {
      // the last sign of life was up to a third of its time ago
      this.time.after(lease.ttlMs * this.random.between(2 / 3, 1), () => this.memory.endLease(lease.id));
    }
    this.#leases.delete(process);
  }

  /** Its owner hears of it with the next sign of life that it sends. */
  #lose({ id, ttlMs, lost }: { readonly id: string; readonly ttlMs: number; lost(): void }): void {
    if (!this.memory.lives(id)) return;
    this.memory.endLease(id);
    this.time.after(this.random.between(0, ttlMs / 3), lost);
  }

  #checkpoint(process: Process): void {
    const machine = this.#machines.get(process);
    if (process.alive && machine?.process === process) this.faults.checkpoint(machine);
  }

  #store(process: Process): Store {
    const witness: Witness = {
      checkpoint: (process) => this.#checkpoint(process),
      unknown: () => this.unknownOutcomes++,
      leased: (process, id, ttlMs, lost) => {
        const leases = this.#leases.get(process) ?? [];
        leases.push({ id, ttlMs, lost });
        if (process.alive) this.#leases.set(process, leases);
        else this.time.after(ttlMs, () => this.memory.endLease(id));
      },
      arrives: (process, transaction, apply) => {
        const actor = this.#actors.get(process);
        if (actor === undefined) throw new Error("a transaction of nobody");
        const grants = this.judge.grants;
        const releases = this.judge.releases;
        const outcome = this.judge.arrives(actor, transaction, apply);
        if (outcome.kind === "refused") this.faults.refused(process);
        const machine = this.#machines.get(process);
        if (machine !== undefined) {
          if (this.judge.grants > grants) this.observe(machine, "granted", this.time.elapsed);
          if (this.judge.releases > releases) this.observe(machine, "released", this.time.elapsed);
        }
        return outcome;
      },
    };
    return new SimulatedStore(this.server, process, this.faults, witness);
  }

  /** Windows of a whole fleet are few, and asked about often. */
  #windowOf(schedule: Schedule, now: number): WindowState {
    let states = this.#windows.get(schedule);
    if (states === undefined) this.#windows.set(schedule, states = windowStates(schedule, zoneOf(schedule)));
    return states(now);
  }
}

function zoneOf({ windows: [first] }: Schedule): string {
  return first?.zone ?? "UTC";
}
