/**
 * A reboot that root asked for on this host by `send-need-reboot`, to try the whole chain without an update.
 *
 * The word is left in a file that only root can write, for whoever merely sends a signal over the bus proves nothing: its
 * sender is gone before anybody can ask who it was. The file names the boot in which the reboot was asked for. After the
 * next one the request is met, whether or not the file is still there. A soft reboot keeps the kernel and does not meet it.
 */

import { OwnedFileError, readOwned, writeOwned } from "../host/owned_file.ts";
import type { Answer } from "../need.ts";
import { kernelBoot } from "../machine.ts";
import type { Source } from "./source.ts";

/** Where the word is left, below the root directory. */
export const REQUEST_FILE = "/run/locksmith/need-reboot";

/** What was asked for. */
export interface RebootRequest {
  /** The identity of the boot in which it was asked for. */
  readonly boot: string;
  /** An instant, ISO 8601 in UTC. */
  readonly since: string;
  /** Who asked, for people: a user's name. */
  readonly by: string;
}

/** Asks the daemon of this host for a reboot. Throws {@linkcode OwnedFileError}. */
export async function leaveRequest(path: string, request: RebootRequest): Promise<void> {
  const { boot, since, by } = request;
  await writeOwned(path, `${JSON.stringify({ boot, since, by })}\n`, { mode: 0o644, durable: false });
}

/** What the file asks for in the boot with the identity `boot`. Never throws. */
export async function readRequest(path: string, boot: string): Promise<Answer> {
  let text: string | null;
  try {
    text = await readOwned(path);
  } catch (error) {
    if (!(error instanceof OwnedFileError)) throw error;
    return { kind: "unknown", why: [error.message] };
  }
  if (text === null) return { kind: "silent" };
  const request = parseRequest(text);
  if (request === null) {
    return { kind: "unknown", why: [`${path} was not written by send-need-reboot`] };
  }
  if (kernelBoot(request.boot) !== kernelBoot(boot)) return { kind: "silent" };
  return {
    kind: "needed",
    reasons: [`${request.by} asked for it (send-need-reboot)`],
    fingerprint: request.since,
  };
}

/** The request as a source, in the boot with the identity `boot`. */
export function requestSource(boot: string): Source {
  return {
    name: "send-need-reboot",
    about: "root asked for it",
    cost: "file",
    files: [REQUEST_FILE],
    isHere: () => Promise.resolve(true),
    ask: (ground) => readRequest(ground.path(REQUEST_FILE), boot),
  };
}

function parseRequest(text: string): RebootRequest | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const { boot, since, by } = value as Record<string, unknown>;
  if (typeof boot !== "string" || typeof since !== "string" || typeof by !== "string") return null;
  return { boot, since, by: by.replace(/[^\x20-\x7e]/g, "?").slice(0, 64) };
}
