/**
 * Child processes: run to their end or their deadline, whichever is first, with what they wrote. Nothing that a child does
 * or leaves undone holds us longer than that.
 */

import { reasonOf } from "../system_error.ts";

export { reasonOf };

/** More than this of one stream is nothing that we ask for. */
export const MAX_OUTPUT_BYTES = 1 << 20;
/** After a child's exit its pipes may be held open by a grandchild; read no longer than this. */
const DRAIN_MS = 1_000;
/** How long the program that kills a group may take. */
const KILL_MS = 10_000;
/** Marks a child, and with it all that it starts: what leaves its group is known by it. */
const MARK = "LOCKSMITH_RUN";
/**
 * Signals the group $1, and whatever bears the mark $3 elsewhere, if there is one. What is killed may have started more meanwhile, so that is
 * looked for again.
 */
const SIGNAL_RUN = `kill -s "$2" -- "-$1"
[ -n "$3" ] || exit 0
for round in 1 2 3 4 5; do
  found=$(grep -lsF -- "${MARK}=$3" /proc/[0-9]*/environ)
  [ -n "$found" ] || exit 0
  for file in $found; do file=\${file%/environ}; kill -s "$2" "\${file#/proc/}"; done
  [ "$2" = KILL ] || exit 0
done`;

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
  /**
   * What it has started outside of its group is killed with it, known by a mark in the environment. What has an environment
   * of its own goes on, as does what other programs, such as systemd, were asked to start.
   */
  readonly marked?: boolean;
  /** How long the child has to end by itself, after SIGTERM and before SIGKILL, in milliseconds; absent: no time. */
  readonly termMs?: number;
  /** Hears what the child writes to stdout, as it comes. */
  heard?(bytes: Uint8Array): void;
}

/**
 * A piece of shell that gives a program of the operator's the operator's own environment. The executable sets aside variables
 * that would change its runtime; LOCKSMITH_RESTORE brings them back. The runtime puts a folder of its own in front of PATH where
 * there is no node; it goes.
 */
export const OPERATORS_ENVIRONMENT = `case \${PATH%%:*} in */node_compat_bin) PATH=\${PATH#*:} ;; esac
unset DENO_NODE_SHIM_ACTIVE
eval "\${LOCKSMITH_RESTORE-}"
`;

/** Runs a program to its end or its deadline, whichever is first. Never throws. */
export async function runChild(
  program: string,
  args: readonly string[],
  options: ChildOptions,
): Promise<ChildEnd> {
  if (options.signal?.aborted) return { kind: "aborted" };
  const mark = options.marked ? crypto.randomUUID() : "";
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args: [...args],
      env: { ...options.env, ...(mark === "" ? {} : { [MARK]: mark }) },
      stdin: options.stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
      detached: options.ownGroup ?? false,
    }).spawn();
  } catch (error) {
    return { kind: "not-started", why: reasonOf(error) };
  }
  const stdout = collect(child.stdout, options.heard);
  const stderr = collect(child.stderr);
  const fed = options.stdin === undefined ? Promise.resolve() : feed(child.stdin, options.stdin);
  const status = await within(child.status, options.timeoutMs, options.signal);
  if (status === null) {
    if (options.termMs !== undefined && !options.signal?.aborted) {
      await (options.ownGroup ? signalRun(child.pid, "TERM", mark) : killChild(child, "SIGTERM"));
      await within(child.status, options.termMs, options.signal);
    }
    // what it started may go on when it has ended itself
    if (options.ownGroup) await signalRun(child.pid, "KILL", mark);
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

/** The killer is a child too: signalling a group from here would take the right to run everything. */
async function signalRun(pid: number, signal: "TERM" | "KILL", mark: string): Promise<void> {
  await runChild("sh", ["-c", SIGNAL_RUN, "sh", `${pid}`, signal, mark], { timeoutMs: KILL_MS });
}

/** Ends a child that may have ended already. */
export function killChild(child: Deno.ChildProcess, signal: Deno.Signal = "SIGKILL"): void {
  try {
    child.kill(signal);
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

function collect(stream: ReadableStream<Uint8Array>, heard?: (bytes: Uint8Array) => void) {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  const read = async () => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      heard?.(next.value);
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
