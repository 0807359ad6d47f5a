/** A door behind a bare HTTP server on the loopback: credentials are names of callers, and requests can be held or lost. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text as textOf } from "node:stream/consumers";
import type { Answer, Asked, Caller, Door } from "../../lib/serve/door.ts";

export interface DoorServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** What was audited, with the caller's name before it. */
  readonly audits: readonly string[];
  /** The last part of the path of each request that came. */
  readonly asked: readonly string[];
  /** What happens to a request in place of its answer, once: its connection breaks, before or after the door saw it. */
  breakNext(call: string, when: "before" | "after"): void;
  /** Breaks every connection and stops listening, as a server that was killed. The door stays. */
  kill(): Promise<void>;
  /** Listens again at the same port, before this door from now on if one is given. */
  restart(door?: Door): Promise<void>;
}

const CALLERS: Readonly<Record<string, Caller>> = {
  operator: { role: "operator", name: "ann" },
  viewer: { role: "viewer", name: "wall" },
};

/** Serves a door. The tokens are `operator` and `viewer`. */
export async function startDoorServer(first: Door): Promise<DoorServer> {
  let door = first;
  const audits: string[] = [];
  const asked: string[] = [];
  const breaks = new Map<string, "before" | "after">();
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://door");
    const call = pathname.replace("/store/v1/", "");
    asked.push(call);
    const breaking = breaks.get(call);
    breaks.delete(call);
    const body = await textOf(request);
    if (breaking === "before") {
      request.socket.destroy();
      return;
    }
    const route = door.routes.find(({ path }) => path === pathname);
    const caller = CALLERS[/^Bearer (.*)$/.exec(request.headers.authorization ?? "")?.[1] ?? ""];
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const said = route === undefined
      ? { status: 404, body: "not found\n" }
      : route.who === "anyone" || caller === undefined
      ? refusalOf(route.refusal, 401, "unauthenticated", "a credential is needed")
      : !route.who.some((role) => role === caller.role)
      ? refusalOf(route.refusal, 403, "forbidden", "this credential does not allow it")
      : await route.answer(
        {
          method: request.method ?? "",
          path: pathname,
          query: searchParams,
          header: (name) => request.headers[name]?.toString(),
          body: new TextEncoder().encode(body),
          caller,
          address: "127.0.0.1",
          requestId: "1",
          gone: gone.signal,
        } satisfies Asked,
      );
    if (said.audit !== undefined) audits.push(`${caller?.name}: ${said.audit}`);
    if (breaking === "after") {
      request.socket.destroy();
      return;
    }
    response.writeHead(said.status, said.headers);
    await send(response, said.body);
  };
  let server = createServer(answer);
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const kill = () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    return closed;
  };
  await listen(0);
  // it listens at a TCP port
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    audits,
    asked,
    breakNext: (call, when) => breaks.set(call, when),
    kill,
    async restart(next = door) {
      door = next;
      server = createServer(answer);
      await listen(port);
    },
    async [Symbol.asyncDispose]() {
      await door.close?.();
      await kill();
    },
  };
}

function refusalOf(
  refusal: ((status: number, kind: string, value: string) => Answer) | undefined,
  status: number,
  kind: string,
  value: string,
): Answer {
  return refusal?.(status, kind, value) ?? { status, body: `${value}\n` };
}

async function send(response: ServerResponse, body: Answer["body"]): Promise<void> {
  if (body === undefined || typeof body === "string" || body instanceof Uint8Array) {
    response.end(body);
    return;
  }
  const events = body[Symbol.asyncIterator]();
  response.on("close", () => events.return?.());
  for (let event; !(event = await events.next()).done;) response.write(event.value);
  response.end();
}
