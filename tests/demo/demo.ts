/**
 * `deno task demo`: several machines on this one, each a real daemon with its own root, share one semaphore and reboot,
 * never more at once than max. Needs no service, no root and no network once Deno has its packages; nothing is left
 * behind. With `--hosts` each is a container whose system really reboots, which needs root.
 *
 * It ends by itself, at the latest after a time that depends on the number of machines, and exits 1 if max was ever
 * exceeded or a machine is missing. What counts is in `judge.ts`, what a machine is in `machine.ts` and `host_machine.ts`.
 */

import { parseCommandLine } from "../../lib/cli/args.ts";
import { interpret } from "../../lib/cli/config.ts";
import { type Option, parseSwitch, wholeNumber } from "../../lib/cli/option.ts";
import { OPTIONS as PROGRAM } from "../../lib/cli/options.ts";
import type { StoreConfig } from "../../lib/cli/together.ts";
import { MAX_LIMIT } from "../../lib/semaphore.ts";
import { Lock, LockError } from "../../lib/lock.ts";
import { openStore } from "../../lib/cli/open_store.ts";
import { oneLine } from "../../lib/cli/output.ts";
import type { Semaphore } from "../../lib/semaphore.ts";
import { type Store, StoreError } from "../../lib/store.ts";
import { REAL } from "../../lib/surroundings.ts";
import {
  count,
  deadlineMs,
  exitCode,
  mostAtOnce,
  type Outage,
  type Outcome,
  type Reading,
  seconds,
  summary,
} from "./judge.ts";
import { HostMachine } from "./host_machine.ts";
import { DemoMachine, type Machine, prepare } from "./machine.ts";
import { complain, openScreen, type Screen, write } from "./screen.ts";
import { type DemoPage, openPage } from "./page.ts";
import { demoTimeline } from "./timeline.ts";
import { type Change, type Picture, rebootedCount, type State, stateOf } from "./view.ts";

const MACHINES_MOST = 50;
const HOSTS_MOST = 20;
/** How much longer a run with hosts may take, in milliseconds: they boot. */
const HOSTS_EXTRA_MS = 60_000;
/** How long a machine is down, in milliseconds. */
const DOWN_MS = 2_000;
/** How often the demo looks whether a reboot command ran, and how often at the semaphore, in milliseconds. */
const CALL_LOOK_MS = 20;
const SEMAPHORE_LOOK_MS = 120;
/** How many lines of its log are shown of a machine that is missing, and of how many machines. */
const LOG_SHOWN = { lines: 6, machines: 3 };

const OPTIONS: Readonly<Record<string, Option>> = {
  machines: {
    value: "N",
    help: `how many machines, 1 to ${MACHINES_MOST}; default: 5`,
    fallback: "5",
    by: ["demo"],
    parse: wholeNumber(1, MACHINES_MOST),
  },
  max: {
    value: "N",
    help: "how many may reboot at once; default: 1",
    fallback: "1",
    by: ["demo"],
    parse: wholeNumber(1, MAX_LIMIT),
  },
  endpoint: {
    value: "URL",
    repeatable: ",",
    help: "an etcd, http://HOST:PORT, or sqlite:PATH; default: an embedded store of its own",
    by: ["demo"],
    parse: PROGRAM.endpoint.parse,
  },
  hosts: {
    help: `real hosts, 1 to ${HOSTS_MOST}: containers with a system of their own, and an etcd; as root`,
    by: ["demo"],
    parse: parseSwitch,
  },
  svg: {
    value: "FILE",
    help: "where to draw what happened; default: a new file among the temporary ones",
    by: ["demo"],
    parse: (text) => text,
  },
  hold: {
    help: "keep the page open at the end, until Ctrl-C",
    by: ["demo"],
    parse: parseSwitch,
  },
  help: { help: "this text", by: ["demo"], parse: parseSwitch },
};

const HELP = `usage: deno task demo [options]

Several machines on this one, each a real locksmith daemon, share one semaphore and reboot in turns.
Nothing is really rebooted: the reboot command stops a daemon for 2 seconds, and it starts under a new
boot id. With --hosts each is a container, whose system logind reboots. A page on this host shows what
happens meanwhile; a picture of it is left behind. Exits 0 when every machine rebooted and never more than
max at once, else 1.

${
  Object.entries(OPTIONS).map(([name, { value, help }]) =>
    `  ${`--${name} ${value ?? ""}`.padEnd(14)}  ${help}`
  ).join("\n")
}

example: deno task demo --machines 12 --max 3
`;

interface Options {
  readonly machines: number;
  readonly max: number;
  /** Whether the machines are hosts whose system really reboots. */
  readonly hosts: boolean;
  /** Where the picture of the run goes; absent: to a temporary file. */
  readonly svg?: string;
  /** Whether the page stays when all is over. */
  readonly hold: boolean;
  /** Where the semaphore is; `null`: in the demo's own directory. */
  readonly store: { readonly config: StoreConfig; readonly endpoints: readonly string[] } | null;
}

/** What the words say, or the faults in them. */
export function parseOptions(
  args: readonly string[],
): Options | { readonly faults: readonly string[] } | "help" {
  const { flags, operands, faults: found } = parseCommandLine(args, OPTIONS, ["demo"], "demo");
  const settings = { values: flags, faults: [], hints: [], warnings: [] };
  const { parts, together, faults } = interpret("demo", settings, (path) => Deno.readFileSync(path), OPTIONS);
  if (parts.get("help")?.value === true) return "help";
  const words = found.length > 0 ? [] : operands.map((word) => `unexpected argument '${word}'`);
  const hosts = parts.get("hosts")?.value === true;
  const machines = Number(parts.get("machines")?.value);
  const combined = !hosts ? [] : [
    ...machines > HOSTS_MOST
      ? [`--machines: '${machines}' is not a whole number from 1 to ${HOSTS_MOST}`]
      : [],
    ...flags.has("endpoint") ? ["--hosts has an etcd of its own, and takes no --endpoint"] : [],
  ];
  const all = [...found, ...words, ...faults, ...combined];
  if (all.length > 0) return { faults: all };
  // each as its row says
  const config = together.get("store") as StoreConfig | undefined;
  return {
    machines,
    max: Number(parts.get("max")?.value),
    hosts,
    ...(flags.has("svg") ? { svg: String(parts.get("svg")?.value) } : {}),
    hold: parts.get("hold")?.value === true,
    store: config === undefined ? null : { config, endpoints: flags.get("endpoint")?.texts ?? [] },
  };
}

/** Runs the demo, and returns its exit code. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options === "help") {
    write(Deno.stdout, HELP);
    return 0;
  }
  if ("faults" in options) {
    for (const fault of options.faults) complain(fault);
    write(Deno.stderr, "demo: hint: 'deno task demo --help' shows the options\n");
    return 2;
  }
  const stop = new AbortController();
  for (const [name, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
    Deno.addSignalListener(name, () => stop.abort(code));
  }
  await using site = options.hosts ? await openSite() : null;
  if (options.hosts && site === null) return 1;
  const screen = openScreen(stop);
  const directory = await Deno.makeTempDir({ prefix: "locksmith-demo-" });
  const demo = new Demo(
    { ...options, store: site?.store ?? options.store },
    directory,
    screen,
    stop.signal,
    site,
  );
  try {
    return await demo.run();
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof LockError)) throw error;
    complain(error.message);
    return 1;
  } finally {
    await demo.end();
    await Deno.remove(directory, { recursive: true });
  }
}

/** Where hosts can be, with its etcd; `null` where there can be none, which is told. */
async function openSite(): Promise<DemoSite | null> {
  const { install, missing } = await import("../support/packages.ts");
  const { HOST_PACKAGES, whyNoHosts } = await import("../hosts/requirements.ts");
  await install(await missing([...HOST_PACKAGES, { program: "etcd", package: "etcd-server" }]));
  const why = await whyNoHosts();
  if (why !== undefined) {
    complain(`--hosts: there can be no hosts on this machine: ${why}`);
    return null;
  }
  const { Site } = await import("../hosts/site.ts");
  const site = await Site.open("demo");
  const endpoints = [site.etcd.endpoint];
  return {
    store: { endpoints, config: { kind: "etcd", endpoints } },
    machine: async (name, group) => {
      return new HostMachine(await site.host(name, group, { settings: { LOCKSMITHD_SESSION_GRACE: "0" } }));
    },
    [Symbol.asyncDispose]: () => site[Symbol.asyncDispose](),
  };
}

interface DemoSite extends AsyncDisposable {
  readonly store: NonNullable<Options["store"]>;
  machine(name: string, group: string): Promise<Machine>;
}

class Demo {
  readonly #lock: Promise<Lock>;
  readonly #group: string;
  readonly #machines: Machine[] = [];
  readonly #changes = new Map<Machine, Change[]>();
  /** Outages by machine: its one reboot, once that was called. */
  readonly #outages = new Map<Machine, Outage>();
  readonly #readings: Reading[] = [];
  readonly #unlisted: string[] = [];
  #semaphore: Semaphore | undefined;
  #trouble: string | undefined;
  #startedMs = 0;
  /** Whether there may be a key of ours in the store. */
  #written = false;
  #lives: Promise<void>[] = [];
  #page: DemoPage | undefined;
  /** Aborts when all is to end: no machine boots any more. */
  readonly #over = new AbortController();

  constructor(
    private readonly options: Options,
    private readonly directory: string,
    private readonly screen: Screen,
    private readonly stop: AbortSignal,
    private readonly site: DemoSite | null,
  ) {
    // in a store that others use too, a group that nobody else does
    this.#group = options.store === null ? "" : `demo-${crypto.randomUUID().slice(0, 8)}`;
    const config = options.store?.config ??
      { kind: "sqlite", path: `${directory}/semaphore.db` };
    this.#lock = openStore(config).then((store) => new Lock(store, this.#group, REAL, "demo"));
  }

  async run(): Promise<number> {
    const { machines, max } = this.options;
    const lock = await this.#lock;
    this.screen.say(
      "bold",
      `locksmith demo: ${count(machines, "machine")} to be rebooted, at most ${max} at once`,
    );
    const [each, reboots] = this.options.hosts
      ? [
        "a container with its own system",
        "each reboot is real: logind calls it, and the system starts anew 2 s later",
      ]
      : [
        "a real daemon with its own root",
        "no reboot is real: a daemon is killed for 2 s and starts under a new boot id",
      ];
    this.screen.say("dim", `each is ${each}; the semaphore is in ${this.where(lock.store)}`);
    this.screen.say("dim", reboots);
    this.#page = await openPage(lock.store, this.#group);
    this.screen.say("bold", `watch it at ${this.#page.url}`);
    await this.createMachines();
    const stopped = new Promise<number>((resolve) => {
      this.stop.addEventListener("abort", () => resolve(Number(this.stop.reason)));
    });
    const early = await Promise.race([
      stopped,
      this.setMax(lock, max).then(() => this.site === null ? prepare() : undefined),
    ]);
    if (typeof early === "number") return early;
    this.#startedMs = Date.now();
    this.#lives = this.#machines.map((machine) => this.live(machine, lock));
    const end = await Promise.race([
      this.watch(lock),
      Promise.all(this.#lives).then(() => new Promise<never>(() => {})),
    ]);
    this.screen.close();
    if (end.kind !== "stopped") await this.leavePicture();
    const code = this.conclude(end);
    if (this.options.hold && !this.stop.aborted) {
      this.screen.say("bold", `the page stays at ${this.#page.url} until Ctrl-C`);
      await stopped;
    }
    return code;
  }

  private async leavePicture(): Promise<void> {
    const svg = this.options.svg ?? await Deno.makeTempFile({ prefix: "locksmith-demo-", suffix: ".svg" });
    const picture = this.picture();
    const title = `${rebootedCount(picture.rows)} of ${count(picture.rows.length, "machine")} rebooted`;
    await Deno.writeTextFile(svg, demoTimeline(picture, title));
    this.screen.say("dim", `what happened, as a picture: ${svg}`);
  }

  /** Ends every daemon, and leaves nothing in the store. Errors there are told, not thrown. */
  async end(): Promise<void> {
    this.screen.close();
    this.#over.abort();
    await Promise.allSettled(this.#lives);
    await Promise.all(this.#machines.map((machine) => machine.kill()));
    const { store } = await this.#lock;
    await this.#page?.close();
    await store.close();
    const config = this.options.store?.config;
    if (
      config?.kind === "etcd" && this.#written &&
      !await forget(config.endpoints, (await this.#lock).key)
    ) {
      write(Deno.stderr, `demo: hint: the key ${(await this.#lock).key} stays in ${store.name}\n`);
    }
  }

  private async setMax(lock: Lock, max: number): Promise<void> {
    await lock.setMax(max);
    this.#written = true;
  }

  private where(store: Store): string {
    return this.options.store === null ? "an embedded store" : `${store.name}, group ${this.#group}`;
  }

  private async createMachines(): Promise<void> {
    const { machines, store } = this.options;
    const endpoints = store?.endpoints ?? [`sqlite:${this.directory}/semaphore.db`];
    const where = [
      ...endpoints.map((url) => `--endpoint=${url}`),
      ...(store ? [`--group=${this.#group}`] : []),
    ];
    for (let n = 1; n <= machines; n++) {
      const machine = await this.site?.machine(`m${n}`, this.#group) ??
        await DemoMachine.create(`m${n}`, `${this.directory}/m${n}`, where);
      await machine.needReboot();
      this.#machines.push(machine);
      this.#changes.set(machine, []);
    }
  }

  /** What happens to a machine: it boots, it is rebooted when its daemon calls for it, it goes on. */
  private async live(machine: Machine, lock: Lock): Promise<void> {
    await machine.boot();
    this.enter(machine, "starts");
    let fromMs = machine.rebootCalledMs();
    while (fromMs === undefined) {
      await pause(CALL_LOOK_MS, this.#over.signal);
      if (this.#over.signal.aborted) return;
      fromMs = machine.rebootCalledMs();
    }
    this.#outages.set(machine, { machine: machine.id, fromMs, toMs: Infinity });
    await machine.goDown();
    // the slot stays while the machine is down, so this reading must show it
    const listed = await this.look(lock);
    if (listed !== undefined && !listed.holders.includes(machine.id)) this.#unlisted.push(machine.name);
    if (listed?.holders.includes(machine.id)) this.enter(machine, "holds", this.grantedMs(machine));
    this.enter(machine, "reboots", fromMs);
    await pause(fromMs + DOWN_MS - Date.now(), this.#over.signal);
    if (this.#over.signal.aborted) return;
    this.#outages.set(machine, { machine: machine.id, fromMs, toMs: Date.now() });
    await machine.boot();
    this.enter(machine, "returns");
  }

  /** Looks at the semaphore and the machines until all are through, something went wrong, or it took too long. */
  private async watch(lock: Lock): Promise<Ending> {
    const deadline = this.#startedMs + deadlineMs(this.options.machines, this.options.max) +
      (this.options.hosts ? HOSTS_EXTRA_MS : 0);
    while (true) {
      await this.look(lock);
      const picture = this.picture();
      this.screen.draw(picture);
      if (rebootedCount(picture.rows) === this.#machines.length) return { kind: "through" };
      if (this.stop.aborted) return { kind: "stopped", code: Number(this.stop.reason) };
      if (this.#machines.some(({ fault }) => fault !== undefined)) return { kind: "broken" };
      if (Date.now() > deadline) return { kind: "late" };
      await pause(SEMAPHORE_LOOK_MS, this.stop);
    }
  }

  /** One reading of the semaphore, and what it tells of the machines; `undefined` when it could not be read. */
  private async look(lock: Lock): Promise<Semaphore | undefined> {
    const fromMs = Date.now();
    const back = new Set(this.#machines.filter((machine) => this.isBack(machine)));
    try {
      const semaphore = await lock.read();
      this.#semaphore = semaphore;
      this.#readings.push({ fromMs, toMs: Date.now(), holders: semaphore.holders });
      this.#trouble = undefined;
      for (const machine of this.#machines) {
        const state = this.state(machine);
        const held = semaphore.holders.includes(machine.id);
        if (state === "starts" && machine.coordinatorState() === "running") this.enter(machine, "waits");
        if (held && (state === "starts" || state === "waits")) {
          this.enter(machine, "holds", this.grantedMs(machine));
        }
        if (!held && state === "returns" && back.has(machine)) this.enter(machine, "done");
      }
      return semaphore;
    } catch (error) {
      if (!(error instanceof StoreError || error instanceof LockError)) throw error;
      this.#trouble = error.message;
      return undefined;
    }
  }

  /** Whether the daemon of the new boot is at work. */
  private isBack(machine: Machine): boolean {
    return this.state(machine) === "returns" && machine.coordinatorState() === "running";
  }

  private grantedMs(machine: Machine): number {
    const since = this.#semaphore?.holds.get(machine.id)?.since;
    return since === undefined ? Date.now() : Temporal.Instant.from(since).epochMilliseconds;
  }

  private state(machine: Machine): State {
    return stateOf({ name: machine.name, bootId: machine.bootId, changes: this.#changes.get(machine) ?? [] });
  }

  private enter(machine: Machine, state: State, atMs = Date.now()): void {
    const changes = this.#changes.get(machine);
    if (changes === undefined || changes.at(-1)?.state === state) return;
    const change = { state, atMs: Math.max(atMs, changes.at(-1)?.atMs ?? 0) };
    changes.push(change);
    const picture = this.picture();
    const row = picture.rows[this.#machines.indexOf(machine)];
    if (row !== undefined) this.screen.tell(picture, row, change);
  }

  private picture(): Picture {
    const names = new Map(this.#machines.map(({ id, name }) => [id, name]));
    return {
      startedMs: this.#startedMs,
      nowMs: Date.now(),
      rows: this.#machines.map((machine) => ({
        name: machine.name,
        bootId: machine.bootId,
        changes: this.#changes.get(machine) ?? [],
      })),
      max: this.options.max,
      holders: (this.#semaphore?.holders ?? []).map((id) => names.get(id) ?? id),
      mostAtOnce: mostAtOnce([...this.#outages.values()], this.#readings),
      trouble: this.#trouble,
      real: this.options.hosts,
    };
  }

  private conclude(end: Ending): number {
    const elapsedMs = Date.now() - this.#startedMs;
    const { rows, mostAtOnce } = this.picture();
    const outcome: Outcome = {
      machines: rows.length,
      max: this.options.max,
      rebooted: rebootedCount(rows),
      mostAtOnce,
      elapsedMs,
      unlisted: this.#unlisted,
    };
    this.screen.close();
    const readings = count(this.#readings.length, "reading");
    this.screen.say(
      "dim",
      `counted: who was down, from reboot command to next start, or listed in ${readings}`,
    );
    const code = end.kind === "stopped" ? end.code : exitCode(outcome);
    for (const line of summary(outcome)) this.screen.say(code === 0 ? "done" : "reboots", line);
    if (end.kind === "stopped") return code;
    const missing = this.#machines.filter((machine) => this.state(machine) !== "done");
    if (end.kind === "late") {
      complain(`${missing.map(({ name }) => name).join(", ")} did not reboot within ${seconds(elapsedMs)}`);
    }
    if (this.#trouble !== undefined) complain(this.#trouble);
    // the one whose daemon broke says more than those who wait for it
    missing.sort((a, b) => Number(b.fault !== undefined) - Number(a.fault !== undefined));
    for (const machine of missing.slice(0, LOG_SHOWN.machines)) {
      complain(`${machine.name}: ${machine.fault ?? this.state(machine)}; the end of its log:`);
      for (const line of machine.log.slice(-LOG_SHOWN.lines)) write(Deno.stderr, `  ${oneLine(line)}\n`);
    }
    return code;
  }
}

type Ending =
  | { readonly kind: "through" | "late" | "broken" }
  | { readonly kind: "stopped"; readonly code: number };

/** Deletes a key of the demo by etcd's HTTP gateway: the program itself never deletes one. */
async function forget(endpoints: readonly string[], key: string): Promise<boolean> {
  for (const endpoint of endpoints) {
    try {
      const response = await fetch(`${endpoint}/v3/kv/deleterange`, {
        method: "POST",
        body: JSON.stringify({ key: btoa(key) }),
        signal: AbortSignal.timeout(2_000),
      });
      await response.body?.cancel();
      if (response.ok) return true;
    } catch {
      // the next one may do it
    }
  }
  return false;
}

/** Resolves after `ms` milliseconds, or when `signal` aborts. */
function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(0, ms));
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}

if (import.meta.main) Deno.exit(await main(Deno.args));
