/**
 * Files whose word counts because nobody else can have written them: regular files of root or of the user that runs
 * this program, on a path on which nobody else can put a file of theirs in the place of ours.
 *
 * What is read here is either such a file, or refused with the place on the path that somebody else can write to. What
 * is written appears whole or not at all. Where that ends: root itself, members of the group that this program runs
 * under (for root: the group root), and whoever may mount file systems.
 */

import { reasonOf } from "./child.ts";

/** A file could not be read, written or removed, or others could have written it. */
export class OwnedFileError extends Error {
  override readonly name = "OwnedFileError";
  constructor(readonly kind: "untrusted" | "failed", message: string) {
    super(message);
  }
}

/** More than this is nothing that we wrote. */
const MAX_BYTES = 1 << 20;
/** So many links a path may lead over, as in the kernel. */
const MAX_LINKS = 40;
const STICKY = 0o1000;

/**
 * Why somebody else could have put there, or written, what stands at the absolute `path`: `/tmp can be written by
 * everybody`. `null` where nobody could. A part of the path that is missing ends the search. Throws what the system
 * reports.
 */
export async function whoElseWrites(path: string): Promise<string | null> {
  const rest = partsOf(path);
  let directory = "/";
  let links = 0;
  for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
    if (part === "..") {
      directory = directory.replace(/[^/]*\/$/, "") || "/";
      continue;
    }
    const last = rest.length === 0;
    const here = await Deno.lstat(directory);
    const found = await lstatIfThere(`${directory}${part}`);
    // in a sticky directory nobody replaces what is ours; only files can be links to another of root's files
    const sticky = ((here.mode ?? 0) & STICKY) !== 0 && found !== null && !last && isOurs(found);
    const fault = ownerFault(directory, here) ?? (sticky ? null : modeFault(directory, here));
    if (fault !== null) return fault;
    if (found === null) return null;
    if (found.isSymlink) {
      if (++links > MAX_LINKS) return `${directory}${part} is a link to nowhere`;
      const target = await Deno.readLink(`${directory}${part}`);
      rest.unshift(...partsOf(target));
      if (target.startsWith("/")) directory = "/";
      continue;
    }
    if (last) return ownerFault(`${directory}${part}`, found) ?? modeFault(`${directory}${part}`, found);
    directory = `${directory}${part}/`;
  }
  return null;
}

/** The text of such a file, `null` where there is none. Throws {@linkcode OwnedFileError}. */
export async function readOwned(path: string): Promise<string | null> {
  try {
    // mostly there is none, and then nobody else has put it there
    await Deno.lstat(path);
    const fault = await whoElseWrites(path);
    if (fault !== null) throw new OwnedFileError("untrusted", `cannot trust ${path}: ${fault}`);
    const info = await Deno.stat(path);
    if (!info.isFile) {
      throw new OwnedFileError("untrusted", `cannot trust ${path}: it is not a regular file`);
    }
    if (info.size > MAX_BYTES) throw new Error(`it has ${info.size} bytes`);
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw failure(`read ${path}`, error);
  }
}

/**
 * Writes such a file, and makes its directory if need be; others may read it if `mode` lets them. With `durable` it is
 * on the disk when this returns. Throws {@linkcode OwnedFileError}.
 */
export async function writeOwned(
  path: string,
  text: string,
  { mode, durable }: { readonly mode: number; readonly durable: boolean },
): Promise<void> {
  const directory = path.slice(0, path.lastIndexOf("/") + 1);
  const made = `${path}.${crypto.randomUUID()}`;
  try {
    await Deno.mkdir(directory, { recursive: true, mode: mode & 0o077 ? 0o755 : 0o700 });
    const fault = await whoElseWrites(path);
    if (fault !== null) throw new OwnedFileError("untrusted", `${path} was not written: ${fault}`);
    try {
      using file = await Deno.open(made, { write: true, createNew: true, mode });
      const bytes = new TextEncoder().encode(text);
      for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
      if (durable) await file.sync();
      await Deno.rename(made, path);
    } catch (error) {
      await Deno.remove(made).catch(() => {});
      throw error;
    }
    if (durable) await syncDirectory(directory);
  } catch (error) {
    throw failure(`write ${path}`, error);
  }
}

/** Removes such a file; `false` where there was none. Throws {@linkcode OwnedFileError}. */
export async function removeOwned(path: string): Promise<boolean> {
  try {
    await Deno.remove(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw failure(`remove ${path}`, error);
  }
}

/** A new name is on the disk when its directory is. */
async function syncDirectory(directory: string): Promise<void> {
  using file = await Deno.open(directory);
  await file.sync();
}

function failure(what: string, error: unknown): OwnedFileError {
  return error instanceof OwnedFileError
    ? error
    : new OwnedFileError("failed", `cannot ${what}: ${reasonOf(error)}`);
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function isOurs({ uid }: Deno.FileInfo): boolean {
  return uid === 0 || uid === Deno.uid();
}

function ownerFault(path: string, info: Deno.FileInfo): string | null {
  return isOurs(info) ? null : `${shown(path)} belongs to uid ${info.uid}`;
}

function modeFault(path: string, { mode, gid }: Deno.FileInfo): string | null {
  if ((mode ?? 0) & 0o002) return `${shown(path)} can be written by everybody`;
  if ((mode ?? 0) & 0o020 && gid !== Deno.gid()) return `${shown(path)} can be written by the group ${gid}`;
  return null;
}

function shown(path: string): string {
  return path === "/" ? path : path.replace(/\/$/, "");
}

async function lstatIfThere(path: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
