/**
 * The time zone of this machine, found as the C library finds it: by `TZ`, else by `/etc/localtime`, as in tzset(3) and
 * localtime(5). What comes out is a zone of Temporal with the clock that `date` shows.
 *
 * A name of the IANA database counts as a name, wherever it stands: in `TZ`, in the path of a zone file, in the link that
 * `/etc/localtime` is. `posix/` and `right/` in front of it are dropped: the leap seconds of `right/` (27 s in 2026) are not
 * counted. Rules without a name, in `TZ` or in a file that is a copy, are understood where `zone_rules.ts` finds
 * a zone that has them. Where the C library would fall back to UTC in silence, this throws: of UTC is only spoken where
 * `TZ` is empty or names it, or where there is no `/etc/localtime`, which localtime(5) says means UTC.
 */

import { reasonOf } from "./child.ts";
import { suggest } from "../suggest.ts";
import { equivalentZone, parsePosixZone, parseTzif } from "../zone_rules.ts";

/** What says which zone this is, cannot be understood; nobody is to guess one. */
export class ZoneError extends Error {
  override readonly name = "ZoneError";
}

/** Where the zone is told. */
export interface ZoneSources {
  /** The variable `TZ`. */
  readonly tz: string | undefined;
  /** The directory that `etc/localtime` is below; `/` unless told. */
  readonly root?: string;
  /** Around when rules are to agree with a zone, in milliseconds since the epoch. */
  readonly nowMs: number;
}

const ZONEINFO = "/usr/share/zoneinfo";
/** So many links a path may lead over, as in the kernel. */
const MAX_LINKS = 40;
const MAX_BYTES = 1 << 20;
const HINT = "name one with --zone, such as Europe/Berlin";

/** A zone for Temporal: a name, or an offset such as `+09:00`. Throws {@linkcode ZoneError}. */
export function localZone({ tz, root = "", nowMs }: ZoneSources): string {
  const localtime = `${root.replace(/\/+$/, "")}/etc/localtime`;
  if (tz === undefined) return zoneOfFile(localtime, localtime, nowMs, root) ?? "UTC";
  const name = tz.replace(/^:/, "");
  const refuse = (why: string) => new ZoneError(`TZ is '${tz}', ${why}; ${HINT}`);
  if (name === "") return "UTC";
  if (name.startsWith("/")) {
    // as for the C library, this one may be missing
    const path = name === "/etc/localtime" ? localtime : name;
    const zone = zoneOfFile(path, `TZ is '${tz}', and ${path}`, nowMs, root);
    if (zone === undefined && path !== localtime) throw refuse("and there is no such file");
    return zone ?? "UTC";
  }
  const known = knownZone(name) ?? zoneOfFile(`${ZONEINFO}/${name}`, `TZ is '${tz}', which`, nowMs, root);
  if (known !== undefined) return known;
  const rules = parsePosixZone(name);
  if (rules === undefined) {
    const meant = suggest(name, Intl.supportedValuesOf("timeZone"));
    throw refuse(`which names no zone${meant === undefined ? "" : `, did you mean '${meant}'?`}`);
  }
  const zone = equivalentZone(rules, nowMs);
  if (zone === undefined) throw refuse("and no named zone has these rules");
  return zone;
}

/** The zone of a file, by a name on the way to it, else by what it holds; `undefined` where there is no such file. */
function zoneOfFile(path: string, what: string, nowMs: number, root: string): string | undefined {
  const refuse = (why: string) => new ZoneError(`${what} ${why}; ${HINT}`);
  let place = path;
  try {
    for (let links = 0; links <= MAX_LINKS; links++) {
      const [, name] = /\/zoneinfo(?:-[a-z]+)?\/+(.+)$/.exec(place) ?? [];
      const known = name === undefined ? undefined : knownZone(name);
      if (known !== undefined) return known;
      if (!Deno.lstatSync(place).isSymlink) break;
      const target = Deno.readLinkSync(place);
      place = target.startsWith("/") ? target : `${place.replace(/[^/]*$/, "")}${target}`;
    }
    const { isFile, size } = Deno.statSync(path);
    if (!isFile || size > MAX_BYTES) throw refuse("is not a time zone file");
    const rules = parseTzif(Deno.readFileSync(path));
    if (rules === undefined) throw refuse("is not a time zone file");
    const zone = equivalentZone(rules, nowMs, writtenName(root));
    if (zone === undefined) throw refuse("has rules that no named zone has");
    return zone;
  } catch (error) {
    if (error instanceof ZoneError) throw error;
    if (error instanceof Deno.errors.NotFound && !isLink(path)) return undefined;
    throw refuse(`cannot be read: ${reasonOf(error)}`);
  }
}

/** The name in `/etc/timezone`, where Debian writes it: of several zones with the same rules it is the one that is meant. */
function writtenName(root: string): string | undefined {
  try {
    return knownZone(Deno.readTextFileSync(`${root.replace(/\/+$/, "")}/etc/timezone`).trim());
  } catch {
    return undefined; // nobody needs it
  }
}

function isLink(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSymlink;
  } catch {
    return false;
  }
}

/** A name of the IANA database in its very letters: the C library looks for a file of that name. */
function knownZone(name: string): string | undefined {
  const bare = name.replace(/^(posix|right)\/+/, "");
  // Temporal would also take whole timestamps and offsets where a zone is asked for
  if (!/^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/.test(bare)) return undefined;
  try {
    return new Temporal.ZonedDateTime(0n, bare).timeZoneId === bare ? bare : undefined;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
