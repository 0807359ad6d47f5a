/**
 * Texts that people type and everybody reads: names and reasons. They go into documents, logs and terminals, so each is one
 * line of bounded length.
 */

/** The longest reason, in characters. */
export const REASON_LENGTH_LIMIT = 200;

// deno-lint-ignore no-control-regex -- these are what is looked for
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** What is wrong with a text, or `undefined`. `what` names it in the answer; `limit` in UTF-16 code units. */
export function plainTextFault(text: string, what: string, limit: number): string | undefined {
  if (text.length > limit) return `${what} must not be longer than ${limit}`;
  if (text.search(CONTROL_CHARACTERS) >= 0) return `${what} must not contain control characters`;
  if (!text.isWellFormed()) return `${what} must be well-formed Unicode`;
  return undefined;
}

/** What is wrong with a reason that somebody gave, or `undefined`. */
export function reasonFault(text: string): string | undefined {
  if (text.trim() === "") return "a reason must not be empty";
  const { length } = [...text];
  if (length > REASON_LENGTH_LIMIT) {
    return `a reason must not be longer than ${REASON_LENGTH_LIMIT} characters; this one has ${length}`;
  }
  return plainTextFault(text, "a reason", Infinity);
}

/** A text that a program found, as one plain line of at most `limit` characters. */
export function plainLine(text: string, limit: number): string {
  // most are: nothing is taken apart for them
  if (plainTextFault(text, "", limit) === undefined) return text;
  const characters = [...text.toWellFormed().replace(CONTROL_CHARACTERS, " ")];
  return characters.length <= limit ? characters.join("") : `${characters.slice(0, limit - 3).join("")}...`;
}

/** A text in a message: in quotation marks, escaped, and short. */
export function quoted(text: string): string {
  return JSON.stringify(text.length <= 64 ? text : `${text.slice(0, 61)}...`);
}
