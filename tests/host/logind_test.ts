import { assertEquals, assertRejects } from "@std/assert";
import { Bus, BusError } from "../../lib/host/bus.ts";
import {
  blockingInhibitors,
  canReboot,
  clearanceOf,
  describeInhibitor,
  reboot,
  scheduledShutdown,
} from "../../lib/host/logind.ts";
import { startBus } from "../support/bus.ts";

const SOON = { timeoutMs: 10_000 };
const APT = { what: "shutdown", who: "apt", why: "upgrading", mode: "block", uid: 0, pid: 42 };

Deno.test("reboot() calls logind once and says that it was accepted", async () => {
  await using test = await startBus();
  assertEquals(await reboot(test.client(), SOON), { kind: "accepted" });
  await test.logind.nextReboot();
  assertEquals(test.logind.rebootCalls(), 1);
});

Deno.test("reboot() is refused in logind's words (fault 4: a refused reboot kept the slot)", async () => {
  await using test = await startBus();
  await test.logind.refuseReboot("Interactive authentication required.");
  assertEquals(await reboot(test.client(), SOON), {
    kind: "refused",
    why: "logind: Interactive authentication required.",
  });
});

Deno.test("reboot() is blocked, by those that it names, at each of the three errors that logind has for an inhibitor", async () => {
  await using test = await startBus();
  for (
    const message of [
      "Access denied to root due to active block inhibitor",
      "Access denied due to active block inhibitor",
      "Operation denied due to active block inhibitor",
    ]
  ) {
    await test.logind.refuseReboot(message);
    await test.logind.setInhibitors(APT);
    assertEquals(await reboot(test.client(), SOON), {
      kind: "refused",
      why: "shutdown is inhibited by apt (uid 0, pid 42): upgrading",
      blocked: true,
    });
    await test.logind.setInhibitors();
    assertEquals(await reboot(test.client(), SOON), {
      kind: "refused",
      why: "shutdown is inhibited by somebody",
      blocked: true,
    });
  }
});

Deno.test("canReboot() is clear, blocked or impossible, by every answer that logind has", async () => {
  await using test = await startBus();
  const kinds: Record<string, string> = {
    yes: "clear",
    no: "impossible",
    challenge: "impossible",
    na: "impossible",
    inhibited: "blocked",
    "inhibitor-blocked": "blocked",
    "challenge-inhibitor-blocked": "blocked",
    "a-newer-word": "clear",
  };
  for (const [answer, kind] of Object.entries(kinds)) {
    await test.logind.setCanReboot(answer);
    const clearance = await canReboot(test.client(), SOON);
    assertEquals(clearance.kind, kind, answer);
    assertEquals(clearance, clearanceOf(answer));
  }
  await test.logind.setCanReboot("yes");
  await test.logind.setInhibitors(APT);
  assertEquals(await canReboot(test.client(), SOON), {
    kind: "blocked",
    why: "shutdown is inhibited by apt (uid 0, pid 42): upgrading",
  });
  assertEquals(test.logind.rebootCalls(), 0);
});

Deno.test("canReboot() is unknown, never clear, when logind cannot be asked", async () => {
  assertEquals(await canReboot(new Bus({ address: "unix:path=/nonexistent/bus" }), SOON), {
    kind: "unknown",
    why:
      "cannot ask logind whether this machine can be rebooted: Failed to connect to bus: No such file or directory",
  });
});

Deno.test("scheduledShutdown() sees a shutdown that somebody else has scheduled", async () => {
  await using test = await startBus();
  assertEquals(await scheduledShutdown(test.client(), SOON), null);
  const atMs = Date.UTC(2026, 4, 21, 23, 5);
  await test.logind.schedule("reboot", atMs);
  assertEquals(await scheduledShutdown(test.client(), SOON), { type: "reboot", atMs });
  await test.logind.schedule("", 0);
  assertEquals(await scheduledShutdown(test.client(), SOON), null);
});

Deno.test("reboot() is refused when nobody could be asked", async () => {
  assertEquals(await reboot(new Bus({ address: "unix:path=/nonexistent/bus" }), SOON), {
    kind: "refused",
    why: "logind: Failed to connect to bus: No such file or directory",
  });
});

Deno.test("reboot() does not know when logind does not answer, or goes away before it does", async () => {
  await using test = await startBus();
  await test.logind.hangReboot();
  const late = reboot(test.client(), { timeoutMs: 2_000 });
  await test.logind.nextReboot();
  assertEquals((await late).kind, "unknown");
  await test.stop();
  await test.start();
  await test.logind.vanishOnReboot();
  const gone = await reboot(test.client(), SOON);
  assertEquals(gone.kind, "unknown");
  await test.logind.nextReboot();
  assertEquals(test.logind.rebootCalls(), 2);
});

Deno.test("reboot() does not take 'a shutdown is under way already' for a machine that stays up", async () => {
  await using test = await startBus();
  await test.logind.refuseReboot("There's already a shutdown or sleep operation in progress");
  assertEquals(await reboot(test.client(), SOON), {
    kind: "unknown",
    why: "logind: There's already a shutdown or sleep operation in progress",
  });
});

Deno.test("blockingInhibitors() finds those who block a shutdown, and only those", async () => {
  await using test = await startBus();
  assertEquals(await blockingInhibitors(test.client(), SOON), []);
  await test.logind.setInhibitors(
    { what: "sleep:shutdown", who: "apt\n", why: "upgrading", mode: "block", uid: 0, pid: 42 },
    { what: "shutdown", who: "NetworkManager", why: "tidy up", mode: "delay" },
    { what: "shutdown", who: "editor", why: "unsaved", mode: "block-weak" },
    { what: "sleep", who: "film", why: "runs", mode: "block" },
    { what: "handle-power-key", who: "desktop", why: "own", mode: "block" },
  );
  const found = await blockingInhibitors(test.client(), SOON);
  assertEquals(found, [{ who: "apt", why: "upgrading", uid: 0, pid: 42 }]);
  assertEquals(found.map(describeInhibitor), ["apt (uid 0, pid 42): upgrading"]);
});

Deno.test("blockingInhibitors() fails rather than say 'nobody' when logind cannot be asked", async () => {
  const bus = new Bus({ address: "unix:path=/nonexistent/bus" });
  const error = await assertRejects(() => blockingInhibitors(bus, SOON), BusError);
  assertEquals(error.kind, "no-bus");
});
