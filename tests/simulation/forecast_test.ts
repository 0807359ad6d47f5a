/** When the line will be through. */

import { assert, assertEquals } from "@std/assert";
import { forecast, type ForecastFacts, forecastFacts } from "../../lib/simulation/forecast.ts";
import { ALWAYS } from "../../lib/schedule.ts";
import { FRESH } from "../../lib/semaphore.ts";
import { simulateRollout } from "../../lib/simulation/rollout.ts";
import { HOUR_MS, MINUTE_MS } from "../serve/site.ts";

const NOW = Date.parse("2026-05-21T12:00:00Z");
const FACTS: ForecastFacts = {
  now: NOW,
  max: 2,
  holders: [],
  waiting: 0,
  rebootsMs: [4 * MINUTE_MS, 6 * MINUTE_MS, 5 * MINUTE_MS],
};
const rebooting = (agoMs: number) => ({ sinceMs: NOW - agoMs, stays: false });
const STAYS = { sinceMs: NOW - 3 * HOUR_MS, stays: true };

Deno.test("forecast() says nothing where nothing is to be done, or was ever recorded", () => {
  assertEquals(forecast(FACTS), { kind: "idle" });
  assertEquals(forecast({ ...FACTS, holders: [STAYS] }), { kind: "idle" });
  assertEquals(forecast({ ...FACTS, waiting: 1, rebootsMs: [] }), { kind: "unknown" });
});

Deno.test("forecast() counts what the holders have done already", () => {
  const facts = { ...FACTS, holders: [rebooting(2 * MINUTE_MS), rebooting(4 * MINUTE_MS)] };
  assertEquals(forecast(facts), { kind: "done", atMs: NOW + 3 * MINUTE_MS });
  assertEquals(forecast({ ...facts, waiting: 1 }), { kind: "done", atMs: NOW + 5 * MINUTE_MS });
});

Deno.test("forecast() does without slots that are kept, and says where none is left", () => {
  const facts = { ...FACTS, waiting: 2, rebootsMs: [5 * MINUTE_MS] };
  assertEquals(forecast({ ...facts, holders: [STAYS] }), { kind: "done", atMs: NOW + 10 * MINUTE_MS });
  assertEquals(forecast({ ...facts, holders: [STAYS, STAYS] }), { kind: "never", why: "stuck" });
  assertEquals(forecast({ ...facts, max: 0 }), { kind: "never", why: "no-slots" });
});

Deno.test("forecast() expects a machine that is unhealthy after its boot to keep its slot", () => {
  const hold = { since: "2026-05-21T11:58:00Z", trouble: "nginx is down", extra: {} };
  const semaphore = { ...FRESH, holders: ["ill"], holds: new Map([["ill", hold]]) };
  const facts = forecastFacts({ semaphore, queue: [], overdue: [] }, {
    now: NOW,
    rebootsMs: [5 * MINUTE_MS],
  });
  assertEquals(facts.holders, [{ sinceMs: NOW - 2 * MINUTE_MS, stays: true }]);
});

Deno.test("forecast() waits for the window, but not with who holds a slot already", () => {
  const openings = [{ startMs: NOW + HOUR_MS, endMs: NOW + 2 * HOUR_MS }];
  const facts = { ...FACTS, rebootsMs: [5 * MINUTE_MS], openings };
  assertEquals(forecast({ ...facts, waiting: 2 }), { kind: "done", atMs: NOW + HOUR_MS + 5 * MINUTE_MS });
  assertEquals(forecast({ ...facts, holders: [rebooting(0)] }), { kind: "done", atMs: NOW + 5 * MINUTE_MS });
  assertEquals(forecast({ ...facts, holders: [rebooting(0)], waiting: 4 }), {
    kind: "done",
    atMs: NOW + HOUR_MS + 10 * MINUTE_MS,
  });
  assertEquals(forecast({ ...facts, waiting: 100 }), { kind: "never", why: "closed" });
  assertEquals(forecast({ ...facts, openings: [], waiting: 1 }), { kind: "never", why: "closed" });
});

Deno.test("forecast() is within a twentieth of the roll-out that the simulation plays", async () => {
  const rebootMs = { from: 3 * MINUTE_MS, to: 9 * MINUTE_MS };
  const plan = { machines: 60, max: 3, rebootMs, schedule: ALWAYS, graceMs: 0, startMs: NOW, seed: 5 };
  const { throughMs, machines } = await simulateRollout(plan);
  // what such reboots leave in the history
  const rebootsMs = machines.slice(0, 50).map(({ spans }) => {
    return spans.filter(({ state }) => state !== "waiting").reduce(
      (sum, { fromMs, toMs }) => sum + toMs - fromMs,
      0,
    );
  });
  const told = forecast({ ...FACTS, max: 3, waiting: 60, rebootsMs });
  assert(told.kind === "done" && throughMs !== null);
  assert(Math.abs((told.atMs - NOW) / throughMs - 1) < 0.05, `${told.atMs - NOW} of ${throughMs} ms`);
});
