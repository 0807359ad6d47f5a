/**
 * The machine's own checks: may it go now, is it well? Programs of the administrator's, units that must be active and URLs
 * that must answer.
 *
 * All are asked at the same time, and one no is a no. Whatever cannot be asked or does not answer in time is a no too.
 */

import type { Verdict } from "../agent.ts";
import { describeDuration } from "../description.ts";
import { plainLine } from "../plain_text.ts";
import type { Log } from "../surroundings.ts";
import { reasonOf, runChild } from "./child.ts";
import { ownEnvironment, type Owner, runOwn } from "./own_program.ts";
import { FOLDERS, partsOf } from "./run_parts.ts";

/** When they are asked: before the machine queues, with a slot, and after the boot. */
export type CheckPhase = "before" | "granted" | "after";

export interface CheckOptions extends Owner {
  /** How long each may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Units that must be active. */
  readonly units: readonly string[];
  /** What must answer with a status of 2xx. */
  readonly urls: readonly string[];
  /** Why a reboot is needed. */
  reasons(): readonly string[];
  readonly log: Log;
}

/** So much of a check's answer is told. */
const WHY_LENGTH = 200;

/** Asks all of them. Never throws. */
export async function askChecks(options: CheckOptions, phase: CheckPhase): Promise<Verdict> {
  const answers = await Promise.all([
    askPrograms(options, phase),
    askUnits(options),
    ...options.urls.map((url) => askUrl(url, options.timeoutMs)),
  ]);
  const noes = answers.flat();
  return noes.length === 0 ? { kind: "well" } : { kind: "ill", why: noes.join("; ") };
}

/** The noes of the programs, each with its name. */
async function askPrograms(options: CheckOptions, phase: CheckPhase): Promise<string[]> {
  const { root, timeoutMs, log } = options;
  const { parts } = await partsOf(root, "check");
  const env = ownEnvironment(options, phase, options.reasons());
  const answers = await Promise.all(parts.map(async (part) => {
    const tell = (line: string) => log("debug", `${FOLDERS.check}/${part.name}: ${line}`);
    const end = await runOwn(part, { env, timeoutMs, tell });
    return end.kind === "done" ? [] : [`${part.name}: ${plainLine(end.why, WHY_LENGTH)}`];
  }));
  return answers.flat();
}

/** The units that are not active. `systemctl is-active` gives a line each, in their order. */
async function askUnits({ units, timeoutMs }: CheckOptions): Promise<string[]> {
  if (units.length === 0) return [];
  const end = await runChild("sh", ["-c", 'exec systemctl is-active -- "$@"', "sh", ...units], {
    env: { LC_ALL: "C" },
    timeoutMs,
  });
  const states = end.kind === "exited" ? end.stdout.trimEnd().split("\n") : [];
  if (end.kind === "exited" && states.length === units.length && states[0] !== "") {
    return units.flatMap((unit, i) => states[i] === "active" ? [] : [`${unit} is ${states[i]}`]);
  }
  const why = end.kind === "timeout"
    ? `no answer within ${describeDuration(timeoutMs)}`
    : end.kind === "not-started"
    ? end.why
    : end.kind === "exited"
    ? plainLine(end.stderr.trim(), WHY_LENGTH) || `exit code ${end.code}`
    : "it was stopped";
  return [`cannot ask systemctl about ${units.join(", ")}: ${why}`];
}

/** A redirect is no answer: it may lead to a page that says that all is well for somebody else. */
async function askUrl(url: string, timeoutMs: number): Promise<string[]> {
  try {
    const answer = await fetch(url, { redirect: "manual", signal: AbortSignal.timeout(timeoutMs) });
    await answer.body?.cancel();
    if (answer.ok) return [];
    const redirected = answer.status >= 300 && answer.status < 400 ? ", and redirects are not followed" : "";
    return [`${url}: it answers with status ${answer.status}${redirected}`];
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    return [`${url}: ${late ? `no answer within ${describeDuration(timeoutMs)}` : whyUnreachable(error)}`];
  }
}

/** The runtime wraps what the system says: `error sending request for url (...): client error (Connect): ... : REASON`. */
function whyUnreachable(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return plainLine(reasonOf(cause).split(": ").at(-1) ?? "", WHY_LENGTH);
}
