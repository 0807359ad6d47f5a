/**
 * What a document says of its last change, of pauses, and of machines that do not come back.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  acquire,
  confirm,
  FRESH,
  type Hold,
  isOverdue,
  overdueHolders,
  pause,
  release,
  resume,
  type Semaphore,
  SemaphoreError,
  setMax,
} from "../lib/semaphore.ts";
import { flat, parseSemaphore, serializeSemaphore } from "../lib/document.ts";

const HOUR_MS = 3_600_000;
const SINCE = "2026-01-01T00:00:00Z";
const SINCE_MS = Date.parse(SINCE);
const CHANGED = {
  at: SINCE,
  by: "anna@desk",
  what: "unlock",
  machine: "m1",
  reason: "a new disk",
  extra: {},
};
const held = (hold: Partial<Hold>): Semaphore => ({
  ...FRESH,
  holders: ["m1"],
  holds: new Map([["m1", { extra: {}, ...hold }]]),
});

Deno.test("parseSemaphore() reads the last change that serializeSemaphore() wrote", () => {
  const text = serializeSemaphore({ ...FRESH, changed: CHANGED });
  assertEquals(
    text,
    '{"semaphore":1,"max":1,"holders":[],"changed":{"at":"2026-01-01T00:00:00Z","by":"anna@desk","what":"unlock",' +
      '"machine":"m1","reason":"a new disk"}}',
  );
  assertEquals(parseSemaphore(text).changed, CHANGED);
  assertEquals(parseSemaphore('{"semaphore":1,"max":1,"holders":[],"changed":{}}').changed, { extra: {} });
  assertEquals(
    parseSemaphore('{"semaphore":1,"max":1,"holders":[]}').changed,
    undefined,
    "an older version's",
  );
});

Deno.test("parseSemaphore() keeps what a newer version records of a change", () => {
  const text =
    '{"semaphore":1,"max":1,"holders":[],"changed":{"what":"dance","from":"10.0.0.1","n":12345678901234567890}}';
  const { changed } = parseSemaphore(text);
  assertEquals(changed?.what, "dance");
  assertEquals(serializeSemaphore(parseSemaphore(text)), text);
});

Deno.test("parseSemaphore() refuses a last change that is none", () => {
  const faults: [string, string][] = [
    ["7", '"changed" is 7, not an object'],
    ["null", '"changed" is null, not an object'],
    ['{"by":1}', '"by" in "changed" is 1, not a text'],
    ['{"at":"soon"}', '"at" in "changed" is "soon", not a time such as 2015-05-21T23:00:00Z'],
  ];
  for (const [changed, fault] of faults) {
    const text = `{"semaphore":1,"max":1,"holders":[],"changed":${changed}}`;
    assertEquals(assertThrows(() => parseSemaphore(text), SemaphoreError).faults, [fault]);
  }
});

Deno.test("pause() stops new grants and nothing else; resume() allows them again", () => {
  const paused = { since: SINCE, by: "anna@desk", reason: "a fair", extra: {} };
  const before = { ...held({ boot: "b1", grant: "g1" }), max: 2, extra: { color: "red" } };
  const semaphore = pause(before, paused);
  assertEquals(semaphore, { ...before, paused });
  assertEquals(acquire(semaphore, { holder: "m2", hold: { extra: {} } }), { kind: "paused", pause: paused });
  assertEquals(acquire(semaphore, { holder: "m1", hold: { extra: {} } }).kind, "held");
  assertEquals(confirm(semaphore, { holder: "m1", boot: "b1", grant: "g1" }, "mark").kind, "confirmed");
  assertEquals(release(semaphore, { id: "m1", bootId: "b2", hostname: "host" }).kind, "released");
  assertEquals(setMax(semaphore, 3).paused, paused);
  assertEquals(resume(semaphore), before);
  assertEquals(resume(before), before);
  const again = { reason: "another fair", extra: {} };
  assertEquals(pause(semaphore, again).paused, again, "the new reason replaces the old");
  assertEquals(parseSemaphore(serializeSemaphore(semaphore)), semaphore);
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

Deno.test("flat() writes what is known of a record and what is not beside each other", () => {
  assertEquals(flat({ by: "anna", extra: { color: "red" } }), { by: "anna", color: "red" });
  assertEquals(flat({ extra: {} }), {});
  assert(!("extra" in flat({ extra: { more: 1 } })));
});
