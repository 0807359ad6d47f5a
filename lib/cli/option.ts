/**
 * What an option is: declared once, and read by everything that speaks of it. From a row of the table in `options.ts` come
 * the command line, the variables, the help, the completions, `locksmith config` and the typed configuration of the
 * commands. Here are the shape of a row and the parsers that several rows share.
 */

import { DurationError, parseDuration } from "../duration.ts";
import { WindowError } from "../window.ts";

/** What a text that somebody wrote for an option is: a value, or an error of these. */
export class ValueError extends Error {
  override readonly name = "ValueError";
}

/** An option. */
export interface Option<T = unknown> {
  /** Shorter names, on the command line. */
  readonly aliases?: readonly string[];
  /** What stands for the value in the help. Absent: the option is a switch. */
  readonly value?: string;
  /**
   * The value may be left out, and is then an empty text. Only `=` gives one: what stands behind a blank is an argument
   * of its own.
   */
  readonly optional?: boolean;
  /** May be given several times, or several behind each other with this between them; its value is then a list. */
  readonly repeatable?: "," | ";";
  /** For the help, without the default. */
  readonly help: string;
  /** The commands that read it; `lock --wait` is `lock` where `--wait` is given. `config` reads all that have a variable. */
  readonly by: readonly string[];
  /** Every command takes it on its command line, whether it reads it or not. */
  readonly common?: boolean;
  /**
   * How else it can be set. `prefixed`: by `LOCKSMITHD_` or `LOCKSMITHCTL_` and its name, in the environment and in files; `plain`:
   * also without such a prefix; `environment`: with one, and not in files. Absent: on the command line only.
   */
  readonly variable?: "prefixed" | "plain" | "environment";
  /** Not to be shown. */
  readonly secret?: boolean;
  /** What is shown of a value that has a secret in it. */
  shown?(value: T): string;
  /** systemd may hand it over too, as a credential of the option's name. */
  readonly credential?: boolean;
  /** What counts where nothing is written, as it would be written. A function says what this machine has. */
  readonly fallback?: string | (() => string);
  /** What counts instead for some commands. */
  readonly fallbacks?: Readonly<Record<string, string>>;
  /** What is said where it is missing and must not be. */
  readonly required?: string;
  /** A good value, for an example. */
  readonly sample?: string;
  /**
   * The value of a text. Throws {@linkcode ValueError}, {@linkcode DurationError} or {@linkcode WindowError}, which say
   * what is allowed.
   */
  parse(text: string): T;
}

/** The commands that have an option: those that read it, and `config` for all that can be set elsewhere. */
export function commandsOf({ by, variable }: Pick<Option, "by" | "variable">): string[] {
  const readers = by.map((reader) => reader.replace(/ .*/, ""));
  return [...new Set([...readers, ...(variable === undefined ? [] : ["config"])])];
}

/** The options that a command has beside those of every command. */
export function ownOptions(name: string, options: Readonly<Record<string, Option>>): [string, Option][] {
  return Object.entries(options).filter(([, option]) => !option.common && commandsOf(option).includes(name));
}

/** What is said of an option: what it does, and its default. */
export function optionHelp({ help, fallback, value }: Option): string {
  const standard = typeof fallback === "string" && fallback !== "" && value !== undefined
    ? `; default: ${fallback}`
    : "";
  return help + standard;
}

/** The value of a text, or what is wrong with it. */
export function attempt<T>(
  parse: (text: string) => T,
  text: string,
): { value: T } | { faults: readonly string[] } {
  try {
    return { value: parse(text) };
  } catch (error) {
    if (error instanceof WindowError) return { faults: error.faults };
    if (error instanceof ValueError || error instanceof DurationError) return { faults: [error.message] };
    throw error;
  }
}

/** Any text but the empty one. */
export function parseText(text: string): string {
  if (text === "") throw new ValueError("the value is empty");
  return text;
}

export function parsePath(text: string): string {
  if (text.startsWith("/") && !text.includes("\0")) return text;
  throw new ValueError(`'${text}' is not an absolute path`);
}

/** As flags and variables have it. */
export function parseSwitch(text: string): boolean {
  const word = text.toLowerCase();
  if (["true", "1", "yes", "on"].includes(word)) return true;
  if (["false", "0", "no", "off"].includes(word)) return false;
  throw new ValueError(`'${text}' is neither true nor false`);
}

/** Whole numbers of a range. */
export function wholeNumber(from: number, to: number): (text: string) => number {
  return (text) => {
    const value = /^[+-]?[0-9]{1,10}$/.test(text) ? Number(text) : NaN;
    if (value >= from && value <= to) return value;
    throw new ValueError(`'${text}' is not a whole number from ${from} to ${to}`);
  };
}

/** A duration that is not negative, in milliseconds. */
export function parseLength(text: string): number {
  const ms = parseDuration(text);
  if (ms < 0) throw new ValueError(`'${text}' is negative`);
  return ms;
}
