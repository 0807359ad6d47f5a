import { assertEquals } from "@std/assert";
import { backoffMs } from "../lib/backoff.ts";

const RANGE = { first: 250, last: 30_000 };

Deno.test("backoffMs() doubles with each failure up to its limit, and never beyond", () => {
  const longest = [1, 2, 3, 7, 8, 1_000, Infinity].map((failures) => backoffMs(failures, RANGE, 1));
  assertEquals(longest, [250, 500, 1_000, 16_000, 30_000, 30_000, 30_000]);
});

Deno.test("backoffMs() is shortened by chance to a half at most", () => {
  assertEquals([0, 0.5, 1].map((chance) => backoffMs(3, RANGE, chance)), [500, 750, 1_000]);
});
