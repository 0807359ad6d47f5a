/** A real `locksmith serve`: a process of the built file, which can be killed and started again at the same address. */

import { locksmith, type StartOptions, TestDaemon, until } from "./daemon_process.ts";
import { locksmith as built } from "./executable.ts";
import { freePorts } from "./ports.ts";

export interface TestServerOptions {
  /** The store; default: an embedded one in the server's own folder. */
  readonly endpoint?: string;
  readonly env?: StartOptions["env"];
  /** Another folder than one of its own, which goes with it. */
  readonly dir?: string;
  /** What becomes the program, in place of it: one that enters a network first. */
  readonly program?: string;
  /** The address that it listens on; default: 127.0.0.1. */
  readonly host?: string;
}

/** A server with a folder of its own. */
export class TestServer implements AsyncDisposable {
  #process: TestDaemon | undefined;
  #address: string;
  url = "";

  private constructor(
    readonly program: string,
    readonly dir: string,
    private readonly options: TestServerOptions,
  ) {
    this.#address = `${options.host ?? "127.0.0.1"}:${freePorts(1)[0]}`;
  }

  /** One that is not started. */
  static async make(options: TestServerOptions = {}): Promise<TestServer> {
    return new TestServer(options.program ?? await built(), options.dir ?? await Deno.makeTempDir(), options);
  }

  get store(): string {
    return this.options.endpoint ?? `sqlite:${this.dir}/locksmith.db`;
  }

  get process(): TestDaemon {
    if (this.#process === undefined) throw new Error("the server was not started");
    return this.#process;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** Resolves when it is ready. Started again, it listens where it did. */
  async start(...more: readonly string[]): Promise<void> {
    const args = [
      `--endpoint=${this.store}`,
      `--tokens=${this.dir}/tokens`,
      `--listen=${this.#address}`,
      ...more,
    ];
    this.#process = new TestDaemon(args, {
      program: this.program,
      command: "serve",
      env: this.options.env ?? {},
    });
    const line = await this.process.line(/listening at http/);
    this.url = line.replace(/^.* /, "");
    this.#address = new URL(this.url).host;
    await this.ready();
  }

  async ready(): Promise<void> {
    await until(async () => (await this.ask("/readyz"))[0], (status) => status === 200);
  }

  /** The power is gone. */
  async kill(): Promise<void> {
    await this.process.stop("SIGKILL");
  }

  async ask(path: string, init: RequestInit = {}): Promise<[status: number, text: string]> {
    const reply = await fetch(this.url + path, init);
    return [reply.status, (await reply.text()).trim()];
  }

  /** A question of FleetLock. */
  fleetlock(path: string, token: string, id: string, group = "default"): Promise<[number, string]> {
    const headers = { "fleet-lock-protocol": "true", authorization: `Basic ${btoa(`host:${token}`)}` };
    return this.ask(path, {
      method: "POST",
      headers,
      body: JSON.stringify({ client_params: { id, group } }),
    });
  }

  async command(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await locksmith(args, { program: this.program });
    if (code !== 0) throw new Error(`locksmith ${args.join(" ")}: ${code}: ${stderr}`);
    return stdout.trim();
  }

  token(...args: string[]): Promise<string> {
    return this.command("token", ...args, `--tokens=${this.dir}/tokens`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.stop("SIGKILL");
    if (this.options.dir === undefined) await Deno.remove(this.dir, { recursive: true });
  }
}
