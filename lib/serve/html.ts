/**
 * HTML whose texts are escaped by construction. Only {@linkcode html} makes any, and whatever is put into its template is
 * text unless it is HTML already. A place where no escaping would be enough (a tag's name, an attribute without quotation
 * marks, a script or style) is refused when the template is used for the first time.
 */

/** A piece of HTML. */
export class Html {
  constructor(
    /** Made by {@linkcode html} alone. */
    readonly text: string,
  ) {}
}

/** What can be put into a template; what is `undefined` or `false` leaves nothing behind. */
export type Part = Html | string | number | undefined | false | readonly Part[];

/** The HTML of a template: ``html`<b>${name}</b>` ``. Throws a `TypeError` for a part in a place that is not safe. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  const { texts, quoted } = templateOf(strings);
  return new Html(texts.reduce((text, string, index) => {
    return text + written(parts[index - 1], quoted[index - 1]) + string;
  }));
}

function written(part: Part, quoted: boolean | undefined): string {
  if (part === undefined || part === false) return "";
  if (typeof part === "string" || typeof part === "number") return escaped(visible(String(part)));
  if (quoted) throw new TypeError("HTML in an attribute: only texts can be put there");
  return part instanceof Html ? part.text : part.map((one) => written(one, false)).join("");
}

interface Template {
  /** What stands between the places. */
  readonly texts: readonly string[];
  /** Of each place, whether it is in the quotation marks of an attribute; else it is between tags. */
  readonly quoted: readonly boolean[];
}

const templates = new WeakMap<TemplateStringsArray, Template>();

function templateOf(strings: TemplateStringsArray): Template {
  const known = templates.get(strings);
  if (known !== undefined) return known;
  // lines and their indentation are for whoever reads the source
  const last = strings.length - 1;
  const texts = strings.map((string, index) => {
    const begun = index === 0 ? string.replace(/^[ \t]*\n\s*/, "") : string;
    const ended = index === last ? begun.replace(/\s*\n[ \t]*$/, "") : begun;
    return ended.replaceAll(/\s*\n\s*/g, " ");
  });
  const template = { texts, quoted: placesOf(texts) };
  templates.set(strings, template);
  return template;
}

function placesOf(texts: readonly string[]): boolean[] {
  let state: "text" | "tag" | "quoted" = "text";
  return texts.slice(0, -1).map((text, index) => {
    for (const character of text) {
      if (state === "text") {
        if (character === "<") state = "tag";
      } else if (character === '"') state = state === "tag" ? "quoted" : "tag";
      else if (character === ">" && state === "tag") state = "text";
    }
    const before = texts.slice(0, index + 1).join("");
    if (state === "tag" || /<(?:script|style)\b[^>]*>[^<]*$/i.test(before)) {
      throw new TypeError(`a place in the HTML that no text may fill: ${JSON.stringify(text.slice(-40))}`);
    }
    return state === "quoted";
  });
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? "");
}

/**
 * Control characters, and those that turn the direction of what follows or have no width: nobody sees them, and they can
 * make one name look like another.
 */
const UNSEEN =
  // deno-lint-ignore no-control-regex -- these are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** A text with what nobody would see in it shown by its code point: `web\u202e1` as `web<U+202E>1`. */
export function visible(text: string): string {
  return text.toWellFormed().replace(UNSEEN, (character) => {
    return `<U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}>`;
  });
}

/** A name that somebody else chose: its direction of writing does not reach what stands around it. */
export function name(text: string): Html {
  return html`<bdi>${text}</bdi>`;
}
