/**
 * A machine of the demo: a directory that stands for its disk, and a real `locksmith daemon` that runs on it.
 *
 * Its reboot command leaves a mark, and the demo plays what a reboot does: the daemon is killed without a warning, what
 * was in `/run` is gone, and some time later the daemon starts anew under another boot id. Nothing outside of the
 * directory is touched; the address of the system bus leads nowhere.
 */

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const PROJECT = new URL("../..", import.meta.url).pathname;
const LOG_LINES_KEPT = 20;
/** Written by a shell, so that the mark needs no program and carries the time at which the command ran. */
const REBOOT_COMMAND = ': > "$LOCKSMITH_ROOT/run/reboot-called"';
/**
 * Runs a program in a process group that ends when our end of its input does: not even a demo that is killed leaves a
 * daemon behind.
 */
const LEASH = 'exec 3<&0; { cat <&3; kill -s KILL -- "-$$"; } >/dev/null 2>&1 & exec "$@" </dev/null 3<&-';

/** How a program of the project is started here: what this host configures for its own locksmith is left out. */
function environment(): Record<string, string> {
  const kept = Object.entries(Deno.env.toObject()).filter(([name]) =>
    !/^(LOCKSMITH|REBOOT_|JOURNAL_STREAM$)/.test(name)
  );
  return Object.fromEntries(kept);
}

/**
 * Runs the program once, so that what it needs is downloaded before several of it start at once. Throws an `Error`
 * with what it said when it does not run.
 */
export async function prepare(): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, "version"],
    cwd: PROJECT,
    clearEnv: true,
    env: environment(),
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`cannot run ${MAIN}: ${new TextDecoder().decode(stderr).trim()}`);
}

/** What the demo asks of a machine. */
export interface Machine {
  readonly id: string;
  readonly name: string;
  /** The boot that it is in, or was in last. */
  readonly bootId: string;
  /** Why it is not at work although nobody stopped it. */
  readonly fault: string | undefined;
  /** The last lines that its daemons wrote. */
  readonly log: readonly string[];
  /** Asks for a reboot, as a package manager does. The next boot ends the need. */
  needReboot(): Promise<void>;
  /** Starts it under a new boot id. */
  boot(): Promise<void>;
  /** When it was rebooted in this boot, in milliseconds since the epoch; `undefined`: it was not. */
  rebootCalledMs(): number | undefined;
  /** The state that its daemon tells other programs, or "" when it has told none in this boot. */
  coordinatorState(): string;
  /** Resolves when nothing of this boot is left. */
  goDown(): Promise<void>;
  /** Ends whatever runs on it. */
  kill(): Promise<void>;
}

export class DemoMachine implements Machine {
  readonly id = crypto.randomUUID().replaceAll("-", "");
  bootId = "";
  /** Why the daemon is not there although nobody stopped it. */
  fault: string | undefined;
  #child: Deno.ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #log: string[] = [];

  private constructor(
    readonly name: string,
    private readonly root: string,
    private readonly where: string[],
  ) {}

  /** Makes the directory `root`. `where` are the daemon's options that say where the semaphore is. */
  static async create(name: string, root: string, where: string[]): Promise<DemoMachine> {
    const machine = new DemoMachine(name, root, where);
    await Deno.mkdir(`${root}/etc`, { recursive: true });
    await Deno.mkdir(`${root}/run`);
    await Deno.mkdir(`${root}/proc/sys/kernel/random`, { recursive: true });
    await Deno.writeTextFile(`${root}/etc/machine-id`, `${machine.id}\n`);
    await Deno.writeTextFile(`${root}/etc/hostname`, `${name}\n`);
    return machine;
  }

  /** Asks for a reboot, as a package manager does. The next boot ends the need. */
  async needReboot(): Promise<void> {
    await Deno.writeTextFile(`${this.root}/run/reboot-required`, "");
  }

  /** Starts the daemon under a new boot id. */
  async boot(): Promise<void> {
    this.bootId = crypto.randomUUID();
    await Deno.writeTextFile(`${this.root}/proc/sys/kernel/random/boot_id`, `${this.bootId}\n`);
    const child = new Deno.Command("sh", {
      args: [
        "-c",
        LEASH,
        "sh",
        Deno.execPath(),
        "run",
        "-A",
        "--quiet",
        MAIN,
        "daemon",
        `--root=${this.root}`,
        ...this.where,
        "--reboot-strategy=etcd-lock",
        `--reboot-command=${REBOOT_COMMAND}`,
        "--session-grace=0",
      ],
      cwd: PROJECT,
      clearEnv: true,
      env: { ...environment(), DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${this.root}/run/no-bus` },
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
      // a group of its own: Ctrl-C reaches the demo alone, and the group ends as a whole
      detached: true,
    }).spawn();
    this.#child = child;
    this.#ended = Promise.all([
      this.keepLog(child),
      child.status.then(({ code }) => {
        if (this.#child === child) this.fault = `its daemon ended by itself with exit code ${code}`;
      }),
    ]);
  }

  /** When the reboot command ran in this boot, in milliseconds since the epoch; `undefined`: it has not. */
  rebootCalledMs(): number | undefined {
    try {
      return Deno.statSync(`${this.root}/run/reboot-called`).mtime?.getTime() ?? Date.now();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /** The state that the daemon tells other programs of its host, or "" when it has told none in this boot. */
  coordinatorState(): string {
    try {
      const text = Deno.readTextFileSync(`${this.root}/run/update-engine/coordinator.conf`);
      return /^STATE=(.*)$/m.exec(text)?.[1] ?? "";
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "";
      throw error;
    }
  }

  /** The power is gone: the daemon ends without a word, and `/run` is empty. */
  async goDown(): Promise<void> {
    await this.kill();
    await Deno.remove(`${this.root}/run`, { recursive: true });
    await Deno.mkdir(`${this.root}/run`);
  }

  /** Ends the daemon and all that it started. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    try {
      Deno.kill(-child.pid, "SIGKILL");
    } catch (error) {
      // ended by itself, a moment ago
      if (!(error instanceof Deno.errors.NotFound) && !(error instanceof TypeError)) throw error;
    }
    await Promise.all([this.#ended, child.stdin.abort().catch(() => {})]);
  }

  /** The last lines that its daemons wrote. */
  get log(): readonly string[] {
    return this.#log;
  }

  private async keepLog(child: Deno.ChildProcess): Promise<void> {
    let rest = "";
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      this.#log = [...this.#log, ...lines].slice(-LOG_LINES_KEPT);
    }
  }
}
