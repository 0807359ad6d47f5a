/**
 * A machine of `deno task demo --hosts`: a container with a systemd of its own, in which the built program runs as the
 * shipped unit says. Its reboot is real, by its own logind; the demo only keeps it off for a moment.
 */

import type { Host } from "../hosts/host.ts";
import type { Machine } from "./machine.ts";

const LOG_LINES_KEPT = 20;

export class HostMachine implements Machine {
  #needs = false;
  /** Lives that ended before the present boot. */
  #ended = 0;
  #isWanted = false;

  constructor(private readonly host: Host) {}

  get id(): string {
    return this.host.id;
  }

  get name(): string {
    return this.host.name;
  }

  get bootId(): string {
    return this.host.lives.at(-1)?.boot ?? "";
  }

  needReboot(): Promise<void> {
    this.#needs = true;
    return Promise.resolve();
  }

  async boot(): Promise<void> {
    this.#ended = this.host.lives.length;
    this.#isWanted = true;
    await this.host.powerOn();
    // it stays off after its reboot, until the demo has looked
    this.host.comesBack = false;
    if (this.#needs) await this.host.need();
    this.#needs = false;
  }

  rebootCalledMs(): number | undefined {
    const life = this.host.lives[this.#ended];
    return life?.end === "reboot" ? life.endedMs : undefined;
  }

  /** What the daemon tells other programs of its host, in the `/run` that ends with the boot. */
  coordinatorState(): string {
    return this.host.coordinatorState();
  }

  async goDown(): Promise<void> {
    await this.host.off();
  }

  async kill(): Promise<void> {
    this.#isWanted = false;
    await this.host.losePower();
  }

  get fault(): string | undefined {
    const { end = "goes on" } = this.host.lives[this.#ended] ?? {};
    const isExpected = !this.#isWanted || end === "goes on" || end === "reboot";
    return isExpected ? undefined : `its system ended by ${end}`;
  }

  get log(): readonly string[] {
    return this.host.journal.lines.slice(-LOG_LINES_KEPT).map(({ text }) => text);
  }
}
