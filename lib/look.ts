/** What a look for slots that are to be given back came to. */

export type Look =
  /** Nothing is left, or what is left a person has to end. */
  | "done"
  /** A grant may still come, or a boot has to. */
  | "later"
  | "failed";

/** Of several looks the one that says how to go on. */
export function worst(looks: readonly Look[]): Look {
  return looks.includes("failed") ? "failed" : looks.includes("later") ? "later" : "done";
}
