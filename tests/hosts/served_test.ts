import { assert, assertEquals } from "@std/assert";
import { REBOOTING } from "../../lib/semaphore.ts";
import { grants, violations } from "../support/chronicle.ts";
import { until } from "../support/daemon_process.ts";
import { Fleet } from "./fleet.ts";
import { Site } from "./site.ts";
import { hostTest } from "./story.ts";

/** How long a host may take to go down. */
const DOWN_MS = 120_000;
const NAMES = ["web1", "web2", "web3"];

hostTest(
  "hosts that ask a server for their slots reboot in turns, though it is killed while one is down and the others wait",
  async () => {
    await using site = await Site.open("served");
    const server = await site.server();
    const token = await server.token("add", "--role=host", "--group=web", "--name=web");
    await server.start();
    await using fleet = await Fleet.start(site, {
      group: "web",
      names: NAMES,
      max: 1,
      settings: {
        REBOOT_STRATEGY: "fleet-lock",
        LOCKSMITHD_ENDPOINT: "",
        LOCKSMITHD_FLEET_LOCK_URL: server.url.replace("//", `//web:${token}@`),
      },
    });
    const { hosts, lock, chronicle } = fleet;
    const round = fleet.round();
    const { holders: [id = ""] } = await lock.until(({ holds }) => {
      return [...holds.values()].some(({ phase }) => phase === REBOOTING);
    });
    const holder = hosts.find((host) => host.id === id);
    assert(holder !== undefined);
    // the store knows of the proof before the host does: not before it goes down nobody has to answer it any more
    await until(() => Promise.resolve(holder.lives[0]?.endedMs), (ms) => ms !== Infinity, DOWN_MS);
    await server.kill();
    // it is up again, and has nobody to give its slot back to
    await holder.lived(2);
    assertEquals((await lock.read()).holders, [id]);
    await server.start();
    await round;
    await chronicle.read();
    assertEquals(violations(chronicle.snapshots, fleet.reboots), []);
    assertEquals(grants(chronicle.snapshots).toSorted(), hosts.map(({ id }) => id).toSorted());
    for (const { lives } of hosts) assertEquals(lives.map(({ end }) => end), ["reboot", "goes on"]);
  },
);
