/** Checks that say no, hooks around a reboot, and who holds reboots off: what a machine does about each. */

import { assert, assertEquals } from "@std/assert";
import type { Event } from "../lib/agent.ts";
import { CHECK_RETRY_MS } from "../lib/next_try.ts";
import {
  at,
  CONFIRMED,
  DAY_MS,
  failed,
  GRACE_MS,
  GRANTED,
  HOUR_MS,
  inquired,
  LEFT,
  LOST,
  need,
  NEEDED,
  NIGHTLY,
  NOBODY,
  NOT_NEEDED,
  NOTHING,
  REFUSED,
  RELEASED,
  SLOT,
  TO_CHECK,
  TO_GRACE,
  TO_GRANT,
  TO_INQUIRY,
} from "./support/agent_story.ts";

const ILL = inquired({ verdict: { kind: "ill", why: "ceph: HEALTH_WARN" } });
const HOOKS_MS = 600_000;
const WITH_HOOKS = inquired({ hooksMs: HOOKS_MS });
const HOOKED: Event = { kind: "hooked" };
const FAILED: Event = { kind: "hook-failed", why: "drain: exit 1" };
const UNDO = { kind: "hooks", when: "post-boot", rebooted: false } as const;
const CANCEL = { kind: "cancel", slot: SLOT } as const;
const TO_HOOKS = [...TO_CHECK, WITH_HOOKS];
const heldOff = (untilMs: number | null): Event => ({
  kind: "held-off",
  holdOff: { why: "anna has postponed reboots", untilMs },
});

Deno.test("step() whose checks say no before the line neither waits nor blocks: it asks again, later each time", () => {
  const story = at([...TO_INQUIRY]);
  for (const dueMs of [CHECK_RETRY_MS.first, 2 * CHECK_RETRY_MS.first]) {
    assertEquals([story.on(ILL), story.phase, story.due], [[], "backing-off", dueMs]);
    assertEquals(story.wake(), ["inquire"]);
  }
  assertEquals(story.log, [
    "warning: a reboot is needed (a new kernel) but this machine's checks say no: ceph: HEALTH_WARN",
  ]);
  assertEquals(story.kinds(NOBODY), ["wait"]);
});

Deno.test("step() whose checks say no with a slot gives it back at once, and comes back later", () => {
  const story = at([...TO_CHECK]);
  assertEquals(story.on(ILL), [CANCEL]);
  assertEquals([story.on(RELEASED), story.phase, story.due], [[], "backing-off", CHECK_RETRY_MS.first]);
  assert(
    story.log.includes("warning: giving the slot back: this machine's checks say no: ceph: HEALTH_WARN"),
  );
});

Deno.test("step() runs the hooks once a roll, after the grant and the grace, and before the confirm", () => {
  const story = at([...TO_CHECK, inquired({ hooksMs: 1, loggedIn: { kind: "known", users: ["anna"] } })]);
  assertEquals(story.phase, "grace");
  story.pass(GRACE_MS);
  assertEquals(story.on({ kind: "tick" }), [{
    kind: "hooks",
    when: "pre-reboot",
    reasons: ["a new kernel"],
  }]);
  assertEquals(story.on(HOOKED), [{ kind: "confirm", slot: SLOT }]);
  // an inhibitor is in the way, and the call is made again: the machine is prepared already
  story.on(CONFIRMED, { ...REFUSED, blocked: true });
  assertEquals(story.wake(), ["inquire"]);
  assertEquals(story.on(WITH_HOOKS), [{ kind: "confirm", slot: SLOT }]);
});

Deno.test("step() whose hook failed takes back what was prepared, gives the slot back, and tries again later", () => {
  const story = at(TO_HOOKS);
  assertEquals(story.on(FAILED), [UNDO]);
  assertEquals(story.on(HOOKED), [CANCEL]);
  assertEquals([story.on(RELEASED), story.phase, story.due], [[], "backing-off", CHECK_RETRY_MS.first]);
  assert(story.log.includes("warning: giving the slot back: drain: exit 1"));
});

Deno.test("step() takes back what was prepared wherever the reboot does not come", () => {
  const gone = at(TO_HOOKS);
  gone.on(need(NOT_NEEDED));
  assertEquals(gone.on(HOOKED), [UNDO], "the need is gone");

  const closed = at(TO_HOOKS, { windowAt: NIGHTLY }, HOUR_MS);
  closed.pass(2 * HOUR_MS);
  assertEquals(closed.on(HOOKED), [UNDO], "the window closed");

  const away = at([...TO_HOOKS, HOOKED]);
  assertEquals(away.on(failed()), [UNDO], "the confirm failed");

  const lost = at([...TO_HOOKS, HOOKED]);
  assertEquals(lost.on(LOST), [UNDO], "somebody unlocked the machine");
  assertEquals([lost.on(HOOKED), lost.phase], [[], "backing-off"]);

  const refused = at([...TO_HOOKS, HOOKED, CONFIRMED]);
  assertEquals(refused.on(REFUSED), [UNDO], "the reboot was refused");

  const alone = at([need(NEEDED), WITH_HOOKS, HOOKED], { strategy: "reboot" });
  assertEquals(alone.on(REFUSED), [UNDO], "without a lock");
  assertEquals([alone.on(HOOKED), alone.phase], [[], "backing-off"]);
});

Deno.test("step() keeps the slot until what was prepared is taken back", () => {
  const story = at([...TO_HOOKS, FAILED]);
  assertEquals([story.on(FAILED), story.phase], [[], "undo-backoff"]);
  assertEquals(
    story.said,
    "warning: the reboot did not come, and what was prepared for it cannot be taken back, " +
      "trying again: drain: exit 1",
  );
  assertEquals(story.wake(), ["hooks"]);
  assertEquals(story.on(HOOKED), [CANCEL]);
});

Deno.test("step() takes back what a daemon before it prepared, where the need is gone, and goes on where it is not", () => {
  const prepared: Event[] = [{ kind: "prepared" }];
  const idle = at([]);
  idle.on(...prepared);
  assertEquals(idle.on(NOTHING), [UNDO]);
  const held = at([...prepared, need(NEEDED)]);
  assertEquals(held.kinds({ ...NOTHING, slot: SLOT }), ["inquire"]);
  assertEquals(held.on(WITH_HOOKS), [{ kind: "confirm", slot: SLOT }]);
});

Deno.test("step() gets in line only where the window has room for checks, hooks and grace, or for the margin that is set", () => {
  const late = 2 * HOUR_MS - HOOKS_MS - 30_000;
  const inquiry = inquired({ hooksMs: HOOKS_MS, checksMs: 60_000 });
  const short = at(TO_INQUIRY, { windowAt: NIGHTLY }, late);
  assertEquals([short.on(inquiry), short.phase], [[], "awaiting-window"]);
  assert(
    short.log.some((line) => line.includes("before 11 min for checks, hooks and grace are over")),
    short.said,
  );
  assertEquals(at(TO_INQUIRY, { windowAt: NIGHTLY }, late - 30_000).kinds(inquiry), ["wait"]);
  assertEquals(at(TO_INQUIRY, { windowAt: NIGHTLY, marginMs: 600_000 }, late).kinds(inquiry), ["wait"]);
});

Deno.test("step() that is held off leaves the line, or gives its slot back, and says who holds it off and until when", () => {
  const waiting = at([...TO_GRANT]);
  assertEquals(waiting.on(heldOff(waiting.now + DAY_MS)), [{ kind: "leave" }]);
  assertEquals([waiting.on(LEFT), waiting.phase, waiting.due], [[], "awaiting-window", DAY_MS]);
  assertEquals(
    waiting.said,
    "info: a reboot is needed (a new kernel), but anna has postponed reboots; " +
      "the next chance is Fri 1970-01-02 01:00 +00:00, in 1 day",
  );

  const grace = at([...TO_GRACE]);
  assertEquals(grace.on(heldOff(null)), [CANCEL]);
  assertEquals([grace.on(RELEASED), grace.phase], [[], "awaiting-window"]);
  assertEquals(grace.said, "info: a reboot is needed (a new kernel), but anna has postponed reboots");
  assertEquals(grace.kinds({ kind: "held-off", holdOff: null }), ["inquire"]);
});

Deno.test("step() that is held off calls no reboot, whatever was under way", () => {
  for (const under of [TO_CHECK, TO_HOOKS, [...TO_CHECK, NOBODY]]) {
    const story = at([...under]);
    story.on(heldOff(null));
    const answers: Event[] = [NOBODY, HOOKED, CONFIRMED];
    const [answer = NOBODY] = answers.filter((_, i) =>
      ["checking", "preparing", "confirming"][i] === story.phase
    );
    const [kind] = story.kinds(answer);
    assert(kind === "cancel" || kind === "hooks", `${kind} in ${under.length}`);
  }
});

Deno.test("step() that was stopped rests, gives its slot back, and goes on once a person says so", () => {
  const why = "3 reboots within a day; 'locksmith reset' allows more";
  const story = at([...TO_CHECK]);
  story.on({ kind: "stopped", why });
  assertEquals(story.said, `error: ${why}`);
  assertEquals(story.on(NOBODY), [CANCEL]);
  assertEquals(story.said, `info: giving the slot back: ${why}`);
  assertEquals([story.on(RELEASED), story.phase], [[], "idle"]);
  assertEquals(story.kinds({ kind: "stopped", why: null }), ["inquire"]);
  assertEquals(story.kinds(NOBODY), ["wait"]);
  assertEquals(story.kinds(GRANTED), ["inquire"]);
});
