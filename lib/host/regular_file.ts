/**
 * Small files that are read whole: configuration, certificates, ids. A pipe in the place of one would hold us up for
 * ever, and some devices never end; both are refused before they are opened. `/dev/null` is an empty file, as it is to
 * systemd, where a link to it masks what it stands for.
 */

const BYTES_MAX = 4 * 1024 * 1024;
/** The number of `/dev/null`, null(4): major 1, minor 3. */
const NULL_DEVICE = 0x103;

/** The bytes of a file. Throws what the system says, and an `Error` for what is no file, or too large to be one of ours. */
export function readRegularFile(path: string): Uint8Array {
  const { isFile, isDirectory, rdev, size } = Deno.statSync(path);
  if (!isFile && !isDirectory) {
    if (rdev === NULL_DEVICE) return new Uint8Array();
    throw new Error("it is not a regular file");
  }
  if (size > BYTES_MAX) throw new Error(`it is larger than ${BYTES_MAX / 1024 / 1024} MiB`);
  return Deno.readFileSync(path);
}

/** Whether anything is at a path. Throws what else the system says. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
