/**
 * Hosts that share the slots of a group, and what really happened to them: by the revisions of etcd, and by when their
 * systems ended and came back, as nspawn saw it.
 */

import { Chronicle, type Reboot } from "../support/chronicle.ts";
import { TestLock } from "../support/daemon_process.ts";
import type { Host } from "./host.ts";
import type { Site, SiteHostOptions } from "./site.ts";

/** How long all hosts may take to reboot in turns. */
const ROUND_MS = 300_000;

export class Fleet implements AsyncDisposable {
  private constructor(
    readonly hosts: readonly Host[],
    readonly lock: TestLock,
    readonly chronicle: Chronicle,
  ) {}

  /** A host that shares the only slot of its group with nobody, unless a test takes it. */
  static one(site: Site, name: string, options: SiteHostOptions = {}): Promise<Fleet> {
    return Fleet.start(site, { group: name, names: [name], max: 1, ...options });
  }

  /** Makes hosts of one group, with `max` slots, and switches them on. */
  static async start(
    site: Site,
    { group, names, max, ...options }: SiteHostOptions & {
      readonly group: string;
      readonly names: readonly string[];
      readonly max: number;
    },
  ): Promise<Fleet> {
    await using stack = new AsyncDisposableStack();
    const chronicle = await Chronicle.begin([site.etcd], group);
    const lock = stack.use(await TestLock.open(site.etcd.endpoint, group));
    await lock.setMax(max);
    const hosts = await Promise.all(names.map((name) => site.host(name, group, options)));
    await Promise.all(hosts.map(async (host) => {
      await host.powerOn();
      await host.booted();
    }));
    stack.move();
    return new Fleet(hosts, lock, chronicle);
  }

  /** The only host, or the first. */
  get host(): Host {
    const [host] = this.hosts;
    if (host === undefined) throw new Error("a fleet without hosts");
    return host;
  }

  /** All of them need a reboot at once. Resolves when each has had one, and all slots are given back. */
  async round(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.need()));
    await this.rebooted();
  }

  /** Resolves when each has had one more reboot, and all slots are given back. */
  async rebooted(): Promise<void> {
    const turns = this.hosts.map((host) => host.lived(host.lives.length + 1, ROUND_MS));
    await this.chronicle.telling(Promise.all(turns));
    await this.chronicle.telling(this.lock.until(({ holders }) => holders.length === 0));
  }

  /** What nspawn saw: from the end of a system that rebooted to the moment when the next one was there. */
  get reboots(): Reboot[] {
    return this.hosts.flatMap(rebootsOf);
  }

  /** The hosts are off afterwards. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.lock[Symbol.asyncDispose]();
    await Promise.all(this.hosts.map((host) => host.losePower()));
  }
}

/** The reboots of a host, from the end of each system to the start of the next. */
export function rebootsOf({ id, lives }: Host): Reboot[] {
  return lives.flatMap(({ end, boot, endedMs }, index) => {
    if (end !== "reboot") return [];
    return [{ machine: id, boot, fromMs: endedMs, toMs: lives[index + 1]?.upMs ?? Infinity }];
  });
}
