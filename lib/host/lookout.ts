/**
 * Watches files by looking at them: all of a process at the same moments, by one timer, so that it wakes once for them.
 *
 * A look costs microseconds, finds directories that come late or are made anew, follows links, and is right on network
 * file systems too. The runtime's own watch on a directory is not: it opens every file that changes there, and a named
 * pipe among them (there are some in `/run`) blocks it for ever.
 */

import { existsSync } from "node:fs";
import type { Surroundings, Timer } from "../surroundings.ts";

/** How often files are looked at, in milliseconds: what appears is noticed, and told, within a second. */
const LOOK_MS = 800;
/** How often a change is assumed although none shows, in milliseconds. */
const ASSUME_MS = 60_000;

export interface LookoutOptions {
  /** How often is looked, in milliseconds; 0.8 s. */
  readonly everyMs?: number;
}

export class Lookout {
  readonly #everyMs: number;
  readonly #posts = new Set<Post>();
  #timer: Timer | undefined;

  constructor(
    private readonly surroundings: Pick<Surroundings, "elapsed" | "after">,
    { everyMs = LOOK_MS }: LookoutOptions = {},
  ) {
    this.#everyMs = everyMs;
  }

  /**
   * Runs `work` at once, whenever one of the files appears, changes or goes, and once a minute; without files at every
   * look. Never twice at a time: what changes meanwhile is found after it. Resolves after `signal` aborts, rejects when
   * `work` does.
   */
  async watch(
    paths: readonly string[] | undefined,
    signal: AbortSignal,
    work: () => Promise<void>,
  ): Promise<void> {
    const files = paths?.map((path) => new Sight(path));
    while (!signal.aborted) {
      // looked at first, so that what changes during the work shows after it
      files?.forEach((file) => file.changed());
      await work();
      await this.#change(files, signal);
    }
  }

  /** Resolves when one of the files has changed or may have, or when `signal` aborts. */
  async #change(files: readonly Sight[] | undefined, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const post: Post = { files, untilMs: this.surroundings.elapsed() + ASSUME_MS, tell: resolve };
    const ended = () => resolve();
    signal.addEventListener("abort", ended);
    this.#posts.add(post);
    this.#timer ??= this.#nextLook();
    await promise;
    signal.removeEventListener("abort", ended);
    this.#posts.delete(post);
    if (this.#posts.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #nextLook(): Timer {
    const { surroundings } = this;
    return surroundings.after(this.#everyMs - surroundings.elapsed() % this.#everyMs, () => {
      for (const { files, untilMs, tell } of this.#posts) {
        if (
          files === undefined || surroundings.elapsed() >= untilMs || files.some((file) => file.changed())
        ) {
          tell();
        }
      }
      this.#timer = this.#nextLook();
    });
  }
}

/** Somebody who waits for a change. */
interface Post {
  readonly files: readonly Sight[] | undefined;
  readonly untilMs: number;
  tell(): void;
}

/** A file as it was seen last. */
class Sight {
  #there = false;
  #dev = 0;
  #ino: number | null = 0;
  #size = 0;
  #modifiedMs = 0;
  #changedMs = 0;

  constructor(private readonly path: string) {}

  /** Looks, and tells whether it is another than before. A path that cannot be looked at counts as empty. */
  changed(): boolean {
    // most are not there, and asking for them throws an exception that costs ten times as much
    const seen = existsSync(this.path) ? statOrNull(this.path) : null;
    if (seen === null) {
      const was = this.#there;
      this.#there = false;
      return was;
    }
    const { dev, ino, size } = seen;
    const modifiedMs = seen.mtime?.getTime() ?? 0;
    const changedMs = seen.ctime?.getTime() ?? 0;
    const same = this.#there && dev === this.#dev && ino === this.#ino && size === this.#size &&
      modifiedMs === this.#modifiedMs && changedMs === this.#changedMs;
    if (same) return false;
    this.#there = true;
    this.#dev = dev;
    this.#ino = ino;
    this.#size = size;
    this.#modifiedMs = modifiedMs;
    this.#changedMs = changedMs;
    return true;
  }
}

function statOrNull(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch {
    return null;
  }
}
