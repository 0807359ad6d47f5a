/**
 * A system's own way to say that a reboot is needed, all in one shape: whether it is there, and what it says.
 *
 * What stands in files is looked at often; a program is asked now and then. A program that is missing, fails, or says what
 * nobody expects makes the answer unknown, never needed: a check that failed must not reboot machines.
 */

import type { Answer, Need, NeedLevel } from "../need.ts";
import { type ChildEnd, runChild } from "../host/child.ts";
import { isThere } from "../host/regular_file.ts";
import { reasonOf } from "../system_error.ts";

/** The machine, as a source sees it. */
export interface Ground {
  /** An absolute path, below the directory that stands for `/`. */
  path(path: string): string;
  /** Runs a program in the C locale, and those of systemd with all they usually say, to its end or its deadline. */
  run(program: string, args: readonly string[]): Promise<ChildEnd>;
}

export interface Source {
  /** As it is called on the command line and in the log. */
  readonly name: string;
  /** What it asks, for the help. */
  readonly about: string;
  /** `file`: looking costs next to nothing; `program`: it is asked only now and then. */
  readonly cost: "file" | "program";
  /** What the answer depends on, so that it is asked for only when one of them changes; absent: it is at every look. */
  readonly files?: readonly string[];
  /** Whether its system is on this machine. Never throws. */
  isHere(ground: Ground): Promise<boolean>;
  /** Asks. Never throws. */
  ask(ground: Ground): Promise<Answer>;
}

/** How long a program has, in milliseconds: some load the metadata of a package manager. */
const PROGRAM_LIMIT_MS = 5 * 60_000;
/** So much of an output is told where it is not understood. */
const TOLD_LENGTH = 120;

/** This machine; `root` stands for `/` in its files, not in its programs. */
export function groundAt(root: string): Ground {
  const below = root.replace(/\/+$/, "");
  return {
    path: (path) => `${below}${path}`,
    run: (program, args) =>
      runChild(program, args, {
        env: { LC_ALL: "C", SYSTEMD_LOG_LEVEL: "info" },
        timeoutMs: PROGRAM_LIMIT_MS,
        ownGroup: true,
        marked: true,
      }),
  };
}

/** `level`: what would meet the need at least; `packages`: those that it is for, where they are known. */
export function needed(
  reasons: readonly string[],
  fingerprint: string,
  { level = "reboot", packages = [] }: {
    readonly level?: NeedLevel;
    readonly packages?: readonly string[];
  } = {},
): Need {
  return {
    kind: "needed",
    reasons,
    ...(level === "reboot" ? {} : { level }),
    fingerprint,
    ...(packages.length === 0 ? {} : { packages }),
  };
}

export const NOT_NEEDED: Answer = { kind: "not-needed" };

export function unknown(why: string): Answer {
  return { kind: "unknown", why: [why] };
}

/** Sixteen hexadecimal digits of the texts' SHA-256: a fingerprint of what is too long for one. */
export async function digest(texts: readonly string[]): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(texts));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex().slice(0, 16);
}

/** Whether a path is there; what cannot be looked at is not. */
export async function has(ground: Ground, path: string): Promise<boolean> {
  return await isThere(ground.path(path)).catch(() => false);
}

/** Whether a program is in one of the places where distributions put theirs. */
export async function hasProgram(ground: Ground, name: string): Promise<boolean> {
  for (const folder of ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"]) {
    if (await has(ground, `${folder}/${name}`)) return true;
  }
  return false;
}

/** Does `look`; what it throws makes the answer unknown. */
export async function answered(what: string, look: () => Promise<Answer>): Promise<Answer> {
  try {
    return await look();
  } catch (error) {
    return unknown(`cannot ${what}: ${reasonOf(error)}`);
  }
}

/** Why an end of a child is no answer. */
export function failure(program: string, end: ChildEnd): Answer {
  switch (end.kind) {
    case "not-started":
      return unknown(`cannot run ${program}: ${end.why}`);
    case "timeout":
      return unknown(`${program} did not end within ${PROGRAM_LIMIT_MS / 60_000} minutes`);
    case "aborted":
      return unknown(`${program} was stopped`);
    case "exited": {
      const how = end.signal === null ? `exited with ${end.code}` : `was ended by ${end.signal}`;
      const said = (end.stderr.trim() || end.stdout.trim()).split("\n")[0]?.slice(0, TOLD_LENGTH) ?? "";
      return unknown(`${program} ${how}${said === "" ? "" : `: ${said}`}`);
    }
  }
}
