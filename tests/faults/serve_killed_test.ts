/**
 * Servers that are killed while hosts ask them for slots, and started again. Whatever the hosts were told is held to what
 * one counter of slots can have answered, and to what the store has in the end.
 */

import { assert, assertEquals } from "@std/assert";
import { TestLock } from "../support/daemon_process.ts";
import { startEtcd } from "../support/etcd.ts";
import { slotFaults, SlotHistory } from "../support/slot_history.ts";
import { TestServer } from "../support/test_server.ts";

const GROUP = "web";
const MAX = 3;
const HOSTS = 16;
/** So many grants there are between two kills. */
const GRANTS = 15;

/** Hosts that ask for slots, prove them and give them back, of any of the servers, until they are told to stop. */
class Crowd {
  readonly history = new SlotHistory(GROUP);
  #over = false;
  readonly #hosts: Promise<void[]>;

  constructor(private readonly servers: readonly TestServer[]) {
    const ids = Array.from({ length: HOSTS }, (_, number) => `host ${number}`);
    this.#hosts = Promise.all(ids.map((id, number) => this.#live(id, number)));
  }

  /** Resolves when so many more slots were granted. */
  async granted(count: number): Promise<void> {
    const wanted = this.history.count("pre-reboot", "yes") + count;
    while (this.history.count("pre-reboot", "yes") < wanted) await tick();
  }

  /** Nobody asks any more; whoever has asked has been answered. */
  async stop(): Promise<void> {
    this.#over = true;
    await this.#hosts;
  }

  async #live(id: string, number: number): Promise<void> {
    // every other one waits for its slot, the others poll
    const patience = number % 2 === 0 ? { waitS: 1 } : {};
    for (let round = number; !this.#over; round++) {
      const { url } = this.servers[round % this.servers.length] as TestServer;
      const { told } = await this.history.ask(url, id, "pre-reboot", patience);
      if (told === "no") await tick();
      // of those that do not know, some were reset, and say that they are well
      else if (told === "yes" || round % 4 === 0) await this.#reboot(id, round);
      else await tick();
    }
  }

  async #reboot(id: string, round: number): Promise<void> {
    const urls = this.servers.map(({ url }) => url);
    if (round % 3 === 0) await this.history.ask(urls[round % urls.length] ?? "", id, "pre-reboot");
    let told: string = "lost";
    for (let tries = round; told === "lost" && !this.#over; tries++) {
      ({ told } = await this.history.ask(urls[tries % urls.length] ?? "", id, "steady-state"));
      if (told === "lost") await tick();
    }
  }
}

/** A moment. */
function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

/** What the hosts were told agrees with itself and the store; who has a slot keeps it and can give it back. */
async function assertSound({ history }: Crowd, { url, store }: TestServer): Promise<void> {
  await using lock = await TestLock.open(store, GROUP);
  const { holders } = await lock.read();
  assertEquals(slotFaults(history.askings, MAX, holders), []);
  assert(history.count("pre-reboot", "lost") > 0, "nobody was in the middle of asking");
  for (const id of holders) {
    assertEquals((await history.ask(url, id, "pre-reboot")).text, "200 ");
    assertEquals((await history.ask(url, id, "steady-state")).text, "200 ");
  }
  assertEquals((await lock.read()).holders, []);
}

Deno.test("a server on the embedded store that is killed under load, again and again, keeps every grant that a host saw, and grants none twice", async () => {
  await using server = await TestServer.make();
  await server.start();
  await using lock = await TestLock.open(server.store, GROUP);
  await lock.setMax(MAX);
  const crowd = new Crowd([server]);
  for (let kills = 0; kills < 2; kills++) {
    await crowd.granted(GRANTS);
    await server.kill();
    await server.start();
  }
  await crowd.granted(GRANTS);
  await server.kill();
  await crowd.stop();
  await server.start();
  await assertSound(crowd, server);
});

Deno.test("two servers over one etcd, of which one is killed under load and comes back, grant like one", async () => {
  await using etcd = await startEtcd();
  await using one = await TestServer.make({ endpoint: etcd.endpoint });
  await using other = await TestServer.make({ endpoint: etcd.endpoint });
  await Promise.all([one.start(), other.start()]);
  await using lock = await TestLock.open(etcd.endpoint, GROUP);
  await lock.setMax(MAX);
  const crowd = new Crowd([one, other]);
  for (const victim of [one, other]) {
    await crowd.granted(GRANTS);
    await victim.kill();
    await crowd.granted(GRANTS);
    await victim.start();
  }
  await crowd.granted(GRANTS);
  await other.kill();
  await crowd.stop();
  await assertSound(crowd, one);
});
