/** What the host says before a reboot, and what a machine makes of it: nobody waits behind one that cannot go. */

import { assertEquals } from "@std/assert";
import { BLOCKED_PATIENCE_MS } from "../lib/course.ts";
import { BLOCKED_RETRY_MS, REFUSED_BACKOFF_MS } from "../lib/next_try.ts";
import {
  ANNA,
  at,
  BLOCKED,
  CONFIRMED,
  GRACE_MS,
  GRANTED,
  HOUR_MS,
  inquired,
  need,
  NIGHTLY,
  NOBODY,
  NOT_NEEDED,
  REFUSED,
  RELEASED,
  SLOT,
  TO_CALL,
  TO_CHECK,
  TO_INQUIRY,
  UNSURE,
} from "./support/agent_story.ts";

Deno.test("step() gets in line only where the host could reboot, and asks again where somebody inhibits it", () => {
  const story = at(TO_INQUIRY);
  for (let round = 0; round < 3; round++) {
    assertEquals(story.kinds(BLOCKED), []);
    assertEquals([story.phase, story.due], ["backing-off", BLOCKED_RETRY_MS.free]);
    assertEquals(story.wake(), ["inquire"]);
  }
  assertEquals(story.log, [
    "warning: a reboot is needed (a new kernel) but is not possible now: apt is at work",
  ]);
  assertEquals(story.kinds(NOBODY), ["wait"]);
});

Deno.test("step() takes no slot on a host that cannot be rebooted, and says so as an error", () => {
  const story = at(TO_INQUIRY);
  const why = "logind says that this machine cannot be rebooted";
  story.on(inquired({ clearance: { kind: "impossible", why } }));
  assertEquals([story.phase, story.due], ["backing-off", REFUSED_BACKOFF_MS]);
  assertEquals(story.said, `error: a reboot is needed (a new kernel) but is not possible now: ${why}`);
});

Deno.test("step() takes no slot while nobody can tell whether the host could reboot", () => {
  const story = at(TO_INQUIRY);
  assertEquals(story.kinds(inquired({ clearance: { kind: "unknown", why: "logind is masked" } })), []);
  assertEquals(story.phase, "backing-off");
});

Deno.test("step() keeps its slot for a while where somebody inhibits the reboot, asks again soon, and then gives it back", () => {
  const story = at(TO_CHECK);
  let asked = 0;
  for (; story.kinds(BLOCKED).length === 0; asked++) {
    assertEquals([story.phase, story.state.slot, story.due], ["blocked", SLOT, BLOCKED_RETRY_MS.held]);
    assertEquals(story.wake(), ["inquire"]);
  }
  assertEquals(asked * BLOCKED_RETRY_MS.held, BLOCKED_PATIENCE_MS);
  assertEquals(story.phase, "cancelling");
  assertEquals(story.log.slice(-2), [
    "warning: this machine holds a slot but cannot reboot now, retrying: apt is at work",
    "warning: giving the slot back: still unable to reboot after 5 min: apt is at work",
  ]);
  story.on(RELEASED);
  assertEquals([story.phase, story.due], ["backing-off", REFUSED_BACKOFF_MS]);
});

Deno.test("step() whose reboot was refused by an inhibitor keeps its slot, and calls again with a confirm of its own", () => {
  const story = at(TO_CALL);
  assertEquals(story.kinds({ ...REFUSED, blocked: true }), []);
  assertEquals([story.phase, story.state.slot, story.state.called], ["blocked", SLOT, false]);
  assertEquals(story.wake(), ["inquire"]);
  assertEquals(story.kinds(NOBODY), ["confirm"]);
  assertEquals(story.kinds(CONFIRMED), ["reboot"]);
});

Deno.test("step() that is blocked gives its slot back when the need goes", () => {
  assertEquals(at([...TO_CHECK, BLOCKED]).kinds(need(NOT_NEEDED)), ["cancel"]);
});

Deno.test("step() gives grace as if somebody were logged in where nobody can tell, and says so", () => {
  const story = at(TO_CHECK);
  assertEquals(story.kinds(UNSURE), ["warn-sessions"]);
  assertEquals([story.phase, story.due], ["grace", GRACE_MS]);
  assertEquals(
    story.said,
    "notice: cannot tell who is logged in (logind is masked), so grace is given as if somebody were; " +
      "rebooting in 5 min",
  );
});

Deno.test("step() sees before it gets in line that the window has no room for those who are logged in", () => {
  const late = 2 * HOUR_MS - GRACE_MS + 1;
  for (const somebody of [ANNA, UNSURE]) {
    const story = at(TO_INQUIRY, { windowAt: NIGHTLY }, late);
    assertEquals(story.kinds(somebody), []);
    assertEquals(story.phase, "awaiting-window");
  }
  assertEquals(at(TO_INQUIRY, { windowAt: NIGHTLY }, late).kinds(NOBODY), ["wait"], "nobody needs any room");
  assertEquals(at(TO_INQUIRY, { windowAt: NIGHTLY }, late - 1).kinds(ANNA), ["wait"], "just enough");
});

Deno.test("step() leaves the line when the window has no room any more for those who are logged in", () => {
  const story = at([...TO_INQUIRY, ANNA], { windowAt: NIGHTLY }, HOUR_MS);
  assertEquals([story.phase, story.due], ["waiting", HOUR_MS - GRACE_MS + 1]);
  assertEquals(story.wake(), ["leave"]);
});

Deno.test("step() says once that somebody else has scheduled a shutdown, and goes on", () => {
  const scheduled = inquired({ scheduled: { type: "reboot", atMs: HOUR_MS + 300_000 } });
  const story = at([...TO_INQUIRY, scheduled, GRANTED, scheduled]);
  const told =
    "notice: somebody else has scheduled a reboot of this machine Thu 1970-01-01 01:05 +00:00, in 5 min";
  assertEquals(story.log.filter((line) => line === told).length, 1);
  assertEquals(story.phase, "confirming");
});
