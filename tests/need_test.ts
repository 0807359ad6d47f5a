import { assertEquals } from "@std/assert";
import { combineNeed, type Detector, type Need, watchNeed } from "../lib/need.ts";
import { Heard } from "./support/bus.ts";

const NOT: Need = { kind: "not-needed" };
const needed = (...reasons: string[]): Need => ({ kind: "needed", reasons });
const unknown = (...why: string[]): Need => ({ kind: "unknown", why });
const combined = (...needs: Need[]) => combineNeed(new Map(needs.map((need, i) => [`d${i}`, need])));

Deno.test("combineNeed() says needed if any says so, with all their reasons", () => {
  assertEquals(combined(NOT, needed("a"), unknown("x"), needed("b", "c")), needed("a", "b", "c"));
});

Deno.test("combineNeed() never drops a need for want of a reason", () => {
  assertEquals(combined(NOT, needed()), needed("unnamed"));
});

Deno.test("combineNeed() says not needed if one knows that and none says needed", () => {
  assertEquals(combined(unknown("x"), NOT), NOT);
});

Deno.test("combineNeed() says unknown, and who does not know why, if none knows", () => {
  assertEquals(combined(unknown("x"), unknown("y", "z")), unknown("d0: x", "d1: y", "d1: z"));
  assertEquals(combined(), unknown("nothing is asked that could know"));
});

/** A detector that says what the test tells it to. */
function puppet(): { detect: Detector; say: (need: Need) => void } {
  let listener: (need: Need) => void = () => {};
  return {
    say: (need) => listener(need),
    detect: (signal, take) => {
      listener = take;
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
    },
  };
}

Deno.test("watchNeed() waits for all, then tells changes only, and nothing after the abort", async () => {
  const [a, b] = [puppet(), puppet()];
  const stop = new AbortController();
  const heard = new Heard<Need>();
  const done = watchNeed(new Map([["a", a.detect], ["b", b.detect]]), stop.signal, heard.take);
  a.say(NOT);
  assertEquals(heard.all, []);
  b.say(unknown("x"));
  assertEquals(heard.all, [NOT]);
  a.say(NOT);
  b.say(unknown("y"));
  assertEquals(heard.all, [NOT]);
  b.say(needed("r"));
  a.say(unknown("z"));
  assertEquals(heard.all, [NOT, needed("r")]);
  stop.abort();
  a.say(needed("late"));
  await done;
  assertEquals(heard.all, [NOT, needed("r")]);
});

Deno.test("watchNeed() tells a need at once, though others have not answered", async () => {
  const [a, b] = [puppet(), puppet()];
  const stop = new AbortController();
  const heard = new Heard<Need>();
  const done = watchNeed(new Map([["a", a.detect], ["b", b.detect]]), stop.signal, heard.take);
  b.say(needed("r"));
  assertEquals(heard.all, [needed("r")]);
  stop.abort();
  await done;
});

Deno.test("watchNeed() takes a detector that fails for unknown, and goes on with the others", async () => {
  const a = puppet();
  const stop = new AbortController();
  const heard = new Heard<Need>();
  const broken: Detector = () => Promise.reject(new Error("broken"));
  const done = watchNeed(new Map([["a", a.detect], ["b", broken]]), stop.signal, heard.take);
  a.say(unknown("x"));
  assertEquals(await heard.next(), unknown("a: x", "b: it failed: broken"));
  a.say(needed("r"));
  assertEquals(await heard.next(), needed("r"));
  stop.abort();
  await done;
});
