/**
 * The configuration: what the settings mean, checked before anything starts.
 *
 * A command gets a typed and complete configuration, or an error that tells every fault at once; each names the option,
 * the variable, or the file and line as the administrator wrote it. What a command does not read is not judged for it:
 * only `locksmith config` judges everything.
 */

import { attempt, commandsOf, type Option } from "./option.ts";
import { type Composer, FAULTY, type Faulty, type Part } from "./composer.ts";
import { TOGETHER, type Together } from "./together.ts";
import {
  type CommandName,
  type OptionName,
  OPTIONS,
  type OptionTable,
  type Reader,
  type Value,
} from "./options.ts";
import type { Settings } from "./settings.ts";

type Commands<R extends Reader> = R extends `${infer Command} ${string}` ? Command : R;
type ReadBy<N extends OptionName> = Commands<(typeof OPTIONS)[N]["by"][number]>;

/** The typed and complete configuration of a command: its options, and what some of them mean together. */
export type Config<C extends CommandName> =
  & { readonly [N in OptionName as C extends ReadBy<N> ? N : never]: Value<N> }
  & {
    readonly [
      T in keyof Together as C extends ReadBy<Together[T]["of"][0]> ? T : never
    ]: Exclude<ReturnType<Together[T]["compose"]>, Faulty>;
  };

/** Wrong options, arguments or settings: exit 2, before anything was started. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** `warnings`: what has no effect, where a fault may come from that. */
  constructor(
    readonly faults: readonly string[],
    readonly hints: readonly string[] = [],
    readonly warnings: readonly string[] = [],
  ) {
    super(faults.join("; "));
  }
}

/** What all settings of a command came to. */
export interface Reading {
  readonly parts: ReadonlyMap<string, Part>;
  /** What some of them mean together, unless there is a fault in it. */
  readonly together: ReadonlyMap<string, unknown>;
  readonly faults: readonly string[];
  /** What to do about the faults, where there is more to say. */
  readonly hints: readonly string[];
}

/** Reads all that the command wants of the settings. `readFile` reads certificates. */
export function interpret(
  command: string,
  settings: Settings,
  readFile: (path: string) => Uint8Array,
  options: OptionTable = OPTIONS,
): Reading {
  const faults = [...settings.faults];
  const hints = [...settings.hints];
  const parts = new Map<string, Part>();
  for (const [name, option] of Object.entries(options)) {
    if (commandsOf(option).includes(command)) {
      parts.set(name, readPart(name, option, command, settings, faults));
    }
  }
  const together = new Map<string, unknown>();
  // each name has the part of its own row
  const part =
    ((name: string) => parts.get(name) ?? { value: undefined, origin: undefined }) as Composer["part"];
  for (const [name, { of: [first], compose }] of Object.entries(TOGETHER)) {
    if (!parts.has(first)) continue;
    const value = compose({ command, part, readFile, faults, hints });
    if (value !== FAULTY) together.set(name, value);
  }
  return { parts, together, faults: [...new Set(faults)], hints };
}

/** The configuration of a command. Throws {@linkcode UsageError} with every fault, and `faults` are some already. */
export function configure<C extends CommandName>(
  command: C,
  settings: Settings,
  readFile: (path: string) => Uint8Array,
  faults: readonly string[] = [],
): Config<C> {
  const reading = interpret(command, settings, readFile);
  const all = [...faults, ...reading.faults];
  if (all.length > 0) {
    throw new UsageError(all, reading.hints, reading.faults.length > 0 ? settings.warnings : []);
  }
  const values = [...reading.parts].map(([name, { value }]) => [name, value] as const);
  // the rows that this command reads are the fields of its type
  return Object.fromEntries([...values, ...reading.together]) as Config<C>;
}

function readPart(
  name: string,
  option: Option,
  command: string,
  { values }: Settings,
  faults: string[],
): Part {
  const setting = values.get(name);
  const condition = conditionOf(option, command);
  const heeded = condition === undefined || values.has(condition);
  if (setting !== undefined && !heeded && !option.common && setting.origin.startsWith("--")) {
    faults.push(`${setting.origin} has an effect only with --${condition}`);
  }
  if (setting === undefined || !heeded) {
    return { value: readFallback(name, option, command, faults), origin: undefined };
  }
  const { origin, fault } = setting;
  if (fault !== undefined) {
    faults.push(`${origin}: ${fault}`);
    return { value: undefined, origin };
  }
  const { repeatable } = option;
  const texts = repeatable
    ? setting.texts.flatMap((text) => text.split(repeatable))
    : setting.texts.slice(-1);
  const before = faults.length;
  const read = texts.flatMap((text) => {
    const attempted = attempt(option.parse, option.repeatable ? text.trim() : text);
    if ("value" in attempted) return [attempted.value];
    const comment = setting.filed && /[ \t][#;]/.test(text) ? "; put the comment on a line of its own" : "";
    faults.push(...attempted.faults.map((fault) => `${origin}: ${fault}${comment}`));
    return [];
  });
  if (faults.length > before) return { value: undefined, origin };
  return { value: option.repeatable ? read : read[0], origin };
}

/** The option with which alone a command heeds this one: `wait` of `lock --wait`. */
function conditionOf({ by }: Option, command: string): string | undefined {
  return by.map((reader) => reader.split(" --")).find(([name]) => name === command)?.[1];
}

function readFallback(name: string, option: Option, command: string, faults: string[]): unknown {
  const { required, repeatable, parse } = option;
  const fallback = option.fallbacks?.[command] ?? option.fallback;
  if (required !== undefined) faults.push(`--${name} is missing: ${required}`);
  if (fallback === undefined) return undefined;
  const attempted = attempt(() => typeof fallback === "string" ? parse(fallback) : fallback(), "");
  if ("faults" in attempted) {
    faults.push(...attempted.faults.map((fault) => `the default of --${name}: ${fault}`));
    return undefined;
  }
  return repeatable ? [attempted.value] : attempted.value;
}
