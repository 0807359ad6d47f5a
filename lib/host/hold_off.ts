/**
 * Who holds the reboots of this machine off: `/etc/locksmith/disable`, a file whose first line may say why, until it is
 * removed; and `locksmith postpone`, until a time.
 *
 * To hold off is the safe side: a file that is there counts, whoever wrote it and whether or not it can be read.
 */

import type { HoldOff } from "../agent.ts";
import { describeInstant } from "../description.ts";
import { plainLine } from "../plain_text.ts";
import type { Log } from "../surroundings.ts";
import { reasonOf } from "../system_error.ts";
import { OwnedFileError } from "./owned_file.ts";
import { STATE_FOLDER, StateFile } from "./state_file.ts";

/** Where they lie, below the root directory. */
export const DISABLE_FILE = "/etc/locksmith/disable";
export const POSTPONED_FILE = `${STATE_FOLDER}/postponed`;
const REASON_MAX = 200;

/** Reboots are postponed. */
export interface Postponement {
  /** An instant, ISO 8601 in UTC. */
  readonly until: string;
  /** Who did it, for people: a user and a host. */
  readonly by: string;
  readonly reason?: string;
}

/** The file of `locksmith postpone`. */
export function postponedFile(root: string, log: Log): StateFile<Postponement> {
  const loss = "reboots are no longer postponed";
  return new StateFile(root, { file: POSTPONED_FILE, parse, loss, mode: 0o644 }, log);
}

/** Why reboots are disabled on this host, for people; `null`: they are not. Never throws. */
export async function readDisabled(root: string): Promise<string | null> {
  const path = root.replace(/\/+$/, "") + DISABLE_FILE;
  try {
    const { isFile } = await Deno.stat(path);
    const text = isFile ? await firstLine(path) : "";
    return `reboots are disabled on this host by ${path}${text === "" ? "" : `: ${text}`}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    return `reboots are disabled on this host: cannot look for ${path}: ${reasonOf(error)}`;
  }
}

/** `reboots are postponed until Sat 2026-11-28 02:00 +01:00 by anna@web1, because: the fair`. */
export function describePostponement({ until, by, reason }: Postponement, zone: string): string {
  const why = reason === undefined ? "" : `, because: ${reason}`;
  return `reboots are postponed until ${describeInstant(Date.parse(until), zone)} by ${by}${why}`;
}

/** What holds reboots off at `now`, in milliseconds since the epoch; `null`: nothing. Never throws. */
export async function readHoldOff(
  root: string,
  file: StateFile<Postponement>,
  { now, zone }: { readonly now: number; readonly zone: string },
): Promise<HoldOff | null> {
  const disabled = await readDisabled(root);
  if (disabled !== null) return { why: disabled, untilMs: null };
  try {
    const postponed = await file.read();
    if (postponed === null) return null;
    const untilMs = Date.parse(postponed.until);
    return untilMs <= now ? null : { why: describePostponement(postponed, zone), untilMs };
  } catch (error) {
    if (!(error instanceof OwnedFileError)) throw error;
    return { why: `it is not known until when reboots are postponed: ${error.message}`, untilMs: null };
  }
}

/** So much of the file is read. */
const HEAD_BYTES = 1024;

async function firstLine(path: string): Promise<string> {
  try {
    using file = await Deno.open(path);
    const bytes = new Uint8Array(HEAD_BYTES);
    const size = await file.read(bytes) ?? 0;
    const [line = ""] = new TextDecoder().decode(bytes.subarray(0, size)).split("\n");
    return plainLine(line, REASON_MAX);
  } catch {
    return "";
  }
}

function parse(value: unknown): Postponement | null {
  const { until, by, reason } = Object(value);
  if (typeof until !== "string" || Number.isNaN(Date.parse(until)) || typeof by !== "string") return null;
  return { until, by, ...(typeof reason === "string" ? { reason } : {}) };
}
