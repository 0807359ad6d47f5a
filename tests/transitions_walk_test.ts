/** One machine in a world that fails in every way, at random: promises that hold whatever happens. */

import { assert, assertEquals } from "@std/assert";
import type { AgentConfig, Effect, Event } from "../lib/agent.ts";
import {
  ALWAYS,
  ANNA,
  BLOCKED,
  CONFIRMED,
  DAY_MS,
  failed,
  FULL,
  inquired,
  LEFT,
  LOST,
  need,
  NEEDED,
  NIGHTLY,
  NOBODY,
  NOT_NEEDED,
  REFUSED,
  RELEASED,
  Story,
  TICK,
  UNKNOWN,
  UNSURE,
  windows,
} from "./support/agent_story.ts";
import { Random } from "../lib/simulation/virtual_time.ts";

const OUTSIDE = new Set([
  "recover",
  "wait",
  "leave",
  "cancel",
  "inquire",
  "hooks",
  "prove",
  "confirm",
  "reboot",
]);
/** Phases of a machine whose reboot is far off. */
const AT_WORK = new Set(["idle", "awaiting-window", "inquiring", "waiting", "backing-off"]);
const ILL = { kind: "ill", why: "degraded" } as const;
const WITH_HOOKS = inquired({ hooksMs: 1_000 });
const HELD_OFF: Event = { kind: "held-off", holdOff: { why: "postponed", untilMs: null } };
const LET_GO: Event = { kind: "held-off", holdOff: null };
const STOPPED: Event = { kind: "stopped", why: "too many" };
const GO_ON: Event = { kind: "stopped", why: null };

/** The world around one machine: a lock that may fail in every way, and answers that keep to the contract. */
class World {
  readonly story: Story;
  /** The hold that the store has of this machine. */
  hold: { grant: string; phase: "granted" | "rebooting"; shared?: boolean } | undefined;
  /** Whether there is a hold from before the boot, which the machine gives back once it is well. */
  earlier: boolean;
  /** Whether the hooks have prepared the machine for its reboot. */
  prepared = false;
  underWay: Effect | undefined;
  /** A grant of a request that was thought to be over, which no machine can know of before it looks. */
  stray = "";
  grants = 0;
  reboots = 0;
  /** Effects since time went on or anything came from outside: a machine that answers itself in a loop. */
  unmoved = 0;
  readonly phases = new Set<string>();

  constructor(readonly random: Random, config: Partial<AgentConfig>) {
    this.story = new Story(config);
    this.earlier = config.afterBoot !== undefined && this.story.config.strategy === "etcd-lock";
    this.take({ kind: "started" });
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
        assertEquals([state.heldOff, state.stopped], [null, null], "a reboot that somebody holds off");
        assert(this.prepared || !state.hasHooks, "a reboot without its hooks");
        assert(!this.earlier, "a reboot of a machine that is not proved to be well");
        if (config.strategy === "etcd-lock") assertEquals(event.kind, "confirmed");
      }
      if (effect.kind === "wait") {
        assertEquals(state.slot, null, "a second slot is asked for");
        assert(config.windowAt(now).open, "a place is taken while the window is closed");
      }
    }
    if (AT_WORK.has(story.phase) || effects.some(({ kind }) => kind === "cancel")) {
      assert(!this.prepared, `what was prepared stays in ${story.phase}`);
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
      assert(Number.isFinite(story.due) || state.heldOff !== null, `${story.phase} waits for nothing`);
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
        if (this.random.chance(0.2)) return failed();
        if (this.earlier && effect.keep) {
          return { kind: "recovered", slot: null, called: false, kept: "known", note: "" };
        }
        this.earlier = false;
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
        if (this.random.chance(0.3)) return failed();
        if (this.hold?.shared) return { kind: "kept" };
        if (this.hold?.grant === effect.slot.grant) this.hold = undefined;
        return RELEASED;
      case "inquire":
        return this.random.pick([
          ...[NOBODY, NOBODY, NOBODY, ANNA, ANNA, BLOCKED, UNSURE],
          ...[inquired({ verdict: ILL }), WITH_HOOKS, WITH_HOOKS, WITH_HOOKS],
        ]);
      case "hooks":
        if (this.random.chance(0.3)) {
          this.prepared ||= effect.when === "pre-reboot";
          return { kind: "hook-failed", why: "exit 1" };
        }
        this.prepared = effect.when === "pre-reboot";
        return { kind: "hooked" };
      case "prove": {
        const verdict = this.random.chance(0.5) ? ILL : { kind: "well" } as const;
        return { kind: "proved", verdict, upMs: this.random.integer(0, 600_000) };
      }
      case "confirm": {
        if (this.random.chance(0.1)) return failed();
        if (this.hold?.grant !== effect.slot.grant) return LOST;
        this.hold.phase = "rebooting";
        return { kind: "confirmed", called: this.hold.shared === true };
      }
      case "reboot":
        this.reboots++;
        return this.random.pick<Event>([
          REFUSED,
          { ...REFUSED, blocked: true },
          { kind: "reboot-accepted" },
          { kind: "reboot-unknown", why: "?" },
        ]);
      default:
        throw new Error("nothing is under way");
    }
  }

  /** A place brings news, and in the end a slot, or none after the wish to leave. */
  answerInLine(wish: "wait" | "leave"): Event {
    if (wish === "wait" && this.random.chance(0.4)) return FULL;
    this.underWay = undefined;
    if (wish === "leave" && this.random.chance(0.7)) return LEFT;
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
    const outside = this.random.next();
    if (outside < 0.15) {
      this.unmoved = 0;
      this.take(need(this.random.pick([NEEDED, NEEDED, NEEDED, NOT_NEEDED, UNKNOWN])));
    } else if (outside < 0.16) {
      this.unmoved = 0;
      this.take(this.random.pick([HELD_OFF, LET_GO, LET_GO, STOPPED, GO_ON, GO_ON]));
    } else if (outside < 0.17) {
      this.unmoved = 0;
      this.hold = undefined; // an administrator
    } else if (outside < 0.175 && this.hold) {
      Object.assign(this.hold, { phase: "rebooting", shared: true }); // another process of this machine confirms it too
    } else if (outside < 0.18 && !this.hold && story.config.strategy === "etcd-lock") {
      this.stray = `s${++this.grants}`;
      this.hold = { grant: this.stray, phase: "granted" };
    } else if (outside < 0.19) {
      this.unmoved = 0;
      story.now += Math.floor(this.random.between(-DAY_MS, DAY_MS)); // somebody sets the clock
    } else if (this.underWay && this.random.chance(this.underWay.kind === "wait" ? 0.5 : 1)) {
      if (this.random.chance(0.5)) {
        story.pass(this.random.integer(0, 9_999));
        this.unmoved = 0;
      }
      assert(++this.unmoved < 50, `a loop without a pause in ${story.phase}`);
      this.take(this.answer());
    } else {
      const { due } = story;
      story.pass(Number.isFinite(due) && this.random.chance(0.7) ? Math.max(due, 0) : 30_000);
      this.unmoved = 0;
      this.take(TICK);
    }
    // what the machine believes is what is there, or is on its way to be found out
    const { slot } = story.state;
    const hidden = this.hold && slot?.grant !== this.hold.grant && this.hold.grant !== this.stray;
    assert(!hidden || this.underWay, `the store has ${this.hold?.grant}, the machine ${slot?.grant}`);
  }
}

Deno.test("step() keeps its promises on 21,000 random steps: no reboot but confirmed, needed and in the window; no slot out of sight; no place in line but in the window; no loop", () => {
  const configs: Partial<AgentConfig>[] = [
    { windowAt: ALWAYS },
    { windowAt: NIGHTLY },
    { windowAt: windows(0, 20_000, 60_000), graceMs: 5_000 },
    { strategy: "reboot", windowAt: windows(0, 100_000, 600_000), graceMs: 60_000 },
    { windowAt: windows(0, 400_000, 1_000_000), graceMs: 300_000 },
    { windowAt: ALWAYS, afterBoot: { hooksDue: true, soakMs: 300_000 } },
    { strategy: "reboot", afterBoot: { hooksDue: true, soakMs: 0 } },
  ];
  const phases = new Set<string>();
  for (let seed = 0; seed < 21; seed++) {
    const world = new World(new Random(seed), configs[seed % configs.length] ?? {});
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
  assertEquals(phases.size, 24, "every state was visited");
});

/** What the world answers once faults have stopped. */
function answerWithoutFault(world: World): Event {
  const effect = world.underWay;
  world.underWay = undefined;
  switch (effect?.kind) {
    case "recover":
      if (world.earlier && effect.keep) {
        return { kind: "recovered", slot: null, called: false, kept: "known", note: "" };
      }
      world.earlier = false;
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
    case "inquire":
      return WITH_HOOKS;
    case "hooks":
      world.prepared = effect.when === "pre-reboot";
      return { kind: "hooked" };
    case "prove":
      return { kind: "proved", verdict: { kind: "well" }, upMs: DAY_MS };
    case "confirm":
      return world.hold?.grant === effect.slot.grant ? CONFIRMED : LOST;
    default:
      return TICK;
  }
}

Deno.test("step() gets to its reboot once faults stop, from wherever faults have brought it", () => {
  for (let seed = 100; seed < 200; seed++) {
    const world = new World(new Random(seed), {
      windowAt: NIGHTLY,
      afterBoot: { hooksDue: seed % 2 === 0, soakMs: 300_000 },
    });
    for (let steps = 0; steps < 200; steps++) world.move();
    const { story } = world;
    const deadline = story.now + 3 * DAY_MS;
    [need(NEEDED), LET_GO, GO_ON].forEach((event) => world.take(event));
    for (let steps = 0; story.phase !== "calling"; steps++) {
      assert(steps < 1_000, `seed ${seed}: a loop in ${story.phase}`);
      assert(story.now < deadline, `seed ${seed}: no reboot within three days, in ${story.phase}`);
      if (!world.underWay) story.pass(Math.max(0, Math.min(story.due, DAY_MS)));
      world.take(answerWithoutFault(world));
    }
  }
});
