/**
 * The long part of a document's text: its holders and their holds, in the form in which `document.ts` writes them.
 *
 * Two documents of a group mostly differ by one hold. A hold that was written keeps its text, so the next document is put
 * together from texts, and one that comes is compared with them: the same text means the same. A document in any other
 * form, such as one that somebody indented, is not read here. What a text means is up to `document.ts`.
 */

import type { Hold } from "./semaphore.ts";

/** A hold that was read, and the text that it is written as. */
export interface ReadHold {
  readonly id: string;
  readonly text: string;
  readonly hold: Hold;
}

/** A document, taken apart. */
export interface Parts {
  /** The document as JSON without its holders and their holds. */
  readonly rest: string;
  readonly holders: readonly unknown[];
  /** Those that are known by their text, and of the others what stands there as JSON, in the order of the text. */
  readonly holds: readonly (ReadHold | readonly [id: string, value: unknown])[];
}

/** A text of JSON. */
const TEXT = String.raw`"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"`;
const HEAD = new RegExp(
  String.raw`^(\{"semaphore":-?\d+,"max":\d+),"holders":(\[${TEXT}(?:,${TEXT})*\]),"holds":\{`,
);
/** A hold of which every field is a text. */
const MEMBER = new RegExp(String.raw`${TEXT}:\{(?:${TEXT}:${TEXT}(?:,${TEXT}:${TEXT})*)?\}`, "y");

/**
 * Takes a document apart; `undefined` where it is not written as we write it.
 *
 * @param known the holds of a document that was read before
 */
export function takeApart(text: string, known: readonly ReadHold[]): Parts | undefined {
  const [begin, start, holders] = HEAD.exec(text) ?? [];
  if (begin === undefined || start === undefined || holders === undefined) return undefined;
  const holds: (ReadHold | readonly [string, unknown])[] = [];
  let next = 0;
  let at = begin.length;
  for (;; at++) {
    // the one that comes next, or the one behind it where that one ended
    const skipped = [0, 1].find((skip) => isAt(text, at, known[next + skip]));
    const same = skipped === undefined ? undefined : known[next + skipped];
    if (same !== undefined && skipped !== undefined) {
      holds.push(same);
      at += same.text.length;
      next += skipped + 1;
    } else {
      MEMBER.lastIndex = at;
      const member = MEMBER.exec(text)?.[0];
      const [entry] = member === undefined ? [] : Object.entries(JSON.parse(`{${member}}`));
      if (member === undefined || entry === undefined) return undefined;
      holds.push(entry);
      at += member.length;
      if (known[next]?.id === entry[0]) next++;
    }
    if (text[at] === "}") break;
    if (text[at] !== ",") return undefined;
  }
  // one that stands there twice is not as we write it
  if (new Set(holds.map((hold) => "text" in hold ? hold.id : hold[0])).size < holds.length) return undefined;
  return { rest: start + text.slice(at + 1), holders: JSON.parse(holders), holds };
}

function isAt(text: string, at: number, known: ReadHold | undefined): boolean {
  return known !== undefined && text.slice(at, at + known.text.length) === known.text;
}

/** What was written of a hold, and under which id. */
const written = new WeakMap<Hold, { readonly id: string; readonly text: string }>();

/** A hold as it is written under `id`; `flat` is its JSON object. */
export function holdText(id: string, hold: Hold, flat: (hold: Hold) => object): string {
  const known = written.get(hold);
  if (known?.id === id) return known.text;
  const text = `${JSON.stringify(id)}:${JSON.stringify(flat(hold))}`;
  written.set(hold, { id, text });
  return text;
}
