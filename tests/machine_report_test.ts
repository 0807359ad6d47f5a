import { assertEquals } from "@std/assert";
import { type Agent, START } from "../lib/agent.ts";
import { describeMachine, machineReport, parseMachineReport } from "../lib/machine_report.ts";

const NOW = Date.UTC(2026, 10, 28, 1);
const AT = { now: NOW, elapsed: 500_000 };
const FACTS = {
  machine: "a".repeat(32),
  host: "web1",
  boot: "b1",
  group: "web",
  strategy: "etcd-lock",
  sinceMs: NOW - 60_000,
  needSinceMs: NOW - 3 * 24 * 3_600_000,
  window: { open: true, closesAt: Infinity, nextOpensAt: NOW },
} as const;
const NEEDED = { kind: "needed", reasons: ["new kernel", "libc"], fingerprint: "f" } as const;
const report = (change: Partial<Agent>, facts: Partial<Parameters<typeof machineReport>[1]> = {}) =>
  machineReport({ ...START, ...change }, { ...FACTS, ...facts }, AT);
const lines = (change: Partial<Agent>) => describeMachine(report(change), NOW, "UTC");

Deno.test("machineReport() has what the machine does, needs, and waits for, in JSON that reads back", () => {
  const seen = report({
    need: { ...NEEDED, level: "soft-reboot" },
    phase: { name: "grace", until: 560_000 },
    slot: { grant: "g" },
    heldOff: { why: "reboots are postponed", untilMs: NOW + 3_600_000 },
    stopped: "too many",
    said: "what was waited for before",
  }, { window: { open: false, nextOpensAt: Infinity } });
  assertEquals(seen, {
    machine: FACTS.machine,
    host: "web1",
    boot: "b1",
    group: "web",
    strategy: "etcd-lock",
    at: "2026-11-28T01:00:00Z",
    state: "grace",
    since: "2026-11-28T00:59:00Z",
    until: "2026-11-28T01:01:00Z",
    slot: true,
    need: {
      kind: "needed",
      since: "2026-11-25T01:00:00Z",
      level: "soft-reboot",
      reasons: ["new kernel", "libc"],
    },
    heldOff: { why: "reboots are postponed", until: "2026-11-28T02:00:00Z" },
    stopped: "too many",
    window: { open: false },
  });
  assertEquals(parseMachineReport(JSON.parse(JSON.stringify(seen))), seen);
  assertEquals(parseMachineReport({ at: "once" }), null);
  assertEquals(parseMachineReport(null), null);
});

Deno.test("machineReport() tells no need's age where none is, and no hold-off that is over", () => {
  const { need, heldOff, until } = report({
    need: { kind: "not-needed" },
    phase: { name: "idle", until: 900_000 },
    heldOff: { why: "reboots are postponed", untilMs: NOW },
  });
  assertEquals([need, heldOff, until], [{ kind: "not-needed", reasons: [] }, undefined, undefined]);
});

Deno.test("describeMachine() tells no past as yet to come, though instants are rounded to seconds", () => {
  const just = report({ need: NEEDED }, { needSinceMs: NOW + 600 });
  assertEquals(just.need.since, "2026-11-28T01:00:01Z");
  assertEquals(
    describeMachine(just, NOW + 700, "UTC")[0]?.split(": ")[0],
    "a reboot is needed since Sat 2026-11-28 01:00:01 +00:00, 0 s ago",
  );
});

Deno.test("describeMachine() says since when a reboot is needed and what it waits for", () => {
  const since = "a reboot is needed since Wed 2026-11-25 01:00 +00:00, 3 days ago";
  assertEquals(lines({ need: { kind: "not-needed" }, phase: { name: "idle", until: 0 } }), [
    "no reboot is needed",
  ]);
  assertEquals(
    lines({
      need: NEEDED,
      phase: { name: "backing-off", until: 620_000 },
      said: "a reboot is needed (new kernel) but this machine's checks say no: ceph-health: HEALTH_WARN",
    }),
    [
      `${since}: new kernel; libc`,
      "a reboot is needed (new kernel) but this machine's checks say no: ceph-health: HEALTH_WARN; " +
      "until Sat 2026-11-28 01:02 +00:00, in 2 min",
    ],
  );
  assertEquals(lines({ need: { ...NEEDED, level: "kexec" }, phase: { name: "confirming" } }), [
    `${since} (a kexec would do): new kernel; libc`,
    "is about to reboot",
  ]);
  const heldOff = { why: "reboots are disabled on this host", untilMs: null };
  assertEquals(
    lines({ need: NEEDED, heldOff, phase: { name: "awaiting-window", opensAt: Infinity, lookAt: 0 } }),
    [`${since}: new kernel; libc`, heldOff.why],
  );
  assertEquals(lines({ need: NEEDED, stopped: "too many", phase: { name: "idle", until: 0 } }), [
    `${since}: new kernel; libc`,
    "too many",
  ]);
});
