/**
 * What stops the grants of a group: a pause, which somebody began and somebody resumes, and freezes, which were planned: from
 * the first moment of one no slot is granted and no reboot is confirmed, until the moment that ends it, and nobody has to be
 * there for either. A freeze is known by its name. Pure.
 */

/** Why and since when no new slot is granted. */
export interface Pause {
  readonly since?: string;
  readonly by?: string;
  readonly reason?: string;
  /** When it ends by itself: an instant, ISO 8601 in UTC. Whoever asks for a slot goes by its own clock. */
  readonly until?: string;
  /** A freeze that was planned, which no resume ends. Never in a document. */
  readonly frozen?: true;
  readonly extra: Readonly<Record<string, unknown>>;
}

/** A time without reboots of a group, or of all. */
export interface PlannedFreeze {
  /** Instants, ISO 8601 in UTC. `until`: the first moment at which slots are granted again. */
  readonly from: string;
  readonly until: string;
  readonly name: string;
  readonly by?: string;
  /** When it was planned. */
  readonly since?: string;
  readonly extra: Readonly<Record<string, unknown>>;
}

/** What a document says of it. */
interface Stops {
  readonly paused?: Pause;
  readonly freezes?: readonly PlannedFreeze[];
}

/**
 * The pause that counts at `now`, in milliseconds since the epoch: one with an end is over from that moment on. A freeze in
 * force is one too, that nobody has to begin and to end; of both the one that ends last.
 */
export function pauseInForce(
  { paused, freezes }: Stops,
  now: number,
): Pause | undefined {
  const own = paused === undefined || endsInMs(paused, now) <= 0 ? undefined : paused;
  const freeze = freezePause(freezes, now);
  return own !== undefined && freeze !== undefined
    ? endsInMs(own, now) >= endsInMs(freeze, now) ? own : freeze
    : own ?? freeze;
}

/** The freeze that counts at `now`, as the pause that it is. */
export function freezePause(freezes: readonly PlannedFreeze[] | undefined, now: number): Pause | undefined {
  const freeze = freezeInForce(freezes, now);
  if (freeze === undefined) return undefined;
  const { from, until, name, by } = freeze;
  return { since: from, until, ...(by === undefined ? {} : { by }), reason: name, frozen: true, extra: {} };
}

/** How long a pause still lasts, in milliseconds; `Infinity` for one that only `resume` ends. */
export function endsInMs({ until }: Pause, now: number): number {
  return until === undefined ? Infinity : Temporal.Instant.from(until).epochMilliseconds - now;
}

/** The freeze that counts at `now`, in milliseconds since the epoch; of several the one that ends last. */
function freezeInForce(
  freezes: readonly PlannedFreeze[] | undefined,
  now: number,
): PlannedFreeze | undefined {
  let found: PlannedFreeze | undefined;
  for (const freeze of freezes ?? []) {
    const isOn = instant(freeze.from) <= now && now < instant(freeze.until);
    if (isOn && (found === undefined || instant(freeze.until) > instant(found.until))) found = freeze;
  }
  return found;
}

/** What stops a group; `all`: not this one alone, but all are stopped. */
export interface Stop {
  readonly pause: Pause;
  readonly all: boolean;
}

/** What stops a group, of the document of all groups first. */
export function stopOf<Document extends Stops>(
  own: Document,
  all: Document,
  by: (document: Document) => Pause | undefined,
): Stop | undefined {
  const ofAll = by(all);
  if (ofAll !== undefined) return { pause: ofAll, all: true };
  const pause = by(own);
  return pause === undefined ? undefined : { pause, all: false };
}

/** Those that are not over at `now`, in the order in which they begin. */
export function freezesAhead(freezes: readonly PlannedFreeze[] | undefined, now: number): PlannedFreeze[] {
  return (freezes ?? []).filter(({ until }) => instant(until) > now)
    .sort((a, b) => instant(a.from) - instant(b.from));
}

function instant(text: string): number {
  return Temporal.Instant.from(text).epochMilliseconds;
}
