/**
 * What the demo shows: on a terminal a table that is drawn anew in its place, a line of time for each machine; anywhere
 * else a line an event. Both are made from the same picture, and neither knows where it comes from.
 */

import { oneLine } from "../../lib/cli/output.ts";
import { count, seconds } from "./judge.ts";

/** What a machine is doing, in the order in which it comes. */
export type State = "starts" | "waits" | "holds" | "reboots" | "returns" | "done";

/** From `atMs` on, in milliseconds since the epoch, until the next change. */
export interface Change {
  readonly atMs: number;
  readonly state: State;
}

export interface Row {
  readonly name: string;
  /** The boot that it is in; its last one while it is down. */
  readonly bootId: string;
  readonly changes: readonly Change[];
}

/** The whole at one moment. */
export interface Picture {
  readonly startedMs: number;
  readonly nowMs: number;
  readonly rows: readonly Row[];
  readonly max: number;
  /** Who holds a slot, by name. */
  readonly holders: readonly string[];
  readonly mostAtOnce: number;
  /** Why the semaphore could not be read at the last try. */
  readonly trouble: string | undefined;
  /** Whether the machines are hosts whose system really reboots. */
  readonly real: boolean;
}

/** What a terminal can show. */
export interface Style {
  readonly color: boolean;
  /** Whether it shows more than ASCII. */
  readonly unicode: boolean;
  readonly columns: number;
}

const COLORS: Record<State | "bold" | "dim", string> = {
  starts: "2",
  waits: "2",
  holds: "33",
  reboots: "1;35",
  returns: "36",
  done: "32",
  bold: "1",
  dim: "2",
};
const GLYPHS: Record<"unicode" | "ascii", Record<State, string>> = {
  unicode: { starts: " ", waits: "\u00b7", holds: "\u2501", reboots: "\u2588", returns: "\u2501", done: " " },
  ascii: { starts: " ", waits: ".", holds: "=", reboots: "#", returns: "=", done: " " },
};
/** A column of the line of time is at least so long, in milliseconds; it grows as the run does. */
const COLUMN_MS = { least: 200, step: 50 };
const TIME_COLUMNS_LEAST = 10;

/** What the machine does now. */
export function stateOf({ changes }: Row): State {
  return changes.at(-1)?.state ?? "starts";
}

/** The lines of the table. None is wider than the terminal, so that each is one line there too. */
export function frame(picture: Picture, style: Style): string[] {
  const { rows, startedMs, nowMs, max, holders } = picture;
  const paint = painter(style);
  const nameWidth = Math.max("machine".length, ...rows.map(({ name }) => name.length));
  const left = nameWidth + 2 + 7 + 2 + 8 + 2;
  const columns = Math.max(TIME_COLUMNS_LEAST, style.columns - left - 1);
  const steps = Math.ceil((nowMs - startedMs) / columns / COLUMN_MS.step);
  const columnMs = Math.max(COLUMN_MS.least, steps * COLUMN_MS.step);
  const glyphs = GLYPHS[style.unicode ? "unicode" : "ascii"];
  const key = (["waits", "holds", "reboots"] as const).map((state) => ({
    state,
    text: `${glyphs[state]} ${state}`,
  }));
  const head = `${"machine".padEnd(nameWidth)}  state    boot      `;
  const lines: Part[][] = [
    [["dim", head], ...key.flatMap(({ state, text }): Part[] => [[state, text], ["", "  "]])],
    ...rows.map((row): Part[] => {
      const state = stateOf(row);
      const boot = state === "reboots" ? "-" : row.bootId.slice(0, 8);
      return [
        ["bold", row.name.padEnd(nameWidth)],
        ["", "  "],
        [state, state.padEnd(7)],
        ["", "  "],
        [hasRebooted(row) ? "done" : "dim", boot.padEnd(8)],
        ["", "  "],
        ...line(row, picture, columnMs, glyphs),
      ];
    }),
    [],
    [["", `${seconds(nowMs - startedMs)}, slots: ${holders.length} of ${max} held${byWhom(holders)}`]],
    [
      ["", `${rebootedCount(rows)} of ${count(rows.length, "machine")} rebooted, at most `],
      ["bold", String(picture.mostAtOnce)],
      ["", ` at once so far (max ${max})`],
    ],
    [["reboots", picture.trouble === undefined ? "" : oneLine(picture.trouble)]],
  ];
  return lines.map((parts) =>
    cut(parts, style.columns - 1).map(([style, text]) => paint(style, text)).join("")
  );
}

type Part = readonly [style: keyof typeof COLORS | "", text: string];

/** What a machine did, a glyph for what it did in the middle of each column: what was apart in time stays apart. */
function line(row: Row, picture: Picture, columnMs: number, glyphs: Record<State, string>): Part[] {
  const parts: Part[] = [];
  for (let at = picture.startedMs + columnMs / 2; at <= picture.nowMs; at += columnMs) {
    const state = row.changes.findLast(({ atMs }) => atMs <= at)?.state ?? "starts";
    parts.push([state, glyphs[state]]);
  }
  return parts;
}

function byWhom(holders: readonly string[]): string {
  return holders.length === 0 ? "" : ` by ${holders.join(", ")}`;
}

function hasRebooted(row: Row): boolean {
  return stateOf(row) === "returns" || stateOf(row) === "done";
}

/** How many machines are through. */
export function rebootedCount(rows: readonly Row[]): number {
  return rows.filter((row) => stateOf(row) === "done").length;
}

function cut(parts: readonly Part[], columns: number): Part[] {
  let room = Math.max(0, columns);
  return parts.map(([style, text]): Part => {
    const kept = [...text].slice(0, room).join("");
    room -= [...kept].length;
    return [style, kept];
  });
}

/** Wraps a text in the codes of its style, where there is colour. */
export function painter(
  { color }: Pick<Style, "color">,
): (style: keyof typeof COLORS | "", text: string) => string {
  return (style, text) =>
    color && style !== "" && text.trim() !== "" ? `\x1b[${COLORS[style]}m${text}\x1b[0m` : text;
}

/** A change as a line of a log, with the time since the start. */
export function event(picture: Picture, row: Row, { state }: Change): string {
  const nameWidth = Math.max(...picture.rows.map(({ name }) => name.length));
  const offset = seconds(picture.nowMs - picture.startedMs).padStart(7);
  return `${offset}  ${row.name.padEnd(nameWidth)}  ${describe(state, row, picture.real)}`;
}

function describe(state: State, { bootId, changes }: Row, real: boolean): string {
  const boot = bootId.slice(0, 8);
  switch (state) {
    case "starts":
      return `starts, boot ${boot}`;
    case "waits":
      return "waits for a slot";
    case "holds":
      return "holds a slot";
    case "reboots":
      return `reboots: ${real ? "its system went" : "its reboot command ran, it is"} down for 2 seconds`;
    case "returns":
      return `returns under a new boot id, boot ${boot}`;
    case "done":
      return changes.some(({ state }) => state === "holds")
        ? "done: its slot is given back"
        : "done, without a slot";
  }
}
