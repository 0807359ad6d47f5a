/** Which route answers a path: the one that is named for it, else the longest prefix. */

import type { Door, Route } from "./door.ts";

export class Router {
  readonly #exact = new Map<string, Route>();
  /** The longest first. */
  readonly #prefixes: readonly { readonly prefix: string; readonly route: Route }[];

  /** @throws {TypeError} where two doors want the same path */
  constructor(doors: readonly Door[]) {
    const prefixes = new Map<string, Route>();
    for (const route of doors.flatMap(({ routes }) => routes)) {
      const [table, path] = route.path.endsWith("*")
        ? [prefixes, route.path.slice(0, -1)]
        : [this.#exact, route.path];
      if (table.has(path)) throw new TypeError(`two doors answer at ${route.path}`);
      table.set(path, route);
    }
    this.#prefixes = [...prefixes].map(([prefix, route]) => ({ prefix, route }))
      .sort((a, b) => b.prefix.length - a.prefix.length);
  }

  find(path: string): Route | undefined {
    return this.#exact.get(path) ?? this.#prefixes.find(({ prefix }) => path.startsWith(prefix))?.route;
  }
}

/** The methods that a route allows, for the header `Allow`; `undefined` where it answers each itself. */
export function allowed({ methods }: Route): readonly string[] | undefined {
  if (methods === undefined || !methods.includes("GET")) return methods;
  return [...methods, ...["HEAD", "OPTIONS"].filter((method) => !methods.includes(method))];
}

/** The path and the query of a request line; one with a whole URL is from somebody who asks by a proxy. */
export function targetOf(url: string): { path: string; search: string } {
  const target = url.startsWith("/") ? url : urlTarget(url);
  const at = target.indexOf("?");
  return at < 0 ? { path: target, search: "" } : { path: target.slice(0, at), search: target.slice(at) };
}

function urlTarget(url: string): string {
  const parsed = URL.parse(url);
  return parsed === null ? url : parsed.pathname + parsed.search;
}
