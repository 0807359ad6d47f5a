/**
 * Where the file of the embedded store may lie: on a file system of this very host. SQLite's locks, and the memory that its
 * processes share, do not reach from one host to another; two hosts with one file would each grant the same slot.
 *
 * The file system is told by the number that statfs(2) gives, through the program `stat`: the runtime's own statfs costs four
 * times as much, and would hold the whole process where a server is away. A number that is not known here counts as
 * this host's own.
 */

import { StoreError } from "../store.ts";

/** File systems that hosts share, or that a program serves, by their numbers in `linux/magic.h` and their own sources. */
const SHARED: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xfe534d42, "SMB"],
  [0xff534d42, "SMB (CIFS)"],
  [0x564c, "NCP"],
  [0x01021997, "9p"],
  [0x65735546, "FUSE"],
  [0x5346414f, "AFS"],
  [0x6b414653, "AFS"],
  [0x73757245, "Coda"],
  [0x00c36400, "Ceph"],
  [0x01161970, "GFS2"],
  [0x7461636f, "OCFS2"],
  [0x0bd00bd0, "Lustre"],
  [0x47504653, "GPFS"],
  [0x19830326, "BeeGFS"],
  [0x20030528, "OrangeFS"],
  [0xaad7aaea, "PanFS"],
  [0x786f4256, "the shared folders of VirtualBox"],
  [0xbacbacbc, "the shared folders of VMware"],
  [0x7c7c6673, "the shared folders of Parallels"],
]);

/** The number of the first of its arguments that is there. */
const SCRIPT = 'for place; do stat -f -L -c %t -- "$place" 2>/dev/null && exit; done; exit 1';

/** What kind of shared file system this number of statfs(2) is of; `undefined` for one of this host's own. */
export function sharedFileSystem(type: number): string | undefined {
  return SHARED.get(type);
}

/**
 * Checks that the file, or the folder that it is to be made in, lies on a file system of this host's own. Throws
 * {@linkcode StoreError} when it does not, or does not answer within `timeoutMs`, and what the system reports when
 * there is no such folder.
 */
export async function requireOwnFileSystem(
  path: string,
  timeoutMs: number,
  typeOf: (places: readonly string[], timeoutMs: number) => Promise<number | undefined> = typeOfFirst,
): Promise<void> {
  const folder = path.slice(0, path.lastIndexOf("/") + 1) || ".";
  let type: number | undefined;
  try {
    type = await typeOf([path, folder], timeoutMs);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    const message = `cannot use sqlite:${path}: its file system does not answer within ${timeoutMs} ms`;
    throw new StoreError("timeout", message, "is the server down that the directory is mounted from?", {
      cause: error,
    });
  }
  if (type === undefined) {
    // a mistyped path is not to look like a store that nobody has used yet
    await Deno.stat(folder).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw new Error(`unable to open the file: there is no directory ${folder}`, { cause: error });
    });
    throw new Error("'stat' cannot tell which file system it is on");
  }
  const kind = sharedFileSystem(type);
  if (kind === undefined) return;
  throw new StoreError(
    "failed",
    `cannot use sqlite:${path}: it is on ${kind}, and the embedded store is for processes of one host`,
    "put the file on a disk of this host; several hosts need etcd",
  );
}

/** The number of the first of these places that is there. Throws a `DOMException` when none is told in time. */
async function typeOfFirst(places: readonly string[], timeoutMs: number): Promise<number | undefined> {
  const child = new Deno.Command("sh", {
    args: ["-c", SCRIPT, "sh", ...places],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new DOMException("no answer", "TimeoutError")), timeoutMs);
  try {
    const { success, stdout } = await Promise.race([child.output(), late.promise]);
    const text = new TextDecoder().decode(stdout).trim();
    return success && /^[0-9a-f]+$/.test(text) ? Number.parseInt(text, 16) : undefined;
  } catch (error) {
    child.kill("SIGKILL"); // one that hangs in the kernel ends when the server is back
    child.unref();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
