/**
 * The rules of output: what was asked for goes to stdout, everything else to stderr; errors are one line with what to
 * do next in another; a log is a line an event. Nothing that comes from outside may steer a terminal.
 */

import type { LogLevel } from "../surroundings.ts";

/** The priorities of syslog(3), which journald takes from the start of a line: sd-daemon(3). */
const PRIORITY: Record<LogLevel, number> = { error: 3, warning: 4, notice: 5, info: 6, debug: 7 };

/** A line of the log: for journald, which stamps it itself, or for a person. */
export function logLine(level: LogLevel, text: string, journal: boolean, now: number): string {
  const line = oneLine(text);
  return journal ? `<${PRIORITY[level]}>${line}\n` : `${new Date(now).toISOString()} ${level}: ${line}\n`;
}

/** `text` without what would start another line or steer a terminal. */
export function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex -- these are what must not get through
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (c) => {
    return c === "\n" || c === "\t" ? " " : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** A table: columns aligned, no blanks at the end of a line. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, width(cell)));
  return rows.map((row) =>
    row.map((cell, i) => cell + " ".repeat((widths[i] ?? 0) - width(cell))).join("  ").trimEnd() + "\n"
  ).join("");
}

function width(text: string): number {
  return [...text].length;
}

/** Lines of at most so many columns, unless a word alone is longer. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < columns) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines;
}

/** Where a command writes to. */
export interface Output {
  out(text: string): void;
  err(text: string): void;
}

/** What was asked for cannot be written to stdout. */
export class OutputError extends Error {
  override readonly name = "OutputError";
  constructor(why: string) {
    super(`cannot write to standard output: ${why}`);
  }
}

/** Tells what could not be done, and what to do about it. */
export function printError(output: Output, message: string, hint?: string): void {
  output.err(`locksmith: error: ${oneLine(message)}\n`);
  if (hint !== undefined) printHint(output, hint);
}

export function printHint(output: Output, hint: string): void {
  output.err(`locksmith: hint: ${oneLine(hint)}\n`);
}

export function printWarning(output: Output, warning: string): void {
  output.err(`locksmith: warning: ${oneLine(warning)}\n`);
}

/** Tells how it goes on, to who watches. */
export function printProgress(output: Output, text: string): void {
  output.err(`locksmith: ${oneLine(text)}\n`);
}
