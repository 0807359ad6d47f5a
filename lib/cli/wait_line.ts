/** The line in which `lock --wait` shows on a terminal how far it is: its place, when its turn should come, who holds a slot. */

import { LiveLine } from "./canvas.ts";
import { describeDuration, describeEstimate, describeHolders } from "../description.ts";
import { groupPhrase } from "../group.ts";
import { LiveGroup, type LiveGroupOptions } from "./live_group.ts";
import { LockError } from "../lock.ts";
import { cutTo, oneLine } from "./output.ts";
import { columnsOf } from "./process.ts";
import { pauseInForce } from "../semaphore.ts";
import { forecastFacts, forecastTurn } from "../simulation/forecast.ts";
import type { Seen } from "../status.ts";
import type { Timer } from "../surroundings.ts";

/** How often ages grow, in milliseconds. */
const TICK_MS = 1_000;

/** Who waits. */
export interface WaitingByHand {
  readonly holder: string;
  /** Who typed it, as the place says. */
  readonly by: string;
  /** How long it has waited so far, in milliseconds. */
  readonly waitedMs: number;
}

export class WaitLine implements Disposable {
  readonly #line: LiveLine;
  readonly #live: LiveGroup;
  readonly #sinceMs: number;
  #timer: Timer | undefined;

  constructor(
    private readonly options: Omit<LiveGroupOptions, "past">,
    private readonly waits: Omit<WaitingByHand, "waitedMs">,
    write: (text: string) => void,
  ) {
    this.#sinceMs = options.surroundings.elapsed();
    this.#line = new LiveLine(write);
    this.#live = new LiveGroup({ ...options, past: true }, () => this.#draw());
    this.#plan();
  }

  /** Lets `print` write lines that stay. */
  above(print: () => void): void {
    this.#line.above(print);
  }

  /** Takes the line away. */
  [Symbol.dispose](): void {
    this.#timer?.cancel();
    this.#live[Symbol.dispose]();
    this.#line[Symbol.dispose]();
  }

  #plan(): void {
    this.#timer = this.options.surroundings.after(TICK_MS, () => {
      this.#draw();
      this.#plan();
    });
  }

  #draw(): void {
    const seen = this.#live.seen();
    // a document that cannot be read ends the wait
    if (seen === undefined || seen instanceof LockError) return;
    const { surroundings, group } = this.options;
    const waits = { ...this.waits, waitedMs: surroundings.elapsed() - this.#sinceMs };
    const away = this.#live.state.kind === "behind" ? ", the store does not answer" : "";
    const text = waitText(group, seen, waits, this.#live.rebootsMs, surroundings.now()) + away;
    this.#line.draw(cutTo(oneLine(`locksmith: ${text}`), columnsOf() - 1));
  }
}

/** How far a wait is. `now` in milliseconds since the epoch. */
export function waitText(
  group: string,
  seen: Seen,
  { holder, by, waitedMs }: WaitingByHand,
  rebootsMs: readonly number[],
  now: number,
): string {
  const { semaphore, queue, all, overdue } = seen;
  const place = 1 + queue.findIndex((place) => place.machine === holder && place.by === by);
  const waited = `waited ${describeDuration(waitedMs)}`;
  if (place === 0) return `waiting for a slot in ${groupPhrase(group)}, ${waited}`;
  const paused = pauseInForce(all, now) !== undefined
    ? "all groups are paused"
    : pauseInForce(semaphore, now) !== undefined
    ? "paused"
    : undefined;
  const held = describeHolders(semaphore, semaphore.holders, now, overdue);
  return [
    `place ${place} of ${queue.length} in ${groupPhrase(group)}`,
    ...(paused === undefined ? expectation(seen, place, rebootsMs, now) : [paused]),
    waited,
  ].join(", ") + (held === "" ? "" : `; held by ${held}`);
}

function expectation(
  seen: Seen,
  place: number,
  rebootsMs: readonly number[],
  now: number,
): string[] {
  const before = { ...seen, queue: seen.queue.slice(0, place) };
  const turn = forecastTurn(forecastFacts(before, { now, rebootsMs, openings: undefined }));
  if (turn.kind === "done") return [`turn in ${describeEstimate(Math.max(0, turn.atMs - now))}`];
  return turn.kind === "never" && turn.why === "no-slots" ? ["the group has no slots"] : [];
}
