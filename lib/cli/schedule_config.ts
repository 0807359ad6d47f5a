/** When this machine may reboot, as it is configured: windows, freezes, spread and margin, checked beside each other. */

import { type Composer, FAULTY, type Faulty, present } from "./composer.ts";
import { attempt } from "./option.ts";
import { formatDuration } from "../duration.ts";
import { type Freeze, parseFreeze } from "../freeze.ts";
import type { Schedule, ZonedWindow } from "../schedule.ts";
import { reasonOf } from "../system_error.ts";
import { parseWindow, WindowError } from "../window.ts";

export interface ScheduleConfig {
  /** The windows, and the freezes that stand in the configuration itself. */
  readonly schedule: Schedule;
  readonly zone: string;
  /** By what the windows were set; `undefined`: there are none. */
  readonly origin: string | undefined;
  /** Files of freezes, and by what each was named. */
  readonly files: readonly { readonly path: string; readonly origin: string }[];
  /** Over how long of each window machines begin, in milliseconds. */
  readonly spreadMs: number;
  /** How much of a window must be left, in milliseconds; absent: what the work before a reboot may take. */
  readonly marginMs?: number;
}

/** The schedule, unless it has a fault. */
export function composeSchedule(composer: Composer): ScheduleConfig | Faulty {
  const { part, faults, readFile } = composer;
  const before = faults.length;
  const { value: zone } = part("zone");
  const windows = composeWindows(composer, zone);
  const { value: texts = [], origin: named = "--freeze" } = part("freeze");
  const freezes: Freeze[] = texts.flatMap((text) => {
    const attempted = attempt(() => parseFreeze(text, zone ?? "UTC"), "");
    if ("value" in attempted) return [attempted.value];
    faults.push(...attempted.faults.map((fault) => `${named}: ${fault}`));
    return [];
  });
  const { value: paths = [], origin = "--freeze-file" } = part("freeze-file");
  for (const path of paths) {
    try {
      readFile(path);
    } catch (error) {
      faults.push(`${origin}: cannot read '${path}': ${reasonOf(error)}`);
    }
  }
  const { value: spreadMs } = part("spread");
  const { value: marginMs } = part("window-margin");
  if (windows !== undefined) judgeRoom(composer, windows);
  if (faults.length > before || windows === undefined || zone === undefined || spreadMs === undefined) {
    return FAULTY;
  }
  return {
    schedule: { windows, freezes },
    zone,
    origin: windows.length === 0 ? undefined : part("reboot-window-start").origin,
    files: [...new Set(paths)].map((path) => ({ path, origin })),
    spreadMs,
    ...present({ marginMs }),
  };
}

/** The windows; none: always open. `undefined` where there is a fault. */
function composeWindows({ part, faults }: Composer, zone: string | undefined): ZonedWindow[] | undefined {
  const [start, length] = [part("reboot-window-start"), part("reboot-window-length")];
  const isNone = start.value?.length === 1 && start.value[0] === "none";
  if (isNone && (start.origin !== undefined || length.origin === undefined)) return [];
  if (start.origin === undefined || length.origin === undefined) {
    const [given, missing] = start.origin === undefined ? [length, "start"] : [start, "length"];
    faults.push(`${given.origin}: needs --reboot-window-${missing} too: a window has a start and a length`);
    return undefined;
  }
  if (start.value === undefined || length.value === undefined) return undefined;
  const [starts, lengths] = [start.value, length.value];
  if (starts.includes("none")) {
    faults.push(`${start.origin}: none cannot be combined with windows`);
    return undefined;
  }
  if (lengths.length !== 1 && lengths.length !== starts.length) {
    faults.push(
      `${length.origin}: ${lengths.length} lengths for ${starts.length} ${
        starts.length === 1 ? "start" : "starts"
      }; ` +
        "give one length for all windows, or one for each",
    );
    return undefined;
  }
  const windows = starts.flatMap((text, index): ZonedWindow[] => {
    try {
      const window = parseWindow(text, lengths[lengths.length === 1 ? 0 : index] ?? "");
      return zone === undefined ? [] : [{ window, zone }];
    } catch (error) {
      if (!(error instanceof WindowError)) throw error;
      for (const fault of error.faults) {
        faults.push(`${fault.startsWith("window length") ? length.origin : start.origin}: ${fault}`);
      }
      return [];
    }
  });
  return windows.length === starts.length ? windows : undefined;
}

/** Whether spread and margin leave something of each window. */
function judgeRoom({ part, faults }: Composer, windows: readonly ZonedWindow[]): void {
  const [spread, margin] = [part("spread"), part("window-margin")];
  const leastMs = Math.min(...windows.map(({ window }) => window.lengthMs));
  const marginMs = margin.value ?? 0;
  if (spread.value && windows.length === 0) {
    faults.push(`${spread.origin}: has no effect without a reboot window`);
  } else if (marginMs >= leastMs) {
    faults.push(
      `${margin.origin}: ${formatDuration(marginMs)} leave nothing of a window of ${formatDuration(leastMs)}`,
    );
  } else if ((spread.value ?? 0) > leastMs - marginMs) {
    faults.push(
      `${spread.origin}: ${formatDuration(spread.value ?? 0)} do not fit into a window of ${
        formatDuration(leastMs)
      }` +
        (marginMs > 0 ? ` with a margin of ${formatDuration(marginMs)}` : ""),
    );
  }
}
