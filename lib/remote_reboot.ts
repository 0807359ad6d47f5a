/**
 * One reboot on a person's word, under a slot of a server: take one, or use the one that this machine has, prove it, and
 * call. As with the lock over a store the slot goes back when the call is refused, unless another reboot may be under way.
 */

import type { RebootOutcome } from "./daemon.ts";
import { type ManualHooks, prepared } from "./manual_reboot.ts";
import { type RemoteSlot, RemoteSlotError } from "./remote_slot.ts";
import { type Refusal, SlotServerError } from "./slot_server.ts";

export interface RemoteReboot {
  readonly slot: RemoteSlot;
  readonly reason?: string | undefined;
  /** Everything but the call: a slot that was there before is left untouched, one that was not is given back. */
  readonly dryRun: boolean;
  /** The hooks of this host; absent: none are to run. */
  readonly hooks?: ManualHooks;
  /** Calls the reboot. */
  call(): Promise<RebootOutcome>;
}

/** How it ended. */
export type RemoteOutcome =
  | { readonly kind: "accepted" }
  /** Nobody can tell whether the call was accepted; the slot is kept. */
  | { readonly kind: "unknown"; readonly why: string }
  /** The machine stays up; `slotKept`: its slot was not given back. */
  | { readonly kind: "refused"; readonly why: string; readonly slotKept: boolean }
  /** A hook before the reboot failed: it was not called. */
  | { readonly kind: "unprepared"; readonly why: string; readonly slotKept: boolean }
  /** There is no slot to be had. */
  | { readonly kind: "no-slot"; readonly refusal: Refusal }
  /** Somebody unlocked this machine just now. */
  | { readonly kind: "lost" }
  /** A dry run. `fresh`: the slot was taken for it, and given back. */
  | { readonly kind: "rehearsed"; readonly fresh: boolean };

/** Reboots this machine. Throws {@linkcode SlotServerError}, {@linkcode RemoteSlotError}. */
export async function rebootUnderServer(
  { slot, reason, dryRun, hooks, call }: RemoteReboot,
): Promise<RemoteOutcome> {
  const fresh = (await slot.look()).kind !== "holds";
  // a confirm would mark the slot that somebody else goes by
  if (dryRun && !fresh) return { kind: "rehearsed", fresh };
  const grant = await slot.begin();
  if (grant === undefined) {
    throw new RemoteSlotError(`cannot ask ${slot.name} for a slot: it could not be recorded on disk`);
  }
  const answer = await slot.ask(grant, { reason }).catch(async (error) => {
    // the request may have been granted; what cannot be given back now the daemon gives back
    await slot.giveBack(grant).catch(unlessOutside);
    throw error;
  });
  if (answer.kind === "released") throw new Error(`${slot.name} takes back a slot that it was asked for`);
  if (answer.kind !== "granted") {
    await slot.forget(grant);
    return { kind: "no-slot", refusal: answer };
  }
  if (dryRun) {
    await slot.giveBack(grant);
    return { kind: "rehearsed", fresh };
  }
  const outcome = await prepared(hooks, async () => {
    const proof = await slot.confirm(grant).catch(async (error) => {
      if (fresh) await slot.giveBack(grant).catch(unlessOutside);
      throw error;
    });
    return proof.kind === "lost" ? { kind: "lost" } as const : await call();
  });
  if (outcome.kind !== "refused" && outcome.kind !== "unprepared") return outcome;
  const returned = await slot.giveBack(grant).catch(unlessOutside);
  return { kind: outcome.kind, why: outcome.why, slotKept: returned?.kind !== "released" };
}

function unlessOutside(error: unknown): undefined {
  if (!(error instanceof SlotServerError || error instanceof RemoteSlotError)) throw error;
}
