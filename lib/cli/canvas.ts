/**
 * A terminal that is drawn anew in place: a whole screen beside the one that is there, or one line of it. What it shows
 * at the end stays, and so does what the terminal was set to before.
 *
 * A line that is too long is cut by the terminal, and one too many is left out.
 */

import { env } from "./process.ts";

/** Control sequences of xterm, which every terminal of today knows. */
const OTHER_SCREEN = { on: "\u001b[?1049h", off: "\u001b[?1049l" };
const CURSOR = { on: "\u001b[?25h", off: "\u001b[?25l", home: "\u001b[H" };
const WRAP = { on: "\u001b[?7h", off: "\u001b[?7l" };
const ERASE = { line: "\u001b[K", below: "\u001b[J" };

/** Whether a terminal can be drawn on, by its name. */
export function canDraw(): boolean {
  return env("TERM") !== "dumb";
}

/** The whole screen. */
export class Canvas implements Disposable {
  #last = "";

  constructor(private readonly write: (text: string) => void) {
    write(OTHER_SCREEN.on + CURSOR.off + WRAP.off);
  }

  /** Shows a text in place of the one before; in the last line of the screen, `foot`. */
  draw(text: string, foot: string, rows: number): void {
    this.#last = text;
    const lines = text.trimEnd().split("\n");
    const room = Math.max(1, rows - 2);
    const shown = lines.length <= room
      ? lines
      : [...lines.slice(0, room - 1), `\u2026 ${lines.length - room + 1} more lines`];
    const body = [...shown, "", foot].map((line) => line + ERASE.line).join("\n");
    this.write(CURSOR.home + body + ERASE.below);
  }

  [Symbol.dispose](): void {
    this.write(WRAP.on + CURSOR.on + OTHER_SCREEN.off + this.#last);
  }
}

/** One line. */
export class LiveLine implements Disposable {
  #last = "";

  constructor(private readonly write: (text: string) => void) {}

  draw(line: string): void {
    this.#last = line;
    this.write(`\r${WRAP.off}${line}${ERASE.line}${WRAP.on}`);
  }

  /** Lets `print` write lines that stay, above. */
  above(print: () => void): void {
    const last = this.#last;
    this[Symbol.dispose]();
    print();
    if (last !== "") this.draw(last);
  }

  /** Takes the line away. */
  [Symbol.dispose](): void {
    if (this.#last !== "") this.write(`\r${ERASE.line}`);
    this.#last = "";
  }
}
