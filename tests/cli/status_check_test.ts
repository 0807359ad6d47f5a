/** What `--check` says where the scripts in tests/cli cannot show it: ages, names that need quotes, hostile texts. */

import { assertEquals } from "@std/assert";
import { type Checked, problemsOf } from "../../lib/cli/status_check.ts";
import { parseSemaphore } from "../../lib/document.ts";
import { FRESH, type Semaphore } from "../../lib/semaphore.ts";

const NOW = Date.parse("2026-05-21T12:00:00Z");
const LIMITS = { rebootMs: 3_600_000, pauseMs: 86_400_000 };
const problems = (semaphore: Semaphore, group = "web") =>
  problemsOf({ group, semaphore, queue: [] } satisfies Checked, LIMITS, NOW);

Deno.test("problemsOf() names a machine that reboots for too long, with the command that ends its hold", () => {
  const held = parseSemaphore(JSON.stringify({
    semaphore: -2,
    max: 2,
    holders: ["a b", "by-hand", "late", "young"],
    holds: {
      "a b": { boot: "b1", since: "2026-05-19T08:59:00Z" },
      "by-hand": { since: "2020-01-01T00:00:00Z" },
      late: { host: "db1", boot: "b2", since: "2026-05-21T10:59:59Z" },
      young: { host: "db2", boot: "b3", since: "2026-05-21T11:00:00Z" },
    },
  }));
  assertEquals(problems(held, "it's"), [
    "group it's: a b has held a slot for 2 d 3 h, longer than 1h; if it will not come back: " +
    `locksmith unlock 'a b' --group 'it'\\''s'`,
    "group it's: db1 (late) has held a slot for 1 h, longer than 1h; if it will not come back: " +
    `locksmith unlock db1 --group 'it'\\''s'`,
  ]);
});

Deno.test("problemsOf() names a machine that is not well after its reboot, at once and with the reason", () => {
  const held = parseSemaphore(JSON.stringify({
    semaphore: -1,
    max: 1,
    holders: ["a", "b"],
    holds: {
      a: {
        host: "db1",
        boot: "b1",
        since: "2026-05-21T11:50:00Z",
        back: "2026-05-21T11:58:00Z",
        trouble: "raid: degraded",
      },
      b: { host: "db2", boot: "b2", since: "2026-05-21T11:50:00Z", back: "2026-05-21T11:58:00Z" },
    },
  }));
  assertEquals(problems(held), [
    "group web: db1 (a) is not well since its reboot and keeps its slot: raid: degraded",
  ]);
});

Deno.test("problemsOf() names a pause older than the limit, and one whose age nobody knows", () => {
  const paused = (since?: string) =>
    problems({ ...FRESH, paused: { ...(since && { since }), extra: {} } }, "");
  assertEquals(paused("2026-05-20T12:00:00Z"), []);
  assertEquals(paused("2026-05-22T12:00:00Z"), []);
  assertEquals(paused("2026-05-20T11:59:59Z"), [
    "group (default): paused for 1 d, longer than 24h; to resume: locksmith resume",
  ]);
  assertEquals(paused(), [
    "group (default): paused for an unknown time, longer than 24h; to resume: locksmith resume",
  ]);
});
