/** The part of `@std/cli/parse-args` that this project uses. */
export interface ParseOptions {
  /** Options that are always booleans. */
  boolean?: readonly string[];
  /** Options that are always strings; `"_"` keeps the positional arguments strings. */
  string?: readonly string[];
  /** Options that may be repeated: their value is a list. */
  collect?: readonly string[];
  /** Other names of options. */
  alias?: Readonly<Record<string, string | readonly string[]>>;
  /** Keep what follows `--` apart, under `"--"`. */
  "--"?: boolean;
  /** Called for an argument that no option declares; `false` leaves it out of the result. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

export interface Args {
  _: string[];
  "--"?: string[];
  [option: string]: unknown;
}

/** Take `args` apart into options and positional arguments. */
export function parseArgs(args: readonly string[], options?: ParseOptions): Args;
