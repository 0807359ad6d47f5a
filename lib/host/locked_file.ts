/**
 * Files by which only one process of a host does something, such as being its daemon: each is under an exclusive flock(2)
 * until it is closed, or until the end of the process, whichever way it ends. So there is no stale one, and who holds it can
 * be named.
 */
import { reasonOf } from "./child.ts";
import { readKernelFile } from "./identity.ts";

/** A file cannot be had. `kind` tells whether another process holds it. */
export class LockedFileError extends Error {
  override readonly name = "LockedFileError";
  constructor(readonly kind: "held" | "failed", message: string, readonly hint: string) {
    super(message);
  }
}

/** What is said where another daemon holds a file. */
const DAEMON = {
  busy: "another locksmithd is running",
  hint: "stop it first, or give this one another --root",
};
/** Held by a daemon as long as it runs. It lies on the disk, for what lies in `/run` may be removed, or not be writable. */
export const DAEMON_LOCK = "/var/lib/locksmith/daemon.lock";
/** The file may be removed between its opening and its locking; so often is that begun anew. */
const MAX_TRIES = 5;

/**
 * Opens a file, makes it and its directory if need be, and locks it. It gives the file and how long it is. `busy`, `hint`:
 * what is said where another process holds it, and what to do. Throws {@linkcode LockedFileError}.
 */
export async function openLocked(
  path: string,
  { mode, busy = DAEMON.busy, hint = DAEMON.hint }: {
    readonly mode: number;
    readonly busy?: string;
    readonly hint?: string;
  },
): Promise<{ readonly file: Deno.FsFile; readonly length: number }> {
  const directory = path.slice(0, path.lastIndexOf("/") + 1) || ".";
  const fault = (error: unknown) =>
    new LockedFileError(
      "failed",
      `cannot open ${path}: ${reasonOf(error)}`,
      "the daemon is meant to run as root",
    );
  try {
    await Deno.mkdir(directory, { recursive: true, mode: mode & 0o044 ? 0o755 : 0o700 });
  } catch (error) {
    throw fault(error);
  }
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    let file: Deno.FsFile | null = null;
    try {
      file = await Deno.open(path, { read: true, write: true, create: true, mode });
      const info = await file.stat();
      if (!await file.tryLock(true)) throw await held(path, info, { busy, hint });
      const named = await Deno.stat(path).catch(() => null);
      if (named !== null && named.ino === info.ino && named.dev === info.dev) {
        const opened = { file, length: info.size };
        file = null;
        return opened;
      }
    } catch (error) {
      throw error instanceof LockedFileError ? error : fault(error);
    } finally {
      file?.close();
    }
  }
  throw fault(new Error(`it keeps being replaced (${MAX_TRIES} tries)`));
}

async function held(
  path: string,
  info: Deno.FileInfo,
  { busy, hint }: typeof DAEMON,
): Promise<LockedFileError> {
  const locks = await readKernelFile("/proc/locks").catch(() => "");
  const pid = lockHolder(locks, info.ino, info.dev);
  const by = pid === null ? "" : ` (process ${pid})`;
  return new LockedFileError("held", `${busy}${by}: it holds ${path}`, hint);
}

/**
 * Who holds an flock on this inode, from the text of `/proc/locks`; null when that cannot be told, as from inside a
 * container, or on file systems whose device number there is another than stat(2)'s and the inode is not unique.
 */
export function lockHolder(locks: string, inode: number | null, device: number): number | null {
  if (inode === null) return null;
  // makedev(3) as glibc packs it: major in bits 8..19, minor in 0..7 and 20..31.
  const place = `${hex((device >>> 8) & 0xfff)}:${
    hex((device & 0xff) | ((device >>> 12) & 0xfff00))
  }:${inode}`;
  const pids = new Set<number>();
  for (const line of locks.split("\n")) {
    const [, type, , , pid, where] = line.trim().split(/\s+/);
    if (type !== "FLOCK" || !/^[1-9]\d*$/.test(pid ?? "")) continue; // a waiter's line has `->` in second place
    if (where === place) return Number(pid);
    if (where?.endsWith(`:${inode}`)) pids.add(Number(pid));
  }
  const [only] = pids;
  return pids.size === 1 && only !== undefined ? only : null;
}

function hex(value: number): string {
  return value.toString(16).padStart(2, "0");
}
