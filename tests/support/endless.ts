/**
 * A test that starts one of each server, tells the pid of each in the file that `PIDS` names, and never ends:
 * `child_test.ts` ends it, as an operator in a hurry does.
 */

import { startBus } from "./bus.ts";
import { TestMachine } from "./daemon_process.ts";
import { startEtcd } from "./etcd.ts";

Deno.test("servers that run for ever", async () => {
  await using etcd = await startEtcd();
  await using bus = await startBus();
  await using machine = await TestMachine.make();
  const daemon = machine.start(["--endpoint", etcd.endpoint], { bus: bus.address });
  await daemon.line(/^info: no reboot window/);
  const pids = { test: Deno.pid, etcd: etcd.pid, daemon: daemon.pid, bus: bus.pid };
  await Deno.writeTextFile(`${Deno.env.get("PIDS")}.new`, JSON.stringify(pids));
  await Deno.rename(`${Deno.env.get("PIDS")}.new`, Deno.env.get("PIDS") ?? "");
  await daemon.line(/^a line that no daemon writes$/, 600_000);
});
