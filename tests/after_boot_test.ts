/** How a machine that has rebooted proves that it is well before its slot goes back, and what keeps it. */

import { assertEquals } from "@std/assert";
import type { AgentConfig, Event } from "../lib/agent.ts";
import { HEALTH_RETRY_MS } from "../lib/after_boot.ts";
import { at, need, NEEDED, NOTHING, Story } from "./support/agent_story.ts";

const SOAK_MS = 300_000;
const KEPT: Event = { ...NOTHING, kind: "recovered", kept: "known" } as Event;
const HOOKED: Event = { kind: "hooked" };
const well = (upMs: number): Event => ({ kind: "proved", verdict: { kind: "well" }, upMs });
const ill = (why: string): Event => ({ kind: "proved", verdict: { kind: "ill", why }, upMs: 10_000 });
const config = (afterBoot: Partial<AgentConfig["afterBoot"]> = {}): Partial<AgentConfig> => ({
  afterBoot: { hooksDue: false, soakMs: 0, ...afterBoot },
});
const STARTED: Event = { kind: "started" };

Deno.test("step() after a boot runs the hooks, looks for its slot without giving it back, proves itself, and only then gives it back", () => {
  const story = new Story(config({ hooksDue: true }));
  assertEquals(story.on(STARTED), [{ kind: "hooks", when: "post-boot", rebooted: true }]);
  assertEquals(story.on(HOOKED), [{ kind: "recover", keep: true }]);
  assertEquals(story.on(KEPT), [{ kind: "prove" }]);
  assertEquals(story.on(well(10_000)), [{ kind: "recover" }]);
  assertEquals([story.on(NOTHING), story.phase], [[], "idle"]);
});

Deno.test("step() after a boot without a slot has nothing to prove", () => {
  const story = new Story(config());
  assertEquals(story.on(STARTED), [{ kind: "recover", keep: true }]);
  assertEquals([story.on(NOTHING), story.phase], [[], "idle"]);
});

Deno.test("step() keeps the slot until the machine has been up for the soak, counted from its boot, and is still well then", () => {
  const story = at([KEPT], config({ soakMs: SOAK_MS }));
  assertEquals(story.on(well(10_000)), [{ kind: "tell-health", trouble: null }]);
  assertEquals([story.phase, story.due], ["soaking", SOAK_MS - 10_000]);
  assertEquals(story.said, "info: this machine has rebooted and is well; its slot goes back in 4 min 50 s");
  assertEquals(story.wake(), ["prove"]);
  assertEquals(story.kinds(ill("nginx.service is not active")), ["tell-health"]);
  assertEquals(story.phase, "unhealthy");
  assertEquals(story.wake(), ["prove"]);
  assertEquals(story.on(well(SOAK_MS)), [{ kind: "recover" }]);
});

Deno.test("step() keeps the slot of a machine that is not well, tells everybody why, and tries again, later each time", () => {
  const story = at([KEPT], config());
  for (const dueMs of [HEALTH_RETRY_MS.first, 2 * HEALTH_RETRY_MS.first]) {
    assertEquals(story.on(ill("ceph: HEALTH_WARN")), [{ kind: "tell-health", trouble: "ceph: HEALTH_WARN" }]);
    assertEquals([story.phase, story.due], ["unhealthy", dueMs]);
    assertEquals(story.wake(), ["prove"]);
  }
  assertEquals(story.log, [
    "warning: this machine has rebooted and is not well, keeping its slot: ceph: HEALTH_WARN",
  ]);
});

Deno.test("step() that does not know of a slot from before the boot, but a server may, does not say that the machine has rebooted", () => {
  const maybe = { ...NOTHING, kept: "possible" } as const;
  const story = at([maybe, ill("degraded"), { kind: "tick" }], config({ soakMs: SOAK_MS }));
  assertEquals(
    story.said,
    "warning: this machine is not well, keeping any slot that it may still have: degraded",
  );
  story.wake();
  story.on(well(10_000));
  assertEquals(
    story.said,
    "info: this machine is well; any slot that it may still have goes back in 4 min 50 s",
  );
});

Deno.test("step() does not reboot a machine again that is not well after its boot, whatever is needed", () => {
  const story = at([KEPT, ill("degraded")], config());
  assertEquals(story.on(need(NEEDED)), []);
  assertEquals(story.wake(), ["prove"]);
  assertEquals(story.on(need(NEEDED), { kind: "held-off", holdOff: null }), []);
  assertEquals(story.on(well(1)), [{ kind: "recover" }]);
  assertEquals(story.on(NOTHING), [{ kind: "inquire", phase: "before" }]);
});

Deno.test("step() keeps the slot while a hook for after the boot fails, and runs the hooks again", () => {
  const story = new Story(config({ hooksDue: true }));
  story.on(STARTED);
  assertEquals(story.on({ kind: "hook-failed", why: "undrain: exit 1" }), [
    { kind: "tell-health", trouble: "undrain: exit 1" },
  ]);
  assertEquals(story.on({ kind: "tick" }), []);
  assertEquals(story.wake(), ["hooks"]);
  assertEquals(story.on(HOOKED), [{ kind: "recover", keep: true }]);
});

Deno.test("step() without a lock runs the hooks after the boot too, and proves nothing, for it has no slot", () => {
  const story = new Story({ ...config({ hooksDue: true }), strategy: "reboot" });
  assertEquals(story.kinds(STARTED), ["hooks"]);
  assertEquals([story.on(HOOKED), story.phase], [[], "idle"]);
});
