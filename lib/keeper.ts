/**
 * Who keeps the slots: what a daemon asks of it, and the lock over a store as one that answers.
 *
 * A keeper never throws for what happens outside: what it could not do comes back as the event `failed`.
 */

import type { Event, Slot } from "./agent.ts";
import {
  type Clock,
  describeFrozen,
  describeHold,
  describeOtherHost,
  describeTaking,
  describeWait,
  type WaitDescription,
} from "./description.ts";
import { groupFlag } from "./group.ts";
import { recordHealth, standing } from "./health.ts";
import type { Account } from "./ledger.ts";
import { type Lock, LockError, newMark } from "./lock.ts";
import type { Machine } from "./machine.ts";
import { plainLine, REASON_LENGTH_LIMIT } from "./plain_text.ts";
import { GRANTED, ON_DISK } from "./semaphore.ts";
import { StoreError } from "./store.ts";
import type { Log } from "./surroundings.ts";
import { Waiter } from "./waiter.ts";
import type { WaitNews } from "./wait.ts";

type Answer<Kind extends Event["kind"]> = Promise<Extract<Event, { kind: Kind | "failed" }>>;

/** What a daemon asks about its machine's slot. */
export interface Keeper {
  /** Which slot the machine has; one from before its boot is given back, unless it is to be kept for now. */
  recover(keep?: boolean): Answer<"recovered">;
  /** Notes beside a slot from before the boot how the machine is: what is wrong, or `null`. Never rejects for a store. */
  tellHealth(trouble: string | null): Promise<void>;
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
  tellHealth: () => Promise.resolve(),
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
  /** The time zone in which people are told of times; without one as they are stored. */
  readonly zone?: string;
  /** A mark that no other request has. */
  newMark?(): string;
  /** What the machine remembers across its boots of the slots of this group, if it remembers any. */
  readonly account?: Account;
  readonly log?: Log;
  /** Hears of a bug. */
  failed(error: unknown): void;
}

/** A wait for a slot. */
interface Wish {
  /** Whether it was given up. */
  left: boolean;
  waiter?: Waiter;
}

/** The lock over a store. */
export class LockKeeper implements Keeper {
  readonly #options: LockKeeperOptions;
  readonly #newMark: () => string;
  /** Of all confirms of this process. */
  readonly #mark: string;
  #wish: Wish | undefined;
  #waiting: Promise<void> = Promise.resolve();

  constructor(options: LockKeeperOptions) {
    this.#options = options;
    this.#newMark = options.newMark ?? newMark;
    this.#mark = this.#newMark();
  }

  recover(keep = false): Answer<"recovered"> {
    const { lock, machine, account } = this.#options;
    return answered(async () => {
      if (keep && (await standing(lock, await account?.remembering() ?? machine)).kind === "earlier-boot") {
        return { kind: "recovered", slot: null, called: false, kept: "known", note: "" };
      }
      const decision = await lock.release(await account?.remembering() ?? machine);
      await account?.settle();
      const none = { kind: "recovered", slot: null, called: false } as const;
      if (decision.kind === "not-held") return { ...none, note: "" };
      const details = describeHold(decision.hold, this.#clock());
      if (decision.kind === "released") {
        await account?.forget(decision.hold?.grant);
        return { ...none, returned: true, note: `this machine has rebooted; gave back the slot${details}` };
      }
      const { why: owner } = decision;
      switch (owner.kind) {
        case "ours":
          // also where it was taken by another way to this store
          await account?.remember(owner.grant);
          return {
            kind: "recovered",
            slot: { grant: owner.grant },
            called: owner.called,
            note: "this machine holds a slot and has not rebooted",
            details,
          };
        case "by-hand": {
          const hint = `; only 'locksmith unlock ${machine.id}${groupFlag(lock.group)}' releases it`;
          return {
            ...none,
            note: `this machine's slot ${describeTaking(owner.hold)}`,
            details: details + hint,
          };
        }
        case "other-host": {
          const waits = { ...machine, group: lock.group };
          const { why, details, level } = describeOtherHost(owner.hold, waits, this.#clock());
          return { ...none, note: why, details, level };
        }
      }
    });
  }

  async tellHealth(trouble: string | null): Promise<void> {
    const { lock, machine, account } = this.#options;
    const text = trouble === null ? null : plainLine(trouble, REASON_LENGTH_LIMIT);
    const told = await answered(async () => {
      await recordHealth(lock, await account?.remembering() ?? machine, text);
      return { kind: "left" };
    });
    // that it is not well counts on this machine alone: the slot stays where it is
    if (told.kind === "failed") {
      this.#options.log?.("debug", `cannot tell others how this machine is: ${told.why}`);
    }
  }

  wait(reasons: readonly string[], listener: (event: Event) => void): void {
    const wish: Wish = { left: false };
    this.#wish = wish;
    this.#waiting = this.#getInLine(reasons, wish, listener).catch(this.#options.failed);
  }

  leave(): void {
    if (this.#wish === undefined) return;
    this.#wish.left = true;
    this.#wish.waiter?.leave();
  }

  async #getInLine(
    reasons: readonly string[],
    wish: Wish,
    listener: (event: Event) => void,
  ): Promise<void> {
    const { lock, machine, account, priority, overdueMs, lookMs } = this.#options;
    const grant = this.#newMark();
    const lasts = await account?.remember(grant) ?? false;
    const hold = {
      host: machine.hostname,
      boot: machine.bootId,
      by: lock.by,
      reason: plainLine(reasons.join("; "), REASON_LENGTH_LIMIT),
      phase: GRANTED,
      ...(lasts ? { memory: ON_DISK } : {}),
      grant,
      extra: {},
    };
    const waits = await account?.remembering() ?? machine;
    const described = { ...machine, group: lock.group };
    const waiter = new Waiter(lock, { waits, hold, priority, overdueMs, lookMs }, (news) => {
      const over = news.kind !== "waiting" && news.kind !== "failing";
      if (over && this.#wish === wish) this.#wish = undefined;
      // the waiter has made sure that it cannot come any more
      if (news.kind === "left") account?.forget(grant).catch(this.#options.failed);
      listener(eventOf(news, (news) => describeWait(news, described, this.#clock())));
    });
    wish.waiter = waiter;
    if (wish.left) waiter.leave();
    await waiter.start();
  }

  confirm({ grant }: Slot): Answer<"confirmed" | "lost"> {
    const { lock, machine: { id: holder, bootId: boot } } = this.#options;
    return answered(async () => {
      const decision = await lock.confirm({ holder, boot, grant }, this.#mark);
      if (decision.kind === "frozen") {
        return { kind: "failed", why: describeFrozen(decision, lock.group, this.#clock()) };
      }
      return decision.kind === "lost" ? decision : { kind: "confirmed", called: decision.called };
    });
  }

  cancel({ grant }: Slot): Answer<"cancelled" | "kept"> {
    const { lock, machine: { id: holder, bootId: boot }, account } = this.#options;
    return answered(async () => {
      const decision = await lock.cancel({ holder, boot, grant }, { mark: this.#mark });
      if (decision.kind === "kept" && decision.why === "rebooting") return { kind: "kept" };
      await account?.forget(grant);
      return { kind: "cancelled", note: decision.kind === "released" ? "gave the slot back" : "" };
    });
  }

  async stop(): Promise<void> {
    this.leave();
    await this.#waiting;
  }

  #clock(): Clock {
    const { lock: { surroundings }, zone } = this.#options;
    return { now: surroundings.now(), zone };
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
    return { kind: "failed", why: error.message, details: error.hint === undefined ? "" : `; ${error.hint}` };
  }
}

function eventOf(
  news: WaitNews,
  describe: (news: Extract<WaitNews, { kind: "waiting" | "failing" }>) => WaitDescription,
): Event {
  switch (news.kind) {
    case "granted":
      return { kind: "granted", slot: { grant: news.grant }, called: news.called };
    case "left":
      return { kind: "left" };
    case "waiting":
    case "failing":
      return { kind: "in-line", ...describe(news) };
    case "held":
      throw new Error("a daemon asks with its boot id, and is never told of another's hold");
  }
}
