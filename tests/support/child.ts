/**
 * Programs that tests start. They end with who started them, however that ends: the kernel kills them then, so that no
 * server outlives a test run that was killed itself. A test file's end is one too, and so is a worker's.
 *
 * It ends with the program itself: what that starts is its own to end.
 */

/** Makes the kernel kill it with the thread that started it, and becomes the program. */
const LEASH = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"] as const;

/**
 * In place of `new Deno.Command()`, and the same but for a program that is not there, which exits with 127. The pid is
 * the program's own.
 */
export function leashed(program: string, { args = [], ...options }: Deno.CommandOptions = {}): Deno.Command {
  const [setpriv, ...leash] = LEASH;
  return new Deno.Command(setpriv, { ...options, args: [...leash, program, ...args] });
}

/** Deno with these words, as a child. Whatever its environment is: its caches are those of this process. */
export function leashedDeno(
  args: readonly string[],
  options: Omit<Deno.CommandOptions, "args"> = {},
): Deno.Command {
  return leashed(Deno.execPath(), { ...options, args: [...args], env: { ...caches(), ...options.env } });
}

let found: { readonly DENO_DIR: string } | undefined;

/**
 * What a Deno has to be told so that it finds what this process has in its caches. Without it an empty environment, or
 * another HOME, would have it download everything again.
 */
export function caches(): { readonly DENO_DIR: string } {
  if (found !== undefined) return found;
  const { stdout } = new Deno.Command(Deno.execPath(), { args: ["info", "--json", "--no-config"] })
    .outputSync();
  const { denoDir } = JSON.parse(new TextDecoder().decode(stdout));
  return found = { DENO_DIR: denoDir };
}

/** Whether a process is there; one that has ended and is yet to be buried by its parent is not. */
export async function lives(pid: number): Promise<boolean> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`).catch(() => "");
  return /^State:\s+[^ZX]/m.test(status);
}
