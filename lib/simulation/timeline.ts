/**
 * A roll-out as a picture: machines as rows, in the order in which they rebooted, so that a row says how many were before;
 * time from left to right; what each machine does as bars; the time in which the window is open as a band. Pure: the same
 * roll-out gives the same text.
 *
 * The file stands alone: no script, no font, no other file. It is light on a light screen and dark on a dark one. Bars
 * of one state are one path, so that a picture of thousands of machines still opens.
 */

import { formatDuration } from "../duration.ts";
import { isLimited } from "../schedule.ts";
import type { Rollout, SpanState } from "./rollout.ts";
import { TimeAxis } from "./time_axis.ts";

const WIDTH = 1200;
const PLOT = { left: 72, right: 28, top: 118, bottom: 64 };
/** A row is at most so high, and all of them together, in pixels: the second grows with the machines up to the third. */
const ROW_PX = 16;
const ROWS_PX = { from: 560, to: 960 };
/** Narrower bars would not be seen. */
const BAR_LEAST_PX = 0.5;
/** A narrower cut is not labelled. */
const CUT_LABEL_PX = 24;
/** About what a character of the small text takes. */
const CHARACTER_PX = 6.6;

/** In the order in which they are drawn. */
const STATES: readonly { readonly state: SpanState; readonly label: string }[] = [
  { state: "waiting", label: "waiting" },
  { state: "holding", label: "holding a slot" },
  { state: "rebooting", label: "rebooting" },
];

/** Of machines that have checks, hooks or a soak. */
const UPKEEP_STATES: typeof STATES = [
  { state: "proving", label: "hooks, checks and soak" },
  { state: "unhealthy", label: "unhealthy" },
];

/** Plain colours, since not every viewer knows variables; and the others where the screen is dark. */
const COLORS = {
  light: {
    paper: "#ffffff",
    ink: "#1f2430",
    soft: "#667085",
    line: "#d5dae2",
    open: "#dff3e3",
    edge: "#35a05a",
    closed: "#f1f3f6",
    hatch: "#d9dee6",
    waiting: "#aeb8c8",
    holding: "#e8890c",
    rebooting: "#2b6fd6",
    proving: "#8f5bd0",
    unhealthy: "#cf2e3c",
  },
  dark: {
    paper: "#14171d",
    ink: "#e8ebf0",
    soft: "#98a2b3",
    line: "#363c48",
    open: "#16321f",
    edge: "#4cc274",
    closed: "#1b1f27",
    hatch: "#2b313c",
    waiting: "#7a879c",
    holding: "#ffac3d",
    rebooting: "#5b9bff",
    proving: "#b68cf0",
    unhealthy: "#ff6b73",
  },
};

function colorRules(color: typeof COLORS.light): string {
  return `text { fill: ${color.soft}; } .title, .strong { fill: ${color.ink}; }
.paper { fill: ${color.paper}; } .open { fill: ${color.open}; } .edge { fill: ${color.edge}; }
.closed { fill: ${color.closed}; } .hatch { stroke: ${color.hatch}; }
.waiting { fill: ${color.waiting}; } .holding { fill: ${color.holding}; } .rebooting { fill: ${color.rebooting}; }
.proving { fill: ${color.proving}; } .unhealthy { fill: ${color.unhealthy}; }
.line { stroke: ${color.line}; } .end { stroke: ${color.ink}; } .halo { stroke: ${color.paper}; }`;
}

const STYLE = `
text { font-family: system-ui, "Segoe UI", "DejaVu Sans", Arial, sans-serif; font-size: 12px;
  font-variant-numeric: tabular-nums; }
.title { font-size: 20px; font-weight: 600; }
.lead { font-size: 14px; }
.cut { fill: url(#hatch); } .hatch { stroke-width: 3; } .waiting { fill-opacity: 0.62; }
.end { stroke-dasharray: 4 3; } .halo { paint-order: stroke; stroke-width: 3px; stroke-linejoin: round; }
${colorRules(COLORS.light)}
@media (prefers-color-scheme: dark) {
${colorRules(COLORS.dark)}
}
`.trim();

/** The words around the picture; what they say is up to who asks for it. */
export interface Caption {
  readonly title: string;
  readonly lead: string;
}

/** The picture of a roll-out. Its times are those of `zone`. */
export function timelineSvg(rollout: Rollout, zone: string, { title, lead }: Caption): string {
  const { machines, plan } = rollout;
  const rowsPx = Math.min(
    machines.length * ROW_PX,
    Math.max(ROWS_PX.from, Math.min(machines.length, ROWS_PX.to)),
  );
  const bottom = PLOT.top + rowsPx;
  const axis = axisOf(rollout);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${bottom + PLOT.bottom}" ` +
    `viewBox="0 0 ${WIDTH} ${bottom + PLOT.bottom}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<desc>${escapeXml(lead)}</desc>`,
    `<style>${STYLE}</style>`,
    `<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">` +
    `<rect class="closed" width="8" height="8"/><path class="hatch" d="M0 0v8"/></pattern></defs>`,
    `<rect class="paper" width="${WIDTH}" height="${bottom + PLOT.bottom}"/>`,
    text(PLOT.left, 38, title, { className: "title" }),
    text(PLOT.left, 62, lead, { className: "lead" }),
    ...legend(rollout, isLimited(plan.schedule)),
    ...background(rollout, axis, bottom),
    ...rowLabels(machines.length, rowsPx),
    ...bars(rollout, axis, rowsPx),
    ...cutLabels(axis, rowsPx),
    ...timeLabels(rollout, axis, zone, bottom),
    ...endMark(rollout, axis, zone, bottom),
    "</svg>\n",
  ].join("\n");
}

function axisOf({ machines, windows, plan, throughMs }: Rollout): TimeAxis {
  const lastMs = throughMs ?? machines.reduce((end, { spans }) => Math.max(end, spans.at(-1)?.toMs ?? 0), 0);
  const openMs = windows.reduce((sum, { startMs, endMs }) => {
    return sum + Math.max(0, Math.min(endMs, lastMs) - Math.max(0, startMs));
  }, 0);
  // some room behind the end; of the window what fits
  const roomMs = !isLimited(plan.schedule)
    ? lastMs * 0.04
    : Math.max(openMs * 0.04, Math.min((windows.at(-1)?.endMs ?? 0) - lastMs, openMs * 0.3));
  const endMs = Math.max(1, lastMs + roomMs);
  const openings = !isLimited(plan.schedule) ? [{ startMs: 0, endMs }] : windows;
  return new TimeAxis(endMs, openings, PLOT.left, WIDTH - PLOT.left - PLOT.right);
}

/** The states that a machine of the roll-out may be in. */
function statesOf({ plan }: Rollout): typeof STATES {
  return plan.upkeep === undefined ? STATES : [...STATES, ...UPKEEP_STATES];
}

function legend(rollout: Rollout, windows: boolean): string[] {
  const entries = [
    ...statesOf(rollout).map(({ state, label }) => ({ className: state, label })),
    ...(windows ? [{ className: "edge", label: "window open" }] : []),
  ];
  let x = PLOT.left;
  return entries.flatMap(({ className, label }) => {
    const at = x;
    x += 44 + label.length * CHARACTER_PX;
    return [
      `<rect class="${className}" x="${at}" y="79" width="14" height="10" rx="2"/>`,
      text(at + 20, 88, label),
    ];
  });
}

/** Open, closed and cut time, and how many reboots each window had. */
function background({ plan, windows }: Rollout, { stretches }: TimeAxis, bottom: number): string[] {
  const height = bottom - PLOT.top;
  return stretches.flatMap(({ open, cut, x, width, fromMs, toMs }) => {
    const className = cut ? "cut" : open && isLimited(plan.schedule) ? "open" : "closed";
    const band = `<rect class="${className}" ${box(x, PLOT.top, width, height)}/>`;
    if (!open || !isLimited(plan.schedule)) return [band];
    const reboots = windows.find(({ startMs, endMs }) => startMs < toMs && endMs > fromMs)?.reboots ?? 0;
    const label = [`${reboots} ${reboots === 1 ? "reboot" : "reboots"}`, String(reboots), ""]
      .find((label) => label.length * CHARACTER_PX <= width) ?? "";
    return [
      band,
      `<rect class="edge" ${box(x, PLOT.top - 4, width, 4)}/>`,
      ...(label === "" ? [] : [text(x + width / 2, PLOT.top - 10, label, { anchor: "middle" })]),
    ];
  });
}

/** The rows by their numbers: each where there is room, else full ones. */
function rowLabels(count: number, rowsPx: number): string[] {
  const pitch = rowsPx / count;
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((step) => step * pitch >= 14) ??
    count;
  const labels: string[] = [text(PLOT.left - 8, PLOT.top - 10, "machines", { anchor: "end" })];
  for (let row = step === 1 ? 1 : step; row <= count; row += step) {
    labels.push(text(PLOT.left - 8, PLOT.top + (row - 0.5) * pitch + 4, String(row), { anchor: "end" }));
  }
  return labels;
}

function bars(rollout: Rollout, axis: TimeAxis, rowsPx: number): string[] {
  const { machines } = rollout;
  const pitch = rowsPx / machines.length;
  const height = pitch >= 4 ? pitch * 0.78 : pitch;
  // who stood first in line when a window closed may stand anywhere when the next one opens
  const rows = machines.toSorted((a, b) => (a.calledMs ?? Infinity) - (b.calledMs ?? Infinity) || 0);
  return statesOf(rollout).map(({ state }) => {
    const path = rows.flatMap(({ spans }, row) => {
      const y = PLOT.top + row * pitch + (pitch - height) / 2;
      return spans.filter((span) => span.state === state).map(({ fromMs, toMs }) => {
        const x = axis.x(fromMs);
        const width = px(Math.max(BAR_LEAST_PX, axis.x(toMs) - x));
        return `M${px(x)} ${px(y)}h${width}v${px(height)}h-${width}z`;
      });
    });
    return `<path class="${state}" d="${path.join("")}"/>`;
  });
}

function cutLabels({ stretches }: TimeAxis, rowsPx: number): string[] {
  return stretches.slice(0, -1).flatMap(({ cut, x, width, fromMs, toMs }) => {
    const label = `closed for ${formatDuration(Math.round((toMs - fromMs) / 60_000) * 60_000)}`;
    if (!cut || width < CUT_LABEL_PX || label.length * CHARACTER_PX > rowsPx - 10) return [];
    const [middle, y] = [px(x + width / 2 + 4), px(PLOT.top + rowsPx / 2)];
    return [
      `<text class="halo strong" x="${middle}" y="${y}" text-anchor="middle" ` +
      `transform="rotate(-90 ${middle} ${y})">${escapeXml(label)}</text>`,
    ];
  });
}

/** The clock, and below it the day where another begins. */
function timeLabels({ plan }: Rollout, axis: TimeAxis, zone: string, bottom: number): string[] {
  const at = (ms: number) =>
    Temporal.Instant.fromEpochMilliseconds(Math.floor(plan.startMs + ms)).toZonedDateTimeISO(zone);
  const ticks = axis.ticks(plan.startMs, zone);
  const labels = ticks.flatMap(({ x, text: clock }) => [
    `<path class="line" d="M${px(x)} ${px(bottom)}v6"/>`,
    text(x, bottom + 20, clock, { anchor: "middle" }),
  ]);
  // each stretch between cuts begins with its day, and so does each day within one
  const days = [
    ...axis.stretches.filter(({ cut }) => !cut).map(({ x, fromMs }) => ({ x, day: dayText(at(fromMs)) })),
    ...ticks.map(({ x, atMs }) => ({ x, day: dayText(at(atMs)) })),
  ].sort((a, b) => a.x - b.x);
  let last = "";
  let free = 0;
  for (const { x, day } of days) {
    const left = Math.min(x, WIDTH - day.length * CHARACTER_PX - 4);
    if (day === last || left < free) continue;
    labels.push(text(left, bottom + 40, day, { className: "strong" }));
    last = day;
    free = left + (day.length + 2) * CHARACTER_PX;
  }
  return [
    ...labels,
    `<path class="line" d="M${PLOT.left} ${px(bottom)}H${WIDTH - PLOT.right}"/>`,
    text(WIDTH - PLOT.right, bottom + 56, zone, { anchor: "end" }),
  ];
}

function dayText(at: Temporal.ZonedDateTime): string {
  return `${["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][at.dayOfWeek - 1]} ${at.toPlainDate()}`;
}

/** Where it is done, or why it never is. */
function endMark(
  { plan, throughMs, why = "" }: Rollout,
  axis: TimeAxis,
  zone: string,
  bottom: number,
): string[] {
  if (throughMs === null) {
    return [
      text(WIDTH / 2, (PLOT.top + bottom) / 2, why, { className: "halo strong lead", anchor: "middle" }),
    ];
  }
  const x = axis.x(throughMs);
  const clock = Temporal.Instant.fromEpochMilliseconds(Math.ceil((plan.startMs + throughMs) / 1000) * 1000)
    .toZonedDateTimeISO(zone).toPlainTime();
  return [
    `<path class="end" d="M${px(x)} ${PLOT.top}V${px(bottom)}"/>`,
    text(x - 6, PLOT.top + 16, `done ${clock}`, { className: "halo strong", anchor: "end" }),
  ];
}

interface TextStyle {
  readonly className?: string;
  readonly anchor?: "middle" | "end";
}

function text(x: number, y: number, content: string, { className, anchor }: TextStyle = {}): string {
  const attributes = (className === undefined ? "" : ` class="${className}"`) +
    (anchor === undefined ? "" : ` text-anchor="${anchor}"`);
  return `<text x="${px(x)}" y="${px(y)}"${attributes}>${escapeXml(content)}</text>`;
}

function box(x: number, y: number, width: number, height: number): string {
  return `x="${px(x)}" y="${px(y)}" width="${px(width)}" height="${px(height)}"`;
}

/** Hundredths of a pixel are enough, and keep the file small. */
function px(value: number): string {
  return String(Math.round(value * 100) / 100);
}

function escapeXml(content: string): string {
  // deno-lint-ignore no-control-regex -- XML has no way to write these
  return content.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "").replace(
    /[&<>"']/g,
    (character) => `&#${character.charCodeAt(0)};`,
  );
}
