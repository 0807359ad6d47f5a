/**
 * How often a store tries to connect while etcd is away: for all that it wants of etcd together, calls, watches and signs
 * of life of leases, and over all endpoints. Every endpoint is tried at once first. Then the pauses grow to little more
 * than two seconds, with jitter: a fleet that lost its etcd does not trample it when it comes back, and is back soon.
 */

/** The pauses after every endpoint failed: each of the first is lengthened or shortened by up to a half. */
const FIRST_MS = [750, 1_500];
/** All others, by up to a tenth. */
const LAST_MS = 2_200;

export class Pace {
  readonly #endpoints: number;
  readonly #random: () => number;
  /** Attempts that failed in a row. */
  #failures = 0;
  /** When the next one may be made, by the clock of `performance`. */
  #nextMs = -Infinity;
  readonly #waiting = new Map<ReturnType<typeof setTimeout>, () => void>();

  constructor(endpoints: number, random: () => number) {
    this.#endpoints = endpoints;
    this.#random = random;
  }

  /** Resolves when an attempt may be made. Who made it says how it went. */
  async turn(): Promise<void> {
    for (let leftMs; (leftMs = this.#nextMs - performance.now()) > 0;) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => {
          this.#waiting.delete(timer);
          resolve();
        }, leftMs);
        this.#waiting.set(timer, resolve);
      });
    }
  }

  succeeded(): void {
    this.#failures = 0;
    this.#nextMs = -Infinity;
  }

  failed(): void {
    const pauses = this.#failures++ - this.#endpoints + 1;
    if (pauses < 0) return;
    const first = FIRST_MS[pauses];
    const spread = this.#random() - 0.5;
    const pauseMs = first === undefined ? LAST_MS * (1 + spread / 5) : first * (1 + spread);
    this.#nextMs = performance.now() + pauseMs;
  }

  /** Nobody waits any longer. */
  close(): void {
    this.succeeded();
    for (const [timer, resolve] of this.#waiting) {
      clearTimeout(timer);
      resolve();
    }
    this.#waiting.clear();
  }
}
