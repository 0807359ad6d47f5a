import manifest from "../../deno.json" with { type: "json" };

/** The version of this locksmith, from `deno.json`: the only place where it is written. */
export const VERSION: string = manifest.version;

/** What is said to who asks for the version. `program`: what it was called by. */
export function versionText(program: string): string {
  return `${program} version ${VERSION}\n`;
}

/**
 * Tells the version where that is all that was asked for: tools ask for it often, and it needs nothing of the rest. `false`
 * where it takes more, such as a mistake in the words or an output that cannot be written to: nothing was said then.
 */
export function tellsVersion(argv: readonly string[]): boolean {
  const [word, ...more] = argv;
  if (more.length > 0 || word !== "version" && word !== "--version") return false;
  try {
    const program = Deno.env.get("LOCKSMITH_ARGV0")?.replace(/^.*\//, "") ?? "";
    if (!program.startsWith("locksmith") || Deno.env.get("LOCKSMITH_STDOUT") !== undefined) return false;
    Deno.stdout.writeSync(new TextEncoder().encode(versionText(program)));
    return true;
  } catch {
    return false;
  }
}
