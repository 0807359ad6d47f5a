/** The table of options: what one row brings with it, and that every row is fit for all that is made of it. */

import { assert, assertEquals, assertLessOrEqual, assertStringIncludes } from "@std/assert";
import { parseCommandLine } from "../../lib/cli/args.ts";
import { COMMANDS } from "../../lib/cli/commands.ts";
import { completionsOf, SHELLS } from "../../lib/cli/completions.ts";
import { interpret } from "../../lib/cli/config.ts";
import { configReport, exampleFile } from "../../lib/cli/config_command.ts";
import { commandHelpText, helpText } from "../../lib/cli/help.ts";
import { attempt, parseLength } from "../../lib/cli/option.ts";
import { COMMAND_NAMES, OPTIONS, type OptionTable } from "../../lib/cli/options.ts";
import { readSettings } from "../../lib/cli/settings.ts";

const NOTHING = { env: {}, program: "locksmithd", readFile: () => undefined, readFolder: () => [] } as const;

Deno.test("an option is one row: the command line, the variables, the help, completions, config and the daemon have it", () => {
  const table: OptionTable = {
    ...OPTIONS,
    "settle-time": {
      aliases: ["settle"],
      value: "DURATION",
      help: "wait this long after the boot",
      by: ["daemon"],
      variable: "prefixed",
      fallback: "10s",
      sample: "30s",
      parse: parseLength,
    },
  };
  const { flags, faults } = parseCommandLine(["daemon", "-settle", "1m"], table, COMMAND_NAMES);
  assertEquals([flags.get("settle-time"), faults], [{ texts: ["1m"], origin: "--settle" }, []]);

  const readDaemon = (settings: Parameters<typeof interpret>[1]) =>
    interpret("daemon", settings, () => new Uint8Array(), table).parts.get("settle-time");
  assertEquals(readDaemon({ values: flags, faults: [], hints: [], warnings: [] }), {
    value: 60_000,
    origin: "--settle",
  });
  const env = { LOCKSMITHD_SETTLE_TIME: "20s", LOCKSMITHD_SETLE_TIME: "1s" };
  const settings = readSettings({ ...NOTHING, flags: new Map(), env }, table);
  assertEquals(readDaemon(settings), { value: 20_000, origin: "LOCKSMITHD_SETTLE_TIME" });
  assertEquals(settings.warnings, [
    "LOCKSMITHD_SETLE_TIME is not a setting and has no effect, did you mean 'LOCKSMITHD_SETTLE_TIME'?",
  ]);

  assertStringIncludes(
    commandHelpText("daemon", COMMANDS.daemon, table),
    "  --settle-time DURATION      wait this long after the boot; default: 10s; also\n" +
      "                              --settle\n",
  );
  const words = (command: string) =>
    completionsOf(COMMANDS, table).options.get(command)?.map(({ word }) => word);
  assert(words("daemon")?.includes("--settle-time") && words("daemon")?.includes("--settle"));
  assertEquals(words("status")?.includes("--settle-time"), false);

  const reading = interpret("config", settings, () => new Uint8Array(), table);
  assertEquals(
    configReport(reading, settings, table).settings.find(({ name }) => name === "settle-time"),
    { name: "settle-time", value: "20s", origin: "LOCKSMITHD_SETTLE_TIME" },
  );
  assertStringIncludes(
    exampleFile(table),
    "\n# wait this long after the boot; default: 10s\n#LOCKSMITHD_SETTLE_TIME=30s\n",
  );
});

Deno.test("every default and every sample is a value that its option takes", () => {
  const table: OptionTable = OPTIONS;
  for (const [name, { fallback, sample, parse, variable }] of Object.entries(table)) {
    const texts = [typeof fallback === "function" ? fallback() : fallback, sample];
    for (const text of texts) {
      if (text !== undefined) assert("value" in attempt(parse, text), `${name}: ${text}`);
    }
    // what can be written into a file is shown in the example
    if (variable !== undefined) assert(sample !== undefined, name);
  }
});

Deno.test("no two options have the same name or alias", () => {
  const table: OptionTable = OPTIONS;
  const names = Object.entries(table).flatMap(([name, { aliases = [] }]) => [name, ...aliases]);
  assertEquals(names.filter((name, index) => names.indexOf(name) !== index), []);
});

Deno.test("the help fits a terminal of 80 columns, and names every option of its command", () => {
  const texts = [helpText(), ...COMMAND_NAMES.map((name) => commandHelpText(name, COMMANDS[name]))];
  for (const line of texts.join("").split("\n")) assertLessOrEqual([...line].length, 80, line);
  assertStringIncludes(commandHelpText("lock", COMMANDS.lock), "\n  --wait[=DURATION]        ");
  for (const name of ["daemon", "config", "window", "simulate"] as const) {
    const text = commandHelpText(name, COMMANDS[name]);
    for (const option of ["--reboot-window-start TIME", "--reboot-window-length DURATION", "--zone ZONE"]) {
      assertStringIncludes(text, `\n  ${option}`);
    }
    assertStringIncludes(text, "--start, --window");
  }
});

Deno.test("config --example is a file that sets every setting of a file, once its lines are taken in", () => {
  const text = exampleFile();
  for (const line of text.split("\n")) assertLessOrEqual(line.length, 80, line);
  const active = text.replace(/^#(?=[A-Z])/gm, "");
  // of the two ways to show who one is, one is enough
  const consistent = active.replace(/^\w+FLEET_LOCK_TOKEN=.*\n/m, "");
  const read = (text: string) =>
    readSettings({
      ...NOTHING,
      flags: new Map(),
      readFile: (path) =>
        path === "/etc/locksmith/locksmith.conf" ? new TextEncoder().encode(text) : undefined,
    });
  assertEquals([...read(text).values], []);
  assertEquals([read(active).faults, read(active).warnings], [[], []]);
  const table: OptionTable = OPTIONS;
  const names = Object.entries(table).filter(([, { variable }]) => variable && variable !== "environment");
  assertEquals([...read(active).values.keys()].toSorted(), names.map(([name]) => name).toSorted());
  assertEquals(interpret("config", read(consistent), () => new TextEncoder().encode("text")).faults, []);
});

Deno.test("completions of each shell are a script that it can read, and bash completes by command", async () => {
  const { completions } = await import("../../lib/cli/completions.ts");
  const script = (shell: string) => {
    let text = "";
    const output = { out: (written: string) => text += written, err: () => {} };
    // nothing else of the context is looked at
    const code = completions(
      { ...output, operands: [shell] } as unknown as Parameters<typeof completions>[0],
      COMMANDS,
    );
    assertEquals(code, 0);
    return text;
  };
  for (const shell of SHELLS) assertStringIncludes(script(shell), "hold-overdue");
  const complete = async (...words: string[]) => {
    const list = words.map((word) => `'${word}'`).join(" ");
    const { stdout, stderr } = await new Deno.Command("bash", {
      args: [
        "-c",
        `${
          script("bash")
        }\nCOMP_WORDS=(locksmith ${list}); COMP_CWORD=${words.length}; _locksmith; echo "\${COMPREPLY[*]}"`,
      ],
    }).output();
    assertEquals(new TextDecoder().decode(stderr), "");
    return new TextDecoder().decode(stdout).trim().split(" ");
  };
  assertEquals(await complete("sta"), ["status"]);
  assertEquals(await complete("--group", "web", "status", "--ve"), ["--version", "--verbose"]);
  assertEquals(await complete("lock", "--reb"), [""]);
  assertEquals(await complete("help", "send"), ["send-need-reboot"]);
});
