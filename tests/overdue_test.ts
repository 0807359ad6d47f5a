import { assertEquals } from "@std/assert";
import { parseSemaphore } from "../lib/document.ts";
import { semaphoreKey } from "../lib/group.ts";
import { overdueAfterMs, overdueIn } from "../lib/overdue.ts";
import { HOUR_MS, MINUTE_MS } from "./serve/site.ts";
import { emptySite, machineId, NOW_MS, rebooted } from "./serve/story.ts";

Deno.test("overdueAfterMs() is three times what nearly all of the last reboots took, and never less than configured", () => {
  const most = Array.from({ length: 19 }, (_, i) => (i + 1) * MINUTE_MS);
  const outlier = 9_000 * MINUTE_MS;
  assertEquals(overdueAfterMs([...most, outlier], 10 * MINUTE_MS), 57 * MINUTE_MS);
  assertEquals(overdueAfterMs([outlier, ...most], 60 * MINUTE_MS), 60 * MINUTE_MS);
});

Deno.test("overdueAfterMs() is what is configured where the history has few reboots", () => {
  const few = Array.from({ length: 19 }, () => 60 * MINUTE_MS);
  assertEquals(overdueAfterMs(few, MINUTE_MS), MINUTE_MS);
  assertEquals(overdueAfterMs([], MINUTE_MS), MINUTE_MS);
});

Deno.test("a slow group's machine is overdue by what its last reboots took: for the page, and for whoever asks the store", async () => {
  const site = emptySite();
  const { store, fleet } = site;
  site.write("slow", (before) => ({ ...before, max: 2 }), { at: "2026-05-01T00:00:00Z", what: "set-max" });
  for (let n = 0; n < 20; n++) rebooted(site, "slow", 100 + n, (n - 30) * HOUR_MS, 50 * MINUTE_MS);
  const since = (ms: number) => new Date(NOW_MS - ms).toISOString();
  site.grant("slow", machineId(1), { host: "db1", boot: "b", since: since(2 * HOUR_MS) });
  site.grant("slow", machineId(2), { host: "db2", boot: "b", since: since(3 * HOUR_MS) });
  const judge = async (group: string) => {
    const entry = site.memory.read(semaphoreKey(group));
    return await overdueIn(store, group, parseSemaphore(entry?.value ?? ""), NOW_MS, HOUR_MS);
  };
  assertEquals(await judge("slow"), { ids: [machineId(2)], afterMs: 150 * MINUTE_MS });
  const seen = () => fleet.view((group) => group === "slow").groups[0]?.seen.overdue;
  assertEquals(seen()?.length, 2, "until its history is known, by the configured time");
  await fleet.past(["slow"]);
  assertEquals(seen(), [machineId(2)]);
  fleet.close();
});
