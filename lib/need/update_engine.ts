/**
 * Does update-engine (Flatcar, Container Linux) want a reboot? Asked and heard over D-Bus.
 *
 * Two sources say it: the method `GetStatus` and the signal `StatusUpdate`. Everybody on the bus may send that signal, so
 * it counts from two senders only: who owns the name `com.coreos.update1` (the bus lets nobody but root own it), and a
 * process of root's that is still there when the bus is asked. Any other is ignored, and told once for each user.
 *
 * The later word counts, with one exception: a reboot that a *signal* asked for is not taken back by a mere re-reading of
 * `GetStatus` after a lost connection, for a signal of root's that is no status of the engine never shows there. Only
 * another signal takes it back (update-engine resetting itself sends `UPDATE_STATUS_IDLE`). Likewise a service that is gone,
 * or a bus that is gone, takes back "not needed", not "needed". A host without update-engine, or without a bus from the start
 * on, is no fault: there is nothing to ask.
 */
import { pause } from "../host/child.ts";
import { type Bus, BusError, type BusSignal, type CallOptions } from "../host/bus.ts";
import type { Answer } from "../need.ts";

export const NEED_REBOOT = "UPDATE_STATUS_UPDATED_NEED_REBOOT";

const SERVICE = "com.coreos.update1";
const PATH = "/com/coreos/update1";
const INTERFACE = "com.coreos.update1.Manager";

const SIGNAL_RULE = `type='signal',path='${PATH}',interface='${INTERFACE}',member='StatusUpdate'`;
const OWNER_RULE =
  `type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='${SERVICE}'`;

const CALL_TIMEOUT_MS = 5000;
const RETRY_MS = 60_000;
/** After a signal that did not count the next sender is looked up so much later: a flood of them costs little. */
const IGNORED_PAUSE_MS = 1000;
/** So many senders wait to be looked up; a signal of one more is dropped. */
const MAX_STRANGERS = 16;
/** So many users are told of. */
const MAX_TOLD = 8;

/** What update-engine says of itself. */
export interface UpdateStatus {
  /** Unix time of its last look for updates, in seconds; 0: never. */
  readonly lastCheckedSeconds: number;
  /** 0 to 1. */
  readonly progress: number;
  /** One of `UPDATE_STATUS_IDLE`, `UPDATE_STATUS_DOWNLOADING` and so on. */
  readonly operation: string;
  /** May be empty. */
  readonly newVersion: string;
  readonly newSizeBytes: number;
}

/** Asks update-engine. Throws `BusError`. */
export async function getStatus(bus: Bus, options: CallOptions): Promise<UpdateStatus> {
  const data = await bus.call(
    { service: SERVICE, path: PATH, interface: INTERFACE, member: "GetStatus" },
    "",
    [],
    options,
  );
  const status = parseStatus(data);
  if (status === null) {
    const detail = `not the five values of a status: ${JSON.stringify(data).slice(0, 120)}`;
    throw new BusError("failed", `cannot read the status of update-engine: ${detail}`, detail);
  }
  return status;
}

/** Whether this status asks for a reboot. */
export function needsReboot(status: UpdateStatus): boolean {
  return status.operation === NEED_REBOOT;
}

/**
 * Sends the signal of update-engine that a reboot is needed, for those who listen to it as ever. Our own daemon does not
 * take it from a sender that is gone: `request.ts` is what it hears. Throws `BusError`.
 */
export async function sendNeedReboot(bus: Bus, options: CallOptions): Promise<void> {
  const source = { path: PATH, interface: INTERFACE, member: "StatusUpdate" };
  await bus.emit(source, "xdssx", ["0", "0", NEED_REBOOT, "", "0"], options);
}

/** The arguments of `GetStatus` and `StatusUpdate`, or null when they are not that. */
export function parseStatus(data: readonly unknown[]): UpdateStatus | null {
  const [lastCheckedSeconds, progress, operation, newVersion, newSizeBytes] = data;
  if (typeof lastCheckedSeconds !== "number" || typeof progress !== "number") return null;
  if (typeof operation !== "string" || typeof newVersion !== "string") return null;
  if (typeof newSizeBytes !== "number") return null;
  return { lastCheckedSeconds, progress, operation, newVersion, newSizeBytes };
}

/** What was learnt, and from where; `absent`: there is no update-engine on this host, or no bus that it could be on. */
export type Word =
  | { readonly from: "signal" | "reply"; readonly status: UpdateStatus }
  | { readonly from: "fault"; readonly why: string }
  | { readonly from: "absent"; readonly why: string };

const ABSENT: Word = { from: "absent", why: "this host has none" };

/** The rule of the opening comment: what holds after `word`, given what held before. Pure. */
export function laterWord(held: Word | null, word: Word): Word {
  if (held === null || word.from === "signal") return word;
  if (held.from === "fault" || held.from === "absent" || !needsReboot(held.status)) return word;
  if (word.from !== "reply") return held;
  return held.from === "signal" && !needsReboot(word.status) ? held : word;
}

/** What a word says of the need. Pure. */
export function needOf(word: Word): Answer {
  if (word.from === "absent") return { kind: "silent", why: word.why };
  if (word.from === "fault") return { kind: "unknown", why: [word.why] };
  if (!needsReboot(word.status)) return { kind: "not-needed" };
  const version = word.status.newVersion.replace(/[^\x20-\x7e]/g, "?");
  return {
    kind: "needed",
    reasons: [`update-engine has installed ${version === "" ? "an update" : version}`],
    fingerprint: version,
  };
}

export interface WatchUpdateEngineOptions {
  readonly timeoutMs?: number;
  readonly retryMs?: number;
  readonly ignoredPauseMs?: number;
  /** Told why a signal did not count; once for each user that sent one. */
  readonly onIgnored?: (why: string) => void;
}

/**
 * Watches update-engine until `signal` aborts: tells the listener at its start, at each signal, when the service comes
 * and after each reconnection. While update-engine is there and does not answer, it is asked again every `retryMs`.
 */
export async function watchUpdateEngine(
  bus: Bus,
  signal: AbortSignal,
  listener: (answer: Answer) => void,
  options: WatchUpdateEngineOptions = {},
): Promise<void> {
  const timeoutMs = options.timeoutMs ?? CALL_TIMEOUT_MS;
  const retryMs = options.retryMs ?? RETRY_MS;
  let held: Word | null = null;
  let owner: string | null = null;
  let heard = 0; // grows with all that is newer than a question still under way
  const take = (word: Word) => {
    if (signal.aborted) return;
    held = laterWord(held, word);
    listener(needOf(held));
  };
  const hear = (status: UpdateStatus) => {
    heard++;
    take({ from: "signal", status });
  };
  const strangers = new Strangers(bus, { timeoutMs, signal }, hear, options);
  const ask = async () => {
    const mine = ++heard;
    while (!signal.aborted) {
      try {
        // the owner first: what it signals from then on is taken, and what it signalled before is in the reply
        const found = await bus.ownerOf(SERVICE, { timeoutMs, signal });
        if (mine !== heard) return;
        owner = found;
        // it is not called, for that would start one that somebody has stopped; its coming is announced
        if (owner === null) return take(ABSENT);
        const status = await getStatus(bus, { timeoutMs, signal });
        if (mine === heard) take({ from: "reply", status });
        return;
      } catch (error) {
        if (!(error instanceof BusError)) throw error;
        if (mine !== heard) return;
        if (error.kind === "no-service") return take(ABSENT);
        take({ from: "fault", why: error.message });
      }
      await pause(retryMs, signal);
      if (mine !== heard) return;
    }
  };
  const asked = new Set<Promise<void>>();
  const begin = () => {
    const question = ask().finally(() => asked.delete(question));
    asked.add(question);
  };
  await bus.monitor([SIGNAL_RULE, OWNER_RULE], {
    onReady: begin,
    onSignal: (seen: BusSignal) => {
      if (seen.sender === "org.freedesktop.DBus") {
        if (seen.member !== "NameOwnerChanged" || seen.data[0] !== SERVICE) return;
        const [, , now] = seen.data;
        owner = typeof now === "string" && now !== "" ? now : null;
        begin();
        return;
      }
      const status = seen.interface === INTERFACE && seen.path === PATH ? parseStatus(seen.data) : null;
      if (status === null) return;
      if (seen.sender === owner) hear(status);
      else strangers.say(seen.sender, status);
    },
    onLost: (error) => {
      heard++;
      owner = null;
      strangers.forget();
      const never = (held === null || held.from === "absent") &&
        (error.kind === "no-busctl" || error.kind === "no-bus");
      take({ from: never ? "absent" : "fault", why: error.message });
    },
  }, signal);
  await Promise.all([...asked, strangers.done]);
}

/** Signals of senders that are not update-engine: each is looked up, one after the other, and only root's count. */
class Strangers {
  /** Resolves when nobody is being looked up. */
  done: Promise<void> = Promise.resolve();
  readonly #waiting = new Map<string, UpdateStatus>();
  readonly #told = new Set<number>();
  #busy = false;
  #connection = 0;

  constructor(
    private readonly bus: Bus,
    private readonly call: CallOptions & { readonly signal: AbortSignal },
    private readonly hear: (status: UpdateStatus) => void,
    private readonly options: WatchUpdateEngineOptions,
  ) {}

  say(sender: string, status: UpdateStatus): void {
    if (this.#waiting.size >= MAX_STRANGERS && !this.#waiting.has(sender)) return;
    this.#waiting.set(sender, status);
    if (!this.#busy) this.done = this.#work();
  }

  /** The bus is gone; a new one gives the same names to others. */
  forget(): void {
    this.#connection++;
    this.#waiting.clear();
  }

  async #work(): Promise<void> {
    this.#busy = true;
    for (const [sender] of this.#waiting) {
      const connection = this.#connection;
      const uid = await this.#userOf(sender);
      if (this.call.signal.aborted) break;
      if (connection !== this.#connection) continue;
      // the latest of what it said meanwhile
      const status = this.#waiting.get(sender);
      this.#waiting.delete(sender);
      if (uid === 0 && status !== undefined) {
        this.hear(status);
        continue;
      }
      if (uid !== null) this.#tell(uid);
      await pause(this.options.ignoredPauseMs ?? IGNORED_PAUSE_MS, this.call.signal);
    }
    this.#busy = false;
  }

  /** The sender's user, `null` where nobody can tell. */
  async #userOf(sender: string): Promise<number | null> {
    try {
      return await this.bus.userOf(sender, this.call);
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      return null;
    }
  }

  #tell(uid: number): void {
    if (this.#told.has(uid) || this.#told.size >= MAX_TOLD) return;
    this.#told.add(uid);
    this.options.onIgnored?.(
      `ignored a signal in the name of update-engine: a process of uid ${uid} sent it`,
    );
  }
}
