import { assertEquals, assertRejects } from "@std/assert";
import { Bus, BusError } from "../../lib/host/bus.ts";
import { blockingInhibitors, describeInhibitor, reboot } from "../../lib/host/logind.ts";
import { startBus } from "../support/bus.ts";

const SOON = { timeoutMs: 10_000 };

Deno.test("reboot() calls logind once and says that it was accepted", async () => {
  await using test = await startBus();
  assertEquals(await reboot(test.client(), SOON), { kind: "accepted" });
  await test.logind.nextReboot();
  assertEquals(test.logind.rebootCalls(), 1);
});

Deno.test("reboot() is refused in logind's words (fault 4: a refused reboot kept the slot)", async () => {
  await using test = await startBus();
  await test.logind.refuseReboot("Operation denied due to active block inhibitor");
  assertEquals(await reboot(test.client(), SOON), {
    kind: "refused",
    why: "logind: Operation denied due to active block inhibitor",
  });
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
  const late = await reboot(test.client(), { timeoutMs: 300 });
  assertEquals(late.kind, "unknown");
  await test.stop();
  await test.start();
  await test.logind.vanishOnReboot();
  const gone = await reboot(test.client(), SOON);
  assertEquals(gone.kind, "unknown");
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
