/**
 * The strategy `auto` where no endpoint is configured: the lock if an etcd runs on this host, else reboots without one.
 *
 * An etcd may start later than the daemon, so that one silence is no answer: only when nobody has listened for some
 * minutes is there none. Whatever listens and does not answer, or has no leader, is an etcd that is waited for. And
 * right before a reboot without a lock it is looked for once more.
 */

import type { Host } from "../daemon.ts";
import { formatDuration } from "../duration.ts";
import { type Log, sleep, type Surroundings } from "../surroundings.ts";

/** How long nobody may listen, from the start, before there is no etcd; and how often it is looked for. In milliseconds. */
export const PATIENCE_MS = 5 * 60_000;
export const LOOK_MS = 1_000;
/** How long a connection on this host may take, in milliseconds: beyond, somebody is there who does not accept it. */
const CONNECT_TIMEOUT_MS = 2_000;

/**
 * Whether there is an etcd, once that can be said. `listens` looks for it; while the answer is open it is asked again and
 * again. Where `signal` aborts, it says that there is none.
 */
export async function awaitEtcd(
  endpoint: string,
  listens: () => Promise<boolean>,
  surroundings: Surroundings,
  log: Log,
  signal: AbortSignal,
): Promise<boolean> {
  const endMs = surroundings.elapsed() + PATIENCE_MS;
  if (await listens()) return true;
  log(
    "info",
    `strategy auto: nothing listens at ${endpoint}; waiting ${
      formatDuration(PATIENCE_MS)
    } for etcd before this machine ` +
      "may reboot without a lock",
  );
  while (!signal.aborted && surroundings.elapsed() < endMs) {
    await sleep(surroundings, LOOK_MS);
    if (await listens()) return true;
  }
  return false;
}

/** A host that is not rebooted once there is an etcd: then `came` is told, and the reboot refused. */
export function unlessEtcd(
  host: Host,
  endpoint: string,
  listens: () => Promise<boolean>,
  came: () => void,
): Host {
  return {
    ...host,
    async reboot(timeoutMs, fingerprint) {
      if (!await listens()) return await host.reboot(timeoutMs, fingerprint);
      came();
      return { kind: "refused", why: `something now listens at ${endpoint}` };
    },
  };
}

/** Whether somebody listens at an endpoint, `http://HOST:PORT`. */
export async function listensAt(endpoint: string): Promise<boolean> {
  const { hostname, port } = new URL(endpoint);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(true), CONNECT_TIMEOUT_MS);
  Deno.connect({ hostname, port: Number(port) }).then((connection) => {
    connection.close();
    resolve(true);
  }, () => resolve(false));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}
