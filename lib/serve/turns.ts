/**
 * The requests of one connection, one after the other. A client may send the next before it has read the answer to the
 * last (RFC 9112, 9.3.2); who gives a slot back and asks for one means that order. `node:http` hands all of them out as
 * they come, and after one whose answer closes the connection too, whose sender never learns what became of the rest.
 */

/** So many may wait on one connection; nobody has a need for more. */
const WAITING_MAX = 100;

export class Turns<T> {
  readonly #waiting: T[] = [];
  #busy = false;
  #begins = false;

  /** `begin` starts with one; {@linkcode done} is to be called when it is answered, also before `begin` returns. */
  constructor(private readonly begin: (item: T) => void) {}

  /** False: too many wait, and this one is not among them. */
  add(item: T): boolean {
    if (this.#waiting.length >= WAITING_MAX) return false;
    this.#waiting.push(item);
    this.#go();
    return true;
  }

  /** The one that was begun is answered; `last`: with it the connection ends, and nothing after it is done. */
  done(last: boolean): void {
    this.#busy = last;
    if (last) this.#waiting.length = 0;
    else this.#go();
  }

  #go(): void {
    // a loop, since most are answered before `begin` returns
    if (this.#begins) return;
    this.#begins = true;
    try {
      while (!this.#busy) {
        const next = this.#waiting.shift();
        if (next === undefined) return;
        this.#busy = true;
        this.begin(next);
      }
    } finally {
      this.#begins = false;
    }
  }
}
