/** What it takes to put several options together: what each came to, and where to tell what is wrong. */

import type { OptionName, Value } from "./options.ts";

/** What a setting came to: its value, unless it has a fault or is not set; and what set it, unless it is the default. */
export interface Part<T = unknown> {
  readonly value: T | undefined;
  readonly origin: string | undefined;
}

/** Marks what could not be composed, after its faults were told. */
export const FAULTY = Symbol("faulty");
export type Faulty = typeof FAULTY;

/** What composing needs: the parts, and where to tell what is wrong. */
export interface Composer {
  /** The command that it is for. */
  readonly command: string;
  part<N extends OptionName>(name: N): Part<Value<N>>;
  readFile(path: string): Uint8Array;
  readonly faults: string[];
  readonly hints: string[];
}

/** The fields that are not `undefined`. */
export function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  // what is filtered out is what the type leaves out
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof present<T>
  >;
}
