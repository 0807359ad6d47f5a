/** The old program's logic in virtual time, held to what is known of the old program. */

import { assert, assertEquals } from "@std/assert";
import { Random } from "../../lib/simulation/virtual_time.ts";
import { oldRollOut } from "./old_locksmith.ts";

const REBOOT_MS = 60_000;

function roll(machines: number, max: number, seed = 1) {
  const rolled = oldRollOut({ machines, max, rebootMs: REBOOT_MS }, new Random(seed));
  return { ...rolled, ideals: rolled.totalMs / (machines * REBOOT_MS / max) };
}

function assertWithin(value: number, from: number, to: number): void {
  assert(value >= from && value <= to, `${value} is not between ${from} and ${to}`);
}

Deno.test("oldRollOut() of one machine takes two requests each way, its reboot and the delay of the unlock", () => {
  const { totalMs, requestsPerMachine, lostSwaps } = roll(1, 1);
  assertEquals(requestsPerMachine, 4);
  assertEquals(lostSwaps, 0);
  assertWithin(totalMs, REBOOT_MS + 5_000, REBOOT_MS + 5_300);
});

Deno.test("oldRollOut() leaves a slot idle until somebody happens to look: the second of two waits for the fifth try", () => {
  // tries come at 0, 10, 30, 70, 150 s; the slot is back after 65 s, and the second machine has it at 70
  const { totalMs } = roll(2, 1);
  assertWithin(totalMs, 135_000, 135_400);
});

Deno.test("oldRollOut() shows fault 14 of the old locksmith: a fleet of 1,000 takes 5 times the ideal, 548 requests a host", () => {
  const { ideals, requestsPerMachine, lostSwaps } = roll(1_000, 1);
  assertWithin(ideals, 4.8, 5.1);
  assertWithin(requestsPerMachine, 510, 560);
  // how many depends on how far the clocks are apart; there were 39,296 once
  assertWithin(lostSwaps, 10_000, 50_000);
});

Deno.test("oldRollOut() gains nothing from more slots: each wave of tries fills them once", () => {
  for (const max of [5, 20]) assertWithin(roll(1_000, max).ideals, 4.5, 6.5);
});

Deno.test("oldRollOut() grants in no order, and every machine gets its slot all the same", () => {
  for (const seed of [1, 2, 3]) {
    const { totalMs, requestsPerMachine } = roll(50, 3, seed);
    assert(Number.isFinite(totalMs) && requestsPerMachine > 4);
  }
});
