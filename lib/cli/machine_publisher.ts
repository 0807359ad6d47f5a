/** Publishes what the daemon of this machine is doing, and lets those know who follow it. */

import type { Agent } from "../agent.ts";
import { pause } from "../host/child.ts";
import { type MachineFile, WRITE_MS } from "../host/machine_file.ts";
import { type MachineFacts, machineReport } from "../machine_report.ts";
import type { WindowState } from "../strategy.ts";
import { moment, type Surroundings } from "../surroundings.ts";

export interface MachinePublisherOptions {
  readonly file: MachineFile;
  readonly facts: Omit<MachineFacts, "sinceMs" | "needSinceMs" | "window">;
  readonly surroundings: Surroundings;
  state(): Agent;
  /** Since when a reboot is needed, in milliseconds since the epoch. */
  needSince(): number | undefined;
  windowAt(now: number): WindowState;
  /** Hears of each phase. */
  follow(phase: Agent["phase"]["name"]): void;
}

export class MachinePublisher {
  #phase = "";
  #sinceMs = 0;

  constructor(private readonly options: MachinePublisherOptions) {}

  /** Publishes what is news, or due. Resolves when it is there for everybody. Never rejects. */
  async publish(): Promise<void> {
    const { file, facts, surroundings, state, needSince, windowAt, follow } = this.options;
    const now = moment(surroundings);
    const agent = state();
    if (agent.phase.name !== this.#phase) {
      this.#phase = agent.phase.name;
      this.#sinceMs = now.now;
      follow(agent.phase.name);
    }
    const window = windowAt(now.now);
    const report = { ...facts, sinceMs: this.#sinceMs, needSinceMs: needSince(), window };
    await file.publish(machineReport(agent, report, now));
  }

  /** Publishes until `signal` aborts that the daemon is alive. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.publish();
      await pause(WRITE_MS, signal);
    }
    await this.options.file.remove();
  }
}
