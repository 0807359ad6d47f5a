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
  /** It asks a server for its slots, and reaches no store. */
  readonly asksServer?: boolean;
}

/** A simulated computer: one machine of the fleet, with its boots, its processes and its clock. */
export class Computer {
  boots = 0;
  /** Whether a reboot was called that has yet to come, or may have. */
  goingDown = false;
  up = false;
  needed = false;
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
