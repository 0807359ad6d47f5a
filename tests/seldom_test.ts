/** What is found again at every look is told now and then. */

import { assertEquals } from "@std/assert";
import { REMIND_MS, seldom } from "../lib/seldom.ts";

Deno.test("seldom() tells what holds at once and again every hour, and each text for itself", () => {
  let now = 5;
  const lines: string[] = [];
  const log = seldom((level, text) => lines.push(`${level}: ${text}`), { elapsed: () => now });
  for (; now < REMIND_MS + 6_000; now += 5_000) log("warning", "the file does not count");
  log("warning", "another");
  log("warning", "another");
  assertEquals(lines, [
    "warning: the file does not count",
    "warning: the file does not count",
    "warning: another",
  ]);
});
