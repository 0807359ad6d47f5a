/**
 * What people and files on this host tell the daemon while it runs: that reboots are postponed or disabled, or that what
 * the last reboots were for is to be forgotten. Its files are looked at every 1.6 s, and read when one has changed.
 */

import type { Event, HoldOff } from "../agent.ts";
import { sleep, type Surroundings } from "../surroundings.ts";
import { signOf } from "./regular_file.ts";
import type { RebootLimit } from "./reboot_limit.ts";
import type { RebootMemory } from "./reboot_memory.ts";

/** How often, in milliseconds: at moments at which the files of need are looked at too, so that a process wakes once. */
const LOOK_MS = 1_600;
/** How often all is read although no file seems changed, in milliseconds. */
const WHOLE_LOOK_MS = 30_000;

export interface Orders {
  readonly memory: RebootMemory;
  readonly limit: RebootLimit;
  /** Who holds reboots off now. */
  heldOff(): Promise<HoldOff | null>;
  /** The files that all of it stands in. */
  readonly paths: readonly string[];
}

/** What they say now, for a daemon that starts. None of it is news yet. */
export async function readOrders({ memory, limit, heldOff }: Orders): Promise<readonly Event[]> {
  const [served, why, holdOff] = await Promise.all([memory.served(), limit.stopped(), heldOff()]);
  return [{ kind: "served", served }, { kind: "stopped", why }, { kind: "held-off", holdOff }];
}

/** Tells `listener` what has changed since `told`, until `signal` aborts. */
export async function watchOrders(
  orders: Orders,
  told: readonly Event[],
  surroundings: Surroundings,
  signal: AbortSignal,
  listener: (event: Event) => void,
): Promise<void> {
  let signs = "";
  let readMs = -Infinity;
  const last = new Map<string, string>(told.map((event) => [event.kind, JSON.stringify(event)]));
  while (!signal.aborted) {
    await sleep(surroundings, LOOK_MS - surroundings.elapsed() % LOOK_MS);
    // the files are asked for in one call each; to read them takes a hundred times as long
    const now = orders.paths.map(signOf).join(" ");
    if (now === signs && surroundings.elapsed() - readMs < WHOLE_LOOK_MS) continue;
    signs = now;
    readMs = surroundings.elapsed();
    for (const event of await readOrders(orders)) {
      const text = JSON.stringify(event);
      if (text === last.get(event.kind) || signal.aborted) continue;
      last.set(event.kind, text);
      listener(event);
    }
  }
}
