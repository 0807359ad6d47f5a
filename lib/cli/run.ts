/**
 * From the words of the command line to an exit code: 0 done, 1 not done, 2 asked for wrongly, 75 waited in vain.
 *
 * A mistake in the words or the settings is told with all others before anything starts; what fails later is told in
 * one line with what to do next. Only a bug shows a stack.
 */

import { type CommandLine, parseCommandLine } from "./args.ts";
import { type Command, type Context, UsageError } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { commandHelpText, helpText, usageText } from "./help.ts";
import { LockError } from "../lock.ts";
import { MachineError } from "../host/identity.ts";
import { oneLine, type Output, printError, printHint } from "./output.ts";
import { GLOBAL_OPTIONS, readSettings } from "./settings.ts";
import { StoreError } from "../store.ts";
import { REAL } from "../surroundings.ts";
import { didYouMean } from "../suggest.ts";
import { VERSION } from "./version.ts";

/** Runs the command that `argv` asks for, on this machine. */
export async function run(argv: readonly string[]): Promise<number> {
  const name = await calledBy();
  const program = name === "locksmithd" ? "locksmithd" : "locksmithctl";
  const options = [...GLOBAL_OPTIONS, { name: "help", help: "" }, { name: "version", help: "" }];
  const line = parseCommandLine(argv, options, COMMANDS, program === "locksmithd" ? "daemon" : undefined);
  const command = COMMANDS.find(({ name }) => name === line.command);
  const early = answerAtOnce(name, line, command);
  if (early !== undefined) return early;
  if (command === undefined) return 2;

  const settings = readSettings({
    options: line.options,
    env,
    readText,
    program: command.name === "daemon" ? "locksmithd" : program,
  });
  const root = settings.values.get("root")?.values.at(-1) ?? "/";
  if (!root.startsWith("/")) settings.faults.push(`--root: '${root}' is not an absolute path`);
  const context: Context = {
    ...OUTPUT,
    name,
    program,
    line,
    settings: { values: settings.values, faults: [...line.faults, ...settings.faults] },
    root,
    surroundings: REAL,
    env,
    readFile: (path) => Deno.readFileSync(path),
    interactive: Deno.stdin.isTerminal() && Deno.stdout.isTerminal(),
    watched: Deno.stderr.isTerminal(),
  };
  try {
    return await command.run(context);
  } catch (error) {
    return explain(error, command);
  }
}

/** Help, version, and words that name no command. */
function answerAtOnce(name: string, line: CommandLine, command: Command | undefined): number | undefined {
  const { command: word, options, positionals, faults } = line;
  const unknown = (word: string) => {
    printError(OUTPUT, `unknown command '${word}'${didYouMean(word, COMMANDS.map(({ name }) => name))}`);
    printHint(OUTPUT, "'locksmith help' lists the commands");
    return 2;
  };
  if (options.get("version")?.at(-1) === "true" || word === "version") {
    if (faults.length > 0) return explain(new UsageError(faults), undefined);
    OUTPUT.out(`${name} version ${VERSION}\n`);
    return 0;
  }
  const wantsHelp = options.get("help")?.at(-1) === "true";
  if (word === undefined || word === "help") {
    if (faults.length > 0) return explain(new UsageError(faults), undefined);
    const topic = positionals[0];
    if (topic === undefined || topic === "help" || topic === "version") {
      OUTPUT.out(helpText());
      return 0;
    }
    const asked = COMMANDS.find(({ name }) => name === topic);
    if (asked === undefined) return unknown(topic);
    OUTPUT.out(commandHelpText(asked));
    return 0;
  }
  if (command === undefined) {
    return faults.length > 0 ? explain(new UsageError(faults), undefined) : unknown(word);
  }
  if (!wantsHelp) return undefined;
  OUTPUT.out(commandHelpText(command));
  return 0;
}

function explain(error: unknown, command: Command | undefined): number {
  if (error instanceof UsageError) {
    for (const fault of error.faults) printError(OUTPUT, fault);
    OUTPUT.err(usageText(command));
    return 2;
  }
  if (error instanceof MachineError) {
    OUTPUT.err(`${error.summary}\n`);
    printHint(OUTPUT, `${error.detail}; ${error.hint}`);
    return 1;
  }
  if (error instanceof StoreError || error instanceof LockError) {
    printError(OUTPUT, error.message, error.hint);
    return 1;
  }
  const stack = error instanceof Error ? error.stack ?? error.message : String(error);
  printError(OUTPUT, "this is a bug of locksmith, please report it with what follows");
  OUTPUT.err(`${stack.split("\n").map(oneLine).join("\n")}\n`);
  return 1;
}

/** The name that the program was called by, without its directory. */
async function calledBy(): Promise<string> {
  // the self-extracting file says it; a compiled one knows by a module that costs as much as all of a short command
  const path = env("LOCKSMITH_ARGV0") ?? (await import("node:process")).default.argv0;
  const name = path.slice(path.lastIndexOf("/") + 1);
  return name === "" || name === "deno" ? "locksmith" : name;
}

/** A variable, or `undefined` where it is not set or not to be seen. */
function env(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}

function readText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}

const OUTPUT: Output = { out: (text) => write(Deno.stdout, text), err: (text) => write(Deno.stderr, text) };

/** Writes all of it. A reader that went away (`| head`) is no error of ours. */
function write(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  try {
    for (let rest = new TextEncoder().encode(text); rest.length > 0;) {
      rest = rest.subarray(stream.writeSync(rest));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
