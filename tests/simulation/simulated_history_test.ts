import { assert, assertEquals, assertGreater } from "@std/assert";
import { playHistory } from "./simulated_history.ts";

Deno.test("playHistory() is the same history for the same seed, to the last event", async () => {
  const tell = async (seed: number) => {
    const lines: string[] = [];
    const result = await playHistory(seed, (line) => lines.push(line));
    return { lines, result };
  };
  const [first, again, other] = [await tell(17), await tell(17), await tell(18)];
  assertGreater(first.lines.length, 50);
  assertEquals(again, first);
  assert(first.lines.join() !== other.lines.join(), "another seed is another history");
});
