/** A sentinel file: it exists, a reboot is needed; it does not, none is. */

import { pause, reasonOf } from "../host/child.ts";
import type { Need } from "../need.ts";

const MAX_PACKAGES_NAMED = 5;
const MAX_PACKAGES_BYTES = 1 << 16;

/**
 * What a sentinel file says now: it exists, a reboot is needed; it does not, none is. Beside Debian's
 * `/run/reboot-required` lies a file of the same name and `.pkgs`, the packages that asked for it, one a line and with repeats; they are named.
 * Never throws.
 */
export async function readSentinel(path: string): Promise<Need> {
  try {
    await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { kind: "not-needed" };
    return { kind: "unknown", why: [`cannot look for ${path}: ${reasonOf(error)}`] };
  }
  return { kind: "needed", reasons: [`${path} exists${await readPackages(`${path}.pkgs`)}`] };
}

async function readPackages(path: string): Promise<string> {
  const bytes = new Uint8Array(MAX_PACKAGES_BYTES);
  let size = 0;
  try {
    // A file that is not a regular one (a pipe) would hold us up; packages are decoration.
    if (!(await Deno.stat(path)).isFile) return "";
    using file = await Deno.open(path);
    for (let n = await file.read(bytes); n !== null && n > 0; n = await file.read(bytes.subarray(size))) {
      size += n;
    }
  } catch {
    return "";
  }
  const lines = new TextDecoder().decode(bytes.subarray(0, size)).split("\n");
  const names = [...new Set(lines.map((line) => line.trim().replace(/[^\x21-\x7e]/g, "?")))]
    .filter((name) => name !== "");
  if (names.length === 0) return "";
  const named = names.slice(0, MAX_PACKAGES_NAMED).join(", ");
  const more = names.length - MAX_PACKAGES_NAMED;
  return ` (${names.length} package${names.length === 1 ? "" : "s"}: ${named}${
    more > 0 ? ` and ${more} more` : ""
  })`;
}

/**
 * Watches a sentinel file until `signal` aborts, by looking every `recheckMs` (5 s).
 *
 * Looking costs microseconds, and is right for directories that come late or are made anew. The runtime's own watch on a
 * directory is not: it opens every file that changes there, and a named pipe among them (there are some in `/run`) blocks
 * it, and with its closing the whole process.
 */
export async function watchSentinel(
  path: string,
  signal: AbortSignal,
  listener: (need: Need) => void,
  options: { readonly recheckMs?: number } = {},
): Promise<void> {
  const recheckMs = options.recheckMs ?? 5000;
  let last = "";
  while (!signal.aborted) {
    const need = await readSentinel(path);
    if (signal.aborted) return;
    const text = JSON.stringify(need);
    if (text !== last) listener(need);
    last = text;
    await pause(recheckMs, signal);
  }
}
