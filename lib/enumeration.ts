/** Many names in one message: the first of them, and how many more there are. */

/** So many are named. */
const NAMED = 3;

/** `web1, web2, web3 and 4,997 more`; names with commas in them are told apart by semicolons. */
export function enumerate(names: readonly string[], separator: ", " | "; " = ", "): string {
  const named = names.slice(0, NAMED).join(separator);
  const more = names.length - NAMED;
  if (more <= 0) return named;
  return `${named}${separator === "; " ? ";" : ""} and ${more.toLocaleString("en-US")} more`;
}
