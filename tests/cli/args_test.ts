/** How a command line is taken apart, and what is said of a wrong one. */

import { assertEquals } from "@std/assert";
import { type CommandLine, type OptionSpec, parseCommandLine } from "../../lib/cli/args.ts";

const GLOBAL: readonly OptionSpec[] = [
  { name: "endpoint", value: "URL", repeatable: true, help: "" },
  { name: "group", value: "NAME", help: "" },
  { name: "debug", help: "" },
  { name: "help", help: "" },
];
const COMMANDS = [
  { name: "status", options: [{ name: "json", help: "" }, { name: "verbose", help: "" }] },
  { name: "lock", options: [{ name: "reason", value: "TEXT", help: "" }] },
  { name: "daemon", options: [{ name: "zone", value: "ZONE", help: "" }] },
];

function parse(...argv: string[]): CommandLine {
  return parseCommandLine(argv, GLOBAL, COMMANDS);
}

/** The command with its words and options, of a command line that has to be sound. */
function sound(...argv: string[]): unknown[] {
  const { command, positionals, options, faults } = parse(...argv);
  assertEquals(faults, [], argv.join(" "));
  return [command, positionals, Object.fromEntries(options)];
}

function faults(...argv: string[]): readonly string[] {
  return parse(...argv).faults;
}

Deno.test("parseCommandLine() takes options before and after the command, one dash or two, with = or without", () => {
  const expected = ["lock", ["A"], { group: ["db"], reason: ["new disk"] }];
  const lines = [
    ["lock", "A", "--group", "db", "--reason", "new disk"],
    ["-group", "db", "lock", "-reason=new disk", "A"],
    ["--group=db", "-reason", "new disk", "lock", "A"],
    ["lock", "--reason", "new disk", "A", "-group=db"],
  ];
  for (const line of lines) assertEquals(sound(...line), expected, line.join(" "));
});

Deno.test("parseCommandLine() keeps every value of a repeated option, in order", () => {
  assertEquals(sound("status", "--endpoint", "http://a", "-endpoint=http://b,http://c"), [
    "status",
    [],
    { endpoint: ["http://a", "http://b,http://c"] },
  ]);
});

Deno.test("parseCommandLine() gives a switch true, or what it is set to", () => {
  assertEquals(sound("status", "-json", "--debug=false"), ["status", [], {
    json: ["true"],
    debug: ["false"],
  }]);
});

Deno.test("parseCommandLine() leaves values as they are: empty, negative, with = and blanks and newlines", () => {
  for (const value of ["", "-5m", "a=b", " ", "a\nb", "007", "1e3", "-", "--x"]) {
    assertEquals(
      sound("lock", `--reason=${value}`),
      ["lock", [], { reason: [value] }],
      JSON.stringify(value),
    );
  }
  assertEquals(sound("lock", "--reason", "-5m", "0x1F"), ["lock", ["0x1F"], { reason: ["-5m"] }]);
});

Deno.test("parseCommandLine() takes words behind -- for words, and negative numbers too", () => {
  assertEquals(sound("lock", "--", "--group", "-x"), ["lock", ["--group", "-x"], {}]);
  assertEquals(sound("lock", "-1", "-"), ["lock", ["-1", "-"], {}]);
});

Deno.test("parseCommandLine() knows -h and -? for help, and a line without a command", () => {
  for (const option of ["-h", "-?", "--help", "-help"]) {
    assertEquals(sound(option), [undefined, [], { help: ["true"] }]);
  }
  assertEquals(sound(), [undefined, [], {}]);
  assertEquals(sound("stauts", "x"), ["stauts", ["x"], {}]);
});

Deno.test("parseCommandLine() of a program that is one command takes every word for an argument", () => {
  const { command, positionals } = parseCommandLine(["status", "-zone", "UTC"], GLOBAL, COMMANDS, "daemon");
  assertEquals([command, positionals], ["daemon", ["status"]]);
});

Deno.test("parseCommandLine() names every fault at once, each with what is meant or allowed", () => {
  assertEquals(faults("status", "--gruop", "-jsn", "--json=maybe", "--xyzzy=1", "--endpoint"), [
    "unknown option --gruop, did you mean '--group'?",
    "unknown option -jsn, did you mean '--json'?",
    "option --json takes no value: 'maybe'",
    "unknown option --xyzzy",
    "option --endpoint needs a value: --endpoint=URL",
  ]);
});

Deno.test("parseCommandLine() takes no option for the value of another", () => {
  assertEquals(faults("status", "--group", "--json"), ["option --group needs a value: --group=NAME"]);
  assertEquals(faults("status", "--group", "--"), ["option --group needs a value: --group=NAME"]);
});

Deno.test("parseCommandLine() tells an option of another command, and whose it is", () => {
  assertEquals(faults("status", "--reason", "x"), [
    "option --reason is not for 'status'; it belongs to 'lock'",
  ]);
  assertEquals(faults("--zone=UTC"), ["option --zone is not for no command; it belongs to 'daemon'"]);
  // a command that is none is fault enough
  assertEquals(faults("stauts", "--reason", "x"), []);
});

Deno.test("parseCommandLine() keeps names that objects have of their own for faults", () => {
  assertEquals(faults("--constructor=1", "--__proto__", "status", "--=x"), [
    "unknown option --constructor",
    "unknown option --__proto__",
    "unknown option --",
  ]);
});
