/**
 * A cluster of etcd of which one member can be cut off: it runs in a network namespace of its own, and the cable that
 * leads there can be pulled. Then nothing passes, neither to its clients nor to the other members, and nobody is told.
 *
 * The namespace has no name, and lives as long as the process that holds it: that ends with this one, however it ends.
 */

import { type EtcdCluster, startEtcdCluster } from "./etcd.ts";
import { leashed } from "./child.ts";

export interface CuttableCluster extends EtcdCluster {
  /** Cuts the last member off. */
  cut(): Promise<void>;
  mend(): Promise<void>;
}

/** Starts three members. Rejects without root: only root may lay the cable. */
export async function startCuttableCluster(): Promise<CuttableCluster> {
  if (Deno.uid() !== 0) {
    throw new Error(
      "cannot cut off a member of etcd: this needs root, to make a network namespace; run the tests as root",
    );
  }
  await using stack = new AsyncDisposableStack();
  const { near, far, inside, link } = stack.use(await Cable.lay());
  const cluster = stack.use(
    await startEtcdCluster(3, (member) => member === 2 ? { host: far, through: inside } : { peerHost: near }),
  );
  const kept = stack.move();
  return {
    members: cluster.members,
    cut: () => link("down"),
    mend: () => link("up"),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** A namespace and two interfaces: what goes into one comes out of the other. */
class Cable implements AsyncDisposable {
  /** The command that runs another one in the namespace. */
  readonly inside: readonly string[];
  readonly near: string;
  readonly far: string;
  readonly link = (state: "up" | "down") => this.#run("ip", "link", "set", "far", state);

  private constructor(private readonly keeper: Deno.ChildProcess) {
    const { pid } = keeper;
    this.inside = ["nsenter", `--net=/proc/${pid}/ns/net`, "--"];
    // addresses for tests of networks, RFC 2544: four for each process that there can be at a time, more or less
    const subnet = pid % 16_384;
    const address = (host: number) => `198.18.${subnet >> 6}.${(subnet % 64) * 4 + host}`;
    [this.near, this.far] = [address(1), address(2)];
  }

  static async lay(): Promise<Cable> {
    // it ends when its input does
    const keeper = leashed("unshare", {
      args: ["--net", "sh", "-c", "echo ready && exec cat"],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const cable = new Cable(keeper);
    try {
      await cable.#connect();
    } catch (error) {
      await cable[Symbol.asyncDispose]();
      throw error;
    }
    return cable;
  }

  async #connect(): Promise<void> {
    const output = this.keeper.stdout.getReader();
    const { done } = await output.read();
    output.releaseLock();
    if (done) throw new Error("cannot make a network namespace: unshare failed");
    const { near, far, keeper: { pid } } = this;
    const name = `locksmith${pid}`;
    await run(["ip", "link", "add", name, "type", "veth", "peer", "name", "far", "netns", `${pid}`]);
    await run(["ip", "address", "add", `${near}/30`, "dev", name]);
    await run(["ip", "link", "set", name, "up"]);
    await this.#run("ip", "link", "set", "lo", "up");
    await this.#run("ip", "address", "add", `${far}/30`, "dev", "far");
    await this.link("up");
  }

  #run(...words: string[]): Promise<void> {
    return run([...this.inside, ...words]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.keeper.stdin.close().catch(() => {});
    await this.keeper.stdout.cancel();
    await this.keeper.status;
  }
}

async function run([program = "", ...args]: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
}
