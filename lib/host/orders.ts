/**
 * What people and files on this host tell the daemon while it runs: that reboots are postponed or disabled, or that what
 * the last reboots were for is to be forgotten. Its files are read when one of them has changed.
 */

import type { Event, HoldOff } from "../agent.ts";
import type { Lookout } from "./lookout.ts";
import type { RebootLimit } from "./reboot_limit.ts";
import type { RebootMemory } from "./reboot_memory.ts";

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
  lookout: Lookout,
  signal: AbortSignal,
  listener: (event: Event) => void,
): Promise<void> {
  const last = new Map<string, string>(told.map((event) => [event.kind, JSON.stringify(event)]));
  await lookout.watch(orders.paths, signal, async () => {
    for (const event of await readOrders(orders)) {
      const text = JSON.stringify(event);
      if (text === last.get(event.kind) || signal.aborted) continue;
      last.set(event.kind, text);
      listener(event);
    }
  });
}
