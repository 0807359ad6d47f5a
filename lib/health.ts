/**
 * A machine that has rebooted and keeps its slot until it is known to be well: what the document says of it meanwhile.
 */

import type { Lock } from "./lock.ts";
import type { Machine } from "./machine.ts";
import { noteOf } from "./note.ts";
import { type Ownership, ownership, type Semaphore } from "./semaphore.ts";

export type HealthDecision =
  /** Without `next` it is recorded already. */
  | { readonly kind: "told"; readonly next?: Semaphore }
  | { readonly kind: "not-held" };

/** The machine has rebooted and keeps its slot for now: records since when, and what is wrong with it, or `null`. */
export function tellHealth(
  semaphore: Semaphore,
  machine: Machine,
  { back, trouble }: { readonly back: string; readonly trouble: string | null },
): HealthDecision {
  const owner = ownership(semaphore, machine);
  if (owner.kind !== "earlier-boot") return { kind: "not-held" };
  const { trouble: before, ...hold } = owner.hold;
  if (hold.back !== undefined && before === (trouble ?? undefined)) return { kind: "told" };
  const told = { ...hold, back: hold.back ?? back, ...(trouble === null ? {} : { trouble }) };
  return { kind: "told", next: { ...semaphore, holds: new Map(semaphore.holds).set(machine.id, told) } };
}

/** Which slot `machine` has, without a change. Throws {@linkcode StoreError}, {@linkcode LockError}. */
export async function standing(lock: Lock, machine: Machine): Promise<Ownership> {
  return ownership(lock.parse(await lock.entry()), machine);
}

/** Records how a machine is that has rebooted. Throws {@linkcode StoreError}, {@linkcode LockError}. */
export function recordHealth(lock: Lock, machine: Machine, trouble: string | null): Promise<HealthDecision> {
  const back = new Date(lock.surroundings.now()).toISOString();
  const note = noteOf(trouble === null ? "back" : "unhealthy", machine.id, trouble ?? undefined);
  return lock.change("record the health", (current) => {
    const decision = tellHealth(current, machine, { back, trouble });
    const next = decision.kind === "told" && decision.next !== undefined ? { next: decision.next } : {};
    return { decision, ...next, note };
  });
}
