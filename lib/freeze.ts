/**
 * Freezes: times without reboots, with a name. Written as `2026-12-20..2027-01-02 Christmas`: whole days on the clock of a
 * zone, the last one included; or moments such as `2026-12-20T18:00..2027-01-02T06:00`, of which the last is the first at
 * which reboots are allowed again. Pure.
 */

import { describeInstant } from "./description.ts";
import { quoted, REASON_LENGTH_LIMIT, reasonFault } from "./plain_text.ts";
import { WindowError } from "./window.ts";

/** A time without reboots, from and up to these moments, in milliseconds since the epoch. */
export interface Freeze {
  readonly from: number;
  readonly until: number;
  readonly name?: string;
}

const MOMENT =
  "[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt][0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?)?";
const FREEZE = new RegExp(`^(${MOMENT})(?:(?:\\s*\\.\\.\\s*|\\s+)(${MOMENT}))?(?:\\s+(\\S.*))?$`);

/**
 * The freeze that `text` names, in `zone`. A date alone is that day. A time that a clock change leaps over moves forward; of
 * one that comes twice the first counts. Throws {@linkcode WindowError}.
 */
export function parseFreeze(text: string, zone: string): Freeze {
  const refuse = (why: string) => new WindowError([`freeze ${quoted(text)} ${why}`]);
  const [, first, last, name] = FREEZE.exec(text.trim()) ?? [];
  if (first === undefined) {
    throw refuse(
      "cannot be read; give two days and a name such as '2026-12-20..2027-01-02 Christmas', or two moments such as " +
        "2026-12-20T18:00..2027-01-02T06:00",
    );
  }
  const [begin, end] = [first, last ?? first].map((text) => momentsOf(text, zone));
  if (begin === undefined || end === undefined) throw refuse("names a date or time that does not exist");
  const [from, until] = [begin.from, end.until];
  if (last === undefined && begin.from === begin.until) {
    throw refuse(`has no end; write ${first}..END`);
  }
  if (from >= until) throw refuse("ends before it begins");
  const fault = name === undefined ? undefined : nameFault(name);
  if (fault !== undefined) throw refuse(`has a name that cannot be used: ${fault}`);
  return { from, until, ...(name === undefined ? {} : { name }) };
}

/** What is wrong with the name of a freeze, or `undefined`. It is one line, and so long at most as a reason. */
export function nameFault(name: string): string | undefined {
  return reasonFault(name) === undefined
    ? undefined
    : `it is one line of 1 to ${REASON_LENGTH_LIMIT} characters`;
}

/** From when a text counts as a first moment, and up to when as a last one; `undefined`: there is no such time. */
function momentsOf(
  text: string,
  zone: string,
): { readonly from: number; readonly until: number } | undefined {
  const [, date = "", time, offset] = /^([0-9-]+)(?:[Tt]([0-9:]+)([Zz]|[+-][0-9:]+)?)?$/.exec(text) ?? [];
  // Temporal reads a 60th second as the 59th
  if (time?.endsWith(":60") && time.length > 5) return undefined;
  try {
    if (time === undefined) {
      const day = Temporal.PlainDate.from(date, { overflow: "reject" });
      const [from, until] = [day, day.add({ days: 1 })].map((day) =>
        day.toZonedDateTime(zone).epochMilliseconds
      );
      return { from: from ?? 0, until: until ?? 0 };
    }
    const at = offset === undefined
      ? Temporal.PlainDateTime.from(`${date}T${time}`, { overflow: "reject" })
        .toZonedDateTime(zone, { disambiguation: "compatible" }).epochMilliseconds
      : Temporal.Instant.from(text).epochMilliseconds;
    return { from: at, until: at };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Why no reboots are allowed: `frozen until Sun 2027-01-03 00:00 +01:00: Christmas`. */
export function describeFreeze({ until, name }: Pick<Freeze, "until" | "name">, zone: string): string {
  return `frozen until ${describeInstant(until, zone)}${name === undefined ? "" : `: ${name}`}`;
}
