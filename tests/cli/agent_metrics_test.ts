/** A daemon's figures where they are looked for: in a file for node_exporter, at an address, at a socket. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Agent, START } from "../../lib/agent.ts";
import { publishFigures } from "../../lib/cli/agent_metrics.ts";
import { REAL } from "../../lib/surroundings.ts";
import { freePorts } from "../support/ports.ts";

const NEEDED = { kind: "needed", reasons: ["kernel"], fingerprint: "f" } as const;

/** A daemon whose looks at its file come when the test says so. */
class Publishing implements AsyncDisposable {
  readonly log: string[] = [];
  readonly folder = Deno.makeTempDirSync();
  readonly textfile = `${this.folder}/locksmith.prom`;
  agent: Agent = START;
  aheadMs = 0;
  readonly #end = new AbortController();
  readonly #ended: Promise<void>;
  #asleep = Promise.withResolvers<() => void>();

  constructor(options: { readonly textfile?: boolean; readonly listen?: string }) {
    this.#ended = publishFigures({
      textfile: options.textfile ? this.textfile : undefined,
      listen: options.listen,
      version: "1.2.3",
      strategy: "etcd-lock",
      surroundings: {
        ...REAL,
        elapsed: () => this.aheadMs,
        after: (_, run) => {
          this.#asleep.resolve(run);
          return { cancel: () => {} };
        },
      },
      log: (level, text) => this.log.push(`${level}: ${text}`),
      state: () => this.agent,
      needSince: () => undefined,
    }, this.#end.signal);
  }

  /** Resolves when the next look is over; the first comes by itself. */
  async looked(): Promise<void> {
    const wake = await this.#asleep.promise;
    this.#asleep = Promise.withResolvers();
    wake();
    await this.#asleep.promise;
  }

  /** The file, and when it was written. */
  async written(): Promise<[text: string, lastRun: number]> {
    const text = await Deno.readTextFile(this.textfile);
    return [text, Number(/^locksmith_agent_last_run_timestamp_seconds (\S+)$/m.exec(text)?.[1])];
  }

  async [Symbol.asyncDispose]() {
    this.#end.abort();
    await this.#ended;
    await Deno.remove(this.folder, { recursive: true }).catch(() => {});
  }
}

Deno.test("a daemon's textfile is written at once, when the daemon does something else, and each minute; it has no timestamps", async () => {
  await using daemon = new Publishing({ textfile: true });
  await daemon.looked();
  const [first, at] = await daemon.written();
  assertMatch(first, /^locksmith_agent_need_known 0$/m);
  // node_exporter refuses a whole file for one sample with a timestamp
  for (const line of first.trim().split("\n")) assertMatch(line, /^# |^\w+(?:\{[^}]*\})? \S+$/);
  await daemon.looked();
  assertEquals(await daemon.written(), [first, at]);
  daemon.agent = { ...START, need: NEEDED };
  await daemon.looked();
  const [changed] = await daemon.written();
  assertMatch(changed, /^node_reboot_required 1$/m);
  daemon.aheadMs = 60_000;
  await daemon.looked();
  assert((await daemon.written())[1] > at);
  await Deno.remove(daemon.folder, { recursive: true });
  for (daemon.aheadMs of [120_000, 180_000]) await daemon.looked();
  assertEquals(daemon.log, [
    `warning: cannot write ${daemon.textfile}: no such file or directory; trying again`,
  ]);
});

Deno.test("a daemon's figures are at the address or the socket that is named, as they are then", async () => {
  const folder = await Deno.makeTempDir();
  const socket = `${folder}/metrics.sock`;
  // one that a killed daemon left
  await Deno.writeTextFile(socket, "");
  const [port] = freePorts(1);
  for (const listen of [`127.0.0.1:${port}`, `unix:${socket}`]) {
    await using daemon = new Publishing({ listen });
    while (daemon.log.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assertEquals(daemon.log, [`info: metrics: listening at ${listen}`]);
    const proxy = { transport: "unix", path: socket } as const;
    using client = Deno.createHttpClient(listen.startsWith("unix:") ? { proxy } : {});
    const ask = async (path: string, method = "GET") => {
      const reply = await fetch(`http://127.0.0.1:${port}${path}`, { method, client });
      return [reply.status, reply.headers.get("content-type"), await reply.text()] as const;
    };
    daemon.agent = { ...START, need: NEEDED };
    const [status, type, text] = await ask("/metrics");
    assertEquals([status, type], [200, "text/plain; version=0.0.4; charset=utf-8"]);
    assertMatch(text, /^node_reboot_required 1$/m);
    assertEquals([(await ask("/"))[0], (await ask("/metrics", "POST"))[0]], [404, 405]);
  }
  await using late = new Publishing({ listen: "192.0.2.1:9100" });
  while (late.log.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assertMatch(late.log[0] ?? "", /^warning: metrics: cannot listen at 192\.0\.2\.1:9100: /);
  await Deno.remove(folder, { recursive: true });
});
