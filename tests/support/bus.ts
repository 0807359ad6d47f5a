/**
 * A private system bus with a mock logind and a mock update-engine, for tests: nothing of it touches the host's own
 * bus, and a "reboot" is only told. Needs Debian's `dbus` and `python3-dbusmock`.
 *
 * Everything is one child process and what that starts; it ends with `await using`, with the test process, and at `stop()`. What was set
 * (sessions, inhibitors, status) is forgotten by `stop()`; the address stays the same.
 */
import { Bus, type BusOptions } from "../../lib/host/bus.ts";
import { leashed } from "./child.ts";

export interface TestInhibitor {
  readonly what: string;
  readonly who: string;
  readonly why: string;
  readonly mode: string;
  readonly uid?: number;
  readonly pid?: number;
}

export interface TestSession {
  readonly id: string;
  readonly user: string;
  readonly uid: number;
  readonly seat?: string;
  /** logind's `Class`: `user` unless given; null makes the property unreadable. */
  readonly class?: string | null;
  /** logind's `State`: `active` unless given. */
  readonly state?: string;
}

/** The mock logind. */
export interface TestLogind {
  addSession(session: TestSession): Promise<void>;
  endSession(id: string): Promise<void>;
  /** From now on it has `ListSessionsEx`, as systemd has from 256 on. */
  listSessionsEx(): Promise<void>;
  /** These inhibitors and no others. */
  setInhibitors(...inhibitors: TestInhibitor[]): Promise<void>;
  /** How often `Reboot` was called since the start of the test bus. */
  rebootCalls(): number;
  /** Resolves at the next call of `Reboot` that this has not told of yet: at once, if one came already. */
  nextReboot(): Promise<void>;
  /** What `CanReboot` answers; `yes` unless told otherwise. */
  setCanReboot(answer: string): Promise<void>;
  /** What `ScheduledShutdown` says. */
  schedule(type: string, atMs: number): Promise<void>;
  acceptReboot(): Promise<void>;
  /** Reboot fails with this message, as logind's block inhibitors make it fail. */
  refuseReboot(message: string): Promise<void>;
  /** Polkit lets `RebootWithFlags` pass over inhibitors. */
  allowFlags(): Promise<void>;
  /** Reboot never answers, and neither does logind from then on, until `stop()`. */
  hangReboot(): Promise<void>;
  /** Reboot takes logind and the bus down with it, before it answers. */
  vanishOnReboot(): Promise<void>;
}

/** The mock update-engine. */
export interface TestUpdateEngine {
  /** What `GetStatus` answers, and (unless `signal` is false) a `StatusUpdate` with the same. */
  setStatus(operation: string, options?: { version?: string; signal?: boolean }): Promise<void>;
  /** `GetStatus` answers with something else than a status. */
  garble(): Promise<void>;
  /** Whether the service is on the bus; it is at the start. */
  setPresent(present: boolean): Promise<void>;
}

/** A process of another user, or another one of ours, that is on the bus until it is disposed of. */
export interface Stranger extends AsyncDisposable {
  /** Sends `StatusUpdate` as update-engine does. */
  sendStatus(operation: string): Promise<void>;
  /** Asks for the name of update-engine; what the bus answers, `1` or the name of an error. */
  claimUpdateEngine(): Promise<string>;
}

export interface TestBus extends AsyncDisposable {
  /** For `DBUS_SYSTEM_BUS_ADDRESS`. */
  readonly address: string;
  readonly logind: TestLogind;
  readonly updateEngine: TestUpdateEngine;
  /** Of the process that runs the bus and the services. Throws while it is stopped. */
  readonly pid: number;
  /** A client of this bus, with short pauses between a monitor's tries. */
  client(options?: BusOptions): Bus;
  /** A process of the user `uid` (as another user than ours: only for root). */
  stranger(uid: number): Promise<Stranger>;
  /** Kills the bus and the services on it. */
  stop(): Promise<void>;
  /** Starts them again at the same address. */
  start(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const COMMAND_TIMEOUT_MS = 60_000;

/** Starts a private bus. Throws an `Error` that says what is missing when it does not come up. */
export async function startBus(): Promise<TestBus> {
  const directory = await Deno.makeTempDir({ prefix: "locksmith-bus-" });
  await Deno.chmod(directory, 0o755); // everybody may connect to a system bus
  const address = `unix:path=${directory}/bus`;
  let mock: MockProcess | null = null;
  let calls = 0;
  let told = 0;
  let waiters: (() => void)[] = [];
  const onReboot = () => {
    calls++;
    const waiter = waiters.shift();
    if (waiter === undefined) return;
    told++;
    waiter();
  };
  const stop = async () => {
    const running = mock;
    mock = null;
    await running?.end();
    await Deno.remove(`${directory}/bus`).catch(() => {});
  };
  const start = async () => {
    await stop();
    mock = await MockProcess.start(directory, onReboot);
  };
  const tell = async (name: string, values: Record<string, unknown> = {}) => {
    if (mock === null) throw new Error(`cannot tell the test bus to ${name}: it is stopped`);
    await mock.command({ do: name, ...values });
  };
  const reboot = (how: string, message = "") =>
    tell("reboot", { how, message, name: "org.freedesktop.login1.BlockedByInhibitorLock" });
  try {
    await start();
  } catch (error) {
    await Deno.remove(directory, { recursive: true });
    throw error;
  }
  return {
    address,
    client: (options) => new Bus({ address, minBackoffMs: 10, maxBackoffMs: 100, ...options }),
    stranger: (uid) => startStranger(address, uid),
    start,
    stop,
    get pid() {
      if (mock === null) throw new Error("the test bus is stopped");
      return mock.pid;
    },
    logind: {
      addSession: (session) => tell("session", { seat: "seat0", class: "user", state: "active", ...session }),
      endSession: (id) => tell("end_session", { id }),
      listSessionsEx: () => tell("extended"),
      allowFlags: () => tell("flags", { how: "accept" }),
      setInhibitors: (...list) =>
        tell("inhibit", { inhibitors: list.map((each) => ({ uid: 0, pid: 1, ...each })) }),
      rebootCalls: () => calls,
      nextReboot: () => {
        if (told < calls) {
          told++;
          return Promise.resolve();
        }
        return new Promise((resolve) => waiters.push(resolve));
      },
      setCanReboot: (answer) => tell("can", { answer }),
      schedule: (type, atMs) => tell("schedule", { type, at_micros: atMs * 1000 }),
      acceptReboot: () => reboot("accept"),
      refuseReboot: (message) => reboot("refuse", message),
      hangReboot: () => reboot("hang"),
      vanishOnReboot: () => reboot("vanish"),
    },
    updateEngine: {
      setStatus: (operation, options) => tell("status", { operation, version: "", signal: true, ...options }),
      garble: () => tell("garble"),
      setPresent: (present) => tell("present", { present }),
    },
    async [Symbol.asyncDispose]() {
      waiters = [];
      await stop();
      await Deno.remove(directory, { recursive: true });
    },
  };
}

const STRANGER = `
import sys, dbus, dbus.bus, dbus.lowlevel
bus = dbus.bus.BusConnection(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    word, _, operation = line.strip().partition(" ")
    if word == "send":
        signal = dbus.lowlevel.SignalMessage("/com/coreos/update1", "com.coreos.update1.Manager", "StatusUpdate")
        signal.append(dbus.Int64(0), 0.0, operation, "6.6.6", dbus.Int64(0), signature="xdssx")
        bus.send_message(signal)
        bus.flush()
        print("sent", flush=True)
    else:
        try:
            print(int(bus.request_name("com.coreos.update1")), flush=True)
        except dbus.exceptions.DBusException as error:
            print(error.get_dbus_name(), flush=True)
`;

async function startStranger(address: string, uid: number): Promise<Stranger> {
  const user = uid === Deno.uid() ? [] : ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
  const [program = "", ...args] = [...user, "/usr/bin/python3", "-c", STRANGER, address];
  const child = new Deno.Command(program, { args, stdin: "piped", stdout: "piped" }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const input = child.stdin.getWriter();
  let rest = "";
  const next = async () => {
    // a line may come in pieces
    while (!rest.includes("\n")) {
      const { value, done } = await lines.read();
      if (done) {
        throw new Error(`a process of uid ${uid} on the test bus ended (other users are only for root)`);
      }
      rest += value;
    }
    const end = rest.indexOf("\n");
    const line = rest.slice(0, end);
    rest = rest.slice(end + 1);
    return line;
  };
  const ask = async (line: string) => {
    await input.write(new TextEncoder().encode(`${line}\n`));
    return await next();
  };
  await next();
  return {
    sendStatus: async (operation) => {
      await ask(`send ${operation}`);
    },
    claimUpdateEngine: () => ask("claim"),
    async [Symbol.asyncDispose]() {
      await input.close();
      await lines.cancel();
      await child.status;
    },
  };
}

/** The child: `bus_mock.py`, which runs the bus itself too. */
class MockProcess {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reading: Promise<void>;
  #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  #stderr: Promise<string>;

  private constructor(child: Deno.ChildProcess, onReboot: () => void) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#stderr = new Response(child.stderr).text();
    this.#reading = this.#read(onReboot);
  }

  static async start(directory: string, onReboot: () => void): Promise<MockProcess> {
    const script = new URL("./bus_mock.py", import.meta.url).pathname;
    const child = leashed("/usr/bin/python3", {
      args: [script, directory],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const mock = new MockProcess(child, onReboot);
    await mock.#answer("start", START_TIMEOUT_MS);
    return mock;
  }

  get pid(): number {
    return this.#child.pid;
  }

  async command(command: Record<string, unknown>): Promise<void> {
    const answer = this.#answer(`${command["do"]}`, COMMAND_TIMEOUT_MS);
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(command)}\n`)).catch(() => {});
    await answer;
  }

  async end(): Promise<void> {
    await this.#input.close().catch(() => {}); // it ends the bus, and then itself
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), COMMAND_TIMEOUT_MS);
    await this.#child.status;
    clearTimeout(timer);
    await this.#reading;
    await this.#stderr;
  }

  async #answer(what: string, timeoutMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ resolve, reject });
    const timer = setTimeout(
      () => reject(new Error(`the test bus did not ${what} within ${timeoutMs} ms`)),
      timeoutMs,
    );
    try {
      await promise;
    } catch (error) {
      if (what === "start") await this.end();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async #read(onReboot: () => void): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if ("event" in JSON.parse(line)) onReboot();
        else this.#waiting.shift()?.resolve();
      }
    }
    const why = (await this.#stderr).trim().split("\n").at(-1);
    for (const { reject } of this.#waiting) {
      reject(new Error(`the test bus ended (are dbus and python3-dbusmock installed?): ${why}`));
    }
    this.#waiting = [];
  }
}

/** What a listener was told, to be awaited in order. */
export class Heard<T> {
  readonly all: T[] = [];
  #next = 0;
  #wake: (() => void) | null = null;

  /** The listener. */
  readonly take = (value: T): void => {
    this.all.push(value);
    this.#wake?.();
  };

  /** The next one not yet seen; rejects with what was heard instead after `timeoutMs`. */
  async next(timeoutMs = 60_000): Promise<T> {
    if (this.#next >= this.all.length) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#wake = resolve; // before the timer: its first use in a process may run what tells us
      const timer = setTimeout(() => {
        const before = JSON.stringify(this.all);
        reject(new Error(`nothing more heard within ${timeoutMs} ms; before: ${before}`));
      }, timeoutMs);
      await promise.finally(() => clearTimeout(timer));
      this.#wake = null;
    }
    return this.all[this.#next++] as T;
  }

  /** The first one from here on that `wanted` accepts. */
  async until(wanted: (value: T) => boolean): Promise<T> {
    for (;;) {
      const value = await this.next();
      if (wanted(value)) return value;
    }
  }
}
