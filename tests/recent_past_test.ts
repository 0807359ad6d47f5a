/** The last day: what is carried on from the mirror is what a store would tell. */

import { assertEquals } from "@std/assert";
import { pastEvents } from "../lib/history.ts";
import { semaphoreKey } from "../lib/group.ts";
import { DAY_MS, PastDay } from "../lib/past_day.ts";
import { type Memory, openMemory } from "../lib/simulation/memory.ts";
import { StoreError } from "../lib/store.ts";
import { HOUR_MS, MINUTE_MS } from "./serve/site.ts";
import { busySite, emptySite, machineId, NOW_MS, rebooted } from "./serve/story.ts";

function shown(day: PastDay | undefined) {
  return { holds: day?.holds, pauses: day?.pauses, rebootsMs: day?.rebootsMs };
}

Deno.test("the past that is carried on by the mirror is the one that the store remembers", async () => {
  const site = busySite();
  await site.fleet.past(["web", "storage"]);
  const at = (ms: number) => new Date(NOW_MS + ms).toISOString();
  site.end("web", machineId(1), at(1_000));
  site.grant("web", machineId(4), { host: "web-4", boot: "b", since: at(2_000) });
  site.write("web", ({ ...before }) => ({ ...before, paused: { since: at(3_000), by: "anna", extra: {} } }), {
    at: at(3_000),
    what: "pause",
  });
  site.end("web", machineId(4), at(300_000));
  site.write("storage", ({ paused: _, ...before }) => before, { at: at(4_000), what: "resume" });
  for (const group of ["web", "storage"]) {
    const fresh = new PastDay();
    const { changes, complete } = site.memory.history(semaphoreKey(group));
    for (const event of pastEvents(changes, complete)) fresh.take(event);
    fresh.forget(NOW_MS);
    const view = site.fleet.view((one) => one === group).groups[0];
    assertEquals(shown(view?.day), shown(fresh));
  }
  assertEquals(site.fleet.view((one) => one === "web").groups[0]?.day?.holds.at(-1)?.machine, machineId(4));
  site.fleet.close();
});

Deno.test("a day has what ended in it, and how long the last reboots took, however long ago", () => {
  const day = new PastDay();
  const event = (what: string, machine: string, ms: number) => {
    day.take({ revision: "1", what, machine, at: new Date(NOW_MS + ms).toISOString() });
  };
  event("grant", "a", -2 * DAY_MS);
  event("release", "a", -2 * DAY_MS + 5 * MINUTE_MS);
  event("grant", "b", -DAY_MS - HOUR_MS);
  event("cancel", "b", -DAY_MS + HOUR_MS);
  event("lock", "c", -HOUR_MS);
  event("unlock", "c", -HOUR_MS + 1);
  event("grant", "d", -HOUR_MS);
  event("release", "d", -2 * HOUR_MS);
  event("release", "unheard of", 0);
  day.forget(NOW_MS);
  assertEquals(day.holds.map(({ machine, rebooted }) => [machine, rebooted]), [["b", false], ["c", false]]);
  assertEquals(day.rebootsMs, [5 * MINUTE_MS]);
});

Deno.test("a store that cannot tell of the past is not asked again at once, and the page does without", async () => {
  let asked = 0;
  const site = emptySite({
    store(memory: Memory) {
      const store = openMemory(memory);
      store.history = () => {
        asked++;
        return Promise.reject(new StoreError("timeout", "etcd: no answer in time"));
      };
      return store;
    },
  });
  rebooted(site, "web", 1, -HOUR_MS, MINUTE_MS);
  await site.fleet.past(["web"]);
  await site.fleet.past(["web"]);
  assertEquals(asked, 1);
  assertEquals(site.fleet.view().groups[0]?.day, undefined);
  site.fleet.close();
});
