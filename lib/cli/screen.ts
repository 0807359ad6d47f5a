/**
 * What a person sees on a terminal: tables that fit its width, times by its own clock, colour where it has some. What goes
 * into a file or a pipe is for programs, and stays as documented.
 *
 * A table is never wrapped: the columns that matter least are left out, and what does not fit of the last is cut.
 */

import { ageSeconds, describeDuration, describeStored } from "../description.ts";
import { cutTo, oneLine, table, widthOf } from "./output.ts";

/** A terminal. */
export interface Screen {
  /** How wide it is; `Infinity` where it does not say. */
  readonly columns: number;
  /** The time zone of its clock; without one times are shown as they are stored. */
  readonly zone: string | undefined;
  readonly colour: boolean;
}

/** What catches the eye: what is wrong, and what somebody has stopped. */
export type Colour = "red" | "yellow";
const CODES: Record<Colour, number> = { red: 31, yellow: 33 };

/** A column of a table whose rows are of type `Row`. */
export interface Column<Row> {
  readonly title: string;
  /** What is not known is a dash; a column of dashes alone is left out. */
  cell(row: Row): string | undefined;
  /** The column with the highest number is left out first; without one it stays. */
  readonly spare?: number;
  colour?(row: Row): Colour | undefined;
}

/** The narrowest that the last column is cut to before another is left out. */
const LAST_COLUMNS = 12;
const GAP = 2;

/** A table as wide as the terminal at most. The last column may be cut. Ends with a newline. */
export function fitTable<Row>(screen: Screen, columns: readonly Column<Row>[], rows: readonly Row[]): string {
  let shown = columns.map((column) => {
    const cells = rows.map((row) => oneLine(column.cell(row) || "-"));
    const width = Math.max(...[column.title, ...cells].map(widthOf));
    return { column, cells, width };
  }).filter(({ cells }) => cells.some((cell) => cell !== "-"));
  const fixed = () => shown.slice(0, -1).reduce((sum, { width }) => sum + width + GAP, 0);
  const tooWide = () => fixed() + Math.min(LAST_COLUMNS, shown.at(-1)?.width ?? 0) > screen.columns;
  while (tooWide()) {
    const most = Math.max(0, ...shown.map(({ column }) => column.spare ?? 0));
    if (most === 0) break;
    shown = shown.filter(({ column }) => column.spare !== most);
  }
  const room = screen.columns - fixed();
  const texts = [
    shown.map(({ column }) => column.title),
    ...rows.map((_, index) =>
      shown.map(({ cells }, place) => {
        const cell = cells[index] ?? "";
        return place < shown.length - 1 ? cell : cutTo(cell, Math.max(1, room));
      })
    ),
  ];
  const lines = table(texts).split("\n");
  return lines.map((line, index) => {
    const row = rows[index - 1];
    const colours = row === undefined ? [] : shown.flatMap(({ column }) => column.colour?.(row) ?? []);
    const [colour] = colours;
    return colour === undefined ? line : paint(line, colour, screen);
  }).join("\n");
}

/** `text` in a colour, where the terminal has some. */
export function paint(text: string, colour: Colour, screen: Screen | undefined): string {
  return screen?.colour ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text;
}

/** An instant of a document, by the clock of the terminal. */
export function timeOn(screen: Screen, instant: string | undefined): string | undefined {
  return instant === undefined ? undefined : describeStored(instant, screen.zone);
}

/** How long ago an instant was. `now` in milliseconds since the epoch. */
export function ageOn(instant: string | undefined, now: number): string | undefined {
  return instant === undefined ? undefined : describeDuration(ageSeconds(instant, now) * 1000);
}
