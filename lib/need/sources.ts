/** The table of all sources. A new one is a row here, and a file that has it. */

import { BOOTC, FLATCAR, NIXOS, RPM_OSTREE, SYSUPDATE_SOURCE } from "./images.ts";
import { KERNEL, NEEDRESTART } from "./kernel.ts";
import { LIVEPATCH } from "./livepatch.ts";
import { commandSource, fileSource } from "./own.ts";
import { DEBIAN, DNF, ZYPPER } from "./packages.ts";
import type { Ground, Source } from "./source.ts";

/** By name, in the order in which they are told. */
export const SOURCES: readonly Source[] = [
  DEBIAN,
  DNF,
  ZYPPER,
  RPM_OSTREE,
  BOOTC,
  SYSUPDATE_SOURCE,
  NIXOS,
  FLATCAR,
  NEEDRESTART,
  KERNEL,
  LIVEPATCH,
];

/** The sources that these words name, which were checked; with `auto` those whose system is there. */
export async function chosenSources(words: "auto" | readonly string[], ground: Ground): Promise<Source[]> {
  if (words !== "auto") return words.flatMap((word) => sourceNamed(word) ?? []);
  const here = await Promise.all(SOURCES.map((source) => source.isHere(ground)));
  return SOURCES.filter((_, i) => here[i]);
}

/** The source that a word names, or `undefined`. */
export function sourceNamed(word: string): Source | undefined {
  const [, kind, rest = ""] = /^(file|command):(.+)$/s.exec(word) ?? [];
  if (kind === "file") return rest.startsWith("/") ? fileSource(rest) : undefined;
  if (kind === "command") return commandSource(rest);
  return SOURCES.find(({ name }) => name === word);
}
