/**
 * Ports for servers that are started again where they were. The kernel gives the ports of its own range to whatever
 * connects or asks for any port, also in the moment in which a server is down; these lie below that range.
 */

/** Where Linux begins to give ports away by itself, unless it is told otherwise. */
const KERNEL_FROM = 32_768;
const FROM = 10_000;
const TRIES_MAX = 1_000;

/** Ports of the loopback on which nobody listens, in any order. */
export function freePorts(count: number): number[] {
  const end = Math.min(KERNEL_FROM, kernelFrom());
  const listeners: Deno.Listener[] = [];
  try {
    for (let left = TRIES_MAX; listeners.length < count && left > 0; left--) {
      const port = FROM + Math.floor(Math.random() * (end - FROM));
      try {
        listeners.push(Deno.listen({ hostname: "127.0.0.1", port }));
      } catch (error) {
        if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      }
    }
    if (listeners.length < count) throw new Error(`no ${count} ports are free between ${FROM} and ${end}`);
    return listeners.map(({ addr }) => (addr as Deno.NetAddr).port);
  } finally {
    for (const listener of listeners) listener.close();
  }
}

function kernelFrom(): number {
  const [from] = Deno.readTextFileSync("/proc/sys/net/ipv4/ip_local_port_range").trim().split(/\s+/);
  return Number(from);
}
