/**
 * A change calendar: a file of iCalendar (RFC 5545) whose events are freezes, by whatever program it was written. Every
 * event counts but those that are cancelled, also one that is marked as free or tentative. A day without a time is a day
 * on the clock of whoever asks, and so is a time without a zone.
 *
 * What cannot be understood is a fault, and never left out: it may be the freeze that matters. Pure; the parser is that of
 * Mozilla, and is loaded only where there is such a file.
 */

import ICAL from "ical.js";
import type { Freeze } from "../freeze.ts";
import { plainLine, quoted, REASON_LENGTH_LIMIT } from "../plain_text.ts";
import { parseZone, WindowError } from "../window.ts";

/** The most events that a file may have. */
export const EVENTS_LIMIT = 5_000;
/** So often an event may come back from its first time until the end of what is asked for. */
const REPEATS_LIMIT = 20_000;
/** The most freezes at one time. */
const FREEZES_LIMIT = 5_000;

/** A file is no calendar that can be used; the message says why, without the name of the file. */
export class ChangeCalendarError extends Error {
  override readonly name = "ChangeCalendarError";
}

/** An event with those that replace single times of it. */
type Found = InstanceType<typeof ICAL.Event>;
type Time = InstanceType<typeof ICAL.Time>;

export class ChangeCalendar {
  private constructor(private readonly events: readonly Found[], private readonly zone: string) {}

  /** Reads a file for a machine in `zone`. Throws {@linkcode ChangeCalendarError}. */
  static read(text: string, zone: string): ChangeCalendar {
    const components = understood(() => {
      const parsed: unknown = ICAL.parse(text);
      // one calendar, or several behind each other
      const calendars = Array.isArray(parsed) && typeof parsed[0] === "string" ? [parsed] : parsed;
      return Array.isArray(calendars) ? calendars.map((calendar) => new ICAL.Component(calendar)) : [];
    });
    if (components.length === 0 || components.some(({ name }) => name !== "vcalendar")) {
      throw new ChangeCalendarError("it is no calendar: it does not begin with BEGIN:VCALENDAR");
    }
    const found = components.flatMap((calendar) => calendar.getAllSubcomponents("vevent"));
    if (found.length > EVENTS_LIMIT) {
      throw new ChangeCalendarError(`it has ${found.length} events; at most ${EVENTS_LIMIT} are read`);
    }
    const series = new Map<string, Found>();
    const single: Found[] = [];
    const others: Found[] = [];
    for (const component of found) {
      const event = new ICAL.Event(component, { exceptions: [] });
      if (event.isRecurrenceException()) others.push(event);
      else if (event.uid && !series.has(event.uid)) series.set(event.uid, event);
      else single.push(event);
    }
    for (const event of others) {
      const whole = series.get(event.uid);
      if (whole?.isRecurring()) understood(() => whole.relateException(event), whole);
      else single.push(event);
    }
    return new ChangeCalendar([...series.values(), ...single], zone);
  }

  /**
   * The freezes that are not over at `from` and begin before `until`, both in milliseconds since the epoch. Throws
   * {@linkcode ChangeCalendarError}.
   */
  freezes(from: number, until: number): Freeze[] {
    const freezes = this.events.flatMap((event) => [...this.#times(event, from, until)]);
    if (freezes.length > FREEZES_LIMIT) {
      throw new ChangeCalendarError(`it has more than ${FREEZES_LIMIT} freezes in the next time`);
    }
    return freezes.sort((a, b) => a.from - b.from);
  }

  *#times(event: Found, from: number, until: number): Generator<Freeze> {
    const own = this.#spanOf(event);
    if (!event.isRecurring()) {
      if (!isCancelled(event) && own.until > from && own.from < until) yield named(event, own);
      return;
    }
    if (isCancelled(event)) return;
    const times = understood(() => event.iterator(), event);
    for (let repeats = 0;; repeats++) {
      if (repeats > REPEATS_LIMIT) {
        throw new ChangeCalendarError(`event ${titleOf(event)} comes back more than ${REPEATS_LIMIT} times`);
      }
      const start = understood(() => times.next(), event);
      if (!start) return;
      const { item } = understood(() => event.getOccurrenceDetails(start), event);
      const usual = this.#instant(start, event, "dtstart");
      // one that was moved may come later than its place
      const span = item === event ? this.#moved(own, start, usual) : this.#spanOf(item);
      if (usual >= until && span.from >= until) return;
      if (!isCancelled(item) && span.until > from && span.from < until) yield named(item, span);
    }
  }

  /** The same length at another time: days as days, everything else as elapsed time. */
  #moved({ from, until, days }: Span, start: Time, at: number): Span {
    if (days === undefined) return { from: at, until: at + until - from, days };
    return { from: at, until: this.#midnight(start, days), days };
  }

  #spanOf(event: Found): Span {
    if (!event.component.hasProperty("dtstart")) {
      throw new ChangeCalendarError(`event ${titleOf(event)} has no start`);
    }
    const { start, end } = understood(() => ({ start: event.startDate, end: event.endDate }), event);
    const from = this.#instant(start, event, "dtstart");
    const days = start.isDate && end.isDate ? daysBetween(start, end) : undefined;
    const until = days === undefined
      ? this.#instant(end, event, event.component.hasProperty("dtend") ? "dtend" : "dtstart")
      : this.#midnight(start, days);
    if (until < from) throw new ChangeCalendarError(`event ${titleOf(event)} ends before it begins`);
    return { from, until, days };
  }

  /** The moment of a time, on the clock of the zone that its property names. */
  #instant(time: Time, event: Found, property: "dtstart" | "dtend"): number {
    if (time.isDate) return this.#midnight(time, 0);
    if (time.zone === ICAL.Timezone.utcTimezone) return time.toUnixTime() * 1000;
    const name = event.component.getFirstProperty(property)?.getFirstParameter("tzid");
    const zone = name === undefined ? this.zone : knownZone(name);
    if (zone !== undefined) {
      const { year, month, day, hour, minute, second } = time;
      return Temporal.PlainDateTime.from({ year, month, day, hour, minute, second })
        .toZonedDateTime(zone, { disambiguation: "compatible" }).epochMilliseconds;
    }
    // as the file itself describes it
    if (time.zone !== null && time.zone.tzid === name) return time.toUnixTime() * 1000;
    throw new ChangeCalendarError(
      `event ${titleOf(event)} is in the time zone ${
        quoted(name ?? "")
      }, which is unknown and not described in the file`,
    );
  }

  #midnight({ year, month, day }: Time, daysLater: number): number {
    return Temporal.PlainDate.from({ year, month, day }).add({ days: daysLater }).toZonedDateTime(this.zone)
      .epochMilliseconds;
  }
}

interface Span {
  readonly from: number;
  readonly until: number;
  /** Of one that is whole days, how many. */
  readonly days: number | undefined;
}

function daysBetween(start: Time, end: Time): number {
  const [from, to] = [start, end].map(({ year, month, day }) =>
    Temporal.PlainDate.from({ year, month, day })
  );
  return from === undefined || to === undefined ? 0 : from.until(to, { largestUnit: "days" }).days;
}

function named(event: Found, { from, until }: Span): Freeze {
  const name = plainLine(event.summary ?? "", REASON_LENGTH_LIMIT).trim();
  return { from, until, ...(name === "" ? {} : { name }) };
}

function titleOf({ summary, uid }: Found): string {
  return quoted(plainLine(summary || uid || "", REASON_LENGTH_LIMIT));
}

function isCancelled({ component }: Found): boolean {
  return String(component.getFirstPropertyValue("status") ?? "").toUpperCase() === "CANCELLED";
}

/** The zone of that name, which some programs put behind a path of their own. */
function knownZone(name: string): string | undefined {
  for (const text of [name, name.split("/").slice(-2).join("/")]) {
    try {
      return parseZone(text);
    } catch (error) {
      if (!(error instanceof WindowError)) throw error;
    }
  }
  return undefined;
}

/** What the parser throws is what is wrong with the file. */
function understood<T>(read: () => T, event?: Found): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const [why = ""] = error.message.split("\n");
    const where = event === undefined ? "it is no calendar that can be read: " : `event ${titleOf(event)}: `;
    throw new ChangeCalendarError(`${where}${plainLine(why, 160)}`);
  }
}
