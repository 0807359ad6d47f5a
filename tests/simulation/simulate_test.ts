/** Histories by the thousand: all is well in the quick set, and it tries what it says. */

import { assertEquals, assertGreater } from "@std/assert";
import { EXIT, simulate, unexercised } from "./simulate.ts";
import { FAULT_KINDS } from "./mischief.ts";

/** So many histories a run of the tests plays; `deno task simulate --histories` plays more. */
const QUICK_HISTORIES = 1_000;

Deno.test("simulate() finds nothing wrong in the quick set, puts every check to the test and makes every fault", async () => {
  const figures = await simulate(1, QUICK_HISTORIES);
  assertEquals(figures.failure, null);
  assertEquals(figures.histories, QUICK_HISTORIES);
  assertEquals(unexercised(figures), []);
  assertEquals(FAULT_KINDS.filter((kind) => figures.faults[kind] === 0), []);
  assertGreater(figures.unknownOutcomes, 0);
});

Deno.test("unexercised() names the checks that no history put to the test", async () => {
  const figures = await simulate(1, 20);
  const once = { I1: 1, I2: 1, I3: 1, I5: 1, I6: 1, I7: 1, I8: 1, L1: 1, S1: 1, S2: 1, S3: 1 };
  assertEquals(unexercised({ ...figures, exercised: { ...once, I4: 0, L2: 0 } }), ["I4", "L2"]);
});

Deno.test("EXIT tells a broken promise from a stuck fleet and from a program that threw", () => {
  assertEquals([EXIT.safety, EXIT.liveness, EXIT.crash], [129, 128, 127]);
});
