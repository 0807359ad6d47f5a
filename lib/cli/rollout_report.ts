/**
 * What `locksmith simulate` says of a roll-out: as data, in the shape that `--json` prints, and for people. Pure.
 *
 * A roll-out that finishes a moment after a full second is said to be so with the next one: never too early.
 */

import { formatDuration } from "../duration.ts";
import { table } from "./output.ts";
import type { Rollout, SpanState } from "../simulation/rollout.ts";
import type { RolloutPlan } from "../simulation/plan.ts";
import { describeSchedule, isLimited } from "../schedule.ts";
import { clockText } from "./window_report.ts";

/** The shape of `locksmith simulate --json`. Instants are ISO 8601 with offset, seconds have up to three decimals. */
export interface RolloutReport {
  /** How many machines may reboot at once: what `--within` found, or `--max`. */
  readonly max: number;
  readonly start: string;
  /** When the last slot was given back; `null`: `why` says why not. */
  readonly through: string | null;
  readonly why: string | null;
  readonly takesSeconds: number | null;
  /** The same if nothing but grace and reboots took time; `null` where that has no end either. */
  readonly idealSeconds: number | null;
  /** In how many windows machines rebooted; `null` without a window. */
  readonly windowsUsed: number | null;
  /** From 0 to 1: how much of the slots' open time until the end was in use. */
  readonly busyShare: number;
  readonly longestWaitSeconds: number;
  /** How many machines did not come back, and keep their slots. */
  readonly lost: number;
  /** How many came back, are not well, and keep their slots. */
  readonly unhealthy: number;
  /** How many did not reboot because their checks said no. */
  readonly heldOff: number;
  readonly windows: readonly { readonly start: string; readonly end: string; readonly reboots: number }[];
  /** In the order in which they stood in line. Seconds are from the start. */
  readonly machines: readonly {
    readonly machine: string;
    readonly spans: readonly {
      readonly state: SpanState;
      readonly fromSeconds: number;
      readonly toSeconds: number;
    }[];
  }[];
}

/** The report of a roll-out, on the clock of `zone`. */
export function rolloutReport(rollout: Rollout, zone: string): RolloutReport {
  const { plan, machines, windows, throughMs, why, idealMs, busyShare, longestWaitMs, lost } = rollout;
  const { unhealthy, heldOff } = rollout;
  const at = (ms: number) => instant(plan, zone, ms).toString({ timeZoneName: "never" });
  return {
    max: plan.max,
    start: at(0),
    through: throughMs === null ? null : at(throughMs),
    why: why ?? null,
    takesSeconds: throughMs === null ? null : seconds(throughMs),
    idealSeconds: Number.isFinite(idealMs) ? seconds(idealMs) : null,
    windowsUsed: !isLimited(plan.schedule) ? null : usedWindows(rollout),
    busyShare: Math.floor(busyShare * 10_000) / 10_000,
    longestWaitSeconds: seconds(longestWaitMs),
    lost,
    unhealthy,
    heldOff,
    windows: windows.map(({ startMs, endMs, reboots }) => ({ start: at(startMs), end: at(endMs), reboots })),
    machines: machines.map(({ id, spans }) => ({
      machine: id,
      spans: spans.map(({ state, fromMs, toMs }) => ({
        state,
        fromSeconds: seconds(fromMs),
        toSeconds: seconds(toMs),
      })),
    })),
  };
}

/** A roll-out for people. Ends with a newline. `note` says more of its window. */
export function rolloutText(rollout: Rollout, zone: string, note = ""): string {
  const { plan, windows, throughMs, why = "", idealMs, longestWaitMs, lost } = rollout;
  const { unhealthy, heldOff } = rollout;
  const clock = (ms: number) => clockUp(plan, zone, ms);
  const ideal = Number.isFinite(idealMs) ? `ideal: ${wholeSeconds(idealMs)}` : "";
  const of = !isLimited(plan.schedule) ? "" : " of the time that the window is open";
  const facts = [
    ["Start:", clock(0)],
    ["Done:", throughMs === null ? why : clock(throughMs)],
    ...(lost > 0 && throughMs !== null ? [["Lost:", lostText(lost)]] : []),
    ...(unhealthy > 0 && throughMs !== null ? [["Unhealthy:", unhealthyText(unhealthy)]] : []),
    ...(heldOff > 0 ? [["Held off:", heldOffText(heldOff)]] : []),
    ...(throughMs === null
      ? ideal === "" ? [] : [["Takes:", `more than 8784h, ${ideal}`]]
      : [["Takes:", `${wholeSeconds(throughMs)}, ${ideal}`]]),
    ...(!isLimited(plan.schedule) || throughMs === null ? [] : [["Windows:", String(usedWindows(rollout))]]),
    ...(throughMs === null ? [] : [
      ["Slots busy:", `${percent(rollout)}${of}`],
      ["Longest wait:", wholeSeconds(longestWaitMs)],
    ]),
  ];
  const rows = windows.map(({ startMs, endMs, reboots }) => [clock(startMs), clock(endMs), String(reboots)]);
  return `${describePlan(plan, zone)}${note}\n\n${table(facts)}` +
    (rows.length === 0 ? "" : `\n${table([["WINDOW", "UNTIL", "REBOOTS"], ...rows])}`);
}

function lostText(lost: number): string {
  return `${lost} ${
    lost === 1
      ? "machine does not come back and keeps its slot"
      : "machines do not come back and keep their slots"
  }`;
}

function unhealthyText(unhealthy: number): string {
  return unhealthy === 1
    ? "1 machine does not get well after its boot and keeps its slot"
    : `${unhealthy} machines do not get well after their boots and keep their slots`;
}

function heldOffText(heldOff: number): string {
  return heldOff === 1
    ? "1 machine does not reboot because its checks say no"
    : `${heldOff} machines do not reboot because their checks say no`;
}

/** What a picture of the roll-out says above it. `note` says more of its window. */
export function rolloutCaption(rollout: Rollout, zone: string, note = ""): { title: string; lead: string } {
  const { plan, throughMs, why = "" } = rollout;
  const lead = describePlan(plan, zone) + note;
  if (throughMs === null) return { title: `Roll-out ${why}`, lead };
  const used = usedWindows(rollout);
  const windows = !isLimited(plan.schedule) ? "" : `, in ${used} ${used === 1 ? "window" : "windows"}`;
  return {
    title: `Done ${clockUp(plan, zone, throughMs)}${windows}`,
    lead: `${lead}; slots ${percent(rollout)} busy`,
  };
}

/** The plan in words. */
export function describePlan(plan: RolloutPlan, zone: string): string {
  const { machines, max, rebootMs, graceMs, schedule, spreadMs = 0, failShare = 0 } = plan;
  const [from, to] = [formatDuration(rebootMs.from), formatDuration(rebootMs.to)];
  return [
    `${machines} ${machines === 1 ? "machine" : "machines"}, ${max} at once`,
    `a reboot takes ${from === to ? from : `${from} to ${to}`}`,
    ...(failShare > 0 ? [`${share(failShare)} never come back`] : []),
    ...describeUpkeep(plan.upkeep),
    ...(graceMs > 0 ? [`grace of ${formatDuration(graceMs)}`] : []),
    describeSchedule(schedule, zone),
    ...(spreadMs > 0 ? [`spread over ${formatDuration(spreadMs)}`] : []),
  ].join("; ");
}

function describeUpkeep(upkeep: RolloutPlan["upkeep"]): string[] {
  if (upkeep === undefined) return [];
  const { hooksMs, checksMs, soakMs, heldOffShare, unhealthyShare, recoverMs } = upkeep;
  const until = recoverMs === Infinity ? "" : ` for ${formatDuration(recoverMs)}`;
  return [
    ...(heldOffShare > 0 ? [`checks hold ${share(heldOffShare)} off${until}`] : []),
    ...(unhealthyShare > 0 ? [`${share(unhealthyShare)} are unhealthy after the boot${until}`] : []),
    ...(hooksMs > 0 ? [`hooks take ${formatDuration(hooksMs)}`] : []),
    ...(checksMs > 0 ? [`checks take ${formatDuration(checksMs)}`] : []),
    ...(soakMs > 0 ? [`soak of ${formatDuration(soakMs)}`] : []),
  ];
}

function share(part: number): string {
  return `${Math.round(part * 1e8) / 1e6} %`;
}

/** The moment `ms` after the start, or the next full second. */
function clockUp(plan: RolloutPlan, zone: string, ms: number): string {
  const upMs = Math.ceil((plan.startMs + ms) / 1000) * 1000 - plan.startMs;
  return clockText(instant(plan, zone, upMs), false);
}

/** All is said of slots that were never idle only. */
function percent({ busyShare }: Rollout): string {
  return `${(Math.floor(busyShare * 1000) / 10).toFixed(1)} %`;
}

function usedWindows({ windows }: Rollout): number {
  return windows.filter(({ reboots }) => reboots > 0).length;
}

function instant({ startMs }: RolloutPlan, zone: string, ms: number): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(Math.round(startMs + ms)).toZonedDateTimeISO(zone);
}

function seconds(ms: number): number {
  return Math.round(ms) / 1000;
}

function wholeSeconds(ms: number): string {
  return formatDuration(Math.ceil(ms / 1000) * 1000);
}
