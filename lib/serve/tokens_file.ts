/**
 * The file with the credentials: read by the server, changed by `locksmith token`. A change is made under a lock on its
 * folder, on the disk before it is told, and there as a whole or not at all.
 *
 * The file is for its owner alone. What others can write is not believed. When root changes a file of the server's own
 * user, it stays that user's.
 */

import type { CredentialList } from "./access.ts";
import {
  type Credentials,
  CredentialsError,
  NO_CREDENTIALS,
  parseCredentials,
  serializeCredentials,
} from "./tokens.ts";
import { reasonOf } from "../system_error.ts";

const MODE = 0o600;
const BYTES_MAX = 16 * 1024 * 1024;

/** What stands in the file. Never throws: what cannot be used is `broken`, and then nobody is let in. */
export async function readCredentialList(path: string): Promise<CredentialList> {
  try {
    const info = await Deno.stat(path);
    const mode = info.mode ?? 0;
    if (!info.isFile) throw new Error("it is not a regular file");
    if (mode & 0o022) throw new Error(`others can write to it; 'chmod 600 ${path}'`);
    if (info.uid !== 0 && info.uid !== Deno.uid()) throw new Error(`it belongs to uid ${info.uid}`);
    return { kind: "sound", credentials: await read(path, info) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { kind: "none" };
    return { kind: "broken", why: `cannot use ${path}: ${reasonOf(error)}` };
  }
}

/** The credentials of the file; none where there is no file. Throws {@linkcode CredentialsError}. */
export async function readCredentials(path: string): Promise<Credentials> {
  try {
    return await read(path, await Deno.stat(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return NO_CREDENTIALS;
    throw failure(`read ${path}`, error);
  }
}

async function read(path: string, { size }: Deno.FileInfo): Promise<Credentials> {
  if (size > BYTES_MAX) throw new Error(`it is larger than ${BYTES_MAX / 1024 / 1024} MiB`);
  return parseCredentials(await Deno.readTextFile(path));
}

/** Writes what `change` makes of the credentials; nothing where that is `undefined`. Throws {@linkcode CredentialsError}. */
export async function changeCredentials(
  path: string,
  change: (credentials: Credentials) => Credentials | undefined,
): Promise<void> {
  const folder = path.slice(0, path.lastIndexOf("/")) || "/";
  const made = `${path}.${crypto.randomUUID()}`;
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    using lock = await Deno.open(folder, { read: true });
    await lock.lock(true);
    const changed = change(await readCredentials(path));
    if (changed === undefined) return;
    try {
      using file = await Deno.open(made, { write: true, createNew: true, mode: MODE });
      const bytes = new TextEncoder().encode(serializeCredentials(changed));
      for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
      await file.sync();
      const { uid, gid } = await lock.stat();
      if (Deno.uid() === 0 && uid !== 0) await Deno.chown(made, uid, gid);
      await Deno.rename(made, path);
    } catch (error) {
      await Deno.remove(made).catch(() => {});
      throw error;
    }
    await lock.sync();
  } catch (error) {
    if (error instanceof CredentialsError) throw error;
    throw failure(`write ${path}`, error);
  }
}

function failure(what: string, error: unknown): CredentialsError {
  const hint = error instanceof Deno.errors.PermissionDenied
    ? "the file is the server's: run this as root, or as the server's user"
    : undefined;
  return new CredentialsError(`cannot ${what}: ${reasonOf(error)}`, hint);
}
