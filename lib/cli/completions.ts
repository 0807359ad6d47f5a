/**
 * Completions for shells, made from the tables: commands, the options of each, and no more: what a value may be, the
 * program says itself.
 */

import type { CommandText, Context } from "./command.ts";
import { ownOptions } from "./option.ts";
import { OPTIONS, type OptionTable } from "./options.ts";
import { printError } from "./output.ts";

/** The shells that there is a script for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** The commands, by name. */
type Texts = Readonly<Record<string, CommandText>>;

/** A word that may be typed, and what it stands for. */
export interface Completion {
  readonly word: string;
  readonly help: string;
  /** Whether a value follows, as a word of its own. */
  readonly value: boolean;
}

/** What may be typed: the commands, and by command its options; under `""` those of every command. */
export interface Completions {
  readonly commands: readonly Completion[];
  readonly options: ReadonlyMap<string, readonly Completion[]>;
}

export function completionsOf(texts: Texts, options: OptionTable = OPTIONS): Completions {
  const words = (all: readonly (readonly [string, OptionTable[string]])[]): Completion[] =>
    all.flatMap(([name, { aliases = [], help, value, optional = false }]) =>
      [name, ...aliases].map((name) => ({ word: `--${name}`, help, value: value !== undefined && !optional }))
    );
  const commands = [
    ...Object.entries(texts).map(([word, { summary }]) => ({ word, help: summary, value: false })),
    { word: "help", help: "Show the help, or that of a command", value: false },
    { word: "version", help: "Show the version", value: false },
  ];
  const common = Object.entries(options).filter(([, { common }]) => common);
  return {
    commands,
    options: new Map([
      ["", words(common)],
      ...Object.keys(texts).map((name) => [name, words(ownOptions(name, options))] as const),
    ]),
  };
}

/** Prints the script for a shell, and gives the exit code. */
export function completions(
  { operands: [asked = ""], out, err }: Context<"completions">,
  texts: Texts,
): number {
  const shell = SHELLS.find((name) => name === asked);
  if (shell === undefined) {
    printError({ out, err }, `there are no completions for '${asked}'`, `name a shell: ${SHELLS.join(", ")}`);
    return 2;
  }
  out(SCRIPTS[shell](completionsOf(texts)));
  return 0;
}

const SCRIPTS: Record<typeof SHELLS[number], (completions: Completions) => string> = { bash, zsh, fish };

function bash({ commands, options }: Completions): string {
  const list = (all: readonly Completion[] = []) => all.map(({ word }) => word).join(" ");
  const common = options.get("") ?? [];
  const valued = [
    ...new Set([...options.values()].flat().filter(({ value }) => value).map(({ word }) => word)),
  ];
  const cases = [...options].filter(([name, own]) => name !== "" && own.length > 0).map(([name, own]) =>
    `    ${name}) words="$words ${list(own)}" ;;\n`
  );
  return `# bash completion for locksmith
_locksmith() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command= word skip=
  local words="${list(common)}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ $skip ]]; then skip=; continue; fi
    case $word in
    ${valued.join("|")}) skip=1 ;;
    -*|=) ;;
    *) command=$word; break ;;
    esac
  done
  if [[ $skip ]]; then COMPREPLY=($(compgen -f -- "$current")); return; fi
  case $command in
    '') words="$words ${list(commands)}" ;;
    help) words="${list(commands)}" ;;
${cases.join("")}  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _locksmith locksmith locksmithctl
`;
}

function zsh({ commands, options }: Completions): string {
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const spec = ({ word, help, value }: Completion) =>
    quote(`${word}${value ? "=" : ""}[${help.replace(/[[\]:\\]/g, "\\$&")}]${value ? ":value:_files" : ""}`);
  const list = (all: readonly Completion[] = []) => all.map(spec).join(" ");
  const cases = [...options].filter(([name]) => name !== "").map(([name, own]) =>
    `  ${name}) own=(${list(own)}) ;;\n`
  );
  return `#compdef locksmith locksmithctl
local -a commands own
commands=(${commands.map(({ word, help }) => quote(`${word}:${help.replaceAll(":", "\\:")}`)).join(" ")})
local command=\${words[(r)(${commands.map(({ word }) => word).join("|")})]}
case $command in
${cases.join("")}esac
_arguments -S ${list(options.get(""))} $own '1: :{_describe command commands}' '*::argument:_default'
`;
}

function fish({ commands, options }: Completions): string {
  const quote = (text: string) => `'${text.replace(/[\\']/g, "\\$&")}'`;
  const names = commands.map(({ word }) => word).join(" ");
  const lines = [...options].flatMap(([name, own]) =>
    own.map(({ word, help, value }) => {
      const when = name === "" ? "" : ` -n '__fish_seen_subcommand_from ${name}'`;
      return `complete -c locksmith${when} -l ${word.slice(2)}${value ? " -r" : ""} -d ${quote(help)}`;
    })
  );
  return [
    "# fish completion for locksmith",
    "complete -c locksmith -f",
    ...commands.map(({ word, help }) =>
      `complete -c locksmith -n 'not __fish_seen_subcommand_from ${names}' -a ${word} -d ${quote(help)}`
    ),
    ...lines,
  ].map((line) => `${line}\n`).join("");
}
