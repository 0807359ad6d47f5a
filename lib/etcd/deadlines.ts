/**
 * The deadlines of many calls, by one timer: nearly all calls end long before theirs, and a timer for each would cost a
 * good part of what a call does.
 */

/** Something that must be over by a moment. */
export interface Deadline {
  /** By the clock of `performance`. */
  readonly atMs: number;
  /** It is not over. */
  late(): void;
}

export class Deadlines {
  readonly #open = new Set<Deadline>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer comes; no deadline is earlier. */
  #nextMs = Infinity;

  add(deadline: Deadline): void {
    this.#open.add(deadline);
    this.#expect(deadline.atMs);
  }

  /** It is over in time. The timer stays, for the others. */
  met(deadline: Deadline): void {
    this.#open.delete(deadline);
  }

  #expect(atMs: number): void {
    if (atMs >= this.#nextMs) return;
    clearTimeout(this.#timer);
    this.#nextMs = atMs;
    this.#timer = setTimeout(() => this.#look(), Math.max(1, Math.ceil(atMs - performance.now())));
    // a process whose calls are over may end; one that waits for an answer has its connection to wait for
    Deno.unrefTimer(this.#timer);
  }

  #look(): void {
    this.#nextMs = Infinity;
    const now = performance.now();
    const late = [...this.#open].filter(({ atMs }) => atMs <= now).sort((a, b) => a.atMs - b.atMs);
    for (const deadline of late) this.#open.delete(deadline);
    const next = Math.min(...[...this.#open].map(({ atMs }) => atMs));
    if (next !== Infinity) this.#expect(next);
    for (const deadline of late) deadline.late();
  }
}
