/** The help of the whole and of each command, made from the tables. No line is wider than a terminal of 80 columns. */

import type { CommandText } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { type Option, optionHelp, ownOptions } from "./option.ts";
import { OPTIONS, type OptionTable } from "./options.ts";
import { table, wrap } from "./output.ts";

const COLUMNS = 80;
/** Names that are longer have their help on the next line. */
const NAME_COLUMNS = 28;

/** The help of the program. */
export function helpText(options: OptionTable = OPTIONS): string {
  const commands = [
    ...Object.entries(COMMANDS).map(([name, { summary }]) => [`  ${name}`, summary]),
    ["  help", "Show this, or the help of a command"],
    ["  version", "Show the version"],
  ];
  const common = Object.entries(options).filter(([, { common }]) => common);
  return `locksmith lets only a set number of machines in a group reboot at once, and
only in their windows.

Usage: locksmith [OPTIONS] COMMAND [OPTIONS] [ARGUMENT]

Commands:
${table(commands)}
Options of every command:
${optionTable(common)}
Options may stand before or after the command, with one dash or two. These and
the daemon's can also be set in /etc/locksmith/locksmith.conf and in the
environment: as LOCKSMITHD_ or LOCKSMITHCTL_ and the name in capitals, with _
for -. 'locksmith config' shows what is set.

Exit codes: 0 done, 1 not done, 2 usage error, 75 timed out while waiting.

Example:
  locksmith status --endpoint http://127.0.0.1:2379
  locksmith help lock
`;
}

/** The help of one command. */
export function commandHelpText(name: string, command: CommandText, options: OptionTable = OPTIONS): string {
  const own = ownOptions(name, options);
  return `${command.summary}.

Usage: ${usage(name, command, options)}

${wrap(command.description, COLUMNS).join("\n")}
${own.length > 0 ? `\nOptions:\n${optionTable(own)}` : ""}
Options of every command: locksmith help

Example:
  ${command.example}
`;
}

/** The first lines of the help, after a mistake. */
export function usageText(name: string | undefined, command: CommandText | undefined): string {
  return name === undefined || command === undefined
    ? "Usage: locksmith [OPTIONS] COMMAND [OPTIONS] [ARGUMENT]\nSee 'locksmith help'.\n"
    : `Usage: ${usage(name, command, OPTIONS)}\nSee 'locksmith help ${name}'.\n`;
}

function usage(name: string, { operands: { text } }: CommandText, options: OptionTable): string {
  const words = ["locksmith", name, ownOptions(name, options).length > 0 ? "[OPTIONS]" : "", text];
  return words.filter((word) => word !== "").join(" ");
}

function optionTable(options: readonly (readonly [string, Option])[]): string {
  const left = options.map(([name, { value, optional }]) =>
    `  --${name}${value === undefined ? "" : optional ? `[=${value}]` : ` ${value}`}`
  );
  const width = Math.max(...left.filter((text) => text.length <= NAME_COLUMNS).map((text) => text.length)) +
    2;
  return options.map(([, option], index) => {
    const also = option.aliases === undefined ? "" : `; also --${option.aliases.join(", --")}`;
    const [first = "", ...more] = wrap(optionHelp(option) + also, COLUMNS - width);
    const name = left[index] ?? "";
    const indent = " ".repeat(width);
    const head = name.length < width ? name.padEnd(width) + first : `${name}\n${indent}${first}`;
    return [head, ...more.map((line) => indent + line)].map((line) => `${line}\n`).join("");
  }).join("");
}
