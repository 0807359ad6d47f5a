/** The rules of output: one line is one line, and nothing from outside steers a terminal or the journal. */

import { assertEquals } from "@std/assert";
import {
  cutTo,
  forJournal,
  logLine,
  oneLine,
  printError,
  printWarning,
  table,
  widthOf,
} from "../../lib/cli/output.ts";

const NOW = Date.parse("2026-05-21T23:00:04.120Z");

Deno.test("logLine() is stamped for a person, and not for the journal, which stamps it itself", () => {
  assertEquals(logLine("info", "got a slot", false, NOW), "2026-05-21T23:00:04.120Z info: got a slot\n");
  assertEquals(logLine("info", "got a slot", true, NOW), "got a slot\n");
});

Deno.test("forJournal() gives each line the priority of syslog, an error's where nothing else is said", () => {
  const lines: string[] = [];
  const output = forJournal({ out: (text) => lines.push(text), err: (text) => lines.push(text) });
  for (const level of ["error", "warning", "notice", "info", "debug", undefined] as const) {
    output.err("x\n", level);
  }
  output.err("Usage\nmore\n", "info");
  printError(output, "away", "look");
  printWarning(output, "old");
  output.out("report\n");
  assertEquals(lines, [
    "<3>x\n",
    "<4>x\n",
    "<5>x\n",
    "<6>x\n",
    "<7>x\n",
    "<3>x\n",
    "<6>Usage\n<6>more\n",
    "<3>locksmith: error: away\n",
    "<6>locksmith: hint: look\n",
    "<4>locksmith: warning: old\n",
    "report\n",
  ]);
});

Deno.test("logLine() stays one line whatever the text has in it", () => {
  assertEquals(logLine("info", "a\n<0>b\r\u001b[2J\u2028", true, NOW), "a <0>b\\u000d\\u001b[2J\\u2028\n");
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
      "\u{1f512}    b     c\n",
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

Deno.test("widthOf() counts the columns of a terminal: wide letters, emoji and flags two, marks none", () => {
  const widths: [string, number][] = [
    ["web1", 4],
    ["\u6771\u4eac", 4],
    ["\uff57\uff45\uff42", 6],
    ["\uff76\uff9e", 2],
    ["e\u0301", 1],
    ["\ud55c\uae00", 4],
    ["\u1112\u1161\u11ab", 2],
    ["\u{1f512}", 2],
    ["\u{1f469}\u200d\u{1f4bb}", 2],
    ["\u{1f1e9}\u{1f1ea}", 2],
    ["\u2764\ufe0f", 2],
    ["\u2026", 1],
    ["\u200b", 0],
    ["\u05e9\u05dc\u05d5\u05dd", 4],
  ];
  assertEquals(widths.map(([text]) => [text, widthOf(text)]), widths);
});

Deno.test("cutTo() fits a text into so many columns, and cuts no character in two", () => {
  const text = "disk \u6771\u4eac \u{1f469}\u200d\u{1f4bb}!";
  assertEquals([13, 12, 11, 10, 9, 8, 7, 1].map((columns) => cutTo(text, columns)), [
    text,
    "disk \u6771\u4eac \u2026",
    "disk \u6771\u4eac \u2026",
    "disk \u6771\u4eac\u2026",
    "disk \u6771\u2026",
    "disk \u6771\u2026",
    "disk \u2026",
    "\u2026",
  ]);
});
