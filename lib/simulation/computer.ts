/** A computer of a simulated fleet: how it is set up, what it is doing, and what is on its disk. */

import type { Daemon } from "../daemon.ts";
import type { Ledger, Taken } from "../ledger.ts";
import type { Schedule } from "../schedule.ts";
import type { Process } from "./virtual_time.ts";

/** A machine of a fleet. */
export interface MachineConfig {
  readonly id: string;
  readonly group: string;
  readonly priority: number;
  readonly schedule: Schedule;
  /** From going down to the start of the daemon, in milliseconds; `Infinity`: it never comes back. */
  readonly rebootMs: number;
  readonly graceMs: number;
  /** What it does before a reboot and after its boot; absent: nothing. */
  readonly care?: Care;
  /** It asks a server for its slots, and reaches no store. */
  readonly asksServer?: boolean;
}

/** How a machine is prepared for its reboot, and looked after when it is back. */
export interface Care {
  /** How long its hooks take, in milliseconds; 0: it has none. */
  readonly hooksMs: number;
  /** How long they may take at most, which a window must have room for; absent: no longer. */
  readonly hooksLimitMs?: number;
  /** How long its checks take, in milliseconds. */
  readonly checksMs: number;
  /** The same of checks. */
  readonly checksLimitMs?: number;
  /** How long it must have been up before its slot goes back, in milliseconds. */
  readonly soakMs: number;
}

/** A simulated computer: one machine of the fleet, with its boots, its processes and its clock. */
export class Computer {
  boots = 0;
  /** Whether a reboot was called that has yet to come, or may have. */
  goingDown = false;
  up = false;
  needed = false;
  /** When it came up last, by the clock of the simulation, in milliseconds. */
  upSinceMs = 0;
  /** The boot for whose end its hooks have prepared it, which they have yet to take back; on its disk. */
  preparedIn: string | undefined;
  /** The last boot in which it was found well, counted. */
  wellAt = 0;
  /** Whether its checks let it go when they were asked last. */
  allowed = true;
  /** How far its clock is off, and how far behind and ahead it ever was, in milliseconds. */
  clockOffMs = 0;
  leastClockOffMs = 0;
  mostClockOffMs = 0;
  process: Process | undefined;
  /** Commands that people have typed on it. */
  readonly commands = new Set<Process>();
  daemon: Daemon | undefined;
  stop: AbortController | undefined;

  /** The group that it is configured for now. */
  group: string;
  readonly ledger = new VirtualLedger();

  constructor(readonly config: MachineConfig) {
    this.group = config.group;
  }

  get id(): string {
    return this.config.id;
  }
  get boot(): string {
    return `${this.config.id}-boot-${this.boots}`;
  }

  /** Whether it was found well in a boot after the one of that id. */
  isWellSince(boot: string): boolean {
    return this.wellAt > Number(boot.slice(boot.lastIndexOf("-") + 1));
  }

  /** Its clock leaps by so many milliseconds. */
  leapClock(ms: number): void {
    this.clockOffMs += ms;
    this.leastClockOffMs = Math.min(this.leastClockOffMs, this.clockOffMs);
    this.mostClockOffMs = Math.max(this.mostClockOffMs, this.clockOffMs);
  }
}

/** A ledger in memory, for a machine whose boots are played. */
export class VirtualLedger implements Ledger {
  readonly name = "the ledger";
  /** `undefined`: it has no memory. */
  entries: readonly Taken[] | undefined;

  read(): Promise<readonly Taken[] | undefined> {
    return Promise.resolve(this.entries);
  }

  remember(taken: Taken): Promise<boolean> {
    this.entries = [...(this.entries ?? []).filter(({ grant }) => grant !== taken.grant), taken];
    return Promise.resolve(true);
  }

  forget(grants: readonly string[]): Promise<void> {
    this.entries = this.entries?.filter(({ grant }) => !grants.includes(grant));
    return Promise.resolve();
  }

  begin(): Promise<void> {
    this.entries ??= [];
    return Promise.resolve();
  }
}
