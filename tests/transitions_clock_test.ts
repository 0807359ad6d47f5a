/** How one machine goes on when somebody sets its wall clock. */

import { assert, assertEquals } from "@std/assert";
import type { Event } from "../lib/agent.ts";
import { NEED_PATIENCE_MS, REBOOT_PATIENCE_MS } from "../lib/course.ts";
import { REFUSED_BACKOFF_MS, RETRY_MS } from "../lib/next_try.ts";
import {
  ANNA,
  at,
  DAY_MS,
  failed,
  GRACE_MS,
  HOUR_MS,
  IDLE_LOOK_MS,
  need,
  NIGHTLY,
  NOT_NEEDED,
  NOTHING,
  REFUSED,
  RELEASED,
  TICK,
  TO_CALL,
  TO_CHECK,
  TO_GRACE,
  TO_GRANT,
  TO_INQUIRY,
  UNKNOWN,
} from "./support/agent_story.ts";

Deno.test("step() measures grace, pauses and patience by the clock that does not leap", () => {
  const paths: [string, Event[], number][] = [
    ["idle", [NOTHING], IDLE_LOOK_MS],
    ["recovery-backoff", [failed()], RETRY_MS.first],
    ["cancel-backoff", [...TO_GRACE, need(NOT_NEEDED), failed()], RETRY_MS.first],
    ["awaiting-need", [...TO_GRACE, need(UNKNOWN)], NEED_PATIENCE_MS],
    ["grace", TO_GRACE, GRACE_MS],
    ["backing-off", [...TO_CALL, REFUSED, RELEASED], REFUSED_BACKOFF_MS],
    ["rebooting", [...TO_CALL, { kind: "reboot-accepted" }], REBOOT_PATIENCE_MS],
  ];
  for (const [phase, events, lasts] of paths) {
    for (const leap of [-400 * DAY_MS, 400 * DAY_MS]) {
      const story = at(events);
      story.now += leap;
      assertEquals([story.phase, story.due], [phase, lasts]);
      story.pass(lasts - 1);
      assertEquals(story.kinds(TICK), [], phase);
      assertEquals(story.phase, phase);
      story.pass(1);
      story.on(TICK);
      assert(story.phase !== phase || phase === "idle", `${phase} goes on`);
    }
  }
});

Deno.test("step() does not reboot after the grace where the clock was set out of the window meanwhile", () => {
  for (const leap of [-HOUR_MS, 2 * HOUR_MS]) {
    const story = at(TO_GRACE, { windowAt: NIGHTLY }, HOUR_MS);
    story.now += leap;
    assertEquals(story.wake(), ["cancel"]);
    assertEquals(story.said, "info: giving the slot back: the window is closed");
  }
});

Deno.test("step() leaves the line when the clock is set out of the window, and stays when it is set within", () => {
  for (const leap of [-HOUR_MS, HOUR_MS]) {
    const story = at(TO_GRANT, { windowAt: NIGHTLY }, 1.5 * HOUR_MS);
    story.now += leap;
    assertEquals(story.kinds(TICK), ["leave"]);
  }
  const story = at(TO_GRANT, { windowAt: NIGHTLY }, DAY_MS + 1.5 * HOUR_MS);
  story.now -= DAY_MS;
  assertEquals(story.kinds(TICK), []);
  assertEquals(
    [story.phase, story.due],
    ["waiting", HOUR_MS / 2 + 1],
    "by the end of the window that it is in now",
  );
});

Deno.test("step() that waits for a window sees at the next tick that the clock was set forward into it", () => {
  const forward = at(TO_INQUIRY, { windowAt: NIGHTLY }, 0);
  assertEquals(forward.due, HOUR_MS);
  forward.now += 1.5 * HOUR_MS;
  assertEquals(forward.kinds(TICK), ["inquire"]);
});

Deno.test("step() that waits for a window does not wait for one of years to come when the clock was set back", () => {
  // a machine without a battery for its clock, which learns the time after the daemon has started
  const back = at(TO_INQUIRY, { windowAt: NIGHTLY }, 1_000 * DAY_MS);
  assertEquals(back.due, HOUR_MS);
  back.now -= 900 * DAY_MS;
  assertEquals(back.kinds(TICK), []);
  assertEquals([back.phase, back.due], ["awaiting-window", HOUR_MS]);
  assertEquals(back.log, [
    "info: a reboot is needed (a new kernel); waiting for the window that opens Wed 1972-09-27 01:00 +00:00, in 1 h",
    "info: a reboot is needed (a new kernel); waiting for the window that opens Sat 1970-04-11 01:00 +00:00, in 1 h",
  ]);
});

Deno.test("step() that waits for a window sees at the next tick that the clock was set back into it", () => {
  const into = at(TO_INQUIRY, { windowAt: NIGHTLY }, 2 * HOUR_MS + 1);
  into.now -= HOUR_MS;
  assertEquals(into.kinds(TICK), ["inquire"]);
});

Deno.test("step() does not hold a window without room for the grace against those before it, when the clock was set back", () => {
  const story = at(
    [...TO_CHECK, ANNA, RELEASED],
    { windowAt: NIGHTLY },
    1_000 * DAY_MS + 2 * HOUR_MS - 1,
  );
  assertEquals(story.phase, "awaiting-window");
  story.now -= 900 * DAY_MS + HOUR_MS / 2;
  assertEquals(story.kinds(TICK), ["inquire"]);
});
