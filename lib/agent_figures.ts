/**
 * What a machine can be watched by: whether it needs a reboot, what its daemon is doing, and what stands in the way. Pure.
 *
 * `node_reboot_required` has the name that dashboards know from other collectors.
 */

import type { Agent, Phase } from "./agent.ts";
import type { Family } from "./exposition.ts";

/** Every phase, so that each has a figure. */
const PHASES = {
  "recovering": true,
  "recovery-backoff": true,
  "welcoming": true,
  "proving": true,
  "soaking": true,
  "unhealthy": true,
  "idle": true,
  "awaiting-need": true,
  "awaiting-window": true,
  "inquiring": true,
  "waiting": true,
  "leaving": true,
  "checking": true,
  "blocked": true,
  "grace": true,
  "preparing": true,
  "undoing": true,
  "undo-backoff": true,
  "confirming": true,
  "calling": true,
  "rebooting": true,
  "cancelling": true,
  "cancel-backoff": true,
  "backing-off": true,
} as const satisfies Record<Phase["name"], true>;

/** What a machine that needs a reboot waits for, by its phase. */
const OBSTACLES: Readonly<Partial<Record<Phase["name"], string>>> = {
  "recovery-backoff": "store",
  "awaiting-window": "window",
  "waiting": "slot",
  "blocked": "inhibitor",
  "grace": "sessions",
  "backing-off": "failure",
};
const REASONS = [...new Set([...Object.values(OBSTACLES), "checks", "health", "held-off", "limit"])].sort();

/** What stands between this machine and its reboot, or keeps it from giving its slot back. */
function obstacleOf({ phase, need, refusals, heldOff, stopped }: Agent): string | undefined {
  if (phase.name === "unhealthy" || phase.name === "undo-backoff") return "health";
  if (need.kind !== "needed") return undefined;
  if (stopped !== null) return "limit";
  if (phase.name === "awaiting-window" && heldOff !== null) return "held-off";
  return phase.name === "backing-off" && refusals > 0 ? "checks" : OBSTACLES[phase.name];
}

/** The figures of a daemon. `now`, `needSince` and `startedAt` in milliseconds since the epoch. */
export function agentFigures(
  agent: Agent,
  { now, startedAt, version, strategy, needSince }: {
    readonly now: number;
    /** Since when a reboot is needed. */
    readonly needSince?: number | undefined;
    readonly startedAt: number;
    readonly version: string;
    readonly strategy: string;
  },
): Family[] {
  const gauge = (name: string, help: string, samples: Family["samples"]): Family => ({
    name,
    type: "gauge",
    help,
    samples,
  });
  const { phase, need, slot } = agent;
  const obstacle = obstacleOf(agent);
  return [
    gauge(
      "node_reboot_required",
      "Whether this machine needs a reboot; absent while nobody knows.",
      need.kind === "unknown" ? [] : [{ value: need.kind === "needed" ? 1 : 0 }],
    ),
    gauge(
      "locksmith_agent_need_known",
      "Whether it is known if this machine needs a reboot.",
      [{ value: need.kind === "unknown" ? 0 : 1 }],
    ),
    gauge(
      "locksmith_agent_need_since_timestamp_seconds",
      "Since when this machine needs a reboot; absent while it needs none.",
      need.kind === "needed" && needSince !== undefined ? [{ value: needSince / 1000 }] : [],
    ),
    gauge(
      "locksmith_agent_state",
      "What the daemon is doing: 1 for that, 0 for everything else.",
      Object.keys(PHASES).map((state) => ({ labels: { state }, value: state === phase.name ? 1 : 0 })),
    ),
    gauge(
      "locksmith_agent_blocked",
      "What a reboot that is needed waits for, or a slot after a reboot: 1 for that, 0 for everything else.",
      REASONS.map((reason) => ({ labels: { reason }, value: reason === obstacle ? 1 : 0 })),
    ),
    gauge("locksmith_agent_slot_held", "Whether this machine holds a slot.", [{
      value: slot === null ? 0 : 1,
    }]),
    gauge("locksmith_agent_last_run_timestamp_seconds", "When the daemon last wrote this.", [{
      value: now / 1000,
    }]),
    gauge("locksmith_agent_start_time_seconds", "When the daemon began.", [{ value: startedAt / 1000 }]),
    gauge("locksmith_agent_info", "Version and strategy of the daemon.", [{
      labels: { version, strategy },
      value: 1,
    }]),
  ];
}
