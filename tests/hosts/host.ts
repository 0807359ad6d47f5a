/**
 * A host: a container with a systemd, a bus, a logind and a journal of its own, on a disk and in a network that outlast
 * its reboots. It is a machine with its power on: when its systemd reboots it is started again, under another boot id.
 *
 * The kernel and the clock are this machine's, and a power cut loses nothing that was written. All else is as on a
 * machine of its own.
 */

import { until } from "../support/daemon_process.ts";
import { capture, type Captured, linesOf } from "./command.ts";
import { LAYER } from "./image.ts";
import { Journal } from "./journal.ts";
import type { Lab } from "./lab.ts";
import type { Plug } from "./network.ts";

/** What nspawn exits with when the container reboots. */
const REBOOT = 133;
/** How long a machine takes from its reset to its system, in milliseconds. */
const FIRMWARE_MS = 300;
/** How long a command on a host, a boot and an end of the power may take. */
const COMMAND_MS = 60_000;
const BOOT_MS = 120_000;
const OFF_MS = 180_000;
const POLL_MS = 20;
const UNIT = "locksmithd.service";
const COORDINATOR = "/run/update-engine/coordinator.conf";
const CONSOLE_LINES_KEPT = 40;
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** From the start of a host's system to its end. */
export interface Life {
  /** As the kernel writes it, with dashes. */
  readonly boot: string;
  /** When the system could first be asked, in milliseconds since the epoch. */
  readonly upMs: number;
  /** `Infinity` while it goes on. */
  readonly endedMs: number;
  readonly end: "goes on" | "reboot" | "poweroff" | "power loss";
}

export class Host implements AsyncDisposable {
  readonly id = crypto.randomUUID().replaceAll("-", "");
  readonly journal: Journal;
  /** What it wrote to its console last. */
  readonly console: string[] = [];
  /** Whether it comes up again after a reboot; else it waits for {@linkcode powerOn}. */
  comesBack = true;
  readonly #lives: Life[] = [];
  #leader = 0;
  #isOn = false;
  #running: Promise<void> = Promise.resolve();
  #fault: unknown;
  #over = false;

  private constructor(private readonly lab: Lab, readonly name: string, readonly plug: Plug) {
    this.journal = Journal.follow((command) => lab.words(command), `${this.root}/var/log/journal`, UNIT);
  }

  /** Makes the disk of a host: `files` are its own, by path. It is off. */
  static async make(
    lab: Lab,
    name: string,
    plug: Plug,
    files: Readonly<Record<string, string>>,
  ): Promise<Host> {
    const disk = `/run/hosts/${name}`;
    await lab.shellLines(
      `mkdir -p "$1/upper/etc" "$1/upper/var/log/journal" "$1/work" "$1/root"
      chmod 0755 "$1/upper" "$1/upper/etc"
      mount -t overlay -o "lowerdir=$2:/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"`,
      disk,
      LAYER,
    );
    const host = new Host(lab, name, plug);
    await host.write("/etc/hostname", `${name}\n`);
    await host.write("/etc/machine-id", `${host.id}\n`);
    for (const [path, text] of Object.entries(files)) await host.write(path, text);
    return host;
  }

  /** All lives so far; the last one may go on. */
  get lives(): readonly Life[] {
    return this.#lives;
  }

  get life(): Life {
    const life = this.#lives.at(-1);
    if (life === undefined) throw new Error(`${this.name} was never switched on`);
    return life;
  }

  /** Its root directory, in the laboratory. */
  get root(): string {
    return `/run/hosts/${this.name}/root`;
  }

  /** Starts its system, and resolves when that can be asked. */
  async powerOn(): Promise<void> {
    this.comesBack = true;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#running = this.#live(resolve).catch((error) => {
      this.#fault = error;
      reject(error);
    });
    await promise;
  }

  /** The power is gone, without a word to anybody, and stays off. It may be off already. */
  async losePower(): Promise<void> {
    this.comesBack = false;
    if (this.#isOn) Deno.kill(this.#leader, "SIGKILL");
    await this.off();
  }

  /** Resolves when it is off and stays so. Rejects when that takes too long. */
  async off(): Promise<void> {
    await this.#within(this.#running, OFF_MS, "is still on");
    if (this.#fault !== undefined) throw this.#fault;
  }

  /** Resolves when so many lives have begun. */
  async lived(count: number, limitMs = OFF_MS): Promise<void> {
    const deadline = Date.now() + limitMs;
    while (this.#lives.length < count) {
      if (this.#fault !== undefined) throw this.#fault;
      if (Date.now() > deadline) {
        throw new Error(`${this.name} did not come up for the ${count}th time\n${this.text}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Resolves when everything is started that starts with it. */
  async booted(): Promise<void> {
    const ask = ["systemctl", "is-active", "multi-user.target"];
    await until(() => this.capture(...ask), ({ stdout }) => stdout === "active\n", BOOT_MS);
  }

  /** Runs a program on it, as root. Rejects when it fails. */
  async run(...command: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.capture(...command);
    if (code !== 0) throw new Error(`${this.name}: ${command.join(" ")}: exit ${code}: ${stderr || stdout}`);
    return stdout;
  }

  /** Runs a program on it, as root. It must end before the host does, or it is killed: see {@linkcode detach}. */
  capture(...command: readonly string[]): Promise<Captured> {
    const enter = ["nsenter", `--target=${this.#leader}`, "--all", "--", "env", "-i", PATH, "LC_ALL=C.UTF-8"];
    return capture([...enter, ...command], COMMAND_MS);
  }

  /**
   * Starts a program that goes on, as a service of the host. A process of ours in there would hold the host up when it
   * goes down: everything in it is stopped then, and nobody is left to wait for it.
   */
  async detach(unit: string, ...command: readonly string[]): Promise<void> {
    await this.run("systemd-run", "--quiet", `--unit=${unit}`, "--service-type=exec", "--", ...command);
  }

  /**
   * A reboot is needed, as Debian's packages say it; the boot ends the need. Each life needs it for another kernel: the
   * very same need right after a reboot for it would be none.
   */
  async need(packages: readonly string[] = [`linux-image-6.1.0-${this.lives.length}-amd64`]): Promise<void> {
    const lines = packages.map((name) => `${name}\n`).join("");
    await this.run(
      "sh",
      "-c",
      'printf %s "$1" >/run/reboot-required.pkgs && : >/run/reboot-required',
      "sh",
      lines,
    );
  }

  /** Writes a file on its disk, whether it is on or not. */
  async write(path: string, content: string | Uint8Array): Promise<void> {
    const file = this.lab.path(`${this.root}${path}`);
    await Deno.mkdir(file.replace(/\/[^/]*$/, ""), { recursive: true });
    await (typeof content === "string" ? Deno.writeTextFile(file, content) : Deno.writeFile(file, content));
  }

  /** The text of a file on its disk; empty where there is none. */
  async read(path: string): Promise<string> {
    return await Deno.readTextFile(this.lab.path(`${this.root}${path}`)).catch(() => "");
  }

  /** What its daemon tells other programs that it is doing, or "" when it has told nothing in this life. */
  coordinatorState(): string {
    try {
      const text = Deno.readTextFileSync(`/proc/${this.#leader}/root${COORDINATOR}`);
      return /^STATE=(.*)$/m.exec(text)?.[1] ?? "";
    } catch (error) {
      if (!this.#isOn || error instanceof Deno.errors.NotFound) return "";
      throw error;
    }
  }

  /** What its daemon said, and its console. */
  get text(): string {
    return `${this.name}, its journal:\n${this.journal.text}\nits console:\n${this.console.join("\n")}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await this.journal[Symbol.asyncDispose]();
  }

  /** One life after the other. `up` is called once the first has begun. */
  async #live(up: () => void): Promise<void> {
    do {
      const system = this.#switchOn();
      const console = this.#keepConsole(system);
      await this.#begun(system);
      up();
      const { code } = await system.status;
      this.#isOn = false;
      await console;
      this.#end(code);
      if (code !== REBOOT) return;
      await new Promise((resolve) => setTimeout(resolve, FIRMWARE_MS));
    } while (this.comesBack && !this.#over);
  }

  #switchOn(): Deno.ChildProcess {
    const [program = "", ...args] = this.lab.words([
      ...["sh", "-euc", 'mkdir -p "$1"; echo 0 >"$1/cgroup.procs"; shift; exec "$@"', "sh", this.#cgroup],
      ...["env", "-i", PATH, "systemd-nspawn", "--quiet", "--boot", `--directory=${this.root}`],
      ...["--register=no", "--keep-unit", `--machine=${this.name}`, "--console=read-only"],
      ...["--resolv-conf=off", "--timezone=off", "--link-journal=no"],
      `--network-namespace-path=${this.plug.namespace}`,
    ]);
    return new Deno.Command(program, { args, stdin: "null", stdout: "piped", stderr: "piped" }).spawn();
  }

  get #cgroup(): string {
    return `/sys/fs/cgroup/${this.lab.name}/${this.name}`;
  }

  /** Resolves when its first process is there. */
  async #begun(system: Deno.ChildProcess): Promise<void> {
    let ended = false;
    system.status.then(() => ended = true);
    const deadline = Date.now() + BOOT_MS;
    while (true) {
      const found = await this.#first();
      if (found !== undefined) {
        this.#leader = found.pid;
        this.#isOn = true;
        this.#lives.push({ boot: found.boot, upMs: Date.now(), endedMs: Infinity, end: "goes on" });
        return;
      }
      if (ended || Date.now() > deadline) {
        throw new Error(`${this.name} does not boot:\n${this.console.join("\n")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** The first process of the container, and its boot id, once that is another one than before. */
  async #first(): Promise<{ pid: number; boot: string } | undefined> {
    try {
      const group = this.lab.path(`${this.#cgroup}/payload/init.scope/cgroup.procs`);
      for (const pid of (await Deno.readTextFile(group)).split("\n").filter((word) => word !== "")) {
        if (!/^NSpid:.*\t1$/m.test(await Deno.readTextFile(`/proc/${pid}/status`))) continue;
        const text = await Deno.readTextFile(`/proc/${pid}/root/proc/sys/kernel/random/boot_id`);
        const boot = text.trim();
        if (boot !== this.#lives.at(-1)?.boot) return { pid: Number(pid), boot };
      }
    } catch (error) {
      // it is not there yet, or no longer
      if (!(error instanceof Deno.errors.NotFound) && !/os error 3\b/.test(`${error}`)) throw error;
    }
    return undefined;
  }

  #end(code: number): void {
    const end = code === REBOOT ? "reboot" : code === 0 ? "poweroff" : "power loss";
    this.#lives.push({ ...this.life, endedMs: Date.now(), end });
    this.#lives.splice(-2, 1);
  }

  async #keepConsole(system: Deno.ChildProcess): Promise<void> {
    const keep = async (stream: ReadableStream<Uint8Array>) => {
      for await (const line of linesOf(stream)) {
        this.console.push(line);
        if (this.console.length > CONSOLE_LINES_KEPT) this.console.shift();
      }
    };
    await Promise.all([keep(system.stdout), keep(system.stderr)]);
  }

  async #within<T>(promise: Promise<T>, limitMs: number, fault: string): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`${this.name} ${fault}\n${this.text}`)), limitMs);
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
