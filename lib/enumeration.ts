/** Many names in one message: the first of them, and how many more there are. */

/** So many are named. */
const NAMED = 3;

/** `web1, web2, web3 and 4,997 more`. */
export function enumerate(names: readonly string[]): string {
  const named = names.slice(0, NAMED).join(", ");
  const more = names.length - NAMED;
  return more > 0 ? `${named} and ${more.toLocaleString("en-US")} more` : named;
}
