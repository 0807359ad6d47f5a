/** Files that are read again when they change: looked at every second, which costs next to nothing and misses nothing. */

import type { Surroundings, Timer } from "../surroundings.ts";

/** How often files are looked at, in milliseconds. */
const LOOK_MS = 1_000;

/** Calls `changed` after one of the files became another, appeared or vanished, until it is closed. */
export function watchFiles(
  paths: readonly string[],
  changed: () => void | Promise<void>,
  surroundings: Pick<Surroundings, "after">,
): { close(): void } {
  let timer: Timer | undefined;
  let closed = false;
  let seen: string | undefined;
  const turn = async () => {
    const now = (await Promise.all(paths.map(stamp))).join("\n");
    if (closed) return;
    if (seen !== undefined && now !== seen) await changed();
    seen = now;
    if (!closed) timer = surroundings.after(LOOK_MS, turn);
  };
  turn();
  return {
    close() {
      closed = true;
      timer?.cancel();
    },
  };
}

/** Another for another content, as far as the system tells. */
async function stamp(path: string): Promise<string> {
  try {
    const { ino, size, mtime, ctime, mode } = await Deno.stat(path);
    return [ino, size, mtime?.getTime(), ctime?.getTime(), mode].join(" ");
  } catch (error) {
    return error instanceof Error ? error.name : "";
  }
}
