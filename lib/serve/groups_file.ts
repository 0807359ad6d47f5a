/**
 * The file that lists the groups of a server, in TOML: a table for each, and nothing that is not listed exists.
 *
 *     [web]
 *     max = 2                            # slots; without it the store's
 *     zone = "Europe/Berlin"             # of windows and freezes; default: UTC
 *     windows = ["02:00 1h", "Sun 14:00 3h"]
 *     freezes = ["2026-12-20..2027-01-06 Christmas"]  # first and last day
 *     who = ["web-hosts", "web*.example.net"]        # names of credentials
 *
 * The table `default` is the group that has no name. A file is taken whole, or refused with all of its faults.
 */

import { parse, TomlError } from "smol-toml";
import { groupPhrase } from "../group.ts";
import { type Freeze, parseFreeze } from "../freeze.ts";
import type { GroupRules, KnownGroups } from "../group_rules.ts";
import { protocolGroupFault } from "../fleetlock/group_name.ts";
import type { Lock } from "../lock.ts";
import type { ZonedWindow } from "../schedule.ts";
import { isCount, MAX_LIMIT } from "../semaphore.ts";
import { didYouMean } from "../suggest.ts";
import { parseWindow, parseZone, WindowError } from "../window.ts";

/** A group as it is listed. */
export interface ListedGroup extends GroupRules {
  /** Names of credentials that may ask for it, `*` for any text; absent: all that have a credential for it. */
  readonly who?: readonly string[];
}

/** A file of groups cannot be used. */
export class GroupsFileError extends Error {
  override readonly name = "GroupsFileError";
  /** Each begins with the file and the line. */
  constructor(readonly faults: readonly string[]) {
    super(faults.join("; "));
  }
}

const FIELDS = ["max", "zone", "windows", "freezes", "who"] as const;
const DEFAULT_TABLE = "default";

/** Reads a file of groups. `file` names it in faults. Throws {@linkcode GroupsFileError}. */
export function parseGroups(text: string, file: string): Map<string, ListedGroup> {
  let tables: Record<string, unknown>;
  try {
    tables = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [why = ""] = error.message.split("\n");
    throw new GroupsFileError([`${file}:${error.line}: ${why.replace("Invalid TOML document: ", "")}`]);
  }
  const faults: string[] = [];
  const groups = new Map<string, ListedGroup>();
  for (const [name, table] of Object.entries(tables)) {
    const group = name === DEFAULT_TABLE ? "" : name;
    const refuse = (why: string, field?: string) => {
      faults.push(`${file}:${lineOf(text, name, field)}: ${groupPhrase(group)}: ${why}`);
    };
    if (typeof table !== "object" || table === null || Array.isArray(table) || table instanceof Date) {
      faults.push(
        `${file}:${lineOf(text, undefined, name)}: ${name} is outside of any group; start one: [web]`,
      );
      continue;
    }
    const fault = protocolGroupFault(group);
    if (fault !== undefined) refuse(fault);
    groups.set(group, readGroup(table as Record<string, unknown>, refuse));
  }
  if (faults.length > 0) throw new GroupsFileError(faults);
  return groups;
}

type Refuse = (why: string, field?: string) => void;

function readGroup(table: Readonly<Record<string, unknown>>, refuse: Refuse): ListedGroup {
  for (const field of Object.keys(table)) {
    if (FIELDS.some((known) => known === field)) continue;
    refuse(`unknown setting ${JSON.stringify(field)}${didYouMean(field, FIELDS)}`, field);
  }
  const { max } = table;
  const isMax = isCount(max);
  if (max !== undefined && !isMax) {
    refuse(`max is ${JSON.stringify(max)}, not a whole number from 0 to ${MAX_LIMIT}`, "max");
  }
  const zone = readZone(table.zone, refuse);
  const windows = texts(table, "windows", refuse).flatMap((text) => readWindow(text, zone, refuse));
  const freezes = texts(table, "freezes", refuse).flatMap((text) => readFreeze(text, zone, refuse));
  const who = table.who === undefined ? {} : { who: texts(table, "who", refuse) };
  return { ...(isMax ? { max } : {}), windows, freezes, ...who };
}

function readZone(value: unknown, refuse: Refuse): string {
  if (value === undefined) return "UTC";
  try {
    if (typeof value === "string") return parseZone(value);
    refuse(`zone is ${JSON.stringify(value)}, not the name of a time zone such as "Europe/Berlin"`, "zone");
  } catch (error) {
    if (!(error instanceof WindowError)) throw error;
    refuse(error.message, "zone");
  }
  return "UTC";
}

function texts(table: Readonly<Record<string, unknown>>, field: string, refuse: Refuse): string[] {
  const value = table[field];
  if (value === undefined) return [];
  if (Array.isArray(value) && value.every((text) => typeof text === "string")) return value;
  refuse(`${field} is ${JSON.stringify(value)}, not a list of texts such as ["a", "b"]`, field);
  return [];
}

function readWindow(text: string, zone: string, refuse: Refuse): ZonedWindow[] {
  const [, start = "", length = ""] = /^\s*(.*?)\s+(\S+)\s*$/.exec(text) ?? [];
  if (start === "") {
    refuse(`window ${JSON.stringify(text)} is not a start and a length such as "Sun 02:00 1h30m"`, "windows");
    return [];
  }
  try {
    return [{ window: parseWindow(start, length), zone }];
  } catch (error) {
    if (!(error instanceof WindowError)) throw error;
    for (const fault of error.faults) refuse(fault, "windows");
    return [];
  }
}

function readFreeze(text: string, zone: string, refuse: Refuse): Freeze[] {
  try {
    return [parseFreeze(text, zone)];
  } catch (error) {
    if (!(error instanceof WindowError)) throw error;
    for (const fault of error.faults) refuse(fault, "freezes");
    return [];
  }
}

/** The line where a table, or a setting in it, begins, from 1 on. The parser does not tell. */
function lineOf(text: string, table: string | undefined, field: string | undefined): number {
  const lines = text.split("\n");
  const isHead = (line: string) => /^\s*\[/.test(line);
  const names = (line: string, name: string) => {
    const [, quoted, bare] = /^\s*\[?\s*(?:["']([^"']*)["']|([\w-]+(?:\.[\w-]+)*))\s*[\]=]/.exec(line) ?? [];
    return (quoted ?? bare) === name;
  };
  const head = table === undefined ? -1 : lines.findIndex((line) => isHead(line) && names(line, table));
  if (field === undefined) return Math.max(0, head) + 1;
  for (let at = head + 1; at < lines.length; at++) {
    const line = lines[at] ?? "";
    if (isHead(line)) break;
    if (names(line, field)) return at + 1;
  }
  return Math.max(0, head) + 1;
}

/** The listed groups of a server, as they are now. */
export class ListedGroups implements KnownGroups {
  constructor(private groups: ReadonlyMap<string, ListedGroup>) {}

  get names(): string[] {
    return [...this.groups.keys()];
  }

  /** The file was read again. */
  replace(groups: ReadonlyMap<string, ListedGroup>): void {
    this.groups = groups;
  }

  rulesOf(group: string): GroupRules | undefined {
    return this.groups.get(group);
  }

  /** Whether a credential of this name may ask for the group. */
  mayAsk(name: string, group: string): boolean {
    const who = this.groups.get(group)?.who;
    return who === undefined || who.some((pattern) => matches(pattern, name));
  }

  /**
   * Sets max of every group that has one in the file and another in the store. `done` hears of each. Throws {@linkcode StoreError},
   * {@linkcode LockError}.
   */
  async applyMax(
    lockOf: (group: string) => Lock,
    done: (group: string, max: number, oldMax: number) => void,
  ): Promise<void> {
    for (const [group, { max }] of this.groups) {
      if (max === undefined) continue;
      const { oldMax } = await lockOf(group).setMax(max, "as the groups file says");
      if (oldMax !== max) done(group, max, oldMax);
    }
  }
}

/** Whether a name is what a pattern says, whose only sign is `*`. */
function matches(pattern: string, name: string): boolean {
  const parts = pattern.split("*");
  const [first = "", ...rest] = parts;
  if (rest.length === 0) return name === pattern;
  if (!name.startsWith(first)) return false;
  const last = rest.pop() ?? "";
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
