/** A TCP proxy on the loopback that can be cut and mended, to stand between a client and a server under test. */

export interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** When each connection came, by the clock of `performance`, those that were broken at once as well. */
  readonly cameMs: readonly number[];
  /** How many connections there are. */
  readonly connections: number;
  /** Breaks every connection, and each new one until it is mended. */
  cut(): void;
  /** Lets new connections through, to this port from now on if one is given. */
  mend(port?: number): void;
}

export function startProxy(port: number): Proxy {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.Conn>();
  const cameMs: number[] = [];
  let clients = 0;
  let target = port;
  let whole = true;
  const drop = (conn: Deno.Conn) => {
    if (!open.delete(conn)) return;
    try {
      conn.close();
    } catch (error) {
      // its streams closed it when the other side did
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  };
  const join = async (from: Deno.Conn, to: Deno.Conn) => {
    await from.readable.pipeTo(to.writable, { preventClose: true }).catch(() => {});
    drop(from);
    drop(to);
  };
  const serve = async () => {
    for await (const client of listener) {
      cameMs.push(performance.now());
      open.add(client);
      const server = whole
        ? await Deno.connect({ hostname: "127.0.0.1", port: target }).catch(() => null)
        : null;
      if (server === null) {
        drop(client);
        continue;
      }
      server.setNoDelay();
      open.add(server);
      clients++;
      Promise.all([join(client, server), join(server, client)]).finally(() => clients--);
    }
  };
  const serving = serve();
  return {
    port: listener.addr.port,
    cameMs,
    get connections() {
      return clients;
    },
    cut() {
      whole = false;
      for (const conn of open) drop(conn);
    },
    mend(port = target) {
      target = port;
      whole = true;
    },
    async [Symbol.asyncDispose]() {
      this.cut();
      listener.close();
      await serving;
    },
  };
}
