import { assertEquals } from "@std/assert";
import { plainLine, quoted, REASON_LENGTH_LIMIT, reasonFault } from "../lib/plain_text.ts";

Deno.test("reasonFault() takes what a person types in one line, and says what else is wrong", () => {
  for (const reason of ["disk swap", " \u00e9, \u{1f512}!", "x".repeat(REASON_LENGTH_LIMIT)]) {
    assertEquals(reasonFault(reason), undefined);
  }
  assertEquals(reasonFault("\u{1f512}".repeat(REASON_LENGTH_LIMIT)), undefined, "characters, not code units");
  const refused: [string, string][] = [
    ["", "a reason must not be empty"],
    [" \t", "a reason must not be empty"],
    ["x".repeat(201), "a reason must not be longer than 200 characters; this one has 201"],
    ["a\nb", "a reason must not contain control characters"],
    ["\u001b[2J", "a reason must not contain control characters"],
    ["a\ud800", "a reason must be well-formed Unicode"],
  ];
  for (const [reason, fault] of refused) assertEquals(reasonFault(reason), fault);
});

Deno.test("plainLine() makes one bounded line of what a program found", () => {
  assertEquals(plainLine("a\nb\u001b[2J\ud800", 20), "a b [2J\ufffd");
  assertEquals(plainLine("x".repeat(200), 200), "x".repeat(200));
  assertEquals(plainLine("x".repeat(201), 200), `${"x".repeat(197)}...`);
});

Deno.test("quoted() shows a text escaped, and no more of it than one line has room for", () => {
  assertEquals(quoted('a"\n'), '"a\\"\\n"');
  assertEquals(quoted("x".repeat(1_000)), `"${"x".repeat(61)}..."`);
});
