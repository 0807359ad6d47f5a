/**
 * What this machine remembers on its disk, a file for each thing: read whole, written whole or not at all, and on the
 * disk once it is written. A damaged file is set aside and told of, and counts as none: what was in it is lost, but it
 * neither stops a daemon nor is taken for something else.
 */

import type { Log } from "../surroundings.ts";
import { readOwned, removeOwned, writeOwned } from "./owned_file.ts";

/** Where such files lie, below the root directory. */
export const STATE_FOLDER = "/var/lib/locksmith";

export interface StateFileOptions<T> {
  /** Its place below the root directory. */
  readonly file: string;
  /** What the JSON of the file says; `null` where it is damaged. */
  parse(value: unknown): T | null;
  /** What follows from the loss of such a file, for the log: `the reason for the last reboot is unknown`. */
  readonly loss: string;
  /** `0o644` where others may read it; absent: root alone. */
  readonly mode?: number;
}

export class StateFile<T> {
  readonly path: string;

  constructor(root: string, private readonly options: StateFileOptions<T>, private readonly log: Log) {
    this.path = root.replace(/\/+$/, "") + options.file;
  }

  /** What it says; `null`: there is none, or it was damaged. Throws {@linkcode OwnedFileError}. */
  async read(): Promise<T | null> {
    const text = await readOwned(this.path);
    if (text === null) return null;
    const value = parseJson(text, this.options.parse);
    if (value === null) await setAside(this.path, this.options.loss, this.log);
    return value;
  }

  /** Throws {@linkcode OwnedFileError}. */
  async write(value: T): Promise<void> {
    await writeOwned(this.path, `${JSON.stringify(value)}\n`, {
      mode: this.options.mode ?? 0o600,
      durable: true,
    });
  }

  /** Removes it; `false` where there was none. Throws {@linkcode OwnedFileError}. */
  async remove(): Promise<boolean> {
    return await removeOwned(this.path);
  }
}

/** What the text of a file says, without a word where it is damaged: for those who only look. */
export function parseJson<T>(text: string, parse: (value: unknown) => T | null): T | null {
  try {
    return parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** Renames a damaged file, for people to look at, and says what is lost by it. The last one of a name is kept. */
export async function setAside(path: string, loss: string, log: Log): Promise<void> {
  const aside = `${path}.damaged`;
  try {
    await Deno.rename(path, aside);
    log("warning", `${path} is damaged and was renamed to ${aside.replace(/.*\//, "")}: ${loss}`);
  } catch (error) {
    // forgotten or written anew meanwhile
    if (error instanceof Deno.errors.NotFound) return;
    log("warning", `${path} is damaged: ${loss}`);
  }
}
