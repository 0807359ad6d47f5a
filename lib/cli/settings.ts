/**
 * The settings: every text that was given for an option, with the place it came from.
 *
 * A flag beats the environment, the environment beats the credentials that systemd hands over, they beat our own files below
 * `/etc/locksmith`, they beat `update.conf` in `/etc`, and that beats the one in `/usr/share`. Our own files are one text as systemd's drop-ins are: first
 * `locksmith.conf`, then `locksmith.conf.d/*.conf` by name, and the last assignment of a key counts. An empty value
 * counts as none.
 *
 * What a value means is decided in `config.ts`. What nobody will read is told here, as warnings: a variable or a line
 * that looks like one of ours and is none.
 */

import { type Assignment, type Assignments, decodeText, parseAssignments } from "./assignments.ts";
import type { Option } from "./option.ts";
import { OPTIONS, type OptionTable } from "./options.ts";
import { shellWord } from "../shell_word.ts";
import { suggest } from "../suggest.ts";
import { reasonOf } from "../system_error.ts";

/** Which of the old programs this one stands for: its own variables come first. */
export type Program = "locksmithctl" | "locksmithd";

const PREFIXES: Record<Program, readonly string[]> = {
  locksmithctl: ["LOCKSMITHCTL_", "LOCKSMITHD_"],
  locksmithd: ["LOCKSMITHD_", "LOCKSMITHCTL_"],
};

/** Our own file, below the root directory, and the folder of those that change it. */
export const OWN_FILE = "/etc/locksmith/locksmith.conf";
export const OWN_FOLDER = `${OWN_FILE}.d`;
/** Files that we share with an updater, the strongest first. */
export const SHARED_FILES: readonly string[] = [
  "/etc/flatcar/update.conf",
  "/etc/coreos/update.conf",
  "/usr/share/flatcar/update.conf",
  "/usr/share/coreos/update.conf",
];

/** Texts as they were written (a repeated option has several), and by which flag, variable or line. */
export interface Setting {
  readonly texts: readonly string[];
  readonly origin: string;
  /** Whether it stands in a file. */
  readonly filed?: boolean;
  /** What is wrong with how it was written. */
  readonly fault?: string;
}

/** Where settings are looked for. */
export interface Sources {
  /** By option, what the command line says. */
  readonly flags: ReadonlyMap<string, Setting>;
  readonly env: Readonly<Record<string, string>>;
  readonly program: Program;
  /** The bytes of a file, or `undefined` where there is none. May throw for one that cannot be read. */
  readFile(path: string): Uint8Array | undefined;
  /** The names in a folder; none where there is no folder. May throw. */
  readFolder(path: string): readonly string[];
}

/** What was set, by option; what is wrong with whole files, and what to do about that; what nobody will read. */
export interface Settings {
  readonly values: ReadonlyMap<string, Setting>;
  readonly faults: readonly string[];
  readonly hints: readonly string[];
  readonly warnings: readonly string[];
}

/** Gathers the settings of all sources. */
export function readSettings(sources: Sources, options: OptionTable = OPTIONS): Settings {
  const values = new Map(sources.flags);
  const reader = new Reader(sources, options);
  /** By variable, what one place says; the first variable of an option that is set counts. */
  const takeAll = (found: ReadonlyMap<string, Setting>, filed: boolean) => {
    for (const [name, { variable }] of Object.entries(options)) {
      if (values.has(name) || (filed && variable === "environment")) continue;
      const setting = variableNames(name, sources.program, options).map((variable) => found.get(variable))
        .find((setting) => setting !== undefined && setting.texts[0] !== "");
      if (setting !== undefined) values.set(name, setting);
    }
  };
  takeAll(reader.environment(), false);
  for (const [name, setting] of reader.credentials()) if (!values.has(name)) values.set(name, setting);
  const root = values.get("root")?.texts.at(-1) ?? "/";
  takeAll(reader.ownFiles(root), true);
  for (const path of SHARED_FILES) takeAll(reader.file(below(root, path), false), true);
  return { values, faults: reader.faults, hints: reader.hints, warnings: reader.warnings };
}

/** The environment variables of an option, the strongest first; none of one that only the command line takes. */
export function variableNames(name: string, program: Program, options: OptionTable = OPTIONS): string[] {
  const { variable } = options[name] ?? {};
  if (variable === undefined) return [];
  const plain = plainName(name);
  return [...PREFIXES[program].map((prefix) => prefix + plain), ...(variable === "plain" ? [plain] : [])];
}

/** A line of a configuration file that sets an option to its sample. */
export function exampleLine(name: string, options: OptionTable = OPTIONS): string {
  return `${variableNames(name, "locksmithd", options)[0]}=${options[name]?.sample ?? ""}`;
}

/** `path`, as it lies below the directory `root`. */
export function below(root: string, path: string): string {
  return root.replace(/\/+$/, "") + path;
}

/** Reads one place after the other, and remembers what is wrong with them. No value is told: it may be a password. */
class Reader {
  readonly faults: string[] = [];
  readonly hints: string[] = [];
  readonly warnings: string[] = [];
  /** By variable, the option's row. */
  readonly #known = new Map<string, Option>();
  /** The same without prefixes. */
  readonly #words = new Map<string, Option>();
  /** One of our variables, in the middle of something else. */
  readonly #ours: RegExp;

  constructor(private readonly sources: Sources, private readonly options: OptionTable) {
    for (const [name, option] of Object.entries(options)) {
      const variables = variableNames(name, sources.program, options);
      for (const variable of variables) this.#known.set(variable, option);
      if (variables.length > 0) this.#words.set(plainName(name), option);
    }
    this.#ours = new RegExp(`(?<![A-Z0-9_])(?:${[...this.#known.keys()].join("|")})(?![A-Z0-9_])`);
  }

  environment(): Map<string, Setting> {
    const found = new Map<string, Setting>();
    for (const [variable, text] of Object.entries(this.sources.env)) {
      if (this.#known.has(variable)) found.set(variable, { texts: [text], origin: variable });
      else if (PREFIX.test(variable)) this.warnings.push(this.#unknown(variable));
    }
    return found;
  }

  /** By option, what lies in the folder that systemd made for this service. */
  credentials(): Map<string, Setting> {
    const folder = this.sources.env[CREDENTIALS];
    if (folder === undefined || folder === "") return new Map();
    const names = this.#trying(folder, () => this.sources.readFolder(folder)) ?? [];
    return new Map(names.flatMap((name) => {
      if (this.options[name]?.credential !== true) return [];
      const path = `${folder}/${name}`;
      const decoded = this.#trying(path, () => decodeText(this.sources.readFile(path) ?? new Uint8Array()));
      if (decoded === undefined) return [];
      if ("fault" in decoded) {
        this.faults.push(`cannot read ${path}: ${decoded.fault}`);
        return [];
      }
      const text = decoded.text.replace(/\r?\n$/, "");
      return text === "" ? [] : [[name, { texts: [text], origin: path }] as const];
    }));
  }

  ownFiles(root: string): Map<string, Setting> {
    const folder = below(root, OWN_FOLDER);
    const names = this.#trying(folder, () => this.sources.readFolder(folder)) ?? [];
    const dropIns = names.filter((name) => name.endsWith(".conf") && !name.startsWith(".")).sort();
    const paths = [below(root, OWN_FILE), ...dropIns.map((name) => `${folder}/${name}`)];
    return new Map(paths.flatMap((path) => [...this.file(path, true)]));
  }

  /** What a file assigns, by key. All of a file of our `own` is meant for us; of another, what bears one of our names. */
  file(path: string, own: boolean): Map<string, Setting> {
    const found = new Map<string, Setting>();
    const { assignments, strays } = this.#parse(path);
    for (const assignment of assignments) {
      const { key, value, open } = assignment;
      const origin = `${path}:${assignment.line}`;
      const warn = (text: string) => this.warnings.push(`${origin}: ${text}`);
      const variable = this.#known.get(key)?.variable;
      if (variable === "environment") warn(`${key} has no effect in a file, set it in the environment`);
      else if (variable !== undefined) {
        found.set(key, { texts: [value], origin, filed: true, ...faultOf(assignment) });
      } else if (own || PREFIX.test(key) || this.#misspelt(key)) warn(this.#unknown(key));
      const [lost] = this.#ours.exec(value) ?? [];
      if (lost === undefined) continue;
      const why = open ? ", whose quote is not closed" : ", give it a line of its own";
      warn(`${lost} has no effect inside the value of ${key}${why}`);
    }
    for (const { text, line } of strays) {
      const [name] = this.#ours.exec(text) ?? PREFIX.exec(text) ?? [];
      if (!own && name === undefined) continue;
      const hint = name === undefined ? "write KEY=value" : `write ${name}=VALUE`;
      this.warnings.push(`${path}:${line}: this line is not an assignment and has no effect, ${hint}`);
    }
    return found;
  }

  #parse(path: string): Assignments {
    const decoded = this.#trying(path, () => {
      const bytes = this.sources.readFile(path);
      return bytes === undefined ? undefined : decodeText(bytes);
    });
    if (decoded !== undefined && "text" in decoded) return parseAssignments(decoded.text);
    if (decoded !== undefined) this.faults.push(`cannot read ${path}: ${decoded.fault}`);
    return { assignments: [], strays: [] };
  }

  #trying<T>(path: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.faults.push(`cannot read ${path}: ${reasonOf(error)}`);
      if (error instanceof Deno.errors.PermissionDenied && this.hints.length === 0) {
        this.hints.push(
          `run this with sudo, or, if no password is in it, let everybody read it: chmod a+rX ${
            shellWord(path)
          }`,
        );
      }
      return undefined;
    }
  }

  #unknown(variable: string): string {
    const prefix = PREFIX.exec(variable)?.[0];
    const word = variable.slice(prefix?.length ?? 0);
    const meant = this.#words.has(word) ? word : suggest(word, [...this.#words.keys()]);
    const plain = meant !== undefined && this.#words.get(meant)?.variable === "plain";
    const hint = meant === undefined
      ? ""
      : `, did you mean '${prefix ?? (plain ? "" : "LOCKSMITHD_")}${meant}'?`;
    return `${variable} is not a setting and has no effect${hint}`;
  }

  /** Whether a key without a prefix is nearly one of those that are read without it. */
  #misspelt(key: string): boolean {
    const plain = [...this.#words].filter(([, { variable }]) => variable === "plain").map(([word]) => word);
    return suggest(key, plain) !== undefined;
  }
}

/** Names the folder of the credentials of a service: see systemd.exec(5). */
const CREDENTIALS = "CREDENTIALS_DIRECTORY";

const PREFIX = /^LOCKSMITH(?:D|CTL)_/;

function plainName(option: string): string {
  return option.toUpperCase().replaceAll("-", "_");
}

function faultOf({ value, open }: Assignment): { fault?: string } {
  if (open) return { fault: "the quote is not closed" };
  return value.includes("\ufffd") ? { fault: "the value is not UTF-8" } : {};
}
