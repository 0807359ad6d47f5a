/**
 * Requests that a page of another site has a browser make. A browser that can reach an open server, or has a client
 * certificate, brings along by itself what lets it in; so such a request must not change anything.
 */

import type { IncomingHttpHeaders } from "node:http";

const SAFE: readonly (string | undefined)[] = ["GET", "HEAD", "OPTIONS"];

/** Whether it may change something and comes from a page that is not this server's. Programs say nothing of pages. */
export function isForeign(
  { method, headers }: { readonly method?: string | undefined; readonly headers: IncomingHttpHeaders },
): boolean {
  if (SAFE.includes(method)) return false;
  const site = headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin" && site !== "none") return true;
  const { origin, host } = headers;
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host?.toLowerCase();
}
