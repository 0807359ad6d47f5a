/**
 * The network of a laboratory: a switch, a cable from each host to it that can be pulled at any moment, and one from the
 * machine, by which tests ask the servers that the hosts ask.
 *
 * Hosts are in a network namespace each, which is there before they boot and outlasts their reboots.
 */

import { capture } from "./command.ts";
import type { Lab } from "./lab.ts";

/** How long a command may take. */
const LIMIT_MS = 60_000;
/** The switch's own address, by which hosts reach everything that is not on the switch. */
export const GATEWAY = "10.77.0.1";

/** The end of a cable at a host. */
export interface Plug {
  /** The host's network namespace, as a path in the laboratory. */
  readonly namespace: string;
  readonly address: string;
  /** Pulls the cable: nothing passes, and nobody is told. */
  pull(): Promise<void>;
  plugIn(): Promise<void>;
  /** Takes the way to everything beyond the switch from the host's table: `No route to host`, at once. */
  forgetRoute(): Promise<void>;
  learnRoute(): Promise<void>;
}

export class Network {
  #plugs = 0;

  private constructor(
    private readonly lab: Lab,
    /** An address in the laboratory that the machine and all hosts reach. */
    readonly address: string,
  ) {}

  /** Lays the cable to the machine, and sets the switch up. */
  static async lay(lab: Lab): Promise<Network> {
    // addresses for tests of networks, RFC 2544: four for each laboratory that there can be at a time, more or less
    const subnet = lab.pid % 16_384;
    const address = (host: number) => `198.19.${subnet >> 6}.${(subnet % 64) * 4 + host}`;
    const near = `lockhost${lab.pid}`.slice(0, 15);
    await outside(
      "ip",
      "link",
      "add",
      near,
      "type",
      "veth",
      "peer",
      "name",
      "outside",
      "netns",
      `${lab.pid}`,
    );
    await outside("ip", "address", "add", `${address(1)}/30`, "dev", near);
    await outside("ip", "link", "set", near, "up");
    await lab.shellLines(
      `ip address add "$1/30" dev outside
      ip link set outside up
      ip link add switch type bridge
      ip address add "$2/24" dev switch
      ip link set switch up`,
      address(2),
      GATEWAY,
    );
    return new Network(lab, address(2));
  }

  /** A namespace for a host, with its cable plugged in. */
  async connect(host: string): Promise<Plug> {
    const { lab } = this;
    const address = `10.77.0.${++this.#plugs + 1}`;
    await lab.shellLines(
      `ip netns add "$1"
      ip link add "$1" type veth peer name eth0 netns "$1"
      ip link set "$1" master switch up
      ip -n "$1" link set lo up
      ip -n "$1" address add "$2/24" dev eth0
      ip -n "$1" link set eth0 up
      ip -n "$1" route add default via "$3"`,
      host,
      address,
      GATEWAY,
    );
    const route = async (what: string) => {
      await lab.run("ip", "-n", host, "route", what, "default", "via", GATEWAY);
    };
    const link = async (state: string) => {
      await lab.run("ip", "link", "set", host, state);
    };
    return {
      namespace: `/run/netns/${host}`,
      address,
      pull: () => link("down"),
      plugIn: () => link("up"),
      forgetRoute: () => route("del"),
      learnRoute: () => route("add"),
    };
  }
}

async function outside(...words: readonly string[]): Promise<void> {
  const { code, stderr } = await capture(words, LIMIT_MS);
  if (code !== 0) throw new Error(`${words.join(" ")}: ${stderr.trim()}`);
}
