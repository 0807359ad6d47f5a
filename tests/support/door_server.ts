/**
 * Doors behind the real server on the loopback, for the tokens `operator` and `viewer` and operators' certificates, and what goes wrong between a
 * client and them: requests and answers that are lost, a server that is away, and another one in its place.
 */

import type { Access } from "../../lib/serve/access.ts";
import type { Door, Role, Route } from "../../lib/serve/door.ts";
import { serveDoors, type Server, type ServerOptions } from "../../lib/serve/server.ts";
import { REAL } from "../../lib/surroundings.ts";
import { type Proxy, startProxy } from "./proxy.ts";

export interface DoorServer extends AsyncDisposable {
  readonly url: string;
  /** What the server logged at `notice` and above, without addresses and request ids. */
  readonly log: readonly string[];
  /** The path of each request that a door saw. */
  readonly asked: readonly string[];
  /** Breaks every connection instead of answering the next request of this path: before the door sees it, or after. */
  breakNext(path: string, when: "before" | "after"): void;
  /** Breaks every connection, and lets none through, as if the server were gone. */
  cut(): void;
  /** Is there again. */
  mend(): void;
  /** Stops, and is there again with this door, as a server that was started anew. */
  restart(door: Door): Promise<void>;
}

const CALLERS: Readonly<Record<string, { readonly role: Role; readonly name: string }>> = {
  "Bearer operator": { role: "operator", name: "ann" },
  "Bearer viewer": { role: "viewer", name: "wall" },
};

const ACCESS: Access = {
  version: {},
  identify({ authorization, certificate }) {
    if (certificate !== undefined && certificate.fault === undefined) {
      return { kind: "known", caller: { role: "operator", name: certificate.names[0] ?? "nobody" } };
    }
    if (authorization === undefined) {
      return { kind: "nobody", caller: { role: undefined, name: "anonymous" } };
    }
    const caller = CALLERS[authorization];
    return caller === undefined ? { kind: "refused", why: "unknown token" } : { kind: "known", caller };
  },
};

export async function startDoorServer(
  first: Door,
  options: Pick<ServerOptions, "tls"> = {},
): Promise<DoorServer> {
  const log: string[] = [];
  const asked: string[] = [];
  const breaks = new Map<string, "before" | "after">();
  let proxy: Proxy | undefined;
  const breaking = (route: Route): Route => ({
    ...route,
    async answer(request) {
      asked.push(request.path);
      const when = breaks.get(request.path);
      breaks.delete(request.path);
      const lose = () => {
        proxy?.cut();
        proxy?.mend();
      };
      if (when === "before") lose();
      if (when === "before") return { status: 500 };
      const answer = await route.answer(request);
      if (when === "after") lose();
      return answer;
    },
  });
  let door = first;
  const start = async (): Promise<readonly [Server, number]> => {
    const routes = door.routes.map(breaking);
    const server = serveDoors([{ routes, close: () => door.close?.() }], {
      ...options,
      access: ACCESS,
      surroundings: REAL,
      log: (level, text) => {
        if (level === "info" || level === "debug") return;
        log.push(text.replace(/ \(127\.0\.0\.1\)/, "").replace(/ \[[^\]]*\]$/, ""));
      },
    });
    const { port } = await server.listen({ kind: "tcp", host: "127.0.0.1", port: 0 }) as { port: number };
    return [server, port];
  };
  let [server, port] = await start();
  const between = proxy = startProxy(port);
  return {
    url: `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${between.port}`,
    log,
    asked,
    breakNext: (path, when) => breaks.set(path, when),
    cut: () => between.cut(),
    mend: () => between.mend(),
    async restart(next) {
      between.cut();
      await server.stop();
      door = next;
      [server, port] = await start();
      between.mend(port);
    },
    async [Symbol.asyncDispose]() {
      await server.stop();
      await between[Symbol.asyncDispose]();
    },
  };
}
