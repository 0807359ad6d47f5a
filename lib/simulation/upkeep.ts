/**
 * What goes wrong with the machines of a roll-out: who never comes back, whose checks hold it off, who is not well after its
 * boot; and how long each keeps its slot. Pure; the same for the same seed.
 */

import type { Verdict } from "../agent.ts";
import type { Computer } from "./computer.ts";
import { type Fate, fateCounts, type RolloutPlan } from "./plan.ts";
import type { Random } from "./virtual_time.ts";

/** Who has which fate, by its place among the machines; nobody has two. */
export function drawFates(
  plan: Pick<RolloutPlan, "machines" | "failShare" | "upkeep">,
  random: Random,
): ReadonlyMap<number, Fate> {
  const fates = new Map<number, Fate>();
  for (const [fate, count] of Object.entries(fateCounts(plan)) as [Fate, number][]) {
    for (const size = fates.size + count; fates.size < size;) {
      const index = random.integer(0, plan.machines - 1);
      if (!fates.has(index)) fates.set(index, fate);
    }
  }
  return fates;
}

/** What the checks of the machines say. */
export class Verdicts {
  /** When the checks of a machine first said no, by its id, in milliseconds. */
  readonly #illSince = new Map<string, number>();

  constructor(
    private readonly fates: ReadonlyMap<string, Fate>,
    private readonly recoverMs: number,
  ) {}

  of({ id, boots }: Computer, elapsedMs: number): Verdict {
    const fate = this.fates.get(id);
    const rebooted = boots > 1;
    if (fate !== (rebooted ? "unhealthy" : "held-off")) return { kind: "well" };
    const since = this.#illSince.get(id) ?? elapsedMs;
    this.#illSince.set(id, since);
    if (elapsedMs - since >= this.recoverMs) return { kind: "well" };
    return { kind: "ill", why: rebooted ? "it is not well after the boot" : "a check fails" };
  }
}

/** From going down to the return of the slot on a good day, in milliseconds; `undefined`: it holds none. */
export function awayMs(
  { upkeep }: Pick<RolloutPlan, "upkeep">,
  rebootMs: number,
  fate: Fate | undefined,
): number | undefined {
  if (fate === "lost") return Infinity;
  if (upkeep === undefined) return rebootMs;
  const { hooksMs, checksMs, soakMs, recoverMs } = upkeep;
  if (fate === "held-off" && recoverMs === Infinity) return undefined;
  const provedMs = hooksMs + checksMs + (fate === "unhealthy" ? recoverMs : 0);
  return rebootMs + (provedMs >= soakMs ? provedMs : soakMs + checksMs);
}
