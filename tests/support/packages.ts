/**
 * Packages of Debian that tests need: which are missing, and their installation, by root and where there is apt-get.
 */

/** A package, and the program or file by which one can tell that it is there. */
export interface Needed {
  readonly package: string;
  readonly program?: string;
  /** A path, in which the shell expands `*`. */
  readonly file?: string;
}

/** Those of `needed` that this machine lacks. */
export async function missing(needed: readonly Needed[]): Promise<string[]> {
  const lacking: string[] = [];
  for (const { package: name, program, file } of needed) {
    const here = program === undefined
      ? await succeeds("sh", ["-c", `ls -d ${file}`])
      : await succeeds("sh", ["-c", 'command -v "$1"', "sh", program]);
    if (!here) lacking.push(name);
  }
  return lacking;
}

/** Installs packages. False where that cannot be done. */
export async function install(packages: readonly string[]): Promise<boolean> {
  if (packages.length === 0) return true;
  if (Deno.uid() !== 0 || !await succeeds("sh", ["-c", "command -v apt-get"])) return false;
  console.error(`installing ${packages.join(" ")}`);
  const env = {
    DEBIAN_FRONTEND: "noninteractive",
    // a package that starts its service on installation would take ports that tests want to find free
    RUNLEVEL: "1",
  };
  const options = ["-y", "-q", "--no-install-recommends"];
  return await succeeds("apt-get", ["update", "-q"], env) &&
    await succeeds("apt-get", [...options, "install", ...packages], env);
}

async function succeeds(program: string, args: string[], env: Record<string, string> = {}): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(program, {
      args,
      env,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
