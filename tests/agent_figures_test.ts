import { assertEquals } from "@std/assert";
import { START } from "../lib/agent.ts";
import { agentFigures } from "../lib/agent_figures.ts";
import { exposition } from "../lib/exposition.ts";

const AT = {
  now: 1_700_000_000_500,
  needSince: 1_699_000_000_000,
  startedAt: 1_700_000_000_000,
  version: "1.2.3",
  strategy: "etcd-lock",
};
const NEEDED = { kind: "needed", reasons: ["kernel"], fingerprint: "f" } as const;

function figures(change: Partial<typeof START>): string[] {
  return exposition(agentFigures({ ...START, ...change }, AT)).split("\n")
    .filter((line) => line !== "" && !line.startsWith("#") && !line.endsWith(" 0"));
}

Deno.test("a daemon's figures: what it does, what it waits for, when it last said so; no need is one while nobody knows", () => {
  assertEquals(figures({ need: NEEDED, phase: { name: "waiting", closesAt: Infinity } }), [
    "node_reboot_required 1",
    "locksmith_agent_need_known 1",
    "locksmith_agent_need_since_timestamp_seconds 1699000000",
    'locksmith_agent_state{state="waiting"} 1',
    'locksmith_agent_blocked{reason="slot"} 1',
    "locksmith_agent_last_run_timestamp_seconds 1700000000.5",
    "locksmith_agent_start_time_seconds 1700000000",
    'locksmith_agent_info{version="1.2.3",strategy="etcd-lock"} 1',
  ]);
  const unknown = figures({ need: { kind: "unknown", why: ["?"] }, phase: { name: "idle", until: 0 } });
  assertEquals(unknown.slice(0, 2), [
    'locksmith_agent_state{state="idle"} 1',
    "locksmith_agent_last_run_timestamp_seconds 1700000000.5",
  ]);
  const held = figures({ need: NEEDED, slot: { grant: "g" }, phase: { name: "blocked", until: 0 } });
  assertEquals(held.slice(4, 6), [
    'locksmith_agent_blocked{reason="inhibitor"} 1',
    "locksmith_agent_slot_held 1",
  ]);
});

Deno.test("what a machine waits for is told apart: checks, somebody who holds it off, a limit, its own health", () => {
  const blocked = (change: Partial<typeof START>) =>
    figures(change).filter((line) => line.startsWith("locksmith_agent_blocked"));
  const reason = (name: string) => [`locksmith_agent_blocked{reason="${name}"} 1`];
  const later = { name: "backing-off", until: 0 } as const;
  assertEquals(blocked({ need: NEEDED, phase: later }), reason("failure"));
  assertEquals(blocked({ need: NEEDED, phase: later, refusals: 2 }), reason("checks"));
  const closed = { name: "awaiting-window", opensAt: Infinity, lookAt: Infinity } as const;
  assertEquals(blocked({ need: NEEDED, phase: closed }), reason("window"));
  const heldOff = { why: "disabled", untilMs: null };
  assertEquals(blocked({ need: NEEDED, phase: closed, heldOff }), reason("held-off"));
  const idle = { name: "idle", until: 0 } as const;
  assertEquals(blocked({ need: NEEDED, phase: idle, stopped: "too many" }), reason("limit"));
  const unhealthy = { name: "unhealthy", until: 0, failures: 1, hooks: false } as const;
  assertEquals(blocked({ need: { kind: "not-needed" }, phase: unhealthy }), reason("health"));
});
