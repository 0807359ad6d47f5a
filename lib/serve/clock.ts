/**
 * Instants and lengths of time on the page: in UTC and as of now for readers without JavaScript; the page's script
 * puts them on the clock of the reader, and lets ages grow (`page.js` words lengths in the same way).
 */

import { describeEstimate } from "../description.ts";
import { type Html, html } from "./html.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A length of time as far as it matters to somebody who looks up: `45 s`, `4 min`, `1 h 20 min`, `2 d 11 h`. */
export function roughly(ms: number): string {
  if (ms < MINUTE_MS) return `${Math.max(0, Math.floor(ms / 1000))} s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`;
  const [large, small] = ms < DAY_MS ? [HOUR_MS, MINUTE_MS] : [DAY_MS, HOUR_MS];
  const [largeName, smallName] = ms < DAY_MS ? ["h", "min"] : ["d", "h"];
  const rest = Math.floor((ms % large) / small);
  return `${Math.floor(ms / large)} ${largeName}${rest === 0 ? "" : ` ${rest} ${smallName}`}`;
}

/** An instant on the clock: `14:03 UTC`, with its day unless it is the day of `now`. */
export function clock(ms: number, now: number): Html {
  return time(ms, "clock", `${clockText(ms, now)} UTC`);
}

/** An instant that is told behind another one: with its day unless it is the other's. */
export function clockAfter(ms: number, beforeMs: number, now: number): Html {
  const text = `${clockText(ms, sameDay(ms, beforeMs) ? ms : now)} UTC`;
  return html`<time datetime="${instant(ms)}" data-show="clock" data-after="${
    instant(beforeMs)
  }">${text}</time>`;
}

function clockText(ms: number, now: number): string {
  const at = utc(ms);
  const day = sameDay(ms, now) ? "" : `${dayName(at)} ${at.day} ${monthName(at)} `;
  return day + at.toPlainTime().toString({ smallestUnit: "minute" });
}

function sameDay(a: number, b: number): boolean {
  return utc(a).toPlainDate().equals(utc(b).toPlainDate());
}

/** How long ago an instant was. */
export function age(ms: number, now: number): Html {
  return time(ms, "age", roughly(now - ms));
}

/** How far away a coming instant is: `in 4 min`. */
export function ahead(ms: number, now: number): Html {
  return time(ms, "ahead", `in ${roughly(Math.max(0, ms - now))}`);
}

/** How far away an estimated instant is: `about 40 min`. */
export function estimate(ms: number, now: number): Html {
  return time(ms, "about", describeEstimate(Math.max(0, ms - now)));
}

function time(ms: number, show: string, text: string): Html {
  return html`<time datetime="${instant(ms)}" data-show="${show}">${text}</time>`;
}

function instant(ms: number): string {
  return new Date(Math.round(ms / 1000) * 1000).toISOString().replace(".000Z", "Z");
}

function utc(ms: number): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(Math.round(ms)).toZonedDateTimeISO("UTC");
}

function dayName(at: Temporal.ZonedDateTime): string {
  return ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][at.dayOfWeek - 1] ?? "";
}

function monthName(at: Temporal.ZonedDateTime): string {
  return ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][at.month - 1] ??
    "";
}
