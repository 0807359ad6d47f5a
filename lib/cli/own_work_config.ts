/** What the options of checks mean together. */

import { type Composer, FAULTY, type Faulty } from "./composer.ts";

/** What is checked beside the programs of check.d. */
export interface ChecksConfig {
  readonly timeoutMs: number;
  readonly units: readonly string[];
  readonly urls: readonly string[];
}

export function composeChecks({ part }: Composer): ChecksConfig | Faulty {
  const [timeout, units, urls] = [part("check-timeout"), part("require-units"), part("check-url")];
  const faulty = [units, urls].some(({ value, origin }) => value === undefined && origin !== undefined);
  if (timeout.value === undefined || faulty) return FAULTY;
  return { timeoutMs: timeout.value, units: units.value ?? [], urls: urls.value ?? [] };
}
