/** How a command line is taken apart, and what is said of a wrong one. */

import { assertEquals } from "@std/assert";
import { parseLength } from "../../lib/cli/option.ts";
import { type CommandLine, type OptionShape, parseCommandLine } from "../../lib/cli/args.ts";

const OPTIONS: Readonly<Record<string, OptionShape>> = {
  endpoint: { value: "URL", by: ["status"], common: true },
  group: { value: "NAME", by: ["status"], common: true },
  debug: { by: ["status"], common: true },
  help: { by: [], common: true },
  json: { by: ["status"] },
  verbose: { by: ["status"] },
  reason: { value: "TEXT", by: ["lock", "pause"] },
  zone: { value: "ZONE", by: ["daemon"], variable: "prefixed" },
  "reboot-window-start": { aliases: ["start"], value: "TIME", by: ["daemon"] },
  wait: { value: "DURATION", optional: true, by: ["lock"], parse: (text) => parseLength(text) },
  priority: { value: "NUMBER", by: ["lock --wait", "daemon"] },
};
const COMMANDS = ["status", "lock", "pause", "daemon", "config"];

function parse(...argv: string[]): CommandLine {
  return parseCommandLine(argv, OPTIONS, COMMANDS);
}

/** The command with its words and options, of a command line that has to be sound. */
function sound(...argv: string[]): unknown[] {
  const { command, operands, flags, faults } = parse(...argv);
  assertEquals(faults, [], argv.join(" "));
  return [command, operands, Object.fromEntries([...flags].map(([name, { texts }]) => [name, texts]))];
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
  const { command, operands } = parseCommandLine(["status", "-zone", "UTC"], OPTIONS, COMMANDS, "daemon");
  assertEquals([command, operands], ["daemon", ["status"]]);
});

Deno.test("parseCommandLine() names every fault at once, each with what is meant or allowed", () => {
  assertEquals(faults("status", "--gruop", "-jsn", "--json=maybe", "--xyzzy=1", "--endpoint"), [
    "unknown option --gruop, did you mean '--group'?",
    "unknown option -jsn, did you mean '--json'?",
    "--json takes no value: 'maybe'",
    "unknown option --xyzzy",
    "--endpoint needs a value: --endpoint=URL",
  ]);
});

Deno.test("parseCommandLine() takes no option for the value of another", () => {
  assertEquals(faults("status", "--group", "--json"), ["--group needs a value: --group=NAME"]);
  assertEquals(faults("status", "--group", "--"), ["--group needs a value: --group=NAME"]);
});

Deno.test("parseCommandLine() tells an option of another command, and whose it is", () => {
  assertEquals(faults("status", "--reason", "x"), [
    "--reason is not an option of 'status'; it belongs to 'lock', 'pause'",
  ]);
  assertEquals(faults("pause", "--priority=1"), [
    "--priority is not an option of 'pause'; it belongs to 'lock', 'daemon'",
  ]);
  // what can be set in files belongs to the command that shows it
  assertEquals(faults("config", "--zone", "UTC"), []);
  assertEquals(faults("--zone=UTC"), [
    "--zone is not an option without a command; it belongs to 'daemon', 'config'",
  ]);
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

Deno.test("parseCommandLine() takes an alias for its option, and remembers how it was written", () => {
  const { flags, faults } = parse("daemon", "-start=14:00", "--zone", "UTC");
  assertEquals(faults, []);
  assertEquals(flags.get("reboot-window-start"), { texts: ["14:00"], origin: "--start" });
  assertEquals(flags.get("zone"), { texts: ["UTC"], origin: "--zone" });
});

Deno.test("parseCommandLine() names an option that the command has, where one is mistyped", () => {
  assertEquals(faults("daemon", "--strat", "x"), ["unknown option --strat, did you mean '--start'?"]);
  assertEquals(faults("--strat", "x"), ["unknown option --strat, did you mean '--start'?"]);
  assertEquals(faults("lock", "--strat", "x"), ["unknown option --strat"]);
});

Deno.test("parseCommandLine() takes what stands behind = for an optional value, before the command or behind it", () => {
  for (const words of [["lock", "A", "--wait=5m"], ["lock", "-wait=5m", "A"], ["--wait=5m", "lock", "A"]]) {
    assertEquals(sound(...words), ["lock", ["A"], { wait: ["5m"] }]);
  }
});

Deno.test("parseCommandLine() without = takes no optional value, and the next word stays an argument", () => {
  for (const words of [["lock", "--wait", "A"], ["lock", "A", "--wait"], ["--wait", "lock", "A"]]) {
    assertEquals(sound(...words), ["lock", ["A"], { wait: [""] }]);
  }
  assertEquals(sound("lock", "--wait", "--", "--reason"), ["lock", ["--reason"], { wait: [""] }]);
  assertEquals(sound("lock", "--wait", "--reason", "x"), ["lock", [], { wait: [""], reason: ["x"] }]);
});

Deno.test("parseCommandLine() asks whether a word behind an optional value was meant as the value", () => {
  for (const words of [["lock", "--wait", "5m"], ["lock", "A", "--wait", "5m", "--reason=x"]]) {
    assertEquals(faults(...words), ["--wait takes its value after '=', did you mean --wait=5m?"]);
  }
  assertEquals(faults("lock", "--wait="), ["--wait: no value after the '=': --wait[=DURATION]"]);
});
