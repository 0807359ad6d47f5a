/** Why now is or is not a time to reboot: each circumstance in words, and what would change a no. */

import { assertEquals } from "@std/assert";
import type { Inquiry } from "../lib/agent.ts";
import {
  type Circumstance,
  groupCircumstances,
  healthCircumstances,
  holdOffCircumstance,
  hostCircumstances,
  joinedAnswer,
  limitCircumstance,
  needCircumstance,
  notKnown,
  windowCircumstance,
} from "../lib/readiness.ts";
import { FRESH, type Semaphore } from "../lib/semaphore.ts";
import { CLEAR } from "../lib/simulation/faults.ts";
import type { Place } from "../lib/queue.ts";
import type { SessionMode } from "../lib/session_mode.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const HOUR_MS = 3_600_000;
const CLOCK = { now: NOW, zone: "UTC" };
const DEADLINE = { until: "2026-01-11", why: "end of Livepatch" };

/** As one line. */
function line({ what, answer, why, change }: Circumstance): string {
  return `${what}: ${answer}: ${why}${change === undefined ? "" : ` -> ${change}`}`;
}

function host(inquiry: Partial<Inquiry>, mode: SessionMode = "warn"): string[] {
  return hostCircumstances({ ...CLEAR, ...inquiry }, { mode, graceMs: 300_000 }).map(line);
}

function group(semaphore: Partial<Semaphore>, queue: readonly Partial<Place>[] = [], all = FRESH): string[] {
  const seen = {
    semaphore: { ...FRESH, ...semaphore },
    all,
    stored: true,
    queue: queue as readonly Place[],
    overdue: [],
  };
  return groupCircumstances("web", "me", seen, { priority: 0, clock: CLOCK }).map(line);
}

Deno.test("a need, a window, a hold-off and a limit say what they are and what would change a no", () => {
  assertEquals(
    [
      needCircumstance({ kind: "needed", reasons: ["a new kernel"], fingerprint: "k" }, NOW),
      needCircumstance({ kind: "not-needed", deadline: DEADLINE }, NOW),
      needCircumstance({ kind: "unknown", why: ["dnf: exited with 3"] }, NOW),
      windowCircumstance({ open: true, closesAt: Infinity, nextOpensAt: NOW }, CLOCK),
      windowCircumstance({ open: true, closesAt: NOW + HOUR_MS, nextOpensAt: NOW + 9 * HOUR_MS }, CLOCK),
      windowCircumstance({ open: false, nextOpensAt: NOW + HOUR_MS }, CLOCK),
      windowCircumstance({ open: false, nextOpensAt: Infinity, why: "frozen: Christmas" }, CLOCK),
      holdOffCircumstance(null, CLOCK),
      holdOffCircumstance({ why: "postponed by anna", untilMs: NOW + HOUR_MS }, CLOCK),
      holdOffCircumstance({ why: "/etc/locksmith/disable: migration", untilMs: null }, CLOCK),
      limitCircumstance(null),
      limitCircumstance("3 reboots within a day"),
    ].map(line),
    [
      "need: yes: a new kernel",
      "need: no: no reboot is needed; reboot before 2026-01-11, in 9 days 12 h: end of Livepatch -> an update that needs one, or 'locksmith send-need-reboot'",
      "need: unknown: dnf: exited with 3 -> 'locksmith needs-reboot' says more",
      "window: yes: always open",
      "window: yes: open, closes Thu 2026-01-01 13:00 +00:00, in 1 h",
      "window: no: closed -> opens Thu 2026-01-01 13:00 +00:00, in 1 h",
      "window: no: frozen: Christmas -> nothing is known to open it; change the windows or freezes",
      "held off: yes: by nobody on this host",
      "held off: no: postponed by anna -> ends by itself Thu 2026-01-01 13:00 +00:00, in 1 h",
      "held off: no: /etc/locksmith/disable: migration -> whoever set it takes it back",
      "limits: yes: none is reached",
      "limits: no: 3 reboots within a day -> 'locksmith reset'",
    ],
  );
});

Deno.test("the host's circumstances: checks, inhibitors, and who is logged in, which only costs the grace", () => {
  assertEquals(host({}), [
    "checks: yes: none says no",
    "inhibitors: yes: nobody inhibits a shutdown",
    "sessions: yes: nobody is logged in",
  ]);
  assertEquals(
    host({
      verdict: { kind: "ill", why: "ceph: HEALTH_WARN" },
      clearance: { kind: "blocked", why: "apt (pid 7): an upgrade is under way" },
      loggedIn: { kind: "known", users: ["anna", "bert"] },
    }),
    [
      "checks: no: ceph: HEALTH_WARN -> they are asked again by themselves",
      "inhibitors: no: apt (pid 7): an upgrade is under way -> it ends; 'systemd-inhibit --list' shows all",
      "sessions: yes: anna, bert logged in: with 5 min of grace",
    ],
  );
  const unknown = { kind: "unknown", why: "logind is masked" } as const;
  assertEquals(host({ clearance: unknown, loggedIn: unknown }).slice(1), [
    "inhibitors: unknown: logind is masked",
    "sessions: yes: logind is masked: as if somebody were logged in, with 5 min of grace",
  ]);
  const anna = { loggedIn: { kind: "known", users: ["anna"] } } as const;
  assertEquals(host(anna, "wait")[2], "sessions: no: anna logged in -> they log out");
  assertEquals(host({ loggedIn: unknown }, "wait")[2], "sessions: unknown: logind is masked");
  assertEquals(host(anna, "ignore")[2], "sessions: yes: people who are logged in are ignored");
});

Deno.test("the group's circumstances: a pause by whom, and a slot for this machine, which those before it get first", () => {
  const held = {
    max: 1,
    holders: ["w"],
    holds: new Map([["w", { host: "web2", boot: "b", phase: "granted", extra: {} }]]),
  };
  const other = { machine: "o", priority: 0 };
  assertEquals(group({ max: 2 }), ["pause: yes: grants are not paused", "line: yes: 2 of 2 slots free"]);
  assertEquals(
    group(held)[1],
    "line: no: no slot is free: held by web2 (w), granted -> " +
      "a slot is given back, or 'locksmith unlock' ends it",
  );
  assertEquals(
    group({ max: 1 }, [other])[1],
    "line: no: 1 of 1 slots free, 1 in line before this machine -> those before it go first",
  );
  assertEquals(group({ max: 1 }, [{ machine: "me", priority: 0 }, other])[1], "line: yes: 1 of 1 slots free");
  assertEquals(group({ max: 1 }, [{ machine: "o", priority: -1 }])[1], "line: yes: 1 of 1 slots free");
  assertEquals(
    group({ ...held, holders: ["me"], holds: new Map() })[1],
    "line: yes: this machine holds a slot",
  );
  assertEquals(group({ max: 0 })[1], "line: no: no slot is free: max is 0 -> 'locksmith set-max'");
  const paused = { since: "2026-01-01T11:00:00Z", by: "anna", reason: "incident", extra: {} };
  assertEquals(
    group({ paused })[0],
    "pause: no: group web is paused (since Thu 2026-01-01 11:00:00 +00:00, 1 h ago, " +
      "by anna, because: incident) -> 'locksmith resume --group web'",
  );
  assertEquals(
    group({}, [], { ...FRESH, paused: { until: "2026-01-01T13:00:00Z", extra: {} } })[0],
    "pause: no: all groups are paused (until Thu 2026-01-01 13:00:00 +00:00) -> 'locksmith resume --all', or it ends by itself",
  );
});

Deno.test("a machine that has rebooted and is not known to be well does not reboot again", () => {
  assertEquals(healthCircumstances("idle", undefined), []);
  assertEquals(healthCircumstances("unhealthy", "not well: raid: degraded").map(line), [
    "health: no: not well: raid: degraded -> it gives its slot back once it is well, and reboots no sooner",
  ]);
  assertEquals(healthCircumstances("proving", undefined).map(({ why }) => why), [
    "it is being checked after its boot",
  ]);
});

Deno.test("a freeze of the group is told while it is in force, and ahead of it", () => {
  const freeze = {
    name: "Year end",
    from: "2026-01-01T10:00:00Z",
    until: "2026-01-02T00:00:00Z",
    by: "anna",
    extra: {},
  };
  assertEquals(
    group({ freezes: [freeze] })[0],
    "pause: no: group web is frozen (since Thu 2026-01-01 10:00:00 +00:00, 2 h ago, " +
      "until Fri 2026-01-02 00:00:00 +00:00, by anna, because: Year end) -> 'locksmith freeze remove --group web 'Year end'', or it ends by itself",
  );
  const ahead = { ...freeze, from: "2026-01-01T13:00:00Z" };
  assertEquals(
    group({}, [], { ...FRESH, freezes: [ahead] })[0],
    "pause: yes: grants are not paused; the next freeze is Year end, from Thu 2026-01-01 13:00 +00:00",
  );
});

Deno.test("one no is a no for the whole, and what nobody knows lets nothing", () => {
  const yes = limitCircumstance(null);
  const no = limitCircumstance("3 reboots");
  const unknown = notKnown("line", "etcd is away");
  assertEquals([[yes], [yes, unknown], [unknown, no]].map(joinedAnswer), ["yes", "unknown", "no"]);
});
