import { assertEquals } from "@std/assert";
import { Fleet } from "../fleet.ts";
import { ANOTHER, standsInLine } from "../phases.ts";
import { hostTest, siteOfFile } from "../story.ts";

const site = siteOfFile("system");

hostTest("a bus that is restarted while the host waits for its slot costs nothing", async () => {
  await using fleet = await Fleet.one(await site(), "bus");
  const { host, lock } = fleet;
  await lock.lock(ANOTHER);
  await host.need();
  await standsInLine(fleet, host);
  await host.run("systemctl", "restart", "dbus");
  await host.run("systemctl", "restart", "systemd-logind");
  assertEquals(await lock.queue(), [host.id]);
  await lock.unlock(ANOTHER);
  await fleet.rebooted();
});

hostTest("without a logind there is no reboot, and nobody waits for the slot", async () => {
  await using fleet = await Fleet.one(await site(), "bare", {
    settings: { LOCKSMITHD_SESSION_GRACE: "1s" },
  });
  const { host, lock } = fleet;
  await host.run("systemctl", "mask", "--runtime", "systemd-logind");
  await host.run("systemctl", "stop", "systemd-logind");
  await host.need();
  await host.journal.line(/logind/);
  await lock.until(({ holders }) => holders.length === 0);
  assertEquals(host.lives.length, 1);
  await host.run("systemctl", "unmask", "--runtime", "systemd-logind");
  await host.run("systemctl", "start", "systemd-logind");
  // the next try of a daemon that goes on comes in minutes
  await host.run("systemctl", "restart", "locksmithd");
  await fleet.rebooted();
});
