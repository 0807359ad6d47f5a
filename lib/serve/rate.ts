/**
 * How often somebody may ask: token buckets, one for each credential, and one for each address that fails to show one.
 * A bucket that is full again says nothing, and is forgotten when there are many: memory stays bounded.
 */

/** So many requests a second in the long run, and so many at once after a rest. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** What one asker has left. */
export class Bucket {
  #left: number;
  #at = 0;

  constructor(readonly rate: Rate) {
    this.#left = rate.burst;
  }

  /** Takes one request out, at `elapsedMs` of a clock that never goes back; gives the seconds to wait where there is none. */
  take(elapsedMs: number): number {
    this.#fill(elapsedMs);
    if (this.#left < 1) return Math.max(1, Math.ceil((1 - this.#left) / this.rate.perSecond));
    this.#left -= 1;
    return 0;
  }

  isFull(elapsedMs: number): boolean {
    this.#fill(elapsedMs);
    return this.#left >= this.rate.burst;
  }

  #fill(elapsedMs: number): void {
    const { perSecond, burst } = this.rate;
    this.#left = Math.min(burst, this.#left + Math.max(0, elapsedMs - this.#at) / 1000 * perSecond);
    this.#at = elapsedMs;
  }
}

/** So many buckets of one kind are kept. */
const BUCKETS_MAX = 10_000;

/** The buckets of all askers of one kind, by name. */
export class Buckets {
  readonly #buckets = new Map<string, Bucket>();

  constructor(private readonly elapsed: () => number, private readonly most = BUCKETS_MAX) {}

  of(name: string, rate: Rate): Bucket {
    const known = this.#buckets.get(name);
    if (known !== undefined && known.rate === rate) return known;
    if (known === undefined && this.#buckets.size >= this.most) this.#forget();
    const bucket = new Bucket(rate);
    this.#buckets.set(name, bucket);
    return bucket;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Those that are full; where none is, the oldest tenth: whoever asks with so many names at once gains little by it. */
  #forget(): void {
    const now = this.elapsed();
    for (const [name, bucket] of this.#buckets) if (bucket.isFull(now)) this.#buckets.delete(name);
    if (this.#buckets.size < this.most) return;
    for (const name of [...this.#buckets.keys()].slice(0, Math.ceil(this.most / 10))) {
      this.#buckets.delete(name);
    }
  }
}
