/**
 * What a client certificate names, read from the certificate itself: the text that the runtime makes of its alternative
 * names does not tell a name with a comma in it from two names, and whoever may choose one could pass for another.
 */

import type { ClientCertificate } from "./access.ts";

/** Tags of RFC 5280, section 4.2.1.6, of the kinds of names that are plain text. */
const EMAIL = 0x81;
const DNS = 0x82;
const URI = 0x86;
const EXTENSIONS = 0xa3;
const SEQUENCE = 0x30;
const OCTETS = 0x04;
/** id-ce-subjectAltName, 2.5.29.17, with its tag and length. */
const ALTERNATIVE_NAMES = "0603551d11";

/**
 * The names of a certificate in DER: `common` as the runtime read it, and the alternative names of the kinds DNS, URI and
 * email. As an id also what stands last in a URI counts: of `urn:uuid:X` and `spiffe://example.net/host/X` that is X.
 */
export function certificateNames(
  der: Uint8Array,
  common: string | readonly string[] | undefined,
): Pick<ClientCertificate, "names" | "ids"> {
  const names = [common ?? []].flat();
  const parts: string[] = [];
  for (const { tag, from, to } of alternativeNames(der)) {
    if (tag !== EMAIL && tag !== DNS && tag !== URI) continue;
    const name = String.fromCharCode(...der.subarray(from, to));
    if (!/^[\x21-\x7e]+$/.test(name)) continue;
    names.push(name);
    if (tag === URI) parts.push(name.replace(/^.*[:/]/, ""));
  }
  const nonempty = (all: readonly string[]) => [...new Set(all)].filter((name) => name !== "");
  return { names: nonempty(names), ids: nonempty([...names, ...parts]) };
}

/** A value in DER: its tag, and where its content is. */
interface Value {
  readonly tag: number;
  readonly from: number;
  readonly to: number;
}

function alternativeNames(der: Uint8Array): readonly Value[] {
  const [certificate] = values(der, { from: 0, to: der.length });
  const [signed] = certificate === undefined ? [] : values(der, certificate);
  const extensions = signed === undefined
    ? undefined
    : values(der, signed).find(({ tag }) => tag === EXTENSIONS);
  const [list] = extensions === undefined ? [] : values(der, extensions);
  for (const extension of list === undefined ? [] : values(der, list)) {
    const isIt = der.subarray(extension.from, extension.from + 5).toHex() === ALTERNATIVE_NAMES;
    const content = isIt ? values(der, extension).find(({ tag }) => tag === OCTETS) : undefined;
    const [names] = content === undefined ? [] : values(der, content);
    if (names?.tag === SEQUENCE) return values(der, names);
  }
  return [];
}

/** The values within another. What is not whole ends the list: the TLS layer has read the certificate before. */
function values(der: Uint8Array, { from, to }: Pick<Value, "from" | "to">): Value[] {
  const found: Value[] = [];
  for (let at = from; at + 2 <= to;) {
    const tag = der[at] ?? 0;
    const first = der[at + 1] ?? 0;
    // up to 127 it is the length; else it says how many bytes the length has
    const bytes = first < 0x80 ? 0 : first & 0x7f;
    let length = first < 0x80 ? first : 0;
    for (let i = 0; i < bytes; i++) length = length * 256 + (der[at + 2 + i] ?? 0);
    const start = at + 2 + bytes;
    if (bytes > 4 || start + length > to) break;
    found.push({ tag, from: start, to: start + length });
    at = start + length;
  }
  return found;
}
