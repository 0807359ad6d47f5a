/**
 * A server as the keeper of the slots: what the lock over a store is for hosts that reach one.
 *
 * A host asks, and is told. While it waits the server keeps its request where it can, and tells the moment a slot is free;
 * any other server is asked again every few minutes. One that does not answer is asked again sooner. A wait that is given
 * up ends with the slot given back, acknowledged: the request that was under way may have been granted.
 */

import type { Event, Slot } from "./agent.ts";
import { backoffMs, type BackoffRange } from "./backoff.ts";
import type { Keeper } from "./keeper.ts";
import { plainLine, REASON_LENGTH_LIMIT } from "./plain_text.ts";
import {
  describeRefusal,
  RemoteSlot,
  RemoteSlotError,
  type RemoteSlotOptions,
  type ReturnOutcome,
} from "./remote_slot.ts";
import { type Refusal, type SlotAnswer, SlotServerError } from "./slot_server.ts";

/** How long a server is told to keep a request, in milliseconds. */
export const WAIT_MS = 5 * 60_000;
/** How often a server is asked that does not keep requests, in milliseconds; lengthened by up to a fifth. */
export const POLL_MS = 5 * 60_000;
/** The pause after a server did not answer, in milliseconds. */
const FAILURE_PAUSE_MS: BackoffRange = { first: 2_000, last: 60_000 };
/** The shortest pause before a server is asked again that says when, in milliseconds. */
const LEAST_PAUSE_MS = 1_000;

export interface RemoteKeeperOptions extends RemoteSlotOptions {
  /** Hears of a bug. */
  failed(error: unknown): void;
}

type Answer<Kind extends Event["kind"]> = Promise<Extract<Event, { kind: Kind | "failed" }>>;

/** A wait for a slot. */
interface Wish {
  /** Aborts when it is given up. */
  readonly gone: AbortController;
  readonly reason: string;
  readonly listener: (event: Event) => void;
}

export class RemoteKeeper implements Keeper {
  readonly #slot: RemoteSlot;
  #wish: Wish | undefined;
  #waiting: Promise<void> = Promise.resolve();

  constructor(private readonly options: RemoteKeeperOptions) {
    this.#slot = new RemoteSlot(options);
  }

  recover(keep = false): Answer<"recovered"> {
    const none = { kind: "recovered", slot: null, called: false } as const;
    return answered(async () => {
      const standing = await this.#slot.look();
      switch (standing.kind) {
        case "holds":
          return {
            kind: "recovered",
            slot: { grant: standing.grant },
            called: standing.called,
            note: `this machine holds a slot at ${this.#slot.name} and has not rebooted`,
          };
        case "asking":
        case "none":
          return { ...none, note: "" };
        case "due":
          if (keep) return { ...none, kept: standing.earlier ? "known" : "possible", note: "" };
          return await this.#afterReturn(await this.#slot.giveBack());
      }
    });
  }

  async #afterReturn(outcome: ReturnOutcome): Answer<"recovered"> {
    const none = { kind: "recovered", slot: null, called: false } as const;
    switch (outcome.kind) {
      case "released": {
        if (!outcome.earlier) return { ...none, note: "" };
        const note = `this machine has rebooted; gave back the slot at ${this.#slot.name}`;
        return { ...none, returned: true, note };
      }
      case "kept": {
        const standing = await this.#slot.look();
        if (standing.kind === "holds") return await this.recover();
        return { ...none, note: "a reboot may have been called under a slot that was asked for elsewhere" };
      }
      case "refused": {
        const { why, details } = this.#describe(outcome.refusal);
        if (outcome.known) return { kind: "failed", why, details };
        // some servers release only what is held: where nothing is, that is nothing to wait for
        return {
          ...none,
          note: `a slot cannot be given back, if there is one: ${why}`,
          details,
          level: "warning",
        };
      }
    }
  }

  /** The protocol has no word for it: the server sees a slot that does not come back. */
  tellHealth(): Promise<void> {
    return Promise.resolve();
  }

  wait(reasons: readonly string[], listener: (event: Event) => void): void {
    const reason = plainLine(reasons.join("; "), REASON_LENGTH_LIMIT);
    const wish: Wish = { gone: new AbortController(), reason, listener };
    this.#wish = wish;
    this.#waiting = this.#fulfil(wish).then((event) => {
      if (this.#wish === wish) this.#wish = undefined;
      listener(event);
    }).catch(this.options.failed);
  }

  leave(): void {
    // a reason of its own, for the one that the runtime makes costs more than a request
    this.#wish?.gone.abort("the wait is given up");
  }

  confirm({ grant }: Slot): Answer<"confirmed" | "lost"> {
    return answered(() => this.#slot.confirm(grant));
  }

  cancel({ grant }: Slot): Answer<"cancelled" | "kept"> {
    return answered(async () => {
      const outcome = await this.#slot.giveBack(grant);
      switch (outcome.kind) {
        case "released":
          return { kind: "cancelled", note: "gave the slot back" };
        case "kept":
          return { kind: "kept" };
        case "refused":
          return { kind: "failed", ...this.#describe(outcome.refusal) };
      }
    });
  }

  async stop(): Promise<void> {
    this.leave();
    await this.#waiting;
  }

  /** Asks until there is a slot, or the wish is given up. */
  async #fulfil(wish: Wish): Promise<Extract<Event, { kind: "granted" | "left" }>> {
    const { surroundings, ledger } = this.options;
    const { signal } = wish.gone;
    let grant: string | undefined;
    let asked = false;
    /** Whether the last request may have been granted. */
    let doubt = false;
    for (let failures = 0; !signal.aborted;) {
      let pauseMs = backoffMs(failures + 1, FAILURE_PAUSE_MS, surroundings.random());
      grant ??= await this.#slot.begin();
      if (grant === undefined) {
        failures++;
        this.#tell(wish, "warning", `cannot ask for a slot: it could not be recorded in ${ledger.name}`);
      } else if (!signal.aborted) {
        const sentMs = surroundings.elapsed();
        asked = true;
        doubt = true;
        try {
          const answer = await this.#slot.ask(grant, { reason: wish.reason, waitMs: WAIT_MS, gone: signal });
          if (answer.kind === "granted") return { kind: "granted", slot: { grant }, called: false };
          doubt = false;
          failures = isFailure(answer) ? failures + 1 : 0;
          const refusal = this.#refusalOf(answer);
          pauseMs = this.#pauseMs(refusal, surroundings.elapsed() - sentMs, pauseMs);
          const { why, details } = this.#describe(refusal);
          this.#tell(wish, isExpected(refusal) ? "info" : "warning", why, details);
        } catch (error) {
          if (!(error instanceof SlotServerError)) throw error;
          failures++;
          const hint = error.hint === undefined ? "" : `; ${error.hint}`;
          this.#tell(wish, "warning", `cannot ask for a slot, trying again: ${error.message}`, hint);
        }
      }
      await this.#pause(pauseMs, signal);
    }
    if (grant === undefined) return { kind: "left" };
    if (asked) return await this.#giveUp(grant, doubt);
    await this.#slot.forget(grant);
    return { kind: "left" };
  }

  /** Gives back what may have been granted, until the server has acknowledged it. */
  async #giveUp(grant: string, doubt: boolean): Promise<Extract<Event, { kind: "granted" | "left" }>> {
    const { surroundings } = this.options;
    for (let failures = 1;; failures++) {
      try {
        const outcome = await this.#slot.giveBack(grant);
        if (outcome.kind === "released" || (outcome.kind === "refused" && !doubt)) return { kind: "left" };
        if (outcome.kind === "kept") return { kind: "granted", slot: { grant }, called: true };
      } catch (error) {
        if (!isOutside(error)) throw error;
      }
      await this.#pause(backoffMs(failures, FAILURE_PAUSE_MS, surroundings.random()));
    }
  }

  /** How long until the server is asked again that kept a request for `tookMs` milliseconds. */
  #pauseMs(refusal: Refusal, tookMs: number, failurePauseMs: number): number {
    const { retryMs, waits } = refusal;
    if (retryMs !== undefined) return Math.min(Math.max(retryMs, LEAST_PAUSE_MS), POLL_MS);
    if (isFailure(refusal)) return failurePauseMs;
    if (waits && tookMs >= WAIT_MS / 2) return 0;
    return POLL_MS * (1 + this.options.surroundings.random() / 5);
  }

  #tell({ listener, gone }: Wish, level: "info" | "warning", why: string, details = ""): void {
    if (!gone.signal.aborted) listener({ kind: "in-line", level, why, details });
  }

  #describe(refusal: Refusal): { why: string; details: string } {
    return describeRefusal(refusal, this.options.group, this.options.name);
  }

  #refusalOf(answer: Exclude<SlotAnswer, { kind: "granted" }>): Refusal {
    if (answer.kind !== "released") return answer;
    throw new Error(`${this.options.name} takes back a slot that it was asked for`);
  }

  /** Resolves after `ms` milliseconds, or when `signal` aborts. */
  #pause(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        timer.cancel();
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const timer = this.options.surroundings.after(ms, end);
      signal?.addEventListener("abort", end);
      if (signal?.aborted) end();
    });
  }
}

/** Whether the server could not decide: it is asked again soon. */
function isFailure({ kind }: SlotAnswer): boolean {
  return kind === "unavailable" || kind === "rate_limited";
}

/** Whether it passes by itself. */
function isExpected({ kind }: Refusal): boolean {
  return kind === "full" || kind === "closed" || kind === "refused";
}

function isOutside(error: unknown): error is SlotServerError | RemoteSlotError {
  return error instanceof SlotServerError || error instanceof RemoteSlotError;
}

/** A server that fails is an answer, everything else a bug. */
async function answered<Known extends Event>(
  ask: () => Promise<Known>,
): Promise<Known | Extract<Event, { kind: "failed" }>> {
  try {
    return await ask();
  } catch (error) {
    if (!isOutside(error)) throw error;
    return { kind: "failed", why: error.message, details: error.hint === undefined ? "" : `; ${error.hint}` };
  }
}
