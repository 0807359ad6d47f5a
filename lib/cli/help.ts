/** The usage, of the whole and of each command. */

import type { OptionSpec } from "./args.ts";
import type { Command } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { table } from "./output.ts";
import { GLOBAL_OPTIONS } from "./settings.ts";

const COMMON_OPTIONS: readonly OptionSpec[] = [
  ...GLOBAL_OPTIONS,
  { name: "help", help: "show this, or the help of a command" },
  { name: "version", help: "show the version" },
];

/** The help of the program. */
export function helpText(): string {
  const commands = [
    ...COMMANDS.map(({ name, summary }) => [`  ${name}`, summary]),
    ["  help", "Show this, or the help of a command"],
    ["  version", "Show the version"],
  ];
  return `locksmith lets only so many machines of a group reboot at once, and only in their windows.

Usage: locksmith [OPTIONS] COMMAND [OPTIONS] [ARGUMENT]

Commands:
${table(commands)}
Options of every command:
${optionTable(COMMON_OPTIONS)}
Options may stand before or after the command, with one dash or two. Each of these and of the
daemon's can be set in the environment: LOCKSMITHCTL_ or LOCKSMITHD_, then the name in capitals,
with _ for -. Exit codes: 0 done, 1 not done, 2 asked for wrongly, 75 waited in vain.

Example:
  locksmith status --endpoint http://127.0.0.1:2379
  locksmith help lock
`;
}

/** The help of one command. */
export function commandHelpText(command: Command): string {
  return `${command.summary}.

Usage: ${usage(command)}

${wrap(command.description, 96)}
${command.options.length > 0 ? `\nOptions:\n${optionTable(command.options)}` : ""}
Options of every command: locksmith help

Example:
  ${command.example}
`;
}

/** The first lines of the help, after a mistake. */
export function usageText(command: Command | undefined): string {
  return command === undefined
    ? "Usage: locksmith [OPTIONS] COMMAND [OPTIONS] [ARGUMENT]\nSee 'locksmith help'.\n"
    : `Usage: ${usage(command)}\nSee 'locksmith help ${command.name}'.\n`;
}

function usage({ name, operands, options }: Command): string {
  return [
    "locksmith",
    name,
    ...(options.length > 0 ? ["[OPTIONS]"] : []),
    ...(operands !== "" ? [operands] : []),
  ].join(" ");
}

function optionTable(options: readonly OptionSpec[]): string {
  return table(
    options.map(({ name, value, optional, help }) => {
      const shown = value === undefined ? "" : optional ? `[=${value}]` : ` ${value}`;
      return [`  --${name}${shown}`, help];
    }),
  );
}

function wrap(text: string, columns: number): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < columns) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines.join("\n");
}
