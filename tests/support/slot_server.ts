/** A server of slots in virtual time, as small as the protocol allows, with everything that can happen to a request. */

import {
  type Patience,
  type Refusal,
  type SlotAnswer,
  type SlotRequest,
  type SlotServer,
  SlotServerError,
} from "../../lib/slot_server.ts";
import type { Surroundings } from "../../lib/surroundings.ts";

/** What happens to the next request instead of what should. */
export type SlotFate =
  | "request lost"
  | "reply lost"
  /** It arrives so many milliseconds after its sender has given up. */
  | { readonly lateMs: number }
  | Refusal;

/** How long a lost request is waited for, in milliseconds. */
const TIMEOUT_MS = 15_000;

export class FakeSlotServer implements SlotServer {
  readonly holders = new Set<string>();
  readonly fates: SlotFate[] = [];
  /** Every request that was made: `pre-reboot a`. */
  readonly asked: string[] = [];
  readonly requests: SlotRequest[] = [];
  /** Whether it keeps requests until a slot is free. */
  waits = false;
  away = false;
  /** Tells all that wait that a slot may be free. */
  #freed = Promise.withResolvers<void>();

  constructor(private readonly time: Surroundings, public max = 1) {}

  /** An administrator ends a hold. */
  unlock(id: string): void {
    this.holders.delete(id);
    this.#freed.resolve();
    this.#freed = Promise.withResolvers();
  }

  async preReboot(request: SlotRequest, { waitMs, gone }: Patience): Promise<SlotAnswer> {
    const { id } = request;
    const take = () => (this.holders.has(id) || this.holders.size < this.max) && this.holders.add(id);
    const told = await this.#arrives("pre-reboot", request, take, gone);
    if (told !== undefined) return told;
    const endMs = this.time.elapsed() + (this.waits ? waitMs : 0);
    while (!take()) {
      if (this.time.elapsed() >= endMs) {
        const value = `held by ${[...this.holders].join(", ")}`;
        return { kind: "full", value, ...(this.waits ? { waits: true as const } : {}) };
      }
      await this.#until(endMs, gone);
    }
    return { kind: "granted" };
  }

  async steadyState(request: SlotRequest, { gone }: Pick<Patience, "gone">): Promise<SlotAnswer> {
    const release = () => this.unlock(request.id);
    const told = await this.#arrives("steady-state", request, release, gone);
    if (told !== undefined) return told;
    release();
    return { kind: "released" };
  }

  async #arrives(
    what: string,
    request: SlotRequest,
    act: () => unknown,
    gone: AbortSignal,
  ): Promise<Refusal | undefined> {
    this.asked.push(`${what} ${request.id}`);
    this.requests.push(request);
    const fate = this.fates.shift();
    await this.#until(this.time.elapsed() + 1, gone);
    if (this.away) throw new SlotServerError("unreachable", "http://lock: connection refused");
    if (fate === undefined) return undefined;
    if (typeof fate === "object" && "kind" in fate) return fate;
    if (fate === "reply lost") act();
    if (typeof fate === "object") this.time.after(TIMEOUT_MS + fate.lateMs, act);
    await this.#until(this.time.elapsed() + TIMEOUT_MS, gone);
    throw new SlotServerError("timeout", "http://lock: no answer within 15 s");
  }

  /** Until then, or a slot is free; rejects when the request is given up. */
  #until(endMs: number, gone: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => reject(new SlotServerError("unreachable", "http://lock: the request was given up"));
      const end = () => {
        gone.removeEventListener("abort", abort);
        timer.cancel();
        resolve();
      };
      const timer = this.time.after(Math.max(0, endMs - this.time.elapsed()), end);
      this.#freed.promise.then(end);
      gone.addEventListener("abort", abort, { once: true });
      if (gone.aborted) abort();
    });
  }
}
