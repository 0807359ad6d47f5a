/**
 * What a command is, what it is given, and how it says that it cannot go on.
 */

import type { CommandShape } from "./args.ts";
import type { CommandLine } from "./args.ts";
import { resolveGroup, resolveStore } from "./config.ts";
import { Lock } from "../lock.ts";
import { MachineError, readHostname, readMachineId } from "../host/identity.ts";
import { openStore } from "./open_store.ts";
import type { Output } from "./output.ts";
import { holderFault } from "../semaphore.ts";
import type { Settings } from "./settings.ts";
import type { Store } from "../store.ts";
import type { Surroundings } from "../surroundings.ts";

/** A command with all that its help says. */
export interface Command extends CommandShape {
  /** What follows the name in the usage. */
  readonly operands: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What a user should know before typing it. */
  readonly description: string;
  readonly example: string;
  /** Does it, and gives the exit code: 0 done, 1 not done, 2 asked for wrongly, 75 waited in vain. */
  run(context: Context): Promise<number>;
}

/** Everything a command may use. */
export interface Context extends Output {
  /** The name that the program was called by. */
  readonly name: string;
  readonly program: "locksmithctl" | "locksmithd";
  readonly line: CommandLine;
  readonly settings: Settings;
  /** The directory that stands for `/`. */
  readonly root: string;
  readonly surroundings: Surroundings;
  env(name: string): string | undefined;
  readFile(path: string): Uint8Array;
  /** Whether a person can be asked. */
  readonly interactive: boolean;
  /** Whether a person may be reading stderr: what only shows progress is for nobody else. */
  readonly watched: boolean;
}

/** Wrong options, arguments or settings: exit 2, before anything was started. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  constructor(readonly faults: readonly string[]) {
    super(faults.join("; "));
  }
}

/** The value of an option of the command itself. */
export function option({ line }: Context, name: string): string | undefined {
  return line.options.get(name)?.at(-1);
}

export function flag(context: Context, name: string): boolean {
  return option(context, name) === "true";
}

/** Throws {@linkcode UsageError} with every fault found so far, if there is one. */
export function throwFaults(faults: readonly string[]): void {
  if (faults.length > 0) throw new UsageError([...new Set(faults)]);
}

/** At most `limit` arguments, or a fault. */
export function limitOperands({ line, settings }: Context, limit: number): void {
  // after a mistyped option its value looks like an argument: the option is fault enough
  if (line.faults.length > 0) return;
  const extra = line.positionals.slice(limit);
  if (extra.length > 0) {
    settings.faults.push(`${line.command} has no use for ${extra.map((word) => `'${word}'`).join(", ")}`);
  }
}

/** The lock of the configured group. Throws {@linkcode UsageError} with all faults of the settings. */
export async function openLock(context: Context): Promise<Lock> {
  const config = resolveStore(context.settings, context.readFile);
  const group = resolveGroup(context.settings);
  throwFaults(context.settings.faults);
  if (config === undefined || group === undefined) throw new UsageError(["the configuration cannot be used"]);
  return new Lock(await openStore(config), group, context.surroundings, await administrator(context));
}

/** Does `work` with the lock, and closes its store whatever comes. */
export async function withLock<T>(context: Context, work: (lock: Lock) => Promise<T>): Promise<T> {
  const lock = await openLock(context);
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

/** An empty or unprintable machine id is asked for wrongly. */
export function checkHolder({ line, settings }: Context): void {
  const [id] = line.positionals;
  const fault = id === undefined ? undefined : holderFault(id);
  if (fault !== undefined) settings.faults.push(`machine id ${JSON.stringify(id)}: ${fault}`);
}

/** The machine that a command speaks of: the one named, or this one. Throws {@linkcode MachineError}. */
export async function holderOf({ line, root }: Context): Promise<string> {
  return line.positionals[0] ?? await readMachineId(root);
}

/** The reason that was given, as it goes into a record. */
export function reasonOption(context: Context): { reason?: string } {
  const reason = option(context, "reason");
  return reason === undefined ? {} : { reason };
}

/** Who types, for the record: user and host, as far as they can be told. */
export async function administrator({ env, root }: Context): Promise<string> {
  const user = env("SUDO_USER") || env("USER") || env("LOGNAME") || userOf(Deno.uid());
  const host = await readHostname(root).catch((error) => {
    if (error instanceof MachineError) return "unknown host";
    throw error;
  });
  return `${user}@${host}`;
}

function userOf(uid: number | null): string {
  return uid === 0 ? "root" : `uid ${uid ?? "unknown"}`;
}
