/**
 * The folders in which an administrator puts programs of their own, and what of them may run: by the rules of run-parts(8)
 * in order and names, and only what nobody but root can have put there.
 *
 * A program that may not run is named as such and never passed over: a check that cannot be asked is no yes.
 */

import { reasonOf } from "./child.ts";
import { whoElseWrites } from "./owned_file.ts";

/** Where they lie, below the root directory. */
export const FOLDERS = {
  check: "/etc/locksmith/check.d",
  "pre-reboot": "/etc/locksmith/pre-reboot.d",
  "post-boot": "/etc/locksmith/post-boot.d",
  notify: "/etc/locksmith/notify.d",
} as const;
export type Folder = keyof typeof FOLDERS;

/** A program of a folder. `refused`: why it is not to be run, although it should. */
export interface Part {
  readonly name: string;
  readonly path: string;
  readonly refused?: string;
}

/** What a folder has. */
export interface Parts {
  /** What is to run, in its order. */
  readonly parts: readonly Part[];
  /** What looks as if it was meant to run and does not, a sentence each. */
  readonly passedOver: readonly string[];
}

const NAME = /^[A-Za-z0-9_-]+$/;
const EXECUTABLE = 0o111;

/** What is in a folder of this kind. A folder that is not there is empty. Never throws. */
export async function partsOf(root: string, kind: Folder): Promise<Parts> {
  const folder = `${root.replace(/\/+$/, "")}${FOLDERS[kind]}`;
  let names: string[];
  try {
    names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { parts: [], passedOver: [] };
    return { parts: [refusal(kind, folder, `cannot read ${folder}: ${reasonOf(error)}`)], passedOver: [] };
  }
  const looks = await Promise.all(names.map((name) => look(name, `${folder}/${name}`)));
  return {
    parts: looks.flatMap((seen) => typeof seen === "object" && seen !== null ? [seen] : []),
    passedOver: looks.filter((seen) => typeof seen === "string"),
  };
}

/** Whether anything is to run in one of these folders; what cannot be read counts. Never throws. */
export async function hasParts(root: string, ...kinds: readonly Folder[]): Promise<boolean> {
  const found = await Promise.all(kinds.map((kind) => partsOf(root, kind)));
  return found.some(({ parts }) => parts.length > 0);
}

/** What looks as if it was meant to run in one of these folders and does not, a sentence each. Never throws. */
export async function passedOverIn(root: string, ...kinds: readonly Folder[]): Promise<readonly string[]> {
  return (await Promise.all(kinds.map((kind) => partsOf(root, kind)))).flatMap(({ passedOver }) =>
    passedOver
  );
}

/** A part; a sentence about what is passed over; `null` for what nobody can have meant to run. */
async function look(name: string, path: string): Promise<Part | string | null> {
  try {
    const { isFile, mode } = await Deno.stat(path);
    if (!isFile) return null;
    const executable = ((mode ?? 0) & EXECUTABLE) !== 0;
    if (!NAME.test(name)) {
      return executable ? `${path} does not run: its name has more than letters, digits, - and _` : null;
    }
    if (!executable) return name === "README" ? null : `${path} does not run: it is not executable`;
    const fault = await whoElseWrites(path);
    return fault === null ? { name, path } : refusal(name, path, fault);
  } catch (error) {
    if (!NAME.test(name)) return null;
    const dangling = error instanceof Deno.errors.NotFound;
    return refusal(name, path, dangling ? `${path} is a link to nowhere` : reasonOf(error));
  }
}

function refusal(name: string, path: string, why: string): Part {
  return { name, path, refused: why };
}
