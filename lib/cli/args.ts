/**
 * The command line: which command, with which options and arguments.
 *
 * Options may stand before or after the command, with one dash or two, as `-name value` or `-name=value`, the way the
 * old locksmith took them. Every fault of a command line is found before anything is done, and all are told at once.
 * What the values mean is not decided here: see `config.ts`.
 */

import { parseArgs } from "@std/cli/parse-args";
import { didYouMean } from "../suggest.ts";

/** An option as the usage shows it. */
export interface OptionSpec {
  readonly name: string;
  /** What stands for the value in the usage. Absent: the option is a switch. */
  readonly value?: string;
  /**
   * The value may be left out, and is then an empty text. Only `=` gives one: what stands behind a blank is an argument
   * of its own.
   */
  readonly optional?: boolean;
  /** May be given several times. */
  readonly repeatable?: boolean;
  /** One line for the usage. */
  readonly help: string;
}

/** The shape of a command for the parser. */
export interface CommandShape {
  readonly name: string;
  readonly options: readonly OptionSpec[];
}

/** A command line that was understood. */
export interface CommandLine {
  /** The first word, if there is one. It may be no command at all. */
  readonly command: string | undefined;
  readonly positionals: readonly string[];
  /** Values by option name, in the order given; a switch has `"true"` or `"false"`. */
  readonly options: ReadonlyMap<string, readonly string[]>;
  /** What is wrong with it; empty for a sound one. */
  readonly faults: readonly string[];
}

/**
 * Takes `argv` apart. `global` are the options of every command, `commands` the commands with theirs; `fixed` names
 * the command when the program was called by its name (`locksmithd`), and then no word of `argv` does.
 */
export function parseCommandLine(
  argv: readonly string[],
  global: readonly OptionSpec[],
  commands: readonly CommandShape[],
  fixed?: string,
): CommandLine {
  const known = new Map(
    [...commands.flatMap(({ options }) => options), ...global].map((option) => [option.name, option]),
  );
  const faults: string[] = [];
  const { flags, words } = normalize(argv, known, faults);
  const switches = [...known.values()].filter(({ value }) => value === undefined).map(({ name }) => name);
  const valued = [...known.values()].filter(({ value }) => value !== undefined).map(({ name }) => name);
  const parsed = parseArgs([...flags, "--", ...words], {
    string: ["_", ...valued, ...switches],
    collect: [...valued, ...switches],
  });
  const positionals = parsed._;
  const command = fixed ?? positionals.shift();
  const options = new Map<string, string[]>();
  for (const name of known.keys()) {
    const values = parsed[name];
    if (Array.isArray(values) && values.length > 0) options.set(name, values.map(String));
  }
  faults.push(...misplaced(options, global, commands, command));
  return { command, positionals, options, faults };
}

/**
 * Brings every option into the one form `--name=value`, and the words behind them. A value is never taken from what
 * is an option itself: `--group --json` is an option without its value, not a group of that name.
 */
function normalize(argv: readonly string[], known: ReadonlyMap<string, OptionSpec>, faults: string[]) {
  const flags: string[] = [];
  const words: string[] = [];
  const rest = [...argv];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "--") {
      words.push(...rest);
      break;
    }
    const [, dashes, name, value] = /^(--(?=.)|-(?=[a-zA-Z?]))([^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) {
      words.push(arg);
      continue;
    }
    const option = known.get(name === "h" || name === "?" ? "help" : name);
    if (option === undefined) {
      faults.push(`unknown option ${dashes}${name}${didYouMean(name, [...known.keys()], "--")}`);
    } else if (option.value === undefined) {
      if (value === undefined || value === "true" || value === "false") {
        flags.push(`--${option.name}=${value ?? "true"}`);
      } else faults.push(`option --${option.name} takes no value: '${value}'`);
    } else if (option.optional && value === "") {
      faults.push(`option --${option.name} has nothing behind its '=': --${option.name}[=${option.value}]`);
    } else if (value !== undefined || option.optional) {
      flags.push(`--${option.name}=${value ?? ""}`);
    } else {
      const next = rest[0];
      if (next === undefined || isOption(next, known)) {
        faults.push(`option --${name} needs a value: --${name}=${option.value}`);
      } else flags.push(`--${option.name}=${rest.shift()}`);
    }
  }
  return { flags, words };
}

function isOption(arg: string, known: ReadonlyMap<string, OptionSpec>): boolean {
  const name = /^--?([a-zA-Z][^=]*)/.exec(arg)?.[1];
  return arg === "--" || (name !== undefined && known.has(name));
}

/** Options that exist, and that this command does not have. */
function misplaced(
  options: ReadonlyMap<string, readonly string[]>,
  global: readonly OptionSpec[],
  commands: readonly CommandShape[],
  command: string | undefined,
): string[] {
  const shape = commands.find(({ name }) => name === command);
  if (command !== undefined && shape === undefined) return [];
  const allowed = new Set([...global, ...(shape?.options ?? [])].map(({ name }) => name));
  return [...options.keys()].filter((name) => !allowed.has(name)).map((name) => {
    const owners = commands.filter(({ options }) => options.some((option) => option.name === name)).map((
      { name },
    ) => name);
    return `option --${name} is not for ${
      command === undefined ? "no command" : `'${command}'`
    }; it belongs to ${owners.map((owner) => `'${owner}'`).join(", ")}`;
  });
}
