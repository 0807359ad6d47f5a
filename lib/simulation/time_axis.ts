/**
 * A time axis for a picture: where a moment stands, and which moments are named. Pure.
 *
 * Where windows are a week apart, most of a true axis would be time in which nothing happens. So a long closed stretch
 * is cut to a narrow one; between cuts the axis is true, and has one scale throughout.
 */

/** A stretch of the axis, from pixel `x` on, `width` wide. */
export interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
  readonly open: boolean;
  /** Narrower than its time. */
  readonly cut: boolean;
  readonly x: number;
  readonly width: number;
}

/** A moment that is named on the axis. */
export interface Tick {
  readonly atMs: number;
  readonly x: number;
  /** The clock of the zone, or its date where days are the step. */
  readonly text: string;
}

/** What share of the axis the cuts may take, and how wide one is at most, in pixels. */
const CUTS_SHARE = 0.3;
const CUT_LIMIT_PX = 40;
/** The least distance of two ticks, in pixels. */
const TICK_DISTANCE_PX = 58;

const [SECOND, MINUTE, HOUR, DAY] = [1000, 60_000, 3_600_000, 24 * 3_600_000];
/** Steps below a day divide it, so that ticks stand where people look for them. */
const STEPS_MS = [
  ...[1, 2, 5, 10, 15, 30].map((step) => step * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((step) => step * MINUTE),
  ...[1, 2, 3, 6, 12].map((step) => step * HOUR),
  ...[1, 2, 7, 14, 28, 56].map((step) => step * DAY),
];

export class TimeAxis {
  readonly stretches: readonly Stretch[];
  readonly #pxPerMs: number;

  /**
   * From 0 to `endMs` in `width` pixels from `x` on. `openings` are the stretches in which the window is open, in their
   * order; what is not within one is closed.
   */
  constructor(
    endMs: number,
    openings: readonly { readonly startMs: number; readonly endMs: number }[],
    x: number,
    width: number,
  ) {
    const parts: { fromMs: number; toMs: number; open: boolean }[] = [];
    let atMs = 0;
    const add = (toMs: number, open: boolean) => {
      const limited = Math.min(toMs, endMs);
      if (limited > atMs) parts.push({ fromMs: atMs, toMs: limited, open });
      atMs = Math.max(atMs, limited);
    };
    for (const opening of openings) {
      add(opening.startMs, false);
      add(opening.endMs, true);
    }
    add(endMs, false);

    const closed = parts.filter(({ open }) => !open);
    const cutPx = Math.min(CUT_LIMIT_PX, CUTS_SHARE * width / Math.max(1, closed.length));
    let cuts: typeof parts = [];
    let scale = width / endMs;
    // each cut leaves more room to the others: another may then be too wide
    for (let before = -1; before < cuts.length;) {
      before = cuts.length;
      cuts = closed.filter((part) => (part.toMs - part.fromMs) * scale > cutPx);
      const trueMs = endMs - cuts.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
      // where all is closed there is nothing to make room for
      if (trueMs <= 0) cuts = [];
      else scale = (width - cuts.length * cutPx) / trueMs;
    }
    this.#pxPerMs = scale;
    let left = x;
    this.stretches = parts.map((part) => {
      const cut = cuts.includes(part);
      const stretch = { ...part, cut, x: left, width: cut ? cutPx : (part.toMs - part.fromMs) * scale };
      left += stretch.width;
      return stretch;
    });
  }

  /** Where a moment stands; one beyond the axis stands at its end. */
  x(ms: number): number {
    const stretch = this.stretches.find(({ toMs }) => ms <= toMs) ?? this.stretches.at(-1);
    if (stretch === undefined) return 0;
    const { fromMs, toMs, x, width } = stretch;
    return x + width * Math.min(1, Math.max(0, (ms - fromMs) / (toMs - fromMs)));
  }

  /** The ticks outside of cuts, by the clock of `zone`. `startMs`: where 0 is, in milliseconds since the epoch. */
  ticks(startMs: number, zone: string): Tick[] {
    const step = STEPS_MS.find((step) => step * this.#pxPerMs >= TICK_DISTANCE_PX) ?? STEPS_MS.at(-1) ?? DAY;
    const ticks: Tick[] = [];
    for (const { fromMs, toMs, cut, x: fromX } of this.stretches) {
      if (cut) continue;
      const before = ticks.length;
      for (const at of instants(startMs + fromMs, startMs + toMs, step, zone)) {
        const atMs = at.epochMilliseconds - startMs;
        const x = this.x(atMs);
        const crowded = x - (ticks.at(-1)?.x ?? -Infinity) < TICK_DISTANCE_PX * 0.8;
        // when a window opens is of more interest than when the one before it closed
        if (crowded && ticks.length === before && x - fromX < 1) ticks.pop();
        else if (crowded) continue;
        const text = step >= DAY
          ? at.toPlainDate().toString().slice(5)
          : at.toPlainTime().toString({ smallestUnit: step < MINUTE ? "second" : "minute" });
        ticks.push({ atMs, x, text });
      }
    }
    return ticks;
  }
}

/** Each full step of the clock from one instant to the other, in their order. */
function* instants(
  fromMs: number,
  toMs: number,
  step: number,
  zone: string,
): Generator<Temporal.ZonedDateTime> {
  const day = Temporal.Instant.fromEpochMilliseconds(fromMs).toZonedDateTimeISO(zone).toPlainDate();
  let lastMs = -Infinity;
  for (let days = 0;; days += Math.max(1, step / DAY)) {
    const midnight = day.add({ days }).toPlainDateTime();
    for (let ms = 0; ms < DAY; ms += step) {
      const at = midnight.add({ milliseconds: ms }).toZonedDateTime(zone);
      if (at.epochMilliseconds > toMs) return;
      // what a clock change leaps over stands where the next step does
      if (at.epochMilliseconds >= fromMs && at.epochMilliseconds > lastMs) yield at;
      lastMs = Math.max(lastMs, at.epochMilliseconds);
    }
  }
}
