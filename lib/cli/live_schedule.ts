/**
 * The schedule of this machine as it is now: what is configured, and the freezes of its calendar files, which are read
 * again when they change. A file that cannot be used any more leaves its last good freezes in force.
 */

import { UsageError } from "./config.ts";
import { readRegularFile } from "../host/regular_file.ts";
import type { ScheduleConfig } from "./schedule_config.ts";
import type { ChangeCalendar } from "./change_calendar.ts";
import type { Freeze } from "../freeze.ts";
import { type Schedule, windowStates } from "../schedule.ts";
import type { WindowState } from "../strategy.ts";
import type { Log, Surroundings } from "../surroundings.ts";
import { reasonOf } from "../system_error.ts";

const DAY_MS = 24 * 3_600_000;
/** How far ahead the events of calendars are looked up, and how often that is done anew, in milliseconds. */
const AHEAD_MS = 400 * DAY_MS;
const RENEW_MS = DAY_MS;

/** What a calendar file says. */
interface Filed {
  readonly path: string;
  calendar: ChangeCalendar;
  freezes: readonly Freeze[];
}

export class LiveSchedule {
  #schedule: Schedule;
  #states: (now: number) => WindowState;
  #lookedAt: number;
  #log: Log = () => {};

  private constructor(
    private readonly config: ScheduleConfig,
    private readonly delayMs: number,
    private readonly filed: readonly Filed[],
    now: number,
  ) {
    this.#lookedAt = now;
    this.#schedule = this.#put();
    this.#states = windowStates(this.#schedule, config.zone);
  }

  /** `delayMs`: how far into its windows this machine begins. Throws {@linkcode UsageError} with every file's fault. */
  static async open(config: ScheduleConfig, delayMs: number, now: number): Promise<LiveSchedule> {
    const filed: Filed[] = [];
    const faults: string[] = [];
    for (const { path, origin } of config.files) {
      try {
        filed.push({ path, ...await readFreezes(path, config.zone, now) });
      } catch (error) {
        faults.push(`${origin}: cannot use '${path}': ${reasonOf(error)}`);
      }
    }
    if (faults.length > 0) throw new UsageError(faults);
    return new LiveSchedule(config, delayMs, filed, now);
  }

  /** The schedule at `now`, milliseconds since the epoch. */
  at(now: number): Schedule {
    // a clock that was set back by more than that shows other freezes, too
    if (this.filed.length > 0 && Math.abs(now - this.#lookedAt) > RENEW_MS) this.#renew(now);
    return this.#schedule;
  }

  windowAt(now: number): WindowState {
    this.at(now);
    return this.#states(now);
  }

  /** Heeds changes of the files until it is closed. */
  async follow(surroundings: Surroundings, log: Log): Promise<{ close(): void }> {
    const { filed } = this;
    this.#log = log;
    if (filed.length === 0) return { close() {} };
    const { watchFiles } = await import("../serve/watched_files.ts");
    const watches = filed.map((file) =>
      watchFiles([file.path], async () => {
        const now = surroundings.now();
        try {
          Object.assign(file, await readFreezes(file.path, this.config.zone, now));
          log("info", `${file.path}: read again, ${counted(file.freezes.length)}`);
        } catch (error) {
          this.#keep(file, error);
          return;
        }
        this.#replace();
      }, surroundings)
    );
    return {
      close: () => {
        for (const watch of watches) watch.close();
      },
    };
  }

  #renew(now: number): void {
    this.#lookedAt = now;
    for (const file of this.filed) {
      try {
        file.freezes = file.calendar.freezes(now, now + AHEAD_MS);
      } catch (error) {
        this.#keep(file, error);
      }
    }
    this.#replace();
  }

  #keep({ path }: Filed, error: unknown): void {
    this.#log("warning", `cannot use ${path}: ${reasonOf(error)}; what it said before stays in force`);
  }

  #replace(): void {
    this.#schedule = this.#put();
    this.#states = windowStates(this.#schedule, this.config.zone);
  }

  #put(): Schedule {
    const { config: { schedule }, filed, delayMs } = this;
    const freezes = [...schedule.freezes, ...filed.flatMap(({ freezes }) => freezes)];
    return { ...schedule, freezes, ...(delayMs > 0 ? { delayMs } : {}) };
  }
}

/** What is wrong with the files of freezes, as far as it takes a look into them. */
export async function freezeFileFaults(config: ScheduleConfig, now: number): Promise<readonly string[]> {
  try {
    await LiveSchedule.open(config, 0, now);
    return [];
  } catch (error) {
    if (error instanceof UsageError) return error.faults;
    throw error;
  }
}

async function readFreezes(path: string, zone: string, now: number): Promise<Omit<Filed, "path">> {
  const { ChangeCalendar } = await import("./change_calendar.ts");
  const calendar = ChangeCalendar.read(new TextDecoder().decode(readRegularFile(path)), zone);
  return { calendar, freezes: calendar.freezes(now, now + AHEAD_MS) };
}

function counted(freezes: number): string {
  return `${freezes} ${freezes === 1 ? "freeze" : "freezes"} ahead`;
}
