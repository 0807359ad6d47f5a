/**
 * A client of the system bus that is systemd's `busctl`, run as a child process: calls, emitted signals, and a
 * monitor that comes back by itself.
 *
 * Promised: a call ends by its deadline and leaves no child behind; a fault is a {@linkcode BusError} whose kind tells
 * "never asked" from "asked, and nobody knows how it ended"; a monitor says each time that it listens, so that a caller
 * who then asks for the state anew misses nothing. Not promised: who sent a signal (any local user may emit one), and
 * that a monitor's child ends at once when this very process is killed with SIGKILL (it ends at its next signal).
 */

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
/** More than this in one line of a monitor, or in one reply, is nothing that we ask for. */
const MAX_OUTPUT_BYTES = 1 << 20;
/** After a child's exit its pipes may be held open by a grandchild; read no longer than this. */
const DRAIN_MS = 200;

const LOST = /disconnected from message bus|connection reset|broken pipe|not connected|connection closed/i;
const TIMEOUT = /timed out|timeout|did not receive a reply/i;
const NO_SERVICE =
  /was not provided by any|not activatable|could not activate|unknown name|has no owner|unit \S+ not found/i;
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
      ? { kind: "lost" as const, detail: "given up before an answer" }
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

/** How a child ended. Output beyond 1 MiB is cut from its front. */
export type ChildEnd =
  | {
    readonly kind: "exited";
    readonly code: number;
    readonly signal: string | null;
    readonly stdout: string;
    readonly stderr: string;
  }
  | { readonly kind: "timeout" }
  | { readonly kind: "aborted" }
  | { readonly kind: "not-started"; readonly why: string };

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** What the child reads; nothing by default. */
  readonly stdin?: string;
  /** Milliseconds until the child is killed. */
  readonly timeoutMs: number;
  /** Kills the child at once. */
  readonly signal?: AbortSignal;
  /** The child leads a group of its own, which is killed as a whole (needs `sh`). */
  readonly ownGroup?: boolean;
}

/** Runs a program to its end or its deadline, whichever is first. Never throws. */
export async function runChild(
  program: string,
  args: readonly string[],
  options: ChildOptions,
): Promise<ChildEnd> {
  if (options.signal?.aborted) return { kind: "aborted" };
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args: [...args],
      env: { ...options.env },
      stdin: options.stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
      detached: options.ownGroup ?? false,
    }).spawn();
  } catch (error) {
    return { kind: "not-started", why: reasonOf(error) };
  }
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const fed = options.stdin === undefined ? Promise.resolve() : feed(child.stdin, options.stdin);
  const status = await within(child.status, options.timeoutMs, options.signal);
  if (status === null) {
    if (options.ownGroup) await killGroup(child.pid);
    killChild(child);
    await within(child.status, DRAIN_MS); // a child that even SIGKILL does not end must not hold us
  }
  await within(Promise.all([stdout.done, stderr.done, fed]), DRAIN_MS);
  await Promise.all([stdout.stop(), stderr.stop()]);
  if (status === null) return { kind: options.signal?.aborted ? "aborted" : "timeout" };
  return {
    kind: "exited",
    code: status.code,
    signal: status.signal,
    stdout: stdout.text(),
    stderr: stderr.text(),
  };
}

/** Why an operation of the system failed, in the system's words and in lower case: `permission denied`. */
export function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file or directory";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Error) return error.message.replace(/ \(os error \d+\).*$/, "");
  return String(error);
}

/** The killer is a child too: signalling a group from here would take the right to run everything. */
async function killGroup(pid: number): Promise<void> {
  await runChild("sh", ["-c", 'kill -s KILL -- "-$1"', "sh", `${pid}`], { timeoutMs: 1000 });
}

function killChild(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended already.
  }
}

async function feed(stream: WritableStream<Uint8Array>, text: string): Promise<void> {
  const writer = stream.getWriter();
  try {
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch {
    // The child does not read; its exit code tells the rest.
  }
}

function collect(stream: ReadableStream<Uint8Array>) {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  const read = async () => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      chunks.push(next.value);
      size += next.value.length;
      while (size > MAX_OUTPUT_BYTES && chunks.length > 1) size -= chunks.shift()?.length ?? 0;
    }
  };
  return {
    done: read().catch(() => undefined),
    stop: () => reader.cancel().catch(() => undefined),
    text: () => {
      const decoder = new TextDecoder();
      return chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("") + decoder.decode();
    },
  };
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

/** The promise's value, or null when it has none within `ms` or before `signal` aborts. */
async function within<T>(promise: Promise<T>, ms: number, signal?: AbortSignal): Promise<T | null> {
  let giveUp = () => {};
  const late = new Promise<null>((resolve) => giveUp = () => resolve(null));
  const timer = setTimeout(giveUp, ms);
  signal?.addEventListener("abort", giveUp);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  }
}

/** Waits for `ms`, or until `signal` aborts. Never throws. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => resolve();
  // Listen first: the first timer of a process may run other tasks before it returns, and one of them may abort.
  signal.addEventListener("abort", done);
  if (signal.aborted) done();
  const timer = setTimeout(done, ms);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", done);
  }
}
