/** The values of the options that say by what a machine knows that it needs a reboot. */

import { formatDuration, parseDuration } from "../duration.ts";
import { ValueError } from "./option.ts";
import { didYouMean } from "../suggest.ts";

/** A source by its name, a file, a command: what `sourceNamed` of `lib/need/sources.ts` knows. */
export type NeedWord = string;
/** What `--need` names. */
export type NeedWords = "auto" | readonly NeedWord[];

/** Their names, so that the command line need not load all of them; a test holds this to the table. */
export const SOURCE_NAMES = [
  "debian",
  "dnf",
  "zypper",
  "rpm-ostree",
  "bootc",
  "sysupdate",
  "nixos",
  "flatcar",
  "needrestart",
  "kernel",
  "livepatch",
] as const;

/** `auto`, or names separated by commas. A command is the last, since it may have commas itself. */
export function parseNeed(text: string): NeedWords {
  if (text.trim() === "auto") return "auto";
  const words: string[] = [];
  let rest = text;
  while (rest !== "") {
    const comma = rest.trimStart().startsWith("command:") ? -1 : rest.indexOf(",");
    words.push((comma < 0 ? rest : rest.slice(0, comma)).trim());
    rest = comma < 0 ? "" : rest.slice(comma + 1);
  }
  if (words.length === 0) throw new ValueError("the value is empty");
  for (const word of words) {
    const fault = wordFault(word);
    if (fault !== undefined) throw new ValueError(fault);
  }
  return words;
}

function wordFault(word: string): string | undefined {
  const [, kind, rest = ""] = /^(file|command):(.*)$/s.exec(word) ?? [];
  if (kind === "file") return rest.startsWith("/") ? undefined : `'${word}': file: needs an absolute path`;
  if (kind === "command") return rest.trim() === "" ? "command: needs a command" : undefined;
  if (SOURCE_NAMES.some((name) => name === word)) return undefined;
  if (word === "auto") return "'auto' stands alone; it is everything that is there";
  const names = SOURCE_NAMES.join(", ");
  return `unknown source '${word}'${
    didYouMean(word, SOURCE_NAMES) || ";"
  } allowed: auto, ${names}, file:PATH, command:COMMAND`;
}

const INTERVAL_MS = { least: 1_000, most: 7 * 24 * 3_600_000 };

/** How often programs are asked, in milliseconds. */
export function parseNeedInterval(text: string): number {
  const ms = parseDuration(text);
  if (ms >= INTERVAL_MS.least && ms <= INTERVAL_MS.most) return ms;
  throw new ValueError(
    `'${text}' is not between ${formatDuration(INTERVAL_MS.least)} and ${
      formatDuration(INTERVAL_MS.most)
    } (a week)`,
  );
}
