import { assert, assertEquals } from "@std/assert";
import { REBOOTING } from "../../../lib/semaphore.ts";
import { Fleet } from "../fleet.ts";
import { delayShutdown, goesDown } from "../phases.ts";
import { hostTest, siteOfFile } from "../story.ts";

const site = siteOfFile("inhibitors");
/** So long logind waits for who wants a shutdown delayed, where nothing is configured. */
const DELAY_MS = 5_000;

hostTest("a block inhibitor keeps the host up, is named, and costs nobody the slot", async () => {
  await using fleet = await Fleet.one(await site(), "busy");
  const { host, lock } = fleet;
  const inhibit = ["systemd-inhibit", "--what=shutdown", "--mode=block", "--who=dpkg", "--why=packages"];
  await host.detach("block", ...inhibit, "sleep", "infinity");
  await host.need();
  const { text } = await host.journal.line(/dpkg/);
  assert(text.includes("packages"), text);
  await lock.until(({ holders }) => holders.length === 0);
  assertEquals(host.lives.length, 1);
  await host.run("systemctl", "stop", "block");
  // the next try of a daemon that goes on comes in minutes
  await host.run("systemctl", "restart", "locksmithd");
  await fleet.rebooted();
});

hostTest("a delay inhibitor delays the reboot, and the slot is kept meanwhile", async () => {
  await using fleet = await Fleet.one(await site(), "delay");
  const { host, lock } = fleet;
  await delayShutdown(host);
  await host.need();
  await goesDown(fleet, host);
  const calledMs = Date.now();
  assertEquals((await lock.hold(host.id))?.phase, REBOOTING);
  await fleet.rebooted();
  const [first] = host.lives;
  assert(first !== undefined && first.endedMs - calledMs > DELAY_MS / 2);
});
