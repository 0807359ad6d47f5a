/**
 * A site: hosts, an etcd that all of them reach, and the network between. Its journals are kept below
 * `dist/build/hosts/`, by the name of the site, whether all went well or not.
 */

import { type EtcdServer, startEtcd } from "../support/etcd.ts";
import { locksmith } from "../support/executable.ts";
import { TestServer } from "../support/test_server.ts";
import { Host } from "./host.ts";
import { CONFIGURATION, makeImage } from "./image.ts";
import { Lab } from "./lab.ts";
import { Network } from "./network.ts";

const ARTEFACTS = new URL("../../dist/build/hosts", import.meta.url).pathname;

export interface SiteHostOptions {
  /** Lines of its configuration, instead of or beside those that name strategy, endpoint and group; empty: none. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Other files of its own. */
  readonly files?: Readonly<Record<string, string>>;
}

export class Site implements AsyncDisposable {
  readonly hosts: Host[] = [];

  private constructor(
    readonly name: string,
    readonly lab: Lab,
    private readonly network: Network,
    readonly etcd: EtcdServer,
    private readonly kept: AsyncDisposableStack,
  ) {}

  /** Makes a site, without hosts. */
  static async open(name: string): Promise<Site> {
    await using stack = new AsyncDisposableStack();
    const lab = stack.use(await Lab.start());
    const network = await Network.lay(lab);
    await lab.run("mkdir", "/run/etcd");
    const [etcd] = await Promise.all([
      startEtcd({ host: network.address, through: lab.networkOnly, folder: lab.path("/run/etcd") }),
      makeImage(lab),
    ]);
    stack.use(etcd);
    return new Site(name, lab, network, etcd, stack.move());
  }

  /** A host of this site, off, whose daemon starts with it and shares the semaphore of `group`. */
  async host(name: string, group: string, options: SiteHostOptions = {}): Promise<Host> {
    const plug = await this.network.connect(name);
    const settings = {
      REBOOT_STRATEGY: "etcd-lock",
      LOCKSMITHD_ENDPOINT: this.etcd.endpoint,
      LOCKSMITHD_GROUP: group,
      ...options.settings,
    };
    const configuration = Object.entries(settings).filter(([, value]) => value !== "")
      .map(([key, value]) => `${key}="${value}"\n`).join("");
    const host = await Host.make(this.lab, name, plug, {
      "/etc/hosts": `127.0.0.1 localhost\n127.0.1.1 ${name}\n`,
      [CONFIGURATION]: configuration,
      ...options.files,
    });
    this.hosts.push(host);
    this.kept.use(host);
    return host;
  }

  /** A `locksmith serve` that all hosts reach, over the etcd that they do not. Not started. */
  async server(): Promise<TestServer> {
    const dir = await Deno.makeTempDir();
    this.kept.defer(() => Deno.remove(dir, { recursive: true }));
    const program = `${dir}/locksmith`;
    const words = [...this.lab.networkOnly, await locksmith()];
    await Deno.writeTextFile(program, `#!/bin/sh\nexec ${words.join(" ")} "$@"\n`, { mode: 0o755 });
    const { endpoint } = this.etcd;
    const server = await TestServer.make({ dir, program, endpoint, host: this.network.address });
    return this.kept.use(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using _all = this.kept;
    const folder = `${ARTEFACTS}/${this.name}`;
    await Deno.mkdir(folder, { recursive: true });
    for (const { name, root } of this.hosts) {
      const words = [
        "journalctl",
        `--directory=${root}/var/log/journal`,
        "--output=short-iso-precise",
        "--quiet",
      ];
      await Deno.writeTextFile(`${folder}/${name}.journal`, await this.lab.run(...words));
    }
  }
}
