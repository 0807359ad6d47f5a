/** The rules of a semaphore: who gets a slot, what ends a hold, and what stops both. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseSemaphore, serializeSemaphore } from "../lib/document.ts";
import type { Machine } from "../lib/machine.ts";
import {
  acquire as acquireAt,
  type AcquireDecision,
  type AcquireRequest,
  available,
  cancel,
  compareCodePoints,
  confirm,
  FRESH,
  GRANTED,
  type Hold,
  HOLDER_LENGTH_LIMIT,
  holderFault,
  isOverdue,
  MAX_LIMIT,
  ON_DISK,
  overdueHolders,
  ownership,
  pause,
  REBOOTING,
  release,
  resume,
  type Semaphore,
  SemaphoreError,
  setMax,
  unlock,
} from "../lib/semaphore.ts";

const HOUR_MS = 3_600_000;
const SINCE = "2026-01-01T00:00:00Z";
const SINCE_MS = Date.parse(SINCE);

/** A hold that a daemon took under the boot `boot`. */
function hold(
  boot: string,
  grant = `grant of ${boot}`,
): Hold & { readonly boot: string; readonly grant: string } {
  return { boot, grant, phase: GRANTED, since: "2026-05-21T23:00:04.120Z", extra: {} };
}

/** `max` slots, with these machines in them, each under boot `b1`. */
function semaphore(max: number, ...holders: string[]): Semaphore {
  return { ...FRESH, max, holders, holds: new Map(holders.map((id) => [id, hold("b1", `grant of ${id}`)])) };
}

/** Asks for a slot at {@linkcode SINCE}, while not all groups are paused. */
function acquire(document: Semaphore, request: Pick<AcquireRequest, "holder" | "hold">): AcquireDecision {
  return acquireAt(document, { ...request, all: FRESH, now: SINCE_MS });
}

/** The document after a grant. */
function granted(decision: AcquireDecision): Semaphore {
  assert(decision.kind === "granted", `not granted: ${decision.kind}`);
  return decision.next;
}

// ------------------------------------------------------------------------------------------------------------ names

Deno.test("holderFault() refuses what could not be shown in one line or told apart", () => {
  const refused: [unknown, string][] = [
    ["", "a holder's name must not be empty"],
    ["  ", "a holder's name must not be empty"],
    [" a", "a holder's name must not begin or end with a blank"],
    ["a\u00a0", "a holder's name must not begin or end with a blank"],
    ["a\nb", "a holder's name must not contain control characters"],
    ["a\u001b[2Jb", "a holder's name must not contain control characters"],
    ["a\u0085b", "a holder's name must not contain control characters"],
    ["a\u2028b", "a holder's name must not contain control characters"],
    ["\ud800", "a holder's name must be well-formed Unicode"],
    ["a".repeat(HOLDER_LENGTH_LIMIT + 1), "a holder's name must not be longer than 256"],
    [7, "a holder's name must be a string"],
  ];
  for (const [name, fault] of refused) assertEquals(holderFault(name), fault, JSON.stringify(name));
  for (
    const name of ["a", "69d27b356a94476da859461d3a3bc6fd", "rack 7/\u00e9", "a".repeat(HOLDER_LENGTH_LIMIT)]
  ) {
    assertEquals(holderFault(name), undefined);
  }
});

Deno.test("compareCodePoints() orders as the old program did, by bytes of UTF-8", () => {
  const bytes = new TextEncoder();
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), (a, b) => {
    const [left, right] = [bytes.encode(a), bytes.encode(b)];
    const differs = left.findIndex((byte, i) => byte !== right[i]);
    const order = differs < 0 ? left.length - right.length : (left[differs] ?? 0) - (right[differs] ?? -1);
    assertEquals(Math.sign(compareCodePoints(a, b)), Math.sign(order));
  }));
  // where UTF-16 and UTF-8 disagree
  assertEquals(["\u{1f512}", "\uffee"].sort(compareCodePoints), ["\uffee", "\u{1f512}"]);
});

// ------------------------------------------------------------------------------------------------------------ rules

Deno.test("acquire() grants as many slots as there are, and keeps the holders sorted", () => {
  let document = setMax(FRESH, 3);
  for (const holder of ["c", "a", "b"]) {
    document = granted(acquire(document, { holder, hold: hold("b1", holder) }));
  }
  assertEquals([document.holders, available(document)], [["a", "b", "c"], 0]);
  assertEquals(document.holds.get("a"), hold("b1", "a"));
  assertEquals(acquire(document, { holder: "d", hold: hold("b1") }), { kind: "full", available: 0 });
  assertEquals(acquire(setMax(document, 1), { holder: "d", hold: hold("b1") }), {
    kind: "full",
    available: -2,
  });
});

Deno.test("acquire() asks first whether the holder has a slot, then whether one is free (fault 2 of the old locksmith: a machine blocked itself at max 1)", () => {
  const full = semaphore(1, "A");
  assertEquals(acquire(full, { holder: "A", hold: hold("b1", "a second request") }), {
    kind: "held",
    hold: hold("b1", "grant of A"),
  });
  // over the brim, and paused, it is still the holder's
  assertEquals(acquire(setMax(full, 0), { holder: "A", hold: hold("b1") }).kind, "held");
  assertEquals(acquire({ ...full, paused: { extra: {} } }, { holder: "A", hold: hold("b1") }).kind, "held");
});

Deno.test("acquire() of a holder that another program entered says that nothing is known of it", () => {
  const document = parseSemaphore('{"semaphore":0,"max":1,"holders":["A"]}');
  assertEquals(acquire(document, { holder: "A", hold: hold("b1") }), { kind: "held", hold: undefined });
});

Deno.test("acquire() grants nothing in a paused group, and says since when and why", () => {
  const pause = { since: "2026-05-21T23:00:00Z", by: "admin", reason: "freeze", extra: {} };
  assertEquals(acquire({ ...FRESH, paused: pause }, { holder: "A", hold: hold("b1") }), {
    kind: "paused",
    pause,
    all: false,
  });
});

Deno.test("acquire() grants nothing in any group while all are paused; a pause with an end is over by the clock of who asks", () => {
  const request = { holder: "A", hold: hold("b1") };
  const forAnHour = { until: new Date(SINCE_MS + HOUR_MS).toISOString(), extra: {} };
  const ask = (document: Semaphore, all: Semaphore, now: number) =>
    acquireAt(document, { ...request, all, now });
  for (const all of [false, true]) {
    const paused = pause(FRESH, forAnHour);
    const [document, ofAll] = all ? [FRESH, paused] : [paused, FRESH];
    const refused = { kind: "paused" as const, pause: forAnHour, all };
    // a clock that is behind makes it longer, one that is ahead shorter
    for (const now of [SINCE_MS - HOUR_MS, SINCE_MS, SINCE_MS + HOUR_MS - 1]) {
      assertEquals(ask(document, ofAll, now), refused);
    }
    assertEquals(ask(document, ofAll, SINCE_MS + HOUR_MS).kind, "granted");
  }
  const [always, late] = [pause(FRESH, { extra: {} }), SINCE_MS + 10_000 * HOUR_MS];
  assertEquals(ask(FRESH, always, late).kind, "paused");
  assertEquals(ask(semaphore(1, "A"), always, late).kind, "held", "who holds a slot goes on");
});

Deno.test("a pause that was over leaves its mark in the document until somebody resumes: a grant changes nothing else", () => {
  const paused = pause(FRESH, { until: SINCE, extra: {} });
  assertEquals(granted(acquire(paused, { holder: "A", hold: hold("b1") })).paused, paused.paused);
});

Deno.test("acquire() throws for a name that must not come into the document", () => {
  const error = assertThrows(() => acquire(FRESH, { holder: "", hold: hold("b1") }), SemaphoreError);
  assertEquals(error.message, "a holder's name must not be empty");
});

Deno.test("confirm() marks the very hold that the proof names, and no other", () => {
  const document = semaphore(2, "A", "B");
  const proof = { holder: "A", boot: "b1", grant: "grant of A" };
  const confirmed = confirm(document, proof, "mark", { all: FRESH, now: 0 });
  assert(confirmed.kind === "confirmed");
  assertEquals(confirmed.called, false);
  assertEquals(confirmed.next.holds.get("A")?.phase, REBOOTING);
  assertEquals(confirmed.next.holds.get("B")?.phase, GRANTED);
  assertEquals(confirmed.next.holders, ["A", "B"]);

  for (
    const other of [
      { ...proof, grant: "grant of B" },
      { ...proof, boot: "b2" },
      { ...proof, holder: "B" },
      { ...proof, holder: "C" },
    ]
  ) {
    assertEquals(
      confirm(document, other, "mark", { all: FRESH, now: 0 }).kind,
      "lost",
      JSON.stringify(other),
    );
  }
  const byHand = parseSemaphore('{"semaphore":0,"max":1,"holders":["A"]}');
  assertEquals(confirm(byHand, proof, "mark", { all: FRESH, now: 0 }).kind, "lost");
});

Deno.test("ownership() goes by the boot id first, then by what the machine remembers, and by its name", () => {
  const machine = { id: "A", bootId: "b1", hostname: "web1" };
  const held = (hold: Partial<Hold>) => ({
    ...FRESH,
    holders: ["A"],
    holds: new Map([["A", { extra: {}, ...hold }]]),
  });
  const whose = (hold: Partial<Hold>, of: Partial<Machine> = {}) =>
    ownership(held(hold), { ...machine, ...of }).kind;
  assertEquals(ownership(FRESH, machine), { kind: "none" });
  assertEquals(ownership({ ...FRESH, holders: ["A"] }, machine), { kind: "by-hand", hold: undefined });
  assertEquals(whose({ grant: "g" }), "by-hand", "no boot ends it");
  assertEquals(whose({ boot: "b1" }), "by-hand", "without a grant there is nothing to prove");
  assertEquals(whose({ boot: "b1", grant: "g", host: "renamed since" }), "ours");
  const before = { boot: "b0", grant: "g", host: "web1" };
  assertEquals(whose(before), "earlier-boot");
  assertEquals(whose({ ...before, host: "web2" }), "other-host", "a clone of another name");
  assertEquals(whose({ boot: "b0", grant: "g" }), "earlier-boot", "nothing speaks against it");
  assertEquals(
    whose({ ...before, host: "web2" }, { grants: new Set(["g"]) }),
    "earlier-boot",
    "a renamed host",
  );
  assertEquals(whose(before, { grants: new Set() }), "earlier-boot", "what was not remembered");
  const kept = { ...before, memory: ON_DISK };
  assertEquals(whose(kept, { grants: new Set(["g"]) }), "earlier-boot");
  assertEquals(whose(kept, { grants: new Set() }), "other-host", "a twin of the same name");
  assertEquals(whose(kept), "earlier-boot", "without a memory its name decides");
  assertEquals(whose({ ...kept, host: "web2" }), "other-host");
});

Deno.test("ownership() tells whether the reboot may have been called under a hold of this boot", () => {
  const machine = { id: "A", bootId: "b1", hostname: "web1" };
  const document = semaphore(1, "A");
  const ours = ownership(document, machine);
  assert(ours.kind === "ours");
  assertEquals([ours.grant, ours.called], ["grant of A", false]);
  const confirmed = confirm(document, { holder: "A", boot: "b1", grant: ours.grant }, "mark", {
    all: FRESH,
    now: 0,
  });
  assert(confirmed.kind === "confirmed");
  const after = ownership(confirmed.next, machine);
  assert(after.kind === "ours");
  assertEquals(after.called, true);
});

Deno.test("release() gives back what an earlier boot held, and nothing else", () => {
  const document = semaphore(1, "A");
  const machine = { id: "A", bootId: "b1", hostname: "host" };
  const again = release(document, machine);
  assert(again.kind === "kept");
  assertEquals([again.why.kind, again.hold], ["ours", hold("b1", "grant of A")]);
  const released = release(document, { ...machine, bootId: "b2" });
  assert(released.kind === "released");
  assertEquals([released.next.holders, released.next.holds.size, released.hold?.grant], [
    [],
    0,
    "grant of A",
  ]);
});

Deno.test("cancel() needs the boot and the grant of the hold", () => {
  const document = semaphore(1, "A");
  const proof = { holder: "A", boot: "b1", grant: "grant of A" };
  assertEquals(cancel(document, proof, undefined).kind, "released");
  for (const other of [{ ...proof, grant: "another" }, { ...proof, boot: "b2" }]) {
    const kept = cancel(document, other, undefined);
    assert(kept.kind === "kept");
    assertEquals(kept.why, "another-grant");
  }
});

Deno.test("cancel() leaves a slot under which somebody else may have called the reboot", () => {
  const proof = { holder: "A", boot: "b1", grant: "grant of A" };
  const confirmedBy = (document: Semaphore, mark: string) => {
    const decision = confirm(document, proof, mark, { all: FRESH, now: 0 });
    assert(decision.kind === "confirmed");
    return decision;
  };
  const first = confirmedBy(semaphore(1, "A"), "first");
  assertEquals(first.called, false);
  assertEquals(cancel(first.next, proof, "first").kind, "released", "its own call was refused");
  for (const mark of ["second", undefined]) {
    const kept = cancel(first.next, proof, mark);
    assert(kept.kind === "kept");
    assertEquals(kept.why, "rebooting");
  }
  assertEquals(confirmedBy(first.next, "first").called, false, "the same one, once more");
  const second = confirmedBy(first.next, "second");
  assertEquals(second.called, true);
  for (const mark of ["first", "second"]) assertEquals(cancel(second.next, proof, mark).kind, "kept", mark);
  const third = confirmedBy(second.next, "first");
  assertEquals([third.called, cancel(third.next, proof, "first").kind], [true, "kept"]);
});

Deno.test("a hold taken by hand ends by hand only, or by the very request that took it", () => {
  for (
    const text of [
      '{"semaphore":0,"max":1,"holders":["A"]}',
      '{"semaphore":0,"max":1,"holders":["A"],"holds":{"A":{"by":"admin","grant":"g"}}}',
    ]
  ) {
    const document = parseSemaphore(text);
    const kept = release(document, { id: "A", bootId: "b2", hostname: "host" });
    assert(kept.kind === "kept");
    assertEquals(kept.why.kind, "by-hand");
    assertEquals(cancel(document, { holder: "A", boot: "b1", grant: "g" }, undefined).kind, "kept");
    const released = unlock(document, "A");
    assert(released.kind === "released");
    assertEquals(serializeSemaphore(released.next), serializeSemaphore(FRESH));
  }
  const taken = parseSemaphore('{"semaphore":0,"max":1,"holders":["A"],"holds":{"A":{"grant":"g"}}}');
  assertEquals(cancel(taken, { holder: "A", boot: undefined, grant: "g" }, undefined).kind, "released");
});

Deno.test("the ends of a hold say of who holds nothing that it does not", () => {
  const document = semaphore(1, "A");
  assertEquals(unlock(document, "B"), { kind: "not-held" });
  assertEquals(release(document, { id: "B", bootId: "b2", hostname: "host" }), { kind: "not-held" });
  assertEquals(cancel(document, { holder: "B", boot: "b1", grant: "g" }, undefined), { kind: "not-held" });
});

Deno.test("setMax() below the number of holders frees nobody", () => {
  const next = setMax(semaphore(3, "A", "B", "C"), 1);
  assertEquals([next.holders, next.holds.size, available(next)], [["A", "B", "C"], 3, -2]);
  assertEquals(JSON.parse(serializeSemaphore(next)).semaphore, -2);
});

Deno.test("setMax() takes whole numbers from 0 to its limit", () => {
  for (const max of [0, 1, MAX_LIMIT]) assertEquals(setMax(FRESH, max).max, max);
  for (const max of [-1, 1.5, NaN, Infinity, MAX_LIMIT + 1]) {
    const error = assertThrows(() => setMax(FRESH, max), SemaphoreError);
    assertEquals(error.message, `max is ${max}, not a whole number from 0 to 2147483647`);
  }
});

Deno.test("the rules never hold more slots than max by their own grants, and never lose another's hold", () => {
  const steps = fc.array(fc.record({
    holder: fc.constantFrom("a", "b", "c", "d"),
    boot: fc.constantFrom("b1", "b2"),
    act: fc.constantFrom("acquire", "rebooted", "cancelled"),
  }));
  fc.assert(fc.property(fc.integer({ min: 0, max: 3 }), steps, (max, steps) => {
    let document = setMax(FRESH, max);
    for (const { holder, boot, act } of steps) {
      const before = document;
      const decision = act === "acquire"
        ? acquire(document, { holder, hold: hold(boot) })
        : act === "rebooted"
        ? release(document, { id: holder, bootId: boot, hostname: "host" })
        : cancel(document, { holder, ...hold(boot) }, undefined);
      if (decision.kind === "granted" || decision.kind === "released") document = decision.next;
      assert(document.holders.length <= max);
      for (const other of before.holders.filter((id) => id !== holder)) {
        assertEquals(document.holds.get(other), before.holds.get(other));
      }
      // who is still up under the boot of its hold has lost it by nothing but its own cancelling
      if (act === "rebooted" && before.holds.get(holder)?.boot === boot) {
        assert(document.holders.includes(holder));
      }
    }
  }));
});

// ------------------------------------------------------------------------------------------------- pauses, and who is late

Deno.test("pause() stops new grants and nothing else; resume() allows them again", () => {
  const paused = { since: SINCE, by: "anna@desk", reason: "a fair", extra: {} };
  const before = { ...semaphore(2, "m1"), extra: { color: "red" } };
  const after = pause(before, paused);
  assertEquals(after, { ...before, paused });
  assertEquals(acquire(after, { holder: "m2", hold: { extra: {} } }), {
    kind: "paused",
    pause: paused,
    all: false,
  });
  assertEquals(acquire(after, { holder: "m1", hold: { extra: {} } }).kind, "held");
  assertEquals(
    confirm(after, { holder: "m1", boot: "b1", grant: "grant of m1" }, "mark", { all: FRESH, now: 0 }).kind,
    "confirmed",
  );
  assertEquals(release(after, { id: "m1", bootId: "b2", hostname: "host" }).kind, "released");
  assertEquals(setMax(after, 3).paused, paused);
  assertEquals(resume(after), before);
  assertEquals(resume(before), before);
  const again = { reason: "another fair", extra: {} };
  assertEquals(pause(after, again).paused, again, "the new reason replaces the old");
  assertEquals(parseSemaphore(serializeSemaphore(after)), after);
});

Deno.test("isOverdue() is true of a hold that a boot is to end and that lasts longer than the limit", () => {
  const hold: Hold = { boot: "b1", since: SINCE, extra: {} };
  assertEquals(isOverdue(hold, SINCE_MS + HOUR_MS, HOUR_MS), false, "at the limit it is in time");
  assertEquals(isOverdue(hold, SINCE_MS + HOUR_MS + 1, HOUR_MS), true);
  assertEquals(isOverdue(hold, SINCE_MS - HOUR_MS, HOUR_MS), false, "by a clock behind that of the machine");
  const { boot: _, ...byHand } = hold;
  const { since: __, ...undated } = hold;
  for (const other of [undefined, byHand, undated]) {
    assertEquals(isOverdue(other, SINCE_MS + 1_000 * HOUR_MS, HOUR_MS), false);
  }
});

Deno.test("overdueHolders() names the machines that are overdue, in the order of the document", () => {
  const at = (hours: number, boot?: string): Hold => ({
    since: new Date(SINCE_MS + hours * HOUR_MS).toISOString(),
    ...(boot === undefined ? {} : { boot }),
    extra: {},
  });
  const semaphore: Semaphore = {
    ...FRESH,
    max: 5,
    holders: ["a", "b", "c", "d", "e"],
    holds: new Map([["e", at(0, "b1")], ["a", at(1, "b2")], ["b", at(5, "b3")], ["c", at(0)]]),
  };
  assertEquals(overdueHolders(semaphore, SINCE_MS + 6 * HOUR_MS, 2 * HOUR_MS), ["a", "e"]);
  assertEquals(overdueHolders(FRESH, SINCE_MS, 0), []);
});
