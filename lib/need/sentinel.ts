/**
 * A sentinel file: it exists, a reboot is needed; it does not, none is.
 *
 * It counts only where nobody but root (or the user that the daemon runs as) can have put it there: else any local user
 * could reboot the machine, and the answer is unknown and names the place that others can write to.
 */

import { reasonOf } from "../host/child.ts";
import { whoElseWrites } from "../host/owned_file.ts";
import type { Need } from "../need.ts";
import { digest, needed } from "./source.ts";

const MAX_PACKAGES_NAMED = 5;
/** So much of a file is read. */
const MAX_BYTES = 1 << 16;

/**
 * What a sentinel file says now. Beside Debian's `/run/reboot-required` lies a file of the same name and `.pkgs`, the
 * packages that asked for it, one a line and with repeats; they are named.
 *
 * The fingerprint is of the text and of the set of packages, and not of the time: a file that a script makes anew at
 * each boot asks for the same as before, and one that survives the boot does too. Never throws.
 */
export async function readSentinel(path: string): Promise<Need> {
  try {
    const { isFile } = await Deno.stat(path);
    const fault = await whoElseWrites(path);
    if (fault !== null) return { kind: "unknown", why: [`${path} exists but cannot be trusted: ${fault}`] };
    const text = isFile ? await readStart(path) : "";
    const packages = packagesIn(await readStart(`${path}.pkgs`));
    const fingerprint = await digest([path, text, ...packages.toSorted()]);
    return needed([`${path} exists${describePackages(packages)}`], fingerprint, { packages });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { kind: "not-needed" };
    return { kind: "unknown", why: [`cannot look for ${path}: ${reasonOf(error)}`] };
  }
}

/** What a sentinel file's answer depends on. */
export function sentinelFiles(path: string): readonly string[] {
  return [path, `${path}.pkgs`];
}

/** The beginning of a file; empty where it cannot be read or others can write to it, for what it holds is decoration. */
async function readStart(path: string): Promise<string> {
  const bytes = new Uint8Array(MAX_BYTES);
  let size = 0;
  try {
    // A file that is not a regular one (a pipe) would hold us up.
    if (!(await Deno.stat(path)).isFile || await whoElseWrites(path) !== null) return "";
    using file = await Deno.open(path);
    for (let n = await file.read(bytes); n !== null && n > 0; n = await file.read(bytes.subarray(size))) {
      size += n;
    }
  } catch {
    return "";
  }
  return new TextDecoder().decode(bytes.subarray(0, size));
}

/** The packages, each once, in the order of their first mention. */
function packagesIn(text: string): string[] {
  const names = text.split("\n").map((line) => line.trim().replace(/[^\x21-\x7e]/g, "?"));
  return [...new Set(names)].filter((name) => name !== "");
}

function describePackages(names: readonly string[]): string {
  if (names.length === 0) return "";
  const named = names.slice(0, MAX_PACKAGES_NAMED).join(", ");
  const more = names.length - MAX_PACKAGES_NAMED;
  return ` (${names.length} package${names.length === 1 ? "" : "s"}: ${named}${
    more > 0 ? ` and ${more} more` : ""
  })`;
}
