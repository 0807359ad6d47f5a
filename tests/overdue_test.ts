import { assertEquals } from "@std/assert";
import { overdueAfterMs } from "../lib/overdue.ts";

const MINUTE_MS = 60_000;

Deno.test("overdueAfterMs() is three times what nearly all of the last reboots took, and never less than configured", () => {
  const most = Array.from({ length: 19 }, (_, i) => (i + 1) * MINUTE_MS);
  const outlier = 9_000 * MINUTE_MS;
  assertEquals(overdueAfterMs([...most, outlier], 10 * MINUTE_MS), 57 * MINUTE_MS);
  assertEquals(overdueAfterMs([outlier, ...most], 60 * MINUTE_MS), 60 * MINUTE_MS);
});

Deno.test("overdueAfterMs() is what is configured where the history has few reboots", () => {
  const few = Array.from({ length: 19 }, () => 60 * MINUTE_MS);
  assertEquals(overdueAfterMs(few, MINUTE_MS), MINUTE_MS);
  assertEquals(overdueAfterMs([], MINUTE_MS), MINUTE_MS);
});
