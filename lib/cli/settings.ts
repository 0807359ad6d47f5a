/**
 * The settings: every value that was given, with the place it came from.
 *
 * A flag beats the environment, the environment beats `update.conf` in `/etc`, that beats the one in `/usr/share`, and
 * that beats the default. What a value means, and whether it is a good one, is decided in `config.ts`.
 */

import type { OptionSpec } from "./args.ts";

/** The options of every command: where the lock is. */
export const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  {
    name: "endpoint",
    value: "URL",
    repeatable: true,
    help: "etcd: http(s)://HOST:PORT, several by comma or repeated; or sqlite:PATH",
  },
  { name: "etcd-cafile", value: "FILE", help: "trust the etcd servers that this CA signed" },
  { name: "etcd-certfile", value: "FILE", help: "client certificate for etcd" },
  { name: "etcd-keyfile", value: "FILE", help: "private key of the client certificate" },
  { name: "etcd-username", value: "NAME", help: "user of etcd" },
  {
    name: "etcd-password",
    value: "TEXT",
    help: "its password; better in the environment than in the process list",
  },
  { name: "group", value: "NAME", help: "the group of machines that share one semaphore" },
  { name: "root", value: "DIR", help: "read machine id, boot id, sentinel and update.conf below DIR" },
  { name: "debug", help: "say more on stderr" },
];

/** The options of the daemon, and of what looks at the daemon's configuration. */
export const STRATEGY_OPTION: OptionSpec = {
  name: "reboot-strategy",
  value: "NAME",
  help: "etcd-lock, reboot (without a lock) or off",
};
export const WINDOW_OPTIONS: readonly OptionSpec[] = [
  { name: "reboot-window-start", value: "TIME", help: "start of the window: 'HH:MM' or 'Day HH:MM'" },
  { name: "reboot-window-length", value: "DURATION", help: "length of the window, such as 1h30m" },
  {
    name: "zone",
    value: "ZONE",
    help: "time zone of the window, such as Europe/Berlin; default: this machine's",
  },
];
export const REBOOT_COMMAND_OPTION: OptionSpec = {
  name: "reboot-command",
  value: "COMMAND",
  help: "reboot with this shell command instead of logind",
};
export const PRIORITY_OPTION: OptionSpec = {
  name: "priority",
  value: "NUMBER",
  help: "place in the queue, the higher first, from -100 to 100; default: 0",
};
export const OVERDUE_OPTION: OptionSpec = {
  name: "hold-overdue",
  value: "DURATION",
  help: "name the machines whose reboot takes longer than this; default: 1h",
};
export const DAEMON_OPTIONS: readonly OptionSpec[] = [
  STRATEGY_OPTION,
  ...WINDOW_OPTIONS,
  {
    name: "sentinel",
    value: "FILE",
    help: "a reboot is needed while this file exists; default: /run/reboot-required",
  },
  REBOOT_COMMAND_OPTION,
  {
    name: "session-grace",
    value: "DURATION",
    help: "time for people to log out before the reboot; default: 5m",
  },
  PRIORITY_OPTION,
  OVERDUE_OPTION,
];

/** What can be set in the environment and in `update.conf`. */
export const CONFIGURABLE: readonly OptionSpec[] = [...GLOBAL_OPTIONS, ...DAEMON_OPTIONS];
/** Read without a prefix too, as the old locksmith did. */
const UNPREFIXED = new Set(["reboot-strategy", "reboot-window-start", "reboot-window-length"]);

const PREFIXES = {
  locksmithctl: ["LOCKSMITHCTL_", "LOCKSMITHD_"],
  locksmithd: ["LOCKSMITHD_", "LOCKSMITHCTL_"],
};

/** The files that hold settings, the strongest first, below the root directory. */
export const CONFIG_FILES: readonly string[] = [
  "/etc/flatcar/update.conf",
  "/etc/coreos/update.conf",
  "/usr/share/flatcar/update.conf",
  "/usr/share/coreos/update.conf",
];

export const DEFAULT_ENDPOINT = "http://127.0.0.1:2379";
export const DEFAULT_SENTINEL = "/run/reboot-required";
export const DEFAULT_SESSION_GRACE_MS = 5 * 60_000;
export const DEFAULT_HOLD_OVERDUE_MS = 60 * 60_000;
/** What is used where nothing is set, as it would be written; the rest has no default. */
export const DEFAULTS: ReadonlyMap<string, string> = new Map([
  ["endpoint", DEFAULT_ENDPOINT],
  ["root", "/"],
  ["debug", "false"],
  ["sentinel", DEFAULT_SENTINEL],
  ["session-grace", "5m"],
  ["priority", "0"],
  ["hold-overdue", "1h"],
]);

/** Values as they were written (a repeated option has several), and by which option, variable or line. */
export interface Setting {
  readonly values: readonly string[];
  readonly origin: string;
}

/** Where settings are looked for. */
export interface Sources {
  readonly options: ReadonlyMap<string, readonly string[]>;
  env(name: string): string | undefined;
  /** The text of a file, or `undefined` where there is none. May throw for one that cannot be read. */
  readText(path: string): string | undefined;
  readonly program: "locksmithctl" | "locksmithd";
}

/** What was set, by option name, and the faults found while reading it. */
export interface Settings {
  readonly values: ReadonlyMap<string, Setting>;
  readonly faults: string[];
}

/** Gathers the settings of all sources. Empty values count as not set. */
export function readSettings(sources: Sources): Settings {
  const values = new Map<string, Setting>();
  const faults: string[] = [];
  const names = new Map(CONFIGURABLE.map(({ name }) => [name, variableNames(name, sources.program)]));
  for (const { name } of CONFIGURABLE) {
    const given = sources.options.get(name);
    if (given !== undefined) values.set(name, { values: given, origin: `--${name}` });
    else take(values, name, names, (variable) => sources.env(variable), (variable) => variable);
  }
  const root = values.get("root")?.values.at(-1) ?? "/";
  for (const path of CONFIG_FILES) {
    const file = below(root, path);
    const assignments = readFileOnce(file, sources, faults);
    for (const { name } of CONFIGURABLE) {
      if (values.has(name)) continue;
      const found = names.get(name)?.map((variable) => assignments.get(variable)).find((found) =>
        found !== undefined
      );
      if (found?.value === undefined) {
        if (found) faults.push(`${file}:${found.line}: the quoting does not end`);
      } else if (found.value !== "") {
        values.set(name, { values: [found.value], origin: `${file}:${found.line}` });
      }
    }
  }
  return { values, faults };
}

function take(
  values: Map<string, Setting>,
  name: string,
  names: ReadonlyMap<string, readonly string[]>,
  valueOf: (variable: string) => string | undefined,
  origin: (variable: string) => string,
) {
  for (const variable of names.get(name) ?? []) {
    const value = valueOf(variable);
    if (value === undefined || value === "") continue;
    values.set(name, { values: [value], origin: origin(variable) });
    return;
  }
}

/** The environment variables of an option, the strongest first. */
export function variableNames(option: string, program: Sources["program"]): string[] {
  const name = option.toUpperCase().replaceAll("-", "_");
  return [...PREFIXES[program].map((prefix) => prefix + name), ...(UNPREFIXED.has(option) ? [name] : [])];
}

/** `path`, as it lies below the directory `root`. */
export function below(root: string, path: string): string {
  return root.replace(/\/+$/, "") + path;
}

function readFileOnce(path: string, sources: Sources, faults: string[]) {
  try {
    return parseAssignments(sources.readText(path) ?? "");
  } catch (error) {
    faults.push(`cannot read ${path}: ${error instanceof Error ? error.message : error}`);
    return new Map<string, Assignment>();
  }
}

interface Assignment {
  readonly line: number;
  /** `undefined`: a quote in it does not end. */
  readonly value: string | undefined;
}

/**
 * The `KEY=value` lines of a file that a shell could read: comments, `export`, single and double quotes, backslashes.
 * Other lines are not ours to judge: the file belongs to the updater too. The last assignment of a key counts.
 */
export function parseAssignments(text: string): Map<string, Assignment> {
  const assignments = new Map<string, Assignment>();
  text.split("\n").forEach((content, index) => {
    const [, name, rest] =
      /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(content.replace(/\r$/, "")) ?? [];
    if (name !== undefined && rest !== undefined) {
      assignments.set(name, { line: index + 1, value: unquote(rest) });
    }
  });
  return assignments;
}

function unquote(text: string): string | undefined {
  let value = "";
  let rest = text;
  while (rest !== "") {
    const part = /^(?:'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+))/s.exec(rest);
    // blanks end the value; a # begins a comment behind them only
    if (part === null) return /^\s/.test(rest) ? value : undefined;
    const [all, single, double, escaped, plain] = part;
    value += single ?? double?.replace(/\\(["\\$`])/g, "$1") ?? escaped ?? plain ?? "";
    rest = rest.slice(all.length);
  }
  return value;
}
