/**
 * Real daemons for tests: each a process of its own, on a machine that is a directory, with a private bus or none at
 * all. Nothing of it can reboot the host: without a private bus there is no bus.
 *
 * A machine is disposed of with its daemons; what outlived its test ends with the test process.
 */

import { openStore } from "../../lib/cli/open_store.ts";
import { Lock } from "../../lib/lock.ts";
import type { Hold, Semaphore } from "../../lib/semaphore.ts";
import { REAL } from "../../lib/surroundings.ts";
import { CACHE_DIR } from "./executable.ts";
import { caches, leashed } from "./child.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;
/** How long anything that a test waits for may take. */
const DEADLINE_MS = 90_000;
const POLL_MS = 20;
const NO_BUS = "unix:path=/nonexistent/bus";

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** The address of a private bus. */
  readonly bus?: string;
  /** In place of the test's own. */
  readonly path?: string;
  /** The built file, in place of the sources. */
  readonly program?: string;
  /** What runs until it is stopped; default: `daemon`. */
  readonly command?: "daemon" | "serve";
}

/** How a process ended, and what it wrote. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs locksmith to its end. */
export async function locksmith(args: readonly string[], options: StartOptions = {}): Promise<Ended> {
  const { code, stdout, stderr } = await command(args, options).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

function command(
  args: readonly string[],
  { env = {}, bus = NO_BUS, path, program }: StartOptions,
): Deno.Command {
  const own = Object.entries(Deno.env.toObject()).filter(([name]) => {
    return !/^(LOCKSMITH|REBOOT_|JOURNAL_STREAM|DBUS_)/.test(name);
  });
  return leashed(program ?? Deno.execPath(), {
    args: [...(program === undefined ? ["run", "-A", "--quiet", `--config=${CONFIG}`, MAIN] : []), ...args],
    env: {
      ...Object.fromEntries(own),
      ...caches(),
      ...(program === undefined ? {} : { LOCKSMITH_CACHE_DIR: CACHE_DIR }),
      NO_COLOR: "1",
      DBUS_SYSTEM_BUS_ADDRESS: bus,
      // without a bus nobody can tell who is logged in, and each reboot would wait for the grace
      ...(bus === NO_BUS ? { LOCKSMITHD_SESSION_GRACE: "0s" } : {}),
      ...(path === undefined ? {} : { PATH: path }),
      ...env,
    },
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** A running daemon, or server. */
export class TestDaemon {
  readonly lines: string[] = [];
  readonly status: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;
  #next = 0;
  #wake = () => {};
  #ended = false;

  constructor(args: readonly string[], options: StartOptions) {
    this.#child = command([options.command ?? "daemon", ...args], options).spawn();
    this.#reading = Promise.all([this.#read(this.#child.stderr), this.#child.stdout.cancel()]);
    this.status = this.#child.status.then(async (status) => {
      await this.#reading;
      this.#ended = true;
      this.#wake();
      return status;
    });
  }

  /** The next line that fits, without its time; lines before it are passed over. Rejects with all lines when none comes. */
  async line(pattern: RegExp, limitMs = DEADLINE_MS): Promise<string> {
    const deadline = Date.now() + limitMs;
    while (true) {
      while (this.#next < this.lines.length) {
        const line = this.lines[this.#next++] ?? "";
        if (pattern.test(line)) return line;
      }
      const left = deadline - Date.now();
      if (left <= 0 || this.#ended) {
        const when = this.#ended ? "before its end" : `in time; ${await processState(this.pid)}`;
        throw new Error(`no line ${pattern} ${when}:\n${this.text}`);
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
    }
  }

  /** How many lines fit, so far. */
  count(pattern: RegExp): number {
    return this.lines.filter((line) => pattern.test(line)).length;
  }

  get text(): string {
    return this.lines.join("\n");
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Sends the signal; the exit code, and how long the end took in milliseconds. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<{ code: number; tookMs: number }> {
    const started = performance.now();
    this.signal(signal);
    const { code } = await this.status;
    return { code, tookMs: performance.now() - started };
  }

  signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      this.lines.push(...lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\S+Z /, "")));
      this.#wake();
    }
    if (rest !== "") this.lines.push(rest);
  }
}

let machines = 0;

/** A machine: a directory that stands for `/`, and in it an embedded store. */
export class TestMachine implements AsyncDisposable {
  readonly host = `host${machines}`;
  readonly id = (++machines).toString(16).padStart(32, "b");
  readonly #daemons: TestDaemon[] = [];

  private constructor(readonly root: string) {}

  static async make(): Promise<TestMachine> {
    const machine = new TestMachine(await Deno.makeTempDir({ prefix: "locksmith-machine-" }));
    for (const directory of ["etc", "run", "bin", "proc/sys/kernel/random"]) {
      await Deno.mkdir(`${machine.root}/${directory}`, { recursive: true });
    }
    await machine.write("etc/machine-id", `${machine.id}\n`);
    await machine.write("etc/hostname", `${machine.host}\n`);
    await machine.boot();
    return machine;
  }

  /** A new boot id, and it. */
  async boot(): Promise<string> {
    const id = crypto.randomUUID();
    await this.write("proc/sys/kernel/random/boot_id", `${id}\n`);
    return id;
  }

  async bootId(): Promise<string> {
    return (await Deno.readTextFile(`${this.root}/proc/sys/kernel/random/boot_id`)).trim();
  }

  async write(path: string, text: string, mode = 0o644): Promise<void> {
    await Deno.mkdir(`${this.root}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(`${this.root}/${path}`, text, { mode });
  }

  /** The text of a file; empty where there is none. */
  async read(path: string): Promise<string> {
    return await Deno.readTextFile(`${this.root}/${path}`).catch(() => "");
  }

  /** The sentinel file that asks for a reboot. */
  async need(needed = true): Promise<void> {
    if (needed) await this.write("run/reboot-required", "");
    else await Deno.remove(`${this.root}/run/reboot-required`);
  }

  /** The embedded store's endpoint. */
  get store(): string {
    return `sqlite:${this.root}/locks.db`;
  }

  /** Starts a daemon with this root. */
  start(args: readonly string[], options: StartOptions = {}): TestDaemon {
    const daemon = new TestDaemon(["--root", this.root, ...args], options);
    this.#daemons.push(daemon);
    return daemon;
  }

  /** What `coordinator.conf` says: `etcd-lock running`. */
  async coordinator(): Promise<string> {
    const text = await this.read("run/update-engine/coordinator.conf");
    const [, strategy, state] = /^NAME=locksmithd\nSTRATEGY=(.*)\nSTATE=(.*)\n+$/.exec(text) ?? [];
    return `${strategy} ${state}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.#daemons) await daemon.stop("SIGKILL");
    await Deno.remove(this.root, { recursive: true });
  }
}

/** The semaphore that daemons use, seen from outside. */
export class TestLock extends Lock implements AsyncDisposable {
  static async open(endpoint: string, group = ""): Promise<TestLock> {
    const config = endpoint.startsWith("sqlite:")
      ? { kind: "sqlite", path: endpoint.slice("sqlite:".length) } as const
      : { kind: "etcd", endpoints: endpoint.split(",") } as const;
    return new TestLock(await openStore(config), group, REAL, "anna@desk");
  }

  /** Takes a slot by hand. */
  async lock(holder: string, reason = "looking after it"): Promise<void> {
    const hold = {
      since: new Date().toISOString(),
      by: this.by,
      reason,
      grant: crypto.randomUUID(),
      extra: {},
    };
    const { kind } = await this.acquire(holder, hold);
    if (kind !== "granted") throw new Error(`cannot lock ${holder}: ${kind}`);
  }

  override async unlock(holder: string): ReturnType<Lock["unlock"]> {
    const decision = await super.unlock(holder);
    if (decision.kind !== "released") throw new Error(`cannot unlock ${holder}: ${decision.kind}`);
    return decision;
  }

  /** The machines in line, the first first. */
  async queue(): Promise<string[]> {
    return (await this.readWithQueue()).queue.map(({ machine }) => machine);
  }

  async hold(holder: string): Promise<Hold | undefined> {
    return (await this.read()).holds.get(holder);
  }

  /** The document, once it is as wanted. */
  async until(wanted: (semaphore: Semaphore) => boolean): Promise<Semaphore> {
    return await until(() => this.read(), wanted);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
  }
}

/** What `look` sees, once it is as wanted. Rejects with what it saw last, if that takes longer than `limitMs`. */
export async function until<T>(
  look: () => Promise<T>,
  wanted: (seen: T) => boolean,
  limitMs = DEADLINE_MS,
): Promise<T> {
  const deadline = Date.now() + limitMs;
  while (true) {
    const seen = await look();
    if (wanted(seen)) return seen;
    if (Date.now() > deadline) throw new Error(`not so in time: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** What a process that does not go on is doing: one that sleeps waits for something, one that runs spins. */
async function processState(pid: number): Promise<string> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => "");
  const [state, ...fields] = stat.replace(/^.*\) /s, "").split(" ");
  return `it is in state ${state}, after ${Number(fields[10]) + Number(fields[11])} ticks of processor time`;
}
