/**
 * Does update-engine (Flatcar, Container Linux) want a reboot? Asked and heard over D-Bus.
 *
 * Two sources say it: the method `GetStatus` and the signal `StatusUpdate`. The later word counts, with one
 * exception: a reboot that a *signal* asked for is not taken back by a mere re-reading of `GetStatus` after a lost
 * connection, for a signal sent to try the chain ({@linkcode sendNeedReboot}) never shows there. Only another signal takes
 * it back (update-engine resetting itself sends `UPDATE_STATUS_IDLE`). Likewise a service that is gone, or a bus that
 * is gone, takes back "not needed", not "needed".
 *
 * Where it ends: the bus does not tell who sent a signal, and any local user may send this one. It can make a machine
 * ask for its reboot; when that happens is still for window and slot to say.
 */
import { pause } from "../host/child.ts";
import { type Bus, BusError, type BusSignal, type CallOptions } from "../host/bus.ts";
import type { Need } from "../need.ts";

export const NEED_REBOOT = "UPDATE_STATUS_UPDATED_NEED_REBOOT";

const SERVICE = "com.coreos.update1";
const PATH = "/com/coreos/update1";
const INTERFACE = "com.coreos.update1.Manager";

const SIGNAL_RULE = `type='signal',path='${PATH}',interface='${INTERFACE}',member='StatusUpdate'`;
const OWNER_RULE =
  `type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='${SERVICE}'`;

const CALL_TIMEOUT_MS = 5000;
const RETRY_MS = 60_000;

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

/** Tells everybody who listens that a reboot is needed, to try the chain without an update. Throws `BusError`. */
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

/** What was learnt, and from where. */
export type Word =
  | { readonly from: "signal" | "reply"; readonly status: UpdateStatus }
  | { readonly from: "fault"; readonly why: string };

/** The rule of the opening comment: what holds after `word`, given what held before. Pure. */
export function laterWord(held: Word | null, word: Word): Word {
  if (held === null || word.from === "signal") return word;
  if (held.from === "fault" || !needsReboot(held.status)) return word;
  if (word.from === "fault") return held;
  return held.from === "signal" && !needsReboot(word.status) ? held : word;
}

/** What a word says of the need. Pure. */
export function needOf(word: Word): Need {
  if (word.from === "fault") return { kind: "unknown", why: [word.why] };
  if (!needsReboot(word.status)) return { kind: "not-needed" };
  const version = word.status.newVersion.replace(/[^\x20-\x7e]/g, "?");
  return {
    kind: "needed",
    reasons: [`update-engine has installed ${version === "" ? "an update" : version}`],
  };
}

/**
 * Watches update-engine until `signal` aborts: tells the listener at its start, at each signal, when the service comes
 * and after each reconnection. While update-engine is there and does not answer, it is asked again every `retryMs`.
 */
export async function watchUpdateEngine(
  bus: Bus,
  signal: AbortSignal,
  listener: (need: Need) => void,
  options: { readonly timeoutMs?: number; readonly retryMs?: number } = {},
): Promise<void> {
  const timeoutMs = options.timeoutMs ?? CALL_TIMEOUT_MS;
  const retryMs = options.retryMs ?? RETRY_MS;
  let held: Word | null = null;
  let heard = 0; // grows with all that is newer than a question still under way
  const take = (word: Word) => {
    if (signal.aborted) return;
    held = laterWord(held, word);
    listener(needOf(held));
  };
  const ask = async () => {
    const mine = ++heard;
    while (!signal.aborted) {
      try {
        const status = await getStatus(bus, { timeoutMs, signal });
        if (mine === heard) take({ from: "reply", status });
        return;
      } catch (error) {
        if (!(error instanceof BusError)) throw error;
        if (mine !== heard) return;
        take({ from: "fault", why: error.message });
        if (error.kind === "no-service") return; // its coming is announced
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
      if (seen.member === "NameOwnerChanged") {
        if (seen.data[0] === SERVICE && seen.data[2] !== "") begin();
        return;
      }
      const status = seen.interface === INTERFACE ? parseStatus(seen.data) : null;
      if (status === null) return;
      heard++;
      take({ from: "signal", status });
    },
    onLost: (error) => {
      heard++;
      take({ from: "fault", why: error.message });
    },
  }, signal);
  await Promise.all(asked);
}
