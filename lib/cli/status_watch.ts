/**
 * `status --watch`: a group for as long as somebody looks, by the store's watch. A terminal is drawn anew in place, until
 * q or a signal; a file or a pipe gets a line, or with --json a document, for each change, until nobody reads it.
 *
 * A store that is away at the start is told at once, like a corrupt document; later both are shown, and waited for.
 */

import { canDraw, Canvas } from "./canvas.ts";
import { type Context, withLock } from "./command.ts";
import {
  describeEstimate,
  describeHolders,
  describeInstant,
  describeStored,
  phaseOf,
} from "../description.ts";
import { groupPhrase } from "../group.ts";
import { LiveGroup } from "./live_group.ts";
import { type Lock, LockError } from "../lock.ts";
import { machineName } from "../machine.ts";
import type { MirrorState } from "../mirror.ts";
import { oneLine } from "./output.ts";
import { ignoresHangup, rowsOf, screenOf } from "./process.ts";
import { paint, type Screen } from "./screen.ts";
import { statusOn } from "./screen_report.ts";
import { pauseInForce } from "../semaphore.ts";
import { EXIT_BY_SIGNAL, onSignals } from "./signals.ts";
import { forecast, forecastFacts } from "../simulation/forecast.ts";
import { type Seen, statusJson } from "../status.ts";
import { summary } from "./status_check.ts";
import { tellNotStored } from "./unknown_group.ts";

/** How often ages grow on a terminal, in milliseconds. */
const TICK_MS = 1_000;

type WatchContext = Context<"status">;

export function watchStatus(context: WatchContext): Promise<number> {
  return withLock(context, async (lock) => {
    const [{ stored }, hangupIgnored] = await Promise.all([lock.readWithQueue(1), ignoresHangup()]);
    const end = Promise.withResolvers<number>();
    using _signals = onSignals(hangupIgnored, (name) => end.resolve(EXIT_BY_SIGNAL[name]));
    if (context.screen !== undefined && canDraw()) return await onScreen(context, lock, end);
    if (!stored) await tellNotStored(context, lock.store, lock.group);
    return await inLines(context, lock, end);
  });
}

async function onScreen(
  context: WatchContext,
  lock: Lock,
  end: PromiseWithResolvers<number>,
): Promise<number> {
  const { surroundings } = context;
  using canvas = new Canvas((text) => context.out(text));
  using _keys = onKey("q", () => end.resolve(0));
  using live = liveGroup(context, lock, true, () => draw());
  const draw = () => {
    // it may have been made larger or smaller
    const screen = screenOf() ?? context.screen;
    if (screen === undefined) return;
    const foot = `${lock.store.name}   ${
      screen.zone === undefined
        ? new Date(surroundings.now()).toISOString()
        : describeInstant(Math.trunc(surroundings.now() / 1000) * 1000, screen.zone, "second")
    }   q ends`;
    canvas.draw(picture(lock.group, live, screen, surroundings.now()), oneLine(foot), rowsOf());
  };
  const tick = () => {
    draw();
    timer = surroundings.after(TICK_MS, tick);
  };
  let timer = surroundings.after(TICK_MS, tick);
  const code = await end.promise;
  timer.cancel();
  return code;
}

/** What the terminal shows. `now` in milliseconds since the epoch. */
function picture(group: string, live: LiveGroup, screen: Screen, now: number): string {
  const trouble = troubleOf(live.state, screen.zone);
  const head = `${groupPhrase(group)}\n` +
    (trouble === undefined ? "" : `${paint(oneLine(trouble), "red", screen)}\n`);
  const seen = live.seen();
  if (seen === undefined) return head;
  if (seen instanceof LockError) {
    return `${head}${paint(oneLine(seen.message), "red", screen)}\n${oneLine(seen.hint)}\n`;
  }
  const unused = seen.stored ? "" : "Nothing is stored for this group yet.\n";
  return head + unused + statusOn(screen, seen, now) + doneLine(seen, live.rebootsMs, { now, screen });
}

/** When all will have rebooted; nothing where nothing is to be done. */
export function doneLine(
  seen: Seen,
  rebootsMs: readonly number[],
  { now, screen }: { readonly now: number; readonly screen: Pick<Screen, "zone"> },
): string {
  const told = forecast(forecastFacts(seen, { now, rebootsMs, openings: undefined }));
  switch (told.kind) {
    case "idle":
      return "";
    case "unknown":
      return "\nDone: no estimate until a reboot of this group was recorded\n";
    case "done": {
      const length = describeEstimate(Math.max(0, told.atMs - now));
      const paused = pauseInForce(seen.semaphore, now) ?? pauseInForce(seen.all, now);
      if (paused !== undefined && seen.queue.length > 0) return `\nDone: ${length} after the pause ends\n`;
      const minute = Math.ceil(told.atMs / 60_000) * 60_000;
      const at = screen.zone === undefined
        ? new Date(minute).toISOString()
        : describeInstant(minute, screen.zone);
      return `\nDone: in ${length} (${at})\n`;
    }
    case "never":
      return told.why === "no-slots"
        ? "\nDone: never, the group has no slots\n"
        : "\nDone: never as things are; every slot is overdue or was taken by hand\n";
  }
}

async function inLines(
  context: WatchContext,
  lock: Lock,
  end: PromiseWithResolvers<number>,
): Promise<number> {
  const { surroundings, config: { json } } = context;
  let before: string | undefined;
  using live = liveGroup(context, lock, false, () => tell());
  const tell = () => {
    const now = surroundings.now();
    const seen = live.seen();
    const trouble = troubleOf(live.state, undefined);
    if (seen === undefined) return;
    const what = seen instanceof LockError ? seen.message : essence(seen, now);
    const essential = JSON.stringify([trouble ?? null, what]);
    if (essential === before) return;
    before = essential;
    if (json && !(seen instanceof LockError)) {
      context.out(`${JSON.stringify(statusJson(lock.group, seen, now))}\n`);
    } else if (!json) {
      const text = trouble ?? (seen instanceof LockError ? seen.message : changeLine(lock.group, seen, now));
      context.out(`${new Date(now).toISOString()} ${oneLine(text)}\n`);
    }
    if (context.unread?.() === true) end.resolve(0);
  };
  return await end.promise;
}

/** A group in a line. `now` in milliseconds since the epoch. */
export function changeLine(group: string, seen: Seen, now: number): string {
  const { semaphore, queue: [first] } = seen;
  const held = describeHolders(semaphore, semaphore.holders, now, seen.overdue);
  const all = pauseInForce(seen.all, now) === undefined ? "" : "; all groups are paused";
  return summary({ ...seen, group }, now) + all + (held === "" ? "" : `; held by ${held}`) +
    (first === undefined ? "" : `; first in line is ${machineName(first.machine, first.host)}`);
}

/** What makes a line differ from the one before: all but the ages in it. */
function essence({ semaphore, all, queue, overdue }: Seen, now: number): unknown {
  return [
    semaphore.max,
    semaphore.holders.map((id) => {
      const hold = semaphore.holds.get(id);
      return [id, phaseOf(hold), hold?.trouble, hold?.since];
    }),
    queue.map(({ machine, priority, away, kept }) => [machine, priority, away, kept]),
    overdue,
    pauseInForce(semaphore, now) ?? null,
    pauseInForce(all, now) ?? null,
  ];
}

/** Why what is shown may be old. */
function troubleOf(state: MirrorState, zone: string | undefined): string | undefined {
  if (state.kind === "current") return undefined;
  if (state.kind === "empty") return state.error?.message;
  const since = describeStored(new Date(state.since).toISOString(), zone);
  return `the store has not answered since ${since}, and this is from then: ${state.error.message}`;
}

function liveGroup(context: WatchContext, lock: Lock, past: boolean, changed: () => void): LiveGroup {
  const { surroundings, config: { "hold-overdue": overdueMs } } = context;
  return new LiveGroup({ store: lock.store, group: lock.group, surroundings, overdueMs, past }, changed);
}

/** Calls `pressed` when a key is pressed, where there is a keyboard; signals go on as ever. */
function onKey(key: string, pressed: () => void): Disposable {
  if (!Deno.stdin.isTerminal()) return { [Symbol.dispose]: () => {} };
  Deno.stdin.setRaw(true, { cbreak: true });
  (async () => {
    const bytes = new Uint8Array(64);
    while (true) {
      const count = await Deno.stdin.read(bytes);
      if (count === null) return;
      if (new TextDecoder().decode(bytes.subarray(0, count)).toLowerCase().includes(key)) return pressed();
    }
  })().catch(() => {
    // a keyboard that went away: a hang-up follows, or a signal ends it
  });
  return { [Symbol.dispose]: () => Deno.stdin.setRaw(false) };
}
