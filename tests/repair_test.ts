/** What is kept of a document that reading refuses, and that every change to it is named. */

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { repairSemaphore } from "../lib/repair.ts";
import { SemaphoreError } from "../lib/semaphore.ts";
import { parseSemaphore, serializeSemaphore } from "../lib/document.ts";

/** The mended document as it would be written, and what is said of it. */
function mend(text: string): [string, readonly string[]] {
  const { next, changes } = repairSemaphore(text);
  return [serializeSemaphore(next), changes];
}

function refusal(text: string): string {
  return assertThrows(() => repairSemaphore(text), SemaphoreError).message;
}

Deno.test("repairSemaphore() recounts, sorts and drops duplicates, and says so", () => {
  assertEquals(mend('{"semaphore":7,"max":4,"holders":["b","a","b"]}'), [
    '{"semaphore":2,"max":4,"holders":["a","b"]}',
    [
      'holders: "b" was listed twice',
      "holders: sorted",
      "semaphore: 7 becomes 2 (max 4 minus 2 holders)",
    ],
  ]);
});

Deno.test("repairSemaphore() of a count that is not there counts", () => {
  assertEquals(mend('{"max":1,"holders":["a"]}'), [
    '{"semaphore":0,"max":1,"holders":["a"]}',
    ["semaphore: missing becomes 0 (max 1 minus 1 holders)"],
  ]);
});

Deno.test("repairSemaphore() never frees a slot: more holders than max stay", () => {
  assertEquals(mend('{"semaphore":0,"max":1,"holders":["a","b"]}'), [
    '{"semaphore":-1,"max":1,"holders":["a","b"]}',
    ["semaphore: 0 becomes -1 (max 1 minus 2 holders)"],
  ]);
});

Deno.test("repairSemaphore() drops names that no machine can have", () => {
  assertEquals(mend('{"semaphore":0,"max":3,"holders":["a",""," b",7]}'), [
    '{"semaphore":2,"max":3,"holders":["a"]}',
    [
      `holders: "" is dropped (a holder's name must not be empty)`,
      `holders: " b" is dropped (a holder's name must not begin or end with a blank)`,
      `holders: 7 is dropped (a holder's name must be a string)`,
      "semaphore: 0 becomes 2 (max 3 minus 1 holders)",
    ],
  ]);
});

Deno.test("repairSemaphore() drops details of no holder and details that cannot be read; the holder stays", () => {
  assertEquals(
    mend('{"semaphore":1,"max":3,"holders":["a","b"],"holds":{"a":{"boot":7},"b":{"boot":"b1"},"z":{}}}'),
    [
      '{"semaphore":1,"max":3,"holders":["a","b"],"holds":{"b":{"boot":"b1"}}}',
      [
        'holds: the details of "a" are dropped (they cannot be read); its slot counts as taken by hand',
        'holds: the details of "z" are dropped (it is not a holder)',
      ],
    ],
  );
  assertEquals(mend('{"semaphore":0,"max":1,"holders":["a"],"holds":[]}'), [
    '{"semaphore":0,"max":1,"holders":["a"]}',
    ["holds: [] is dropped (not an object)"],
  ]);
});

Deno.test("repairSemaphore() leaves a group paused whose pause cannot be read", () => {
  assertEquals(mend('{"semaphore":1,"max":1,"holders":[],"paused":true}'), [
    '{"semaphore":1,"max":1,"holders":[],"paused":{}}',
    ["paused: true cannot be read; stays paused, without its details"],
  ]);
});

Deno.test("repairSemaphore() keeps fields that it does not know, numbers of any size too", () => {
  assertEquals(
    mend('{"semaphore":5,"max":1,"holders":[],"rack":{"row":12345678901234567890}}')[0],
    '{"semaphore":1,"max":1,"holders":[],"rack":{"row":12345678901234567890}}',
  );
});

Deno.test("repairSemaphore() guesses neither a max nor who holds a slot", () => {
  assertEquals(refusal('{"total_slots":1}'), '"max" cannot be read, so the limit is unknown');
  assertEquals(refusal('{"max":-1,"holders":[]}'), '"max" cannot be read, so the limit is unknown');
  assertEquals(
    refusal('{"max":1,"holders":"a"}'),
    '"holders" is not a list, so the holders are unknown',
  );
  assertEquals(refusal("[]"), "it is [], not a JSON object");
});

Deno.test("repairSemaphore() makes a sound document of any that has a max, and changes no sound one", () => {
  const name = fc.oneof(fc.constantFrom("a", "b", "c", ""), fc.jsonValue({ maxDepth: 1 }));
  const detail = fc.oneof(
    fc.dictionary(fc.constantFrom("boot", "since", "rack"), fc.constantFrom("x", 1)),
    fc.jsonValue({ maxDepth: 1 }),
  );
  const documents = fc.record({
    semaphore: fc.oneof(fc.integer({ min: -1, max: 3 }), fc.jsonValue({ maxDepth: 1 })),
    max: fc.integer({ min: 0, max: 3 }),
    holders: fc.oneof(fc.array(name), fc.constant(null)),
    holds: fc.dictionary(fc.constantFrom("a", "b", "z"), detail),
    paused: fc.jsonValue({ maxDepth: 1 }),
    rack: fc.integer(),
  }, { requiredKeys: ["max"] });
  fc.assert(fc.property(documents, (document) => {
    const [text, changes] = mend(JSON.stringify(document));
    assertEquals(serializeSemaphore(parseSemaphore(text)), text);
    assertEquals(mend(text), [text, []]);
    if (changes.length === 0) assertEquals(parseSemaphore(JSON.stringify(document)), parseSemaphore(text));
    else assertThrows(() => parseSemaphore(JSON.stringify(document)), SemaphoreError);
  }));
});
