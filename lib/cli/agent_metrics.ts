/** The figures of a daemon: in a file for node_exporter, and at an address of their own. */

import { agentFigures } from "../agent_figures.ts";
import type { Agent } from "../agent.ts";
import { CONTENT_TYPE, exposition } from "../exposition.ts";
import { writeTextfile } from "../host/textfile.ts";
import { parseListenAddress } from "../serve/listen_address.ts";
import type { Log, Surroundings, Timer } from "../surroundings.ts";
import { reasonOf } from "../system_error.ts";

export interface AgentMetricsOptions {
  readonly textfile: string | undefined;
  /** An address, as {@linkcode parseListenAddress} reads it. */
  readonly listen: string | undefined;
  readonly version: string;
  readonly strategy: string;
  readonly surroundings: Surroundings;
  readonly log: Log;
  state(): Agent;
  /** Since when a reboot is needed, in milliseconds since the epoch. */
  needSince(): number | undefined;
}

/** How often the file is looked after, and how often it is written though nothing is new, in milliseconds. */
const LOOK_MS = 5_000;
const WRITE_MS = 60_000;

/** Publishes the figures until `signal` aborts. What fails is said and tried again; nothing depends on it. */
export async function publishFigures(options: AgentMetricsOptions, signal: AbortSignal): Promise<void> {
  const { textfile, listen, version, strategy, surroundings, log, state, needSince } = options;
  const startedAt = surroundings.now();
  const text = () => {
    const at = { now: surroundings.now(), startedAt, version, strategy, needSince: needSince() };
    return exposition(agentFigures(state(), at));
  };
  await Promise.all([
    listen === undefined ? undefined : serveFigures(listen, text, log, signal),
    textfile === undefined ? undefined : keepFile(textfile, text, options, signal),
  ]);
}

async function keepFile(
  path: string,
  text: () => string,
  { surroundings, log, state }: AgentMetricsOptions,
  signal: AbortSignal,
): Promise<void> {
  let written: Agent | undefined;
  let writtenMs = -Infinity;
  let fault = "";
  let timer: Timer | undefined;
  while (!signal.aborted) {
    const now = state();
    if (now !== written || surroundings.elapsed() - writtenMs >= WRITE_MS) {
      try {
        await writeTextfile(path, text());
        fault = "";
      } catch (error) {
        const why = reasonOf(error);
        if (why !== fault) log("warning", `cannot write ${path}: ${why}; trying again`);
        fault = why;
      }
      written = now;
      writtenMs = surroundings.elapsed();
    }
    await new Promise<void>((resolve) => {
      timer = surroundings.after(LOOK_MS, resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    timer?.cancel();
  }
}

async function serveFigures(
  where: string,
  text: () => string,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  const address = parseListenAddress(where);
  if (address === undefined) throw new Error(`${where} was checked before`);
  const options = { signal, onListen: () => log("info", `metrics: listening at ${where}`) };
  const handler = (request: Request) => {
    if (request.method !== "GET") {
      return new Response("only GET\n", { status: 405, headers: { allow: "GET" } });
    }
    if (new URL(request.url).pathname !== "/metrics") return new Response("see /metrics\n", { status: 404 });
    return new Response(text(), { headers: { "content-type": CONTENT_TYPE } });
  };
  try {
    if (address.kind === "unix") await Deno.remove(address.path).catch(() => {});
    const server = address.kind === "unix"
      ? Deno.serve({ ...options, path: address.path }, handler)
      : Deno.serve({ ...options, hostname: address.host, port: address.port }, handler);
    await server.finished;
  } catch (error) {
    log("warning", `metrics: cannot listen at ${where}: ${reasonOf(error)}`);
  }
}
