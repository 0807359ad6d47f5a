/** `text` as one word of a command line that people can paste: quoted where a shell would make something else of it. */
export function shellWord(text: string): string {
  return /^[\w.,\/:@+][\w.,\/:@+-]*$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
