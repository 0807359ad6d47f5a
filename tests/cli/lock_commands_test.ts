/** An option whose value may be left out: `--wait` and `--wait=5m`, and never `--wait 5m`. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { type OptionSpec, parseCommandLine } from "../../lib/cli/args.ts";
import { COMMANDS } from "../../lib/cli/commands.ts";
import { commandHelpText } from "../../lib/cli/help.ts";
import { GLOBAL_OPTIONS } from "../../lib/cli/settings.ts";

const WAIT: OptionSpec = { name: "wait", value: "DURATION", optional: true, help: "wait" };
const REASON: OptionSpec = { name: "reason", value: "TEXT", help: "why" };

function parse(...argv: string[]) {
  const shape = { name: "lock", options: [WAIT, REASON] };
  const { options, positionals, faults } = parseCommandLine(argv, GLOBAL_OPTIONS, [shape]);
  return { wait: options.get("wait"), positionals, faults };
}

Deno.test("an optional value is what stands behind =, with one dash or two, before the command or behind it", () => {
  for (const words of [["lock", "A", "--wait=5m"], ["lock", "-wait=5m", "A"], ["--wait=5m", "lock", "A"]]) {
    assertEquals(parse(...words), { wait: ["5m"], positionals: ["A"], faults: [] });
  }
});

Deno.test("without = an option with an optional value takes none, and the next word stays an argument", () => {
  for (const words of [["lock", "--wait", "A"], ["lock", "A", "--wait"], ["--wait", "lock", "A"]]) {
    assertEquals(parse(...words), { wait: [""], positionals: ["A"], faults: [] });
  }
  assertEquals(parse("lock", "--wait", "--", "--reason"), {
    wait: [""],
    positionals: ["--reason"],
    faults: [],
  });
});

Deno.test("an option with an optional value may stand before another option", () => {
  const { options, faults } = parseCommandLine(["lock", "--wait", "--reason", "x"], GLOBAL_OPTIONS, [
    { name: "lock", options: [WAIT, REASON] },
  ]);
  assertEquals([options.get("wait"), options.get("reason"), faults], [[""], ["x"], []]);
});

Deno.test("= with nothing behind it is a fault, and so is a mistyped name", () => {
  assertEquals(parse("lock", "--wait=").faults, [
    "option --wait has nothing behind its '=': --wait[=DURATION]",
  ]);
  assertEquals(parse("lock", "--waits=5m").faults, ["unknown option --waits, did you mean '--wait'?"]);
});

Deno.test("the help of lock shows that the duration is optional", () => {
  const lock = COMMANDS.find(({ name }) => name === "lock");
  assertStringIncludes(lock === undefined ? "" : commandHelpText(lock), "\n  --wait[=DURATION]  ");
});
