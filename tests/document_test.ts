/** The document of a semaphore: how it is read and written, what is refused, and that nothing gets lost on the way. */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { flat, parseSemaphore, serializeSemaphore } from "../lib/document.ts";
import {
  acquire,
  compareCodePoints,
  confirm,
  FRESH,
  GRANTED,
  type Hold,
  holderFault,
  MAX_LIMIT,
  REBOOTING,
  type Semaphore,
  SemaphoreError,
  setMax,
  unlock,
} from "../lib/semaphore.ts";

/** A change as somebody recorded it. */
const CHANGED = {
  at: "2026-01-01T00:00:00Z",
  by: "anna@desk",
  what: "unlock",
  machine: "m1",
  reason: "a new disk",
  extra: {},
};
/** A hold that a daemon took under the boot `boot`. */
function hold(
  boot: string,
  grant = `grant of ${boot}`,
): Hold & { readonly boot: string; readonly grant: string } {
  return { boot, grant, phase: GRANTED, since: "2026-05-21T23:00:04.120Z", extra: {} };
}

function faultsOf(text: string): readonly string[] {
  return assertThrows(() => parseSemaphore(text), SemaphoreError).faults;
}

Deno.test("serializeSemaphore() writes a fresh group as the old program did", () => {
  assertEquals(serializeSemaphore(FRESH), '{"semaphore":1,"max":1,"holders":[]}');
});

Deno.test("parseSemaphore() reads what the old program wrote, null for an empty list too", () => {
  const held = '{"semaphore":0,"max":1,"holders":["69d27b356a94476da859461d3a3bc6fd"]}';
  assertEquals(parseSemaphore(held).holders, ["69d27b356a94476da859461d3a3bc6fd"]);
  assertEquals(parseSemaphore('{"semaphore":1,"max":1,"holders":null}'), FRESH);
  assertEquals(parseSemaphore('{"semaphore":1,"max":1}'), FRESH);
});

Deno.test("serializeSemaphore() keeps what it does not know (fault 12 of the old locksmith: unknown fields were dropped on write)", () => {
  const text = '{"semaphore":1,"max":2,"holders":["A"],' +
    '"holds":{"A":{"boot":"b1","grant":"g","rack":{"row":7}}},' +
    '"paused":{"reason":"freeze","ticket":[1,null]},' +
    '"__proto__":{"theirs":true},"owner":"team \\u00e9","generation":12345678901234567890,"ratio":1.50}';
  const next = setMax(parseSemaphore(text), 3);
  assertEquals(
    serializeSemaphore(next),
    text.replace('"semaphore":1,"max":2', '"semaphore":2,"max":3').replace("\\u00e9", "\u00e9").replace(
      "1.50",
      "1.5",
    ),
  );
  const marked = confirm(next, { holder: "A", boot: "b1", grant: "g" }, "mark", { all: FRESH, now: 0 });
  assert(marked.kind === "confirmed");
  assertEquals(marked.next.holds.get("A"), {
    boot: "b1",
    confirm: "mark",
    grant: "g",
    phase: REBOOTING,
    extra: { rack: { row: 7 } },
  });
});

Deno.test("parseSemaphore() refuses a count that does not fit its list (fault 12 of the old locksmith: the two were never reconciled)", () => {
  assertEquals(faultsOf('{"semaphore":1,"max":1,"holders":["A"]}'), [
    '"semaphore" is 1, but max 1 minus 1 holders is 0',
  ]);
  assertEquals(faultsOf('{"max":1,"holders":[]}'), [
    '"semaphore" is missing, but max 1 minus 0 holders is 1',
  ]);
});

Deno.test("serializeSemaphore() writes max less the holders as the count, whatever is done", () => {
  fc.assert(fc.property(documents(), fc.string(), fc.nat(), (document, holder, max) => {
    const after = [
      setMax(document, max % MAX_LIMIT),
      ...changes(document, holderFault(holder) === undefined ? holder : "A"),
    ];
    for (const next of after) {
      const written = JSON.parse(serializeSemaphore(next));
      assertEquals(written.semaphore, written.max - written.holders.length);
      assertEquals(written.holders, [...new Set<string>(written.holders)].sort(compareCodePoints));
    }
  }));
});

Deno.test("parseSemaphore() names every fault at once", () => {
  assertEquals(
    faultsOf(
      '{"semaphore":"1","max":2.5,"holders":["b","a","a","", 7],"holds":{"z":{"since":"soon"},"a":[]},"paused":true}',
    ),
    [
      '"max" is 2.5, not a whole number from 0 to 2147483647',
      `"holders" has "": a holder's name must not be empty`,
      `"holders" has 7: a holder's name must be a string`,
      '"holders" is not sorted: "b" comes before "a"',
      '"holders" has "a" twice',
      '"holds" has "z", which is not in "holders"',
      '"since" in "holds" of "z" is "soon", not a time such as 2015-05-21T23:00:00Z',
      '"holds" has "a", which is not in "holders"',
      '"holds" of "a" is [], not an object',
      '"paused" is true, not an object',
    ],
  );
});

Deno.test("parseSemaphore() refuses what is no semaphore at all", () => {
  const texts: [string, RegExp][] = [
    ["", /^it is not JSON \(/],
    ["garbage", /^it is not JSON \(/],
    ['{"semaphore":1', /^it is not JSON \(/],
    ["null", /^it is null, not a JSON object$/],
    ["[]", /^it is \[\], not a JSON object$/],
    ["3", /^it is 3, not a JSON object$/],
    ['{"total_slots":1}', /^"max" is missing, not a whole number from 0 to 2147483647$/],
    ['{"semaphore":-1,"max":-1,"holders":[]}', /^"max" is -1, not a whole number/],
    ['{"semaphore":2147483648,"max":2147483648,"holders":[]}', /^"max" is 2147483648, not a whole number/],
    ['{"semaphore":1,"max":1,"holders":{}}', /^"holders" is \{\}, not a list$/],
  ];
  for (const [text, expected] of texts) {
    const [fault = "", ...more] = faultsOf(text);
    assertEquals([expected.test(fault), more], [true, []], `${text}: ${fault}`);
  }
});

Deno.test("serializeSemaphore() lets no wrong document out", () => {
  const wrong: Semaphore[] = [
    { ...FRESH, holders: ["b", "a"] },
    { ...FRESH, holders: ["a", "a"] },
    { ...FRESH, max: 1.5 },
    { ...FRESH, holds: new Map([["a", hold("b1")]]) },
    { ...FRESH, extra: { max: 7, semaphore: 1 } },
  ];
  for (const document of wrong) assertThrows(() => serializeSemaphore(document), SemaphoreError);
});

Deno.test("parseSemaphore() of what serializeSemaphore() wrote is the same document, unknown fields too", () => {
  fc.assert(fc.property(documents(), (document) => {
    const text = serializeSemaphore(document);
    const read = parseSemaphore(text);
    assertEquals(read, document);
    assertEquals(serializeSemaphore(read), text);
  }));
});

Deno.test("parseSemaphore() refuses any text, or reads a document that can be written", () => {
  const words = fc.constantFrom("semaphore", "max", "holders", "holds", "paused", "a", "__proto__");
  const values = fc.oneof(fc.integer({ min: -2, max: 3 }), fc.jsonValue(), fc.array(fc.string()));
  fc.assert(fc.property(fc.dictionary(words, values), (object) => {
    let read: Semaphore;
    try {
      read = parseSemaphore(JSON.stringify(object));
    } catch (error) {
      assert(error instanceof SemaphoreError && error.faults.length > 0);
      return;
    }
    assertEquals(parseSemaphore(serializeSemaphore(read)), read);
  }));
});

// ------------------------------------------------------------------------------------------------------- the last change

Deno.test("parseSemaphore() reads the last change that serializeSemaphore() wrote", () => {
  const text = serializeSemaphore({ ...FRESH, changed: CHANGED });
  assertEquals(
    text,
    '{"semaphore":1,"max":1,"holders":[],"changed":{"at":"2026-01-01T00:00:00Z","by":"anna@desk","what":"unlock",' +
      '"machine":"m1","reason":"a new disk"}}',
  );
  assertEquals(parseSemaphore(text).changed, CHANGED);
  assertEquals(parseSemaphore('{"semaphore":1,"max":1,"holders":[],"changed":{}}').changed, { extra: {} });
  assertEquals(
    parseSemaphore('{"semaphore":1,"max":1,"holders":[]}').changed,
    undefined,
    "an older version's",
  );
});

Deno.test("parseSemaphore() keeps what a newer version records of a change", () => {
  const text =
    '{"semaphore":1,"max":1,"holders":[],"changed":{"what":"dance","from":"10.0.0.1","n":12345678901234567890}}';
  const { changed } = parseSemaphore(text);
  assertEquals(changed?.what, "dance");
  assertEquals(serializeSemaphore(parseSemaphore(text)), text);
});

Deno.test("parseSemaphore() refuses a last change that is none", () => {
  const faults: [string, string][] = [
    ["7", '"changed" is 7, not an object'],
    ["null", '"changed" is null, not an object'],
    ['{"by":1}', '"by" in "changed" is 1, not a string'],
    ['{"at":"soon"}', '"at" in "changed" is "soon", not a time such as 2015-05-21T23:00:00Z'],
  ];
  for (const [changed, fault] of faults) {
    const text = `{"semaphore":1,"max":1,"holders":[],"changed":${changed}}`;
    assertEquals(assertThrows(() => parseSemaphore(text), SemaphoreError).faults, [fault]);
  }
});

Deno.test("flat() writes what is known of a record and what is not beside each other", () => {
  assertEquals(flat({ by: "anna", extra: { color: "red" } }), { by: "anna", color: "red" });
  assertEquals(flat({ extra: {} }), {});
  assert(!("extra" in flat({ extra: { more: 1 } })));
});

/** Every document that the rules make of this one for this holder. */
function changes(document: Semaphore, holder: string): Semaphore[] {
  const decisions = [
    acquire(document, { holder, hold: hold("b1"), all: FRESH, now: 0 }),
    confirm(document, { holder, boot: "b1", grant: "grant of b1" }, "mark", { all: FRESH, now: 0 }),
    ...document.holders.map((id) => unlock(document, id)),
  ];
  return decisions.flatMap((decision) => "next" in decision ? [decision.next] : []);
}

/** Sound documents of every kind, with fields that nobody knows. */
function documents(): fc.Arbitrary<Semaphore> {
  // JSON has one zero, and what is read of -0 must not be asked to differ
  const json = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)));
  const unknownFields = (known: readonly string[]) =>
    fc.dictionary(fc.string().filter((name) => !known.includes(name)), json, { noNullPrototype: true });
  const text = fc.string({ unit: "grapheme" });
  const since = fc.date({ noInvalidDate: true, min: new Date(0), max: new Date("2999-12-31T00:00:00Z") }).map(
    (date) => date.toISOString(),
  );
  const record = { since, by: text, reason: text };
  const hold: fc.Arbitrary<Hold> = fc.record({
    ...{ ...record, host: text, boot: text, phase: text, grant: text, confirm: text },
    extra: unknownFields(["host", "boot", "since", "by", "reason", "phase", "grant", "confirm"]),
  }, { requiredKeys: ["extra"] });
  const pause = fc.record({ ...record, extra: unknownFields(["since", "by", "reason"]) }, {
    requiredKeys: ["extra"],
  });
  const changed = fc.record({
    ...{ at: since, by: text, what: text, machine: text, reason: text },
    extra: unknownFields(["at", "by", "what", "machine", "reason"]),
  }, { requiredKeys: ["extra"] });
  const name = text.filter((text) => holderFault(text) === undefined);
  return fc.record({
    max: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: MAX_LIMIT })),
    holders: fc.uniqueArray(name, { maxLength: 6 }).map((names) => names.sort(compareCodePoints)),
    details: fc.array(fc.option(hold, { nil: undefined }), { minLength: 6, maxLength: 6 }),
    pause: fc.option(pause, { nil: undefined }),
    changed: fc.option(changed, { nil: undefined }),
    extra: unknownFields(["semaphore", "max", "holders", "holds", "paused", "changed"]),
  }).map(({ max, holders, details, pause, changed, extra }) => ({
    max,
    holders,
    holds: new Map(holders.flatMap((id, i) => details[i] === undefined ? [] : [[id, details[i]] as const])),
    ...(pause === undefined ? {} : { paused: pause }),
    ...(changed === undefined ? {} : { changed }),
    extra,
  }));
}

/** A document that is long enough to be read by what is known of the one before. */
function long(holds: Record<string, object>): string {
  const others = Array.from({ length: 30 }, (_, index) => `m${index + 10}`);
  const holders = [...Object.keys(holds), ...others].sort();
  const all = Object.fromEntries(
    others.map((id) => [id, { host: `${id}.example.org`, boot: `boot of "${id}"` }]),
  );
  return JSON.stringify({ semaphore: 0, max: holders.length, holders, holds: { ...holds, ...all } });
}

Deno.test("parseSemaphore() reads a long document the same in every form, whatever was read before", () => {
  const usual = long({ A: { host: "web1", phase: GRANTED } });
  const texts = [
    usual,
    long({}),
    long({ A: { host: "web1", phase: REBOOTING }, B: { host: "web2" } }),
    long({ A: { host: "web1", rack: { row: 7 } } }),
    // what stands there twice counts as it stands last
    usual.replace('"holds":{', '"holds":{"A":{"since":"yesterday"},'),
    usual.replace(/}$/, ',"holds":{}}'),
    usual.replace(/}$/, ',"holders":[]}').replace('"semaphore":0', '"semaphore":31').replace(
      /"holds":\{.*\}\},/,
      "",
    ),
    usual.replace('"host":"web1"', String.raw`"host":"w\u0065b1"`),
    usual.replace("{", "{ "),
    usual.replace(/}$/, ',"owner":12345678901234567890}'),
  ];
  const otherForm = (text: string) => text.replace("{", "{ ");
  const anew = texts.map((text) => parseSemaphore(otherForm(text)));
  for (const before of texts) {
    for (const [index, text] of texts.entries()) {
      parseSemaphore(before);
      assertEquals(parseSemaphore(text), anew[index]);
    }
  }
  for (const bad of [usual.replace('"holds":{"A"', '"holds":{"C"'), usual.replace('"web1"', "7")]) {
    parseSemaphore(usual);
    assertEquals(faultsOf(bad), faultsOf(otherForm(bad)));
  }
  assertStringIncludes(faultsOf(`${usual}}`).join(), `at position ${usual.length} `);
});

Deno.test("parseSemaphore() checks each hold, also one that stood there a moment ago in another way", () => {
  const text = (hold: object) => long({ A: hold });
  const hold = { host: "web1", since: "2026-05-21T21:00:00Z", reason: "kernel" };
  const read = (hold: object) => {
    parseSemaphore(text({ host: "web1", since: "2026-05-21T21:00:00Z", reason: "kernel" }));
    return parseSemaphore(text(hold)).holds.get("A");
  };
  const changed: Record<string, unknown>[] = [
    hold,
    { ...hold, reason: "firmware" },
    { host: "web1" },
    { ...hold, by: "anna" },
  ];
  for (const each of changed) assertEquals(read(each), { ...each, extra: {} });
  assertEquals(read({ ...hold, novel: 1 }), { ...hold, extra: { novel: 1 } });
  assertEquals(read({ ...hold, extra: {} }), { ...hold, extra: { extra: {} } });
  assertThrows(() => read({ ...hold, since: "yesterday" }), SemaphoreError);
  assertThrows(() => read({ ...hold, reason: 7 }), SemaphoreError);
  assertThrows(() => read([]), SemaphoreError);
});
