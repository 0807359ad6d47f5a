import { assertEquals } from "@std/assert";
import { Bucket, Buckets } from "../../lib/serve/rate.ts";

const RATE = { perSecond: 5, burst: 10 };

Deno.test("a rested asker may ask as often at once as the burst says, and then as often a second as the rate", () => {
  const bucket = new Bucket(RATE);
  const asked = (at: number, times: number) =>
    Array.from({ length: times }, () => bucket.take(at)).filter((seconds) => seconds === 0).length;
  assertEquals(asked(1_000, 20), 10);
  assertEquals(asked(2_000, 20), 5);
  assertEquals(asked(2_100, 20), 0);
  assertEquals(asked(3_600_000, 20), 10);
});

Deno.test("who has to wait is told for how long, in whole seconds", () => {
  const bucket = new Bucket({ perSecond: 0.25, burst: 1 });
  assertEquals(bucket.take(0), 0);
  assertEquals(bucket.take(0), 4);
  assertEquals(bucket.take(3_000), 1);
  assertEquals(bucket.take(4_000), 0);
});

Deno.test("however many names ask, memory is bounded, and who is being held back is forgotten last", () => {
  let now = 0;
  const buckets = new Buckets(() => now, 100);
  const greedy = buckets.of("greedy", RATE);
  while (greedy.take(now) === 0);
  for (let i = 0; i < 1_000; i++) {
    buckets.of(`name ${i}`, RATE);
    now += 1;
    greedy.take(now);
  }
  assertEquals(buckets.size <= 100, true);
  assertEquals(buckets.of("greedy", RATE), greedy);
});
