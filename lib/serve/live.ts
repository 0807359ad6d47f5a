/**
 * Tells everybody who looks what has changed, by server-sent events: parts of the page, each only when it is another than
 * the one that was sent before. Many changes in a short time are one event; ages and what is overdue are looked at
 * again from time to time, which is also the sign of life of the connection.
 */

import type { Mirror } from "../mirror.ts";
import type { Surroundings, Timer } from "../surroundings.ts";
import type { Fleet } from "./fleet.ts";
import { type Audience, markOf, type PageView, pageView } from "./page_view.ts";

/** So much time is between two events at least, in milliseconds. */
export const GATHER_MS = 250;
/** So many times as long as it takes to make a view there is at least until the next. */
const SHARE = 20;
/** So long nothing is sent at most, in milliseconds. */
export const BEAT_MS = 15_000;
/** So many may look at once. */
export const LOOKERS_MOST = 200;

/** What an event carries, as JSON. */
export interface LiveEvent {
  /** In milliseconds since the epoch, on this server's clock. */
  readonly now: number;
  readonly title: string;
  readonly spoken: string;
  /** Every part there is, in order. */
  readonly order: readonly string[];
  /** Those that are new or different, each with what tells it from any other. */
  readonly parts: Readonly<Record<string, { readonly html: string; readonly mark: string }>>;
}

/** Where live events come from. */
export interface LiveSources {
  readonly fleet: Fleet;
  readonly mirror: Mirror;
  readonly surroundings: Surroundings;
}

export class Live {
  readonly #lookers = new Set<() => void>();
  readonly #subscription: { close(): void };
  #timer: Timer | undefined;
  #beat: Timer | undefined;
  #closed = false;
  /** How long it took to make the last view, in milliseconds. */
  #tookMs = 0;
  /** What was last made, while nothing has changed: several who see the same share it. */
  #made = new Map<string, PageView>();

  constructor(private readonly sources: LiveSources) {
    this.#subscription = sources.mirror.subscribe(() => this.changed());
  }

  /** How many look now. */
  get lookers(): number {
    return this.#lookers.size;
  }

  /** Something is different: everybody is told, soon. */
  changed(): void {
    this.#made = new Map();
    if (this.#timer !== undefined || this.#lookers.size === 0) return;
    // what it costs to look stays a small share of the time, however many machines there are
    const gatherMs = Math.max(GATHER_MS, SHARE * this.#tookMs);
    this.#timer = this.sources.surroundings.after(gatherMs, () => {
      this.#timer = undefined;
      this.#tell();
    });
  }

  /**
   * The events for one who looks, as text; `undefined`: too many look already. `have` is what it has, by key and mark. Ends
   * with `gone` or {@linkcode close}.
   */
  events(
    audience: () => Audience | undefined,
    have: ReadonlyMap<string, string>,
    gone: AbortSignal,
  ): AsyncIterable<string> | undefined {
    if (this.#lookers.size >= LOOKERS_MOST || this.#closed) return undefined;
    const left = new AbortController();
    const events = this.#events(audience, have, AbortSignal.any([gone, left.signal]));
    return {
      [Symbol.asyncIterator]: () => ({
        next: () => events.next(),
        // one that waits for news would not hear of it
        return: () => {
          left.abort();
          return events.return(undefined);
        },
      }),
    };
  }

  close(): void {
    this.#closed = true;
    this.#subscription.close();
    this.#timer?.cancel();
    this.#beat?.cancel();
    for (const wake of this.#lookers) wake();
  }

  async *#events(
    audience: () => Audience | undefined,
    have: ReadonlyMap<string, string>,
    gone: AbortSignal,
  ): AsyncGenerator<string> {
    let wake = () => {};
    let news = true;
    const hear = () => {
      news = true;
      wake();
    };
    this.#lookers.add(hear);
    gone.addEventListener("abort", hear);
    this.#startBeat();
    const sent = new Map(have);
    try {
      while (!gone.aborted && !this.#closed) {
        if (!news) await new Promise<void>((resolve) => wake = resolve);
        news = false;
        if (gone.aborted || this.#closed) break;
        // who is signed out sees something else, and comes back for it
        const seen = audience();
        if (seen === undefined) break;
        yield `data: ${JSON.stringify(eventOf(this.#view(seen), sent, this.sources.surroundings.now()))}\n\n`;
      }
    } finally {
      gone.removeEventListener("abort", hear);
      this.#lookers.delete(hear);
    }
  }

  #view(audience: Audience): PageView {
    const { operator, groups, only, origin } = audience;
    const key = JSON.stringify([operator, groups && [...groups], only, origin]);
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const { surroundings } = this.sources;
    const beganMs = surroundings.elapsed();
    const made = pageView(this.sources.fleet.view(seenBy(audience)), audience);
    this.#tookMs = surroundings.elapsed() - beganMs;
    this.#made.set(key, made);
    return made;
  }

  #startBeat(): void {
    if (this.#beat !== undefined) return;
    this.#beat = this.sources.surroundings.after(BEAT_MS, () => {
      this.#beat = undefined;
      if (this.#lookers.size === 0) return;
      this.#startBeat();
      this.#tell();
    });
  }

  #tell(): void {
    this.#made = new Map();
    for (const hear of this.#lookers) hear();
  }
}

/** Which groups an audience sees. */
export function seenBy({ groups, only }: Audience): (group: string) => boolean {
  return (group) => (groups?.has(group) ?? true) && (only === undefined || group === only);
}

/** What is new to one who has `sent` already; remembers it. */
function eventOf({ title, spoken, parts }: PageView, sent: Map<string, string>, now: number): LiveEvent {
  const fresh: Record<string, { html: string; mark: string }> = {};
  for (const [key, part] of parts) {
    const mark = markOf(part);
    if (sent.get(key) === mark) continue;
    sent.set(key, mark);
    fresh[key] = { html: part.text, mark };
  }
  for (const key of sent.keys()) if (!parts.has(key)) sent.delete(key);
  return { now, title, spoken, order: [...parts.keys()], parts: fresh };
}
