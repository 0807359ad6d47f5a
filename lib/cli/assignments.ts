/**
 * Files of `KEY=value` lines, read the way systemd reads its own (`EnvironmentFile=` of systemd.exec(5), os-release(5)):
 * blanks around `=` do not count, a value without quotes goes to the end of its line, quoted parts may span lines, a
 * backslash at the end of a line joins it with the next, a comment has a line of its own. In one thing it is kinder:
 * `export` in front of a key, as a shell has it, is passed over.
 *
 * Nothing is dropped in silence: a line that is no assignment is handed on as such, a quote that nobody closed is
 * marked, and bytes that are no such text are a fault. What keys and values mean is not decided here.
 */

/** A key with its value. */
export interface Assignment {
  readonly key: string;
  readonly value: string;
  /** On which line the key stands, from 1. */
  readonly line: number;
  /** Whether a quote in the value is closed nowhere: then it has swallowed the rest of the file. */
  readonly open: boolean;
}

/** A line that is neither an assignment nor a comment. */
export interface Stray {
  readonly text: string;
  readonly line: number;
}

/** What a file says, in its order. */
export interface Assignments {
  readonly assignments: readonly Assignment[];
  readonly strays: readonly Stray[];
}

/** The text of a file, or what is wrong with its bytes. Bytes that are no UTF-8 become U+FFFD: they may be a comment's. */
export function decodeText(bytes: Uint8Array): { readonly text: string } | { readonly fault: string } {
  const [first, second, third] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    return { fault: "it is UTF-16; save it as UTF-8" };
  }
  if (first === 0xef && second === 0xbb && third === 0xbf) {
    return { fault: "it begins with a byte order mark; save it as UTF-8 without one" };
  }
  const nul = bytes.indexOf(0);
  const text = new TextDecoder().decode(bytes);
  if (nul < 0) return { text };
  const line = new TextDecoder().decode(bytes.subarray(0, nul)).split(/\r\n|[\r\n]/).length;
  return { fault: `there is a NUL byte on line ${line}; save it as plain UTF-8 text` };
}

/** Takes a text apart. Never throws. */
export function parseAssignments(text: string): Assignments {
  const scanner = new Scanner(text.replace(/\r\n?/g, "\n"));
  const assignments: Assignment[] = [];
  const strays: Stray[] = [];
  while (scanner.take(/[ \t\n]*/y) && !scanner.done) {
    if (scanner.take(/[#;][^\n]*/y)) continue;
    const { line } = scanner;
    const [all = "", name = "", equals] = scanner.take(/([^\n][^=\n]*)(=?)/y) ?? [];
    if (equals === "=") {
      const key = name.trimEnd().replace(/^export[ \t]+/, "");
      assignments.push({ key, line, ...takeValue(scanner) });
    } else strays.push({ text: all.trimEnd(), line });
  }
  return { assignments, strays };
}

/** Quoted parts, as many as there are; then what has no quotes, up to the end of the line. */
function takeValue(scanner: Scanner): Pick<Assignment, "value" | "open"> {
  let value = "";
  while (true) {
    scanner.take(/[ \t]*/y);
    const quoted = scanner.take(/'([^']*)('?)|"((?:[^"\\]|\\[^]?)*)("?)/y);
    if (quoted === null) break;
    const [, single, singleEnd, double = "", doubleEnd] = quoted;
    value += single ?? double.replace(/\\([^])/g, unescape);
    if ((singleEnd ?? doubleEnd) === "") return { value, open: true };
  }
  // blanks at the end do not count, unless quotes or a backslash keep them
  let kept = value.length;
  for (let bare; (bare = scanner.take(/\\([^]?)|[^\\\n]+/y)) !== null;) {
    const [text, escaped] = bare;
    value += escaped === undefined ? text : escaped === "\n" ? "" : escaped;
    kept = escaped === undefined ? Math.max(kept, value.replace(/[ \t]+$/, "").length) : value.length;
  }
  return { value: value.slice(0, kept), open: false };
}

/** A backslash in double quotes stands for itself, except in front of what would mean something there. */
function unescape(pair: string, character: string): string {
  if (character === "\n") return "";
  return '"\\`$'.includes(character) ? character : pair;
}

/** A place in a text, and its line. */
class Scanner {
  line = 1;
  #at = 0;

  constructor(private readonly text: string) {}

  get done(): boolean {
    return this.#at >= this.text.length;
  }

  /** What stands here, by a sticky pattern, or `null`; the place is then behind it. */
  take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.text);
    if (match === null) return null;
    this.#at += match[0].length;
    this.line += match[0].split("\n").length - 1;
    return match;
  }
}
