/**
 * The ledger of this machine on its disk: a file for each slot that it has asked for, so that a daemon and a command
 * beside it do not write over each other's entries. Root alone can read it, and nobody else can have written it. There is
 * no secret in it: how to log in is today's configuration.
 */

import { type Ledger, PHASES, type Taken } from "../ledger.ts";
import type { Log } from "../surroundings.ts";
import { reasonOf } from "./child.ts";
import { OwnedFileError, readOwned, removeOwned, writeOwned } from "./owned_file.ts";
import { setAside } from "./state_file.ts";

/** Where it lies, below the root directory. */
export const LEDGER = "/var/lib/locksmith/taken";
/** So many entries of one boot in one group are kept: a daemon that is killed again and again leaves one each time. */
const ENTRIES_MAX = 16;
const SUFFIX = ".json";

export class DiskLedger implements Ledger {
  readonly name: string;
  /** What was said already, so that it is said once. */
  readonly #said = new Set<string>();

  constructor(root: string, private readonly log: Log) {
    this.name = root.replace(/\/+$/, "") + LEDGER;
  }

  async read(): Promise<readonly Taken[] | undefined> {
    let names: string[];
    try {
      names = (await Array.fromAsync(Deno.readDir(this.name))).map(({ name }) => name);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) {
        this.#tell(
          `cannot read ${this.name}: ${reasonOf(error)}; the slots that this machine has taken are unknown`,
        );
      }
      return undefined;
    }
    const found = await Promise.all(
      names.filter((name) => name.endsWith(SUFFIX)).sort().map((name) => this.#entry(name)),
    );
    return found.filter((entry) => entry !== undefined);
  }

  async remember(taken: Taken): Promise<boolean> {
    const text = `${JSON.stringify(taken)}\n`;
    try {
      await writeOwned(this.#path(taken.grant), text, { mode: 0o600, durable: true });
    } catch (error) {
      this.#tell(
        `${messageOf(error)}; a slot taken now will not be found under another configuration`,
      );
      return false;
    }
    const { store, group, boot } = taken;
    const like = (await this.read() ?? [])
      .filter((entry) => entry.store === store && entry.group === group && entry.boot === boot)
      .sort((a, b) => a.since < b.since ? -1 : 1);
    await this.forget(like.slice(0, -ENTRIES_MAX).map(({ grant }) => grant));
    return true;
  }

  async forget(grants: readonly string[]): Promise<void> {
    for (const grant of grants) {
      // what a document says is no path
      if (!/^[0-9A-Za-z-]+$/.test(grant)) continue;
      await removeOwned(this.#path(grant)).catch((error) =>
        this.#tell(`${messageOf(error)}; a slot that was given back is still on record`)
      );
    }
  }

  async begin(): Promise<void> {
    try {
      await Deno.mkdir(this.name, { recursive: true, mode: 0o700 });
    } catch (error) {
      this.#tell(
        `cannot create ${this.name}: ${
          reasonOf(error)
        }; only the host name tells this machine's slots from a clone's`,
      );
    }
  }

  /** One entry. What cannot be one is put aside. */
  async #entry(name: string): Promise<Taken | undefined> {
    const path = `${this.name}/${name}`;
    let text: string | null;
    try {
      text = await readOwned(path);
    } catch (error) {
      this.#tell(messageOf(error));
      return undefined;
    }
    // forgotten meanwhile
    if (text === null) return undefined;
    const taken = parse(text);
    if (taken !== undefined && `${taken.grant}${SUFFIX}` === name) return taken;
    const loss =
      "its slot is looked for only in the groups of the configured store; find it with 'locksmith groups'";
    await setAside(path, loss, (_, text) => this.#tell(text));
    return undefined;
  }

  #path(grant: string): string {
    return `${this.name}/${grant}${SUFFIX}`;
  }

  #tell(text: string): void {
    if (this.#said.has(text)) return;
    this.#said.add(text);
    this.log("warning", text);
  }
}

function messageOf(error: unknown): string {
  if (error instanceof OwnedFileError) return error.message;
  throw error;
}

const FIELDS = ["grant", "machine", "boot", "since", "store", "group"] as const;

function parse(text: string): Taken | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    const texts = new Map(Object.entries(value).filter(([, content]) => typeof content === "string"));
    if (!FIELDS.every((field) => texts.has(field))) return undefined;
    const phase = PHASES.find((phase) => phase === texts.get("phase"));
    // each field was found to be a text
    const taken = Object.fromEntries(FIELDS.map((field) => [field, texts.get(field)])) as unknown as Taken;
    return phase === undefined ? taken : { ...taken, phase };
  } catch {
    return undefined;
  }
}
