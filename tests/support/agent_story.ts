/**
 * The states of one machine, told event by event. Time is a number here, and what happens outside is said by the test.
 */

import { assert } from "@std/assert";
import {
  type Agent,
  type AgentConfig,
  dueIn,
  type Effect,
  type Event,
  type Inquiry,
  type Slot,
  START,
} from "../../lib/agent.ts";
import type { Need } from "../../lib/need.ts";
import type { WindowState } from "../../lib/strategy.ts";
import { step } from "../../lib/transitions.ts";

export const NEEDED: Need = { kind: "needed", reasons: ["a new kernel"], fingerprint: "kernel" };
export const NOT_NEEDED: Need = { kind: "not-needed" };
export const UNKNOWN: Need = { kind: "unknown", why: ["nobody answers"] };
export const SLOT: Slot = { grant: "g1" };
export const GRACE_MS = 300_000;
export const IDLE_LOOK_MS = 48 * 3_600_000;

export const GRANTED: Extract<Event, { kind: "granted" }> = { kind: "granted", slot: SLOT, called: false };
export const NOTHING: Extract<Event, { kind: "recovered" }> = {
  kind: "recovered",
  slot: null,
  called: false,
  note: "",
};
/** What the host answers before a reboot: nothing is in the way, unless told otherwise. */
export const inquired = (inquiry: Partial<Inquiry> = {}): Event => ({
  kind: "inquired",
  inquiry: {
    clearance: { kind: "clear" },
    loggedIn: { kind: "known", users: [] },
    scheduled: null,
    verdict: { kind: "well" },
    hooksMs: 0,
    checksMs: 0,
    ...inquiry,
  },
});
export const NOBODY = inquired();
export const BLOCKED = inquired({ clearance: { kind: "blocked", why: "apt is at work" } });
export const UNSURE = inquired({ loggedIn: { kind: "unknown", why: "logind is masked" } });
export const ANNA = inquired({ loggedIn: { kind: "known", users: ["anna"] } });
export const CONFIRMED: Event = { kind: "confirmed", called: false };
export const LOST: Event = { kind: "lost" };
export const RELEASED: Event = { kind: "cancelled", note: "gave the slot back" };
export const TICK: Event = { kind: "tick" };
export const LEFT: Event = { kind: "left" };
export const FULL: Event = { kind: "in-line", why: "first in line, all slots are held (available: 0)" };
export const REFUSED: Extract<Event, { kind: "reboot-refused" }> = {
  kind: "reboot-refused",
  why: "apt is at work",
};
export const need = (need: Need): Event => ({ kind: "need", need });
export const failed = (why = "etcd is away"): Event => ({ kind: "failed", why });
export const LOST_TEXT = "this machine no longer holds its slot: somebody unlocked it; starting over";
export const KEPT_TEXT = "keeping the slot: a reboot was requested under it and may still happen; " +
  "if not, 'locksmith unlock' releases it";

export const ALWAYS = (now: number): WindowState => ({ open: true, closesAt: Infinity, nextOpensAt: now });
/** Windows from `start` to `end` every `everyMs`; the end belongs to the window. */
export const windows = (startMs: number, endMs: number, everyMs: number) => (now: number): WindowState => {
  const begin = startMs + Math.floor((now - startMs) / everyMs) * everyMs;
  return now <= begin + endMs - startMs
    ? { open: true, closesAt: begin + endMs - startMs, nextOpensAt: begin + everyMs }
    : { open: false, nextOpensAt: begin + everyMs };
};
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** Open from 1:00 to 2:00 each day. */
export const NIGHTLY = windows(HOUR_MS, 2 * HOUR_MS, DAY_MS);

/** A machine and its two clocks. */
export class Story {
  state: Agent = START;
  readonly log: string[] = [];
  readonly config: AgentConfig;
  /** The clock that does not leap; it shows something else than the wall clock. */
  elapsed = 7_000;
  /** Back-offs take their full length. */
  readonly chance = 1;
  constructor(config: Partial<AgentConfig> = {}, public now = HOUR_MS) {
    this.config = {
      strategy: "etcd-lock",
      graceMs: GRACE_MS,
      idleLookMs: IDLE_LOOK_MS,
      windowAt: ALWAYS,
      group: "web",
      zone: "UTC",
      ...config,
    };
  }

  /** Lets time go on. */
  pass(ms: number): void {
    this.now += ms;
    this.elapsed += ms;
  }

  /** What is to be done after these events, log lines aside. */
  on(...events: Event[]): Exclude<Effect, { kind: "log" }>[] {
    const wanted: Exclude<Effect, { kind: "log" }>[] = [];
    for (const event of events) {
      const { state, effects } = step(this.config, this.state, event, this);
      this.state = state;
      for (const effect of effects) {
        if (effect.kind === "log") this.log.push(`${effect.level}: ${effect.text}`);
        else wanted.push(effect);
      }
    }
    return wanted;
  }

  /** As {@linkcode on}, by kind. */
  kinds(...events: Event[]): string[] {
    return this.on(...events).map(({ kind }) => kind);
  }

  /** Lets the time come that the state waits for. */
  wake(): string[] {
    assert(Number.isFinite(this.due), `${this.phase} waits for no time`);
    this.pass(Math.max(0, this.due));
    return this.kinds(TICK);
  }

  /** In how many milliseconds a tick is wanted. */
  get due(): number {
    return dueIn(this.state, this);
  }

  get phase(): string {
    return this.state.phase.name;
  }
  get said(): string | undefined {
    return this.log.at(-1);
  }
}

/** Up to the phase that the events lead to. */
export function at(events: readonly Event[], config: Partial<AgentConfig> = {}, now?: number): Story {
  const story = new Story(config, now);
  story.on({ kind: "started" }, ...events);
  return story;
}

export const TO_INQUIRY = [NOTHING, need(NEEDED)];
export const TO_GRANT = [...TO_INQUIRY, NOBODY];
export const TO_CHECK = [...TO_GRANT, GRANTED];
export const TO_CONFIRM = [...TO_CHECK, NOBODY];
export const TO_GRACE = [...TO_CHECK, ANNA];
export const TO_CALL = [...TO_CONFIRM, CONFIRMED];
