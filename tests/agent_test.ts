/**
 * The states of one machine, walked by hand and at random. Time is a number here, and what happens outside is said by
 * the test.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type Agent,
  type AgentConfig,
  coordinatorState,
  dueIn,
  type Effect,
  type Event,
  type Slot,
  START,
} from "../lib/agent.ts";
import type { Need } from "../lib/need.ts";
import type { WindowState } from "../lib/strategy.ts";
import {
  AgentError,
  CALL_LIMIT_MS,
  NEED_PATIENCE_MS,
  REBOOT_PATIENCE_MS,
  REFUSED_BACKOFF_MS,
  RETRY_MS,
  step,
} from "../lib/transitions.ts";

const NEEDED: Need = { kind: "needed", reasons: ["a new kernel"], fingerprint: "kernel" };
const NOT_NEEDED: Need = { kind: "not-needed" };
const UNKNOWN: Need = { kind: "unknown", why: ["nobody answers"] };
const SLOT: Slot = { grant: "g1" };
const GRACE_MS = 300_000;
const IDLE_LOOK_MS = 48 * 3_600_000;

const GRANTED: Event = { kind: "granted", slot: SLOT, called: false };
const NOTHING: Event = { kind: "recovered", slot: null, called: false, note: "" };
const NOBODY: Event = { kind: "sessions", users: [] };
const ANNA: Event = { kind: "sessions", users: ["anna"] };
const CONFIRMED: Event = { kind: "confirmed", called: false };
const LOST: Event = { kind: "lost" };
const RELEASED: Event = { kind: "cancelled", note: "gave the slot back" };
const TICK: Event = { kind: "tick" };
const LEFT: Event = { kind: "left" };
const FULL: Event = { kind: "in-line", why: "first in line, all slots are held (available: 0)" };
const REFUSED: Event = { kind: "reboot-refused", why: "apt is at work" };
const need = (need: Need): Event => ({ kind: "need", need });
const failed = (why = "etcd is away"): Event => ({ kind: "failed", why });
const LOST_TEXT = "the slot is not ours any more, somebody unlocked this machine; starting over";
const KEPT_TEXT = "keeping the slot, a reboot was called under it and may still come; " +
  "if not, 'locksmith unlock' ends it";

const ALWAYS = (now: number): WindowState => ({ open: true, closesAt: Infinity, nextOpensAt: now });
/** Windows from `start` to `end` every `everyMs`; the end belongs to the window. */
const windows = (startMs: number, endMs: number, everyMs: number) => (now: number): WindowState => {
  const begin = startMs + Math.floor((now - startMs) / everyMs) * everyMs;
  return now <= begin + endMs - startMs
    ? { open: true, closesAt: begin + endMs - startMs, nextOpensAt: begin + everyMs }
    : { open: false, nextOpensAt: begin + everyMs };
};
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Open from 1:00 to 2:00 each day. */
const NIGHTLY = windows(HOUR_MS, 2 * HOUR_MS, DAY_MS);

/** A machine and its two clocks. */
class Story {
  state: Agent = START;
  readonly log: string[] = [];
  readonly config: AgentConfig;
  /** The clock that does not leap; it shows something else than the wall clock. */
  elapsed = 7_000;
  /** Back-offs take their full length. */
  readonly chance = 1;
  constructor(config: Partial<AgentConfig> = {}, public now = HOUR_MS) {
    this.config = {
      strategy: "etcd-lock",
      graceMs: GRACE_MS,
      idleLookMs: IDLE_LOOK_MS,
      windowAt: ALWAYS,
      ...config,
    };
  }

  /** Lets time go on. */
  pass(ms: number): void {
    this.now += ms;
    this.elapsed += ms;
  }

  /** What is to be done after these events, log lines aside. */
  on(...events: Event[]): Exclude<Effect, { kind: "log" }>[] {
    const wanted: Exclude<Effect, { kind: "log" }>[] = [];
    for (const event of events) {
      const { state, effects } = step(this.config, this.state, event, this);
      this.state = state;
      for (const effect of effects) {
        if (effect.kind === "log") this.log.push(`${effect.level}: ${effect.text}`);
        else wanted.push(effect);
      }
    }
    return wanted;
  }

  /** As {@linkcode on}, by kind. */
  kinds(...events: Event[]): string[] {
    return this.on(...events).map(({ kind }) => kind);
  }

  /** Lets the time come that the state waits for. */
  wake(): string[] {
    assert(Number.isFinite(this.due), `${this.phase} waits for no time`);
    this.pass(Math.max(0, this.due));
    return this.kinds(TICK);
  }

  /** In how many milliseconds a tick is wanted. */
  get due(): number {
    return dueIn(this.state, this);
  }

  get phase(): string {
    return this.state.phase.name;
  }
  get said(): string | undefined {
    return this.log.at(-1);
  }
}

/** Up to the phase that the events lead to. */
function at(events: readonly Event[], config: Partial<AgentConfig> = {}, now?: number): Story {
  const story = new Story(config, now);
  story.on({ kind: "started" }, ...events);
  return story;
}

const TO_GRANT = [NOTHING, need(NEEDED)];
const TO_CHECK = [...TO_GRANT, GRANTED];
const TO_CONFIRM = [...TO_CHECK, NOBODY];
const TO_GRACE = [...TO_CHECK, ANNA];
const TO_CALL = [...TO_CONFIRM, CONFIRMED];

Deno.test("step() with the lock: recover, need, slot, sessions, confirm, reboot, in this order", () => {
  const story = new Story();
  assertEquals(story.on({ kind: "started" }), [{ kind: "recover" }]);
  assertEquals(coordinatorState(story.state), "starting");
  assertEquals(story.on(NOTHING), []);
  assertEquals([story.phase, coordinatorState(story.state)], ["idle", "running"]);
  assertEquals(story.on(need(NEEDED)), [{ kind: "wait", reasons: ["a new kernel"] }]);
  assertEquals([story.phase, story.due, coordinatorState(story.state)], ["waiting", Infinity, "running"]);
  assertEquals(story.on(GRANTED), [{ kind: "ask-sessions" }]);
  assertEquals([story.phase, coordinatorState(story.state)], ["checking", "reboot-planned"]);
  assertEquals(story.on(NOBODY), [{ kind: "confirm", slot: SLOT }]);
  assertEquals(story.on(CONFIRMED), [{ kind: "reboot", timeoutMs: CALL_LIMIT_MS.most }]);
  assertEquals(coordinatorState(story.state), "rebooting");
  assertEquals(story.on({ kind: "reboot-accepted" }), []);
  assertEquals([story.phase, story.due], ["rebooting", REBOOT_PATIENCE_MS]);
  assertEquals(story.log, [
    "info: got a slot",
    "notice: rebooting: a new kernel",
    "notice: the reboot is accepted, this machine goes down",
  ]);
});

Deno.test("step() without a lock asks for window and sessions alone, and gives nothing back", () => {
  const story = new Story({ strategy: "reboot", windowAt: NIGHTLY }, 0);
  assertEquals(story.kinds({ kind: "started" }), []);
  assertEquals(story.kinds(need(NEEDED)), []);
  assertEquals([story.phase, story.due], ["awaiting-window", HOUR_MS]);
  assertEquals(story.wake(), ["ask-sessions"]);
  assertEquals(story.kinds(NOBODY), ["reboot"]);
  assertEquals(story.kinds(REFUSED), []);
  assertEquals([story.phase, story.due], ["backing-off", REFUSED_BACKOFF_MS]);
  assertEquals(story.wake(), ["ask-sessions"]);
  assertEquals(story.kinds(ANNA), ["warn-sessions"]);
  assertEquals(story.kinds(need(NOT_NEEDED)), []);
  assertEquals(story.phase, "idle");
});

Deno.test("step() without a lock: a machine that is still up after its reboot was accepted starts over", () => {
  const story = at([need(NEEDED), NOBODY, { kind: "reboot-accepted" }], { strategy: "reboot" });
  assertEquals(story.phase, "rebooting");
  assertEquals(story.wake(), ["ask-sessions"]);
  assertEquals(
    story.said,
    "warning: this machine is still up, although its reboot was called; looking again",
  );
  story.on(NOBODY, { kind: "reboot-unknown", why: "no answer" }, need(NOT_NEEDED));
  assertEquals(story.wake(), []);
  assertEquals(story.phase, "idle");
});

Deno.test("step() asks for no slot while the window is closed, says once when it opens, and asks then", () => {
  const story = at([NOTHING, need(NEEDED)], { windowAt: NIGHTLY }, 0);
  assertEquals([story.phase, story.due], ["awaiting-window", HOUR_MS]);
  assertEquals(story.log, [
    "info: a reboot is needed (a new kernel); waiting for the window at 1970-01-01T01:00:00Z",
  ]);
  assertEquals(story.kinds(TICK, need(NEEDED), TICK), []);
  assertEquals(story.log.length, 1);
  assertEquals(story.wake(), ["wait"]);
});

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
    "info: a reboot is needed (a new kernel); waiting for the window at 1970-01-02T01:00:00Z",
  ]);
});

Deno.test("step() keeps its place where one window ends as the next begins", () => {
  const story = at(TO_GRANT, { windowAt: windows(0, DAY_MS, DAY_MS) }, 2 * HOUR_MS);
  for (let day = 0; day < 3; day++) {
    assertEquals(story.wake(), []);
    assertEquals([story.phase, story.due], ["waiting", DAY_MS]);
  }
});

Deno.test("step() gives a slot back that comes while it leaves the line, and uses it where it may again", () => {
  const closed = at(TO_GRANT, { windowAt: NIGHTLY }, 2 * HOUR_MS);
  assertEquals(closed.wake(), ["leave"]);
  assertEquals(closed.on(GRANTED), [{ kind: "cancel", slot: SLOT }]);
  assertEquals(closed.log, ["info: got a slot", "info: giving the slot back: the window is closed"]);
  assertEquals(closed.kinds(RELEASED), []);
  assertEquals([closed.phase, closed.state.slot], ["awaiting-window", null]);

  const reopened = at(TO_GRANT, { windowAt: NIGHTLY }, 2 * HOUR_MS);
  assertEquals(reopened.wake(), ["leave"]);
  reopened.pass(DAY_MS - 1);
  assertEquals(reopened.on(GRANTED), [{ kind: "ask-sessions" }]);

  const unneeded = at([...TO_GRANT, need(NOT_NEEDED)]);
  assertEquals(unneeded.on(GRANTED), [{ kind: "cancel", slot: SLOT }]);
  const neededAgain = at([...TO_GRANT, need(NOT_NEEDED), need(NEEDED)]);
  assertEquals(neededAgain.on(GRANTED), [{ kind: "ask-sessions" }]);
  const left = at([...TO_GRANT, need(NOT_NEEDED), need(NEEDED)]);
  assertEquals(left.kinds(LEFT), ["wait"], "out of the line it takes a new place");
});

Deno.test("step() gives a slot back that was granted after the window closed", () => {
  const story = at(TO_GRANT, { windowAt: NIGHTLY }, 2 * HOUR_MS);
  story.pass(1);
  assertEquals(story.on(GRANTED), [{ kind: "cancel", slot: SLOT }]);
  assertEquals(story.log, ["info: got a slot", "info: giving the slot back: the window is closed"]);
  assertEquals(story.kinds(RELEASED), []);
  assertEquals([story.phase, story.state.slot], ["awaiting-window", null]);
});

Deno.test("step() leaves the line when the need is gone, and keeps its place while nobody knows of one", () => {
  const gone = at(TO_GRANT);
  assertEquals(gone.on(need(NOT_NEEDED)), [{ kind: "leave" }]);
  assertEquals(gone.kinds(LEFT), []);
  assertEquals(gone.phase, "idle");

  const unsure = at(TO_GRANT);
  assertEquals(unsure.kinds(need(UNKNOWN), TICK, FULL), []);
  assertEquals(unsure.phase, "waiting");
  assertEquals(unsure.kinds(need(NEEDED)), []);
  assertEquals([unsure.phase, unsure.kinds(GRANTED)], ["waiting", ["ask-sessions"]]);

  const granted = at([...TO_GRANT, need(UNKNOWN)]);
  assertEquals(granted.kinds(GRANTED), []);
  assertEquals([granted.phase, granted.state.slot], ["awaiting-need", SLOT], "nobody reboots on a guess");
  assertEquals(granted.kinds(need(NEEDED)), ["ask-sessions"]);
});

Deno.test("step() asks for the window again after the sessions were asked: nobody is warned of a reboot that cannot be", () => {
  for (const sessions of [NOBODY, ANNA]) {
    const story = at(TO_CHECK, { windowAt: NIGHTLY }, 2 * HOUR_MS);
    story.pass(1);
    assertEquals(story.kinds(sessions), ["cancel"]);
  }
});

Deno.test("step() asks for window and need again after the confirm, right before the call", () => {
  const closing = at(TO_CONFIRM, { windowAt: NIGHTLY }, 2 * HOUR_MS);
  closing.pass(1);
  assertEquals(closing.kinds(CONFIRMED), ["cancel"]);
  assertEquals(closing.kinds(RELEASED), []);
  assertEquals(closing.phase, "awaiting-window");

  assertEquals(at([...TO_CONFIRM, need(NOT_NEEDED)]).kinds(CONFIRMED), ["cancel"]);
  const unsure = at([...TO_CONFIRM, need(UNKNOWN)]);
  assertEquals(unsure.kinds(CONFIRMED), []);
  assertEquals([unsure.phase, unsure.state.slot], ["awaiting-need", SLOT]);
});

Deno.test("step() bounds the reboot call by the end of the window", () => {
  const call = (now: number) => at(TO_CONFIRM, { windowAt: NIGHTLY }, now).on(CONFIRMED);
  assertEquals(call(HOUR_MS), [{ kind: "reboot", timeoutMs: CALL_LIMIT_MS.most }]);
  assertEquals(call(2 * HOUR_MS - 20_000), [{ kind: "reboot", timeoutMs: 20_000 }]);
  assertEquals(call(2 * HOUR_MS), [{ kind: "reboot", timeoutMs: CALL_LIMIT_MS.least }]);
});

Deno.test("step() gives those who are logged in their grace, then asks for window, need and slot again", () => {
  const story = at(TO_CHECK, { windowAt: NIGHTLY }, HOUR_MS);
  assertEquals(story.on(ANNA), [
    { kind: "warn-sessions", users: ["anna"], graceMs: GRACE_MS, reasons: ["a new kernel"] },
  ]);
  assertEquals(story.said, "notice: anna logged in; rebooting in 300 s");
  assertEquals(coordinatorState(story.state), "reboot-planned");
  assertEquals(story.due, GRACE_MS);
  assertEquals(story.kinds(TICK, need(NEEDED), TICK), []);
  assertEquals(story.wake(), ["confirm"]);

  const suspended = at([...TO_CHECK, ANNA], { windowAt: NIGHTLY }, HOUR_MS);
  suspended.pass(2 * HOUR_MS);
  assertEquals(suspended.kinds(TICK), ["cancel"]);
});

Deno.test("step() warns nobody where there is no grace", () => {
  assertEquals(at(TO_CHECK, { graceMs: 0 }).kinds(ANNA), ["confirm"]);
});

Deno.test("step() without room for the grace gives the slot back and waits for the next window, not in a loop", () => {
  const now = 2 * HOUR_MS - GRACE_MS + 1;
  const story = at(TO_CHECK, { windowAt: NIGHTLY }, now);
  assertEquals(story.kinds(ANNA), ["cancel"]);
  assertEquals(
    story.said,
    "warning: anna logged in, and the window closes at 1970-01-01T02:00:00Z, before their 300 s of grace are over; " +
      "waiting for the window at 1970-01-02T01:00:00Z",
  );
  assertEquals(story.kinds(RELEASED), []);
  assertEquals([story.phase, story.due], ["awaiting-window", DAY_MS + HOUR_MS - now]);
  assertEquals(story.kinds(TICK, need(NEEDED), need(NOT_NEEDED), need(NEEDED), TICK), []);
  assertEquals(story.phase, "awaiting-window", "nobody who left meanwhile makes this window good");
  assertEquals(story.wake(), ["wait"]);
  // a grace that ends with the window has room
  assertEquals(at(TO_CHECK, { windowAt: NIGHTLY }, now - 1).kinds(ANNA), ["warn-sessions"]);
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
  assertEquals(at([...TO_GRACE, gone, need(NEEDED)]).kinds(RELEASED), ["wait"]);
});

Deno.test("step() never reboots on an unknown need: it keeps the slot for a minute, then gives it back", () => {
  const story = at(TO_GRACE);
  assertEquals(story.kinds(need(UNKNOWN)), []);
  assertEquals([story.phase, story.due], ["awaiting-need", NEED_PATIENCE_MS]);
  story.pass(1_000);
  story.on(need({ kind: "unknown", why: ["another reason"] }));
  assertEquals(story.due, NEED_PATIENCE_MS - 1_000, "another reason does not begin the patience anew");
  assertEquals(story.wake(), ["cancel"]);
  assertEquals(story.said, "warning: nobody can tell whether a reboot is needed; giving the slot back");
  assertEquals(story.kinds(RELEASED), []);
  assertEquals(story.phase, "idle");

  assertEquals(at([...TO_GRACE, need(UNKNOWN)]).kinds(need(NEEDED)), ["ask-sessions"]);
  assertEquals(at([...TO_GRACE, need(UNKNOWN)]).kinds(need(NOT_NEEDED)), ["cancel"]);
  assertEquals(at([NOTHING, need(UNKNOWN)]).phase, "idle");
});

Deno.test("step() gives the slot back when the reboot is refused, and tries again later (fault 4 of the old locksmith: a refused reboot kept the slot)", () => {
  const story = at(TO_CALL);
  assertEquals(story.kinds(REFUSED), ["cancel"]);
  assertEquals(story.said, "error: the reboot was refused: apt is at work; the next try comes in 5 minutes");
  assertEquals(story.kinds(RELEASED), []);
  assertEquals([story.phase, story.due], ["backing-off", REFUSED_BACKOFF_MS]);
  assertEquals(story.kinds(TICK, need(NEEDED), TICK), []);
  assertEquals(story.wake(), ["wait"]);
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
  assertEquals(story.kinds({ kind: "recovered", slot: SLOT, called: true, note: "" }), ["ask-sessions"]);
});

Deno.test("step() calls the reboot again, grace and confirm included, when the machine is still up and it is allowed", () => {
  const story = at([...TO_CALL, { kind: "reboot-unknown", why: "no answer" }]);
  assertEquals(
    story.said,
    "warning: nobody can tell whether the reboot was accepted (no answer); keeping the slot",
  );
  assertEquals(story.wake(), ["recover"]);
  assertEquals(coordinatorState(story.state), "rebooting");
  assertEquals(story.kinds({ kind: "recovered", slot: SLOT, called: true, note: "" }), ["ask-sessions"]);
  assertEquals(story.kinds(ANNA), ["warn-sessions"]);
  assertEquals(story.wake(), ["confirm"]);
  assertEquals(story.kinds(CONFIRMED), ["reboot"]);
  assertEquals(story.kinds(REFUSED), []);
  assertEquals(story.said, "warning: the reboot was not called again: apt is at work");
  assertEquals([story.phase, story.state.slot], ["rebooting", SLOT]);
});

Deno.test("step() sees that an administrator unlocked a machine that did not go down", () => {
  const story = at([...TO_CALL, { kind: "reboot-accepted" }, need(NOT_NEEDED)]);
  assertEquals(story.wake(), ["recover"]);
  assertEquals(story.kinds(NOTHING), []);
  assertEquals([story.phase, story.state.slot, story.state.called], ["idle", null, false]);
  assertEquals(story.said, `warning: ${LOST_TEXT}`);
});

Deno.test("step() starts over without a reboot when an administrator unlocked the machine during the grace", () => {
  const story = at(TO_GRACE);
  assertEquals(story.wake(), ["confirm"]);
  assertEquals(story.kinds(LOST), []);
  assertEquals([story.phase, story.state.slot], ["backing-off", null]);
  assertEquals(story.said, `warning: ${LOST_TEXT}`);
  assertEquals(story.due, RETRY_MS.first);
  assertEquals(story.wake(), ["wait"]);
});

Deno.test("step() looks now and then, while nothing is needed, whether it has a slot that it knows nothing of", () => {
  const story = at([NOTHING, need(NOT_NEEDED)]);
  for (let look = 0; look < 3; look++) {
    assertEquals([story.phase, story.due], ["idle", IDLE_LOOK_MS]);
    assertEquals(story.wake(), ["recover"]);
    assertEquals(coordinatorState(story.state), "running", "it is no start");
    assertEquals(story.kinds(NOTHING), []);
  }
  assertEquals(story.log, []);

  const note = "this machine has a slot and has not rebooted";
  const late = at([NOTHING, need(NOT_NEEDED)]);
  late.wake();
  assertEquals(late.on({ kind: "recovered", slot: SLOT, called: false, note }), [
    { kind: "cancel", slot: SLOT },
  ]);
  assertEquals(late.log, [`info: ${note}`, "info: giving the slot back: no reboot is needed"]);

  const needed = at([NOTHING, need(NOT_NEEDED)]);
  needed.wake();
  assertEquals(needed.kinds(need(NEEDED)), []);
  assertEquals(needed.kinds({ kind: "recovered", slot: SLOT, called: false, note }), ["ask-sessions"]);

  const away = at([NOTHING]);
  away.wake();
  assertEquals(away.kinds(failed()), []);
  assertEquals([away.phase, away.due, coordinatorState(away.state)], [
    "recovery-backoff",
    RETRY_MS.first,
    "running",
  ]);
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

Deno.test("step() without a lock has nothing to look for while nothing is needed", () => {
  const story = at([need(NOT_NEEDED)], { strategy: "reboot" });
  for (let look = 0; look < 3; look++) {
    assertEquals(story.wake(), []);
    assertEquals([story.phase, story.due], ["idle", IDLE_LOOK_MS]);
  }
});

// -------------------------------------------------------------------------------------- a wall clock that somebody set

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

Deno.test("step() that waits for a window sees at the next tick that the clock was set", () => {
  const { due } = at(TO_GRANT, { windowAt: NIGHTLY }, 0);
  assertEquals(due, HOUR_MS);

  const forward = at(TO_GRANT, { windowAt: NIGHTLY }, 0);
  forward.now += 1.5 * HOUR_MS;
  assertEquals(forward.kinds(TICK), ["wait"]);

  // a machine without a battery for its clock, which learns the time after the daemon has started
  const back = at(TO_GRANT, { windowAt: NIGHTLY }, 1_000 * DAY_MS);
  assertEquals(back.due, HOUR_MS);
  back.now -= 900 * DAY_MS;
  assertEquals(back.kinds(TICK), []);
  assertEquals([back.phase, back.due], ["awaiting-window", HOUR_MS]);
  assertEquals(back.log, [
    "info: a reboot is needed (a new kernel); waiting for the window at 1972-09-27T01:00:00Z",
    "info: a reboot is needed (a new kernel); waiting for the window at 1970-04-11T01:00:00Z",
  ]);

  const into = at(TO_GRANT, { windowAt: NIGHTLY }, 2 * HOUR_MS + 1);
  into.now -= HOUR_MS;
  assertEquals(into.kinds(TICK), ["wait"]);
});

Deno.test("step() does not hold a window without room for the grace against those before it, when the clock was set back", () => {
  const story = at(
    [...TO_CHECK, ANNA, RELEASED],
    { windowAt: NIGHTLY },
    1_000 * DAY_MS + 2 * HOUR_MS - 1,
  );
  assertEquals(story.phase, "awaiting-window");
  story.now -= 900 * DAY_MS + HOUR_MS / 2;
  assertEquals(story.kinds(TICK), ["wait"]);
});

Deno.test("step() takes a slot under which somebody called the reboot already as what it is", () => {
  const story = at([...TO_GRANT, { ...GRANTED, called: true }]);
  assertEquals(story.phase, "checking");
  assertEquals(story.kinds(need(NOT_NEEDED), NOBODY), []);
  assertEquals([story.phase, story.state.slot], ["rebooting", SLOT]);
});

Deno.test("step() pauses longer after each setback, so that a store that fails at once is not asked in a loop", () => {
  const pauses: number[] = [];
  const story = at(TO_GRANT);
  for (let round = 0; round < 9; round++) {
    story.on(GRANTED, NOBODY, ...(round % 2 === 0 ? [LOST] : [failed(), RELEASED]));
    assertEquals(story.phase, "backing-off");
    pauses.push(story.due / 1000);
    assertEquals(story.wake(), ["wait"]);
  }
  assertEquals(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
  story.on(GRANTED, NOBODY, CONFIRMED, REFUSED, RELEASED);
  story.wake();
  story.on(GRANTED, NOBODY, LOST);
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

Deno.test("step() recovers from a boot: no slot is kept over it, whatever is needed (fault 3 of the old locksmith: an update pending at boot kept a stale hold)", () => {
  const note = "this machine has rebooted; gave back the slot";
  const story = new Story();
  assertEquals(story.kinds({ kind: "started" }, need(NEEDED)), ["recover"]);
  assertEquals(story.kinds({ kind: "recovered", slot: null, called: false, note }), ["wait"]);
  assertEquals(story.said, `info: ${note}`);
});

Deno.test("step() recovers within the same boot: goes on with the slot, or cancels it", () => {
  const held: Event = { kind: "recovered", slot: SLOT, called: false, note: "has a slot" };
  assertEquals(at([need(NEEDED)]).kinds(held), ["ask-sessions"]);
  assertEquals(at([need(NOT_NEEDED)]).kinds(held), ["cancel"]);
  assertEquals(at([need(NEEDED)], { windowAt: NIGHTLY }, 0).kinds(held), ["cancel"]);

  const unsure = at([]);
  assertEquals(unsure.kinds(held), []);
  assertEquals(unsure.phase, "awaiting-need");
  assertEquals(unsure.kinds(need(NEEDED)), ["ask-sessions"]);

  const called = at([need(NOT_NEEDED)]);
  assertEquals(called.kinds({ ...held, called: true }), []);
  assertEquals([called.phase, called.state.slot], ["rebooting", SLOT]);
  assertEquals(called.log, ["info: has a slot", `info: ${KEPT_TEXT}`]);
});

Deno.test("step() waits for a slot taken by hand to go, and never gives it back (fault 3 of the old locksmith: any start released the hold)", () => {
  const note = "this machine's slot was taken by hand";
  const story = at([need(NEEDED)]);
  assertEquals(story.kinds({ kind: "recovered", slot: null, called: false, note }), ["wait"]);
  assertEquals(story.kinds({ kind: "in-line", why: note }), []);
  assertEquals([story.phase, story.state.slot], ["waiting", null]);
  assertEquals(story.kinds(need(NOT_NEEDED)), ["leave"]);
  assertEquals(story.kinds(LEFT), []);
  assertEquals(story.phase, "idle");
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

Deno.test("step() throws AgentError for an outcome that nothing can have had", () => {
  const outcomes: [Event, string[]][] = [
    [{ kind: "started" }, ["recovering"]],
    [NOTHING, ["recovering"]],
    [GRANTED, ["waiting", "leaving"]],
    [FULL, ["waiting", "leaving"]],
    [LEFT, ["leaving"]],
    [failed(), ["recovering", "confirming", "cancelling"]],
    [NOBODY, ["checking"]],
    [CONFIRMED, ["confirming"]],
    [LOST, ["confirming"]],
    [RELEASED, ["cancelling"]],
    [{ kind: "reboot-accepted" }, ["calling"]],
    [{ kind: "reboot-unknown", why: "" }, ["calling"]],
    [REFUSED, ["calling"]],
  ];
  const stories = [
    at([]),
    at([failed()]),
    at([NOTHING]),
    at([...TO_GRACE, need(UNKNOWN)]),
    at(TO_GRANT, { windowAt: NIGHTLY }, 0),
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
  assertEquals(new Set(stories.map(({ phase }) => phase)).size, 15, "every state is tried");
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

// ------------------------------------------------------------------------------------------------------ a random walk

/** Numbers in [0, 1) that a seed decides: mulberry32. */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const OUTSIDE = new Set(["recover", "wait", "leave", "cancel", "ask-sessions", "confirm", "reboot"]);

/** The world around one machine: a lock that may fail in every way, and answers that keep to the contract. */
class World {
  readonly story: Story;
  /** The hold that the store has of this machine. */
  hold: { grant: string; phase: "granted" | "rebooting" } | undefined;
  underWay: Effect | undefined;
  /** A grant of a request that was thought to be over, which no machine can know of before it looks. */
  stray = "";
  grants = 0;
  reboots = 0;
  /** Effects since time went on or anything came from outside: a machine that answers itself in a loop. */
  unmoved = 0;
  readonly phases = new Set<string>();

  constructor(readonly random: () => number, config: Partial<AgentConfig>) {
    this.story = new Story(config);
    this.take({ kind: "started" });
  }

  chance(p: number): boolean {
    return this.random() < p;
  }

  pick<T>(...list: readonly [T, ...T[]]): T {
    return list[Math.floor(this.random() * list.length)] ?? list[0];
  }

  take(event: Event): void {
    const { story } = this;
    const before = story.state.slot;
    const effects = story.on(event);
    const { state, now, config } = story;
    this.phases.add(story.phase);
    const outside = effects.filter(({ kind }) => OUTSIDE.has(kind));
    const busy = this.underWay !== undefined;
    for (const { kind } of outside) {
      assert(kind === "leave" ? this.underWay?.kind === "wait" : !busy, `two effects under way: ${kind}`);
    }
    assert(outside.length <= 1, "two effects at once");
    this.underWay = outside[0] ?? this.underWay;
    for (const effect of effects) {
      if (effect.kind === "reboot") {
        assert(config.windowAt(now).open, "a reboot while the window is closed");
        assertEquals(state.need.kind, "needed");
        if (config.strategy === "etcd-lock") assertEquals(event.kind, "confirmed");
      }
      if (effect.kind === "wait") {
        assertEquals(state.slot, null, "a second slot is asked for");
        assert(config.windowAt(now).open, "a place is taken while the window is closed");
      }
    }
    if (event.kind === "tick" && story.phase === "waiting") {
      assert(config.windowAt(now).open, "a place is kept while the window is closed");
    }
    if (before !== null && state.slot === null) {
      assert(
        ["cancelled", "lost", "recovered"].includes(event.kind),
        `the slot dropped from sight at ${event.kind}`,
      );
    }
    if (!this.underWay) {
      assert(Number.isFinite(story.due), `${story.phase} waits for nothing`);
      assert(story.due > 0 || this.unmoved < 10, `${story.phase} waits for what has been`);
    }
  }

  /** An outcome of what is under way, as the store and the host may give it. */
  answer(): Event {
    const effect = this.underWay;
    if (effect?.kind === "wait" || effect?.kind === "leave") return this.answerInLine(effect.kind);
    this.underWay = undefined;
    switch (effect?.kind) {
      case "recover": {
        if (this.chance(0.2)) return failed();
        const { hold } = this;
        this.stray = "";
        return {
          kind: "recovered",
          slot: hold ? { grant: hold.grant } : null,
          called: hold?.phase === "rebooting",
          note: "",
        };
      }
      case "cancel":
        assert(!this.story.state.called, "a slot is given back whose reboot was called");
        if (this.chance(0.3)) return failed();
        if (this.hold?.grant === effect.slot.grant) this.hold = undefined;
        return RELEASED;
      case "ask-sessions":
        return this.chance(0.6) ? NOBODY : ANNA;
      case "confirm": {
        if (this.chance(0.1)) return failed();
        if (this.hold?.grant !== effect.slot.grant) return LOST;
        this.hold.phase = "rebooting";
        return CONFIRMED;
      }
      case "reboot":
        this.reboots++;
        return this.pick<Event>(REFUSED, { kind: "reboot-accepted" }, { kind: "reboot-unknown", why: "?" });
      default:
        throw new Error("nothing is under way");
    }
  }

  /** A place brings news, and in the end a slot, or none after the wish to leave. */
  answerInLine(wish: "wait" | "leave"): Event {
    if (wish === "wait" && this.chance(0.4)) return FULL;
    this.underWay = undefined;
    if (wish === "leave" && this.chance(0.7)) return LEFT;
    this.hold ??= { grant: `g${++this.grants}`, phase: "granted" };
    this.stray = "";
    return {
      kind: "granted",
      slot: { grant: this.hold.grant },
      called: this.hold.phase === "rebooting",
    };
  }

  move(): void {
    const { story } = this;
    const outside = this.random();
    if (outside < 0.15) {
      this.unmoved = 0;
      this.take(need(this.pick(NEEDED, NEEDED, NEEDED, NOT_NEEDED, UNKNOWN)));
    } else if (outside < 0.17) {
      this.unmoved = 0;
      this.hold = undefined; // an administrator
    } else if (outside < 0.18 && !this.hold && story.config.strategy === "etcd-lock") {
      this.stray = `s${++this.grants}`;
      this.hold = { grant: this.stray, phase: "granted" };
    } else if (outside < 0.19) {
      this.unmoved = 0;
      story.now += Math.floor((this.random() - 0.5) * 2 * DAY_MS); // somebody sets the clock
    } else if (this.underWay && this.chance(this.underWay.kind === "wait" ? 0.5 : 1)) {
      if (this.chance(0.5)) {
        story.pass(Math.floor(this.random() * 10_000));
        this.unmoved = 0;
      }
      assert(++this.unmoved < 50, `a loop without a pause in ${story.phase}`);
      this.take(this.answer());
    } else {
      const { due } = story;
      story.pass(Number.isFinite(due) && this.chance(0.7) ? Math.max(due, 0) : 30_000);
      this.unmoved = 0;
      this.take(TICK);
    }
    // what the machine believes is what is there, or is on its way to be found out
    const { slot } = story.state;
    const hidden = this.hold && slot?.grant !== this.hold.grant && this.hold.grant !== this.stray;
    assert(!hidden || this.underWay, `the store has ${this.hold?.grant}, the machine ${slot?.grant}`);
  }
}

Deno.test("step() keeps its promises on 20,000 random steps: no reboot but confirmed, needed and in the window; no slot out of sight; no place in line but in the window; no loop", () => {
  const configs: Partial<AgentConfig>[] = [
    { windowAt: ALWAYS },
    { windowAt: NIGHTLY },
    { windowAt: windows(0, 20_000, 60_000), graceMs: 5_000 },
    { strategy: "reboot", windowAt: windows(0, 100_000, 600_000), graceMs: 60_000 },
    { windowAt: windows(0, 400_000, 1_000_000), graceMs: 300_000 },
  ];
  const phases = new Set<string>();
  for (let seed = 0; seed < 20; seed++) {
    const world = new World(seeded(seed), configs[seed % configs.length] ?? {});
    let steps = 0;
    try {
      for (; steps < 1_000; steps++) world.move();
    } catch (error) {
      throw new Error(`seed ${seed}, step ${steps}: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
    for (const phase of world.phases) phases.add(phase);
    assert(world.reboots > 0, `seed ${seed} never reboots`);
  }
  assertEquals(phases.size, 15, "every state was visited");
});

/** What the world answers once faults have stopped. */
function answerWithoutFault(world: World): Event {
  const effect = world.underWay;
  world.underWay = undefined;
  switch (effect?.kind) {
    case "recover":
      return {
        kind: "recovered",
        slot: world.hold ? { grant: world.hold.grant } : null,
        called: world.hold?.phase === "rebooting",
        note: "",
      };
    case "wait":
      world.hold ??= { grant: "fair", phase: "granted" };
      return {
        kind: "granted",
        slot: { grant: world.hold.grant },
        called: world.hold.phase === "rebooting",
      };
    case "leave":
      return LEFT;
    case "cancel":
      world.hold = undefined;
      return RELEASED;
    case "ask-sessions":
      return NOBODY;
    case "confirm":
      return world.hold?.grant === effect.slot.grant ? CONFIRMED : LOST;
    default:
      return TICK;
  }
}

Deno.test("step() gets to its reboot once faults stop, from wherever faults have brought it", () => {
  for (let seed = 100; seed < 200; seed++) {
    const world = new World(seeded(seed), { windowAt: NIGHTLY });
    for (let steps = 0; steps < 200; steps++) world.move();
    const { story } = world;
    const deadline = story.now + 3 * DAY_MS;
    world.take(need(NEEDED));
    for (let steps = 0; story.phase !== "calling"; steps++) {
      assert(steps < 1_000, `seed ${seed}: a loop in ${story.phase}`);
      assert(story.now < deadline, `seed ${seed}: no reboot within three days, in ${story.phase}`);
      if (!world.underWay) story.pass(Math.max(0, Math.min(story.due, DAY_MS)));
      world.take(answerWithoutFault(world));
    }
  }
});
