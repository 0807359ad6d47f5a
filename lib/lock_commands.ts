/**
 * Slots by hand: taken at once or by waiting in line, and given back.
 *
 * A plain `lock` passes the queue over: it is an administrator's. `lock --wait` stands in line with the machines. However
 * it ends, it says what became of its place; whoever interrupts it has no slot afterwards, and where the store does not
 * answer to that, it says so.
 */

import {
  checkHolder,
  type Context,
  holderOf,
  limitOperands,
  option,
  reasonOption,
  withLock,
} from "./command.ts";
import { resolveHoldOverdue, resolvePriority } from "./config.ts";
import { DurationError, formatDuration, parseDuration } from "./duration.ts";
import { groupLabel } from "./group.ts";
import { type Lock, LockError, newGrant } from "./lock.ts";
import { readHost } from "./machine.ts";
import { printError, printHint, printProgress } from "./output.ts";
import { PLACE_TTL_MS } from "./queue.ts";
import { describeHold, whyNoSlot } from "./report.ts";
import type { AcquireDecision, Hold } from "./semaphore.ts";
import type { StoreError } from "./store.ts";
import { Waiter, type WaitNews } from "./waiter.ts";

/** sysexits.h: a failure that may be none when tried later. */
const EXIT_IN_VAIN = 75;
/** What a shell makes of a program that a signal ended. */
const EXIT_BY_SIGNAL = { SIGINT: 130, SIGTERM: 143 } as const;
/**
 * How long a wait may take to end from when it shall, in milliseconds. Who interrupts a program waits a second at most;
 * else there is time for a call to the store that is under way.
 */
const LEAVE_LIMIT_MS = { signal: 800, else: 5_000 };

export function lock(context: Context): Promise<number> {
  limitOperands(context, 1);
  checkHolder(context);
  const wait = waitOption(context);
  return withLock(context, async (lock) => {
    const holder = await holderOf(context);
    const own = context.line.positionals.length === 0;
    const hold = {
      ...(own ? { host: await readHost(context.root) } : {}),
      by: lock.by,
      ...reasonOption(context),
      grant: newGrant(),
      extra: {},
    };
    return wait === undefined
      ? await lockNow(context, lock, holder, hold)
      : await new LockByWaiting(context, lock, holder, hold, wait).run();
  });
}

/** What a wait needs of its context. */
type Teller = Pick<Context, "out" | "err" | "surroundings" | "watched">;
type NewHold = Omit<Hold, "since"> & { readonly grant: string };

async function lockNow(context: Context, lock: Lock, holder: string, hold: NewHold): Promise<number> {
  const since = new Date(context.surroundings.now()).toISOString();
  const host = hold.host === undefined ? {} : { host: hold.host };
  const decision = await lock.acquire(holder, { ...host, since, ...hold });
  return decision.kind === "granted" ? 0 : await notLocked(context, lock, decision);
}

/** Says why there is no slot, in the old words first. */
async function notLocked(
  context: Teller,
  lock: Lock,
  decision: Exclude<AcquireDecision, { kind: "granted" }>,
): Promise<number> {
  const now = context.surroundings.now();
  switch (decision.kind) {
    case "held":
      context.err("Error locking: holder exists\n");
      printHint(context, `it has a slot already${describeHold(decision.hold, now)}`);
      return 1;
    case "full": {
      context.err(`Error locking: semaphore is at ${decision.available}\n`);
      const semaphore = await lock.read().catch(() => undefined);
      if (semaphore !== undefined) printHint(context, whyNoSlot(lock.group, semaphore, [], now));
      return 1;
    }
    case "paused":
      context.err("Error locking: group is paused\n");
      printHint(
        context,
        `no slots are granted in group ${groupLabel(lock.group)}${describeHold(decision.pause, now)}`,
      );
      return 1;
  }
}

/** How somebody wants to wait. */
interface Wait {
  /** `undefined`: for as long as it takes. */
  readonly limitMs: number | undefined;
  readonly priority: number;
  readonly overdueMs: number;
}

/** What `--wait` says, or `undefined` where it is not given; adds to the faults. */
function waitOption(context: Context): Wait | undefined {
  const { settings, line } = context;
  const text = option(context, "wait");
  if (text === undefined) {
    if (line.options.has("priority")) settings.faults.push("--priority is of use with --wait only");
    return undefined;
  }
  const [id] = line.positionals;
  if (text === "" && id !== undefined && isDuration(id)) {
    settings.faults.push(
      `--wait takes a value by '=' only, and '${id}' would be a machine id: did you mean --wait=${id}?`,
    );
  }
  const limitMs = text === "" ? undefined : limitOf(text, settings.faults);
  // what has a fault is told before anything starts, and not used
  return { limitMs, priority: resolvePriority(settings) ?? 0, overdueMs: resolveHoldOverdue(settings) ?? 0 };
}

function limitOf(text: string, faults: string[]): number | undefined {
  try {
    const limitMs = parseDuration(text);
    if (limitMs >= 0) return limitMs;
    faults.push(`--wait: '${text}' is negative`);
  } catch (error) {
    if (!(error instanceof DurationError)) throw error;
    faults.push(`--wait: ${error.message}`);
  }
  return undefined;
}

function isDuration(text: string): boolean {
  try {
    parseDuration(text);
    return true;
  } catch (error) {
    if (error instanceof DurationError) return false;
    throw error;
  }
}

/** Why a wait shall end without its slot. */
type Stop =
  | { readonly kind: "time"; readonly limitMs: number }
  | { readonly kind: "signal"; readonly name: keyof typeof EXIT_BY_SIGNAL }
  /** Nothing that waiting could mend. */
  | { readonly kind: "error"; readonly error: StoreError | LockError };

type Interruption = Stop & { readonly kind: "signal" };
type LastNews = Exclude<WaitNews, { kind: "waiting" }>;

/** `lock --wait`: one wait, from the first look to its exit code. */
export class LockByWaiting {
  readonly #waiter: Waiter;
  readonly #end = Promise.withResolvers<LastNews>();
  readonly #stop = Promise.withResolvers<Stop>();
  /** The first signal, and until when it has to be obeyed, by the clock that does not leap. */
  #interruption: { readonly stop: Interruption; readonly deadline: number } | undefined;
  readonly #interrupted = Promise.withResolvers<void>();

  constructor(
    private readonly context: Teller,
    private readonly lock: Lock,
    private readonly holder: string,
    private readonly hold: NewHold,
    private readonly wait: Wait,
  ) {
    const { priority, overdueMs } = wait;
    this.#waiter = new Waiter(lock, { holder, hold, priority, overdueMs }, (news) => this.#hear(news));
  }

  /** Waits, and gives the exit code. */
  async run(): Promise<number> {
    // a store that is away from the start is told at once, as is who holds a slot; an outage later is waited for
    const semaphore = await this.lock.read();
    if (semaphore.holders.includes(this.holder)) {
      return await notLocked(this.context, this.lock, {
        kind: "held",
        hold: semaphore.holds.get(this.holder),
      });
    }
    using _signals = this.#listen();
    using _timer = this.#expire();
    this.#waiter.start().catch(this.#end.reject);
    const first = await Promise.race([this.#end.promise, this.#stop.promise]);
    return isStop(first) ? await this.#leave(first) : await this.#tell(first);
  }

  #hear(news: WaitNews): void {
    if (news.kind !== "waiting") return this.#end.resolve(news);
    if (news.error !== undefined && isHopeless(news.error)) {
      return this.#stop.resolve({ kind: "error", error: news.error });
    }
    if (this.context.watched) {
      printProgress(this.context, `waiting for a slot in group ${groupLabel(this.lock.group)}: ${news.why}`);
    }
  }

  async #tell(news: LastNews): Promise<number> {
    if (news.kind === "held") return await notLocked(this.context, this.lock, news);
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
        context.err(`Error locking: ${stop.name}, the place in line was given up\n`);
        return EXIT_BY_SIGNAL[stop.name];
      case "error":
        throw stop.error;
      case "time": {
        context.err(
          `Error locking: no slot within ${formatDuration(stop.limitMs)}, the place in line was given up\n`,
        );
        const seen = await lock.readWithQueue().catch(() => undefined);
        if (seen !== undefined) {
          const now = context.surroundings.now();
          printHint(context, whyNoSlot(lock.group, seen.semaphore, seen.queue, now));
        }
        return EXIT_IN_VAIN;
      }
    }
  }

  /** The grant came before the interruption was through: a hold by hand would stay for good. */
  async #giveBack(stop: Interruption): Promise<number> {
    const { context, lock, holder, hold } = this;
    const given = lock.withdraw(holder, hold.boot, hold.grant).then(() => true, () => false);
    if (await Promise.race([given, this.#interruptionLimit()]) === true) {
      context.err(`Error locking: ${stop.name}, the slot was given back\n`);
    } else {
      context.err(`Error locking: ${stop.name}, and the slot that came just then could not be given back\n`);
      printHint(context, `'locksmith unlock ${holder}' gives it back`);
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
        `nobody can tell whether lock in group ${
          groupLabel(lock.group)
        } happened: ${lock.store.name} does not answer`,
        "the request may have reached the store; look with 'locksmith status' before you go on",
      );
      return code ?? 1;
    }
    if (stop.kind === "error") throw stop.error;
    const why = stop.kind === "signal" ? stop.name : `no slot within ${formatDuration(stop.limitMs)}`;
    context.err(`Error locking: ${why}\n`);
    printHint(
      context,
      `${lock.store.name} does not answer; the place in line goes by itself within ${
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

  #listen(): Disposable {
    const signals = (["SIGINT", "SIGTERM"] as const).map((name) => {
      const heard = () => {
        const deadline = this.context.surroundings.elapsed() + LEAVE_LIMIT_MS.signal;
        this.#interruption ??= { stop: { kind: "signal", name }, deadline };
        this.#interrupted.resolve();
        this.#stop.resolve({ kind: "signal", name });
      };
      Deno.addSignalListener(name, heard);
      return { name, heard };
    });
    return {
      [Symbol.dispose]: () => {
        for (const { name, heard } of signals) Deno.removeSignalListener(name, heard);
      },
    };
  }

  /** Ends the wait when its time is over. A timer holds some weeks only, and then asks how much is left. */
  #expire(): Disposable {
    const { context: { surroundings }, wait: { limitMs } } = this;
    if (limitMs === undefined) return { [Symbol.dispose]: () => {} };
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

/** What fails for a reason that somebody has to mend is told; what may pass is waited for. */
function isHopeless(error: StoreError | LockError): boolean {
  return error instanceof LockError
    ? error.kind === "document"
    : error.kind === "permission" || error.kind === "authentication";
}

export function unlock(context: Context): Promise<number> {
  limitOperands(context, 1);
  checkHolder(context);
  return withLock(context, async (lock) => {
    const decision = await lock.release(await holderOf(context), { kind: "administrator" });
    if (decision.kind === "released") return 0;
    context.err("Error unlocking: holder does not exist\n");
    return 1;
  });
}
