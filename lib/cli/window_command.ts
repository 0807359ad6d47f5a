/** `locksmith window`: when this host may reboot, by its windows and freezes, or by those of the command line. */

import type { Context } from "./command.ts";
import { describeDuration } from "../description.ts";
import { LiveSchedule } from "./live_schedule.ts";
import { readMachineId } from "../host/identity.ts";
import { delayOf, isLimited } from "../schedule.ts";
import { renderWindowReport, windowReport } from "./window_report.ts";

/** Exit 0, whether reboots are allowed or not. */
export async function showWindow(context: Context<"window">): Promise<number> {
  const { config, surroundings, out, screen } = context;
  const { schedule: configured, zone, moment, count, json, root, group } = config;
  const at = moment ?? Temporal.Instant.fromEpochMilliseconds(surroundings.now()).toZonedDateTimeISO(zone);
  const now = at.epochMilliseconds;
  const { spreadMs } = configured;
  const delayMs = spreadMs === 0 ? 0 : delayOf(await readMachineId(root), group, spreadMs);
  const live = await LiveSchedule.open(configured, delayMs, now);
  const schedule = live.at(now);
  const report = windowReport(schedule, at, count);
  // another time than now is no business of the daemon
  const reported = moment === null || moment === undefined
    ? await (await import("./now_report.ts")).nowReport(context, live.windowAt(now))
    : null;
  out(
    json
      ? `${JSON.stringify({ ...report, ...(reported === null ? {} : { now: reported }) })}\n`
      : isLimited(schedule)
      ? renderWindowReport(report, schedule, at, screen && describeDuration)
      : "no reboot window is configured: reboots are allowed at any time\n",
  );
  if (!json && reported !== null) out(`\n${(await import("./now_report.ts")).renderNow(reported)}`);
  return 0;
}
