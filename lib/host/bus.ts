/**
 * A client of the system bus that is systemd's `busctl`, run as a child process: calls, emitted signals, and a
 * monitor that comes back by itself.
 *
 * Promised: a call ends by its deadline and leaves no child behind; a fault is a {@linkcode BusError} whose kind tells
 * "never asked" from "asked, and nobody knows how it ended"; a monitor says each time that it listens, so that a caller
 * who then asks for the state anew misses nothing. Any local user may send a signal, so what one says is worth what its
 * sender is: the bus itself writes the sender's name, and tells who owns a name ({@linkcode Bus.ownerOf}) and which user is
 * behind one ({@linkcode Bus.userOf}). Not promised: that a monitor's child ends at once when this very process is killed
 * with SIGKILL (it ends at its next signal).
 */

import { killChild, MAX_OUTPUT_BYTES, pause, reasonOf, runChild } from "./child.ts";

/** Why the bus could not do what was asked. */
export type BusErrorKind =
  /** `busctl` is not installed, or may not be run. */
  | "no-busctl"
  /** Nobody listens at the address of the bus. */
  | "no-bus"
  /** The bus is there, the service is not. */
  | "no-service"
  /** The bus or the service refuses the caller. */
  | "denied"
  /** No answer in time: the call may have been carried out. */
  | "timeout"
  /** The service or the bus went away before it answered: the call may have been carried out. */
  | "lost"
  /** The service answered with any other error. */
  | "failed";

/** The bus could not do what was asked; `detail` is the error's own text, without what was asked. */
export class BusError extends Error {
  override readonly name = "BusError";
  constructor(readonly kind: BusErrorKind, message: string, readonly detail: string) {
    super(message);
  }
}

/** A method of an object on the bus. */
export interface Method {
  readonly service: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
}

/** A signal as the monitor saw it; `data` are its arguments. */
export interface BusSignal {
  /** The unique name of the sender, such as `:1.7`, as the bus wrote it; never used again for another. */
  readonly sender: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly data: readonly unknown[];
}

/** What a monitor tells. */
export interface MonitorHandlers {
  /** It listens from now on: ask for the state anew. Called after each connection. */
  onReady(): void;
  onSignal(signal: BusSignal): void;
  /** It does not listen any more, or cannot begin to. Called once an outage and reason, not once a retry. */
  onLost(error: BusError): void;
}

export interface BusOptions {
  /** A D-Bus address in place of the system's own. */
  readonly address?: string;
  /** The program to run in place of `busctl`. */
  readonly program?: string;
  /** Pause before a monitor starts again: the first and the longest; it doubles in between. */
  readonly minBackoffMs?: number;
  readonly maxBackoffMs?: number;
}

/** A monitor that says nothing for so long is taken to listen (a `busctl` that keeps its greeting to itself). */
const READY_AFTER_MS = 3000;
/** A monitor that lived so long begins its pauses anew. */
const STEADY_AFTER_MS = 5000;

/** The bus's own door. */
const THE_BUS = {
  service: "org.freedesktop.DBus",
  path: "/org/freedesktop/DBus",
  interface: "org.freedesktop.DBus",
};

const LOST = /disconnected from message bus|connection reset|broken pipe|not connected|connection closed/i;
const TIMEOUT = /timed out|timeout|did not receive a reply/i;
const NO_SERVICE =
  /was not provided by any|not activatable|could not activate|unknown name|has no owner|not have an owner|no such name|unit \S+ not found/i;
const DENIED =
  /access denied|permission denied|not authorized|authentication required|rejected send|not permitted/i;

/** How long a call may take, and what else ends it. */
export interface CallOptions {
  /** Milliseconds until the call has to have ended, with a {@linkcode BusError} if need be. */
  readonly timeoutMs: number;
  /** Ends the call at once with a {@linkcode BusError} of kind `lost`. */
  readonly signal?: AbortSignal;
}

/** The system bus. Costs nothing until it is used. */
export class Bus {
  readonly #program: string;
  readonly #env: Record<string, string>;
  readonly #minBackoffMs: number;
  readonly #maxBackoffMs: number;

  constructor(options: BusOptions = {}) {
    this.#program = options.program ?? "busctl";
    // The texts below are matched, so they must be in English and on stderr, whatever the daemon's own settings.
    this.#env = {
      LC_ALL: "C.UTF-8",
      SYSTEMD_LOG_LEVEL: "info",
      SYSTEMD_LOG_TARGET: "console",
      SYSTEMD_LOG_COLOR: "0",
      SYSTEMD_LOG_TIME: "0",
      SYSTEMD_LOG_LOCATION: "0",
      ...(options.address === undefined ? {} : { DBUS_SYSTEM_BUS_ADDRESS: options.address }),
    };
    this.#minBackoffMs = options.minBackoffMs ?? 200;
    this.#maxBackoffMs = options.maxBackoffMs ?? 30_000;
  }

  /**
   * Calls a method and returns its reply's arguments. `args` are written as `busctl` takes them, `signature` is that
   * of the arguments (empty: none). Throws {@linkcode BusError}.
   */
  async call(
    method: Method,
    signature: string,
    args: readonly string[],
    options: CallOptions,
  ): Promise<readonly unknown[]> {
    const what = `call ${method.member} of ${method.service}`;
    const text = await this.#run(what, options, [
      "call",
      "--",
      method.service,
      method.path,
      method.interface,
      method.member,
      ...(signature === "" ? [] : [signature, ...args]),
    ]);
    if (text.trim() === "") return [];
    try {
      const reply: unknown = JSON.parse(text);
      if (isRecord(reply) && Array.isArray(reply["data"])) return reply["data"];
    } catch {
      // Not JSON: said below.
    }
    const detail = `the reply is not what busctl prints: ${text.slice(0, 80)}`;
    throw new BusError("failed", `cannot ${what}: ${detail}`, detail);
  }

  /** The unique name of who owns `name` now, `null` when nobody does. Throws {@linkcode BusError}. */
  async ownerOf(name: string, options: CallOptions): Promise<string | null> {
    return await this.#askBus(
      "GetNameOwner",
      name,
      options,
      (owner) => typeof owner === "string" ? owner : null,
    );
  }

  /** The user id behind a unique name, `null` when its owner has left the bus. Throws {@linkcode BusError}. */
  async userOf(name: string, options: CallOptions): Promise<number | null> {
    const method = "GetConnectionUnixUser";
    return await this.#askBus(method, name, options, (uid) => typeof uid === "number" ? uid : null);
  }

  async #askBus<T>(
    member: string,
    name: string,
    options: CallOptions,
    read: (value: unknown) => T | null,
  ): Promise<T | null> {
    try {
      const [value] = await this.call({ ...THE_BUS, member }, "s", [name], options);
      const answer = read(value);
      if (answer !== null) return answer;
      const detail = `the reply is not what D-Bus says: ${JSON.stringify(value)?.slice(0, 80)}`;
      throw new BusError("failed", `cannot call ${member}: ${detail}`, detail);
    } catch (error) {
      if (error instanceof BusError && error.kind === "no-service") return null;
      throw error;
    }
  }

  /** Emits a signal to everybody. Throws {@linkcode BusError}. */
  async emit(
    source: Omit<Method, "service">,
    signature: string,
    args: readonly string[],
    options: CallOptions,
  ): Promise<void> {
    const { path, member } = source;
    await this.#run(`emit ${member} of ${source.interface}`, options, [
      "emit",
      "--",
      path,
      source.interface,
      member,
      ...(signature === "" ? [] : [signature, ...args]),
    ]);
  }

  /**
   * Listens for what any of `matches` (D-Bus match rules) picks out until `signal` aborts, and starts again, after a
   * pause that grows, whenever it cannot. Throws only what a handler throws.
   */
  async monitor(
    matches: readonly string[],
    handlers: MonitorHandlers,
    signal: AbortSignal,
  ): Promise<void> {
    let pauseMs = this.#minBackoffMs;
    let said = "";
    const onReady = () => {
      said = "";
      handlers.onReady();
    };
    while (!signal.aborted) {
      const startedMs = performance.now();
      const error = await this.#monitorOnce(matches, { ...bound(handlers), onReady }, signal);
      if (signal.aborted) return;
      if (error.message !== said) {
        said = error.message;
        handlers.onLost(error);
      }
      if (performance.now() - startedMs >= STEADY_AFTER_MS) pauseMs = this.#minBackoffMs;
      await pause(pauseMs, signal);
      pauseMs = Math.min(2 * pauseMs, this.#maxBackoffMs);
    }
  }

  async #run(what: string, options: CallOptions, args: readonly string[]): Promise<string> {
    const { timeoutMs } = options;
    const flags = [
      "--system",
      "--json=short",
      "--allow-interactive-authorization=no",
      `--timeout=${timeoutMs}ms`,
    ];
    const end = await runChild(this.#program, [...flags, ...args], { ...options, env: this.#env });
    if (end.kind === "exited" && end.code === 0) return end.stdout;
    const { kind, detail } = end.kind === "not-started"
      ? { kind: "no-busctl" as const, detail: `cannot run ${this.#program}: ${end.why}` }
      : end.kind === "timeout"
      ? { kind: "timeout" as const, detail: "" }
      : end.kind === "aborted"
      ? { kind: "lost" as const, detail: "gave up before an answer came" }
      : end.signal !== null
      ? { kind: "lost" as const, detail: `${this.#program} was ended by ${end.signal}` }
      : classify(end.stderr, end.code);
    const text = kind === "timeout" ? `no answer within ${timeoutMs} ms` : detail;
    throw new BusError(kind, `cannot ${what}: ${text}`, text);
  }

  /** One life of a monitor; returns why it ended. */
  async #monitorOnce(
    matches: readonly string[],
    handlers: MonitorHandlers,
    signal: AbortSignal,
  ): Promise<BusError> {
    let child: Deno.ChildProcess;
    try {
      child = new Deno.Command(this.#program, {
        args: ["--system", "--json=short", ...matches.map((match) => `--match=${match}`), "monitor"],
        env: this.#env,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    } catch (error) {
      const detail = `cannot run ${this.#program}: ${reasonOf(error)}`;
      return new BusError("no-busctl", `cannot listen on the system bus: ${detail}`, detail);
    }
    const kill = () => killChild(child);
    signal.addEventListener("abort", kill);
    if (signal.aborted) kill();
    let ready = false;
    const listening = () => {
      if (ready || signal.aborted) return;
      ready = true;
      handlers.onReady();
    };
    const timer = setTimeout(listening, READY_AFTER_MS);
    let last = "";
    try {
      await Promise.all([
        eachLine(child.stdout, (line) => {
          const seen = parseSignal(line);
          if (seen === null || signal.aborted) return;
          listening();
          handlers.onSignal(seen);
        }),
        eachLine(child.stderr, (line) => {
          if (line.startsWith("Monitoring bus message stream")) listening();
          else if (line.trim() !== "") last = line.trim();
        }),
      ]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", kill);
      kill();
      await child.status;
    }
    const told = classify(last, 1);
    const kind = ready ? "lost" : told.kind;
    const detail = last === "" ? "the connection ended" : told.detail;
    return new BusError(kind, `cannot listen on the system bus: ${detail}`, detail);
  }
}

/** What `busctl` says on stderr, sorted; the first line is the error's text. */
export function classify(stderr: string, code: number): { kind: BusErrorKind; detail: string } {
  const line = stderr.split("\n").find((text) => text.trim() !== "")?.trim() ?? `exit code ${code}`;
  const detail = line.replace(/^Call failed: /, "");
  if (/^Failed to (connect to|open|set|get|allocate).* bus\b/i.test(line)) {
    return { kind: DENIED.test(line) ? "denied" : "no-bus", detail };
  }
  const kind = LOST.test(detail)
    ? "lost"
    : TIMEOUT.test(detail)
    ? "timeout"
    : NO_SERVICE.test(detail)
    ? "no-service"
    : DENIED.test(detail)
    ? "denied"
    : "failed";
  return { kind, detail };
}

async function eachLine(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_OUTPUT_BYTES) return;
    for (const line of lines) take(line);
  }
  if (rest !== "") take(rest);
}

function parseSignal(line: string): BusSignal | null {
  let message: unknown;
  try {
    message = JSON.parse(line);
  } catch {
    return null;
  }
  if (!isRecord(message) || message["type"] !== "signal") return null;
  if (message["interface"] === "org.freedesktop.DBus.Local") return null; // "Disconnected": the end says so too
  const text = (key: string) => typeof message[key] === "string" ? message[key] : "";
  const payload = message["payload"];
  return {
    sender: text("sender"),
    path: text("path"),
    interface: text("interface"),
    member: text("member"),
    data: isRecord(payload) && Array.isArray(payload["data"]) ? payload["data"] : [],
  };
}

function bound(handlers: MonitorHandlers): MonitorHandlers {
  return {
    onReady: () => handlers.onReady(),
    onSignal: (signal) => handlers.onSignal(signal),
    onLost: (error) => handlers.onLost(error),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
