import { assert, assertEquals } from "@std/assert";
import { violations } from "../support/chronicle.ts";
import { Fleet } from "./fleet.ts";
import { Person } from "./person.ts";
import { isInGrace } from "./phases.ts";
import { Site } from "./site.ts";
import { hostTest } from "./story.ts";

const GRACE_MS = 6_000;

hostTest("a person who is logged in is told at the terminal, and has the whole grace", async () => {
  await using site = await Site.open("person");
  await using fleet = await Fleet.one(site, "web1", { settings: { LOCKSMITHD_SESSION_GRACE: "6s" } });
  const { host } = fleet;
  const person = await Person.logIn(host);
  await host.need();
  await isInGrace(fleet, host);
  const text = await person.sees(/locksmith reboots this machine/);
  // wall(1) breaks its lines wherever they end
  const message = text.replace(/\s*\n/g, "");
  assert(message.includes("reboots this machine in 6s"), text);
  assert(message.includes("linux-image-"), text);
  const hold = await fleet.lock.hold(host.id);
  await host.lived(2);
  const [first] = host.lives;
  const tookMs = (first?.endedMs ?? 0) - Date.parse(hold?.since ?? "");
  assert(tookMs >= GRACE_MS, `${tookMs} ms from the slot to the end`);
  await fleet.lock.until(({ holders }) => holders.length === 0);
  await fleet.chronicle.read();
  assertEquals(violations(fleet.chronicle.snapshots, fleet.reboots), []);
});
