/**
 * Where the file of the embedded store may lie: on a file system of this very host. SQLite's locks, and the memory that its
 * processes share, do not reach from one host to another; two hosts with one file would each grant the same slot.
 *
 * The file system is told by the number that statfs(2) gives. One that is not known here counts as this host's own.
 */

import { statfsSync } from "node:fs";
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

const ALL_BITS = 0xffffffff;

/** What kind of shared file system this number of statfs(2) is of; `undefined` for one of this host's own. */
export function sharedFileSystem(type: number): string | undefined {
  // it is signed on some machines
  return SHARED.get((type & ALL_BITS) >>> 0);
}

/**
 * Checks that the file, or the folder that it is to be made in, lies on a file system of this host's own. Throws
 * {@linkcode StoreError} when it does not, and what the system reports when it cannot be told.
 */
export function requireOwnFileSystem(path: string, typeOf: (path: string) => number = typeOfPlace): void {
  const kind = sharedFileSystem(typeOf(path));
  if (kind === undefined) return;
  throw new StoreError(
    "failed",
    `cannot use sqlite:${path}: it lies on ${kind}, and the embedded store is for processes of one host`,
    "put the file on a disk of this host, or let several hosts share an etcd",
  );
}

function typeOfPlace(path: string): number {
  return typeIfThere(path) ?? typeOfFolder(path.slice(0, path.lastIndexOf("/") + 1) || ".");
}

/** A mistyped path is not to look like a store that nobody has used yet. */
function typeOfFolder(folder: string): number {
  const type = typeIfThere(folder);
  if (type === undefined) throw new Error(`unable to open the file: there is no directory ${folder}`);
  return type;
}

function typeIfThere(path: string): number | undefined {
  try {
    return statfsSync(path).type;
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    if (error.code === "ENOENT") return undefined;
    throw new Error(error.message.replace(/^[A-Z]+: |, statfs .*$/g, ""), { cause: error });
  }
}
