/** Why the system refused something, in words that do not depend on the runtime: `permission denied`. Pure. */

/** By the names of errno(3). */
const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EBADF: "it is closed",
  EDQUOT: "disk quota exceeded",
  EIO: "input/output error",
  EISDIR: "it is a directory",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "the name is too long",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on device",
  ENOTDIR: "a part of its path is not a directory",
  EPERM: "operation not permitted",
  EROFS: "read-only file system",
};

/** The reason of an error that a call to the system threw. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof Deno.errors.NotFound) return "no such file or directory";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.NotCapable) return "locksmith uses no files in /dev, /proc and /sys";
  const known = "code" in error ? REASONS[String(error.code)] : undefined;
  return known ?? error.message.replace(/ \(os error \d+\).*$/s, "");
}
