/** A day in the life of a fleet, for tests and for the pictures of the page: what its store has at {@linkcode NOW_MS}. */

import { openMemory } from "../../lib/simulation/memory.ts";
import type { Opening } from "../../lib/schedule.ts";
import { REAL, type Surroundings } from "../../lib/surroundings.ts";
import { Random } from "../../lib/simulation/virtual_time.ts";
import { HOUR_MS, MINUTE_MS, Site, type SiteOptions } from "./site.ts";

/** When the story is told. */
export const NOW_MS = Date.parse("2026-05-21T13:37:00Z");
const DAY_MS = 24 * HOUR_MS;

/** A clock that goes on from {@linkcode NOW_MS}. */
export function storyClock(): Surroundings {
  const beganMs = performance.now();
  return { ...REAL, now: () => NOW_MS + performance.now() - beganMs };
}

function at(ms: number): string {
  return new Date(NOW_MS + ms).toISOString();
}

/** An id as machines have it. */
export function machineId(n: number): string {
  return (n * 2654435761 >>> 0).toString(16).padStart(8, "0").repeat(4);
}

/** A window each night from 22:00 to 4:00 UTC. */
export function nightly(_group: string, fromMs: number): Opening[] {
  const midnight = Math.floor(fromMs / DAY_MS) * DAY_MS;
  return Array.from({ length: 9 }, (_, day) => {
    const startMs = midnight + (day - 1) * DAY_MS + 22 * HOUR_MS;
    return { startMs, endMs: startMs + 6 * HOUR_MS };
  }).filter(({ endMs }) => endMs >= fromMs);
}

/** A site where nobody has asked for anything. */
export function emptySite(options: Partial<SiteOptions> = {}): Site {
  return new Site({ surroundings: storyClock(), store: openMemory, ...options });
}

/** Three groups: one in the middle of its roll-out, one with a machine that does not come back, one that is paused. */
export function busySite(options: Partial<SiteOptions> = {}): Site {
  const site = emptySite({
    openingsOf: (group, fromMs) => group === "db" ? nightly(group, fromMs) : undefined,
    ...options,
  });
  const random = new Random(7);
  site.write("web", (before) => ({ ...before, max: 3 }), {
    at: at(-DAY_MS),
    by: "anna@desk",
    what: "set-max",
  });
  for (let lane = 0, n = 100; lane < 3; lane++) {
    for (let ms = -DAY_MS + lane * 20 * MINUTE_MS; ms < -40 * MINUTE_MS; n++) {
      const tookMs = random.between(4 * MINUTE_MS, 11 * MINUTE_MS);
      rebooted(site, "web", n, ms, tookMs);
      ms += tookMs +
        (n % 9 === 0 ? random.between(1 * HOUR_MS, 5 * HOUR_MS) : random.between(MINUTE_MS, 40 * MINUTE_MS));
    }
  }
  const reason = "kernel 6.1.0-38 to 6.1.0-40";
  site.grant("web", machineId(1), {
    host: "web-frankfurt-01",
    boot: "b",
    since: at(-7 * MINUTE_MS),
    reason,
    phase: "rebooting",
  });
  site.grant("web", machineId(2), {
    host: "web-frankfurt-02",
    boot: "b",
    since: at(-2 * MINUTE_MS),
    reason,
    phase: "rebooting",
  });
  site.grant("web", machineId(3), {
    host: "web-paris-01",
    boot: "b",
    since: at(-20_000),
    reason,
    phase: "granted",
  });
  for (let n = 4; n < 15; n++) {
    const host = `web-${n % 3 === 0 ? "paris" : "frankfurt"}-${String(n).padStart(2, "0")}`;
    site.wait("web", machineId(n), { host, since: at(-(60 - n) * MINUTE_MS), reason });
  }
  site.wait(
    "web",
    machineId(20),
    { host: "web-canary", since: at(-3 * MINUTE_MS), reason: "security fix" },
    10,
  );

  for (let day = 1; day < 8; day++) {
    rebooted(site, "db", 200 + day, -15 * HOUR_MS + day * 50 * MINUTE_MS, 31 * MINUTE_MS);
  }
  site.grant("db", machineId(30), {
    host: "db-primary",
    boot: "b",
    since: at(-2.6 * HOUR_MS),
    reason: "firmware",
    phase: "rebooting",
  });
  site.wait("db", machineId(31), { host: "db-replica-1", since: at(-2 * HOUR_MS), reason: "firmware" });
  site.wait("db", machineId(32), { host: "db-replica-2", since: at(-1.9 * HOUR_MS), reason: "firmware" });

  const paused = { since: at(-50 * MINUTE_MS), by: "anna@desk", reason: "storage maintenance", extra: {} };
  rebooted(site, "storage", 301, -3 * HOUR_MS, 22 * MINUTE_MS);
  rebooted(site, "storage", 302, -2 * HOUR_MS, 25 * MINUTE_MS);
  site.write("storage", (before) => ({ ...before, paused }), {
    at: paused.since,
    by: paused.by,
    what: "pause",
  });
  site.grant("storage", machineId(40), {
    host: "ceph-3",
    since: at(-35 * MINUTE_MS),
    by: "anna@desk",
    reason: "disk swap",
  });
  site.wait("storage", machineId(41), { host: "ceph-4", since: at(-30 * MINUTE_MS) });
  return site;
}

/** A machine that had a slot, and gave it back. */
export function rebooted(site: Site, group: string, n: number, fromMs: number, tookMs: number): void {
  site.grant(group, machineId(n), { host: `${group}-${n}`, boot: "b", since: at(fromMs), phase: "granted" });
  site.end(group, machineId(n), at(fromMs + tookMs));
}
