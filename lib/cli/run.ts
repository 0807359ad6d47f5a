/**
 * From the words of the command line to an exit code: 0 done, 1 not done, 2 usage error, 75 timed out while waiting.
 *
 * A mistake in the words or the settings is told with all others before anything starts; what fails later is told in
 * one line with what to do next. A bug is one line too, and shows its stack only with `--debug`.
 */

import { type CommandLine, misplaced, parseCommandLine } from "./args.ts";
import type { Command, CommandText } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { configure, interpret, UsageError } from "./config.ts";
import { commandHelpText, helpText, usageText } from "./help.ts";
import { LockError } from "../lock.ts";
import { readRegularFile } from "../host/regular_file.ts";
import { MachineError } from "../host/identity.ts";
import { COMMAND_NAMES, type CommandName, OPTIONS } from "./options.ts";
import { commandsOf } from "./option.ts";
import {
  forJournal,
  oneLine,
  type Output,
  OutputError,
  printError,
  printHint,
  printWarning,
} from "./output.ts";
import { calledBy, isJournal, OUTPUT, readFile, readFolder, screenOf } from "./process.ts";
import { readSettings } from "./settings.ts";
import { StoreError } from "../store.ts";
import { REAL } from "../surroundings.ts";
import { didYouMean } from "../suggest.ts";
import { VERSION, versionText } from "./version.ts";

/** What is known of a command line when something goes wrong. */
interface Asked {
  readonly name?: CommandName;
  readonly debug: boolean;
}

/** Runs the command that `argv` asks for, on this machine, and gives the exit code. Never throws. */
export async function run(argv: readonly string[]): Promise<number> {
  let asked: Asked = { debug: false };
  const crash = new Promise<number>((resolve) => {
    globalThis.addEventListener("error", (event) => {
      event.preventDefault();
      resolve(explain(event.error, asked));
    });
    globalThis.addEventListener("unhandledrejection", (event) => {
      event.preventDefault();
      resolve(explain(event.reason, asked));
    });
  });
  const work = async () => {
    const program = await calledBy();
    const line = parseCommandLine(
      argv,
      OPTIONS,
      COMMAND_NAMES,
      program === "locksmithd" ? "daemon" : undefined,
    );
    const name = COMMAND_NAMES.find((name) => name === line.command);
    asked = { ...(name === undefined ? {} : { name }), debug: isOn(line, "debug") };
    const code = answerAtOnce(program, line, name);
    return code !== undefined || name === undefined ? code ?? 2 : await start(name, line);
  };
  return await Promise.race([work().catch((error) => explain(error, asked)), crash]);
}

async function start<C extends CommandName>(name: C, line: CommandLine): Promise<number> {
  const command: Command<C> = COMMANDS[name];
  const settings = readSettings({
    flags: line.flags,
    env: Deno.env.toObject(),
    // `config` judges what the daemon reads
    program: name === "daemon" || name === "config" || name === "serve" ? "locksmithd" : "locksmithctl",
    readFile,
    readFolder,
  });
  const output = outputFor(name);
  const faults = [...line.faults, ...operandFaults(name, line, command)];
  if ("judge" in command) {
    if (faults.length > 0) throw new UsageError(faults);
    return await command.judge(output, interpret(name, settings, readRegularFile), settings, screenOf());
  }
  return await command.run({
    ...output,
    config: configure(name, settings, readRegularFile, faults),
    operands: line.operands,
    warnings: settings.warnings,
    surroundings: REAL,
    screen: screenOf(),
    interactive: Deno.stdin.isTerminal() && Deno.stdout.isTerminal(),
    watched: Deno.stderr.isTerminal(),
  });
}

/** Where a command writes to: a daemon and a server may write into the journal. */
function outputFor(name: CommandName | undefined): Output {
  return (name === "daemon" || name === "serve") && isJournal() ? forJournal(OUTPUT) : OUTPUT;
}

/** More arguments than the command takes, and what is wrong with the others. */
function operandFaults(name: CommandName, { operands, faults }: CommandLine, command: CommandText): string[] {
  // after a mistyped option its value looks like an argument: the option is fault enough
  const extra = faults.length > 0 ? [] : operands.slice(command.operands.most);
  const [word = ""] = extra;
  const group = command.operands.most === 0 && commandsOf(OPTIONS.group).includes(name) && extra.length === 1;
  const hint = !group
    ? ""
    : /^[0-9a-f]{32}$/.test(word)
    ? `: '${name}' takes no machine id`
    : `, did you mean --group=${word}?`;
  return [
    ...extra.map((word) => `unexpected argument '${word}'${hint}`),
    ...command.faults?.(operands.slice(0, command.operands.most)) ?? [],
  ];
}

/** Help, version, and words that name no command; `undefined` where a command is to be run. */
function answerAtOnce(program: string, line: CommandLine, name: CommandName | undefined): number | undefined {
  const { command: word, operands, faults } = line;
  const answer = (text: () => string, most: number) => {
    const extra = operands.slice(most).map((operand) => `unexpected argument '${operand}'`);
    if (word === "help" || word === "version") extra.push(...misplaced(line.flags, OPTIONS, word));
    if (faults.length + extra.length > 0) throw new UsageError([...faults, ...extra]);
    OUTPUT.out(text());
    return 0;
  };
  if (isOn(line, "version") || word === "version") {
    return answer(() => versionText(program), word === "version" ? 0 : Infinity);
  }
  const topic = word === "help" ? operands[0] : isOn(line, "help") ? word : undefined;
  if (word === undefined || topic !== undefined || word === "help") {
    const about = COMMAND_NAMES.find((name) => name === topic);
    const most = word === "help" ? 1 : Infinity;
    if (about !== undefined) return answer(() => commandHelpText(about, COMMANDS[about]), most);
    if (topic === undefined || topic === "help" || topic === "version") return answer(helpText, 1);
    return unknown(topic);
  }
  if (name !== undefined) return undefined;
  if (faults.length > 0) throw new UsageError(faults);
  return unknown(word);
}

function unknown(word: string): number {
  printError(OUTPUT, `unknown command '${word}'${didYouMean(word, COMMAND_NAMES)}`);
  printHint(OUTPUT, "'locksmith help' lists the commands");
  return 2;
}

function isOn({ flags }: CommandLine, name: string): boolean {
  return flags.get(name)?.texts.at(-1) === "true";
}

/** Says what went wrong, and gives the exit code. */
function explain(error: unknown, { name, debug }: Asked): number {
  const output = outputFor(name);
  if (error instanceof UsageError) {
    for (const warning of error.warnings) printWarning(output, warning);
    for (const fault of error.faults) printError(output, fault);
    for (const hint of error.hints) printHint(output, hint);
    output.err(usageText(name, name && COMMANDS[name]), "info");
    return 2;
  }
  if (error instanceof MachineError) {
    output.err(`${error.summary}\n`);
    const named = name === "lock" || name === "unlock"
      ? `, or name a machine: locksmith ${name} MACHINE-ID`
      : "";
    printHint(output, `${error.detail}; ${error.hint}${named}`);
  } else if (error instanceof StoreError || error instanceof LockError) {
    printError(output, error.message, error.hint);
  } else if (error instanceof OutputError) {
    printError(output, error.message);
  } else {
    const known = error instanceof Error ? error : new Error(String(error));
    printError(
      output,
      `this is a bug in locksmith ${VERSION}: ${known.name}: ${known.message}`,
      "please report it, with the output of --debug",
    );
    if (debug) output.err(`${(known.stack ?? "").split("\n").map(oneLine).join("\n")}\n`);
  }
  return 1;
}
