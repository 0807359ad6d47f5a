/**
 * Lengths of time as people write them: `1h30m`, `90m`, `1.5h`.
 *
 * Reads exactly the texts that Go's `time.ParseDuration` reads, because those stand in the configuration of hosts, and
 * writes texts that it reads back to the same value. A length is elapsed time and nothing else: there are no days or
 * months here, since their length depends on a zone and a date. The finest unit is a nanosecond; as the values are
 * milliseconds in a `number`, lengths beyond 104 days may lose their last nanoseconds.
 */

/** A text that is not a duration. The message names the text, what is wrong with it, and what is allowed. */
export class DurationError extends Error {
  override readonly name = "DurationError";
  constructor(
    text: string,
    /** What is wrong and what is allowed, for a message that has named the text already. */
    readonly reason: string,
  ) {
    super(`cannot read duration ${JSON.stringify(text)}: ${reason}`);
  }
}

/** Nanoseconds by unit; the two spellings of the micro sign are U+00B5 and U+03BC. */
const UNITS: ReadonlyMap<string, bigint> = new Map([
  ["ns", 1n],
  ["us", 1_000n],
  ["\u00b5s", 1_000n],
  ["\u03bcs", 1_000n],
  ["ms", 1_000_000n],
  ["s", 1_000_000_000n],
  ["m", 60_000_000_000n],
  ["h", 3_600_000_000_000n],
]);

/** The range of Go's duration, a signed 64-bit count of nanoseconds. */
const MAX_NS = 2n ** 63n - 1n;
const MIN_NS = -(2n ** 63n);

const ALLOWED = "numbers with the units h, m, s, ms, us or ns, such as 1h30m";

/** Words that people use where Go wants a unit, and what to write instead. */
const UNIT_HINTS: readonly (readonly [RegExp, string])[] = [
  [/^(d|days?)$/i, "a day is 24h"],
  [/^(w|weeks?)$/i, "a week is 168h"],
  [/^(h|hrs?|hours?)$/i, "an hour is h"],
  [/^(m|mins?|minutes?)$/i, "a minute is m"],
  [/^(s|secs?|seconds?)$/i, "a second is s"],
];

/** Nanoseconds of a fraction's digits, cut off and in floating point as Go does it, so that the last digit agrees. */
function fractionNs(digits: string, unitNs: bigint): bigint {
  let value = 0n;
  let scale = 1;
  for (const digit of digits) {
    const next = value * 10n + BigInt(digit);
    if (next > MAX_NS) break; // digits that could not matter
    value = next;
    scale *= 10;
  }
  return BigInt(Math.trunc(Number(value) * (Number(unitNs) / scale)));
}

/**
 * Milliseconds, maybe with a fraction, of a duration written as Go's `time.ParseDuration` takes it: an optional sign,
 * then one or more decimal numbers each with a unit (`h`, `m`, `s`, `ms`, `us`, `ns`), or a bare `0`.
 *
 * Throws {@linkcode DurationError} for any other text, and for a duration beyond 64 bits of nanoseconds (292 years).
 *
 *     parseDuration("1h30m") // 5_400_000
 */
export function parseDuration(text: string): number {
  const negative = text.startsWith("-");
  let rest = negative || text.startsWith("+") ? text.slice(1) : text;
  if (rest === "0") return 0;
  if (rest === "") throw new DurationError(text, `it is empty; allowed: ${ALLOWED}`);
  let totalNs = 0n;
  while (rest !== "") {
    const part = /^([0-9]*)(?:\.([0-9]*))?([^0-9.]*)/.exec(rest);
    const [all = "", whole = "", fraction = "", unit = ""] = part ?? [];
    if (whole === "" && fraction === "") {
      throw new DurationError(text, `there is no number at ${JSON.stringify(rest)}; allowed: ${ALLOWED}`);
    }
    if (unit === "") {
      throw new DurationError(text, `${JSON.stringify(all)} has no unit; allowed: ${ALLOWED}`);
    }
    const unitNs = UNITS.get(unit);
    if (unitNs === undefined) {
      const hint = UNIT_HINTS.find(([pattern]) => pattern.test(unit))?.[1];
      throw new DurationError(
        text,
        `unknown unit ${JSON.stringify(unit)}${hint === undefined ? "" : `, ${hint}`}; allowed: ${ALLOWED}`,
      );
    }
    // Cut before the conversion: a number of a million digits would cost time and is out of range anyway.
    const digits = whole.replace(/^0+/, "");
    totalNs += digits.length > 19
      ? MAX_NS + 2n
      : BigInt(`0${digits}`) * unitNs + fractionNs(fraction, unitNs);
    rest = rest.slice(all.length);
  }
  if (negative) totalNs = -totalNs;
  if (totalNs > MAX_NS || totalNs < MIN_NS) {
    throw new DurationError(
      text,
      "it is out of range; the longest duration is 2562047h47m16.854775807s (292 years)",
    );
  }
  return nsToMs(totalNs);
}

/** The nearest number of milliseconds; a division by itself would round twice where nanoseconds exceed 53 bits. */
function nsToMs(ns: bigint): number {
  if (ns >= BigInt(Number.MIN_SAFE_INTEGER) && ns <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(ns) / 1e6;
  return Number(ns / 1_000_000n) + Number(ns % 1_000_000n) / 1e6;
}

/**
 * A duration for people, and for {@linkcode parseDuration}: as Go writes it, without the parts that are zero.
 * `ms` is rounded to the nanosecond. Throws a `RangeError` when it is not finite.
 *
 *     formatDuration(5_400_000)   // "1h30m"
 *     formatDuration(-37_681_000) // "-10h28m1s"
 *     formatDuration(1.5)         // "1.5ms"
 */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) throw new RangeError(`cannot write a duration that is not finite: ${ms}`);
  const wholeMs = Math.trunc(ms);
  const signedNs = BigInt(wholeMs) * 1_000_000n + BigInt(Math.round((ms - wholeMs) * 1e6));
  if (signedNs === 0n) return "0s";
  const sign = signedNs < 0n ? "-" : "";
  const ns = signedNs < 0n ? -signedNs : signedNs;
  if (ns < 1_000n) return `${sign}${ns}ns`;
  if (ns < 1_000_000n) return `${sign}${decimal(ns, 3)}us`;
  if (ns < 1_000_000_000n) return `${sign}${decimal(ns, 6)}ms`;
  const hours = ns / 3_600_000_000_000n;
  const minutes = (ns / 60_000_000_000n) % 60n;
  const secondNs = ns % 60_000_000_000n;
  return sign + (hours > 0n ? `${hours}h` : "") + (minutes > 0n ? `${minutes}m` : "") +
    (secondNs > 0n ? `${decimal(secondNs, 9)}s` : "");
}

/** `value` divided by ten to the power of `places`, without zeros at the end. */
function decimal(value: bigint, places: number): string {
  const digits = value.toString().padStart(places + 1, "0");
  const fraction = digits.slice(-places).replace(/0+$/, "");
  return digits.slice(0, -places) + (fraction === "" ? "" : `.${fraction}`);
}
