/**
 * The last day of each group: read from the store's history once, when somebody looks at the group for the first time,
 * and carried on by what the mirror tells, so that it costs the store nothing however many look.
 *
 * A store that cannot tell is asked again after a while; until then nothing is known of that group's past.
 */

import { ALL_GROUPS, groupOfKey, semaphoreKey } from "./group.ts";
import { readHistory } from "./group_history.ts";
import { pastEvents } from "./history.ts";
import type { Mirror, MirrorNews } from "./mirror.ts";
import { PastDay } from "./past_day.ts";
import { type Entry, isBefore, type PastChange, type Store, StoreError } from "./store.ts";
import type { Surroundings } from "./surroundings.ts";

/** How long a store that could not tell is left alone, in milliseconds. */
const AGAIN_MS = 60_000;

interface Known {
  readonly day: PastDay;
  /** The last document that the day has; `null`: the key was gone. */
  last: Entry | null;
  /** Whether changes may have been missed since. */
  stale: boolean;
}

export class RecentPast {
  readonly #known = new Map<string, Known>();
  readonly #loading = new Map<string, Promise<void>>();
  readonly #failed = new Map<string, number>();
  readonly #subscription: { close(): void };
  /** One history is read at a time. */
  #turn: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: Store,
    private readonly mirror: Mirror,
    private readonly surroundings: Surroundings,
  ) {
    this.#subscription = mirror.subscribe((news) => this.#hear(news));
  }

  /** What is known of a group now; `undefined`: nothing yet. */
  day(group: string): PastDay | undefined {
    const known = this.#known.get(group);
    known?.day.forget(this.surroundings.now());
    return known?.day;
  }

  /** Whether a group's past is known, and nothing of it was missed since. */
  isKnown(group: string): boolean {
    return this.#known.get(group)?.stale === false;
  }

  /** Resolves when as much of a group is known as can be. Never rejects. */
  load(group: string): Promise<void> {
    const running = this.#loading.get(group);
    if (running !== undefined) return running;
    const failedMs = this.#failed.get(group);
    if (this.isKnown(group)) return Promise.resolve();
    if (failedMs !== undefined && this.surroundings.elapsed() - failedMs < AGAIN_MS) return Promise.resolve();
    const loading = this.#turn.then(() => this.#load(group)).finally(() => this.#loading.delete(group));
    this.#turn = loading;
    this.#loading.set(group, loading);
    return loading;
  }

  close(): void {
    this.#subscription.close();
  }

  async #load(group: string): Promise<void> {
    try {
      const { past: { changes }, events } = await readHistory(this.store, group, -Infinity);
      const day = new PastDay();
      for (const event of events) day.take(event);
      this.#known.set(group, { day, last: changes.at(-1)?.entry ?? null, stale: false });
      this.#failed.delete(group);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#failed.set(group, this.surroundings.elapsed());
    }
  }

  #hear(news: MirrorNews): void {
    if (news.kind === "state" && this.mirror.state.kind !== "current") {
      for (const known of this.#known.values()) known.stale = true;
    }
    if (news.kind !== "changed") return;
    const group = groupOfKey(news.key);
    if (news.key === semaphoreKey(ALL_GROUPS)) this.#takeOfAll(news);
    if (group === undefined) return;
    const known = this.#known.get(group);
    if (known === undefined) return;
    const { entry } = news;
    // what the history had already
    if (entry !== null && known.last !== null && !isBefore(known.last.revision, entry.revision)) return;
    for (const event of eventsBetween(known.last, news)) known.day.take(event);
    known.last = entry;
  }

  #takeOfAll(news: Extract<MirrorNews, { kind: "changed" }>): void {
    const events = eventsBetween(news.before, news);
    for (const { day } of this.#known.values()) {
      for (const event of events) day.take({ ...event, what: `${event.what}-all` });
    }
  }
}

/** What a change made of the document before it. */
function eventsBetween(before: Entry | null, { entry, revision }: PastChange) {
  const next: PastChange = { revision, entry };
  if (before === null) return pastEvents([next], true);
  const last: PastChange = { revision: before.revision, entry: before };
  return pastEvents([last, next], false).filter(({ revision }) => revision !== before.revision);
}
