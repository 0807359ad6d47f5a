/**
 * What to do, given the facts. Pure: the facts come in, one action comes out, and nothing here knows how it is done.
 *
 * The three questions are asked in their order: is a reboot needed, may it be now (window, then slot), and only then
 * is it prepared.
 */

import type { Need } from "./need.ts";

export type Strategy = "etcd-lock" | "fleet-lock" | "reboot" | "off";
export const STRATEGIES: readonly Strategy[] = ["etcd-lock", "fleet-lock", "reboot", "off"];

/** Those under which a machine reboots by itself. */
export type ActiveStrategy = Exclude<Strategy, "off">;

/** Whether a strategy reboots under a slot. */
export function takesSlots(strategy: ActiveStrategy): boolean {
  return strategy !== "reboot";
}

/** The setting that takes the lock where there is an etcd, and reboots without one elsewhere: the old default. */
export const AUTO = "auto";
export type StrategySetting = Strategy | typeof AUTO;

/** The strategy that is in effect, and why. */
export interface StrategyChoice {
  readonly strategy: StrategySetting;
  readonly why: string;
}

/** Where a lock may be, as far as it is configured: by what it was set. */
export interface LockOrigins {
  readonly endpoint?: string | undefined;
  /** A server that keeps slots. */
  readonly server?: string | undefined;
}

/**
 * Chooses from what is configured: the strategy, or else the lock where an endpoint or a server is; `undefined` where
 * nothing is, for a machine that nobody configured is not rebooted, and where both are, for then a person has to say which.
 * With one of them `auto` is that lock too: whoever named it expects it there, and it is waited for. Without any `auto`
 * stays: whether an etcd runs on this host is to be looked for.
 */
export function chooseStrategy(
  configured: { readonly strategy: StrategySetting; readonly origin: string } | undefined,
  { endpoint, server }: LockOrigins,
): StrategyChoice | undefined {
  if (endpoint !== undefined && server !== undefined && (configured?.strategy ?? AUTO) === AUTO) {
    return undefined;
  }
  const lock = endpoint !== undefined
    ? { strategy: "etcd-lock", why: `an endpoint is configured by ${endpoint}` } as const
    : server !== undefined
    ? { strategy: "fleet-lock", why: `a server is configured by ${server}` } as const
    : undefined;
  if (configured === undefined) return lock;
  const why = `configured by ${configured.origin}`;
  return configured.strategy === AUTO && lock !== undefined
    ? { ...lock, why: `${AUTO} is ${why}, and ${lock.why}` }
    : { strategy: configured.strategy, why };
}

/** Whether reboots are allowed at a moment, and until or from when; instants in milliseconds since the epoch. */
export type WindowState =
  | { readonly open: true; readonly closesAt: number; readonly nextOpensAt: number }
  /** `nextOpensAt`: `Infinity` where no time is known. `why`: what closes it, where it is not the window itself. */
  | { readonly open: false; readonly nextOpensAt: number; readonly why?: string };

/** What is known when a decision is to be made. */
export interface Facts {
  readonly strategy: ActiveStrategy;
  readonly need: Need;
  /** Whether this machine has a slot that the daemon took. */
  readonly holds: boolean;
  readonly window: WindowState;
}

export type Action =
  | { readonly kind: "rest" }
  /** The slot is kept for the moment: nobody knows whether a reboot is needed. */
  | { readonly kind: "await-need" }
  | { readonly kind: "give-back"; readonly why: string }
  | { readonly kind: "await-window"; readonly until: number; readonly why?: string }
  | { readonly kind: "acquire" }
  | { readonly kind: "prepare" };

/** What to do now. An unknown need never reboots a machine. */
export function decide({ strategy, need, holds, window }: Facts): Action {
  if (need.kind === "unknown") return holds ? { kind: "await-need" } : { kind: "rest" };
  if (need.kind === "not-needed") {
    return holds ? { kind: "give-back", why: "no reboot is needed" } : { kind: "rest" };
  }
  if (!window.open) {
    return holds ? { kind: "give-back", why: window.why ?? "the window is closed" } : {
      kind: "await-window",
      until: window.nextOpensAt,
      ...(window.why === undefined ? {} : { why: window.why }),
    };
  }
  return takesSlots(strategy) && !holds ? { kind: "acquire" } : { kind: "prepare" };
}
