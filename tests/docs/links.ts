/** Where the pages of the documentation lead: their links, and the anchors that their headings make. Pure. */

/** A link to a file of the project, to a heading of one, or both. */
export interface Link {
  /** As it is written. */
  readonly target: string;
  /** From the root of the project. */
  readonly path: string;
  /** Empty: the page itself. */
  readonly anchor: string;
}

/** The links of a page that do not leave the project. `page`: its path from the root. */
export function linksOf(page: string, text: string): Link[] {
  const links: Link[] = [];
  for (const [, target = ""] of outsideCode(text).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [file = "", anchor = ""] = target.split("#");
    const { pathname } = new URL(file === "" ? `/${page}` : file, `file:///${page}`);
    links.push({ target, path: decodeURIComponent(pathname.slice(1)), anchor });
  }
  return links;
}

/** The anchors of a page, as its readers' programs make them: each once, with a number behind those that come again. */
export function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of outsideCode(text).matchAll(/^#{1,6} +(.*?) *#* *$/gm)) {
    const shown = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
    const plain = shown.toLowerCase().replace(/[^\p{L}\p{N}\p{M} _-]/gu, "").replaceAll(" ", "-");
    let anchor = plain;
    for (let times = 1; anchors.has(anchor); times++) anchor = `${plain}-${times}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** A page without its blocks of code, in which neither is one. */
function outsideCode(text: string): string {
  return text.replace(/^( *)(`{3,}|~{3,})[^\n]*\n(?:.*\n)*?\1\2 *$/gm, "");
}
