/** What is to be seen of a machine from outside: when it wants to be woken, and what other programs of its host are told. */

import { assertEquals } from "@std/assert";
import { type Agent, coordinatorState, dueIn, type Phase, START } from "../lib/agent.ts";

const NOW = { now: 1_000_000, elapsed: 7_000, chance: 1 };

function agent(phase: Phase, more: Partial<Agent> = {}): Agent {
  return { ...START, phase, ...more };
}

Deno.test("dueIn() measures what lasts by the clock that does not leap, and windows by the wall clock", () => {
  const due = (phase: Phase) => dueIn(agent(phase), NOW);
  assertEquals(due({ name: "idle", until: 7_500 }), 500);
  assertEquals(due({ name: "grace", until: 6_000 }), -1_000, "it is overdue");
  assertEquals(due({ name: "rebooting", until: Infinity }), Infinity);
  // both: the window opens, and a look is due
  assertEquals(due({ name: "awaiting-window", opensAt: 1_000_300, lookAt: 8_000 }), 300);
  assertEquals(due({ name: "awaiting-window", opensAt: 2_000_000, lookAt: 8_000 }), 1_000);
  assertEquals(due({ name: "waiting", closesAt: 1_000_300 }), 301, "the end is inclusive");
  assertEquals(due({ name: "checking" }), Infinity, "it waits for an answer, and for no time");
});

Deno.test("coordinatorState() tells other programs of the host how far a reboot is", () => {
  const told = (phase: Phase, more: Partial<Agent> = {}) => coordinatorState(agent(phase, more));
  const until = 0;
  assertEquals(coordinatorState(START), "starting");
  assertEquals(told({ name: "recovery-backoff", until, failures: 1 }), "starting");
  assertEquals(told({ name: "recovering", failures: 0 }, { recovered: true }), "running", "it looks again");
  assertEquals(
    told({ name: "recovering", failures: 0 }, { recovered: true, called: true }),
    "rebooting",
    "its reboot may still come",
  );
  for (
    const phase of [
      { name: "idle", until },
      { name: "awaiting-need", until },
      { name: "awaiting-window", opensAt: 0, lookAt: 0 },
      { name: "waiting", closesAt: 0 },
      { name: "leaving" },
    ] as const
  ) assertEquals(told(phase), "running", phase.name);
  for (const phase of [{ name: "checking" }, { name: "grace", until }, { name: "confirming" }] as const) {
    assertEquals(told(phase), "reboot-planned", phase.name);
  }
  for (const phase of [{ name: "calling" }, { name: "rebooting", until }] as const) {
    assertEquals(told(phase), "rebooting", phase.name);
  }
});
