/** How one machine finds out which slot it has: after a boot, and now and then. */

import { assert, assertEquals } from "@std/assert";
import { coordinatorState, type Event } from "../lib/agent.ts";
import { RETRY_MS } from "../lib/next_try.ts";
import {
  at,
  failed,
  GRANTED,
  HOUR_MS,
  IDLE_LOOK_MS,
  KEPT_TEXT,
  LEFT,
  LOST_TEXT,
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
  TO_CALL,
  TO_GRACE,
  TO_GRANT,
} from "./support/agent_story.ts";

/** A look finds a slot of this boot. */
const FOUND: Extract<Event, { kind: "recovered" }> = {
  kind: "recovered",
  slot: SLOT,
  called: false,
  note: "this machine holds a slot and has not rebooted",
};

Deno.test("step() looks for a slot that came late while the window is closed too: others could wait for it for days", () => {
  const story = at([NOTHING, need(NEEDED)], { windowAt: NIGHTLY, idleLookMs: 900_000 }, 0);
  assertEquals([story.phase, story.due], ["awaiting-window", 900_000]);
  story.now += 600_000;
  story.elapsed += 600_000;
  assertEquals(story.kinds(TICK), []);
  assertEquals([story.phase, story.due], ["awaiting-window", 300_000], "a tick does not put the look off");
  assertEquals(story.wake(), ["recover"]);
  assertEquals(story.kinds({ kind: "recovered", slot: SLOT, called: false, note: "" }), ["cancel"]);
  story.on(RELEASED);
  assertEquals([story.phase, story.due], ["awaiting-window", 900_000]);
  const without = at([need(NEEDED)], { strategy: "reboot", windowAt: NIGHTLY, idleLookMs: 900_000 }, 0);
  assertEquals([without.phase, without.due], ["awaiting-window", HOUR_MS], "without a lock there is none");
});

Deno.test("step() looks now and then, while nothing is needed, whether it has a slot that it knows nothing of", () => {
  const story = at([NOTHING, need(NOT_NEEDED)]);
  for (let look = 0; look < 3; look++) {
    assertEquals([story.phase, story.due], ["idle", IDLE_LOOK_MS]);
    assertEquals(story.wake(), ["recover"]);
    assertEquals(coordinatorState(story.state), "running", "it is no start");
    assertEquals(story.kinds(NOTHING), []);
  }
  assertEquals(story.log, ["info: no reboot is needed now"]);
});

Deno.test("step() gives back a slot that it knew nothing of, and that nobody needs", () => {
  const late = at([NOTHING, need(NOT_NEEDED)]);
  late.wake();
  assertEquals(late.on(FOUND), [
    { kind: "cancel", slot: SLOT },
  ]);
  assertEquals(late.log.slice(1), [`info: ${FOUND.note}`, "info: giving the slot back: no reboot is needed"]);
});

Deno.test("step() uses a slot that it knew nothing of, where a reboot is needed meanwhile", () => {
  const needed = at([NOTHING, need(NOT_NEEDED)]);
  needed.wake();
  assertEquals(needed.kinds(need(NEEDED)), []);
  assertEquals(needed.kinds(FOUND), ["inquire"]);
});

Deno.test("step() that looks while the store is away tries again, and is still what it was", () => {
  const away = at([NOTHING]);
  away.wake();
  assertEquals(away.kinds(failed()), []);
  assertEquals([away.phase, away.due, coordinatorState(away.state)], [
    "recovery-backoff",
    RETRY_MS.first,
    "running",
  ]);
});

Deno.test("step() without a lock has nothing to look for while nothing is needed", () => {
  const story = at([need(NOT_NEEDED)], { strategy: "reboot" });
  for (let look = 0; look < 3; look++) {
    assertEquals(story.wake(), []);
    assertEquals([story.phase, story.due], ["idle", IDLE_LOOK_MS]);
  }
});

Deno.test("step() takes a slot under which somebody called the reboot already as what it is", () => {
  const story = at([...TO_GRANT, { ...GRANTED, called: true }]);
  assertEquals(story.phase, "checking");
  assertEquals(story.kinds(need(NOT_NEEDED), NOBODY), []);
  assertEquals([story.phase, story.state.slot], ["rebooting", SLOT]);
});

Deno.test("step() recovers from a boot: no slot is kept over it, whatever is needed (fault 3 of the old locksmith: an update pending at boot kept a stale hold)", () => {
  const note = "this machine has rebooted; gave back the slot";
  const story = new Story();
  assertEquals(story.kinds({ kind: "started" }, need(NEEDED)), ["recover"]);
  assertEquals(story.kinds({ kind: "recovered", slot: null, called: false, note }), ["inquire"]);
  assertEquals(story.said, `info: ${note}`);
});

Deno.test("step() recovers within the same boot: goes on with the slot, or gives it back", () => {
  assertEquals(at([need(NEEDED)]).kinds(FOUND), ["inquire"]);
  assertEquals(at([need(NOT_NEEDED)]).kinds(FOUND), ["cancel"]);
  assertEquals(at([need(NEEDED)], { windowAt: NIGHTLY }, 0).kinds(FOUND), ["cancel"]);
});

Deno.test("step() recovers within the same boot, and waits with its slot until a need is known", () => {
  const unsure = at([]);
  assertEquals(unsure.kinds(FOUND), []);
  assertEquals(unsure.phase, "awaiting-need");
  assertEquals(unsure.kinds(need(NEEDED)), ["inquire"]);
});

Deno.test("step() recovers within the same boot, and keeps a slot under which the reboot was called", () => {
  const called = at([need(NOT_NEEDED)]);
  assertEquals(called.kinds({ ...FOUND, called: true }), []);
  assertEquals([called.phase, called.state.slot], ["rebooting", SLOT]);
  assertEquals(called.log.slice(1), [`info: ${FOUND.note}`, `info: ${KEPT_TEXT}`]);
});

Deno.test("step() waits for a slot taken by hand to go, and never gives it back (fault 3 of the old locksmith: any start released the hold)", () => {
  const note = "this machine's slot was taken by hand";
  const story = at([need(NEEDED)]);
  assertEquals(story.kinds({ kind: "recovered", slot: null, called: false, note }), ["inquire"]);
  assertEquals(story.kinds(NOBODY), ["wait"]);
  assertEquals(story.kinds({ kind: "in-line", why: note }), []);
  assertEquals([story.phase, story.state.slot], ["waiting", null]);
  assertEquals(story.kinds(need(NOT_NEEDED)), ["leave"]);
  assertEquals(story.kinds(LEFT), []);
  assertEquals(story.phase, "idle");
});

Deno.test("step() says once, and not at every look, that its machine is held by hand", () => {
  const byHand: Event = { kind: "recovered", slot: null, called: false, note: "taken by hand" };
  const story = at([byHand]);
  const look = (found: Event) => {
    story.wake();
    story.on(found);
  };
  for (let time = 0; time < 5; time++) look(byHand);
  assertEquals(story.log, ["info: taken by hand"]);
  look(NOTHING);
  look(byHand);
  assertEquals(story.log, ["info: taken by hand", "info: taken by hand"]);
});

Deno.test("step() says a warning that holds again every hour, with what has changed meanwhile, and news once", () => {
  const story = at(TO_GRANT);
  const inLine = (level: "info" | "warning", why: string) => {
    for (let minute = 0; minute < 130; minute++) {
      story.on({ kind: "in-line", why, details: ` for ${minute} min`, level });
      story.pass(60_000);
    }
  };
  inLine("info", "all slots are held");
  inLine("warning", "the group is paused");
  const begin = "a reboot is needed (a new kernel); waiting for a slot:";
  assertEquals(story.log, [
    `info: ${begin} all slots are held for 0 min`,
    ...[0, 60, 120].map((minutes) => `warning: ${begin} the group is paused for ${minutes} min`),
  ]);
});

Deno.test("step() says of a clone that holds its slot so again every hour, and not at every look", () => {
  const clone = at([{ ...NOTHING, note: "twin", level: "warning" }, need(NOT_NEEDED)], {
    idleLookMs: 10 * 60_000,
  });
  const beganMs = clone.elapsed;
  while (clone.elapsed < beganMs + 3 * HOUR_MS) {
    clone.wake();
    clone.on({ ...NOTHING, note: "twin", level: "warning" });
  }
  const told = clone.log.filter((line) => line === "warning: twin").length;
  assert(told >= 3 && told <= 4, `${told} times in three hours`);
});

Deno.test("step() tries again what the store failed to do, after pauses that grow and are bounded", () => {
  const slots: [string, Event[], string][] = [
    ["recover", [], "cannot find out which slot this machine holds, trying again: etcd is away"],
    ["cancel", [...TO_GRACE, need(NOT_NEEDED)], "cannot give the slot back, trying again: etcd is away"],
  ];
  for (const [effect, events, text] of slots) {
    const story = at(events);
    const pauses: number[] = [];
    for (let round = 0; round < 8; round++) {
      assertEquals(story.kinds(failed()), []);
      pauses.push(story.due / 1000);
      assertEquals(story.wake(), [effect]);
    }
    assertEquals(pauses, [1, 2, 4, 8, 16, 32, 60, 60], effect);
    assertEquals(story.log.filter((line) => line.endsWith(text)).length, 1, effect);
  }
});

Deno.test("step() sees that an administrator unlocked a machine that did not go down", () => {
  const story = at([...TO_CALL, { kind: "reboot-accepted" }, need(NOT_NEEDED)]);
  assertEquals(story.wake(), ["recover"]);
  assertEquals(story.kinds(NOTHING), []);
  assertEquals([story.phase, story.state.slot, story.state.called], ["idle", null, false]);
  assertEquals(story.said, `warning: ${LOST_TEXT}`);
});
