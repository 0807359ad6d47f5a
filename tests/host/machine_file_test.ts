/** What the daemon publishes for everybody on its host. */

import { assertEquals, assertMatch } from "@std/assert";
import { START } from "../../lib/agent.ts";
import { MACHINE_FILE, MachineFile, readMachineFile } from "../../lib/host/machine_file.ts";
import { machineReport } from "../../lib/machine_report.ts";

const T0 = Date.UTC(2026, 10, 28, 1);
const reportAt = (now: number, group = "web") =>
  machineReport(START, {
    machine: "m",
    host: "web1",
    boot: "b",
    group,
    strategy: "reboot",
    sinceMs: T0,
    needSinceMs: undefined,
    window: { open: false, nextOpensAt: Infinity },
  }, { now, elapsed: 0 });

Deno.test("what a daemon does is there for everybody while it is news, and not long after the daemon is gone", async () => {
  const root = await Deno.makeTempDir();
  const path = root + MACHINE_FILE;
  const log: string[] = [];
  const file = new MachineFile(root, (level, text) => void log.push(`${level}: ${text}`));
  try {
    assertEquals(await readMachineFile(root, T0), null);
    await file.publish(reportAt(T0));
    assertEquals(await readMachineFile(root, T0), reportAt(T0));
    assertEquals(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o644);
    await file.publish(reportAt(T0 + 59_000));
    assertEquals((await readMachineFile(root, T0))?.at, "2026-11-28T01:00:00Z", "nothing is new");
    await file.publish(reportAt(T0 + 60_000));
    assertEquals((await readMachineFile(root, T0))?.at, "2026-11-28T01:01:00Z", "it is alive");
    await file.publish(reportAt(T0 + 61_000, "db"));
    assertEquals((await readMachineFile(root, T0 + 200_000))?.group, "db");
    assertEquals(await readMachineFile(root, T0 + 300_000), null, "whoever wrote that is gone");
    await Deno.writeTextFile(path, "{");
    assertEquals(await readMachineFile(root, T0), null);
    await file.remove();
    await file.remove();
    assertEquals(log, []);
    await file.publish(reportAt(T0 + 130_000));
    assertEquals(await readMachineFile(root, T0 + 130_000), null, "it has ended");
    await Deno.mkdir(path);
    const another = new MachineFile(root, (level, text) => void log.push(`${level}: ${text}`));
    await Promise.all([another.publish(reportAt(T0)), another.publish(reportAt(T0, "db"))]);
    assertMatch(
      log.join(),
      /^warning: cannot write .*'locksmith status' does not show what this machine is doing$/,
    );
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
