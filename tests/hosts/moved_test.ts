import { assertEquals } from "@std/assert";
import { violations } from "../support/chronicle.ts";
import { Fleet } from "./fleet.ts";
import { CONFIGURATION } from "./image.ts";
import { Site } from "./site.ts";
import { hostTest } from "./story.ts";

hostTest("a host whose group was changed over its reboot gives the slot back where it took it", async () => {
  await using site = await Site.open("moved");
  await using fleet = await Fleet.one(site, "former");
  const { host, lock } = fleet;
  host.comesBack = false;
  await host.need();
  await host.off();
  assertEquals((await lock.read()).holders, [host.id]);
  await host.write(CONFIGURATION, (await host.read(CONFIGURATION)).replace('"former"', '"latter"'));
  await host.powerOn();
  await host.journal.line(/this machine has rebooted; gave back the slot in group former/);
  assertEquals((await lock.read()).holders, []);
  await fleet.chronicle.read();
  assertEquals(violations(fleet.chronicle.snapshots, fleet.reboots), []);
});
