/**
 * Tells an administrator's own programs, those of notify.d, what happens to this machine: one JSON object on stdin, a line.
 *
 * It holds nothing up. Events are told one after the other, each to all programs at the same time; too many that wait are
 * dropped, with a warning.
 */

import type { Happening } from "../happening.ts";
import type { Log, Surroundings } from "../surroundings.ts";
import type { Owner } from "./own_program.ts";
import { FOLDERS, partsOf } from "./run_parts.ts";

/** How long a program may take with one event, in milliseconds. */
const TIMEOUT_MS = 30_000;
/** So many events may wait. */
export const WAITING_MAX = 100;

export interface NotifierOptions extends Owner {
  readonly strategy: string;
  /** Whether this machine only plays its reboot. */
  readonly dryRun: boolean;
  readonly surroundings: Pick<Surroundings, "now">;
  readonly log: Log;
}

export class Notifier {
  #waiting: string[] = [];
  #last = "";
  #running: Promise<void> | undefined;

  constructor(private readonly options: NotifierOptions) {}

  /** Tells it, sooner or later; what was told last is not told again. Never throws. */
  tell(happening: Happening): void {
    const { event, why } = happening;
    const text = JSON.stringify([event, why]);
    if (text === this.#last) return;
    this.#last = text;
    if (this.#waiting.length >= WAITING_MAX) {
      return this.options.log(
        "warning",
        `${FOLDERS.notify} is not told of '${event}': it is ${WAITING_MAX} events behind`,
      );
    }
    this.#waiting.push(JSON.stringify(this.#eventOf(happening)));
    this.#running ??= this.#run().finally(() => this.#running = undefined);
  }

  /** Resolves when all that waited is told. */
  async settled(): Promise<void> {
    await this.#running;
  }

  #eventOf({ event, why, reasons }: Happening) {
    const { machine, group, strategy, dryRun, surroundings } = this.options;
    return {
      event,
      at: new Date(surroundings.now()).toISOString(),
      machine: machine.id,
      host: machine.hostname,
      boot: machine.bootId,
      group,
      strategy,
      reasons,
      ...(why === undefined ? {} : { why }),
      ...(dryRun ? { dryRun } : {}),
    };
  }

  async #run(): Promise<void> {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      await this.#tellAll(next);
      this.#waiting.shift();
    }
  }

  async #tellAll(text: string): Promise<void> {
    const { root, log } = this.options;
    const { parts } = await partsOf(root, "notify");
    if (parts.length === 0) return;
    const { ownEnvironment, runOwn } = await import("./own_program.ts");
    const env = ownEnvironment(this.options, "notify", []);
    await Promise.all(parts.map(async (part) => {
      const name = `notify.d/${part.name}`;
      const tell = (line: string) => log("debug", `${name}: ${line}`);
      const end = await runOwn(part, { env, stdin: `${text}\n`, timeoutMs: TIMEOUT_MS, tell });
      if (end.kind === "failed") log("warning", `${name}: ${end.why}`);
    }));
  }
}
