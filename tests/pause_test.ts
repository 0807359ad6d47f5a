/** What stops the grants of a group: pauses, and freezes that were planned. */

import { assertEquals } from "@std/assert";
import { parseSemaphore, serializeSemaphore } from "../lib/document.ts";
import { pauseInForce, type PlannedFreeze } from "../lib/pause.ts";
import { repairSemaphore } from "../lib/repair.ts";
import { acquire, confirm, FRESH, type Hold, renew, type Semaphore } from "../lib/semaphore.ts";

const FROM = "2026-12-20T00:00:00.000Z";
const UNTIL = "2027-01-03T00:00:00.000Z";
const CHRISTMAS: PlannedFreeze = { from: FROM, until: UNTIL, name: "Christmas", by: "anna@desk", extra: {} };
const FROZEN: Semaphore = { ...FRESH, freezes: [CHRISTMAS] };
const DURING = Date.parse("2026-12-24T12:00:00Z");
const HOLD: Hold = { boot: "b1", grant: "g", via: "fleet-lock", phase: "granted", extra: {} };
const HELD: Semaphore = { ...FRESH, holders: ["A"], holds: new Map([["A", HOLD]]) };
const PROOF = { holder: "A", boot: "b1", grant: "g" };

Deno.test("acquire() grants nothing from the first moment of a freeze until the one that ends it, of the group or of all", () => {
  const kindAt = (own: Semaphore, all: Semaphore, now: number) =>
    acquire(own, { holder: "A", hold: HOLD, all, now }).kind;
  for (const [own, all] of [[FROZEN, FRESH], [FRESH, FROZEN]] as const) {
    assertEquals(kindAt(own, all, Date.parse(FROM) - 1), "granted");
    assertEquals(kindAt(own, all, Date.parse(FROM)), "paused");
    assertEquals(kindAt(own, all, Date.parse(UNTIL) - 1), "paused");
    assertEquals(kindAt(own, all, Date.parse(UNTIL)), "granted");
  }
});

Deno.test("confirm() and renew() refuse a slot that was granted before the freeze began", () => {
  for (const [own, all] of [[{ ...HELD, freezes: [CHRISTMAS] }, FRESH], [HELD, FROZEN]] as const) {
    const confirmed = confirm(own, PROOF, "mark", { all, now: DURING });
    assertEquals(confirmed.kind === "frozen" && [confirmed.all, confirmed.pause.reason], [
      all === FROZEN,
      "Christmas",
    ]);
    assertEquals(renew(own, { holder: "A", boot: "b1" }, { all, now: DURING }).kind, "frozen");
    assertEquals(confirm(own, PROOF, "mark", { all, now: Date.parse(UNTIL) }).kind, "confirmed");
  }
  // a pause lets those go on that hold a slot
  const paused = { ...HELD, paused: { extra: {} } };
  assertEquals(confirm(paused, PROOF, "mark", { all: paused, now: DURING }).kind, "confirmed");
});

Deno.test("pauseInForce() tells of a pause and a freeze the one that ends last, so that nobody wakes too early", () => {
  const later = { until: "2027-02-01T00:00:00Z", extra: {} };
  const sooner = { until: "2026-12-25T00:00:00Z", extra: {} };
  assertEquals(pauseInForce({ ...FROZEN, paused: later }, DURING), later);
  assertEquals(pauseInForce({ ...FROZEN, paused: { extra: {} } }, DURING), { extra: {} });
  assertEquals(pauseInForce({ ...FROZEN, paused: sooner }, DURING), {
    since: FROM,
    until: UNTIL,
    by: "anna@desk",
    reason: "Christmas",
    frozen: true,
    extra: {},
  });
});

Deno.test("a document keeps its freezes with what it does not know of them, and refuses those that make no sense", () => {
  const text = serializeSemaphore({ ...FROZEN, freezes: [{ ...CHRISTMAS, extra: { ticket: 7 } }] });
  assertEquals(serializeSemaphore(parseSemaphore(text)), text);
  const start = '{"semaphore":1,"max":1,"holders":[]';
  const wrong = `${start},"freezes":[{"from":"${FROM}","until":"${UNTIL}","name":"a"},{"from":"soon"},` +
    `{"from":"${UNTIL}","until":"${FROM}","name":"b"},{"from":"${FROM}","until":"${UNTIL}","name":"a"}]}`;
  const { next, changes } = repairSemaphore(wrong);
  assertEquals(next.freezes?.map(({ name }) => name), ["a"]);
  assertEquals(changes.length, 3);
});
