import { assertEquals } from "@std/assert";
import { type AgentConfig, type Event, START } from "../lib/agent.ts";
import { HAPPENINGS, happeningsOf } from "../lib/happening.ts";
import { step } from "../lib/transitions.ts";
import {
  CONFIRMED,
  FULL,
  GRANTED,
  inquired,
  NEEDED,
  NOBODY,
  NOT_NEEDED,
  NOTHING,
  REFUSED,
  RELEASED,
} from "./support/agent_story.ts";

const CONFIG: AgentConfig = {
  strategy: "etcd-lock",
  graceMs: 0,
  idleLookMs: 3_600_000,
  windowAt: () => ({ open: true, closesAt: Infinity, nextOpensAt: 0 }),
  group: "web",
  zone: "UTC",
};

/** What is told of a machine to which this happens, one after the other: `event: why`. */
function told(events: readonly Event[], config: Partial<AgentConfig> = {}): string[] {
  let state = START;
  return events.flatMap((event) => {
    const before = state;
    // each a while after the last, so that nothing is backing off
    const elapsed = events.indexOf(event) * 3_600_000;
    state = step({ ...CONFIG, ...config }, state, event, { now: elapsed, elapsed, chance: 0 }).state;
    return happeningsOf(before, event, state).map(({ event, why }) =>
      why === undefined ? event : `${event}: ${why}`
    );
  });
}

const need = (need: typeof NEEDED): Event => ({ kind: "need", need });
const ill = (why: string) => inquired({ verdict: { kind: "ill", why } });

Deno.test("a reboot is told step by step, with the reasons", () => {
  const to: Event[] = [{ kind: "started" }, NOTHING, need(NEEDED), NOBODY, FULL, GRANTED];
  assertEquals(told([...to, inquired({ hooksMs: 1 }), { kind: "hooked" }, CONFIRMED]), [
    "need",
    "queued",
    "granted",
    "preparing",
    "rebooting",
  ]);
  const why = "drain: no quorum";
  assertEquals(told([...to, inquired({ hooksMs: 1 }), { kind: "hook-failed", why }]).slice(-1), [
    `hook-failed: ${why}`,
  ]);
  assertEquals(told([...to, NOBODY, CONFIRMED, REFUSED, RELEASED]).slice(-3), [
    "rebooting",
    "refused: apt is at work",
    "released",
  ]);
});

Deno.test("what keeps a machine from rebooting is told with its reason, and when it is over", () => {
  const to: Event[] = [{ kind: "started" }, NOTHING, need(NEEDED)];
  assertEquals(told([...to, ill("ceph: HEALTH_WARN")]), ["need", "blocked: ceph: HEALTH_WARN"]);
  const holdOff = { why: "anna is at work", untilMs: null };
  const heldOff: Event = { kind: "held-off", holdOff };
  assertEquals(told([{ kind: "started" }, NOTHING, heldOff, { kind: "held-off", holdOff: null }]), [
    "held-off: anna is at work",
    "held-off",
  ]);
  assertEquals(told([{ kind: "started" }, NOTHING, { kind: "stopped", why: "4 reboots today" }]), [
    "stopped: 4 reboots today",
  ]);
  assertEquals(told([...to, need(NOT_NEEDED)]).at(-1), "no-need");
});

Deno.test("a machine that is back is told, whether it is well, and what is wrong with it", () => {
  const kept: Event = { ...NOTHING, kept: "known" };
  const proved = (why?: string): Event => ({
    kind: "proved",
    verdict: why === undefined ? { kind: "well" } : { kind: "ill", why },
    upMs: 1e9,
  });
  const afterBoot = { hooksDue: false, soakMs: 0 };
  assertEquals(
    told([{ kind: "started" }, kept, proved("raid: degraded"), { kind: "tick" }, proved()], { afterBoot }),
    [
      "back",
      "unhealthy: raid: degraded",
      "well",
    ],
  );
});

Deno.test("a slot that goes back after the boot is told, whether or not the machine had anything to prove", () => {
  const returned: Event = { ...NOTHING, returned: true };
  assertEquals(told([{ kind: "started" }, returned]), ["done"]);
  const proved: Event = { kind: "proved", verdict: { kind: "well" }, upMs: 1e9 };
  const kept: Event = { ...NOTHING, kept: "known" };
  const afterBoot = { hooksDue: false, soakMs: 0 };
  assertEquals(told([{ kind: "started" }, kept, proved, returned], { afterBoot }), ["back", "well", "done"]);
  // a server may know of a slot that this machine does not: nobody says that it has rebooted
  assertEquals(told([{ kind: "started" }, { ...kept, kept: "possible" }, proved, NOTHING], { afterBoot }), [
    "well",
  ]);
});

Deno.test("docs/usage/hooks.md has every event, in the order of a reboot", async () => {
  const page = await Deno.readTextFile(new URL("../docs/usage/hooks.md", import.meta.url));
  assertEquals([...page.matchAll(/^\| `([a-z-]+)` /gm)].map(([, event]) => event), [...HAPPENINGS]);
});
