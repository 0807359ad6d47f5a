/** How one machine goes from state to state: from a need to its reboot, and what sends it back. */

import { assertEquals, assertThrows } from "@std/assert";
import { coordinatorState, type Event } from "../lib/agent.ts";
import { CALL_LIMIT_MS, NEED_PATIENCE_MS, REBOOT_PATIENCE_MS } from "../lib/course.ts";
import { step } from "../lib/transitions.ts";
import { REFUSED_BACKOFF_MS, RETRY_MS } from "../lib/next_try.ts";
import {
  ANNA,
  at,
  BLOCKED,
  CONFIRMED,
  DAY_MS,
  failed,
  FULL,
  GRACE_MS,
  GRANTED,
  HOUR_MS,
  KEPT_TEXT,
  LEFT,
  LOST,
  LOST_TEXT,
  need,
  NEEDED,
  NIGHTLY,
  NOBODY,
  NOT_NEEDED,
  NOTHING,
  REFUSED,
  RELEASED,
  SLOT,
  Story,
  TICK,
  TO_CALL,
  TO_CHECK,
  TO_CONFIRM,
  TO_GRACE,
  TO_GRANT,
  TO_INQUIRY,
  UNKNOWN,
} from "./support/agent_story.ts";
import { AgentError } from "../lib/step.ts";

Deno.test("step() with the lock: recover, need, host, slot, host, confirm, reboot, in this order", () => {
  const story = new Story();
  assertEquals(story.on({ kind: "started" }), [{ kind: "recover" }]);
  assertEquals(coordinatorState(story.state), "starting");
  assertEquals(story.on(NOTHING), []);
  assertEquals([story.phase, coordinatorState(story.state)], ["idle", "running"]);
  assertEquals(story.on(need(NEEDED)), [{ kind: "inquire", phase: "before" }]);
  assertEquals([story.phase, coordinatorState(story.state)], ["inquiring", "running"]);
  assertEquals(story.on(NOBODY), [{ kind: "wait", reasons: ["a new kernel"] }]);
  assertEquals([story.phase, story.due, coordinatorState(story.state)], ["waiting", Infinity, "running"]);
  assertEquals(story.on(GRANTED), [{ kind: "inquire", phase: "granted" }]);
  assertEquals([story.phase, coordinatorState(story.state)], ["checking", "reboot-planned"]);
  assertEquals(story.on(NOBODY), [{ kind: "confirm", slot: SLOT }]);
  assertEquals(story.on(CONFIRMED), [{
    kind: "reboot",
    timeoutMs: CALL_LIMIT_MS.most,
    fingerprint: "kernel",
  }]);
  assertEquals(coordinatorState(story.state), "rebooting");
  assertEquals(story.on({ kind: "reboot-accepted" }), []);
  assertEquals([story.phase, story.due], ["rebooting", REBOOT_PATIENCE_MS]);
  assertEquals(story.log, [
    "info: got a slot in group web (a new kernel)",
    "notice: rebooting: a new kernel",
    "notice: the reboot is accepted; this machine is going down",
  ]);
});

Deno.test("step() without a lock asks for window and sessions alone, and gives nothing back", () => {
  const story = new Story({ strategy: "reboot", windowAt: NIGHTLY }, 0);
  assertEquals(story.kinds({ kind: "started" }), []);
  assertEquals(story.kinds(need(NEEDED)), []);
  assertEquals([story.phase, story.due], ["awaiting-window", HOUR_MS]);
  assertEquals(story.wake(), ["inquire"]);
  assertEquals(story.kinds(NOBODY), ["reboot"]);
  assertEquals(story.kinds(REFUSED), []);
  assertEquals([story.phase, story.due], ["backing-off", REFUSED_BACKOFF_MS]);
  assertEquals(story.wake(), ["inquire"]);
  assertEquals(story.kinds(ANNA), ["warn-sessions"]);
  assertEquals(story.kinds(need(NOT_NEEDED)), []);
  assertEquals(story.phase, "idle");
});

Deno.test("step() without a lock: a machine that is still up after its reboot was accepted starts over", () => {
  const story = at([need(NEEDED), NOBODY, { kind: "reboot-accepted" }], { strategy: "reboot" });
  assertEquals(story.phase, "rebooting");
  assertEquals(story.wake(), ["inquire"]);
  assertEquals(
    story.said,
    "warning: this machine is still up although its reboot was requested; checking again",
  );
  story.on(NOBODY, { kind: "reboot-unknown", why: "no answer" }, need(NOT_NEEDED));
  assertEquals(story.wake(), []);
  assertEquals(story.phase, "idle");
});

Deno.test("step() gives a slot back that comes while it leaves the line", () => {
  const closed = at(TO_GRANT, { windowAt: NIGHTLY }, 2 * HOUR_MS);
  assertEquals(closed.wake(), ["leave"]);
  assertEquals(closed.on(GRANTED), [{ kind: "cancel", slot: SLOT }]);
  assertEquals(closed.log, [
    "info: got a slot in group web (a new kernel)",
    "info: giving the slot back: the window is closed",
  ]);
  assertEquals(closed.kinds(RELEASED), []);
  assertEquals([closed.phase, closed.state.slot], ["awaiting-window", null]);
  const unneeded = at([...TO_GRANT, need(NOT_NEEDED)]);
  assertEquals(unneeded.on(GRANTED), [{ kind: "cancel", slot: SLOT }]);
});

Deno.test("step() uses a slot that comes while it leaves the line where it may again, and out of the line takes a new place", () => {
  const reopened = at(TO_GRANT, { windowAt: NIGHTLY }, 2 * HOUR_MS);
  assertEquals(reopened.wake(), ["leave"]);
  reopened.pass(DAY_MS - 1);
  assertEquals(reopened.on(GRANTED), [{ kind: "inquire", phase: "granted" }]);
  const neededAgain = at([...TO_GRANT, need(NOT_NEEDED), need(NEEDED)]);
  assertEquals(neededAgain.on(GRANTED), [{ kind: "inquire", phase: "granted" }]);
  const left = at([...TO_GRANT, need(NOT_NEEDED), need(NEEDED)]);
  assertEquals(left.kinds(LEFT), ["inquire"], "out of the line it takes a new place");
});

Deno.test("step() leaves the line when the need is gone", () => {
  const gone = at(TO_GRANT);
  assertEquals(gone.on(need(NOT_NEEDED)), [{ kind: "leave" }]);
  assertEquals(gone.kinds(LEFT), []);
  assertEquals(gone.phase, "idle");
});

Deno.test("step() keeps its place in line while nobody knows whether a reboot is needed", () => {
  const unsure = at(TO_GRANT);
  assertEquals(unsure.kinds(need(UNKNOWN), TICK, FULL), []);
  assertEquals(unsure.phase, "waiting");
  assertEquals(unsure.kinds(need(NEEDED)), []);
  assertEquals([unsure.phase, unsure.kinds(GRANTED)], ["waiting", ["inquire"]]);
});

Deno.test("step() that is granted a slot while nobody knows of a need waits with it", () => {
  const granted = at([...TO_GRANT, need(UNKNOWN)]);
  assertEquals(granted.kinds(GRANTED), []);
  assertEquals([granted.phase, granted.state.slot], ["awaiting-need", SLOT], "nobody reboots on a guess");
  assertEquals(granted.kinds(need(NEEDED)), ["inquire"]);
});

Deno.test("step() asks for the need again after the confirm, right before the call", () => {
  assertEquals(at([...TO_CONFIRM, need(NOT_NEEDED)]).kinds(CONFIRMED), ["cancel"]);
  const unsure = at([...TO_CONFIRM, need(UNKNOWN)]);
  assertEquals(unsure.kinds(CONFIRMED), []);
  assertEquals([unsure.phase, unsure.state.slot], ["awaiting-need", SLOT]);
});

Deno.test("step() gives those who are logged in their grace, then asks for the slot again", () => {
  const story = at(TO_CHECK, { windowAt: NIGHTLY }, HOUR_MS);
  assertEquals(story.on(ANNA), [
    { kind: "warn-sessions", graceMs: GRACE_MS, reasons: ["a new kernel"] },
  ]);
  assertEquals(story.said, "notice: anna logged in; rebooting in 5 min");
  assertEquals(coordinatorState(story.state), "reboot-planned");
  assertEquals(story.due, GRACE_MS);
  assertEquals(story.kinds(TICK, need(NEEDED), TICK), []);
  assertEquals(story.wake(), ["confirm"]);
});

Deno.test("step() warns nobody where there is no grace", () => {
  assertEquals(at(TO_CHECK, { graceMs: 0 }).kinds(ANNA), ["confirm"]);
});

Deno.test("step() gives the slot back when the need goes away during the grace", () => {
  const story = at(TO_GRACE);
  assertEquals(story.on(need(NOT_NEEDED)), [{ kind: "cancel", slot: SLOT }]);
  assertEquals(story.said, "info: giving the slot back: no reboot is needed");
  assertEquals(story.kinds(RELEASED), []);
  assertEquals([story.phase, story.state.slot], ["idle", null]);
});

Deno.test("step() weighs a need that went away while something was under way as soon as that is done", () => {
  const gone = need(NOT_NEEDED);
  assertEquals(at([...TO_GRANT, gone]).kinds(GRANTED), ["cancel"]);
  assertEquals(at([...TO_CHECK, gone]).kinds(NOBODY), ["cancel"]);
  assertEquals(at([...TO_CHECK, gone]).kinds(ANNA), ["cancel"]);
  // and one that comes back while its slot is on the way out asks for another
  assertEquals(at([...TO_GRACE, gone, need(NEEDED)]).kinds(RELEASED), ["inquire"]);
});

Deno.test("step() never reboots on an unknown need: it keeps the slot for a minute, then gives it back", () => {
  const story = at(TO_GRACE);
  assertEquals(story.kinds(need(UNKNOWN)), []);
  assertEquals([story.phase, story.due], ["awaiting-need", NEED_PATIENCE_MS]);
  story.pass(1_000);
  story.on(need({ kind: "unknown", why: ["another reason"] }));
  assertEquals(story.due, NEED_PATIENCE_MS - 1_000, "another reason does not begin the patience anew");
  assertEquals(story.wake(), ["cancel"]);
  assertEquals(story.said, "warning: cannot tell whether a reboot is needed; giving the slot back");
  assertEquals(story.kinds(RELEASED), []);
  assertEquals(story.phase, "idle");
});

Deno.test("step() weighs an unknown need anew as soon as it is known", () => {
  assertEquals(at([...TO_GRACE, need(UNKNOWN)]).kinds(need(NEEDED)), ["inquire"]);
  assertEquals(at([...TO_GRACE, need(UNKNOWN)]).kinds(need(NOT_NEEDED)), ["cancel"]);
  assertEquals(at([NOTHING, need(UNKNOWN)]).phase, "idle");
});

Deno.test("step() gives the slot back when the reboot is refused, and tries again later (fault 4 of the old locksmith: a refused reboot kept the slot)", () => {
  const story = at(TO_CALL);
  assertEquals(story.kinds(REFUSED), ["cancel"]);
  assertEquals(story.said, "error: the reboot was refused: apt is at work; retrying in 5 min");
  assertEquals(story.kinds(RELEASED), []);
  assertEquals([story.phase, story.due], ["backing-off", REFUSED_BACKOFF_MS]);
  assertEquals(story.kinds(TICK, need(NEEDED), TICK), []);
  assertEquals(story.wake(), ["inquire"]);
});

Deno.test("step() keeps a slot that another process of its machine confirmed too, and waits for the reboot that may come", () => {
  const story = at([...TO_CALL, REFUSED]);
  assertEquals([story.phase, story.kinds({ kind: "kept" })], ["cancelling", []]);
  assertEquals([story.phase, story.state.slot, story.state.called], ["rebooting", SLOT, true]);
  assertEquals(story.said, `warning: ${KEPT_TEXT}`);

  const confirmed = at([...TO_CONFIRM, { kind: "confirmed", called: true }]);
  assertEquals(confirmed.kinds(REFUSED), [], "a refused call of its own is no reason to give it back");
  assertEquals([confirmed.phase, confirmed.state.slot], ["rebooting", SLOT]);
  assertEquals(confirmed.said, "warning: the reboot was not requested again: apt is at work");
});

Deno.test("step() never gives a slot back by itself once its reboot was accepted, or may have been", () => {
  for (
    const outcome of [{ kind: "reboot-accepted" }, { kind: "reboot-unknown", why: "no answer" }] as const
  ) {
    const story = at([...TO_CALL, outcome, need(NOT_NEEDED)], { windowAt: NIGHTLY });
    const kept: Event = { kind: "recovered", slot: SLOT, called: true, note: "" };
    for (let round = 0; round < 200; round++) {
      assertEquals(story.wake(), ["recover"]);
      if (round === 50) story.on(need(UNKNOWN));
      assertEquals(story.kinds(kept), []);
      assertEquals(story.state.slot, SLOT);
      if (story.phase === "awaiting-need") assertEquals(story.wake(), []);
      assertEquals([story.phase, coordinatorState(story.state)], ["rebooting", "rebooting"]);
    }
    assertEquals(story.log.filter((line) => line === `info: ${KEPT_TEXT}`).length, 1);
  }
});

Deno.test("step() calls the reboot again, grace and confirm included, when the machine is still up and it is allowed", () => {
  const story = at([...TO_CALL, { kind: "reboot-unknown", why: "no answer" }]);
  assertEquals(
    story.said,
    "warning: cannot tell whether the reboot was accepted (no answer); keeping the slot",
  );
  assertEquals(story.wake(), ["recover"]);
  assertEquals(coordinatorState(story.state), "rebooting");
  assertEquals(story.kinds({ kind: "recovered", slot: SLOT, called: true, note: "" }), ["inquire"]);
  assertEquals(story.kinds(ANNA), ["warn-sessions"]);
  assertEquals(story.wake(), ["confirm"]);
  assertEquals(story.kinds(CONFIRMED), ["reboot"]);
  assertEquals(story.kinds(REFUSED), []);
  assertEquals(story.said, "warning: the reboot was not requested again: apt is at work");
  assertEquals([story.phase, story.state.slot], ["rebooting", SLOT]);
});

Deno.test("step() starts over without a reboot when an administrator unlocked the machine during the grace", () => {
  const story = at(TO_GRACE);
  assertEquals(story.wake(), ["confirm"]);
  assertEquals(story.kinds(LOST), []);
  assertEquals([story.phase, story.state.slot], ["backing-off", null]);
  assertEquals(story.said, `warning: ${LOST_TEXT}`);
  assertEquals(story.due, RETRY_MS.first);
  assertEquals(story.wake(), ["inquire"]);
});

Deno.test("step() pauses longer after each setback, so that a store that fails at once is not asked in a loop", () => {
  const pauses: number[] = [];
  const story = at(TO_GRANT);
  for (let round = 0; round < 9; round++) {
    story.on(GRANTED, NOBODY, ...(round % 2 === 0 ? [LOST] : [failed(), RELEASED]));
    assertEquals(story.phase, "backing-off");
    pauses.push(story.due / 1000);
    assertEquals(story.wake(), ["inquire"]);
    assertEquals(story.kinds(NOBODY), ["wait"]);
  }
  assertEquals(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
  story.on(GRANTED, NOBODY, CONFIRMED, REFUSED, RELEASED);
  story.wake();
  story.on(NOBODY, GRANTED, NOBODY, LOST);
  assertEquals(story.due, RETRY_MS.first, "a confirmed slot ends the series");
});

Deno.test("step() does not reboot when the confirm fails", () => {
  const story = at(TO_CONFIRM);
  assertEquals(story.kinds(failed()), ["cancel"]);
  assertEquals(story.said, "warning: no reboot without a confirmed slot: etcd is away");
});

Deno.test("step() says once why it waits in line, and again when that changes", () => {
  const behind: Event = { kind: "in-line", why: "in line behind another machine" };
  const story = at([...TO_GRANT, behind, behind, TICK, behind, FULL, FULL]);
  assertEquals(story.log, [
    "info: a reboot is needed (a new kernel); waiting for a slot: in line behind another machine",
    "info: a reboot is needed (a new kernel); waiting for a slot: first in line, all slots are held (available: 0)",
  ]);
});

Deno.test("step() throws AgentError for an outcome that nothing can have had", () => {
  const outcomes: [Event, string[]][] = [
    [{ kind: "started" }, ["recovering"]],
    [NOTHING, ["recovering"]],
    [GRANTED, ["waiting", "leaving"]],
    [FULL, ["waiting", "leaving"]],
    [LEFT, ["leaving"]],
    [failed(), ["recovering", "confirming", "cancelling"]],
    [NOBODY, ["inquiring", "checking"]],
    [CONFIRMED, ["confirming"]],
    [LOST, ["confirming"]],
    [RELEASED, ["cancelling"]],
    [{ kind: "kept" }, ["cancelling"]],
    [{ kind: "reboot-accepted" }, ["calling"]],
    [{ kind: "reboot-unknown", why: "" }, ["calling"]],
    [REFUSED, ["calling"]],
  ];
  const stories = [
    at([]),
    at([failed()]),
    at([NOTHING]),
    at([...TO_GRACE, need(UNKNOWN)]),
    at(TO_INQUIRY, { windowAt: NIGHTLY }, 0),
    at(TO_INQUIRY),
    at([...TO_CHECK, BLOCKED]),
    at(TO_GRANT),
    at([...TO_GRANT, need(NOT_NEEDED)]),
    at(TO_CHECK),
    at(TO_GRACE),
    at(TO_CONFIRM),
    at(TO_CALL),
    at([...TO_CALL, { kind: "reboot-accepted" }]),
    at([...TO_CALL, REFUSED]),
    at([...TO_CALL, REFUSED, failed()]),
    at([...TO_CALL, REFUSED, RELEASED]),
  ];
  assertEquals(new Set(stories.map(({ phase }) => phase)).size, 17, "every state is tried");
  for (const { config, state, now, elapsed, phase } of stories) {
    for (const [event, allowed] of outcomes) {
      if (allowed.includes(phase)) step(config, state, event, { now, elapsed, chance: 1 });
      else {
        const { message } = assertThrows(
          () => step(config, state, event, { now, elapsed, chance: 1 }),
          AgentError,
        );
        assertEquals(message, `'${event.kind}' cannot come in the state ${phase}`);
      }
    }
    for (const event of [TICK, need(NEEDED)]) step(config, state, event, { now, elapsed, chance: 1 });
  }
});
