/**
 * The command line: which command, with which options and arguments.
 *
 * Options may stand before or after the command, with one dash or two, as `-name value` or `-name=value`, the way the
 * old locksmith took them. Every fault of a command line is found before anything is done, and all are told at once.
 * What the values mean is not decided here: see `config.ts`.
 */

import { parseArgs } from "@std/cli/parse-args";
import { attempt, commandsOf, type Option } from "./option.ts";
import type { Setting } from "./settings.ts";
import { didYouMean } from "../suggest.ts";

/** What the parser has to know of an option. */
export type OptionShape =
  & Pick<Option, "aliases" | "value" | "optional" | "by" | "common" | "variable">
  & Partial<Pick<Option, "parse">>;

/** A command line that was understood. */
export interface CommandLine {
  /** The first word, if there is one. It may be no command at all. */
  readonly command: string | undefined;
  readonly operands: readonly string[];
  /** Values by option, in the order given, and under which name; a switch has `"true"` or `"false"`. */
  readonly flags: ReadonlyMap<string, Setting>;
  /** What is wrong with it; empty for a sound one. */
  readonly faults: readonly string[];
}

/** A word of the command line that is an option, and what is said of its value. */
interface Flag {
  readonly name: string;
  /** As it was written: the name or an alias, with its dashes. */
  readonly written: string;
  readonly value: string;
}

/**
 * Takes `argv` apart. `commands` are the names of all; `fixed` names the command when the program was called by its name
 * (`locksmithd`), and then no word of `argv` does.
 */
export function parseCommandLine(
  argv: readonly string[],
  options: Readonly<Record<string, OptionShape>>,
  commands: readonly string[],
  fixed?: string,
): CommandLine {
  const faults: string[] = [];
  // before the options are taken apart nobody knows which word is the command: for suggestions this one will do
  const likely = fixed ?? argv.find((word) => commands.includes(word));
  const { flags, words } = normalize(argv, options, likely, faults);
  const names = [...new Set(flags.map(({ name }) => name))];
  const parsed = parseArgs([...flags.map(({ name, value }) => `--${name}=${value}`), "--", ...words], {
    string: ["_", ...names],
    collect: names,
  });
  const operands = parsed._;
  const command = fixed ?? operands.shift();
  const given = new Map<string, Setting>();
  for (const { name, written } of flags) {
    const texts = parsed[name];
    if (Array.isArray(texts)) given.set(name, { texts: texts.map(String), origin: written });
  }
  if (command === undefined || commands.includes(command)) faults.push(...misplaced(given, options, command));
  return { command, operands, flags: given, faults };
}

/**
 * Brings every option into one form, and collects the words behind them. A value is never taken from what is an option
 * itself: `--group --json` is an option without its value, not a group of that name.
 */
function normalize(
  argv: readonly string[],
  options: Readonly<Record<string, OptionShape>>,
  command: string | undefined,
  faults: string[],
): { flags: Flag[]; words: string[] } {
  const known = new Map(
    Object.entries(options).flatMap(([name, { aliases = [] }]) =>
      [name, ...aliases].map((word) => [word, name])
    ),
  );
  known.set("h", "help").set("?", "help");
  const meant = () => [...known].filter(([, name]) => isOf(options[name], command)).map(([word]) => word);
  const flags: Flag[] = [];
  const words: string[] = [];
  const rest = [...argv];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "--") {
      words.push(...rest);
      break;
    }
    const [, dashes, word, value] = /^(--(?=.)|-(?=[a-zA-Z?]))([^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    if (word === undefined) {
      words.push(arg);
      continue;
    }
    const name = known.get(word) ?? "";
    const option = Object.hasOwn(options, name) ? options[name] : undefined;
    const written = `--${word}`;
    const take = (value: string) => flags.push({ name, written, value });
    const next = rest[0];
    if (option === undefined) {
      faults.push(`unknown option ${dashes}${word}${didYouMean(word, meant(), "--")}`);
    } else if (option.value === undefined) {
      if (value === undefined || value === "true" || value === "false") take(value ?? "true");
      else faults.push(`${written} takes no value: '${value}'`);
    } else if (option.optional && value === "") {
      faults.push(`${written}: no value after the '=': ${written}[=${option.value}]`);
    } else if (value !== undefined) take(value);
    else if (option.optional) {
      take("");
      // the next word is an argument; one that would do as the value was hardly meant so
      if (next === undefined || option.parse === undefined || "faults" in attempt(option.parse, next)) {
        continue;
      }
      faults.push(`${written} takes its value after '=', did you mean ${written}=${next}?`);
      rest.shift();
    } else if (next === undefined || isOption(next, known)) {
      faults.push(`${written} needs a value: ${written}=${option.value}`);
    } else {
      take(next);
      rest.shift();
    }
  }
  return { flags, words };
}

function isOption(arg: string, known: ReadonlyMap<string, string>): boolean {
  const name = /^--?([a-zA-Z][^=]*)/.exec(arg)?.[1];
  return arg === "--" || (name !== undefined && known.has(name));
}

/** Whether a command has an option; of no command it is every option. */
function isOf(option: OptionShape | undefined, command: string | undefined): boolean {
  if (option === undefined || command === undefined || option.common) return true;
  return commandsOf(option).includes(command);
}

/** Options that exist, and that this command does not have. */
export function misplaced(
  flags: ReadonlyMap<string, Setting>,
  options: Readonly<Record<string, OptionShape>>,
  command: string | undefined,
): string[] {
  return [...flags].flatMap(([name, { origin }]) => {
    const option = options[name];
    const owners = option === undefined ? [] : commandsOf(option);
    if (option?.common || (command !== undefined && isOf(option, command))) return [];
    const where = command === undefined ? "without a command" : `of '${command}'`;
    return [
      `${origin} is not an option ${where}; it belongs to ${owners.map((owner) => `'${owner}'`).join(", ")}`,
    ];
  });
}
