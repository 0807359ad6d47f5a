/**
 * What a command is, and what it is given: its own configuration, whole and checked, and the few things outside of it
 * that commands touch.
 */

import type { Config, Reading } from "./config.ts";
import { Lock } from "../lock.ts";
import { MachineError, readHostname, readMachineId } from "../host/identity.ts";
import { openStore } from "./open_store.ts";
import type { CommandName } from "./options.ts";
import type { Clock } from "../description.ts";
import type { Output } from "./output.ts";
import { plainLine, quoted } from "../plain_text.ts";
import { env } from "./process.ts";
import { holderFault } from "../semaphore.ts";
import type { Screen } from "./screen.ts";
import type { Settings } from "./settings.ts";
import type { Store } from "../store.ts";
import type { StoreConfig } from "./together.ts";
import type { Surroundings } from "../surroundings.ts";

/** A command with all that its help says. Its options are in `options.ts`. */
export type Command<C extends CommandName = CommandName> = CommandText & (Runs<C> | Judges);

export interface CommandText {
  /** What follows the name in the usage, and how many words it may be. */
  readonly operands: { readonly text: string; readonly most: number };
  /** One line for the list of commands. */
  readonly summary: string;
  /** What a user should know before typing it. */
  readonly description: string;
  readonly example: string;
  /** What is wrong with its arguments. */
  faults?(operands: readonly string[]): readonly string[];
}

interface Runs<C extends CommandName> {
  /** Does it, and gives the exit code: 0 done, 1 not done, 2 usage error, 75 timed out while waiting. */
  run(context: Context<C>): Promise<number>;
}

interface Judges {
  /** In place of `run`, of a command that shows a configuration whatever faults it has; gives the exit code. */
  judge(output: Output, reading: Reading, settings: Settings, screen: Screen | undefined): Promise<number>;
}

/** What a command is given. */
export interface Context<C extends CommandName> extends Output {
  readonly config: Config<C>;
  readonly operands: readonly string[];
  /** What is written for locksmith and has no effect. */
  readonly warnings: readonly string[];
  readonly surroundings: Surroundings;
  /** Whether a person can be asked. */
  readonly interactive: boolean;
  /** The terminal that stdout is; none where it is a file or a pipe. */
  readonly screen?: Screen | undefined;
  /** Whether a person may be reading stderr: what only shows progress is for nobody else. */
  readonly watched: boolean;
}

/** What it takes to open a lock. */
interface Locking {
  readonly config: {
    readonly store: StoreConfig;
    readonly group: string;
    /** In place of `group`, where a command may speak of all of them. */
    readonly scope?: string;
    readonly root: string;
  };
  readonly surroundings: Surroundings;
}

/** Does `work` with the lock of the configured group, and closes its store whatever comes. */
export async function withLock<T>(
  { config: { store, group, scope = group, root }, surroundings }: Locking,
  work: (lock: Lock) => Promise<T>,
): Promise<T> {
  const lock = new Lock(await openStore(store), scope, surroundings, await administrator(root));
  return await closing(lock.store, () => work(lock));
}

/** Does `work`, and closes `store` whatever comes. */
export async function closing<T>(store: Store, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await store.close();
  }
}

/** An empty or unprintable machine id is no id. */
export function holderFaults([id]: readonly string[]): readonly string[] {
  const fault = id === undefined ? undefined : holderFault(id);
  return id === undefined || fault === undefined ? [] : [`machine id ${quoted(id)}: ${fault}`];
}

/** The machine that a command speaks of: the one named, or this one. Throws {@linkcode MachineError}. */
export async function holderOf(
  { operands, config }: { readonly operands: readonly string[]; readonly config: { readonly root: string } },
): Promise<string> {
  return operands[0] ?? await readMachineId(config.root);
}

/** The reason that was given, as it goes into a record. */
export function reasonOption(
  { config: { reason } }: { config: { reason: string | undefined } },
): { reason?: string } {
  return reason === undefined ? {} : { reason };
}

/** How a command tells times: on a terminal by its own clock. */
export function clockOf(
  { surroundings, screen }: Pick<Context<CommandName>, "surroundings" | "screen">,
): Clock {
  return { now: surroundings.now(), zone: screen?.zone };
}

/** Who types, for the record: user and host, as far as they can be told. */
export async function administrator(root: string): Promise<string> {
  const named = env("SUDO_USER") || env("USER") || env("LOGNAME");
  const user = named ? plainLine(named, USER_LENGTH_LIMIT) : userOf(Deno.uid());
  const host = await readHostname(root).catch((error) => {
    if (error instanceof MachineError) return "unknown host";
    throw error;
  });
  return `${user}@${host}`;
}

/** The longest name of a user that is recorded. */
const USER_LENGTH_LIMIT = 64;

function userOf(uid: number | null): string {
  return uid === 0 ? "root" : `uid ${uid ?? "unknown"}`;
}
