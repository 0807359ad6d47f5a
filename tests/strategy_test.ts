/** What is done, given the facts: every combination of need, window, slot and strategy has its one answer. */

import { assertEquals } from "@std/assert";
import type { Need } from "../lib/need.ts";
import { chooseStrategy, decide, type WindowState } from "../lib/strategy.ts";

const NEEDED: Need = { kind: "needed", reasons: ["a new kernel"], fingerprint: "kernel" };
const NOT_NEEDED: Need = { kind: "not-needed" };
const UNKNOWN: Need = { kind: "unknown", why: ["nobody answers"] };
const OPEN: WindowState = { open: true, closesAt: 2_000, nextOpensAt: 9_000 };
const CLOSED: WindowState = { open: false, nextOpensAt: 9_000 };

Deno.test("chooseStrategy() takes what is configured, and the lock where only an endpoint is", () => {
  for (const strategy of ["etcd-lock", "fleet-lock", "reboot", "off"] as const) {
    for (const origins of [{ endpoint: "--endpoint" }, { server: "--fleet-lock-url" }, {}]) {
      const why = "configured by REBOOT_STRATEGY";
      assertEquals(chooseStrategy({ strategy, origin: "REBOOT_STRATEGY" }, origins), { strategy, why });
    }
  }
  assertEquals(chooseStrategy(undefined, { endpoint: "--endpoint" }), {
    strategy: "etcd-lock",
    why: "an endpoint is configured by --endpoint",
  });
  assertEquals(chooseStrategy(undefined, { server: "--fleet-lock-url" }), {
    strategy: "fleet-lock",
    why: "a server is configured by --fleet-lock-url",
  });
});

Deno.test("chooseStrategy() chooses nothing for a machine that nobody configured", () => {
  assertEquals(chooseStrategy(undefined, {}), undefined);
});

Deno.test("chooseStrategy() does not choose between an endpoint and a server: a person does", () => {
  const origins = { endpoint: "--endpoint", server: "--fleet-lock-url" };
  assertEquals(chooseStrategy(undefined, origins), undefined);
  assertEquals(chooseStrategy({ strategy: "auto", origin: "REBOOT_STRATEGY" }, origins), undefined);
  assertEquals(
    chooseStrategy({ strategy: "etcd-lock", origin: "REBOOT_STRATEGY" }, origins)?.strategy,
    "etcd-lock",
  );
});

Deno.test("chooseStrategy() waits for the etcd of a named endpoint with auto, and leaves it open without one", () => {
  const auto = { strategy: "auto", origin: "REBOOT_STRATEGY" } as const;
  assertEquals(chooseStrategy(auto, { endpoint: "LOCKSMITHD_ENDPOINT" }), {
    strategy: "etcd-lock",
    why: "auto is configured by REBOOT_STRATEGY, and an endpoint is configured by LOCKSMITHD_ENDPOINT",
  });
  assertEquals(chooseStrategy(auto, {}), { strategy: "auto", why: "configured by REBOOT_STRATEGY" });
});

Deno.test("decide() acts by need, then window, then slot", () => {
  const rest = { kind: "rest" } as const;
  const cases: [Need, WindowState, boolean, unknown][] = [
    [NOT_NEEDED, OPEN, false, rest],
    [NOT_NEEDED, CLOSED, false, rest],
    [NOT_NEEDED, OPEN, true, { kind: "give-back", why: "no reboot is needed" }],
    [NOT_NEEDED, CLOSED, true, { kind: "give-back", why: "no reboot is needed" }],
    [NEEDED, CLOSED, false, { kind: "await-window", until: 9_000 }],
    [NEEDED, CLOSED, true, { kind: "give-back", why: "the window is closed" }],
    [NEEDED, OPEN, false, { kind: "acquire" }],
    [NEEDED, OPEN, true, { kind: "prepare" }],
    // who does not know whether a reboot is needed neither reboots nor drops a slot that may be of use
    [UNKNOWN, OPEN, false, rest],
    [UNKNOWN, CLOSED, false, rest],
    [UNKNOWN, OPEN, true, { kind: "await-need" }],
    [UNKNOWN, CLOSED, true, { kind: "await-need" }],
  ];
  for (const [need, window, holds, action] of cases) {
    const facts = { strategy: "etcd-lock", need, window, holds } as const;
    assertEquals<unknown>(decide(facts), action, JSON.stringify(facts));
  }
});

Deno.test("decide() without a lock asks for need and window, and for no slot", () => {
  const decideFor = (need: Need, window: WindowState) =>
    decide({ strategy: "reboot", need, window, holds: false });
  assertEquals(decideFor(NEEDED, OPEN), { kind: "prepare" });
  assertEquals(decideFor(NEEDED, CLOSED), { kind: "await-window", until: 9_000 });
  assertEquals(decideFor(NOT_NEEDED, OPEN), { kind: "rest" });
  assertEquals(decideFor(UNKNOWN, OPEN), { kind: "rest" });
});
