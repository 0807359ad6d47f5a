/**
 * Who keeps the slots: what a daemon asks of it, and the lock over a store as one that answers.
 *
 * A keeper never throws for what happens outside: what it could not do comes back as the event `failed`.
 */

import type { Event, Slot } from "./agent.ts";
import { describeHold, describeOtherHost, describeWait } from "./description.ts";
import { type Lock, LockError, newMark } from "./lock.ts";
import type { Machine } from "./machine.ts";
import { plainLine, REASON_LENGTH_LIMIT } from "./plain_text.ts";
import { GRANTED } from "./semaphore.ts";
import { StoreError } from "./store.ts";
import { Waiter } from "./waiter.ts";
import type { WaitNews } from "./wait.ts";

type Answer<Kind extends Event["kind"]> = Promise<Extract<Event, { kind: Kind | "failed" }>>;

/** What a daemon asks about its machine's slot. */
export interface Keeper {
  /** Which slot the machine has; one from before its boot is given back. */
  recover(): Answer<"recovered">;
  /** Gets in line. The listener hears `in-line` as often as that changes, and in the end `granted`, or `left`. */
  wait(reasons: readonly string[], listener: (event: Event) => void): void;
  /** Gives the place in line up: sooner or later the listener hears `left`; or `granted`, if that came first. */
  leave(): void;
  /** Proves that the slot is still ours, right before the reboot. */
  confirm(slot: Slot): Answer<"confirmed" | "lost">;
  /** Gives back a slot that is not wanted any more. */
  cancel(slot: Slot): Answer<"cancelled" | "kept">;
  /** Gives a place in line up for a daemon that ends. Resolves when it has, or when there was none. */
  stop(): Promise<void>;
}

/** Without a lock there is no slot to ask for, and none to give back. */
export const NO_KEEPER: Keeper = {
  recover: () => Promise.resolve({ kind: "recovered", slot: null, called: false, note: "" }),
  wait: (_, listener) => listener({ kind: "left" }),
  leave: () => {},
  confirm: () => Promise.resolve({ kind: "lost" }),
  cancel: () => Promise.resolve({ kind: "cancelled", note: "" }),
  stop: () => Promise.resolve(),
};

export interface LockKeeperOptions {
  readonly lock: Lock;
  readonly machine: Machine;
  /** Who comes first in the queue: the higher. */
  readonly priority: number;
  /** From how long on a hold is said to be overdue, in milliseconds. */
  readonly overdueMs: number;
  /** How long a wait in line relies on watches, in milliseconds: see {@linkcode WaitRequest.lookMs}. */
  readonly lookMs: number;
  /** A mark that no other request has. */
  newMark?(): string;
  /** Makes the machine remember a grant across its boots, before it is asked for. Never throws. */
  remember?(grant: string): Promise<void>;
  /** Hears of a bug. */
  failed(error: unknown): void;
}

/** The lock over a store. */
export class LockKeeper implements Keeper {
  readonly #options: LockKeeperOptions;
  readonly #newMark: () => string;
  /** Of all confirms of this process. */
  readonly #mark: string;
  #waiter: Waiter | undefined;
  #waiting: Promise<void> = Promise.resolve();

  constructor(options: LockKeeperOptions) {
    this.#options = options;
    this.#newMark = options.newMark ?? newMark;
    this.#mark = this.#newMark();
  }

  recover(): Answer<"recovered"> {
    const { lock, machine } = this.#options;
    return answered(async () => {
      const decision = await lock.release(machine);
      const none = { kind: "recovered", slot: null, called: false } as const;
      if (decision.kind === "not-held") return { ...none, note: "" };
      const details = describeHold(decision.hold, lock.surroundings.now());
      if (decision.kind === "released") {
        return { ...none, note: `this machine has rebooted; gave back the slot${details}` };
      }
      const { why: owner } = decision;
      switch (owner.kind) {
        case "ours":
          return {
            kind: "recovered",
            slot: { grant: owner.grant },
            called: owner.called,
            note: `this machine has a slot and has not rebooted${details}`,
          };
        // without its age, so that it is the same at the next look
        case "by-hand":
          return {
            ...none,
            note: `this machine's slot was taken by hand${
              describeHold(owner.hold)
            }; only 'locksmith unlock ${machine.id}' ends it`,
          };
        case "other-host":
          return { ...none, note: describeOtherHost(owner.hold, machine.id) };
      }
    });
  }

  wait(reasons: readonly string[], listener: (event: Event) => void): void {
    const { lock, machine, priority, overdueMs, lookMs, remember, failed } = this.#options;
    const hold = {
      host: machine.hostname,
      boot: machine.bootId,
      by: lock.by,
      reason: plainLine(reasons.join("; "), REASON_LENGTH_LIMIT),
      phase: GRANTED,
      grant: this.#newMark(),
      extra: {},
    };
    const waiter = new Waiter(lock, { waits: machine, hold, priority, overdueMs, lookMs }, (news) => {
      if (news.kind !== "waiting" && news.kind !== "failing" && this.#waiter === waiter) {
        this.#waiter = undefined;
      }
      listener(eventOf(news, machine));
    });
    this.#waiter = waiter;
    const remembered = remember?.(hold.grant) ?? Promise.resolve();
    this.#waiting = remembered.then(() => waiter.start()).catch(failed);
  }

  leave(): void {
    this.#waiter?.leave();
  }

  confirm({ grant }: Slot): Answer<"confirmed" | "lost"> {
    const { lock, machine: { id: holder, bootId: boot } } = this.#options;
    return answered(async () => {
      const decision = await lock.confirm({ holder, boot, grant }, this.#mark);
      return decision.kind === "lost" ? decision : { kind: "confirmed", called: decision.called };
    });
  }

  cancel({ grant }: Slot): Answer<"cancelled" | "kept"> {
    const { lock, machine: { id: holder, bootId: boot } } = this.#options;
    return answered(async () => {
      const decision = await lock.cancel({ holder, boot, grant }, { mark: this.#mark });
      if (decision.kind === "kept" && decision.why === "rebooting") return { kind: "kept" };
      return { kind: "cancelled", note: decision.kind === "released" ? "gave the slot back" : "" };
    });
  }

  async stop(): Promise<void> {
    this.leave();
    await this.#waiting;
  }
}

/** A store that fails is an answer, everything else a bug. */
async function answered<Known extends Event>(
  ask: () => Promise<Known>,
): Promise<Known | Extract<Event, { kind: "failed" }>> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof LockError)) throw error;
    return { kind: "failed", why: error.message };
  }
}

function eventOf(news: WaitNews, machine: Machine): Event {
  switch (news.kind) {
    case "granted":
      return { kind: "granted", slot: { grant: news.grant }, called: news.called };
    case "left":
      return { kind: "left" };
    case "waiting":
    case "failing":
      return { kind: "in-line", why: describeWait(news, machine.id) };
    case "held":
      throw new Error("a daemon asks with its boot id, and is never told of another's hold");
  }
}
