import { assertEquals } from "@std/assert";
import { GRANTED, REBOOTING } from "../../../lib/semaphore.ts";
import { PLACE_TTL_MS } from "../../../lib/queue.ts";
import { Fleet } from "../fleet.ts";
import type { Host } from "../host.ts";
import { Person } from "../person.ts";
import { ANOTHER, DELAYS_LAST, delayShutdown, goesDown, isInGrace, standsInLine } from "../phases.ts";
import { hostTest, siteOfFile } from "../story.ts";

const site = siteOfFile("power_loss");
/** A lease may last longer than asked for, on a machine that is busy with other things. */
const LEASE_LIMIT_MS = PLACE_TTL_MS + 60_000;

hostTest("a host that loses its power in line loses its place, and the next one goes on", async () => {
  await using fleet = await pair("line");
  const [first, second] = fleet.hosts;
  await fleet.lock.lock(ANOTHER);
  await first.need();
  await standsInLine(fleet, first);
  await second.need();
  await standsInLine(fleet, second);
  await first.losePower();
  await fleet.lock.unlock(ANOTHER);
  await second.lived(2, LEASE_LIMIT_MS);
  await fleet.lock.until(({ holders }) => holders.length === 0);
  await first.powerOn();
  await first.booted();
  assertEquals(await fleet.lock.queue(), []);
  assertEquals(ends(first), ["power loss", "goes on"]);
  assertEquals(ends(second), ["reboot", "goes on"]);
});

hostTest("a host that loses its power in the grace keeps its slot until it is back", async () => {
  await using fleet = await pair("grace", { settings: { LOCKSMITHD_SESSION_GRACE: "10m" } });
  const [first, second] = fleet.hosts;
  await Person.logIn(first);
  await first.need();
  await isInGrace(fleet, first);
  await second.need();
  await standsInLine(fleet, second);
  await first.losePower();
  assertEquals((await fleet.lock.hold(first.id))?.phase, GRANTED);
  await first.powerOn();
  await second.lived(2);
  await fleet.lock.until(({ holders }) => holders.length === 0);
  assertEquals(ends(first), ["power loss", "goes on"]);
  assertEquals(ends(second), ["reboot", "goes on"]);
});

hostTest("a host that loses its power after the confirm keeps its slot until it is back", async () => {
  await using fleet = await pair("confirmed", { files: DELAYS_LAST });
  const [first, second] = fleet.hosts;
  await delayShutdown(first);
  await first.need();
  await goesDown(fleet, first);
  await second.need();
  await standsInLine(fleet, second);
  await first.losePower();
  assertEquals((await fleet.lock.hold(first.id))?.phase, REBOOTING);
  await first.powerOn();
  await second.lived(2);
  await fleet.lock.until(({ holders }) => holders.length === 0);
  assertEquals(ends(first), ["power loss", "goes on"]);
  assertEquals(ends(second), ["reboot", "goes on"]);
});

type Pair = Fleet & { readonly hosts: readonly [Host, Host] };

/** Two hosts that share one slot. */
async function pair(group: string, options: Parameters<typeof Fleet.one>[2] = {}): Promise<Pair> {
  const names = [`${group}1`, `${group}2`];
  return await Fleet.start(await site(), { group, names, max: 1, ...options }) as Pair;
}

function ends({ lives }: Host): string[] {
  return lives.map(({ end }) => end);
}
