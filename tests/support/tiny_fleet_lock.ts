/**
 * A FleetLock server as small as airlock's rules: it answers at once, a full group with 500 and `failed_lock`, and knows
 * nothing beyond the protocol. It loses nothing while it is stopped.
 */

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export class TinyFleetLock implements AsyncDisposable {
  /** By group, who holds its slots. */
  readonly holders = new Map<string, Set<string>>();
  /** Every request: `pre-reboot default ID`, and its code. */
  readonly log: string[] = [];
  readonly authorizations = new Set<string | undefined>();
  #server: Server | undefined;
  #port = 0;

  constructor(public max = 1) {}

  static async start(max = 1): Promise<TinyFleetLock> {
    const server = new TinyFleetLock(max);
    await server.run();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  group(name: string): Set<string> {
    const holders = this.holders.get(name) ?? new Set();
    this.holders.set(name, holders);
    return holders;
  }

  async run(): Promise<void> {
    const server = createServer((request, response) => {
      this.authorizations.add(request.headers.authorization);
      let body = "";
      request.on("data", (bytes) => body += bytes);
      request.on("end", () => {
        const [code, kind, value] = this.#answer(request, body);
        response.writeHead(code).end(code === 200 ? "" : JSON.stringify({ kind, value }));
      });
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", () => resolve()));
    this.#port = (server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise<unknown>((resolve) => this.#server?.close(resolve) ?? resolve(undefined));
    this.#server = undefined;
  }

  #answer({ method, url, headers }: IncomingMessage, body: string): [number, string?, string?] {
    if (method !== "POST") return [405, "bad_method", "only POST"];
    if (headers["fleet-lock-protocol"] !== "true") {
      return [400, "bad_header", "no fleet-lock-protocol header"];
    }
    const { id, group } = paramsOf(body);
    if (typeof id !== "string" || id === "" || typeof group !== "string" || !/^[a-zA-Z0-9.-]+$/.test(group)) {
      return [400, "bad_body", "no id, or no group"];
    }
    const verb = /^\/v1\/(pre-reboot|steady-state)$/.exec(url ?? "")?.[1];
    if (verb === undefined) return [404, "not_found", "no such page"];
    const holders = this.group(group);
    const full = verb === "pre-reboot" && !holders.has(id) && holders.size >= this.max;
    if (verb === "steady-state") holders.delete(id);
    else if (!full) holders.add(id);
    this.log.push(`${verb} ${group} ${id}: ${full ? 500 : 200}`);
    return full ? [500, "failed_lock", "semaphore currently full, all slots are locked already"] : [200];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function paramsOf(body: string): { readonly id?: unknown; readonly group?: unknown } {
  try {
    return JSON.parse(body).client_params ?? {};
  } catch {
    return {};
  }
}
