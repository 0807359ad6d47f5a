/**
 * The pictures of the page: the last day of a group, and its windows in the days to come. There is no text in them: it
 * stands below, where it can be read at any width; what a picture shows is said in its label. Pure.
 */

import { DAY_MS, median, type PastDay } from "../past_day.ts";
import { AHEAD_MS, type GroupView } from "./fleet.ts";
import type { Opening } from "../schedule.ts";
import { type Html, html } from "./html.ts";
import { roughly } from "./clock.ts";

const WIDTH = 720;
/** So many slots are drawn as lanes, and so many holds as bars; of more it is drawn how many were held at once. */
const LANES_MOST = 8;
const BARS_MOST = 240;
/** How a picture is cut where it is drawn how many were held. */
const STEP_MS = 10 * 60_000;
/** Narrower bars would not be seen. */
const BAR_LEAST = 1.5;

/** So many bars at most say who they are. */
const NAMED_MOST = 24;

/** In the order in which they are drawn. */
const LOOKS = ["done", "other", "now", "late"] as const;
type Look = typeof LOOKS[number];

/** A hold as it is drawn. */
interface Bar {
  readonly fromMs: number;
  readonly toMs: number;
  readonly look: Look;
  readonly name: string;
}

/** The last day of a group as a picture; `undefined`: there is nothing to show. */
export function dayChart({ day, holders, seen }: GroupView, nowMs: number): Html | undefined {
  if (day === undefined) return undefined;
  const now = fullMinute(nowMs);
  const bars: Bar[] = [
    ...day.holds.map(({ machine, host, fromMs, toMs, rebooted }): Bar => {
      return { fromMs, toMs, look: rebooted ? "done" : "other", name: host ?? machine };
    }),
    ...holders.flatMap(({ id, hold, sinceMs, overdue, byHand }): Bar[] => {
      if (sinceMs === undefined) return [];
      const look = overdue ? "late" : byHand ? "other" : "now";
      return [{ fromMs: sinceMs, toMs: now, look, name: hold?.host ?? id }];
    }),
  ].filter(({ toMs }) => toMs >= now - DAY_MS);
  if (bars.length === 0 && day.pauses.length === 0) return undefined;
  const lanes = lanesOf(bars);
  const drawn = lanes.length <= LANES_MOST && bars.length <= BARS_MOST
    ? drawLanes(lanes, Math.max(lanes.length, Math.min(seen.semaphore.max, LANES_MOST)), now)
    : drawCount(bars, now);
  const pauses = day.pauses.map(({ fromMs, toMs, untilMs }) => {
    const [x, width] = span(fromMs, Math.min(toMs ?? untilMs ?? now, now), now);
    return html`
      <rect class="c-pause" x="${x}" y="0" width="${width}" height="${drawn.height}" />
    `;
  });
  const hours = [6, 12, 18].map((hours) => {
    return html`
      <path class="c-grid" d="M${WIDTH * hours / 24} 0v${drawn.height}" />
    `;
  });
  return html`
    <svg class="chart" role="img" aria-label="${said(day, bars, lanes.length)}" viewBox="0 0 ${WIDTH} ${drawn
      .height}"
      preserveAspectRatio="none">${drawn.picture}${hours}${pauses}</svg>
  `;
}

/** What the picture shows, in a sentence. */
function said(day: PastDay, bars: readonly unknown[], most: number): string {
  const reboots = day.holds.filter(({ rebooted }) => rebooted).length;
  const typical = median(day.rebootsMs);
  return [
    `The last 24 hours: ${reboots} ${reboots === 1 ? "reboot" : "reboots"}`,
    ...(typical === undefined ? [] : [`typically ${roughly(typical)} each`]),
    ...(bars.length === 0 ? [] : [`at most ${most} at once`]),
    ...(day.pauses.length === 0 ? [] : ["paused for a time"]),
  ].join(", ");
}

/** Bars that follow each other in one lane, as slots do. */
function lanesOf(bars: readonly Bar[]): Bar[][] {
  const lanes: Bar[][] = [];
  for (const bar of bars.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const lane = lanes.find((lane) => (lane.at(-1)?.toMs ?? 0) <= bar.fromMs);
    if (lane === undefined) lanes.push([bar]);
    else lane.push(bar);
  }
  return lanes;
}

interface Drawn {
  readonly picture: Html;
  readonly height: number;
}

function drawLanes(lanes: readonly (readonly Bar[])[], count: number, now: number): Drawn {
  const pitch = count <= 3 ? 14 : 10;
  const rails = Array.from({ length: count }, (_, lane) => {
    return html`
      <rect class="c-rail" x="0" y="${lane * pitch + 1}" width="${WIDTH}" height="${pitch - 2}" />
    `;
  });
  const drawn = lanes.flatMap((lane, index) =>
    lane.map((bar) => {
      const [x, width] = span(bar.fromMs, bar.toMs, now);
      return { ...bar, x, y: index * pitch + 1, width, height: pitch - 2 };
    })
  );
  // of a few each says who it is; many are one path a look, which is shorter
  const bars = drawn.length <= NAMED_MOST
    ? drawn.map(({ x, y, width, height, look, name, fromMs, toMs }) =>
      html`
        <rect class="c-${look}" x="${x}" y="${y}" width="${width}" height="${height}">
          <title>${name}, ${roughly(toMs - fromMs)}</title>
        </rect>
      `
    )
    : LOOKS.map((look) => {
      const path = drawn.filter((bar) => bar.look === look).map(({ x, y, width, height }) => {
        return `M${x} ${y}h${width}v${height}H${x}z`;
      });
      return path.length > 0 && html`
        <path class="c-${look}" d="${path.join("")}" />
      `;
    });
  return { picture: html`${rails}${bars}`, height: count * pitch };
}

/** How many were held at once, in steps. */
function drawCount(bars: readonly Bar[], now: number): Drawn {
  const height = 56;
  const steps = DAY_MS / STEP_MS;
  const counts: number[] = new Array(steps).fill(0);
  for (const { fromMs, toMs } of bars) {
    const first = Math.max(0, Math.floor((fromMs - now + DAY_MS) / STEP_MS));
    const last = Math.min(steps - 1, Math.floor((toMs - now + DAY_MS) / STEP_MS));
    for (let step = first; step <= last; step++) counts[step] = (counts[step] ?? 0) + 1;
  }
  const most = Math.max(1, ...counts);
  const width = WIDTH / steps;
  const line = counts.map((count) => `V${px(height - height * 0.95 * count / most)}h${px(width)}`).join("");
  return {
    picture: html`
      <path class="c-done" d="M0 ${height}${line}V${height}z" />
    `,
    height,
  };
}

/** Where a stretch of the last day is drawn. */
function span(fromMs: number, toMs: number, now: number): [number, number] {
  const at = (ms: number) => WIDTH * Math.min(1, Math.max(0, (ms - now + DAY_MS) / DAY_MS));
  const width = Math.max(BAR_LEAST, at(toMs) - at(fromMs));
  return [px(Math.min(at(fromMs), WIDTH - width)), px(width)];
}

/** The windows of the days to come as a picture. */
export function windowChart(openings: readonly Opening[], nowMs: number): Html {
  const now = fullMinute(nowMs);
  const at = (ms: number) => WIDTH * Math.min(1, Math.max(0, (ms - now) / AHEAD_MS));
  const open = openings.filter(({ startMs }) => startMs < now + AHEAD_MS).map(({ startMs, endMs }) => {
    const width = Math.max(BAR_LEAST, at(endMs) - at(startMs));
    return html`
      <rect class="c-open" x="${px(at(startMs))}" y="1" width="${px(width)}" height="12" />
    `;
  });
  const days = [1, 2, 3, 4, 5, 6].map((day) =>
    html`
      <path class="c-grid" d="M${px(WIDTH * day / 7)} 0v14" />
    `
  );
  return html`
    <svg class="chart thin" role="img" aria-label="${openings.length === 1
      ? "1 window"
      : `${open.length} windows`} in the next 7 days" viewBox="0 0 ${WIDTH} 14"
      preserveAspectRatio="none"><rect class="c-rail" x="0" y="1" width="${WIDTH}" height="12"/>${days}${open}</svg>
  `;
}

/** Pictures move once a minute: more is not seen, and each that is another is sent to everybody who looks. */
function fullMinute(ms: number): number {
  return Math.ceil(ms / 60_000) * 60_000;
}

function px(value: number): number {
  return Math.round(value * 10) / 10;
}
