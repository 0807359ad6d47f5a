/**
 * `lock --wait`: a person's or a script's place in the same line as the machines'.
 *
 * However the wait ends, it says what became of its place. Whoever interrupts it has no slot afterwards: one that came
 * just then is given back. Where the store does not answer to that in time, it says so, and whether a slot may have come
 * nevertheless.
 */

import { describeWait } from "../description.ts";
import { formatDuration } from "../duration.ts";
import { groupFlag, groupLabel } from "../group.ts";
import { type Lock, LockError } from "../lock.ts";
import { clockOf } from "./command.ts";
import { printError, printHint, printProgress } from "./output.ts";
import { PLACE_TTL_MS } from "../queue.ts";
import { type Teller, tellRefusal } from "./refusal.ts";
import { whyNoSlot } from "./report.ts";
import { tellNotStored } from "./unknown_group.ts";
import type { NewHold } from "../semaphore.ts";
import type { StoreError } from "../store.ts";
import { ignoresHangup } from "./process.ts";
import { canDraw } from "./canvas.ts";
import { EXIT_BY_SIGNAL, onSignals, type SignalName } from "./signals.ts";
import type { WaitLine } from "./wait_line.ts";
import { Waiter } from "../waiter.ts";
import { type LastNews, LOOK_INTERVAL_MS, type WaitNews } from "../wait.ts";

/** sysexits.h: a failure that may be none when tried later. */
const EXIT_IN_VAIN = 75;
/**
 * How long a wait may take to end from when it shall, in milliseconds. Who interrupts a program waits a second at most;
 * else there is time for a call to the store that is under way.
 */
const LEAVE_LIMIT_MS = { signal: 700, else: 5_000 };

/** How somebody wants to wait. */
export interface Wait {
  /** `Infinity`: for as long as it takes. */
  readonly limitMs: number;
  readonly priority: number;
  readonly overdueMs: number;
}

/** Why a wait shall end without its slot. */
type Stop =
  | { readonly kind: "time"; readonly limitMs: number }
  | { readonly kind: "signal"; readonly name: SignalName }
  /** Something that waiting cannot fix. */
  | { readonly kind: "error"; readonly error: StoreError | LockError };

type Interruption = Stop & { readonly kind: "signal" };

/** `lock --wait`: one wait, from the first look to its exit code. */
export class LockByWaiting {
  readonly #waiter: Waiter;
  readonly #end = Promise.withResolvers<LastNews>();
  readonly #stop = Promise.withResolvers<Stop>();
  /** The first signal, and until when it has to be obeyed, by the clock that does not leap. */
  #interruption: { readonly stop: Interruption; readonly deadline: number } | undefined;
  readonly #interrupted = Promise.withResolvers<void>();
  #line: WaitLine | undefined;

  constructor(
    private readonly context: Teller,
    private readonly lock: Lock,
    private readonly holder: string,
    private readonly hold: NewHold,
    private readonly wait: Wait,
  ) {
    const { priority, overdueMs } = wait;
    const request = { waits: { id: holder }, hold, priority, overdueMs, lookMs: LOOK_INTERVAL_MS };
    this.#waiter = new Waiter(lock, request, (news) => this.#hear(news));
  }

  /** Waits, and gives the exit code. */
  async run(): Promise<number> {
    // a store that is away from the start is told at once, as is who holds a slot; an outage later is waited for
    const [{ semaphore, stored }, hangupIgnored] = await Promise.all([
      this.lock.readWithQueue(1),
      ignoresHangup(),
    ]);
    if (!stored) await tellNotStored(this.context, this.lock.store, this.lock.group);
    if (semaphore.holders.includes(this.holder)) {
      return await tellRefusal(this.context, this.lock, this.holder, {
        kind: "held",
        hold: semaphore.holds.get(this.holder),
      });
    }
    using _signals = this.#listen(hangupIgnored);
    using _timer = this.#expire();
    this.#line = await this.#show();
    this.#waiter.start().catch(this.#end.reject);
    const first = await Promise.race([this.#end.promise, this.#stop.promise]).finally(() => {
      this.#line?.[Symbol.dispose]();
      this.#line = undefined;
    });
    return isStop(first) ? await this.#leave(first) : await this.#tell(first);
  }

  #hear(news: WaitNews): void {
    if (news.kind !== "waiting" && news.kind !== "failing") return this.#end.resolve(news);
    if (news.kind === "failing" && isHopeless(news.error)) {
      return this.#stop.resolve({ kind: "error", error: news.error });
    }
    if (this.context.watched) {
      const { group } = this.lock;
      const { level, why, details } = describeWait(news, { id: this.holder, group }, clockOf(this.context));
      const print = () =>
        printProgress(this.context, `waiting for a slot in group ${groupLabel(group)}: ${why}${details}`);
      if (this.#line === undefined) print();
      else if (level !== "info") this.#line.above(print);
    }
  }

  async #tell(news: LastNews): Promise<number> {
    if (news.kind === "held") return await tellRefusal(this.context, this.lock, this.holder, news);
    if (news.kind === "left") throw new Error("a place was left that nobody gave up");
    return 0;
  }

  async #leave(stop: Stop): Promise<number> {
    this.#waiter.leave();
    const limit = stop.kind === "signal" ? this.#interruptionLimit() : this.#within(LEAVE_LIMIT_MS.else);
    const interrupted = this.#interrupted.promise.then(() => this.#interruptionLimit());
    const last = await Promise.race([this.#end.promise, limit, interrupted]);
    // who interrupts does not want the slot any more, whatever ended the wait before
    const why = this.#interruption?.stop ?? stop;
    if (last === undefined) return this.#unanswered(why);
    if (last.kind === "left") return await this.#left(why);
    if (last.kind === "granted" && why.kind === "signal") return await this.#giveBack(why);
    return await this.#tell(last);
  }

  /** The place is given up, and no grant will come. */
  async #left(stop: Stop): Promise<number> {
    const { context, lock } = this;
    switch (stop.kind) {
      case "signal":
        context.err(`Error locking: ${stop.name}, gave up the place in the queue\n`);
        return EXIT_BY_SIGNAL[stop.name];
      case "error":
        throw stop.error;
      case "time": {
        context.err(
          `Error locking: no slot within ${formatDuration(stop.limitMs)}, gave up the place in the queue\n`,
        );
        // who holds is worth a look, and not worth keeping somebody who interrupts
        const look = lock.readWithQueue().catch(() => undefined);
        const seen = await Promise.race([look, this.#interrupted.promise.then(() => undefined)]);
        if (seen !== undefined) {
          printHint(context, whyNoSlot(lock.group, seen, clockOf(context)));
        }
        return EXIT_IN_VAIN;
      }
    }
  }

  /** The grant came before the interruption was through: a hold by hand would stay for good. */
  async #giveBack(stop: Interruption): Promise<number> {
    const { context, lock, holder, hold } = this;
    const given = lock.cancel({ holder, boot: hold.boot, grant: hold.grant }, { fence: true }).then(
      () => true,
      () => false,
    );
    if (await Promise.race([given, this.#interruptionLimit()]) === true) {
      context.err(`Error locking: ${stop.name}, the slot was given back\n`);
    } else {
      context.err(`Error locking: ${stop.name}, and the slot granted just then could not be given back\n`);
      printHint(context, `'locksmith unlock ${holder}${groupFlag(lock.group)}' gives it back`);
    }
    return EXIT_BY_SIGNAL[stop.name];
  }

  /** The store did not say in time that the place is gone. */
  #unanswered(stop: Stop): number {
    const { context, lock } = this;
    const code = stop.kind === "signal" ? EXIT_BY_SIGNAL[stop.name] : undefined;
    if (this.#waiter.inDoubt) {
      printError(
        context,
        `cannot tell whether lock in group ${
          groupLabel(lock.group)
        } took effect: ${lock.store.name} does not answer`,
        "the request may have reached the store; check with 'locksmith status' before you continue",
      );
      return code ?? 1;
    }
    if (stop.kind === "error") throw stop.error;
    const why = stop.kind === "signal" ? stop.name : `no slot within ${formatDuration(stop.limitMs)}`;
    context.err(`Error locking: ${why}\n`);
    printHint(
      context,
      `${lock.store.name} does not answer; the place in the queue expires within ${
        formatDuration(PLACE_TTL_MS)
      }`,
    );
    return code ?? EXIT_IN_VAIN;
  }

  #interruptionLimit(): Promise<undefined> {
    const { deadline = 0 } = this.#interruption ?? {};
    return this.#within(Math.max(0, deadline - this.context.surroundings.elapsed()));
  }

  #within(ms: number): Promise<undefined> {
    return new Promise((resolve) => this.context.surroundings.after(ms, () => resolve(undefined)));
  }

  #listen(hangupIgnored: boolean): Disposable {
    return onSignals(hangupIgnored, (name) => {
      const deadline = this.context.surroundings.elapsed() + LEAVE_LIMIT_MS.signal;
      this.#interruption ??= { stop: { kind: "signal", name }, deadline };
      this.#interrupted.resolve();
      this.#stop.resolve({ kind: "signal", name });
    });
  }

  /** On a terminal, how far the wait is. */
  async #show(): Promise<WaitLine | undefined> {
    const { context: { surroundings, watched, err }, lock, holder, wait: { overdueMs } } = this;
    if (!watched || !canDraw()) return undefined;
    const { WaitLine } = await import("./wait_line.ts");
    const { store, group } = lock;
    return new WaitLine(
      { store, group, surroundings, overdueMs },
      { holder, by: lock.by },
      (text) => err(text),
    );
  }

  /** Ends the wait when its time is over. A timer holds some weeks only, and then asks how much is left. */
  #expire(): Disposable {
    const { context: { surroundings }, wait: { limitMs } } = this;
    if (limitMs === Infinity) return { [Symbol.dispose]: () => {} };
    const end = surroundings.elapsed() + limitMs;
    const arm = () =>
      surroundings.after(Math.max(0, end - surroundings.elapsed()), () => {
        if (surroundings.elapsed() < end) timer = arm();
        else this.#stop.resolve({ kind: "time", limitMs });
      });
    let timer = arm();
    return { [Symbol.dispose]: () => timer.cancel() };
  }
}

function isStop(end: LastNews | Stop): end is Stop {
  return end.kind === "time" || end.kind === "signal" || end.kind === "error";
}

/** Whether somebody has to fix the cause, so that the wait ends; anything else may pass. */
function isHopeless(error: StoreError | LockError): boolean {
  return error instanceof LockError
    ? error.kind === "document"
    : error.kind === "permission" || error.kind === "authentication";
}
