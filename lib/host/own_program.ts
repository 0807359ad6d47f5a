/**
 * One program of the administrator's: run to its end or its deadline, at which all that it has started ends too.
 *
 * It is told line by line what the program says, as far as that is of a bearable length: what prints without end fills no
 * log and no memory.
 */

import { describeDuration } from "../description.ts";
import type { Machine } from "../machine.ts";
import { plainLine, REASON_LENGTH_LIMIT } from "../plain_text.ts";
import { type ChildEnd, OPERATORS_ENVIRONMENT, runChild } from "./child.ts";
import type { Part } from "./run_parts.ts";

/** Whose programs they are, and what each of them is told. */
export interface Owner {
  readonly root: string;
  readonly group: string;
  readonly machine: Machine;
}

/** When a program runs. */
export type OwnPhase = "before" | "granted" | "after" | "pre-reboot" | "post-boot" | "notify";

/** The variables of a program. `reasons`: why the reboot is needed, as far as that is known. */
export function ownEnvironment(
  { root, group, machine }: Owner,
  phase: OwnPhase,
  reasons: readonly string[],
): Record<string, string> {
  return {
    LOCKSMITH_PHASE: phase,
    LOCKSMITH_GROUP: group,
    LOCKSMITH_MACHINE_ID: machine.id,
    LOCKSMITH_HOST: machine.hostname,
    LOCKSMITH_REASON: plainLine(reasons.join("; "), REASON_LENGTH_LIMIT),
    LOCKSMITH_ROOT: root,
  };
}

/** Lines that are told of one run, and characters of each. */
export const SPOKEN_LIMIT = { lines: 100, length: 300 };
/** How long a program has between SIGTERM and SIGKILL at its deadline, in milliseconds. */
const TERM_MS = 5_000;

export interface OwnRun {
  readonly env: Readonly<Record<string, string>>;
  /** What it reads; nothing by default. */
  readonly stdin?: string;
  readonly timeoutMs: number;
  /** Ends it at once, with all that it has started. */
  readonly signal?: AbortSignal | undefined;
  /** Hears each line that it prints. */
  tell(line: string): void;
}

/** How it ended. `why`: the last line that it printed, or how it ended where it printed nothing. */
export type OwnEnd = { readonly kind: "done" } | { readonly kind: "failed"; readonly why: string };

/**
 * Both streams are one, so that lines stay in their order. NOTIFY_SOCKET is how the daemon talks to systemd, and programs that
 * run containers would use it too.
 */
const WRAPPER = `${OPERATORS_ENVIRONMENT}unset NOTIFY_SOCKET
exec "$1" 2>&1`;

/** Runs it. Never throws, and ends a little after its deadline at the latest. */
export async function runOwn(part: Part, { env, stdin, timeoutMs, signal, tell }: OwnRun): Promise<OwnEnd> {
  if (part.refused !== undefined) return { kind: "failed", why: `not run: ${part.refused}` };
  const speech = new Speech(tell);
  const end = await runChild("sh", ["-c", WRAPPER, "sh", part.path], {
    env,
    ...(stdin === undefined ? {} : { stdin }),
    timeoutMs,
    ...(signal === undefined ? {} : { signal }),
    ownGroup: true,
    marked: true,
    termMs: TERM_MS,
    heard: (bytes) => speech.take(bytes),
  });
  speech.end();
  return endOf(end, timeoutMs);
}

function endOf(end: ChildEnd, timeoutMs: number): OwnEnd {
  switch (end.kind) {
    case "not-started":
      return { kind: "failed", why: `cannot run sh: ${end.why}` };
    case "aborted":
      return { kind: "failed", why: "it was stopped" };
    case "timeout":
      return { kind: "failed", why: `it did not end within ${describeDuration(timeoutMs)}` };
    case "exited": {
      if (end.code === 0 && end.signal === null) return { kind: "done" };
      const how = end.signal === null ? `exit code ${end.code}` : `it was ended by ${end.signal}`;
      return { kind: "failed", why: lastLine(end.stdout) ?? how };
    }
  }
}

/** The last line with anything in it. */
function lastLine(text: string): string | undefined {
  const line = text.trimEnd().split("\n").at(-1)?.trim() ?? "";
  return line === "" ? undefined : plainLine(line, SPOKEN_LIMIT.length);
}

/** Takes bytes and tells lines, the first ones. What comes after them is not even read. */
class Speech {
  readonly #decoder = new TextDecoder();
  #rest = "";
  #told = 0;

  constructor(private readonly tell: (line: string) => void) {}

  take(bytes: Uint8Array): void {
    if (this.#told > SPOKEN_LIMIT.lines) return;
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    // of a line without an end only the beginning is kept
    this.#rest = (lines.pop() ?? "").slice(0, SPOKEN_LIMIT.length + 1);
    lines.forEach((line) => this.#line(line));
  }

  end(): void {
    this.#line(this.#rest);
  }

  #line(line: string): void {
    if (line.trim() === "" || this.#told > SPOKEN_LIMIT.lines) return;
    this.tell(
      this.#told++ < SPOKEN_LIMIT.lines
        ? plainLine(line.trimEnd(), SPOKEN_LIMIT.length)
        : "(further output is not shown)",
    );
  }
}
