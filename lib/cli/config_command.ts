/**
 * `locksmith config`: judges the configuration of this host, as its daemon reads it. What is in effect goes to stdout, by
 * whom it was set beside it; what has no effect and what is wrong goes to stderr. Passwords are shown to nobody.
 */

import type { Reading } from "./config.ts";
import { DEFAULT_GROUP, groupLabel } from "../group.ts";
import { type Option, optionHelp } from "./option.ts";
import { OPTIONS, type OptionTable } from "./options.ts";
import { type Output, printError, printHint, printWarning, table, wrap } from "./output.ts";
import { type Column, fitTable, type Screen } from "./screen.ts";
import { exampleLine, OWN_FILE, OWN_FOLDER, type Settings } from "./settings.ts";
import type { StrategyChoice } from "../strategy.ts";
import type { Part } from "./composer.ts";
import type { ScheduleConfig } from "./schedule_config.ts";
import { freezeFileFaults } from "./live_schedule.ts";

/** The shape of `locksmith config --json`. */
export interface ConfigReport {
  /** In the order of the help. */
  readonly settings: readonly SettingReport[];
  /** What is written for locksmith and has no effect. */
  readonly warnings: readonly string[];
  /** Without any, the daemon starts. */
  readonly faults: readonly string[];
}

/** What is in effect of an option. */
export interface SettingReport {
  readonly name: string;
  /**
   * Numbers and switches as such, what may be given several times as a list, a duration as it was written, `(hidden)` for a password; `null`:
   * nothing is set. A value with a fault is the text as it was written.
   */
  readonly value: string | number | boolean | readonly string[] | null;
  /** The flag, the variable, or the file and line; `default`, or in words why it is so. */
  readonly origin: string;
}

/** Shows it, and gives the exit code: 2 where there is a fault. */
export async function config(
  output: Output,
  reading: Reading,
  settings: Settings,
  screen?: Screen,
): Promise<number> {
  if (reading.parts.get("example")?.value === true) {
    output.out(exampleFile());
    return 0;
  }
  // composed under this name by a function of this type
  const schedule = reading.together.get("schedule") as ScheduleConfig | undefined;
  const { settings: rows, warnings, faults: told } = configReport(reading, settings);
  const faults = schedule === undefined ? told : [...told, ...await freezeFileFaults(schedule, Date.now())];
  output.out(
    reading.parts.get("json")?.value === true
      ? `${JSON.stringify({ settings: rows, warnings, faults } satisfies ConfigReport)}\n`
      : screen === undefined
      ? table([
        COLUMNS.map(({ title }) => title),
        ...rows.map((row) => COLUMNS.map(({ cell }) => cell(row) ?? "-")),
      ])
      : fitTable(screen, COLUMNS, rows),
  );
  for (const warning of warnings) printWarning(output, warning);
  for (const fault of faults) printError(output, fault);
  for (const hint of reading.hints) printHint(output, hint);
  return faults.length > 0 ? 2 : 0;
}

const COLUMNS: readonly Column<SettingReport>[] = [
  { title: "NAME", cell: ({ name }) => name },
  { title: "VALUE", cell: ({ name, value }) => shown(name, value) },
  { title: "FROM", cell: ({ origin }) => origin },
];

/** What is in effect, of all that can be set elsewhere than on the command line. */
export function configReport(
  { parts, together, faults }: Reading,
  settings: Settings,
  options: OptionTable = OPTIONS,
): ConfigReport {
  const rows = Object.entries(options).filter(([, { variable }]) => variable !== undefined);
  // composed under this name by a function of this type
  const strategy = together.get("strategy") as StrategyChoice | undefined;
  return {
    settings: rows.map(([name, option]) => {
      const part = parts.get(name) ?? { value: undefined, origin: undefined };
      const texts = settings.values.get(name)?.texts ?? [];
      if (name === "reboot-strategy" && strategy !== undefined && part.value !== strategy.strategy) {
        return { name, value: strategy.strategy, origin: strategy.why };
      }
      return { name, value: valueOf(option, part, texts), origin: part.origin ?? standard(option) };
    }),
    warnings: settings.warnings,
    faults,
  };
}

function valueOf(option: Option, { value, origin }: Part, texts: readonly string[]): SettingReport["value"] {
  const written = option.repeatable && texts.length > 0 ? texts.join(option.repeatable) : texts.at(-1);
  if (option.secret) return origin === undefined ? null : "(hidden)";
  if (origin !== undefined && value === undefined) {
    return option.shown === undefined ? written ?? null : "(hidden)";
  }
  if (value !== undefined && option.shown !== undefined) return option.shown(value);
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (Array.isArray(value)) return value.map(String);
  if (typeof value === "number" && option.value === "NUMBER") return value;
  return written ?? (typeof option.fallback === "string" ? option.fallback : null);
}

function standard({ fallback }: Option): string {
  return typeof fallback === "function" ? "this machine" : "default";
}

function shown(name: string, value: SettingReport["value"]): string {
  if (name === "group" && value === DEFAULT_GROUP) return groupLabel(DEFAULT_GROUP);
  if (typeof value === "object" && value !== null) {
    return value.join((OPTIONS as OptionTable)[name]?.repeatable === ";" ? "; " : ",");
  }
  return value === null || value === "" ? "-" : String(value);
}

/** A configuration file with every setting, none of them in effect yet. */
export function exampleFile(options: OptionTable = OPTIONS): string {
  const settings = Object.entries(options).filter(([, { variable }]) => {
    return variable !== undefined && variable !== "environment";
  });
  const about =
    `Configuration of locksmith on this host, for the daemon and every command: save it as ${OWN_FILE}. Files ` +
    `in ${OWN_FOLDER} (*.conf) are read after it, and the last assignment wins. A value goes to the end of its line; a ` +
    "comment needs a line of its own. 'locksmith config' checks it.";
  return [
    ...comment(about),
    ...settings.flatMap((
      [name, option],
    ) => ["", ...comment(optionHelp(option)), `#${exampleLine(name, options)}`]),
  ].map((line) => `${line}\n`).join("");
}

function comment(text: string): string[] {
  return wrap(text, 77).map((line) => `# ${line}`);
}
