/**
 * What a server is told of its groups: which there are, and when their hosts may reboot. Pure.
 */

import { windowStateAt } from "./strategy.ts";
import type { Window } from "./window.ts";

/** A window in a time zone. */
export interface Schedule {
  readonly window: Window;
  readonly zone: string;
}

/** A time without reboots, from and up to these moments, in milliseconds since the epoch. */
export interface Freeze {
  readonly from: number;
  readonly until: number;
  readonly reason?: string;
}

export interface GroupRules {
  /** How many may hold a slot at once; absent: as the store has it. */
  readonly max?: number;
  /** Reboots are allowed while any of them is open; none: always. */
  readonly windows: readonly Schedule[];
  readonly freezes: readonly Freeze[];
}

/** Which groups there are. */
export interface KnownGroups {
  /** `undefined`: there is no such group. */
  rulesOf(group: string): GroupRules | undefined;
}

/** Every group that somebody asks for. */
export const ANY_GROUP: KnownGroups = { rulesOf: () => NO_RULES };
const NO_RULES: GroupRules = { windows: [], freezes: [] };

/** Whether reboots are allowed, and until when it stays so; instants in milliseconds since the epoch. */
export type Gate =
  | { readonly open: true; readonly until: number }
  | { readonly open: false; readonly until: number; readonly freeze: Freeze | undefined };

/** So many closings are looked through for the next opening; beyond that it is said to be there. */
const LOOK_LIMIT = 100;

/** The gate of a group at `now`. */
export function gateAt({ windows, freezes }: GroupRules, now: number): Gate {
  const here = stateAt(windows, freezes, now);
  if (here.open) return here;
  let { until } = here;
  for (let looks = 0; looks < LOOK_LIMIT && until !== Infinity; looks++) {
    const next = stateAt(windows, freezes, until);
    if (next.open) break;
    until = next.until;
  }
  return { ...here, until };
}

function stateAt(windows: readonly Schedule[], freezes: readonly Freeze[], now: number): Gate {
  const freeze = freezes.find(({ from, until }) => from <= now && now < until);
  if (freeze !== undefined) return { open: false, until: freeze.until, freeze };
  const nextFreeze = Math.min(Infinity, ...freezes.map(({ from }) => from).filter((from) => from > now));
  if (windows.length === 0) return { open: true, until: nextFreeze };
  const states = windows.map((schedule) => windowStateAt(schedule, now));
  const closings = states.flatMap((state) => state.open ? [state.closesAt] : []);
  return closings.length > 0
    ? { open: true, until: Math.min(nextFreeze, Math.max(...closings)) }
    : { open: false, until: Math.min(...states.map(({ nextOpensAt }) => nextOpensAt)), freeze: undefined };
}
