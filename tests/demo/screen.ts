/**
 * Where the demo shows itself: a terminal, on which a table is redrawn in place, or a pipe, which gets a line an event.
 * A reader that goes away is no fault, but it ends the demo.
 */

import { oneLine } from "../../lib/cli/output.ts";
import { type Change, event, frame, painter, type Picture, type Style } from "./view.ts";

type Tone = "bold" | "dim" | "done" | "reboots";

/** Where the demo shows itself. */
export interface Screen {
  /** A line that stays. */
  say(tone: Tone, text: string): void;
  /** A machine's state changed. */
  tell(picture: Picture, row: Picture["rows"][number], change: Change): void;
  /** How it all is now. */
  draw(picture: Picture): void;
  /** The last picture stays as it is. Closing twice is fine. */
  close(): void;
}

/** A table where a terminal has room for it, else lines. Whoever reads has gone: the demo stops. */
export function openScreen(stop: AbortController): Screen {
  const out = (text: string) => {
    if (!write(Deno.stdout, text)) stop.abort(1);
  };
  const color = Deno.stdout.isTerminal() && !Deno.noColor && Deno.env.get("TERM") !== "dumb";
  const paint = painter({ color });
  const say = (tone: Tone, text: string) => out(`${paint(tone, text)}\n`);
  const style = (): Style => ({ color, unicode: isUtf8(), columns: Deno.consoleSize().columns });
  const lines: Screen = {
    say,
    tell: (picture, row, change) => out(`${event(picture, row, change)}\n`),
    draw: () => {},
    close: () => {},
  };
  if (!Deno.stdout.isTerminal() || Deno.env.get("TERM") === "dumb") return lines;
  let height = 0;
  const drawing: Screen = {
    say,
    tell: () => {},
    draw(picture) {
      const drawn = frame(picture, style());
      // each line ends with erasing what an earlier frame left there
      const body = drawn.map((text) => `${text}\x1b[K\n`).join("");
      out(height === 0 ? `\n\x1b[?25l${body}` : `\x1b[${height}A${body}`);
      height = drawn.length;
    },
    close() {
      if (height > 0) out("\x1b[?25h");
      height = 0;
    },
  };
  return fitting(drawing, lines);
}

/** `drawing`, unless its first picture has more lines than the terminal: those that scrolled away cannot be redrawn. */
function fitting(drawing: Screen, lines: Screen): Screen {
  const HEADER_LINES = 9;
  const of = ({ rows }: Picture) => rows.length + HEADER_LINES <= Deno.consoleSize().rows ? drawing : lines;
  let chosen: Screen | undefined;
  return {
    say: drawing.say,
    tell: (picture, row, change) => (chosen ??= of(picture)).tell(picture, row, change),
    draw: (picture) => (chosen ??= of(picture)).draw(picture),
    close: () => chosen?.close(),
  };
}

function isUtf8(): boolean {
  const locale = ["LC_ALL", "LC_CTYPE", "LANG"].map((name) => Deno.env.get(name)).find((value) => value);
  return /utf-?8/i.test(locale ?? "");
}

/** Tells what is wrong. */
export function complain(text: string): void {
  write(Deno.stderr, `demo: error: ${oneLine(text)}\n`);
}

/** Writes all of it; `false` when nobody reads any more: a pipe that is closed, a terminal that is gone. */
export function write(stream: { writeSync(bytes: Uint8Array): number }, text: string): boolean {
  try {
    for (let rest = new TextEncoder().encode(text); rest.length > 0;) {
      rest = rest.subarray(stream.writeSync(rest));
    }
    return true;
  } catch {
    return false;
  }
}
