/**
 * Requests that a page of another site has a browser make. A browser that can reach an open server, or has a client
 * certificate, brings along by itself what lets it in; so such a request must not change anything.
 *
 * A page whose name was made to lead to this host (DNS rebinding) is, for its browser, no page of another site. It is
 * known by that name alone, which stands in the header `Host`.
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

/** What nearly everybody asks for who asks an open server. */
const USUAL = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/i;
const ADDRESS = /^(?:\[.*\]|\d+\.\d+\.\d+\.\d+)$/;

/**
 * Whether a request asks for a name that others may have made lead here: any but that of the host itself. An address is
 * no name, and leads where it says. A program of HTTP/1.0 may name nobody; a browser always does.
 */
export function isByForeignName(host: string | undefined): boolean {
  if (host === undefined || USUAL.test(host)) return false;
  const name = URL.parse(`http://${host}/`)?.hostname.replace(/\.$/, "");
  return name === undefined || !(ADDRESS.test(name) || name === "localhost" || name.endsWith(".localhost"));
}
