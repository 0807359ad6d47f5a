/**
 * The rules of output: what was asked for goes to stdout, everything else to stderr; errors are one line with what to
 * do next in another; a log is a line an event. Nothing that comes from outside may steer a terminal.
 */

import { eastAsianWidth } from "get-east-asian-width";
import type { LogLevel } from "../surroundings.ts";

/** The priorities of syslog(3), which journald takes from the start of a line: sd-daemon(3). */
const PRIORITY: Record<LogLevel, number> = { error: 3, warning: 4, notice: 5, info: 6, debug: 7 };

/** A line of the log: for journald, which stamps it itself and has its level from {@linkcode forJournal}, or for a person. */
export function logLine(level: LogLevel, text: string, journal: boolean, now: number): string {
  const line = oneLine(text);
  return journal ? `${line}\n` : `${new Date(now).toISOString()} ${level}: ${line}\n`;
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
  for (const row of rows) row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, widthOf(cell)));
  return rows.map((row) =>
    row.map((cell, i) => cell + " ".repeat((widths[i] ?? 0) - widthOf(cell))).join("  ").trimEnd() + "\n"
  ).join("");
}

/** How many columns of a terminal a text takes. What is put together (a flag, a family) is one character. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of characters(text)) width += widthOfOne(segment);
  return width;
}

/** The characters of a text, as a person counts them. */
function characters(text: string): Iterable<Intl.SegmentData> {
  return new Intl.Segmenter("en", { granularity: "grapheme" }).segment(text);
}

/** Of one character: its first code point says it, unless it is an emoji, or nothing but marks for the one before. */
function widthOfOne(character: string): number {
  if (/^[\p{M}\p{Cf}]*$/u.test(character)) return 0;
  if (/\p{Emoji_Presentation}|\p{RI}|\ufe0f/u.test(character)) return 2;
  // the sound marks of narrow kana belong to the letter before, and have a column of their own
  const marks = character.slice(1).match(/[\uff9e\uff9f]/g) ?? [];
  return eastAsianWidth(character.codePointAt(0) ?? 0) + marks.length;
}

/** As much of a text as fits into so many columns, with an ellipsis in place of what does not. */
export function cutTo(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  let width = 1;
  let end = 0;
  for (const { segment, index } of characters(text)) {
    width += widthOfOne(segment);
    if (width > columns) break;
    end = index + segment.length;
  }
  return `${text.slice(0, end)}\u2026`;
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
  /** `level`: how grave it is, for whoever keeps it; an error where nothing is said. */
  err(text: string, level?: LogLevel): void;
  /** Whether the reader of stdout went away, as far as writing to it has shown. */
  unread?(): boolean;
}

/** The same for the journal, which takes the level from the start of each line. */
export function forJournal(output: Output): Output {
  return {
    out: (text) => output.out(text),
    err(text, level = "error") {
      output.err(text.replace(/^(?=.)/gm, `<${PRIORITY[level]}>`), level);
    },
  };
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
  output.err(`locksmith: error: ${oneLine(message)}\n`, "error");
  if (hint !== undefined) printHint(output, hint);
}

export function printHint(output: Output, hint: string): void {
  output.err(`locksmith: hint: ${oneLine(hint)}\n`, "info");
}

export function printWarning(output: Output, warning: string): void {
  output.err(`locksmith: warning: ${oneLine(warning)}\n`, "warning");
}

/** Tells how it goes on, to who watches. */
export function printProgress(output: Output, text: string): void {
  output.err(`locksmith: ${oneLine(text)}\n`, "info");
}
