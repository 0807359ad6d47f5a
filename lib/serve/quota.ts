/** How much of something each caller may have at a time, and all of them together. */

export class Quota {
  readonly #taken = new Map<string, number>();
  #all = 0;

  constructor(private readonly each: number, private readonly together: number) {}

  /** Takes one more for `caller`; `false` where it has its share, or nothing is left. */
  take(caller: string): boolean {
    const taken = this.#taken.get(caller) ?? 0;
    if (taken >= this.each || this.#all >= this.together) return false;
    this.#taken.set(caller, taken + 1);
    this.#all++;
    return true;
  }

  /** Gives one back that was taken. */
  giveBack(caller: string): void {
    const taken = (this.#taken.get(caller) ?? 0) - 1;
    if (taken > 0) this.#taken.set(caller, taken);
    else this.#taken.delete(caller);
    this.#all--;
  }
}
