/** The rules of output: one line is one line, and nothing from outside steers a terminal or the journal. */

import { assertEquals } from "@std/assert";
import { logLine, oneLine, printError, table } from "../../lib/cli/output.ts";

const NOW = Date.parse("2026-05-21T23:00:04.120Z");

Deno.test("logLine() is stamped for a person, and has the priority of syslog for the journal", () => {
  assertEquals(logLine("info", "got a slot", false, NOW), "2026-05-21T23:00:04.120Z info: got a slot\n");
  const levels = ["error", "warning", "notice", "info", "debug"] as const;
  assertEquals(levels.map((level) => logLine(level, "x", true, NOW)), [
    "<3>x\n",
    "<4>x\n",
    "<5>x\n",
    "<6>x\n",
    "<7>x\n",
  ]);
});

Deno.test("logLine() stays one line whatever the text has in it", () => {
  assertEquals(logLine("info", "a\n<0>b\r\u001b[2J\u2028", true, NOW), "<6>a <0>b\\u000d\\u001b[2J\\u2028\n");
});

Deno.test("oneLine() leaves what can be shown", () => {
  assertEquals(oneLine("\u00e9 \u65e5\u672c \u{1f512} \"'\\"), "\u00e9 \u65e5\u672c \u{1f512} \"'\\");
  assertEquals(oneLine("a\tb\u009bc\u007f"), "a b\\u009bc\\u007f");
});

Deno.test("table() aligns its columns, and ends no line with blanks", () => {
  assertEquals(
    table([["A", "LONG", "C"], ["long", "", ""], ["\u{1f512}", "b", "c"]]),
    [
      "A     LONG  C\n",
      "long\n",
      "\u{1f512}     b     c\n",
    ].join(""),
  );
  assertEquals(table([]), "");
});

Deno.test("printError() says what could not be done, then what to do next, on stderr", () => {
  const lines: string[] = [];
  const output = { out: () => lines.push("out"), err: (text: string) => lines.push(text) };
  printError(output, "cannot read\nkey", "look\u001b there");
  printError(output, "no hint");
  assertEquals(lines, [
    "locksmith: error: cannot read key\n",
    "locksmith: hint: look\\u001b there\n",
    "locksmith: error: no hint\n",
  ]);
});
