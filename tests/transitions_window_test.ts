/** How one machine keeps to its window, from the line to the reboot call. */

import { assertEquals } from "@std/assert";

import { CALL_LIMIT_MS, REBOOT_PATIENCE_MS } from "../lib/course.ts";
import {
  ANNA,
  at,
  CONFIRMED,
  DAY_MS,
  FULL,
  GRACE_MS,
  GRANTED,
  HOUR_MS,
  LEFT,
  need,
  NEEDED,
  NIGHTLY,
  NOBODY,
  NOT_NEEDED,
  NOTHING,
  RELEASED,
  SLOT,
  Story,
  TICK,
  TO_CHECK,
  TO_CONFIRM,
  TO_GRANT,
  windows,
} from "./support/agent_story.ts";

Deno.test("step() asks for no slot while the window is closed, says once when it opens, and asks then", () => {
  const story = at([NOTHING, need(NEEDED)], { windowAt: NIGHTLY }, 0);
  assertEquals([story.phase, story.due], ["awaiting-window", HOUR_MS]);
  assertEquals(story.log, [
    "info: a reboot is needed (a new kernel); waiting for the window that opens Thu 1970-01-01 01:00 +00:00, in 1 h",
  ]);
  assertEquals(story.kinds(TICK, need(NEEDED), TICK), []);
  assertEquals(story.log.length, 1);
  assertEquals(story.wake(), ["inquire"]);
});

Deno.test("step() leaves the line as soon as the window is closed (fault 1 of the old locksmith: the window was checked before an unbounded wait)", () => {
  const story = at([...TO_GRANT, FULL], { windowAt: NIGHTLY }, 2 * HOUR_MS - 5_000);
  assertEquals([story.phase, story.due], ["waiting", 5_001], "the end belongs to the window");
  story.pass(5_000);
  assertEquals(story.kinds(TICK), []);
  assertEquals(story.wake(), ["leave"]);
  assertEquals([story.phase, story.due], ["leaving", Infinity]);
  assertEquals(story.kinds(TICK, FULL), [], "what it waits for is of no interest any more");
  assertEquals(story.kinds(LEFT), []);
  assertEquals([story.phase, story.due], ["awaiting-window", DAY_MS - HOUR_MS - 1]);
  assertEquals(story.log, [
    "info: a reboot is needed (a new kernel); waiting for a slot: first in line, all slots are held (available: 0)",
    "info: a reboot is needed (a new kernel); waiting for the window that opens Fri 1970-01-02 01:00 +00:00, in 22 h 59 min",
  ]);
});

Deno.test("step() keeps its place where one window ends as the next begins", () => {
  const story = at(TO_GRANT, { windowAt: windows(0, DAY_MS, DAY_MS) }, 2 * HOUR_MS);
  for (let day = 0; day < 3; day++) {
    assertEquals(story.wake(), []);
    assertEquals([story.phase, story.due], ["waiting", DAY_MS]);
  }
});

Deno.test("step() gives a slot back that was granted after the window closed", () => {
  const story = at(TO_GRANT, { windowAt: NIGHTLY }, 2 * HOUR_MS);
  story.pass(1);
  assertEquals(story.on(GRANTED), [{ kind: "cancel", slot: SLOT }]);
  assertEquals(story.log, [
    "info: got a slot in group web (a new kernel)",
    "info: giving the slot back: the window is closed",
  ]);
  assertEquals(story.kinds(RELEASED), []);
  assertEquals([story.phase, story.state.slot], ["awaiting-window", null]);
});

Deno.test("step() asks for the window again after the sessions were asked: nobody is warned of a reboot that cannot be", () => {
  for (const sessions of [NOBODY, ANNA]) {
    const story = at(TO_CHECK, { windowAt: NIGHTLY }, 2 * HOUR_MS);
    story.pass(1);
    assertEquals(story.kinds(sessions), ["cancel"]);
  }
});

Deno.test("step() asks for the window again after the confirm, right before the call", () => {
  const closing = at(TO_CONFIRM, { windowAt: NIGHTLY }, 2 * HOUR_MS);
  closing.pass(1);
  assertEquals(closing.kinds(CONFIRMED), ["cancel"]);
  assertEquals(closing.kinds(RELEASED), []);
  assertEquals(closing.phase, "awaiting-window");
});

Deno.test("step() bounds the reboot call by the end of the window", () => {
  const call = (now: number) => at(TO_CONFIRM, { windowAt: NIGHTLY }, now).on(CONFIRMED);
  assertEquals(call(HOUR_MS), [{ kind: "reboot", timeoutMs: CALL_LIMIT_MS.most, fingerprint: "kernel" }]);
  assertEquals(call(2 * HOUR_MS - 20_000), [{ kind: "reboot", timeoutMs: 20_000, fingerprint: "kernel" }]);
  assertEquals(call(2 * HOUR_MS), [{
    kind: "reboot",
    timeoutMs: CALL_LIMIT_MS.least,
    fingerprint: "kernel",
  }]);
});

Deno.test("step() without room for the grace gives the slot back and waits for the next window, not in a loop", () => {
  const now = 2 * HOUR_MS - GRACE_MS + 1;
  const story = at(TO_CHECK, { windowAt: NIGHTLY }, now);
  assertEquals(story.kinds(ANNA), ["cancel"]);
  assertEquals(
    story.said,
    "warning: anna logged in; the window closes Thu 1970-01-01 02:00 +00:00, before 5 min of grace are over; " +
      "waiting for the window that opens Fri 1970-01-02 01:00 +00:00",
  );
  assertEquals(story.kinds(RELEASED), []);
  assertEquals([story.phase, story.due], ["awaiting-window", DAY_MS + HOUR_MS - now]);
  assertEquals(story.kinds(TICK, need(NEEDED), need(NOT_NEEDED), need(NEEDED), TICK), []);
  assertEquals(story.phase, "awaiting-window", "nobody who left meanwhile makes this window good");
  assertEquals(story.wake(), ["inquire"]);
  // a grace that ends with the window has room
  assertEquals(at(TO_CHECK, { windowAt: NIGHTLY }, now - 1).kinds(ANNA), ["warn-sessions"]);
});

Deno.test("step() that was suspended in the grace until the window was closed gives the slot back", () => {
  const suspended = at([...TO_CHECK, ANNA], { windowAt: NIGHTLY }, HOUR_MS);
  suspended.pass(2 * HOUR_MS);
  assertEquals(suspended.kinds(TICK), ["cancel"]);
});

Deno.test("step() whose reboot was called and never came looks again when the window opens, however short it is", () => {
  const minute = windows(HOUR_MS, HOUR_MS + 60_000, DAY_MS);
  const story = new Story({ windowAt: minute }, 2 * HOUR_MS);
  story.on({ kind: "started" }, need(NEEDED), { kind: "recovered", slot: SLOT, called: true, note: "" });
  assertEquals([story.phase, story.due], ["rebooting", REBOOT_PATIENCE_MS]);
  story.now = HOUR_MS + DAY_MS - 90_000;
  story.elapsed += REBOOT_PATIENCE_MS;
  assertEquals(story.kinds(TICK), ["recover"]);
  story.on({ kind: "recovered", slot: SLOT, called: true, note: "" });
  assertEquals([story.phase, story.due], ["rebooting", 90_000]);
  assertEquals(story.wake(), ["recover"]);
  assertEquals(story.kinds({ kind: "recovered", slot: SLOT, called: true, note: "" }), ["inquire"]);
});
