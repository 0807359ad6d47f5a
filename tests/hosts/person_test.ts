import { assert, assertEquals } from "@std/assert";
import { violations } from "../support/chronicle.ts";
import { Fleet } from "./fleet.ts";
import { Person } from "./person.ts";
import { isInGrace } from "./phases.ts";
import { Site } from "./site.ts";
import { hostTest } from "./story.ts";

const GRACE_MS = 3_000;

hostTest(
  "a person who is logged in reads on the terminal that the host reboots, and has the whole grace",
  async () => {
    await using site = await Site.open("person");
    await using fleet = await Fleet.start(site, {
      group: "web",
      names: ["web1"],
      max: 1,
      settings: { LOCKSMITHD_SESSION_GRACE: `${GRACE_MS / 1000}s` },
    });
    const [host] = fleet.hosts;
    assert(host);
    const person = await Person.logIn(host);
    await host.need();
    await isInGrace(fleet, host);
    const text = await person.sees(/locksmith reboots this machine/);
    // wall(1) breaks its lines wherever they end
    const message = text.replace(/\s*\n/g, "");
    assert(message.includes("reboots this machine in 3s"), text);
    assert(message.includes("linux-image-amd64"), text);
    const granted = fleet.lock.hold(host.id);
    await host.lived(2);
    const since = Date.parse((await granted)?.since ?? "");
    const [{ endedMs } = { endedMs: 0 }] = host.lives;
    assert(endedMs - since >= GRACE_MS, `${endedMs - since} ms from the slot to the end`);
    await fleet.lock.until(({ holders }) => holders.length === 0);
    await fleet.chronicle.read();
    assertEquals(violations(fleet.chronicle.snapshots, fleet.reboots), []);
  },
);
