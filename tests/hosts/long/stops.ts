import { assertEquals, assertNotEquals } from "@std/assert";
import { GRANTED, REBOOTING } from "../../../lib/semaphore.ts";
import { until } from "../../support/daemon_process.ts";
import { Fleet } from "../fleet.ts";
import type { Host } from "../host.ts";
import { Person } from "../person.ts";
import {
  ANOTHER,
  DELAYS_LAST,
  delayShutdown,
  goesDown,
  isInGrace,
  letShutdownGoOn,
  standsInLine,
} from "../phases.ts";
import { hostTest, siteOfFile } from "../story.ts";

const site = siteOfFile("stops");
const GRACE = { settings: { LOCKSMITHD_SESSION_GRACE: "4s" } };

hostTest("systemctl stop in line gives the place up, and start gets in line again", async () => {
  await using fleet = await inLine("line-stop");
  const { host, lock } = fleet;
  await host.run("systemctl", "stop", "locksmithd");
  assertEquals(await lock.queue(), []);
  await host.run("systemctl", "start", "locksmithd");
  await standsInLine(fleet, host);
  await lock.unlock(ANOTHER);
  await rebooted(fleet, host);
});

hostTest("systemctl restart in line gets in line again", async () => {
  await using fleet = await inLine("line-restart");
  const { host, lock } = fleet;
  await host.run("systemctl", "restart", "locksmithd");
  await standsInLine(fleet, host);
  assertEquals(await lock.queue(), [host.id]);
  await lock.unlock(ANOTHER);
  await rebooted(fleet, host);
});

hostTest("a poweroff in line gives the place up", async () => {
  await using fleet = await inLine("line-poweroff");
  const { host, lock } = fleet;
  await host.run("systemctl", "poweroff");
  await host.off();
  assertEquals(await lock.queue(), []);
  assertEquals((await lock.read()).holders, [ANOTHER]);
});

hostTest("systemctl stop in the grace keeps the slot, and start gives the grace anew", async () => {
  await using fleet = await inGrace("grace-stop");
  const { host, lock } = fleet;
  await host.run("systemctl", "stop", "locksmithd");
  assertEquals((await lock.hold(host.id))?.phase, GRANTED);
  await host.run("systemctl", "start", "locksmithd");
  await isInGrace(fleet, host);
  await rebooted(fleet, host);
});

hostTest("systemctl restart in the grace keeps the slot, and gives the grace anew", async () => {
  await using fleet = await inGrace("grace-restart");
  const { host, lock } = fleet;
  const before = await lock.hold(host.id);
  await host.run("systemctl", "restart", "locksmithd");
  await isInGrace(fleet, host);
  assertEquals(await lock.hold(host.id), before);
  await rebooted(fleet, host);
});

hostTest("a poweroff in the grace keeps the slot until the host is back", async () => {
  await using fleet = await inGrace("grace-poweroff");
  const { host, lock } = fleet;
  await host.run("systemctl", "poweroff");
  await host.off();
  assertEquals((await lock.hold(host.id))?.phase, GRANTED);
  await host.powerOn();
  await lock.until(({ holders }) => holders.length === 0);
  assertEquals(host.lives.map(({ end }) => end), ["poweroff", "goes on"]);
});

for (const action of ["stop", "restart"]) {
  hostTest(`systemctl ${action} while the host goes down keeps the slot, and it reboots`, async () => {
    await using fleet = await goingDown(`down-${action}`);
    const { host, lock } = fleet;
    await host.run("systemctl", action, "locksmithd");
    assertEquals((await lock.hold(host.id))?.phase, REBOOTING);
    await letShutdownGoOn(host);
    await rebooted(fleet, host);
  });
}

hostTest("a poweroff while the host goes down is refused, and it reboots", async () => {
  await using fleet = await goingDown("down-poweroff");
  const { host, lock } = fleet;
  const { code } = await host.capture("systemctl", "poweroff");
  assertNotEquals(code, 0);
  assertEquals((await lock.hold(host.id))?.phase, REBOOTING);
  await letShutdownGoOn(host);
  await rebooted(fleet, host);
});

async function inLine(name: string): Promise<Fleet> {
  const fleet = await Fleet.one(await site(), name);
  await fleet.lock.lock(ANOTHER);
  await fleet.host.need();
  await standsInLine(fleet, fleet.host);
  return fleet;
}

async function inGrace(name: string): Promise<Fleet> {
  const fleet = await Fleet.one(await site(), name, GRACE);
  await Person.logIn(fleet.host);
  await fleet.host.need();
  await isInGrace(fleet, fleet.host);
  return fleet;
}

async function goingDown(name: string): Promise<Fleet> {
  const fleet = await Fleet.one(await site(), name, { files: DELAYS_LAST });
  await delayShutdown(fleet.host);
  await fleet.host.need();
  await goesDown(fleet, fleet.host);
  return fleet;
}

/** It reboots once, and all slots are free. */
async function rebooted({ lock }: Fleet, host: Host): Promise<void> {
  await host.lived(2);
  await lock.until(({ holders }) => holders.length === 0);
  await until(
    () => Promise.resolve(host.lives.map(({ end }) => end).join()),
    (ends) => ends === "reboot,goes on",
  );
}
