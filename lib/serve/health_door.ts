/**
 * Two questions of whoever watches over the server: `/healthz`, is the process alive; `/readyz`, can it serve, which it
 * cannot while its store is away. Anybody may ask, and learns no more than that.
 */

import type { Answer, Door } from "./door.ts";

/** `unready` says why the server cannot serve now; `undefined`: it can. */
export function healthDoor(unready: () => string | undefined | Promise<string | undefined>): Door {
  const methods = ["GET"];
  return {
    routes: [
      { path: "/healthz", methods, who: "anyone", answer: () => text(200, "ok") },
      {
        path: "/readyz",
        methods,
        who: "anyone",
        async answer() {
          const why = await unready();
          return why === undefined ? text(200, "ok") : { ...text(503, why), kind: "unavailable" };
        },
      },
    ],
  };
}

function text(status: number, line: string): Answer {
  return {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" },
    body: `${line}\n`,
  };
}
