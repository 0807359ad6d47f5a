import { assertEquals } from "@std/assert";
import { grants, violations } from "../support/chronicle.ts";
import { Fleet } from "./fleet.ts";
import { Site } from "./site.ts";
import { hostTest } from "./story.ts";

const NAMES = Array.from({ length: 8 }, (_, index) => `web${index + 1}`);
const MAX = 2;
const ROUNDS = 2;

hostTest(
  "eight hosts reboot by logind in turns, twice: never more than two between grant and return",
  async () => {
    await using site = await Site.open("fleet");
    await using fleet = await Fleet.start(site, { group: "web", names: NAMES, max: MAX });
    for (let round = 0; round < ROUNDS; round++) await fleet.round();
    await fleet.chronicle.read();
    const { snapshots } = fleet.chronicle;
    assertEquals(violations(snapshots, fleet.reboots), []);
    assertEquals(Math.max(...snapshots.map(({ semaphore }) => semaphore.holders.length)), MAX);
    assertEquals(grants(snapshots).toSorted(), fleet.hosts.flatMap(({ id }) => [id, id]).toSorted());
    for (const { lives } of fleet.hosts) {
      assertEquals(lives.map(({ end }) => end), ["reboot", "reboot", "goes on"]);
      assertEquals(new Set(lives.map(({ boot }) => boot)).size, 3, "each boot has an id of its own");
    }
  },
);
