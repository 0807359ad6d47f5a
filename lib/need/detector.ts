/** Detectors for the daemon: a source that is asked again and again, and what it says when that is something else. */

import { pause } from "../host/child.ts";
import type { Lookout } from "../host/lookout.ts";
import type { Answer, Detector } from "../need.ts";
import type { Surroundings } from "../surroundings.ts";
import type { Ground, Source } from "./source.ts";

/** What the detectors of one process share. */
export interface DetectorOptions {
  readonly ground: Ground;
  readonly lookout: Lookout;
  /** Lets one program at a time be asked. */
  readonly turns: Turns;
  /** How often a program is asked, in milliseconds, lengthened by up to a tenth. */
  readonly intervalMs: number;
  readonly surroundings: Pick<Surroundings, "random">;
}

/** Files are looked at by the lookout; programs are asked now and then. */
export function detectorOf(
  source: Source,
  { ground, lookout, turns, intervalMs, surroundings }: DetectorOptions,
): Detector {
  return async (signal, listener) => {
    let last = "";
    const tell = (answer: Answer) => {
      const text = JSON.stringify(answer);
      if (text === last || signal.aborted) return;
      last = text;
      listener(answer);
    };
    if (source.cost === "file") {
      const files = source.files?.map((path) => ground.path(path));
      return await lookout.watch(files, signal, async () => tell(await source.ask(ground)));
    }
    while (!signal.aborted) {
      tell(await turns.take(() => source.ask(ground)));
      await pause(intervalMs * (1 + surroundings.random() / 10), signal);
    }
  };
}

/** Lets one after the other work: package managers wait for each other's locks, or fail on them. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
