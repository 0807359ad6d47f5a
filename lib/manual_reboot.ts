/**
 * One reboot on a person's word, under the lock: take a slot, or use the one that this machine has, prove it, and call.
 *
 * The slot goes back when the call is refused, and only where nobody else has confirmed it too: another reboot may be
 * under way under the same slot.
 */

import type { RebootOutcome } from "./daemon.ts";
import type { Account } from "./ledger.ts";
import type { Lock } from "./lock.ts";
import type { Machine } from "./machine.ts";
import { type AcquireDecision, GRANTED, type Hold, ON_DISK, ownerOf, type Ownership } from "./semaphore.ts";

export interface ManualReboot {
  readonly lock: Lock;
  readonly machine: Machine;
  readonly reason?: string | undefined;
  /** Everything but the call: a slot that was there before is left untouched, one that was not is given back. */
  readonly dryRun: boolean;
  /** A mark that no other request has. */
  newMark(): string;
  /** What the machine remembers across its boots of the slots of this group, if it remembers any. */
  readonly account?: Account;
  /** Hears that a slot was taken for it. */
  taken?(): Promise<void>;
  /** Tells that the reboot goes on under a slot that was taken by hand, which stays held. */
  underHand(hold: Hold | undefined): void;
  /** The hooks of this host; absent: none are to run. */
  readonly hooks?: ManualHooks;
  /** Calls the reboot. */
  call(): Promise<RebootOutcome>;
}

/** The hooks around a reboot on a person's word. Neither rejects. */
export interface ManualHooks {
  /** Runs those before a reboot: why one failed, `null` if none did. */
  prepare(): Promise<string | null>;
  /** No reboot after all: takes back what was prepared, and tells what could not be. */
  takeBack(): Promise<void>;
}

/** How it ended. */
export type ManualOutcome =
  | { readonly kind: "accepted" }
  /** Nobody can tell whether the call was accepted; the slot is kept. */
  | { readonly kind: "unknown"; readonly why: string }
  /** The machine stays up; `slotKept`: its slot was not given back. */
  | { readonly kind: "refused"; readonly why: string; readonly slotKept: boolean }
  /** A hook before the reboot failed: it was not called. */
  | { readonly kind: "unprepared"; readonly why: string; readonly slotKept: boolean }
  /** There is no slot to be had. */
  | { readonly kind: "no-slot"; readonly decision: Extract<AcquireDecision, { kind: "full" | "paused" }> }
  /** The slot under this machine's id is of an earlier boot, or of another machine. */
  | { readonly kind: "not-ours"; readonly owner: Extract<Ownership, { kind: "earlier-boot" | "other-host" }> }
  /** Somebody unlocked this machine just now. */
  | { readonly kind: "lost" }
  /** A dry run. `fresh`: the slot was taken for it, and given back. */
  | { readonly kind: "rehearsed"; readonly fresh: boolean };

/** Reboots this machine. Throws {@linkcode StoreError}, {@linkcode LockError}; what was prepared is taken back before. */
export async function rebootByHand(options: ManualReboot): Promise<ManualOutcome> {
  const { lock, machine, account, dryRun, hooks, call } = options;
  const taken = await take(options);
  if ("kind" in taken) return taken;
  const { grant, fresh } = taken;
  // a confirm would mark the slot that somebody else goes by
  if (dryRun && !fresh) return { kind: "rehearsed", fresh };
  const mark = options.newMark();
  const proof = grant === undefined ? undefined : { holder: machine.id, boot: machine.bootId, grant };
  const giveBack = async () => {
    if (proof === undefined || (await lock.cancel(proof, { mark })).kind === "kept") return false;
    await account?.forget(proof.grant);
    return true;
  };
  const outcome = await prepared(dryRun ? undefined : hooks, async () => {
    const confirmed = proof === undefined ? undefined : await lock.confirm(proof, mark);
    if (confirmed?.kind === "lost") return confirmed;
    if (confirmed?.kind === "frozen") {
      return { kind: "no-slot", decision: { ...confirmed, kind: "paused" } } as const;
    }
    return dryRun ? { kind: "rehearsed", fresh } as const : await call();
  });
  if (outcome.kind === "refused" || outcome.kind === "unprepared") {
    return { ...outcome, slotKept: !await giveBack() };
  }
  if (outcome.kind === "rehearsed" || outcome.kind === "no-slot" && fresh) await giveBack();
  return outcome;
}

/** Does `work` between the hooks: what was prepared is taken back where no reboot comes of it. */
export async function prepared<T extends { readonly kind: string }>(
  hooks: ManualHooks | undefined,
  work: () => Promise<T>,
): Promise<T | { readonly kind: "unprepared"; readonly why: string }> {
  let mayCome = false;
  try {
    const why = await hooks?.prepare() ?? null;
    if (why !== null) return { kind: "unprepared", why };
    const outcome = await work();
    mayCome = outcome.kind === "accepted" || outcome.kind === "unknown";
    return outcome;
  } finally {
    if (!mayCome) await hooks?.takeBack();
  }
}

/** The slot under which this machine reboots; without a `grant` it was taken by hand. */
async function take(
  { lock, machine, account, reason, newMark, taken, underHand }: ManualReboot,
): Promise<{ readonly grant: string | undefined; readonly fresh: boolean } | ManualOutcome> {
  const grant = newMark();
  const lasts = await account?.remember(grant) ?? false;
  const decision = await lock.acquire(machine.id, {
    host: machine.hostname,
    boot: machine.bootId,
    since: new Date(lock.surroundings.now()).toISOString(),
    by: `${lock.by} (locksmith reboot)`,
    ...(reason === undefined ? {} : { reason }),
    phase: GRANTED,
    ...(lasts ? { memory: ON_DISK } : {}),
    grant,
    extra: {},
  });
  if (decision.kind !== "granted") await account?.forget(grant);
  switch (decision.kind) {
    case "granted":
      await taken?.();
      return { grant, fresh: true };
    case "full":
    case "paused":
      return { kind: "no-slot", decision };
    case "held": {
      const owner = ownerOf(decision.hold, await account?.remembering() ?? machine);
      switch (owner.kind) {
        case "ours":
          return { grant: owner.grant, fresh: false };
        case "by-hand":
          underHand(owner.hold);
          return { grant: undefined, fresh: false };
        case "earlier-boot":
        case "other-host":
          return { kind: "not-ours", owner };
      }
    }
  }
}
