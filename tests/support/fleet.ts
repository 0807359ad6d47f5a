/**
 * Machines that really take turns: each a real daemon of the built file on a directory of its own. What a reboot does is
 * played here: once the reboot command ran, the daemon is killed without a warning, what asked for the reboot is gone, and
 * a while later the daemon starts anew under another boot id. When a machine was down is recorded here, and by the reboot
 * command itself.
 */

import type { Chronicle, Reboot } from "./chronicle.ts";
import { type TestDaemon, TestMachine } from "./daemon_process.ts";
import { locksmith } from "./executable.ts";

/** How long a machine is down. */
const DOWN_MS = 200;
/** How long a roll-out may take from one thing that is awaited to the next, on a host that is busy with other things. */
const LIMIT_MS = 120_000;
/** Each call leaves the time at which it came, in milliseconds since the epoch. */
export const REBOOT_COMMAND = 'date +%s%3N >>"$LOCKSMITH_ROOT/calls"';
const ACCEPTED = /^notice: the reboot is accepted/;
const GAVE_BACK = /^info: this machine has rebooted; gave back the slot/;

export interface FleetOptions {
  readonly endpoints: readonly string[];
  readonly group: string;
}

/** One machine. */
export class FleetMachine implements AsyncDisposable {
  readonly reboots: Reboot[] = [];
  #calls = 0;

  private constructor(
    private readonly machine: TestMachine,
    private readonly program: string,
    private readonly options: FleetOptions,
  ) {}

  /** A machine that needs a reboot. */
  static async make(options: FleetOptions): Promise<FleetMachine> {
    const machine = await TestMachine.make();
    await machine.need();
    return new FleetMachine(machine, await locksmith(), options);
  }

  get id(): string {
    return this.machine.id;
  }

  get host(): string {
    return this.machine.host;
  }

  /** Its daemon, in the boot that it is in. */
  start(rebootCommand = REBOOT_COMMAND): TestDaemon {
    const { endpoints, group } = this.options;
    return this.machine.start(
      [
        ...endpoints.flatMap((endpoint) => ["--endpoint", endpoint]),
        ...["--group", group, "--reboot-command", rebootCommand],
      ],
      { program: this.program },
    );
  }

  /** How often the reboot was called, in all boots. */
  async calls(): Promise<number> {
    return (await this.machine.read("calls")).split("\n").length - 1;
  }

  /** Goes down, because the reboot was called, and comes up under another boot id, without a daemon yet. */
  async reboot(daemon: TestDaemon): Promise<void> {
    await daemon.stop("SIGKILL");
    const calls = (await this.machine.read("calls")).trim().split("\n").map(Number);
    const fromMs = calls[this.#calls];
    if (!fromMs) throw new Error(`${this.id} goes down without a reboot call:\n${daemon.text}`);
    this.#calls = calls.length;
    const boot = await this.machine.bootId();
    await this.machine.need(false);
    await new Promise((resolve) => setTimeout(resolve, DOWN_MS));
    await this.machine.boot();
    this.reboots.push({ machine: this.id, boot, fromMs, toMs: Date.now() });
  }

  /** From the need to the slot given back. `rebooted` is called in between. */
  async turn(daemon: TestDaemon = this.start(), rebooted: () => void = () => {}): Promise<TestDaemon> {
    await daemon.line(ACCEPTED, LIMIT_MS);
    return await this.comeBack(daemon, rebooted);
  }

  /** From the accepted reboot to the slot given back. */
  async comeBack(daemon: TestDaemon, rebooted: () => void = () => {}): Promise<TestDaemon> {
    await this.reboot(daemon);
    rebooted();
    const next = this.start();
    await next.line(GAVE_BACK, LIMIT_MS);
    return next;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.machine[Symbol.asyncDispose]();
  }
}

/** Machines that all need a reboot at once. */
export class Fleet implements AsyncDisposable {
  readonly machines: FleetMachine[] = [];
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  #turns: Promise<unknown> = Promise.resolve();

  private constructor(private readonly chronicle: Chronicle) {}

  /** Starts them all. */
  static async start(size: number, options: FleetOptions, chronicle: Chronicle): Promise<Fleet> {
    await using stack = new AsyncDisposableStack();
    const fleet = stack.use(new Fleet(chronicle));
    for (let index = 0; index < size; index++) fleet.machines.push(await FleetMachine.make(options));
    fleet.#turns = Promise.all(fleet.machines.map((machine) => machine.turn(undefined, () => fleet.#tell())));
    fleet.#turns.catch(() => {});
    stack.move();
    return fleet;
  }

  get reboots(): Reboot[] {
    return this.machines.flatMap(({ reboots }) => reboots);
  }

  /** Resolves when so many reboots are over. */
  async rebooted(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ count, resolve });
    this.#tell();
    await this.chronicle.telling(Promise.race([promise, this.#turns]));
  }

  /** Resolves when every machine has rebooted and given its slot back. */
  async done(): Promise<void> {
    await this.chronicle.telling(this.#turns);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const machine of this.machines) await machine[Symbol.asyncDispose]();
  }

  #tell(): void {
    const { length } = this.reboots;
    for (const { count, resolve } of this.#waiting) if (count <= length) resolve();
  }
}
